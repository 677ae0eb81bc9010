//! Every metric stands in docs/METRICS.md as it is in the code, in its place; every one is recorded; and names follow the
//! rules of Prometheus.

use std::collections::BTreeSet;
use std::fmt::Write;

use gridloom_shared::telemetry::metric::{Kind, Metric};

use crate::{files, root};

/// The crates that record, their sections of the page, and the file that has all that one records.
const CRATES: &[(&str, &[Metric], &str)] = &[
    (
        "What every service records",
        gridloom_shared::metrics::ALL,
        "shared/src/metrics.rs",
    ),
    (
        "What planners record",
        gridloom_planner::metrics::ALL,
        "planner/src/metrics.rs",
    ),
    (
        "What workers record",
        gridloom_worker::metrics::ALL,
        "worker/src/metrics.rs",
    ),
];

/// The row of a metric on the page.
fn row(metric: &Metric) -> String {
    let labels = metric.labels.iter().map(|label| format!("`{label}`"));
    let labels: Vec<String> = labels.collect();
    format!(
        "| `{}` | {} | {} | {} | {} |",
        metric.name,
        metric.kind.word(),
        metric.unit,
        labels.join(", "),
        metric.help
    )
}

#[test]
fn every_metric_stands_on_its_page_as_it_is_in_the_code() {
    let page = std::fs::read_to_string(root().join("docs/METRICS.md")).expect("the page is read");
    for (section, metrics, _) in CRATES {
        let text = page.split("\n## ").find(|text| text.starts_with(section));
        let text = text.unwrap_or_else(|| panic!("docs/METRICS.md has no section {section}"));
        let found: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("| `"))
            .collect();
        let expected: Vec<String> = metrics.iter().map(row).collect();
        let mut whole = String::new();
        for line in &expected {
            let _ = writeln!(whole, "{line}");
        }
        assert!(
            found == expected,
            "docs/METRICS.md, {section}, is to have these rows, in this order:\n{whole}"
        );
    }
}

#[test]
fn every_metric_is_recorded_by_the_crate_that_names_it() {
    let all = files(&[".rs"]);
    let mut told = Vec::new();
    for (_, metrics, file) in CRATES {
        let text = all.iter().find(|(path, _)| path == file);
        let (_, text) = text.expect("the file is there");
        let names = text.lines().filter_map(|line| {
            let rest = line.strip_prefix("pub const ")?;
            let (name, _) = rest.split_once(": Metric")?;
            Some(name)
        });
        let names: Vec<&str> = names.collect();
        assert_eq!(names.len(), metrics.len(), "{file}: not all are in ALL");
        let source = format!("{}/", file.trim_end_matches("/metrics.rs"));
        // Where all stand in a list, none is recorded.
        let list = file.replace(".rs", "/all.rs");
        for name in names {
            let is_word = |text: &str, at: usize| {
                let end = text[at + name.len()..].chars().next();
                let before = text[..at].chars().next_back();
                let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
                !part(end) && !part(before)
            };
            let uses = |text: &str| {
                let mut found = text.match_indices(name);
                found.any(|(at, _)| is_word(text, at))
            };
            let used = all
                .iter()
                .filter(|(path, _)| path != file && *path != list)
                .any(|(path, text)| path.starts_with(&source) && uses(text));
            if !used {
                told.push(format!("{file}: {name} is recorded nowhere"));
            }
        }
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
}

#[test]
fn only_telemetry_makes_series_so_that_all_are_bounded() {
    let makes = ["counter!(", "gauge!(", "histogram!("];
    let told: Vec<String> = files(&[".rs"])
        .into_iter()
        .filter(|(path, _)| {
            let crates = ["shared/src/", "planner/src/", "worker/src/", "cli/src/"];
            let telemetry = path.starts_with("shared/src/telemetry/");
            crates.iter().any(|part| path.starts_with(part)) && !telemetry
        })
        .filter(|(_, text)| makes.iter().any(|word| text.contains(word)))
        .map(|(path, _)| path)
        .collect();
    assert!(
        told.is_empty(),
        "say it with a Metric of the crate's metrics.rs: {told:?}"
    );
}

#[test]
fn names_follow_the_rules_of_prometheus() {
    let mut seen = BTreeSet::new();
    for metric in CRATES.iter().flat_map(|(_, metrics, _)| *metrics) {
        let name = metric.name;
        assert!(seen.insert(name), "{name} is there twice");
        let plain = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(name.chars().all(plain), "{name}");
        let own = name.starts_with("gridloom_") || name.starts_with("process_");
        assert!(own, "{name}");
        let counts = metric.kind == Kind::Counter;
        assert_eq!(counts, name.ends_with("_total"), "{name}");
        for unit in ["seconds", "bytes"] {
            let said = name.ends_with(&format!("_{unit}"));
            assert_eq!(said, metric.unit == unit, "{name} in {unit}");
        }
        if let Kind::Histogram(buckets) = metric.kind {
            assert!(buckets.is_sorted(), "{name}");
        }
        assert!(
            metric.help.ends_with('.') && !metric.unit.is_empty(),
            "{name}"
        );
    }
}
