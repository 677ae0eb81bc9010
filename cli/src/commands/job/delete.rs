//! `job delete`: the definition goes; its runs stay, or are cancelled with it.

use anyhow::Context as _;
use gridloom_shared::broker::Broker;
use gridloom_shared::count::counted_as;
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::orders::define::{self, DefineError};
use gridloom_shared::orders::empty;
use gridloom_shared::reads::jobs::Seen;
use gridloom_shared::reads::{by_hand, runs};
use serde_json::json;

use super::super::revision::{self, Answer, Stands};
use super::super::{installation, log, orders};
use crate::args::DeleteArgs;
use crate::context::Context;
use crate::output::counted;

/// Does what `gridloom job delete` says.
pub(super) async fn delete(context: &Context, args: &DeleteArgs) -> anyhow::Result<()> {
    let (broker, name) = (context.ask().await?, &args.job);
    log::mention(&broker, "job delete", name.as_str(), "").await;
    let waiting = by_hand::with_fires(&broker, name).await?;
    // A definition that this build cannot read can be deleted all the same.
    let there = match define::delete(&broker, name, args.if_revision).await {
        Err(DefineError::Moved { seen, .. }) => {
            check(context, args, &seen)?;
            true
        }
        deleted => deleted?,
    };
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
        false => {
            let words = || format!("job {name} is deleted; whether runs of it are open");
            let open = runs::open_of(&broker, name).await;
            open.with_context(words)?
        }
    };
    let dropped = match there {
        true => waiting,
        false => Vec::new(),
    };
    let document = json!({ "job": name, "deleted": there, "cancelled": cancelled, "open": open, "dropped": dropped });
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
        let dropped = match dropped.len() as u64 {
            0 => String::new(),
            many => format!(
                "; {} dropped",
                counted_as(many, "run that waited is", "runs that waited are")
            ),
        };
        output.say(format!("{is}; {runs}{dropped}"));
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
    let wait = || orders::tell_waiting(context);
    let cancelled = empty::cancel_open(broker, job, there, wait).await;
    let words = || {
        format!(
            "job {job} is deleted: once a planner leads, repeat gridloom job delete {job} --cancel"
        )
    };
    cancelled.with_context(words)
}
