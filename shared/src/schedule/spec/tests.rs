use proptest::prelude::*;

use crate::limits::FIRES_KEPT_MAX;
use proptest::{collection, option, sample};

use super::*;
use crate::wire::{decode_any, encode_any};

/// Schedules of all kinds, as `[schedule]` may say them. They name the calendars of [`CALENDARS`].
pub(crate) fn any_spec() -> impl Strategy<Value = Spec> {
    let bounds = (option::of(moment()), option::of(moment()), 0..4_u8);
    let days = (
        collection::vec(days(), 0..3),
        collection::vec(days(), 0..3),
        0..3_u8,
    );
    let later = (option::of(1..7_200_000_u64), option::of(1..7_200_000_u64));
    let policies = (overlap(), misfire(), option::of(1..1_000_u32));
    let due = (option::of(time()), option::of(1_000..90_000_000_u64));
    (
        when_and_dst(),
        timezone(),
        bounds,
        days,
        later,
        policies,
        due,
    )
        .prop_map(
            |((when, dst), timezone, bounds, days, later, policies, due)| {
                let (start, end, bounded) = bounds;
                let (only, except, bound) = days;
                Spec {
                    timezone,
                    start: start.filter(|_| bounded == 0),
                    end: end.filter(|_| bounded == 1),
                    max_fires: policies.2.map(u64::from),
                    only: if bound == 0 { only } else { Vec::new() },
                    except: if bound == 1 { except } else { Vec::new() },
                    jitter_ms: later.0.unwrap_or_default(),
                    spread_ms: later.1.unwrap_or_default(),
                    dst,
                    overlap: policies.0,
                    misfire: policies.1,
                    pause_after_failures: policies.2,
                    deadline: due.0,
                    finish_within_ms: due.1,
                    ..Spec::new(when)
                }
            },
        )
}

/// Names that [`any_spec`] may use.
pub(crate) const CALENDARS: [&str; 3] = ["holidays", "office", "night"];

fn timezone() -> impl Strategy<Value = Option<String>> {
    let zones = ["Europe/Berlin", "Australia/Lord_Howe", "+05:30"];
    option::of(sample::select(zones.to_vec()).prop_map(str::to_owned))
}

fn when_and_dst() -> impl Strategy<Value = (When, Dst)> {
    let gap = option::of(sample::select(vec![Gap::Skip, Gap::After]));
    let overlap = vec![Overlap::First, Overlap::Second, Overlap::Both];
    let dst = (gap, option::of(sample::select(overlap)));
    let dst = dst.prop_map(|(gap, overlap)| Dst { gap, overlap });
    let crons = vec![
        "0 6 * * MON-FRI",
        "*/5 * * * *",
        "30 2 * * *",
        "0 0 1 * *",
        "0 0 12 ? * 6L",
        "0 0 29 2 *",
        "* * * * * ?",
        "0 0 0 1 1 ? 2026-2030",
        "@hourly",
    ];
    let crons = sample::subsequence(crons, 1..=3);
    let cron = crons.prop_map(|crons| When::Cron {
        expressions: crons.into_iter().map(str::to_owned).collect(),
        dialect: None,
    });
    let at = collection::vec(moment(), 1..5);
    let at = at.prop_map(|all| When::At(all.into_iter().filter(|at| !is_day(at)).collect()));
    let at = at.prop_filter("a time", |when| *when != When::At(Vec::new()));
    let seconds = || (1..100_000_u64).prop_map(|seconds| seconds * 1_000);
    prop_oneof![
        4 => (prop_oneof![3 => cron, 1 => at], dst),
        1 => seconds().prop_map(|period_ms| (When::Every { period_ms }, Dst::default())),
        1 => seconds().prop_map(|wait_ms| (When::After { wait_ms }, Dst::default())),
    ]
}

fn is_day(moment: &Moment) -> bool {
    matches!(moment, Moment::Day(_))
}

fn moment() -> impl Strategy<Value = Moment> {
    let texts = [
        "2026-03-29T02:30:00",
        "2026-10-25T02:30:00",
        "2026-06-01T00:00:00Z",
        "2027-01-01T00:00:01+05:30",
        "2026-12-01",
    ];
    sample::select(texts.to_vec()).prop_map(|text| text.parse().expect(text))
}

fn days() -> impl Strategy<Value = Days> {
    let named = sample::select(CALENDARS.to_vec())
        .prop_map(|name| Days::Calendar(CalendarName::new(name).expect(name)));
    let dates = ["2026-06-01/2026-07-15", "12-24/01-06", "2026-03-29"];
    let dates =
        sample::select(dates.to_vec()).prop_map(|text| Days::Dates(text.parse().expect(text)));
    prop_oneof![named, dates]
}

