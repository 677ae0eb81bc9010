//! docs/SCHEDULES.md says what the parser does: each key, its default, both ends of its bounds, each example.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::super::{Format, syntax};
use super::*;
use crate::duration::write_duration;
use crate::schedule::Calendar;

const PAGE: &str = include_str!("../../../../../docs/SCHEDULES.md");

fn examples() -> impl Iterator<Item = &'static str> {
    let blocks = PAGE.split("```toml\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap_or_default())
}

#[test]
fn each_example_of_the_page_is_what_it_says() {
    let (mut schedules, mut calendars) = (0, 0);
    for text in examples() {
        if text.contains("[schedule]") {
            let document = syntax::read(text, Format::Toml).expect(text);
            let spec = schedule(&document["schedule"]).expect(text);
            let words = text.lines().next().and_then(|line| line.strip_prefix("# "));
            assert_eq!(Some(spec.words().as_str()), words);
            schedules += 1;
        } else {
            Calendar::parse(text, Format::Toml).expect(text);
            calendars += 1;
        }
    }
    assert_eq!((schedules, calendars), (3, 2));
}

/// The rows of the table of keys: default and bounds.
fn rows() -> BTreeMap<&'static str, (&'static str, &'static str)> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    cells
        .filter(|cells| cells.len() == 6)
        .map(|cells| (cells[1].trim_matches('`'), (cells[2], cells[3])))
        .collect()
}

#[test]
fn the_page_has_each_key_and_no_other() {
    let below = |table: &str, keys: &[&str]| -> Vec<String> {
        keys.iter().map(|key| format!("{table}.{key}")).collect()
    };
    let plain = SCHEDULE.iter().map(|(key, _)| key);
    let plain = plain.filter(|key| !["dst", "misfire"].contains(key));
    let mut known: BTreeSet<String> = plain.map(ToString::to_string).collect();
    known.extend(below("dst", DST_KEYS));
    known.extend(below("misfire", MISFIRE_KEYS));
    let said: BTreeSet<String> = rows().keys().map(ToString::to_string).collect();
    assert_eq!(said, known);
}

#[test]
fn the_page_says_the_bounds_of_the_parser() {
    let span = |from: Duration, to: Duration| {
        let written =
            |span: Duration| write_duration(u64::try_from(span.as_millis()).expect("a bound"));
        format!("{} to {}", written(from), written(to))
    };
    let entries = |most: usize| format!("1 to {most} entries");
    let wanted = [
        ("cron", entries(CRON_LIST_MAX)),
        ("every", span(EVERY_MIN, EVERY_MAX)),
        ("at", entries(AT_LIST_MAX)),
        ("after", span(EVERY_MIN, EVERY_MAX)),
        ("max_fires", format!("1 to {MAX_FIRES_MAX}")),
        ("only", entries(DAYS_LIST_MAX)),
        ("except", entries(DAYS_LIST_MAX)),
        ("jitter", span(Duration::ZERO, SPREAD_MAX)),
        ("spread", span(Duration::ZERO, SPREAD_MAX)),
        ("queue_max", format!("1 to {FIRES_KEPT_MAX}")),
        ("misfire.window", span(WINDOW_MIN, WINDOW_MAX)),
        ("misfire.max", format!("1 to {FIRES_KEPT_MAX}")),
        ("pause_after_failures", format!("1 to {PAUSE_AFTER_MAX}")),
        ("finish_within", span(EVERY_MIN, TIMEOUT_MAX)),
    ];
    let bounds = rows().into_iter().map(|(key, (_, bounds))| (key, bounds));
    let said: BTreeMap<&str, String> = bounds
        .filter(|(_, bounds)| !bounds.is_empty())
        .map(|(key, bounds)| (key, bounds.to_owned()))
        .collect();
    assert_eq!(said, BTreeMap::from(wanted));
}

#[test]
fn the_page_says_the_defaults_of_the_parser() {
    let usual = schedule(&json!({ "every": "15m" })).expect("a schedule");
    let all = schedule(&json!({
        "every": "15m", "overlap": "queue_all", "misfire": { "policy": "run_all" },
    }));
    let all = all.expect("a schedule");
    let OverlapPolicy::QueueAll { max: queue_max } = all.overlap else {
        panic!("{all:?}");
    };
    let MisfirePolicy::RunAll { max } = all.misfire.policy else {
        panic!("{all:?}");
    };
    for (key, default) in [
        ("overlap", usual.overlap.as_str().to_owned()),
        ("queue_max", queue_max.to_string()),
        ("misfire.policy", usual.misfire.policy.as_str().to_owned()),
        ("misfire.window", write_duration(usual.misfire.window_ms)),
        ("misfire.max", max.to_string()),
        ("jitter", write_duration(usual.jitter_ms)),
        ("spread", write_duration(usual.spread_ms)),
    ] {
        assert_eq!(rows()[key].0.trim_matches('`'), default, "{key}");
    }
}
