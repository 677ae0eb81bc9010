//! `job fires`: what was decided of a job's fires, one line a decision.

use gridloom_planner::prospect::why::{self, several};
use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::JobName;
use gridloom_shared::reads::fires::{Fires, Told};
use gridloom_shared::schedule::Plan;

use super::super::installation;
use super::stopped;
use super::times::moment;
use crate::args::FiresArgs;
use crate::context::Context;
use crate::output::{Align, Table, counted};

/// The fires on record, and the plan by which times are read: the job may be deleted.
pub(super) async fn on_record(broker: &Broker, job: &JobName) -> anyhow::Result<(Fires, Plan)> {
    match why::on_record(broker, job).await? {
        Some(found) => Ok(found),
        None => Err(installation::no_such_job(broker, job).await),
    }
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
        output.table(&table(all, &plan), "nothing was decided of such fires yet");
    });
    if older > 0 {
        let older = counted(older as u64, "older decision");
        context
            .output
            .note(format!("{older} more; see them with --limit"));
    }
    match &fires.stopped {
        Some(stopped) => stopped::say(context, stopped),
        None if fires.unreadable > 0 => {
            let records = counted(fires.unreadable, "record");
            context.output.note(format!(
                "{records} of this job cannot be read by this version"
            ));
        }
        None => {}
    }
    Ok(())
}

/// In UTC, which runs are called after, and by the clocks of the job's zone where that is another.
fn table(all: &[&Told], plan: &Plan) -> Table {
    let local = |told: &Told| told.first().and_then(|first| plan.local_time(first));
    if all.iter().all(|told| local(told).is_none()) {
        let mut table = Table::new([
            ("fire", Align::Left),
            ("decision", Align::Left),
            ("run, or why not", Align::Left),
        ]);
        for told in all {
            table.row([fire(told), told.decision.to_owned(), what(told)]);
        }
        return table;
    }
    let mut table = Table::new([
        ("fire (utc)", Align::Left),
        ("local", Align::Left),
        ("decision", Align::Left),
        ("run, or why not", Align::Left),
    ]);
    for told in all {
        let local = local(told).unwrap_or_default();
        table.row([fire(told), local, told.decision.to_owned(), what(told)]);
    }
    table
}

fn fire(told: &Told) -> String {
    let first = told.first().map(UnixMs::to_the_second);
    first.unwrap_or_else(|| "-".to_owned())
}

/// The run, or why there is none; of several fires how many.
fn what(told: &Told) -> String {
    let several = several(told).map(|several| format!("{several}: "));
    let run = told.run.as_ref().map(|run| format!("{run}: "));
    format!(
        "{}{}{}",
        several.unwrap_or_default(),
        run.unwrap_or_default(),
        told.why
    )
}

#[cfg(test)]
mod tests {
    use gridloom_shared::id::Term;
    use gridloom_shared::schedule::Calendars;
    use gridloom_shared::schedule::record::{Decision, Record, Span, State, Why};
    use serde_json::json;

    use super::super::times;
    use super::*;

    /// 2026-03-01 06:00 UTC.
    const SIX: UnixMs = UnixMs(1_772_344_800_000);

    fn told(zone: Option<&str>) -> (Vec<Told>, Plan) {
        let mut schedule = json!({ "every": "1h" });
        if let Some(zone) = zone {
            schedule["timezone"] = zone.into();
        }
        let spec = gridloom_shared::schedule::Spec::try_from(schedule).unwrap();
        let job = JobName::new("warehouse-nightly").unwrap();
        let run = gridloom_shared::id::RunId::from_fire(&job, SIX);
        let state = State::new(Some(spec.clone()), SIX, SIX);
        let skipped = Why::Overlap { run: run.clone() };
        let span = Span {
            first: UnixMs(SIX.0 + 3_600_000),
            last: UnixMs(SIX.0 + 7_200_000),
            count: 2,
            more: false,
        };
        let opened = Decision::Opened {
            at: SIX,
            run,
            moved_from: None,
            after: None,
            held: None,
        };
        let decisions = [
            Decision::Adopted,
            opened,
            Decision::Passed { span, why: skipped },
        ];
        let told = decisions.map(|decision| {
            let record = Record {
                at: SIX,
                term: Term(3),
                decision,
                state: state.clone(),
            };
            Told::of(&record, true, None)
        });
        let plan = times::plan(&spec, job.as_str(), &Calendars::new(), Some(SIX)).unwrap();
        (told.into(), plan)
    }

    #[test]
    fn eighty_columns_have_room_for_times_and_runs() {
        for zone in [None, Some("Europe/Berlin")] {
            let (told, plan) = told(zone);
            let all: Vec<&Told> = told.iter().collect();
            let text = table(&all, &plan).render(Some(80));
            assert!(
                text.lines().all(|line| line.chars().count() <= 80),
                "{text}"
            );
            assert!(text.contains("2026-03-01T07:00:00Z"), "{text}");
            assert_eq!(
                text.contains("Sun 08:00:00 +01:00"),
                zone.is_some(),
                "{text}"
            );
        }
        let (told, plan) = told(None);
        let all: Vec<&Told> = told.iter().collect();
        let wanted = "\
FIRE                  DECISION  RUN, OR WHY NOT
-                     adopted   the job has a schedule, for what comes after 2026-03-01T06:00:00.000Z
2026-03-01T06:00:00Z  opened    warehouse-nightly_20260301T060000Z: it was due
2026-03-01T07:00:00Z  skipped   2 fires, until 2026-03-01T08:00:00Z: run warehouse-nightly_20260301T060000Z was open";
        assert_eq!(table(&all, &plan).render(None), wanted);
    }
}
