//! The parser from outside: whole documents in, jobs or faults out.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::id::{ResourceName, ShareName};
use crate::job::{
    AbortAfter, Allowed, CONCURRENCY_MAX, LimitsSpec, PARAMS_MAX, PagesSpec, Period, Priority, Rate,
};

const FULL: &str = r#"
name = "carrier-delays"
handler = "sql"
queue = "nightly"
[grid]
slices = 16
pages = { probe = true }
tile = 8
[retry]
max_attempts = 5
backoff = { initial = "1s", factor = 2, max = "5m", jitter = 0.2 }
[limits]
timeout = "1h30m"
concurrency = 100
rate = "500/s"
priority = 3
share = "tenant-a"
resource = "warehouse"
[sql]
database = "flights"
statement = "UPDATE flights SET seen = :day WHERE id BETWEEN :page_from AND :page_to AND id % :slices = :slice"
probe = "SELECT min(id), max(id) FROM flights WHERE id % :slices = :slice"
[params]
day = "2013-01-01"
[submit]
allow = ["params.day", "grid"]
"#;

fn paths(faults: &Faults) -> Vec<&str> {
    faults.0.iter().map(|fault| fault.path.as_str()).collect()
}

fn grid_faults(value: impl Borrow<Value>) -> Vec<String> {
    let faults = grid(value).unwrap_err();
    faults.0.into_iter().map(|fault| fault.path).collect()
}

#[test]
fn full_job_file_is_read() {
    let spec = parse(FULL, Format::Toml).unwrap();
    assert_eq!(spec.name.as_str(), "carrier-delays");
    assert_eq!(spec.queue.as_str(), "nightly");
    assert_eq!(spec.grid.pages, PagesSpec::Probe);
    assert_eq!((spec.grid.slices, spec.grid.tile), (16, Some(8)));
    assert_eq!(spec.retry.max_attempts, 5);
    assert_eq!(spec.limits.timeout_ms, Some(5_400_000));
    assert_eq!(spec.limits.concurrency, Some(100));
    assert_eq!(spec.limits.rate, Rate::new(500, Period::Second));
    assert_eq!(spec.limits.priority.get(), 3);
    assert_eq!(spec.limits.share, ShareName::new("tenant-a").ok());
    assert_eq!(spec.limits.resource, ResourceName::new("warehouse").ok());
    assert_eq!(spec.settings["database"], "flights");
    assert_eq!(spec.params, json!({"day": "2013-01-01"}));
    assert_eq!(
        spec.submit.to_string(),
        "allow = [\"grid\", \"params.day\"]"
    );
}

