//! docs/JOBS.md says what the parser does: each key, its default, both ends of its bounds. And every job file of every
//! page parses.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::*;
use crate::job::parse::{cells, limits, settings, submit};
use crate::job::{ALLOWED_MAX, PAGES_MAX, PARAM_NAME_MAX, PARAMS_DEPTH, SETTINGS_MAX};

const PAGE: &str = include_str!("../../../../../docs/JOBS.md");

/// What a row of a table says of a key.
struct Row {
    kind: &'static str,
    default: &'static str,
    bounds: &'static str,
}

/// The rows of all tables, by the paths of their keys.
fn rows() -> BTreeMap<&'static str, Row> {
    let mut rows = BTreeMap::new();
    for line in PAGE.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, key, kind, default, bounds, _meaning, _] = cells[..] else {
            panic!("not five cells: {line}");
        };
        let row = Row {
            kind,
            default: default.trim_matches('`'),
            bounds,
        };
        assert!(
            rows.insert(key.trim_matches('`'), row).is_none(),
            "{key} twice"
        );
    }
    rows
}

/// The keys that the parser knows.
fn known() -> BTreeSet<String> {
    let below = |table: &'static str, keys: &'static [&'static str]| {
        keys.iter().map(move |key| format!("{table}.{key}"))
    };
    let mut keys: BTreeSet<String> = SECTIONS.iter().map(|key| (*key).to_owned()).collect();
    keys.extend(below("grid", cells::KEYS));
    keys.extend(below("grid.pages", cells::PAGE_KEYS));
    keys.extend(below("retry", RETRY_KEYS));
    keys.extend(below("retry.backoff", BACKOFF_KEYS));
    keys.extend(below("limits", limits::KEYS));
    keys.extend(below("limits.abort_after", limits::ABORT_KEYS));
    keys.extend(below("submit", submit::KEYS));
    for (handler, settings) in settings::BUILT_IN {
        let own = settings.iter();
        keys.extend(own.map(|setting| format!("{handler}.{}", setting.key)));
    }
    keys
}

/// The smallest job in which `key` may stand.
fn around(key: &str) -> Value {
    match key {
        "grid.pages.rows" => job_with("grid.pages", json!({"page_size": ROWS_MAX})),
        "grid.pages.page_size" => job_with("grid.pages", json!({"rows": 1})),
        "retry.backoff.max" => job_with("retry.backoff", json!({"initial": "0s"})),
        "sql.statement" => {
            json!({"name": "a", "handler": "sql", "sql": {"database": "d", "statement": "s"}})
        }
        sql if sql.starts_with("sql.") => json!({
            "name": "a", "handler": "sql",
            "sql": {"database": "d", "statement": "s :page", "probe": "p"},
            "grid": {"pages": {"probe": true}},
        }),
        exec if exec.starts_with("exec.") => {
            json!({"name": "a", "handler": "exec", "exec": {"command": "c"}})
        }
        "http.callback" => json!({
            "name": "a", "handler": "http", "http": {"url": "https://h/{slice}"}, "grid": {"tile": 1},
        }),
        http if http.starts_with("http.") => json!({
            "name": "a", "handler": "http", "http": {"url": "https://h/{slice}"},
        }),
        _ => json!({"name": "a", "handler": "resize"}),
    }
}

fn job_with(key: &str, value: Value) -> Value {
    let mut job = json!({"name": "a", "handler": "resize"});
    put(&mut job, key, value);
    job
}

fn put(job: &mut Value, key: &str, value: Value) {
    let mut place = job;
    for part in key.split('.') {
        place = &mut place[part];
    }
    *place = value;
}

fn accepts(key: &str, value: Value) -> bool {
    let mut job = around(key);
    put(&mut job, key, value);
    from_value(job).is_ok()
}

