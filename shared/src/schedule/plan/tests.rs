use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::calendar::Calendar;
use super::super::kept::Kept;
use super::super::spec::tests::{CALENDARS, any_spec};
use super::*;
use crate::job::parse;

mod named;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
/// 2026-03-01 00:00 UTC.
const MARCH: UnixMs = UnixMs(1_772_323_200_000);

fn calendars() -> Calendars {
    let documents = [
        json!({ "name": CALENDARS[0], "timezone": "Europe/Berlin", "dates": ["12-24/12-26", "2026-04-03/2026-04-06"] }),
        json!({ "name": CALENDARS[1], "timezone": "Europe/Berlin", "weekdays": ["MON-FRI"], "times": ["09:00-12:00", "13:00-17:00"] }),
        json!({ "name": CALENDARS[2], "timezone": "America/New_York", "times": ["22:00-06:00"] }),
    ];
    let read = documents.map(|document| Calendar::try_from(document).expect("a calendar"));
    CALENDARS
        .iter()
        .map(ToString::to_string)
        .zip(read.map(|calendar| Arc::new(Kept::always(calendar))))
        .collect()
}

fn spec(document: &Value) -> Spec {
    parse::schedule(document).unwrap_or_else(|faults| panic!("{document}: {faults}"))
}

fn plan_of(document: &Value) -> Result<Plan, SpecError> {
    Plan::new(&spec(document), "nightly", &calendars(), MARCH)
}

fn plan(document: &Value) -> Plan {
    plan_of(document).unwrap_or_else(|error| panic!("{document}: {error}"))
}

fn ms(text: &str) -> UnixMs {
    let at: jiff::Timestamp = text.parse().expect(text);
    UnixMs(u64::try_from(at.as_millisecond()).expect("after 1970"))
}

fn times(plan: &Plan, after: UnixMs, count: usize) -> Vec<String> {
    let nominals = plan.nominals_after(after).take(count);
    nominals.map(|nominal| nominal.at.to_the_second()).collect()
}

proptest! {
    #[test]
    fn nominal_times_increase_and_open_before_the_next(spec in any_spec(), after in 0..400 * DAY) {
        let after = UnixMs(MARCH.0 + after);
        let Ok(plan) = Plan::new(&spec, "nightly", &calendars(), MARCH) else { return Ok(()) };
        let all: Vec<Nominal> = plan.nominals_after(after).take(120).collect();
        for nominal in &all {
            prop_assert_eq!(nominal.at.0 % 1_000, 0);
            prop_assert!(nominal.opens_at >= nominal.at);
            let later = nominal.opens_at.0 - nominal.at.0;
            prop_assert!(later <= spec.jitter_ms + spec.spread_ms);
            prop_assert!(plan.end().is_none_or(|end| nominal.at <= end));
            prop_assert!(nominal.at > after && nominal.at >= plan.start);
        }
        for pair in all.windows(2) {
            prop_assert!(pair[0].at < pair[1].at);
            prop_assert!(pair[0].opens_at < pair[1].at);
            // Whoever asks from the middle is told the same.
            let middle = UnixMs(pair[0].at.0.midpoint(pair[1].at.0));
            prop_assert_eq!(plan.next_after(middle), Some(pair[1].clone()));
        }
    }

    #[test]
    fn last_and_tally_and_next_fire_agree_with_counting(
        spec in any_spec(), after in 0..400 * DAY, span in 0..20 * DAY, most in 0..300_u64,
    ) {
        let Ok(plan) = Plan::new(&spec, "nightly", &calendars(), MARCH) else { return Ok(()) };
        let after = UnixMs(MARCH.0 + after);
        let within = plan.nominals_after(after).take(300);
        let mut all: Vec<Nominal> = within.collect();
        // What is beyond the last that was counted is not asked for.
        let until = match all.len() {
            300 => all[299].at.min(UnixMs(after.0 + span)),
            _ => UnixMs(after.0 + span),
        };
        all.retain(|nominal| nominal.at <= until);
        let free: Vec<&Nominal> = all.iter().filter(|nominal| nominal.excluded.is_none()).collect();
        let last = plan.last_until(after, until);
        prop_assert_eq!(last.as_ref(), free.last().copied());
        let next = plan.next_fire_after(after).filter(|next| next.at <= until);
        prop_assert_eq!(next.as_ref(), free.first().copied());
        let tally = plan.tally(after, until, most);
        let counted = &all[..all.len().min(usize::try_from(most).expect("small"))];
        let excluded = counted.iter().filter(|nominal| nominal.excluded.is_some()).count();
        prop_assert_eq!(tally, Tally {
            count: (counted.len() - excluded) as u64,
            excluded: excluded as u64,
            whole: counted.len() == all.len(),
            first: free.first().map(|nominal| nominal.at),
            last: free.last().map(|nominal| nominal.at),
        });
    }
}

