//! `gridloom cancel`, `retry`: orders to the planner that leads; `dead retry` and `dead drop` in [`mod@dead`].

use gridloom_shared::broker::Broker;
use gridloom_shared::command::{Answer, Command, Verb};
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::summary::RunState;
use gridloom_shared::orders::commands;
use serde::Serialize;

use super::log;
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
        match self.outcome {
            "refused" => output.note(self.words()),
            _ => output.say(self.words()),
        }
    }

    fn words(&self) -> String {
        let run = &self.run;
        let shards = || counted(self.shards, "dead shard");
        match (&self.reason, self.order) {
            (Some(reason), _) => reason.clone(),
            (None, "cancel") => cancelled::words(run, self.ended),
            (None, "retry") if self.shards == 0 => format!("run {run} goes on where it stopped"),
            (None, "retry") => format!("run {run} goes on; {} will be tried again", shards()),
            (None, _) => format!("{} of run {run} dropped", shards()),
        }
    }

    /// What was changed of the job since, in words.
    fn change(&self) -> Option<String> {
        let changed = self.changed.as_ref()?;
        Some(changed.words(&format!("run {} keeps", self.run)))
    }
}

/// Cancels a run, or retries its dead shards.
///
/// # Errors
/// When there is no such run, no planner that answers, or no broker.
pub async fn of_run(context: &Context, verb: Verb, run: &RunId) -> anyhow::Result<Verdict> {
    let broker = context.ask().await?;
    let outcome = given(&broker, verb, run, || tell_waiting(context)).await?;
    context.output.show(&outcome, |output| {
        outcome.say(output);
        if let Some(changed) = outcome.change() {
            output.note(changed);
        }
    });
    Ok(outcome.verdict())
}

/// Cancels a run, or retries its dead shards, and says what came of it in words: for whoever has a screen of their own.
///
/// # Errors
/// As [`of_run`].
pub(super) async fn in_words(broker: &Broker, verb: Verb, run: &RunId) -> anyhow::Result<String> {
    let outcome = given(broker, verb, run, || {}).await?;
    let words = [Some(outcome.words()), outcome.change()];
    Ok(words.into_iter().flatten().collect::<Vec<_>>().join("; "))
}

/// The one way by which a run is cancelled or tried again. Calls `wait` once where no planner leads just now.
async fn given(
    broker: &Broker,
    verb: Verb,
    run: &RunId,
    wait: impl FnMut(),
) -> anyhow::Result<Outcome> {
    log::mention(broker, verb.as_str(), run.as_str(), "").await;
    if verb == Verb::Cancel
        && let Some(outcome) = withdrawn::cancel(broker, run).await?
    {
        return Ok(outcome);
    }
    let command = command(verb, run, &args::Chosen::default());
    let mut outcome = carried_out(broker, command, wait).await?;
    if verb == Verb::Cancel && outcome.outcome == "done" {
        outcome.ended = cancelled::end_of(broker, run).await;
    }
    if verb == Verb::Retry && outcome.outcome == "done" {
        outcome.changed = kept::of_run(broker, run).await?;
    }
    Ok(outcome)
}

fn command(verb: Verb, run: &RunId, which: &args::Chosen) -> Command {
    let of = (which.slice, which.page, which.error_like.clone());
    commands::command(verb, run, of)
}

async fn carry_out(
    context: &Context,
    broker: &Broker,
    command: Command,
) -> anyhow::Result<Outcome> {
    carried_out(broker, command, || tell_waiting(context)).await
}

async fn carried_out(
    broker: &Broker,
    command: Command,
    wait: impl FnMut(),
) -> anyhow::Result<Outcome> {
    let (outcome, shards, reason) = match commands::give(broker, &command, wait).await? {
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

/// Says that nobody is there yet who could carry an order out.
pub(super) fn tell_waiting(context: &Context) {
    let output = &context.output;
    output.note("no planner leads just now: waiting for one");
}
