//! What stands in `deploy/prometheus` and `deploy/grafana` fits the code: every metric with the labels that it has, every
//! alert with its place in the runbook, every dashboard with what Grafana needs.

use std::collections::BTreeSet;

use gridloom_shared::telemetry::metric::{Kind, Metric};
use serde_json::Value;

use crate::root;

/// What Prometheus itself adds, and histograms have.
const ADDED: &[&str] = &["instance", "le"];

fn metric(name: &str) -> Option<&'static Metric> {
    let all = [
        gridloom_shared::metrics::ALL,
        gridloom_planner::metrics::ALL,
        gridloom_worker::metrics::ALL,
    ];
    let mut all = all.into_iter().flatten();
    all.find(|metric| match metric.kind {
        Kind::Histogram(_) => ["_bucket", "_sum", "_count"]
            .iter()
            .any(|end| name.strip_suffix(end) == Some(metric.name)),
        Kind::Counter | Kind::Gauge => metric.name == name,
    })
}

/// What is wrong with an expression: metrics that are not there, labels that they do not have.
fn faults(expression: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut labels: BTreeSet<&str> = ADDED.iter().copied().collect();
    let mut found = 0;
    for (at, word) in words(expression) {
        let rest = expression[at + word.len()..].trim_start();
        if word == "up" {
            found += 1;
            labels.insert("job");
            continue;
        }
        if !word.starts_with("gridloom_") && !word.starts_with("process_") {
            continue;
        }
        found += 1;
        let Some(metric) = metric(word) else {
            faults.push(format!("there is no {word}"));
            continue;
        };
        labels.extend(metric.labels);
        if let Some(matchers) = rest.strip_prefix('{') {
            let matchers = matchers.split('}').next().unwrap_or_default();
            for matcher in matchers.split(',') {
                let label = matcher.split(['=', '!']).next().unwrap_or_default().trim();
                if !metric.labels.contains(&label) && !ADDED.contains(&label) {
                    faults.push(format!("{word} has no label {label}"));
                }
            }
        }
    }
    if found == 0 {
        faults.push("it names no metric".to_owned());
    }
    for word in ["by (", "on (", "without ("] {
        for (at, _) in expression.match_indices(word) {
            let named = expression[at + word.len()..].split(')').next();
            let named = named.unwrap_or_default().split(',').map(str::trim);
            let strange = named.filter(|label| !labels.contains(label));
            faults.extend(strange.map(|label| format!("nothing in it has a label {label}")));
        }
    }
    faults
}

/// The names in an expression that stand outside of quotes, with their places.
fn words(expression: &str) -> Vec<(usize, &str)> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (mut words, mut quoted, mut begun) = (Vec::new(), false, None);
    for (at, c) in expression.char_indices().chain([(expression.len(), ' ')]) {
        if !quoted && part(c) {
            begun.get_or_insert(at);
        } else if let Some(from) = begun.take() {
            words.push((from, &expression[from..at]));
        }
        quoted ^= c == '"';
    }
    words
}

#[test]
fn strange_expressions_are_told() {
    assert!(faults("sum by (queue) (gridloom_queue_workers) > 0").is_empty());
    assert!(faults("rate(gridloom_ledger_append_seconds_bucket[5m])").is_empty());
    for strange in [
        "gridloom_queue_worker > 0",
        "gridloom_queue_workers{job=\"a\"}",
        "sum by (job) (gridloom_queue_workers)",
        "gridloom_ledger_append_seconds",
        "vector(1)",
    ] {
        assert!(!faults(strange).is_empty(), "{strange}");
    }
}

fn text(path: &str) -> String {
    let text = std::fs::read_to_string(root().join(path));
    text.unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_alert_names_what_there_is_and_has_its_place_in_the_runbook() {
    let (alerts, page) = (
        text("deploy/prometheus/alerts.yml"),
        text("docs/OPERATIONS.md"),
    );
    let runbook = page.split("\n## Runbook\n").nth(1).expect("a runbook");
    let runbook = runbook.split("\n## ").next().unwrap_or_default();
    let mut sections: BTreeSet<&str> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("### Gridloom"))
        .collect();
    let mut told = Vec::new();
    let blocks: Vec<&str> = alerts.split("      - alert: Gridloom").skip(1).collect();
    assert!(blocks.len() >= 13, "{}", blocks.len());
    for block in blocks {
        let name = block.lines().next().unwrap_or_default();
        let field = |field: &str| {
            let mut lines = block.lines().map(str::trim);
            let found = lines.find_map(|line| line.strip_prefix(field));
            found.unwrap_or_default().trim_matches('\'').to_owned()
        };
        let expression = field("expr: ").replace("''", "'");
        let wrong = faults(&expression).into_iter();
        told.extend(wrong.map(|fault| format!("{name}: {fault}")));
        let severity = field("labels: ");
        let known = ["critical", "warning"].map(|word| format!("{{severity: {word}}}"));
        if !known.contains(&severity) {
            told.push(format!("{name}: severity {severity:?}"));
        }
        let description = field("description: ");
        if field("summary: ").is_empty() || description.is_empty() {
            told.push(format!("{name}: no summary or description"));
        }
        // What is known by a label is named.
        let by = expression
            .split("by (")
            .nth(1)
            .and_then(|rest| rest.split(')').next());
        for label in by
            .unwrap_or_default()
            .split(", ")
            .filter(|label| !label.is_empty())
        {
            if !description.contains(&format!("$labels.{label}")) {
                told.push(format!("{name}: its description names no {label}"));
            }
        }
        let place = format!("docs/OPERATIONS.md#gridloom{}", name.to_lowercase());
        if field("runbook_url: ") != place || !sections.remove(name) {
            told.push(format!("{name}: no section of the runbook"));
        }
    }
    told.extend(
        sections
            .iter()
            .map(|name| format!("the runbook's {name} is no alert")),
    );
    for section in runbook.split("\n### ").skip(1) {
        let whole = ["**Means:** ", "**Look:** ", "**Do:** "];
        if !whole.iter().all(|part| section.contains(part)) {
            let name = section.lines().next().unwrap_or_default();
            told.push(format!("the runbook's {name} does not say all"));
        }
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
}

/// Where something is to stand in a dashboard or a panel, and what that is to be.
type Field<'a> = (&'a str, fn(&Value) -> bool);

