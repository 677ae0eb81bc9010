//! `gridloom cancel`, `retry`: orders to the planner that leads; `dead retry` and `dead drop` in [`mod@dead`].
//!
//! Each is a request with a number of its own. When its answer is lost it is sent again as it was:
//! the planner knows the number by then, or does not, and it is carried out once.

use std::time::Duration;

use anyhow::Context as _;
use gridloom_shared::broker::{Broker, RequestError};
use gridloom_shared::command::{Answer, Command, Verb};
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::summary::RunState;
use gridloom_shared::wire;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::installation;
use crate::args;
use crate::context::Context;
use crate::fault::{Misuse, Verdict};
use crate::output::{Output, counted};

mod cancelled;
mod dead;
mod kept;
mod withdrawn;

pub use dead::dead;

use kept::Changed;

/// How long one answer is waited for.
const TRY: Duration = Duration::from_secs(3);
/// How long a planner is waited for: a leader that died has its successor within five seconds.
const NOBODY: Duration = Duration::from_secs(7);
/// How long an answer is asked for where somebody listens.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(250);

/// What became of an order, as it is printed for programs.
#[derive(Serialize)]
struct Outcome {
    run: RunId,
    order: &'static str,
    outcome: &'static str,
    shards: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// How the run that was to be cancelled stood a few seconds later.
    #[serde(rename = "state", skip_serializing_if = "Option::is_none")]
    ended: Option<RunState>,
    /// What was changed of the job since the run that is tried again was opened: it goes on by the old one.
    #[serde(rename = "job_changed", skip_serializing_if = "Option::is_none")]
    changed: Option<Changed>,
}

impl Outcome {
    fn verdict(&self) -> Verdict {
        if self.outcome == "refused" {
            Verdict::Failed
        } else {
            Verdict::Fine
        }
    }

    fn say(&self, output: &Output) {
        let run = &self.run;
        let shards = || counted(self.shards, "dead shard");
        match (&self.reason, self.order) {
            (Some(reason), _) if self.outcome == "refused" => output.note(reason),
            (Some(reason), _) => output.say(reason),
            (None, "cancel") => output.say(cancelled::words(run, self.ended)),
            (None, "retry") if self.shards == 0 => {
                output.say(format!("run {run} goes on where it stopped"));
            }
            (None, "retry") => output.say(format!(
                "run {run} goes on; {} will be tried again",
                shards()
            )),
            (None, _) => output.say(format!("{} of run {run} dropped", shards())),
        }
    }
}

/// Cancels a run, or retries its dead shards.
///
/// # Errors
/// When there is no such run, no planner that answers, or no broker.
pub async fn of_run(context: &Context, verb: Verb, run: &RunId) -> anyhow::Result<Verdict> {
    let broker = context.ask().await?;
    if verb == Verb::Cancel
        && let Some(outcome) = withdrawn::cancel(&broker, run).await?
    {
        context.output.show(&outcome, |output| outcome.say(output));
        return Ok(outcome.verdict());
    }
    let mut outcome = order(context, &broker, verb, run).await?;
    if verb == Verb::Cancel && outcome.outcome == "done" {
        outcome.ended = cancelled::end_of(&broker, run).await;
    }
    if verb == Verb::Retry && outcome.outcome == "done" {
        outcome.changed = kept::of_run(&broker, run).await?;
    }
    context.output.show(&outcome, |output| {
        outcome.say(output);
        if let Some(changed) = &outcome.changed {
            output.note(changed.words(&format!("run {run} keeps")));
        }
    });
    Ok(outcome.verdict())
}

/// Cancels a run and says nothing. Whether it was open.
pub(super) async fn cancel(
    context: &Context,
    broker: &Broker,
    run: &RunId,
) -> anyhow::Result<bool> {
    let outcome = order(context, broker, Verb::Cancel, run).await?;
    Ok(outcome.outcome == "done")
}

async fn order(
    context: &Context,
    broker: &Broker,
    verb: Verb,
    run: &RunId,
) -> anyhow::Result<Outcome> {
    let command = command(verb, run, &args::Chosen::default());
    carry_out(context, broker, command).await
}

fn command(verb: Verb, run: &RunId, which: &args::Chosen) -> Command {
    Command {
        request: uuid::Uuid::new_v4().as_u64_pair().0.max(1),
        verb,
        run: run.clone(),
        slice: which.slice,
        page: which.page,
        error_like: which.error_like.clone(),
    }
}

async fn carry_out(
    context: &Context,
    broker: &Broker,
    command: Command,
) -> anyhow::Result<Outcome> {
    let (outcome, shards, reason) = match ask(context, broker, &command).await? {
        Answer::Done { shards } => ("done", shards, None),
        Answer::Nothing { reason } => ("nothing", 0, Some(reason)),
        Answer::Refused { reason } => ("refused", 0, Some(reason)),
        Answer::Misuse { reason } => return Err(Misuse::error(reason)),
        Answer::Waits { .. } => ("nothing", 0, None),
    };
    Ok(Outcome {
        order: command.verb.as_str(),
        run: command.run,
        outcome,
        shards,
        reason,
        ended: None,
        changed: None,
    })
}

/// Sends the order until it is answered.
async fn ask(context: &Context, broker: &Broker, command: &Command) -> anyhow::Result<Answer> {
    let subject = broker.subjects().command(command.verb);
    let payload = wire::encode(command);
    let begun = Instant::now();
    let mut told = false;
    loop {
        let answer = broker.request(subject.clone(), payload.clone(), TRY).await;
        let error = match answer {
            Ok(message) => return wire::decode(&message.payload).context("read the answer"),
            Err(error) => error,
        };
        match error {
            RequestError::NoResponders { .. } if begun.elapsed() > NOBODY => {
                anyhow::bail!(
                    "{} run {} of namespace {}: {}",
                    command.verb.as_str(),
                    command.run,
                    broker.subjects().namespace(),
                    installation::nobody_leads(broker).await
                );
            }
            RequestError::NoResponders { .. } if !told => {
                told = true;
                context
                    .output
                    .note("no planner leads just now: waiting for one");
            }
            RequestError::Unsendable { .. } | RequestError::Refused { .. } => {
                return Err(error.into());
            }
            RequestError::TimedOut { .. } | RequestError::Disconnected { .. }
                if begun.elapsed() > PATIENCE =>
            {
                return Err(anyhow::Error::new(error).context(
                    "hear the planner's answer (it may have been done; it is safe to ask again)",
                ));
            }
            RequestError::NoResponders { .. }
            | RequestError::TimedOut { .. }
            | RequestError::Disconnected { .. } => {}
        }
        sleep(PAUSE).await;
    }
}
