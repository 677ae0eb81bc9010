//! `job delete`: the definition goes; its runs stay, or are cancelled with it.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::{StreamExt, TryStreamExt};
use gridloom_shared::broker::Broker;
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::reads::jobs::{self, Seen};
use gridloom_shared::reads::{fires, runs};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::super::revision::{self, Answer, Stands};
use super::super::{installation, orders};
use crate::args::DeleteArgs;
use crate::context::Context;
use crate::output::counted;

/// Within this time a leader has heard that a job is gone; a new one leads by then.
const HEARD_WITHIN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);
/// Orders that are given at once.
const AT_ONCE: usize = 16;
/// Runs may be opened while others are cancelled, by submissions that were read before.
const ROUNDS: usize = 3;

/// Does what `gridloom job delete` says.
pub(super) async fn delete(context: &Context, args: &DeleteArgs) -> anyhow::Result<()> {
    let (broker, name) = (context.ask().await?, &args.job);
    let seen = jobs::see(&broker, name).await?;
    check(context, args, &seen)?;
    let there = seen.job().is_some();
    if there {
        // A definition that this build cannot read can be deleted all the same.
        match args.if_revision {
            Some(_) => {
                if let Err(error) = jobs::delete(&broker, name, &seen).await {
                    let now = jobs::see(&broker, name).await?;
                    check(context, args, &now)?;
                    return Err(error.into());
                }
            }
            None => broker.jobs().delete(name.as_str(), None).await?,
        }
    }
    let cancelled = match args.cancel {
        true => cancel(context, &broker, name, there).await?,
        false => Vec::new(),
    };
    if !there && cancelled.is_empty() {
        return Err(installation::no_such_job(&broker, name).await);
    }
    // They go on: nobody should learn that from what they do next.
    let open = match args.cancel {
        true => Vec::new(),
        false => runs::open_of(&broker, name).await.unwrap_or_default(),
    };
    let document = json!({ "job": name, "deleted": there, "cancelled": cancelled, "open": open });
    context.output.show(&document, |output| {
        let is = match there {
            true => format!("job {name} deleted"),
            false => format!("job {name} was deleted before"),
        };
        let runs = match (args.cancel, cancelled.len() as u64) {
            (false, _) if open.is_empty() => "its runs stay".to_owned(),
            (false, _) => format!(
                "its runs stay, and {} on: gridloom job delete {name} --cancel ends what is open",
                match open.as_slice() {
                    [run] => format!("run {run} is open and goes"),
                    open => format!("{} are open and go", open.len()),
                }
            ),
            (true, 0) => "none of its runs was open".to_owned(),
            (true, open) => format!(
                "{} cancelled: over as soon as their workers have answered",
                counted(open, "open run")
            ),
        };
        output.say(format!("{is}; {runs}"));
    });
    Ok(())
}

/// Whether it is what the caller saw.
fn check(context: &Context, args: &DeleteArgs, seen: &Seen) -> anyhow::Result<()> {
    let checked = Stands::job(args.job.as_str(), seen).check(args.if_revision);
    checked.map_err(|conflict| revision::told(context, Answer::Alone, conflict.into()))
}

/// Ends what is open of a job that is gone.
async fn cancel(
    context: &Context,
    broker: &Broker,
    job: &JobName,
    there: bool,
) -> anyhow::Result<Vec<RunId>> {
    if there {
        schedule_is_over(broker, job).await?;
    }
    let mut cancelled: Vec<RunId> = Vec::new();
    for _ in 0..ROUNDS {
        let mut open = runs::open_of(broker, job).await?;
        open.retain(|run| !cancelled.contains(run));
        if open.is_empty() {
            break;
        }
        let orders = open.iter().map(|run| orders::cancel(context, broker, run));
        let orders = futures_util::stream::iter(orders).buffered(AT_ONCE);
        let done: Vec<bool> = orders.try_collect().await.with_context(|| {
            format!("cancel its open runs; job {job} is deleted: once a planner leads, repeat gridloom job delete {job} --cancel")
        })?;
        let done = open.into_iter().zip(done);
        cancelled.extend(done.filter_map(|(run, done)| done.then_some(run)));
    }
    Ok(cancelled)
}

/// Waits until no fire of the job is opened any more: what is open then is all there is.
async fn schedule_is_over(broker: &Broker, job: &JobName) -> anyhow::Result<()> {
    let give_up = Instant::now() + HEARD_WITHIN;
    while Instant::now() < give_up {
        let state = fires::state(broker, job).await?;
        if state.is_none_or(|state| state.spec.is_none()) {
            return Ok(());
        }
        sleep(LOOK).await;
    }
    // Nobody leads, or what is on record makes no sense: then nothing is opened either.
    Ok(())
}
