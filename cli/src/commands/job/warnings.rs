//! What is warned of in a job that is applied all the same: what its definition alone shows, and what it names that
//! the workers which are there do not know.

use std::collections::BTreeMap;

use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::count::counted_as;
use gridloom_shared::id::JobName;
use gridloom_shared::job::JobSpec;
use gridloom_shared::job::handlers::{self, Said};
use gridloom_shared::limits::FIRES_COUNTED_MAX;
use gridloom_shared::presence::Presence;
use gridloom_shared::reads::{unknown, workers};
use gridloom_shared::schedule::Plan;
use gridloom_shared::schedule::record::State;

mod served;

/// What is to be told of each job, as `KEY: WORDS`. Where no worker can be asked, none is missed.
pub(super) async fn of(
    broker: &Broker,
    specs: &BTreeMap<JobName, JobSpec>,
) -> BTreeMap<JobName, Vec<String>> {
    let here = workers::roll_call(broker).await.unwrap_or_default();
    let told = specs
        .iter()
        .map(|(name, spec)| (name.clone(), of_one(spec, &here)));
    told.collect()
}

/// What a change of a schedule throws away that waits for a calendar: what has come is taken out then, whatever the
/// calendar would have said.
pub(super) fn thrown_away(plan: &Plan, state: &State, now: UnixMs) -> Option<String> {
    let calendar = plan.waits_for().filter(|_| !state.is_over())?;
    let tally = plan.tally(state.cursor, now, FIRES_COUNTED_MAX);
    let more = if tally.whole { "" } else { "more than " };
    let times = match tally.excluded {
        0 => return None,
        times => counted_as(times, "time has come and waits", "times have come and wait"),
    };
    Some(format!(
        "schedule: {more}{times} for calendar {calendar}; with this change there is no run for that: apply the calendar \
         first, and it judges what has come"
    ))
}

fn of_one(spec: &JobSpec, here: &[Presence]) -> Vec<String> {
    let shown = handlers::check(Said::by_job(spec)).warnings;
    let mut all: Vec<String> = shown.iter().map(ToString::to_string).collect();
    all.extend(served::of(spec, here));
    if let Some(unknown) = unknown::of(spec, here) {
        all.push(format!(
            "{}: {unknown}: {}",
            unknown.what.path(),
            unknown.advice()
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use gridloom_shared::schedule::{Calendars, Spec};
    use serde_json::json;

    use super::super::times::plan;
    use super::*;

    #[test]
    fn edit_that_ends_a_wait_for_a_calendar_says_what_it_throws_away() {
        let begin = UnixMs(1_772_344_800_000);
        let hours = |hours: u64| UnixMs(begin.0 + hours * 3_600_000 + 1_000);
        let of = |schedule| {
            let spec = Spec::try_from(schedule).unwrap();
            let plan = plan(&spec, "nightly", &Calendars::new(), Some(begin)).unwrap();
            (plan, State::new(Some(spec), begin, begin))
        };
        let (plan, state) = of(json!({ "every": "1h", "except": "office" }));
        let told = |at| thrown_away(&plan, &state, hours(at));
        assert_eq!(told(0), None, "nothing has come");
        assert!(
            told(1)
                .unwrap()
                .starts_with("schedule: 1 time has come and waits for calendar office;")
        );
        assert!(
            told(3)
                .unwrap()
                .starts_with("schedule: 3 times have come and wait")
        );
        assert!(
            told(20_000)
                .unwrap()
                .starts_with("schedule: more than 10,000 times")
        );
        let (plan, state) = of(json!({ "every": "1h", "except": "2026-03-01" }));
        assert_eq!(
            thrown_away(&plan, &state, hours(3)),
            None,
            "it waits for none"
        );
    }
}
