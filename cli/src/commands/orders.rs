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
    log::mention(&broker, verb.as_str(), run.as_str(), "").await;
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
    let of = (which.slice, which.page, which.error_like.clone());
    commands::command(verb, run, of)
}

async fn carry_out(
    context: &Context,
    broker: &Broker,
    command: Command,
) -> anyhow::Result<Outcome> {
    let wait = || tell_waiting(context);
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