/// Values at both ends of the bounds of a row, and values just beyond them.
fn ends(key: &str, row: &Row) -> (Vec<Value>, Vec<Value>) {
    let (low, high) = row
        .bounds
        .split_once(" to ")
        .unwrap_or_else(|| panic!("{key}: bounds {:?}", row.bounds));
    match row.kind {
        "integer" => {
            let (low, high): (u64, u64) = (low.parse().unwrap(), high.parse().unwrap());
            let below = low.checked_sub(1).map_or(json!(-1), Value::from);
            (
                vec![low.into(), high.into()],
                vec![below, (high + 1).into()],
            )
        }
        "number" => {
            let (low, high): (f64, f64) = (low.parse().unwrap(), high.parse().unwrap());
            let beyond = vec![low.next_down().into(), high.next_up().into()];
            (vec![low.into(), high.into()], beyond)
        }
        "duration" => {
            let (low, high) = (parse_duration(low).unwrap(), parse_duration(high).unwrap());
            let mut beyond = vec![json!(write_duration(high + 1))];
            beyond.extend(low.checked_sub(1).map(|below| json!(write_duration(below))));
            (
                vec![json!(write_duration(low)), json!(write_duration(high))],
                beyond,
            )
        }
        "rate" => {
            let per_second = |bound: &str| bound.strip_suffix("/s").unwrap().parse().unwrap();
            let (low, high): (u64, u64) = (per_second(low), per_second(high));
            let rate = |count: u64| json!(format!("{count}/s"));
            (
                vec![rate(low), rate(high)],
                vec![rate(low - 1), rate(high + 1)],
            )
        }
        "name" => {
            let high = high
                .strip_suffix(" bytes")
                .unwrap()
                .parse::<usize>()
                .unwrap();
            let low: usize = low.parse().unwrap();
            let name = |bytes| json!("x".repeat(bytes));
            (
                vec![name(low), name(high)],
                vec![name(low - 1), name(high + 1)],
            )
        }
        other => panic!("{key}: type {other:?}"),
    }
}

#[test]
fn page_has_each_key_and_no_other() {
    let said: BTreeSet<String> = rows().into_keys().map(str::to_owned).collect();
    assert_eq!(said, known());
}

#[test]
fn bounds_of_the_page_are_those_of_the_parser() {
    let mut checked = 0;
    for (key, row) in rows() {
        match row.kind {
            "integer" | "number" | "duration" | "rate" | "name" => {
                let (within, beyond) = ends(key, &row);
                for value in within {
                    assert!(accepts(key, value.clone()), "{key} = {value} is refused");
                }
                for value in beyond {
                    assert!(!accepts(key, value.clone()), "{key} = {value} is accepted");
                }
                checked += 1;
            }
            "text" | "texts" => {
                assert_eq!(row.bounds, "not empty", "{key}");
                assert!(
                    accepts(key, json!("x")) && !accepts(key, json!(" ")),
                    "{key}"
                );
                assert_eq!(
                    accepts(key, json!(["x", "y"])),
                    row.kind == "texts",
                    "{key}"
                );
            }
            "word" => {
                let words = row.bounds.replace('`', "");
                for word in words.split(" or ") {
                    assert!(accepts(key, serde_json::from_str(word).unwrap()), "{key}");
                }
                assert!(!accepts(key, json!("other")), "{key}");
            }
            "table" | "list" | "boolean" | "url" | "text or table" => {}
            other => panic!("{key} has the type {other:?}"),
        }
    }
    assert!(checked > 15, "{checked}");
    let rows = rows();
    assert_eq!(rows["grid"].bounds, format!("{SHARDS_MAX} shards"));
    let params = format!("{PARAMS_MAX} bytes as JSON, {PARAMS_DEPTH} deep");
    assert_eq!(rows["params"].bounds, params);
    assert_eq!(
        rows["submit.allow"].bounds,
        format!("at most {ALLOWED_MAX}")
    );
    for sentence in [
        format!("A slice has at most {PAGES_MAX} pages."),
        format!("At most {SETTINGS_MAX} bytes as JSON, {PARAMS_DEPTH} deep."),
        format!("(names of at most {PARAM_NAME_MAX} bytes)"),
    ] {
        assert!(PAGE.contains(&sentence), "{sentence}");
    }
}