fn overlap() -> impl Strategy<Value = OverlapPolicy> {
    prop_oneof![
        Just(OverlapPolicy::Skip),
        Just(OverlapPolicy::QueueOne),
        (1..=FIRES_KEPT_MAX).prop_map(|max| OverlapPolicy::QueueAll { max }),
        Just(OverlapPolicy::CancelRunning),
        Just(OverlapPolicy::Allow),
    ]
}

fn misfire() -> impl Strategy<Value = Misfire> {
    let policy = prop_oneof![
        Just(MisfirePolicy::Skip),
        Just(MisfirePolicy::RunOnce),
        (1..=FIRES_KEPT_MAX).prop_map(|max| MisfirePolicy::RunAll { max }),
    ];
    (policy, 10_000..1_000_000_u64).prop_map(|(policy, window_ms)| Misfire {
        policy,
        // A window says nothing where nothing is made up for.
        window_ms: if policy == MisfirePolicy::Skip {
            WINDOW_DEFAULT_MS
        } else {
            window_ms
        },
    })
}

fn time() -> impl Strategy<Value = Time> {
    sample::select(vec!["06:00", "23:59:59", "02:30"])
        .prop_map(|text| crate::schedule::moment::time(text).expect(text))
}

proptest! {
    #[test]
    fn a_schedule_is_read_back_from_a_record_as_it_was(spec in any_spec()) {
        let bytes = encode_any(&spec, &mut bytes::BytesMut::new());
        prop_assert_eq!(decode_any::<Spec>(&bytes), Ok(spec.clone()));
        let json = serde_json::to_string(&spec).expect("plain data");
        prop_assert_eq!(serde_json::from_str::<Spec>(&json).expect(&json), spec);
    }

    #[test]
    fn a_schedule_is_read_back_from_toml_as_it_was(spec in any_spec()) {
        let toml = toml::to_string(&spec).expect("no nulls");
        prop_assert_eq!(toml::from_str::<Spec>(&toml).expect(&toml), spec);
    }
}

#[test]
fn what_is_as_usual_is_not_written() {
    let spec = Spec::new(When::Every { period_ms: 900_000 });
    assert_eq!(Value::from(spec), json!({ "every": "15m" }));
    let crons = ["@daily", "@hourly"].map(str::to_owned).to_vec();
    let spec = Spec::new(When::Cron {
        expressions: crons,
        dialect: Some(Dialect::Unix),
    });
    let written = json!({ "cron": ["@daily", "@hourly"], "dialect": "unix" });
    assert_eq!(Value::from(spec), written);
}

#[test]
fn a_record_of_a_schedule_that_cannot_be_is_refused() {
    for bad in [
        json!({ "cron": "nonsense" }),
        json!({ "every": "15m", "colour": "blue" }),
        json!({ "every": "0s" }),
        json!([]),
    ] {
        assert!(
            serde_json::from_value::<Spec>(bad.clone()).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn a_schedule_reads_as_people_would_say_it() {
    for (document, words) in [
        (
            json!({ "cron": "0 6 * * MON-FRI", "timezone": "Europe/Berlin" }),
            "at 06:00, on Monday to Friday (Europe/Berlin)",
        ),
        (
            json!({ "cron": ["0 6 * * *", "0 0 1 * *"], "except": "holidays-de", "jitter": "5m", "spread": "1h" }),
            "at 06:00; and at 00:00, on day 1 of the month (UTC), except on holidays-de, later by up to 1h5m",
        ),
        (
            json!({ "every": "15m", "start": "2026-12-01", "end": "2026-12-31", "max_fires": 1 }),
            "every 15m, from 2026-12-01, until 2026-12-31, at most 1 time",
        ),
        (
            json!({ "at": ["2026-12-01T02:00:00Z", "2026-12-02T02:00:00"], "only": ["office", "12-01"] }),
            "at 2026-12-01T02:00:00Z, 2026-12-02T02:00:00 (UTC), only on office, 12-01",
        ),
        (
            json!({ "after": "30s" }),
            "30s after the end of the last run",
        ),
    ] {
        let spec = crate::job::parse::schedule(&document).expect(words);
        assert_eq!(spec.words(), words);
    }
    let many: Vec<String> = (10..20)
        .map(|day| format!("2026-12-{day}T00:00:00Z"))
        .collect();
    let spec = crate::job::parse::schedule(&json!({ "at": many })).expect("times");
    assert!(spec.words().ends_with(", 5 more (UTC)"), "{}", spec.words());
}
