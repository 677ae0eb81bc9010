//! What a schedule may well say and is seldom meant: told when its job is applied, and refused by nobody.

use super::spec::{Days, MisfirePolicy, OverlapPolicy, Spec};
use super::{Nominal, Plan};
use crate::clock::UnixMs;
use crate::job::Fault;

/// What is to be told of `spec`, which means `plan`, at `now`; paths begin with `schedule`.
pub fn warnings(spec: &Spec, plan: &Plan, now: UnixMs) -> Vec<Fault> {
    let over = over(plan, now).then(|| {
        let message = "has no time to come, as all are past: it fires no more; change its times, `start` or `end`";
        Fault::new("schedule", message)
    });
    let others = made_up_for(spec).into_iter().chain(backwards(spec));
    over.into_iter().chain(others).collect()
}

/// Ranges of days that seem to begin with their later date.
fn backwards(spec: &Spec) -> impl Iterator<Item = Fault> {
    let both = [
        ("schedule.only", &spec.only),
        ("schedule.except", &spec.except),
    ];
    let all = both
        .into_iter()
        .flat_map(|(path, days)| days.iter().map(move |days| (path, days)));
    all.filter_map(|(path, days)| match days {
        Days::Dates(dates) => Some(Fault::new(path, dates.warning()?)),
        Days::Calendar(_) => None,
    })
}

/// Whether all its times are past.
fn over(plan: &Plan, now: UnixMs) -> bool {
    let next: Option<Nominal> = match plan.after() {
        Some(_) => plan.following(Some(now)),
        None => plan.next_after(now),
    };
    next.is_none()
}

/// Fires that are made up for come at once, so that what they meet is each other.
fn made_up_for(spec: &Spec) -> Option<Fault> {
    let MisfirePolicy::RunAll { max } = spec.misfire.policy else {
        return None;
    };
    let one_after_the_other =
        "write `overlap = \"queue_all\"` for one after the other, or `\"allow\"` for all at once";
    let (path, message) = match spec.overlap {
        _ if max == 1 => return None,
        OverlapPolicy::Allow => return None,
        OverlapPolicy::QueueAll { max: queue } if queue.saturating_add(1) >= max => return None,
        OverlapPolicy::QueueAll { max: queue } => (
            "schedule.queue_max",
            format!(
                "is {queue}, and `misfire.max` is {max}: of {max} fires that are made up for, {} are skipped; \
                 make it {} or more",
                max - queue - 1,
                max - 1
            ),
        ),
        OverlapPolicy::Skip => (
            "schedule.overlap",
            format!(
                "is \"skip\", also for fires that `misfire` makes up for: they come at once, the first gets a run and \
                 the others are skipped for it; {one_after_the_other}"
            ),
        ),
        OverlapPolicy::QueueOne => (
            "schedule.overlap",
            format!(
                "is \"queue_one\", also for fires that `misfire` makes up for: they come at once, and of those that \
                 wait the newest stays; {one_after_the_other}"
            ),
        ),
        OverlapPolicy::CancelRunning => (
            "schedule.overlap",
            format!(
                "is \"cancel_running\", also for fires that `misfire` makes up for: they come at once, and each ends \
                 the run of the one before; {one_after_the_other}"
            ),
        ),
    };
    Some(Fault::new(path, message))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::job::parse;

    /// 2026-03-01 00:00 UTC.
    const MARCH: UnixMs = UnixMs(1_772_323_200_000);

    fn paths(document: &Value) -> Vec<String> {
        let spec = parse::schedule(document).expect("a schedule");
        let plan = Plan::new(&spec, "nightly", &BTreeMap::new(), MARCH).expect("a plan");
        let all = warnings(&spec, &plan, MARCH);
        all.into_iter().map(|fault| fault.path).collect()
    }

    #[test]
    fn what_is_seldom_meant_is_told_and_what_may_be_is_not() {
        let all = json!({ "policy": "run_all", "max": 3 });
        for (document, path) in [
            (json!({ "every": "1m" }), None),
            (
                json!({ "every": "1m", "misfire": all }),
                Some("schedule.overlap"),
            ),
            (
                json!({ "every": "1m", "misfire": all, "overlap": "queue_one" }),
                Some("schedule.overlap"),
            ),
            (
                json!({ "every": "1m", "misfire": all, "overlap": "cancel_running" }),
                Some("schedule.overlap"),
            ),
            (
                json!({ "every": "1m", "misfire": all, "overlap": "queue_all", "queue_max": 1 }),
                Some("schedule.queue_max"),
            ),
            (
                json!({ "every": "1m", "misfire": all, "overlap": "queue_all", "queue_max": 2 }),
                None,
            ),
            (
                json!({ "every": "1m", "misfire": all, "overlap": "allow" }),
                None,
            ),
            (
                json!({ "every": "1m", "misfire": { "policy": "run_all", "max": 1 } }),
                None,
            ),
            (json!({ "at": "2026-02-28T23:59:59Z" }), Some("schedule")),
            (
                json!({ "at": ["2026-02-28T23:59:59Z", "2026-03-01T00:00:01Z"] }),
                None,
            ),
            (
                json!({ "cron": "@daily", "end": "2026-01-01" }),
                Some("schedule"),
            ),
            (json!({ "after": "1m" }), None),
            (
                json!({ "cron": "@daily", "except": ["12-24/01-06", "11-26/11-24"] }),
                Some("schedule.except"),
            ),
        ] {
            assert_eq!(paths(&document), Vec::from_iter(path), "{document}");
        }
    }
}