#[test]
fn the_last_of_many_is_found_in_few_steps() {
    let asked = Cell::new(0);
    let every = |period: u64, end: u64| {
        asked.set(0);
        let next = |after: UnixMs| {
            asked.set(asked.get() + 1);
            let at = UnixMs((after.0 / period + 1) * period);
            Some(Fire {
                at,
                moved_from: None,
            })
            .filter(|fire| fire.at.0 <= end)
        };
        gallop::last(next, UnixMs(0), UnixMs(end)).map(|fire| fire.at.0)
    };
    let century = 100 * 365 * DAY;
    for period in [1, 1_000, HOUR, 300 * DAY, 90 * 365 * DAY] {
        let last = century / period * period;
        assert_eq!(every(period, century), Some(last), "{period}");
        assert!(asked.get() <= 100, "{} for {period}", asked.get());
    }
    assert_eq!(every(century + 1, century), None);
}

#[test]
fn start_and_end_are_themselves_times_to_fire_at() {
    let daily = json!({
        "cron": "0 6 * * *", "timezone": "Europe/Berlin",
        "start": "2026-12-01T06:00:00", "end": "2026-12-03T06:00:00",
    });
    let plan = plan(&daily);
    assert_eq!(
        times(&plan, UnixMs(0), 10),
        [
            "2026-12-01T05:00:00Z",
            "2026-12-02T05:00:00Z",
            "2026-12-03T05:00:00Z"
        ]
    );
    assert_eq!(plan.end(), Some(ms("2026-12-03T05:00:00Z")));
    assert_eq!(plan.next_after(ms("2026-12-03T05:00:00Z")), None);
}

#[test]
fn a_day_that_ends_a_schedule_is_part_of_it() {
    let hourly = json!({ "every": "8h", "start": "2026-12-01", "end": "2026-12-01" });
    assert_eq!(
        times(&plan(&hourly), UnixMs(0), 10),
        [
            "2026-12-01T00:00:00Z",
            "2026-12-01T08:00:00Z",
            "2026-12-01T16:00:00Z"
        ]
    );
}

#[test]
fn a_cadence_without_a_start_counts_from_when_its_job_was_applied() {
    let spec = spec(&json!({ "every": "15m" }));
    let applied = UnixMs(MARCH.0 + 123_456);
    let plan = Plan::new(&spec, "nightly", &BTreeMap::new(), applied).expect("a plan");
    let first = plan.next_after(applied).map(|next| next.at.0 - MARCH.0);
    assert_eq!(first, Some(123_000 + 15 * 60_000));
}

#[test]
fn times_named_one_by_one_fire_once_each_in_order() {
    let at = json!({
        "at": ["2026-03-29T02:30:00", "2026-03-29T01:00:00Z", "2026-03-28T00:00:00Z", "2026-03-28T01:00:00+01:00"],
        "timezone": "Europe/Berlin",
    });
    let all: Vec<Nominal> = plan(&at).nominals_after(UnixMs(0)).collect();
    let found: Vec<_> = all.iter().map(|next| (next.at, next.moved_from)).collect();
    let wanted = ["2026-03-28T00:00:00Z", "2026-03-29T01:00:00Z"];
    assert_eq!(found, wanted.map(|at| (ms(at), None)));
}

