//! What may be ordered by a key: how it is asked, and which command does the same. Pure.

use gridloom_shared::count::{counted, counted_as, grouped};
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::ledger::summary::RunState;

use super::snapshot::{Pause, Run};

/// What is said of a pause by key.
pub(super) const NOTE: &str = "by key, in gridloom top";

/// What is ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// End a run.
    Cancel(RunId),
    /// Try its dead shards again.
    Retry(RunId),
    /// Pause the schedule of a job.
    Pause(JobName),
    /// Resume it.
    Resume(JobName),
    /// Pause the schedules of all jobs.
    Freeze,
    /// Resume them.
    Thaw,
}

/// An order that waits for a yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    /// What would be done.
    pub(super) order: Order,
    /// Whether it is wanted, with how much it is.
    pub(super) question: String,
}

impl Order {
    /// The command that does the same.
    pub(super) fn command(&self) -> String {
        match self {
            Order::Cancel(run) => format!("gridloom cancel {run}"),
            Order::Retry(run) => format!("gridloom retry {run}"),
            Order::Pause(job) => format!("gridloom job pause {job} --note \"{NOTE}\""),
            Order::Resume(job) => format!("gridloom job resume {job}"),
            Order::Freeze => format!("gridloom job pause --all --note \"{NOTE}\""),
            Order::Thaw => "gridloom job resume --all".to_owned(),
        }
    }

    /// What is being done.
    pub(super) fn doing(&self) -> String {
        match self {
            Order::Cancel(run) => format!("cancelling run {run}"),
            Order::Retry(run) => format!("trying dead shards of run {run} again"),
            Order::Pause(job) => format!("pausing the schedule of job {job}"),
            Order::Resume(job) => format!("resuming the schedule of job {job}"),
            Order::Freeze => "pausing the schedules of all jobs".to_owned(),
            Order::Thaw => "resuming the schedules of all jobs".to_owned(),
        }
    }
}

/// Whether to end `run`, or why that makes no sense.
pub(super) fn cancel(run: &Run) -> Result<Ask, String> {
    let id = run.id();
    if !run.is_open() {
        return Err(format!("run {id} is over: it {}", ended(run.summary.state)));
    }
    let shards = &run.summary.shards;
    let all = run.summary.grid.shards;
    let left = all.saturating_sub(shards.done + shards.dead);
    let known = if run.all_known {
        ""
    } else {
        " that are known so far"
    };
    let question = format!(
        "Cancel run {id}? {} of {}{known} are not done; {} of them in flight.",
        grouped(left),
        counted(all, "shard"),
        grouped(shards.outstanding)
    );
    Ok(Ask {
        order: Order::Cancel(id.clone()),
        question,
    })
}

/// Whether to try what is dead of `run` again, or why that makes no sense.
pub(super) fn retry(run: &Run) -> Result<Ask, String> {
    let id = run.id();
    let (shards, all) = (&run.summary.shards, run.summary.grid.shards);
    // Of one that failed because of shards that were given up meanwhile nothing is left.
    let is_left = all > shards.done + shards.dead;
    let stopped = run.summary.error.is_some() && is_left;
    let goes_on = run.summary.state == RunState::Cancelled || stopped;
    let question = match run.dead() {
        0 if goes_on && !run.is_open() => format!(
            "Let run {id} go on? It has no dead shards; {} are not done.",
            grouped(all.saturating_sub(shards.done))
        ),
        0 => return Err(format!("run {id} has no dead shards")),
        dead => format!(
            "Try {} of run {id} again? The job is taken as it was when the run was opened.",
            counted(dead, "dead shard")
        ),
    };
    Ok(Ask {
        order: Order::Retry(id.clone()),
        question,
    })
}

/// Whether to pause the schedules of all jobs, or to resume them where they are paused; `jobs` have one.
pub(super) fn freeze(jobs: &[JobName], pauses: &[Pause]) -> Ask {
    let many = counted(jobs.len() as u64, "job");
    let alone = pauses.iter().filter(|pause| pause.job.is_some()).count();
    let alone = match alone {
        0 => String::new(),
        alone => format!(
            " {} by themselves.",
            counted_as(alone as u64, "stays paused", "stay paused")
        ),
    };
    match pauses.iter().any(|pause| pause.job.is_none()) {
        false => Ask {
            question: format!(
                "Pause the schedules of all jobs? {many} with a schedule: none fires any more until they are resumed; runs that are \
                 open go on."
            ),
            order: Order::Freeze,
        },
        true => Ask {
            question: format!(
                "Resume the schedules of all jobs? {many} with a schedule; what each has missed is done as its misfire policy \
                 says.{alone}"
            ),
            order: Order::Thaw,
        },
    }
}

/// Whether to pause the schedule of `job`, or to resume it where it is paused.
pub(super) fn pause(job: &JobName, pauses: &[Pause]) -> Ask {
    let is_paused = pauses.iter().any(|pause| pause.job.as_ref() == Some(job));
    match is_paused {
        false => Ask {
            question: format!(
                "Pause the schedule of job {job}? It fires no more until it is resumed; runs that are open go on."
            ),
            order: Order::Pause(job.clone()),
        },
        true => Ask {
            question: format!(
                "Resume the schedule of job {job}? What it has missed is done as its misfire policy says."
            ),
            order: Order::Resume(job.clone()),
        },
    }
}

/// How a run ended, in words.
pub(super) fn ended(state: RunState) -> &'static str {
    match state {
        RunState::Running => "goes on",
        RunState::Succeeded => "succeeded",
        RunState::Failed => "failed",
        RunState::Cancelled => "was cancelled",
    }
}