/// What is missing of these, or wrong.
fn lacks(of: &Value, pointers: &[Field]) -> Vec<String> {
    let wrong = pointers.iter().filter(|(pointer, is)| {
        let found = of.pointer(pointer);
        !found.is_some_and(is)
    });
    wrong
        .map(|(pointer, _)| format!("{pointer} is missing or wrong"))
        .collect()
}

fn panel_faults(panel: &Value, source: &str) -> Vec<String> {
    let mut faults = lacks(
        panel,
        &[
            ("/id", Value::is_u64),
            ("/type", Value::is_string),
            ("/title", Value::is_string),
            ("/gridPos/x", Value::is_u64),
            ("/gridPos/y", Value::is_u64),
            ("/gridPos/w", |w| {
                w.as_u64().is_some_and(|w| (1..=24).contains(&w))
            }),
            ("/gridPos/h", Value::is_u64),
        ],
    );
    if panel["type"] == "row" {
        return faults;
    }
    faults.extend(lacks(
        panel,
        &[
            ("/description", Value::is_string),
            ("/fieldConfig/defaults/unit", Value::is_string),
            ("/fieldConfig/overrides", Value::is_array),
            ("/options", Value::is_object),
            ("/targets/0", Value::is_object),
        ],
    ));
    for of in panel["targets"]
        .as_array()
        .into_iter()
        .flatten()
        .chain([panel])
    {
        let datasource = &of["datasource"];
        if datasource["type"] != "prometheus" || datasource["uid"] != source {
            faults.push(format!("datasource {datasource} is not provisioned"));
        }
    }
    for target in panel["targets"].as_array().into_iter().flatten() {
        faults.extend(lacks(
            target,
            &[
                ("/refId", Value::is_string),
                ("/expr", Value::is_string),
                ("/legendFormat", Value::is_string),
            ],
        ));
        let expression = target["expr"].as_str().unwrap_or_default();
        let wrong = self::faults(expression).into_iter();
        faults.extend(wrong.map(|fault| format!("{expression}: {fault}")));
    }
    faults
}

#[test]
fn every_dashboard_shows_what_there_is_and_has_what_grafana_needs() {
    let source = text("deploy/grafana/provisioning/datasources/gridloom.yaml");
    let source = source
        .lines()
        .find_map(|line| line.trim().strip_prefix("uid: "));
    let source = source.expect("a datasource with a uid");
    let provider = text("deploy/grafana/provisioning/dashboards/gridloom.yaml");
    assert!(provider.contains("path: /var/lib/grafana/dashboards"));
    let mut told = Vec::new();
    let mut uids = BTreeSet::new();
    for name in [
        "gridloom-health.json",
        "gridloom-slow.json",
        "gridloom-lost.json",
    ] {
        let board = text(&format!("deploy/grafana/dashboards/{name}"));
        let board: Value = serde_json::from_str(&board).expect("it is JSON");
        let mut faults = lacks(
            &board,
            &[
                ("/uid", |uid| {
                    uid.as_str().is_some_and(|uid| uid.len() <= 40)
                }),
                ("/title", Value::is_string),
                ("/schemaVersion", |version| version.as_u64() >= Some(36)),
                ("/version", Value::is_u64),
                ("/time/from", Value::is_string),
                ("/time/to", Value::is_string),
                ("/templating/list", Value::is_array),
                ("/annotations/list", Value::is_array),
                ("/panels/0", Value::is_object),
            ],
        );
        uids.insert(board["uid"].to_string());
        let panels = board["panels"].as_array().expect("panels");
        let mut places = BTreeSet::new();
        let ids: BTreeSet<String> = panels.iter().map(|panel| panel["id"].to_string()).collect();
        assert_eq!(ids.len(), panels.len(), "{name}: ids");
        for panel in panels {
            let title = panel["title"].as_str().unwrap_or_default();
            let wrong = panel_faults(panel, source).into_iter();
            faults.extend(wrong.map(|fault| format!("{title}: {fault}")));
            let of = |field: &str| panel["gridPos"][field].as_u64().unwrap_or_default();
            for x in of("x")..of("x") + of("w") {
                for y in of("y")..of("y") + of("h") {
                    if x >= 24 || !places.insert((x, y)) {
                        faults.push(format!("{title}: its place is taken, or outside"));
                    }
                }
            }
        }
        faults.dedup();
        told.extend(faults.into_iter().map(|fault| format!("{name}: {fault}")));
    }
    assert_eq!(uids.len(), 3);
    assert!(told.is_empty(), "{}", told.join("\n"));
}