#[test]
fn spread_is_the_jobs_own_and_jitter_the_fires() {
    let openings = |document: &Value, job: &str| -> Vec<u64> {
        let plan = Plan::new(&spec(document), job, &BTreeMap::new(), MARCH).expect("a plan");
        let all = plan.nominals_after(MARCH).take(4);
        all.map(|next| next.opens_at.0 - next.at.0).collect()
    };
    // Other planners, and later versions, have to say the same.
    let spread = json!({ "cron": "@daily", "spread": "1h" });
    assert_eq!(openings(&spread, "nightly"), [SPREAD; 4]);
    assert_ne!(openings(&spread, "daily"), openings(&spread, "nightly"));
    let jitter = json!({ "cron": "@daily", "jitter": "1h" });
    assert_eq!(openings(&jitter, "nightly"), JITTER);
    let both = json!({ "cron": "@daily", "jitter": "1h", "spread": "1h" });
    assert_eq!(
        openings(&both, "nightly"),
        JITTER.map(|jitter| jitter + SPREAD)
    );
}

const SPREAD: u64 = 2_641_038;
const JITTER: [u64; 4] = [3_222_951, 527_325, 769_582, 1_890_505];

#[test]
fn what_would_open_beyond_the_next_time_is_drawn_together_in_proportion() {
    let minutely = json!({ "cron": "* * * * *", "spread": "1h", "jitter": "1h" });
    let openings: Vec<u64> = (0..200)
        .map(|job| {
            let spec = spec(&minutely);
            let job = format!("job-{job}");
            let plan = Plan::new(&spec, &job, &BTreeMap::new(), MARCH).expect("a plan");
            let next = plan.next_after(MARCH).expect("a minute");
            next.opens_at.0 - next.at.0
        })
        .collect();
    assert!(openings.iter().all(|later| *later < 60_000));
    // Not all at the end of their minute.
    for part in 0..4 {
        let within: std::ops::Range<u64> = part * 15_000..(part + 1) * 15_000;
        let there = openings.iter().filter(|later| within.contains(later));
        assert!(there.count() >= 10, "{part}: {openings:?}");
    }
}

#[test]
fn a_schedule_after_the_last_run_counts_from_its_end() {
    let plan = plan(&json!({ "after": "30s", "end": "2026-03-02" }));
    assert_eq!(plan.after(), Some(Duration::from_secs(30)));
    assert_eq!(plan.next_after(UnixMs(0)), None);
    let at = |ended| plan.following(ended).map(|next| next.at.0 - MARCH.0);
    assert_eq!(at(None), Some(0), "at once when it was applied");
    assert_eq!(at(Some(UnixMs(MARCH.0 + 1_001))), Some(32_000));
    assert_eq!(
        at(Some(UnixMs(MARCH.0 + 2 * DAY - 30_000))),
        None,
        "it has ended"
    );
    assert_eq!(plan.following(None).map(|next| next.opens_at), Some(MARCH));
}

#[test]
fn only_a_schedule_after_the_last_run_has_one_that_follows() {
    let plan = plan(&json!({ "every": "15m" }));
    assert_eq!((plan.after(), plan.following(None)), (None, None));
}

#[test]
fn a_run_has_to_be_over_by_the_earlier_of_deadline_and_length() {
    let due = |keys: Value, at: &str| {
        let mut document = json!({ "cron": "@hourly", "timezone": "Europe/Berlin" });
        document
            .as_object_mut()
            .expect("a table")
            .extend(keys.as_object().expect("a table").clone());
        plan(&document).due(ms(at)).map(UnixMs::to_the_second)
    };
    let by_six = json!({ "deadline": "06:00" });
    for (at, over) in [
        ("2026-12-01T01:00:00Z", "2026-12-01T05:00:00Z"),
        ("2026-12-01T05:00:00Z", "2026-12-02T05:00:00Z"),
        ("2026-12-01T23:30:00Z", "2026-12-02T05:00:00Z"),
    ] {
        assert_eq!(due(by_six.clone(), at).as_deref(), Some(over), "{at}");
    }
    let both = json!({ "deadline": "06:00", "finish_within": "3h" });
    let over = due(both.clone(), "2026-12-01T00:00:00Z");
    assert_eq!(over.as_deref(), Some("2026-12-01T03:00:00Z"));
    let over = due(both, "2026-12-01T03:00:00Z");
    assert_eq!(over.as_deref(), Some("2026-12-01T05:00:00Z"));
    assert_eq!(due(json!({}), "2026-12-01T03:00:00Z"), None);
    // Where clocks leave it out, and where they show it twice.
    let half_past_two = json!({ "deadline": "02:30" });
    for (at, over) in [
        ("2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"),
        ("2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"),
        ("2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z"),
        ("2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"),
        ("2026-10-25T02:00:00Z", "2026-10-26T01:30:00Z"),
    ] {
        let found = due(half_past_two.clone(), at);
        assert_eq!(found.as_deref(), Some(over), "{at}");
    }
}

