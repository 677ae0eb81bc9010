use std::time::Instant;

use serde_json::json;

use super::super::{Format, syntax};
use super::*;

fn toml(text: &str) -> Result<Spec, Faults> {
    let document = syntax::read(text, Format::Toml)?;
    schedule(&document["schedule"])
}

#[test]
fn each_key_of_the_table_says_what_it_says() {
    let spec = toml(
        r#"
[schedule]
cron = ["0 0 2 * * ?", "0 30 14 ? * 6#3"]
dialect = "quartz"
timezone = "Europe/Paris"
start = "2026-12-01"
end = "2027-12-01T02:00:00Z"
max_fires = 100
only = "office"
except = ["holidays-de", "2026-12-24/2026-12-26", "01-01"]
jitter = "30s"
spread = "10m"
dst = { gap = "skip", overlap = "both" }
overlap = "queue_all"
queue_max = 7
misfire = { policy = "run_all", window = "6h", max = 24 }
pause_after_failures = 3
deadline = "06:00"
finish_within = "3h"
"#,
    );
    let name = |text| Days::Calendar(CalendarName::new(text).expect(text));
    let dates = |text: &str| Days::Dates(text.parse().expect(text));
    let wanted = Spec {
        timezone: Some("Europe/Paris".to_owned()),
        start: Some("2026-12-01".parse().expect("a day")),
        end: Some("2027-12-01T02:00:00Z".parse().expect("an instant")),
        max_fires: Some(100),
        only: vec![name("office")],
        except: vec![
            name("holidays-de"),
            dates("2026-12-24/2026-12-26"),
            dates("01-01"),
        ],
        jitter_ms: 30_000,
        spread_ms: 600_000,
        dst: Dst {
            gap: Some(crate::schedule::Gap::Skip),
            overlap: Some(crate::schedule::Overlap::Both),
        },
        overlap: OverlapPolicy::QueueAll { max: 7 },
        misfire: Misfire {
            policy: MisfirePolicy::RunAll { max: 24 },
            window_ms: 6 * 3_600_000,
        },
        pause_after_failures: Some(3),
        deadline: moment::time("06:00"),
        finish_within_ms: Some(3 * 3_600_000),
        ..Spec::new(When::Cron {
            expressions: vec!["0 0 2 * * ?".to_owned(), "0 30 14 ? * 6#3".to_owned()],
            dialect: Some(Dialect::Quartz),
        })
    };
    assert_eq!(spec, Ok(wanted));
}

#[test]
fn each_policy_is_chosen_by_its_word_and_one_is_usual() {
    let usual = schedule(&json!({ "every": "15m" })).expect("a schedule");
    assert_eq!(usual.overlap, OverlapPolicy::Skip);
    let day = Misfire {
        policy: MisfirePolicy::RunOnce,
        window_ms: 24 * 3_600_000,
    };
    assert_eq!(usual.misfire, day);
    for (word, policy) in OVERLAP_POLICIES {
        let spec = schedule(&json!({ "every": "15m", "overlap": word })).expect(word);
        assert_eq!((spec.overlap, spec.overlap.as_str()), (*policy, *word));
    }
    for (word, policy) in MISFIRE_POLICIES {
        let spec = schedule(&json!({ "every": "15m", "misfire": { "policy": word } }));
        let misfire = spec.expect(word).misfire;
        assert_eq!((misfire.policy, misfire.policy.as_str()), (*policy, *word));
        assert_eq!(misfire.window_ms, day.window_ms);
    }
}

#[test]
fn each_fault_is_told_with_its_key_and_what_to_change() {
    for (document, wanted) in table(FAULTS) {
        let faults = schedule(&document).expect_err(wanted);
        assert_eq!(faults.to_string(), wanted, "{document}");
    }
}

/// A table that says nothing wrong but one thing, and what is told of it.
const FAULTS: &str = include_str!("faults.txt");

