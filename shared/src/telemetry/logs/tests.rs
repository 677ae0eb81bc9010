use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tracing_subscriber::Layer;

use super::*;
use crate::telemetry::about::{About, Concern, Said};

type Written = Arc<Mutex<String>>;

/// What `write` has the log say, line by line, without its moment.
fn lines(format: LogFormat, write: impl FnOnce()) -> Vec<String> {
    let written = Written::default();
    let to = Arc::clone(&written);
    let lines = Lines::new(format, false, move |line: &str| {
        to.lock().unwrap().push_str(line);
    });
    let filter = EnvFilter::new(without_what_is_told("info"));
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter));
    tracing::subscriber::with_default(subscriber, write);
    let text = written.lock().unwrap().clone();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(str::to_owned).collect()
}

fn documents(write: impl FnOnce()) -> Vec<Value> {
    let lines = lines(LogFormat::Json, write);
    lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

struct Cell;

impl About for Cell {
    fn fields(&self, field: &mut dyn FnMut(&'static str, Said<'_>)) {
        field("run", Said::Name("a_s_1"));
        field("page", Said::Number(7));
    }
}

/// Runs what never waits.
fn at_once(future: impl Future<Output = ()>) {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(std::pin::pin!(future).poll(&mut context).is_ready());
}

#[test]
fn record_is_one_bounded_line_that_steers_no_terminal() {
    let said = "\x1b[2J\nWARN forged\r\0";
    let write = || {
        tracing::warn!(log = %said, text = said, n = 3, "from {said}");
        tracing::warn!(log = %"x".repeat(100_000), "long");
    };
    for format in [LogFormat::Text, LogFormat::Json] {
        let lines = lines(format, write);
        assert_eq!(lines.len(), 2, "{lines:?}");
        let odd = |line: &String| line.contains(char::is_control);
        assert!(!lines.iter().any(odd), "{lines:?}");
        assert!(lines[1].len() < 8 * 1024 + 200 && lines[1].contains("long"));
    }
    let text = &lines(LogFormat::Text, write)[0];
    assert!(
        text.contains(r"from \x1b[2J\nWARN forged\r\0 log="),
        "{text}"
    );
    assert!(text.ends_with("n=3"), "{text}");
    let json = &documents(write)[0];
    assert_eq!(json["log"], said);
}

#[test]
fn every_field_is_at_the_top_whoever_says_it_and_what_is_nearer_counts() {
    let told = documents(|| {
        let outer = tracing::error_span!("worker", worker = "w-1", page = 1, session = 5_u64);
        outer.in_scope(|| {
            let said = Box::pin(async {
                let inner = tracing::info_span!("mine", step = tracing::field::Empty, run = "no");
                inner.record("step", "last");
                let _inner = inner.enter();
                tracing::info!(
                    worker = "w-2",
                    level = "high",
                    ok = true,
                    share = 0.5,
                    "said"
                );
            });
            at_once(Concern::of(Arc::new(Cell)).with(said));
            tracing::warn!(reason = "none", "after it");
        });
    });
    assert_eq!(told.len(), 2);
    let at = told[0]["timestamp"].as_str().unwrap();
    assert!(
        at.len() == 24 && at.ends_with('Z') && at.starts_with("20"),
        "{at}"
    );
    let mut first = told[0].clone();
    first.as_object_mut().unwrap().remove("timestamp");
    assert_eq!(
        first,
        json!({
            "level": "INFO", "target": module_path!(), "message": "said", "worker": "w-2", "field.level": "high",
            "ok": true, "share": 0.5, "run": "a_s_1", "page": 7, "step": "last", "session": 5,
        })
    );
    assert_eq!(
        (&told[1]["page"], &told[1]["run"]),
        (&json!(1), &Value::Null)
    );
}

#[test]
fn text_begins_with_moment_level_and_message_and_its_values_are_seen_to_end() {
    let told = lines(LogFormat::Text, || {
        tracing::warn!(reason = "it is \"odd\"", run = %"a_s_1", nothing = "", n = 1, "refused");
    });
    let (at, rest) = told[0].split_once(' ').unwrap();
    assert_eq!(at.len(), 24);
    assert_eq!(
        rest,
        r#" WARN refused reason="it is \"odd\"" run=a_s_1 nothing="" n=1"#
    );
    // No value says what another field would.
    let told = lines(LogFormat::Text, || {
        tracing::warn!(reason = "\\\" run=forged \\\n", "refused");
    });
    assert!(
        told[0].ends_with(r#"refused reason="\\\" run=forged \\\n""#),
        "{told:?}"
    );
}

#[test]
fn error_is_told_with_its_causes_and_the_span_of_other_loggers_not_at_all() {
    let error = crate::telemetry::ServeError::Listen {
        listen: ([127, 0, 0, 1], 1).into(),
        cause: std::io::Error::other("two\nlines"),
    };
    let wanted = chain(&error).to_string();
    let error: &(dyn std::error::Error + 'static) = &error;
    let told = documents(|| {
        let span = tracing::info_span!(target: SPAN, "shard", run = "no");
        assert!(span.is_disabled());
        tracing::warn!(error, "failed");
        tracing::debug!("not wanted");
    });
    assert_eq!(told.len(), 1);
    assert!(wanted.contains("two\nlines"), "{wanted}");
    assert_eq!(told[0]["error"], wanted);
}

#[test]
fn storm_of_warnings_is_cut_and_what_people_asked_for_is_not() {
    let told = documents(|| {
        for n in 0..2_000 {
            tracing::warn!(n, "a message that makes no sense");
        }
        for n in 0..2_000 {
            tracing::info!(n, "opened");
            tracing::warn!(target: "resize", n, "of somebody's handler");
        }
    });
    let count = |message: &str| {
        told.iter()
            .filter(|line| line["message"] == message)
            .count()
    };
    let cut = count("a message that makes no sense");
    assert!((1_000..1_100).contains(&cut), "{cut}");
    assert_eq!(
        [count("opened"), count("of somebody's handler")],
        [2_000; 2]
    );
}