#[test]
fn people_see_the_clocks_of_the_zone_and_what_was_moved_or_taken_out() {
    let plan = plan(&json!({
        "cron": "30 2 * * *", "timezone": "Europe/Berlin", "except": "2026-03-30",
    }));
    let all = plan.nominals_after(ms("2026-03-28T00:00:00Z"));
    let shown: Vec<Wording> = all.take(3).map(|next| plan.shown(&next)).collect();
    let line = |local: &str, utc: &str, note: Option<&str>| Wording {
        local: local.to_owned(),
        utc: utc.to_owned(),
        opens: None,
        note: note.map(str::to_owned),
    };
    assert_eq!(
        shown,
        [
            line(
                "Sat 2026-03-28 02:30:00 +01:00",
                "2026-03-28T01:30:00Z",
                None
            ),
            line(
                "Sun 2026-03-29 03:00:00 +02:00",
                "2026-03-29T01:00:00Z",
                Some("moved from 02:30:00: clocks leave it out")
            ),
            line(
                "Mon 2026-03-30 02:30:00 +02:00",
                "2026-03-30T00:30:00Z",
                Some("taken out: 2026-03-30")
            ),
        ]
    );
}

#[test]
fn people_see_when_a_fire_opens_that_does_not_open_at_its_time() {
    let plan = plan(&json!({
        "cron": ["30 23 * * *", "0 6 * * *"], "timezone": "Europe/Berlin", "spread": "1h",
    }));
    let all = plan.nominals_after(ms("2026-03-01T00:00:00Z")).take(2);
    let (shown, opens): (Vec<Wording>, Vec<UnixMs>) =
        all.map(|next| (plan.shown(&next), next.opens_at)).unzip();
    assert_eq!(
        shown[0].opens.as_deref().map(str::len),
        Some(8),
        "{shown:?}"
    );
    assert_eq!(
        plan.local(opens[0])[15..23],
        shown[0].opens.clone().unwrap_or_default()
    );
    // On another day it says which.
    let late = Nominal {
        at: ms("2026-03-01T22:30:00Z"),
        moved_from: None,
        opens_at: ms("2026-03-01T23:10:00Z"),
        excluded: None,
    };
    assert_eq!(plan.shown(&late).opens.as_deref(), Some("Mon 00:10:00"));
    assert_eq!(
        plan.local_time(late.at).as_deref(),
        Some("Sun 23:30:00 +01:00")
    );
    assert_eq!(
        plan_of(&json!({ "every": "1h" })).map(|plan| plan.local_time(late.at)),
        Ok(None)
    );
    assert!(plan.has(late.at).is_some() && plan.has(UnixMs(late.at.0 + 1_000)).is_none());
}

#[test]
fn a_schedule_that_never_fires_is_none_and_one_that_has_ended_is() {
    for (document, error) in [
        (
            json!({ "cron": "0 12 * * SAT", "only": "office" }),
            SpecError::Barred,
        ),
        (
            json!({ "every": "1h", "only": "office", "except": ["office"] }),
            SpecError::Barred,
        ),
        (
            json!({ "after": "1h", "only": "office", "except": ["office"] }),
            SpecError::Barred,
        ),
    ] {
        assert_eq!(plan_of(&document), Err(error), "{document}");
    }
    let ended = plan(&json!({ "at": "2020-12-01T02:00:00Z" }));
    assert_eq!(ended.next_after(MARCH), None);
    let ended = plan(&json!({ "cron": "0 0 0 1 1 ? 2020" }));
    assert_eq!(ended.next_after(MARCH), None);
}

/// Ten milliseconds. A build without optimisation takes some ten times as long, beside others on a busy machine more.
const IN_MOMENTS_MS: u128 = if cfg!(debug_assertions) { 1_000 } else { 10 };
