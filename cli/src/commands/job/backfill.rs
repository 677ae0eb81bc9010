//! `job backfill`: nominal times that are run again. [`listed`]: `job backfills`, how they stand.

use gridloom_planner::prospect::again::{Asked, Extent};
use gridloom_shared::broker::Broker;
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::JobName;
use gridloom_shared::reads::backfills::{self, BackfillError, Begun};
use gridloom_shared::schedule::BackfillName;
use serde_json::json;

use super::super::{installation, log, wanted};
use crate::args::BackfillArgs;
use crate::context::{Context, who};
use crate::fault::{Misuse, Verdict};
use crate::output::counted;

mod listed;

pub(super) use listed::{list, tell};

/// Runs nominal times again, or says which that would be.
pub(super) async fn begin(context: &Context, args: &BackfillArgs) -> anyhow::Result<Verdict> {
    let broker = context.ask().await?;
    let job = &args.job;
    if let Some(name) = &args.cancel {
        return cancel(context, &broker, job, name).await;
    }
    let (Some(from), Some(to)) = (&args.from, &args.to) else {
        return Err(Misuse::error("say --from and --to".to_owned()));
    };
    let asked = Asked {
        from: from.clone(),
        to: to.clone(),
        overlap: args.overlap.map(Into::into).unwrap_or_default(),
        concurrency: args.concurrency,
        by: who(),
    };
    let definition = installation::job(&broker, job).await?;
    let extent = Extent::of(&broker, &definition, &asked).await?;
    if args.dry_run {
        tell_extent(&extent, context, job);
        return Ok(Verdict::Fine);
    }
    if !args.yes {
        context.output.note(extent.words(job));
        let what = format!("open {}", counted(extent.backfill.count, "run"));
        if !wanted::is_wanted(context, "open them?", &what)? {
            context.output.note("nothing was done");
            return Ok(Verdict::Failed);
        }
    }
    let name = match &args.name {
        Some(name) => name.clone(),
        None => BackfillName::new(&format!("{:08x}", uuid::Uuid::new_v4().as_fields().0))?,
    };
    let detail = extent.words(job);
    log::mention(&broker, "job backfill", &format!("{job} {name}"), &detail).await;
    let begun = backfills::begin(&broker, job, &name, &extent.backfill).await;
    let begun = begun.map_err(misuse)?;
    let count = extent.backfill.count;
    let document = json!({
        "job": job, "backfill": name, "count": count, "excluded": extent.excluded, "begun": begun == Begun::New,
        "to": extent.backfill.to.rfc3339(), "cut": extent.cut,
    });
    context.output.show(&document, |output| match begun {
        Begun::New => {
            output.say(format!(
                "backfill {name} of job {job} begun: {}",
                counted(count, "run")
            ));
            output.note(format!("follow it with gridloom job backfills {job}"));
        }
        Begun::Exists => output.say(format!(
            "backfill {name} of job {job} exists already: the same was asked for before"
        )),
    });
    Ok(Verdict::Fine)
}

async fn cancel(
    context: &Context,
    broker: &Broker,
    job: &JobName,
    name: &BackfillName,
) -> anyhow::Result<Verdict> {
    let of = format!("{job} {name}");
    log::mention(broker, "job backfill --cancel", &of, "").await;
    let cancelled = backfills::cancel(broker, job, name, &who()).await;
    let cancelled = cancelled.map_err(misuse)?;
    let document = json!({ "job": job, "backfill": name, "cancelled": cancelled });
    context.output.show(&document, |output| {
        output.say(match cancelled {
            true => format!(
                "backfill {name} of job {job} is cancelled: nothing more of it is opened; what is open goes on"
            ),
            false => format!("backfill {name} of job {job} is over or cancelled already"),
        });
    });
    Ok(Verdict::Fine)
}

fn misuse(error: BackfillError) -> anyhow::Error {
    match error.is_misuse() {
        true => Misuse::error(chain(&error).to_string()),
        false => error.into(),
    }
}

/// Says which times those are.
fn tell_extent(extent: &Extent, context: &Context, job: &JobName) {
    let times: Vec<String> = extent.times.iter().copied().map(UnixMs::rfc3339).collect();
    let document = json!({
        "job": job, "count": extent.backfill.count, "excluded": extent.excluded, "times": times, "dry_run": true,
        "to": extent.backfill.to.rfc3339(), "cut": extent.cut,
    });
    context.output.show(&document, |output| {
        output.say(extent.words(job));
        times.iter().for_each(|time| output.say(time));
        output.note("nothing was done: without --dry-run it begins");
    });
}
