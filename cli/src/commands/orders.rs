//! `gridloom cancel`, `retry`, `dead retry`, `dead drop`: orders to the planner that leads.
//!
//! Each is a request with a number of its own. When its answer is lost it is sent again as it was:
//! the planner knows the number by then, or does not, and it is carried out once.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::TryStreamExt;
use gridloom_shared::broker::{Broker, RequestError};
use gridloom_shared::command::{Answer, Command, Verb};
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::summary::RunState;
use gridloom_shared::reads::LeftOut;
use gridloom_shared::reads::dead::{self, OfRun};
use gridloom_shared::wire;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::Context;
use crate::args::DeadOf;
use crate::fault::{Misuse, Verdict};
use crate::output::{Output, counted};

mod cancelled;

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
            (Some(reason), _) => output.say(reason),
            (None, "cancel") => output.say(cancelled::words(run, self.ended)),
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
    let mut outcome = order(context, &broker, verb, run, (None, None)).await?;
    if verb == Verb::Cancel && outcome.outcome == "done" {
        outcome.ended = cancelled::end_of(&broker, run).await;
    }
    context.output.show(&outcome, |output| outcome.say(output));
    Ok(outcome.verdict())
}

/// Retries or drops dead shards, of one run or of all that have some.
///
/// # Errors
/// As [`of_run`].
pub async fn dead(context: &Context, verb: Verb, of: DeadOf) -> anyhow::Result<Verdict> {
    let broker = context.ask().await?;
    let mut outcomes = Vec::new();
    let (ended, left_out) = match of.run {
        Some(run) => {
            let which = (of.slice, of.page);
            outcomes.push(order(context, &broker, verb, &run, which).await?);
            (Ok(()), Vec::new())
        }
        None => {
            let (runs, left_out) = with_dead(&broker).await?;
            (
                all_of(context, &broker, verb, &runs, &mut outcomes).await,
                left_out,
            )
        }
    };
    // What was done is told also where the rest could not be.
    context.output.show(&outcomes, |output| {
        if outcomes.is_empty() && ended.is_ok() {
            output.note("no dead shards");
        }
        outcomes.iter().for_each(|outcome| outcome.say(output));
    });
    context.output.left_out(&left_out);
    ended?;
    let refused = outcomes.iter().map(Outcome::verdict);
    Ok(
        if refused.into_iter().all(|verdict| verdict == Verdict::Fine) {
            Verdict::Fine
        } else {
            Verdict::Failed
        },
    )
}

/// Runs with dead shards that were not given up.
async fn with_dead(broker: &Broker) -> anyhow::Result<(Vec<RunId>, Vec<LeftOut>)> {
    let (mut runs, mut left_out) = (Vec::new(), Vec::new());
    let mut all = dead::list(broker).await?;
    while let Some(of_run) = all.try_next().await? {
        match of_run {
            OfRun::Dead(fold) => runs.push(fold.run().clone()),
            OfRun::LeftOut(run) => left_out.push(run),
        }
    }
    Ok((runs, left_out))
}

/// The order for each of `runs`. One that is gone by now is none of the others' business.
async fn all_of(
    context: &Context,
    broker: &Broker,
    verb: Verb,
    runs: &[RunId],
    outcomes: &mut Vec<Outcome>,
) -> anyhow::Result<()> {
    for run in runs {
        match order(context, broker, verb, run, (None, None)).await {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => match error.downcast::<Misuse>() {
                Ok(Misuse(reason)) => outcomes.push(Outcome {
                    run: run.clone(),
                    order: verb.as_str(),
                    outcome: "nothing",
                    shards: 0,
                    reason: Some(reason),
                    ended: None,
                }),
                Err(error) => return Err(error),
            },
        }
    }
    Ok(())
}

async fn order(
    context: &Context,
    broker: &Broker,
    verb: Verb,
    run: &RunId,
    (slice, page): (Option<u32>, Option<u32>),
) -> anyhow::Result<Outcome> {
    let command = Command {
        request: uuid::Uuid::new_v4().as_u64_pair().0.max(1),
        verb,
        run: run.clone(),
        slice,
        page,
    };
    let (outcome, shards, reason) = match ask(context, broker, &command).await? {
        Answer::Done { shards } => ("done", shards, None),
        Answer::Nothing { reason } => ("nothing", 0, Some(reason)),
        Answer::Refused { reason } => ("refused", 0, Some(reason)),
        Answer::Misuse { reason } => return Err(Misuse::error(reason)),
        Answer::Waits { .. } => ("nothing", 0, None),
    };
    Ok(Outcome {
        run: command.run,
        order: verb.as_str(),
        outcome,
        shards,
        reason,
        ended: None,
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
                    "{} run {}: no planner leads namespace {}; start one with gridloom planner",
                    command.verb.as_str(),
                    command.run,
                    broker.subjects().namespace()
                );
            }
            RequestError::NoResponders { .. } if !told => {
                told = true;
                context
                    .output
                    .note("no planner leads just now: waiting for one");
            }
            RequestError::Unsendable { .. } => return Err(error.into()),
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
