//! When a job fires, and what was decided of its fires: `job next`, `job fires`, `job why`.

use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::JobName;
use gridloom_shared::job::JobSpec;
use gridloom_shared::reads::fires::{self, Fires, Told};
use gridloom_shared::reads::jobs;
use gridloom_shared::schedule::record::State;
use gridloom_shared::schedule::{Nominal, Plan, Spec};
use serde::Serialize;

use super::super::installation;
use super::times::{moment, plan, schedule, utc};
use super::{late, pause};
use crate::args::{FiresArgs, NextArgs, WhyArgs};
use crate::context::Context;
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
    let (job, state) = if path.is_file() {
        let job = super::read(path).map_err(|faults| Misuse::error(faults.join("\n")))?;
        (job, None)
    } else {
        let name: JobName = args.job.parse().map_err(|_| {
            Misuse::error(format!("there is neither a file nor a job {:?}", args.job))
        })?;
        let broker = context.ask().await?;
        let job = installation::job(&broker, &name).await?;
        pause::tell(context, &broker, Some(&name)).await?;
        late::tell(context, &broker, &name).await;
        (job, fires::state(&broker, &name).await?)
    };
    let spec = schedule(&job)?;
    let plan = plan(&spec, job.name.as_str(), anchor(state.as_ref()))?;
    let from = match &args.from {
        // That time is among those that are asked for.
        Some(text) => UnixMs(moment(&plan, text)?.0.saturating_sub(1)),
        None => UnixMs::now(),
    };
    let coming = coming(&spec, &plan, state.as_ref(), from, args.count);
    context.output.show(&coming, |output| {
        output.say(spec.words());
        tell_next(output, &coming, &plan);
    });
    Ok(())
}

/// Tells when a job that was applied fires next.
pub(super) async fn announce(
    output: &Output,
    broker: &Broker,
    job: &JobSpec,
) -> anyhow::Result<()> {
    let spec = schedule(job)?;
    let state = fires::state(broker, &job.name).await?;
    let plan = plan(&spec, job.name.as_str(), anchor(state.as_ref()))?;
    output.say(format!("fires {}", spec.words()));
    let coming = coming(&spec, &plan, state.as_ref(), UnixMs::now(), TOLD);
    tell_next(output, &coming, &plan);
    Ok(())
}

/// From when a cadence is counted: it goes on as it was, and one that is new begins now.
fn anchor(state: Option<&State>) -> Option<UnixMs> {
    let state = state.filter(|state| state.spec.is_some());
    state.map(|state| state.anchor)
}

/// The fires that come, of which `max_fires` leaves only so many.
fn coming(
    spec: &Spec,
    plan: &Plan,
    state: Option<&State>,
    from: UnixMs,
    count: usize,
) -> Vec<Next> {
    let same = state.filter(|state| state.spec.as_ref() == Some(spec));
    let left = match same {
        Some(state) if state.ended => 0,
        Some(state) => spec
            .max_fires
            .map_or(u64::MAX, |max| max.saturating_sub(state.accepted)),
        None => spec.max_fires.unwrap_or(u64::MAX),
    };
    let mut left = usize::try_from(left).unwrap_or(usize::MAX);
    let nominals = plan.nominals_after(from).take(count);
    let nominals = nominals.take_while(|nominal| {
        let comes = left > 0;
        left = left.saturating_sub(usize::from(nominal.excluded.is_none()));
        comes
    });
    nominals.map(|nominal| shown(plan, &nominal)).collect()
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
        None => "no fires come: all its times are past, or it has had as many as max_fires says",
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

/// A job's schedule in words; nothing where it has none.
pub(super) fn words(job: &JobSpec) -> String {
    let spec = job.schedule.clone().map(Spec::try_from);
    spec.and_then(Result::ok)
        .map_or_else(String::new, |spec| spec.words())
}

/// The fires on record, and the plan by which times are read: the job may be deleted.
async fn on_record(broker: &Broker, job: &JobName) -> anyhow::Result<(Fires, Plan)> {
    let fires = fires::list(broker, job).await?;
    let recorded = fires.state.as_ref().and_then(|state| state.spec.clone());
    let spec = match recorded {
        Some(spec) => Some(spec),
        None => match jobs::get(broker, job).await? {
            Some(job) if fires.told.is_empty() => Some(schedule(&job?)?),
            Some(_) => None,
            None if fires.told.is_empty() => {
                return Err(installation::no_such_job(broker, job).await);
            }
            None => None,
        },
    };
    let anchor = fires.state.as_ref().map(|state| state.anchor);
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
    if let Some(carried) = state.carried.iter().find(|carried| carried.at == at) {
        let opens_at = carried.opens_at.rfc3339();
        return format!("{time} is of the schedule before, and opens at {opens_at}");
    }
    if state.ended {
        return format!("nothing is on record of {time}, and the schedule of job {job} has ended");
    }
    if plan.after().is_some() {
        return format!(
            "nothing is on record of {time}: each fire of job {job} follows from the end of the run before it"
        );
    }
    match next {
        Some(Nominal {
            at: there,
            excluded: Some(by),
            ..
        }) if there == at && at > state.cursor => format!("{time} is taken out by {by}"),
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
        None => format!("job {job} does not fire at {time} or later: its schedule ends before"),
        Some(_) => format!(
            "nothing is on record of {time}: the schedule of then was another, or the record is older than what is kept"
        ),
    }
}