#[test]
fn defaults_of_the_page_are_those_of_the_parser() {
    let usual = to_value(&from_value(json!({"name": "a", "handler": "resize"})).unwrap());
    for (key, row) in rows() {
        let found = usual.pointer(&format!("/{}", key.replace('.', "/")));
        match row.default {
            "required" => {
                let mut without = around(key);
                put(&mut without, key, Value::Null);
                let (table, last) = key.rsplit_once('.').unwrap_or(("", key));
                let path = format!("/{table}");
                let table = without.pointer_mut(if table.is_empty() { "" } else { &path });
                table.unwrap().as_object_mut().unwrap().remove(last);
                assert!(from_value(without).is_err(), "{key} may be left out");
            }
            "required for `probe" => {
                let mut without = around(key);
                without["sql"].as_object_mut().unwrap().remove("probe");
                assert!(from_value(without.clone()).is_err());
                without["grid"] = json!({});
                assert!(from_value(without).is_ok());
            }
            "as below" | "one shard" => assert!(found.is_some_and(Value::is_object), "{key}"),
            // The default form of pages shows below it as well.
            "none" if key == "grid.pages.count" => assert_eq!(found, Some(&json!(1))),
            "none" => assert_eq!(found, None, "{key} has a default"),
            // The handler's affair: the settings are kept as they were said.
            said if key.starts_with("http.") => {
                let order = |job: &Value| handlers::http::Order::read(&job["http"]);
                let without = around(key);
                let mut with = without.clone();
                let said = serde_json::from_str(said).unwrap_or_else(|_| json!(said));
                put(&mut with, key, said);
                assert_eq!(order(&with).unwrap(), order(&without).unwrap(), "{key}");
            }
            // The worker's affair, likewise.
            "\"integer\"" => assert_eq!(key, "sql.key"),
            said => {
                let found = found.unwrap_or_else(|| panic!("{key} has no default"));
                let said: Value = match said {
                    "{ count = 1 }" => json!({"count": 1}),
                    text => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
                };
                let alike = found == &said || (found.is_f64() && found.as_f64() == said.as_f64());
                assert!(alike, "{key}: the page says {said}, the parser {found}");
            }
        }
    }
}

/// The pages of the documentation.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs = std::fs::read_dir(root.join("docs")).unwrap();
    let mut pages: Vec<PathBuf> = docs.map(|entry| entry.unwrap().path()).collect();
    pages.retain(|page| page.extension().is_some_and(|ending| ending == "md"));
    pages.push(root.join("README.md"));
    pages
}

/// The job files of a page: its TOML with a handler.
fn job_files(text: &str) -> Vec<&str> {
    let blocks = text.split("```toml\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap_or_default());
    blocks
        .filter(|block| block.lines().any(|line| line.starts_with("handler =")))
        .collect()
}

#[test]
fn every_job_file_of_the_documentation_parses() {
    let mut found = BTreeMap::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        let name = page.file_name().unwrap().to_string_lossy().into_owned();
        for file in job_files(&text) {
            let job = parse(file, Format::Toml);
            let job = job.unwrap_or_else(|faults| panic!("{name}: {faults}\n{file}"));
            let warnings = handlers::check(Said::by_job(&job)).warnings;
            assert_eq!(warnings, [], "{name}:\n{file}");
            *found.entry(name.clone()).or_insert(0) += 1;
        }
    }
    for page in ["JOBS.md", "HANDLERS.md", "README.md"] {
        assert!(found.contains_key(page), "{page}: {found:?}");
    }
}

#[test]
fn page_has_a_job_of_each_kind_of_pages_and_one_that_says_everything() {
    let jobs = job_files(PAGE);
    let specs = jobs.iter().map(|file| parse(file, Format::Toml).unwrap());
    let kinds: BTreeSet<&str> = specs
        .map(|spec| match spec.grid.pages {
            PagesSpec::Count { .. } => "count",
            PagesSpec::Rows { .. } => "rows",
            PagesSpec::Probe => "probe",
        })
        .collect();
    assert_eq!(kinds.len(), 3, "{kinds:?}");
    let full = syntax::read(jobs[0], Format::Toml).unwrap();
    // Other forms of the same tables cannot stand beside them.
    let beside = ["grid.pages.", "limits.abort_after.", "exec.", "http."];
    let absent: Vec<String> = known()
        .into_iter()
        .filter(|key| !beside.iter().any(|other| key.starts_with(other)))
        .filter(|key| {
            full.pointer(&format!("/{}", key.replace('.', "/")))
                .is_none()
        })
        .collect();
    assert!(absent.is_empty(), "{absent:?}");
}
