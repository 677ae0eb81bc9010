//! When a job fires, and what was decided of its fires: `job next`, `job fires`, `job why`.

use std::collections::BTreeMap;

use anyhow::Context as _;
use gridloom_shared::broker::Broker;
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::JobName;
use gridloom_shared::job::JobSpec;
use gridloom_shared::reads::fires::{self, Fires, Told};
use gridloom_shared::reads::jobs;
use gridloom_shared::schedule::{Moment, Nominal, Plan, Spec};
use serde::Serialize;

use super::super::{Context, installation};
use crate::args::{FiresArgs, NextArgs, WhyArgs};
use crate::fault::Misuse;
use crate::output::{Align, Output, Table, counted};

/// Fires that `apply` tells of.
const TOLD: usize = 5;

#[derive(Serialize)]
struct Next {
    scheduled_at: String,
    local: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Says when a schedule fires next.
pub(super) async fn next(context: &Context, args: &NextArgs) -> anyhow::Result<()> {
    let path = std::path::Path::new(&args.job);
    let is_file = path.is_file();
    let (spec, anchor) = if is_file {
        let spec = super::read(path).map_err(|faults| Misuse::error(faults.join("\n")))?;
        (schedule(&spec)?, None)
    } else {
        let name: JobName = args.job.parse().map_err(|error| {
            Misuse::error(format!("{}, or be a job file that is there", chain(&error)))
        })?;
        let broker = context.ask().await?;
        let spec = installation::job(&broker, &name).await?;
        let state = fires::list(&broker, &name).await?.state;
        (schedule(&spec)?, state.map(|state| state.anchor))
    };
    let plan = plan(&spec, "", anchor)?;
    let from = match &args.from {
        Some(text) => moment(&plan, text)?,
        None => UnixMs::now(),
    };
    let nominals: Vec<Nominal> = plan.nominals_after(from).take(args.count).collect();
    let all: Vec<Next> = nominals
        .iter()
        .map(|nominal| shown(&plan, nominal))
        .collect();
    context.output.show(&all, |output| {
        output.say(spec.words());
        tell_next(output, &all, &plan);
    });
    Ok(())
}

/// Tells when a job that was applied fires next.
pub(super) fn announce(output: &Output, job: &JobSpec) {
    let Ok((spec, plan)) = schedule(job)
        .and_then(|spec| plan(&spec, job.name.as_str(), None).map(|plan| (spec, plan)))
    else {
        return;
    };
    let nominals = plan.nominals_after(UnixMs::now()).take(TOLD);
    let all: Vec<Next> = nominals.map(|nominal| shown(&plan, &nominal)).collect();
    output.say(format!("fires {}", spec.words()));
    tell_next(output, &all, &plan);
}

fn tell_next(output: &Output, all: &[Next], plan: &Plan) {
    let mut table = Table::new([
        ("local", Align::Left),
        ("utc", Align::Left),
        ("", Align::Left),
    ]);
    for next in all {
        let note = next.note.clone().unwrap_or_default();
        table.row([next.local.clone(), next.scheduled_at.clone(), note]);
    }
    let none = match plan.after() {
        Some(_) => "each fire follows from the end of the run before it",
        None => "no fires from then on",
    };
    output.table(&table, none);
}

fn shown(plan: &Plan, nominal: &Nominal) -> Next {
    let shown = plan.shown(nominal);
    Next {
        scheduled_at: shown.utc,
        local: shown.local,
        note: shown.note,
    }
}

fn schedule(job: &JobSpec) -> anyhow::Result<Spec> {
    let Some(value) = job.schedule.clone() else {
        return Err(Misuse::error(format!(
            "job {} has no [schedule]: its runs are started by gridloom run and by submissions",
            job.name
        )));
    };
    Spec::try_from(value).with_context(|| format!("read the schedule of job {}", job.name))
}

fn plan(spec: &Spec, job: &str, anchor: Option<UnixMs>) -> anyhow::Result<Plan> {
    let anchor = anchor.unwrap_or_else(UnixMs::now);
    Ok(Plan::new(spec, job, &BTreeMap::new(), anchor)?)
}

fn moment(plan: &Plan, text: &str) -> anyhow::Result<UnixMs> {
    let moment: Moment = text
        .parse()
        .map_err(|error| Misuse::error(format!("{text:?} {}", chain(&error))))?;
    plan.instant(moment)
        .ok_or_else(|| Misuse::error(format!("{text:?} is no time of this schedule's zone")))
}

/// The fires on record, and the plan by which times are read: the job may be deleted.
async fn on_record(broker: &Broker, job: &JobName) -> anyhow::Result<(Fires, Plan)> {
    let fires = fires::list(broker, job).await?;
    let recorded = fires.state.as_ref().and_then(|state| state.spec.clone());
    let spec = match recorded {
        Some(spec) => Some(spec),
        None => match jobs::get(broker, job).await? {
            Some(job) => Some(schedule(&job?)?),
            None if fires.told.is_empty() => {
                return Err(installation::no_such_job(broker, job).await);
            }
            None => None,
        },
    };
    let anchor = fires.state.as_ref().map(|state| state.anchor);
    let utc = || Spec::new(gridloom_shared::schedule::When::Every { period_ms: 1_000 });
    let plan = plan(&spec.unwrap_or_else(utc), job.as_str(), anchor)?;
    Ok((fires, plan))
}

/// Lists what was decided.
pub(super) async fn list(context: &Context, args: &FiresArgs) -> anyhow::Result<()> {
    let broker = context.ask().await?;
    let (fires, plan) = on_record(&broker, &args.job).await?;
    let bound = |text: &Option<String>, otherwise| match text {
        Some(text) => moment(&plan, text),
        None => Ok(otherwise),
    };
    let (from, to) = (
        bound(&args.from, UnixMs(0))?,
        bound(&args.to, UnixMs(u64::MAX))?,
    );
    let whole = args.from.is_none() && args.to.is_none();
    let fits = |told: &&Told| {
        (told.touches(from, to) || whole && told.count == 0)
            && args
                .decision
                .as_ref()
                .is_none_or(|word| word == told.decision)
    };
    let all: Vec<&Told> = fires.told.iter().filter(fits).collect();
    let older = all.len().saturating_sub(args.limit);
    let all = &all[older..];
    context.output.show(all, |output| {
        let mut table = Table::new([
            ("scheduled", Align::Left),
            ("decision", Align::Left),
            ("run", Align::Left),
            ("why", Align::Left),
        ]);
        for told in all {
            table.row([
                times(told),
                told.decision.to_owned(),
                told.run
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                told.why.clone(),
            ]);
        }
        output.table(&table, "nothing was decided of such fires yet");
    });
    if older > 0 {
        let older = counted(older as u64, "older decision");
        context
            .output
            .note(format!("{older} more; see them with --limit"));
    }
    if fires.unreadable > 0 {
        let records = counted(fires.unreadable, "record");
        context.output.note(format!(
            "{records} of this job cannot be read by this version"
        ));
    }
    Ok(())
}

fn times(told: &Told) -> String {
    let more = if told.more { "more than " } else { "" };
    match (&told.scheduled_at, &told.last) {
        (None, _) => String::new(),
        (Some(at), None) => at.clone(),
        (Some(at), Some(last)) => format!("{at} to {last} ({more}{})", told.count),
    }
}

/// Says what was decided of one nominal time, and why.
pub(super) async fn why(context: &Context, args: &WhyArgs) -> anyhow::Result<()> {
    let broker = context.ask().await?;
    let (fires, plan) = on_record(&broker, &args.job).await?;
    let at = moment(&plan, &args.time)?;
    let found: Vec<&Told> = fires
        .told
        .iter()
        .filter(|told| told.touches(at, at))
        .collect();
    if found.is_empty() {
        return Err(Misuse::error(unanswered(&fires, &plan, &args.job, at)));
    }
    context.output.show(&found, |output| {
        for told in &found {
            let run = told.run.as_ref().map(|run| format!(" as run {run}"));
            output.say(format!(
                "{} {}{}: {} (decided {} by the leader of term {})",
                times(told),
                told.decision,
                run.unwrap_or_default(),
                told.why,
                told.decided_at,
                told.term,
            ));
        }
    });
    Ok(())
}

fn unanswered(fires: &Fires, plan: &Plan, job: &JobName, at: UnixMs) -> String {
    let before = UnixMs(at.0.saturating_sub(1));
    let next = plan.next_after(before);
    let time = at.rfc3339();
    let Some(state) = fires.state.as_ref().filter(|state| state.spec.is_some()) else {
        return format!("nothing is on record of {time}, and job {job} has no schedule in force");
    };
    match next {
        Some(next) if next.at == at && at > state.cursor => {
            format!(
                "{time} is not decided yet: it opens at {}",
                next.opens_at.rfc3339()
            )
        }
        Some(next) if next.at != at => format!(
            "job {job} does not fire at {time}; the next time after it is {}",
            next.at.rfc3339()
        ),
        Some(_) | None => format!(
            "nothing is on record of {time}: the schedule of then was another, or the record is older than what is kept"
        ),
    }
}