fn table(text: &str) -> impl Iterator<Item = (Value, &str)> {
    text.split("\n\n").map(|entry| {
        let (document, told) = entry.trim_end().split_once('\n').expect("two lines");
        (serde_json::from_str(document).expect(document), told)
    })
}

#[test]
fn all_faults_are_told_at_once() {
    let faults = schedule(&json!({
        "cron": ["nonsense", "@daily"], "timezone": "Mars", "start": 1, "only": [], "jitter": "x",
        "overlap": 1, "misfire": { "policy": "never", "max": 0 }, "deadline": "x", "more": true,
    }));
    let faults = faults.expect_err("faults");
    let paths: Vec<&str> = faults.0.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "schedule.more",
            "schedule.cron[0]",
            "schedule.timezone",
            "schedule.start",
            "schedule.only",
            "schedule.jitter",
            "schedule.overlap",
            "schedule.misfire.policy",
            "schedule.misfire.max",
            "schedule.deadline",
        ]
    );
}

#[test]
fn what_is_bounded_holds_its_bound_and_not_one_more() {
    let list = |key: &str, one: &str, count: usize| {
        let mut document = json!({ "every": "15m" });
        if key == "cron" || key == "at" {
            document = json!({});
        }
        document[key] = json!(vec![one; count]);
        schedule(&document).is_ok()
    };
    for (key, one, most) in [
        ("cron", "@daily", CRON_LIST_MAX),
        ("at", "2026-12-01T02:00:00Z", AT_LIST_MAX),
        ("only", "2026-12-01", DAYS_LIST_MAX),
        ("except", "2026-12-01", DAYS_LIST_MAX),
    ] {
        assert!(list(key, one, most), "{key}");
        assert!(!list(key, one, most + 1), "{key}");
    }
}

#[test]
fn schedule_is_no_larger_than_a_record_of_its_fires_bears() {
    let of = |expressions: usize| {
        let long: Vec<String> = (0..60).map(|minute| minute.to_string()).collect();
        let one = format!("{} 2 * * *", long.join(","));
        schedule(&json!({ "cron": vec![one; expressions] }))
    };
    assert!(of(64).is_ok(), "each of the minutes, in each of them");
    let years: Vec<String> = (2026..2090).map(|year| year.to_string()).collect();
    let seconds: Vec<String> = (0..60).map(|second| second.to_string()).collect();
    let one = format!("{0} {0} 2 1 * ? {1}", seconds.join(","), years.join(","));
    let large = json!({ "cron": vec![one; 64] });
    let faults = schedule(&large).expect_err("too large");
    assert_eq!(faults.0[0].path, "schedule");
    // One that stands there already is read.
    assert!(Spec::try_from(large).is_ok());
}

/// Ten milliseconds. A build without optimisation takes some ten times as long, beside others on a busy machine more.
const IN_MOMENTS_MS: u128 = if cfg!(debug_assertions) { 1_000 } else { 10 };

#[test]
fn hostile_tables_are_refused_in_moments() {
    let long = "*/1,".repeat(15_000);
    for document in [
        json!({ "cron": long }),
        json!({ "cron": vec!["* * * * *"; 100_000] }),
        json!({ "at": "9".repeat(60 * 1_024) }),
        json!({ "every": "9".repeat(60 * 1_024) + "s" }),
        json!({ "every": "15m", "except": "12-24/".repeat(10_000) }),
        json!({ "every": "15m", "timezone": "../".repeat(10_000) }),
        json!({ "every": "15m", "max_fires": 1e300 }),
        json!({ "cron": "0 0 0 29 2 ?", "except": "02-01/03-01" }),
    ] {
        let quick = (0..20).any(|_| {
            let began = Instant::now();
            assert!(schedule(&document).is_err());
            began.elapsed().as_millis() < IN_MOMENTS_MS
        });
        assert!(quick, "{}", document.to_string().split_at(30).0);
    }
}