#[test]
fn shortest_job_file_gets_the_defaults() {
    let spec = parse(r#"{"name": "a", "handler": "noop"}"#, Format::Json).unwrap();
    assert_eq!(spec.queue.as_str(), "default");
    assert_eq!(spec.grid, cells::whole());
    assert_eq!(spec.retry, RetrySpec::default());
    assert_eq!(spec.limits, LimitsSpec::default());
    assert_eq!((spec.settings, spec.params), (json!({}), json!({})));
    assert_eq!(spec.submit, SubmitSpec::default());
}

#[test]
fn job_file_with_ten_mistakes_gets_ten_messages() {
    let text = r#"
name = "Carrier Delays"
handlr = "sql"
queue = 7
[grid]
slices = 0
pages = { count = -3 }
tile = 1001
[retry]
max_attempts = "five"
backoff = { initial = "1 second", jitter = 2.0 }
[limits]
timeout = "1ms"
"#;
    let faults = parse(text, Format::Toml).unwrap_err();
    assert_eq!(
        paths(&faults),
        [
            "handlr",
            "name",
            "handler",
            "queue",
            "grid.slices",
            "grid.tile",
            "grid.pages.count",
            "retry.max_attempts",
            "retry.backoff.initial",
            "retry.backoff.jitter",
            "limits.timeout",
        ]
    );
    assert_eq!(faults.to_string().lines().count(), 11);
    assert_eq!(
        faults.0[0].message,
        "is no known key; did you mean `handler`?"
    );
    assert_eq!(
        faults.0[4].to_string(),
        "grid.slices: must be a whole number from 1 to 65536, found 0"
    );
}

#[test]
fn what_this_version_lacks_is_refused_by_name() {
    let text = r#"
name = "a"
handler = "noop"
[grid]
pages = { until_empty = true, ahead = 4 }
"#;
    let faults = parse(text, Format::Toml).unwrap_err();
    let mut found = paths(&faults);
    found.sort_unstable();
    assert_eq!(found, ["grid.pages.ahead", "grid.pages.until_empty"]);
    for fault in &faults.0 {
        assert!(fault.message.contains("leave it out"), "{fault}");
    }
}

#[test]
fn dead_shards_that_end_a_run_are_a_number_or_a_share() {
    let limits = |abort: &str| {
        let text = format!("name = \"a\"\nhandler = \"noop\"\n[limits]\nabort_after = {abort}");
        parse(&text, Format::Toml).map(|spec| spec.limits.abort_after)
    };
    assert_eq!(limits("{ dead = 100 }"), Ok(Some(AbortAfter::Dead(100))));
    assert_eq!(
        limits("{ dead_percent = 1.5 }"),
        Ok(Some(AbortAfter::DeadPercent(1.5)))
    );
    assert_eq!(limits("false"), Ok(Some(AbortAfter::Never)));
    for (bad, path) in [
        ("{ dead = 0 }", "limits.abort_after.dead"),
        ("{ dead_percent = 101 }", "limits.abort_after.dead_percent"),
        ("{ dead_percent = 0 }", "limits.abort_after.dead_percent"),
        ("{ dead = 1, dead_percent = 1 }", "limits.abort_after"),
        ("{ }", "limits.abort_after"),
        ("{ alive = 1 }", "limits.abort_after.alive"),
        ("7", "limits.abort_after"),
        ("true", "limits.abort_after"),
    ] {
        let faults = limits(bad).unwrap_err();
        assert_eq!(paths(&faults).first(), Some(&path), "{bad}");
    }
}

#[test]
fn each_limit_out_of_its_bounds_is_refused_with_what_it_must_be() {
    let limits = |line: &str| {
        let text = format!("name = \"a\"\nhandler = \"noop\"\n[limits]\n{line}");
        parse(&text, Format::Toml).map(|spec| spec.limits)
    };
    for (bad, key, must) in [
        ("concurrency = 0", "concurrency", "a whole number from 1 to"),
        ("concurrency = 1000001", "concurrency", "a whole number"),
        ("concurrency = \"all\"", "concurrency", "a whole number"),
        ("rate = 500", "rate", "\"500/s\""),
        ("rate = \"0/s\"", "rate", "from 1 to"),
        ("rate = \"-5/m\"", "rate", "from 1 to"),
        ("rate = \"5/day\"", "rate", "\"10/h\""),
        ("rate = \"2000000000/h\"", "rate", "from 1 to 1000000000"),
        ("priority = 10", "priority", "a whole number from 0 to 9"),
        ("priority = -1", "priority", "a whole number from 0 to 9"),
        ("share = \"\"", "share", "1 to 48 of a-z"),
        ("share = \"Tenant A\"", "share", "1 to 48 of a-z"),
        ("resource = \"*\"", "resource", "1 to 48 of a-z"),
        ("rat = \"1/s\"", "rat", "did you mean `rate`?"),
    ] {
        let faults = limits(bad).unwrap_err();
        assert_eq!(paths(&faults), [format!("limits.{key}")], "{bad}");
        assert!(faults.0[0].message.contains(must), "{bad}: {faults}");
    }
    assert_eq!(
        limits("priority = 0").map(|limits| limits.priority.get()),
        Ok(0)
    );
    let edge = limits("concurrency = 1000000").map(|limits| limits.concurrency);
    assert_eq!(edge, Ok(Some(CONCURRENCY_MAX)));
}

#[test]
fn rows_are_spread_evenly_or_said_for_each_slice() {
    let rows = |value| match grid(&value).map(|grid| grid.pages) {
        Ok(PagesSpec::Rows { rows, .. }) => rows,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        rows(json!({"slices": 3, "pages": {"rows": 8, "page_size": 2}})),
        [3, 3, 2]
    );
    assert_eq!(
        rows(json!({"slices": 2, "pages": {"rows": [5, 0], "page_size": 2}})),
        [5, 0]
    );
    let short = json!({"slices": 3, "pages": {"rows": [5, 0], "page_size": 2}});
    assert_eq!(grid_faults(short), ["grid.pages.rows"]);
    let wrong = json!({"slices": 2, "pages": {"rows": [5, "x"]}});
    assert_eq!(
        grid_faults(wrong),
        ["grid.pages.rows[1]", "grid.pages.page_size"]
    );
}

#[test]
fn grid_says_exactly_one_kind_of_pages() {
    for pages in [
        json!({}),
        json!(100),
        json!(null),
        json!({"count": 1, "probe": true}),
        json!({"rows": 1, "page_size": 1, "probe": true}),
        json!({"count": 1, "rows": 1}),
    ] {
        assert_eq!(grid_faults(json!({ "pages": pages })), ["grid.pages"]);
    }
    let off = json!({"pages": {"probe": false}});
    assert_eq!(grid_faults(off), ["grid.pages.probe"]);
}

#[test]
fn grids_too_large_to_number_are_refused() {
    let long = json!({"pages": {"rows": ROWS_MAX, "page_size": 1}});
    assert_eq!(grid_faults(long), ["grid.pages.page_size"]);
    let wide = json!({"slices": 65_536, "pages": {"count": 1_u64 << 31}});
    assert_eq!(grid_faults(wide), ["grid"]);
    let heavy =
        json!({"slices": 2, "pages": {"rows": [ROWS_MAX, ROWS_MAX], "page_size": ROWS_MAX}});
    assert_eq!(grid_faults(heavy), ["grid.pages.rows"]);
    let edge = json!({"slices": 1, "pages": {"count": 1_u64 << 31}});
    assert!(grid(&edge).is_ok());
}

#[test]
fn params_are_a_table_of_bounded_size_and_depth() {
    assert!(params(json!([])).is_err());
    assert!(params(json!({"a": "x".repeat(PARAMS_MAX - 8)})).is_ok());
    assert!(params(json!({"a": "x".repeat(PARAMS_MAX - 7)})).is_err());
    let nested = |levels| (1..levels).fold(json!({}), |inner, _| json!({ "a": inner }));
    assert!(params(nested(32)).is_ok());
    assert!(params(nested(33)).is_err());
}

#[test]
fn longest_wait_may_not_be_shorter_than_the_first() {
    let job =
        |backoff| from_value(json!({"name": "a", "handler": "b", "retry": {"backoff": backoff}}));
    let faults = job(json!({"initial": "10s", "max": "5s"})).unwrap_err();
    assert_eq!(paths(&faults), ["retry.backoff.max"]);
    let spec = job(json!({"initial": "10m"})).unwrap();
    assert_eq!(spec.retry.backoff.max_ms, 600_000);
}

#[test]
fn documents_that_are_no_tables_have_one_fault() {
    for document in [json!(null), json!(7), json!("name"), json!([{}])] {
        assert_eq!(from_value(document).unwrap_err().0.len(), 1);
    }
}

#[test]
fn job_written_as_toml_is_read_back() {
    let mut spec = parse(FULL, Format::Toml).unwrap();
    spec.settings = json!({"database": "d", "statement": ["a :slice", "b :page_to, :table, :first"], "probe": "c", "key": "text"});
    spec.params = json!({"table": {"list": [1, {"deep": true}]}, "first": 1.5});
    let text = to_toml(&spec).unwrap();
    assert_eq!(parse(&text, Format::Toml), Ok(spec.clone()));
    // Rust writes the other one of its two shortest texts, which would be refused.
    spec.params = json!({"first": [1.25, -1688268078990093.2]});
    assert_eq!(to_toml(&spec), None);
    spec.params = json!({"first": null});
    assert_eq!(to_toml(&spec), None);
}

mod documented;
mod places;
mod settings;

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "(1s|5m|0ms|7/h|[0-9]{0,22}(ms|[smhd])|\\PC{0,6})".prop_map(Value::from),
    ];
    let key = prop_oneof![
        proptest::sample::select(vec![
            "name",
            "handler",
            "queue",
            "grid",
            "slices",
            "pages",
            "count",
            "rows",
            "page_size",
            "probe",
            "tile",
            "retry",
            "backoff",
            "initial",
            "max",
            "factor",
            "jitter",
            "limits",
            "timeout",
            "concurrency",
            "rate",
            "priority",
            "share",
            "resource",
            "params",
            "submit",
            "allow",
            "handler",
            "sql",
            "exec",
            "http",
            "url",
            "schedule",
            "until_empty",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,8}",
    ];
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((key.clone(), inner), 0..8)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn any_limits() -> impl Strategy<Value = LimitsSpec> {
    let abort = prop_oneof![
        (1..1_u64 << 40).prop_map(AbortAfter::Dead),
        (0.001..=100.0).prop_map(AbortAfter::DeadPercent),
        Just(AbortAfter::Never),
    ];
    let period = prop_oneof![
        Just(Period::Second),
        Just(Period::Minute),
        Just(Period::Hour)
    ];
    let rate = (1..=1_000_000_000_u32, period)
        .prop_map(|(count, period)| Rate::new(count, period).unwrap());
    let name = "[a-z0-9][a-z0-9-]{0,47}";
    (
        proptest::option::of(10..2_592_000_000_u64),
        proptest::option::of(abort),
        proptest::option::of(1..=CONCURRENCY_MAX),
        proptest::option::of(rate),
        0..=9_u8,
        proptest::option::of((name, name)),
    )
        .prop_map(
            |(timeout_ms, abort_after, concurrency, rate, priority, names)| LimitsSpec {
                timeout_ms,
                abort_after,
                concurrency,
                rate,
                priority: Priority::new(priority).unwrap(),
                share: names.clone().map(|(name, _)| ShareName::new(name).unwrap()),
                resource: names.map(|(_, name)| ResourceName::new(name).unwrap()),
            },
        )
}

fn any_spec() -> impl Strategy<Value = JobSpec> {
    let pages = |slices: u32| {
        prop_oneof![
            (1..=1_u32 << 31).prop_map(|count| PagesSpec::Count {
                count: count >> 8 | 1
            }),
            (
                proptest::collection::vec(0..1_u64 << 30, slices as usize),
                1..10_000_u64
            )
                .prop_map(|(rows, page_size)| PagesSpec::Rows { rows, page_size }),
            Just(PagesSpec::Probe),
        ]
    };
    let grid =
        (1..40_u32, proptest::option::of(1..=1_000_u32)).prop_flat_map(move |(slices, tile)| {
            pages(slices).prop_map(move |pages| GridSpec {
                slices,
                pages,
                tile,
            })
        });
    let waits = (0..600_000_000_u64, 0..1_000_u64, 1.0..100.0, 0.0..=1.0);
    let allowed = prop_oneof![
        Just(Allowed::Params),
        Just(Allowed::Grid),
        "[^.]{1,20}".prop_map(Allowed::Param),
    ];
    let submit =
        proptest::collection::btree_set(allowed, 0..4).prop_map(|allow| SubmitSpec { allow });
    let text = ("[a-z0-9][a-z0-9-]{0,47}", any_json(), submit);
    (grid, waits, any_limits(), 1..=100_u32, text).prop_map(
        |(
            grid,
            (initial_ms, more_ms, factor, jitter),
            limits,
            max_attempts,
            (name, inner, submit),
        )| {
            JobSpec {
                name: JobName::new(name.as_str()).unwrap(),
                handler: HandlerName::new(format!("x{}", name.get(1..).unwrap())).unwrap(),
                queue: QueueName::new(name).unwrap(),
                grid,
                retry: RetrySpec {
                    max_attempts,
                    backoff: Backoff {
                        initial_ms,
                        factor,
                        max_ms: initial_ms + more_ms,
                        jitter,
                    },
                },
                limits,
                settings: json!({ "told": inner }),
                params: json!({ "inner": inner }),
                submit,
                schedule: None,
            }
        },
    )
}

proptest! {
    #[test]
    fn any_json_value_is_answered(value in any_json()) {
        if let Err(faults) = from_value(value.clone()) {
            prop_assert!(!faults.0.is_empty());
        }
        if let Err(faults) = grid(&value) {
            prop_assert!(!faults.0.is_empty());
        }
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}") {
        prop_assert!(parse(&text, Format::Json).is_err());
        let _ = parse(&text, Format::Toml);
    }

    #[test]
    fn any_job_that_is_written_is_read_back(spec in any_spec()) {
        prop_assert_eq!(from_value(to_value(&spec)), Ok(spec.clone()));
        if let Some(text) = to_toml(&spec) {
            prop_assert_eq!(parse(&text, Format::Toml), Ok(spec));
        }
    }
}
