//! `job backfill`: nominal times that are run again. [`listed`]: `job backfills`, how they stand.

use anyhow::Context as _;
use gridloom_shared::broker::Broker;
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::JobName;
use gridloom_shared::limits::BACKFILL_FIRES_MAX;
use gridloom_shared::reads::backfills::{self, BackfillError, Begun};
use gridloom_shared::reads::fires;
use gridloom_shared::schedule::backfill::{Progress, anchor_before};
use gridloom_shared::schedule::{Backfill, BackfillName, Moment, Plan};
use serde_json::json;

use super::super::calendar::users;
use super::super::{installation, wanted};
use super::times::{moment, plan, read_moment, schedule};
use crate::args::BackfillArgs;
use crate::context::{Context, who};
use crate::fault::{Misuse, Verdict};
use crate::output::{counted, grouped};

mod listed;

pub(super) use listed::{list, tell};

/// What is wanted, and which times those are.
struct Extent {
    backfill: Backfill,
    times: Vec<UnixMs>,
    excluded: u64,
    /// The end of the range lies ahead: what comes until then is the schedule's own.
    cut: bool,
}

/// Runs nominal times again, or says which that would be.
pub(super) async fn begin(context: &Context, args: &BackfillArgs) -> anyhow::Result<Verdict> {
    let broker = context.ask().await?;
    let job = &args.job;
    if let Some(name) = &args.cancel {
        return cancel(context, &broker, job, name).await;
    }
    let extent = Extent::of(context, &broker, args).await?;
    if args.dry_run {
        extent.tell(context, job);
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

impl Extent {
    async fn of(context: &Context, broker: &Broker, args: &BackfillArgs) -> anyhow::Result<Extent> {
        let definition = installation::job(broker, &args.job).await?;
        let spec = schedule(&definition)?;
        let calendars = users::named_by(context, &spec).await?;
        if let Some(waiting) = users::waiting(&definition, &calendars) {
            return Err(Misuse::error(format!("{waiting}: {}", users::ADVICE)));
        }
        let job = args.job.as_str();
        let state = fires::state(broker, &args.job).await?;
        let known = state.as_ref().filter(|state| state.spec.is_some());
        let anchor = known.map_or_else(UnixMs::now, |state| state.anchor);
        let there = plan(&spec, job, &calendars, Some(anchor))?;
        if there.after().is_some() {
            return Err(Misuse::error(format!(
                "job {job} fires so long after the end of its last run: there are no times to run again"
            )));
        }
        let (from, to, cut) = range(&there, args)?;
        let anchor = anchor_before(&spec, anchor, from);
        let plan = plan(&spec, job, &calendars, Some(anchor))?;
        let (times, excluded) = times(&plan, from, to, job)?;
        let backfill = Backfill {
            by: who(),
            asked_at: UnixMs::now(),
            spec,
            anchor,
            from,
            to,
            overlap: args.overlap.map(Into::into).unwrap_or_default(),
            concurrency: args.concurrency,
            count: times.len() as u64,
            cancelled: None,
            progress: Progress::default(),
        };
        Ok(Extent {
            backfill,
            times,
            excluded,
            cut,
        })
    }

    fn words(&self, job: &JobName) -> String {
        let (first, last) = (self.times.first(), self.times.last());
        let at = |time: Option<&UnixMs>| time.copied().unwrap_or_default().rfc3339();
        let excluded = match self.excluded {
            0 => String::new(),
            excluded => format!("; calendars take out {}", counted(excluded, "more time")),
        };
        let cut = match self.cut {
            true => "; --to is not over: what comes until then is the schedule's own",
            false => "",
        };
        format!(
            "{} of job {job}, of {} to {}, {} at once{excluded}{cut}",
            counted(self.backfill.count, "run"),
            at(first),
            at(last),
            self.backfill.concurrency,
        )
    }

    fn tell(&self, context: &Context, job: &JobName) {
        let times: Vec<String> = self.times.iter().copied().map(UnixMs::rfc3339).collect();
        let document = json!({
            "job": job, "count": self.backfill.count, "excluded": self.excluded, "times": times, "dry_run": true,
            "to": self.backfill.to.rfc3339(), "cut": self.cut,
        });
        context.output.show(&document, |output| {
            output.say(self.words(job));
            times.iter().for_each(|time| output.say(time));
            output.note("nothing was done: without --dry-run it begins");
        });
    }
}

/// The first and the last instant, and whether the last was to be later.
fn range(plan: &Plan, args: &BackfillArgs) -> anyhow::Result<(UnixMs, UnixMs, bool)> {
    let (Some(from), Some(to)) = (&args.from, &args.to) else {
        return Err(Misuse::error("say --from and --to".to_owned()));
    };
    let last: Moment = read_moment(to)?;
    let (from_at, to_at) = (moment(plan, from)?, plan.last_instant(last));
    let to_at = to_at.with_context(|| format!("find {to:?} in the zone of the schedule"))?;
    if to_at < from_at {
        return Err(Misuse::error(format!(
            "--to {to} comes before --from {from}"
        )));
    }
    // Of a day that is not over, what has come.
    let now = UnixMs::now();
    if from_at > now || to_at > now && !matches!(last, Moment::Day(_)) {
        return Err(Misuse::error(format!(
            "--to {to} is to come: those times are the schedule's own"
        )));
    }
    Ok((from_at, to_at.min(now), to_at > now))
}

/// The nominal times of a range that no calendar takes out, and how many are taken out.
fn times(plan: &Plan, from: UnixMs, to: UnixMs, job: &str) -> anyhow::Result<(Vec<UnixMs>, u64)> {
    let (mut times, mut excluded) = (Vec::new(), 0);
    let before = UnixMs(from.0.saturating_sub(1));
    for nominal in plan.nominals_after(before).take_while(|next| next.at <= to) {
        match nominal.excluded {
            None => times.push(nominal.at),
            Some(_) => excluded += 1,
        }
        if times.len() as u64 + excluded > BACKFILL_FIRES_MAX {
            return Err(Misuse::error(format!(
                "job {job} has more than {} times from {} to {}, the most of one backfill: take a shorter range, and another backfill for the rest",
                grouped(BACKFILL_FIRES_MAX),
                from.rfc3339(),
                to.rfc3339()
            )));
        }
    }
    if times.is_empty() {
        let why = match excluded {
            0 => String::new(),
            excluded => format!("; calendars take out {}", counted(excluded, "time")),
        };
        return Err(Misuse::error(format!(
            "job {job} does not fire from {} to {}{why}",
            from.rfc3339(),
            to.rfc3339()
        )));
    }
    Ok((times, excluded))
}
