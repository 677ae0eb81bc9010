//! Definitions, and the words that they get.

use serde_json::{Value, json};

use super::*;
use crate::job::parse::from_value;
use crate::job::{Allowed, Fault};

mod bounds;
mod http;
mod keys;

/// A job of a built-in handler without a fault.
fn job(handler: &str) -> Value {
    match handler {
        "sql" => json!({
            "name": "a", "handler": "sql", "sql": {"database": "d", "statement": "UPDATE t SET n = 1"},
        }),
        "exec" => json!({"name": "a", "handler": "exec", "exec": {"command": "c"}}),
        "http" => json!({"name": "a", "handler": "http", "http": {"url": "https://h/{slice}"}}),
        other => json!({"name": "a", "handler": other}),
    }
}

/// A job of `sql` with these statements, and whatever else.
fn sql(statement: impl Into<Value>, more: Value) -> Value {
    let mut job = job("sql");
    job["sql"]["statement"] = statement.into();
    with(job, more)
}

/// A job of `sql` whose pages are probed.
fn probed(statement: impl Into<Value>, probe: &str, more: Value) -> Value {
    let mut job = sql(statement, json!({"grid": {"pages": {"probe": true}}}));
    job["sql"]["probe"] = probe.into();
    with(job, more)
}

/// `more` put over `job`, table by table.
fn with(mut job: Value, more: Value) -> Value {
    if let (Some(job), Value::Object(more)) = (job.as_object_mut(), more) {
        for (key, value) in more {
            let old = job.remove(&key).unwrap_or(Value::Null);
            let new = if old.is_object() {
                with(old, value)
            } else {
                value
            };
            job.insert(key, new);
        }
    }
    job
}

fn slices(slices: u32) -> Value {
    json!({"grid": {"slices": slices}})
}

/// The one fault that `job` has.
#[track_caller]
fn fault(job: &Value) -> Fault {
    let faults = from_value(job.clone()).expect_err(&job.to_string());
    assert_eq!(faults.0.len(), 1, "{job}: {faults}");
    faults.0[0].clone()
}

/// What is warned of in a job that has no fault.
#[track_caller]
fn warnings(job: &Value) -> Vec<Fault> {
    let spec = from_value(job.clone());
    let spec = spec.unwrap_or_else(|faults| panic!("{job}: {faults}"));
    check(Said::by_job(&spec)).warnings
}

/// Each of these has one fault, there, that says these words.
#[track_caller]
fn refused(cases: impl IntoIterator<Item = (Value, &'static str, &'static str)>) {
    for (job, path, words) in cases {
        let fault = fault(&job);
        assert_eq!(fault.path, path, "{job}: {fault}");
        assert!(fault.message.contains(words), "{job}: {fault}");
    }
}

/// Each of these may be applied, and nothing is said of it.
#[track_caller]
fn fine(cases: impl IntoIterator<Item = Value>) {
    for job in cases {
        assert_eq!(warnings(&job), [], "{job}");
    }
}

const EACH: &str = "UPDATE t SET n = 1 WHERE id BETWEEN :page_from AND :page_to";
const SLICED: &str = "UPDATE t SET n = 1 WHERE (id % :slices + :slices) % :slices = :slice";
const BOTH: &str =
    "UPDATE t SET n = 1 WHERE id BETWEEN :page_from AND :page_to AND id % :slices = :slice";
const PROBE: &str = "SELECT min(id), max(id) FROM t WHERE :after IS NULL OR id > :after";

#[test]
fn statements_that_do_not_tell_slices_apart_are_refused_with_the_condition_to_write() {
    let condition = "`(id % :slices + :slices) % :slices = :slice`";
    refused([
        (
            sql("UPDATE t SET n = 1", slices(4)),
            "sql.statement",
            condition,
        ),
        (
            sql("UPDATE t SET n = 1", slices(4)),
            "sql.statement",
            "4 slices",
        ),
        (
            sql("UPDATE t SET n = :slices", slices(2)),
            "sql.statement",
            condition,
        ),
        // In a text or a comment it is no name.
        (
            sql("UPDATE t SET n = ':slice' -- :slice", slices(2)),
            "sql.statement",
            condition,
        ),
        (
            sql(json!(["DELETE FROM a", "DELETE FROM b"]), slices(2)),
            "sql.statement",
            condition,
        ),
        (
            probed(EACH, PROBE, slices(4)),
            "sql.statement",
            "in the probe too",
        ),
    ]);
    fine([
        sql("UPDATE t SET n = 1", slices(1)),
        sql(SLICED, slices(4)),
        sql(json!([SLICED, "INSERT INTO log VALUES (1)"]), slices(4)),
        probed(BOTH, PROBE, slices(4)),
    ]);
    let only_probe = "SELECT min(id), max(id) FROM t WHERE id % :slices = :slice";
    let warned = warnings(&probed(EACH, only_probe, slices(4)));
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(
        warned[0].message.contains("Repeat the probe's condition"),
        "{warned:?}"
    );
}

#[test]
fn statements_that_do_not_tell_pages_apart_are_refused_and_of_counted_pages_warned() {
    let rows = |rows: u64| json!({"grid": {"pages": {"rows": rows, "page_size": 1_000}}});
    let window = "DELETE FROM t WHERE id IN (SELECT id FROM t LIMIT :limit OFFSET :offset)";
    refused([
        (
            probed("UPDATE t SET n = 1", PROBE, json!({})),
            "sql.statement",
            "`id BETWEEN :page_from AND :page_to`",
        ),
        (
            sql("UPDATE t SET n = 1", rows(2_000)),
            "sql.statement",
            "LIMIT :limit OFFSET :offset",
        ),
    ]);
    fine([
        probed(EACH, PROBE, json!({})),
        sql("UPDATE t SET n = 1", rows(1_000)),
        sql(window, rows(2_000)),
        sql("UPDATE t SET n = 1 WHERE id / 1000 = :page", rows(2_000)),
        sql(
            "UPDATE t SET n = 1 WHERE day = :page",
            json!({"grid": {"pages": {"count": 365}}}),
        ),
    ]);
    let warned = warnings(&sql(
        "DELETE FROM t LIMIT 10",
        json!({"grid": {"pages": {"count": 9}}}),
    ));
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].message.contains(":page"), "{warned:?}");
}

#[test]
fn name_without_a_value_is_refused_unless_runs_may_bring_it() {
    let none = || json!({"submit": {"allow": []}});
    refused([
        (
            sql("SELECT :slize", json!({})),
            "sql.statement",
            "did you mean :slice?",
        ),
        (
            sql("SELECT 1 WHERE :page_form < 2", json!({"params": {}})),
            "sql.statement",
            ":page_form",
        ),
        (
            sql("SELECT :day", none()),
            "sql.statement",
            "Give it one in [params]",
        ),
        (
            sql(
                "SELECT :day, :day",
                json!({"submit": {"allow": ["params.night"]}}),
            ),
            "sql.statement",
            ":day",
        ),
        (
            sql(json!(["SELECT 1", "SELECT :x"]), none()),
            "sql.statement[1]",
            ":x",
        ),
    ]);
    fine([
        sql("SELECT :day", json!({"params": {"day": 1}})),
        sql("SELECT :day", json!({"submit": {"allow": ["params.day"]}})),
        // Somebody's own name, though it is not far from one of ours.
        sql("SELECT :size", json!({"params": {"size": 1}})),
    ]);
    let warned = warnings(&sql("SELECT :day", json!({})));
    assert_eq!(warned.len(), 1, "{warned:?}");
    let allow = r#"[submit] allow = ["params.day"]"#;
    assert!(warned[0].message.contains(allow), "{warned:?}");
}

#[test]
fn name_of_ours_is_refused_where_it_has_no_value() {
    refused([
        (
            sql("SELECT :page_from", json!({})),
            "sql.statement",
            "grid.pages = { probe = true }",
        ),
        (
            sql("SELECT :page_to", json!({})),
            "sql.statement",
            "grid.pages = { probe = true }",
        ),
        (
            sql("SELECT :offset", json!({})),
            "sql.statement",
            "page_size = 1000",
        ),
        (
            sql("SELECT :after", json!({})),
            "sql.statement",
            ":page_from and :page_to",
        ),
        (
            probed(
                EACH,
                "SELECT min(id), max(id) FROM t WHERE id > :page_from",
                json!({}),
            ),
            "sql.probe",
            ":after",
        ),
        (
            probed(
                EACH,
                "SELECT min(id), max(id) FROM t WHERE id > :page",
                json!({}),
            ),
            "sql.probe",
            "no numbers",
        ),
        (
            sql("SELECT :page", json!({"params": {"page": 7}})),
            "params.page",
            "called otherwise",
        ),
    ]);
}

#[test]
fn run_needs_each_value_and_takes_no_other() {
    let spec = from_value(sql("SELECT :day", json!({}))).unwrap();
    let mut run = spec.clone();
    let found = check(Said::by_run(&run));
    assert!(
        found.warnings.is_empty() && found.faults.len() == 1,
        "{found:?}"
    );
    assert!(
        found.faults[0].message.contains("--param day=..."),
        "{found:?}"
    );
    run.params = json!({"day": 1});
    assert_eq!(check(Said::by_run(&run)), Findings::default());
    run.params = json!({"day": 1, "night": 2});
    assert_eq!(check(Said::by_run(&run)).faults[0].path, "params.night");
    assert!(spec.submit.allow.contains(&Allowed::Params));
}

#[test]
fn value_that_no_statement_names_is_refused() {
    refused([
        (
            sql("SELECT 1", json!({"params": {"day": 1}})),
            "params.day",
            ":day",
        ),
        (
            sql("SELECT ':day'", json!({"params": {"day": 1}})),
            "params.day",
            ":day",
        ),
    ]);
    fine([probed(
        EACH,
        "SELECT min(id), max(id) FROM t WHERE day = :day",
        json!({"params": {"day": 1}}),
    )]);
}

#[test]
fn text_that_is_not_one_statement_is_refused() {
    refused([
        (
            sql("DELETE FROM a; DELETE FROM b", json!({})),
            "sql.statement",
            "give a list",
        ),
        (
            sql(json!(["SELECT 1", "DELETE FROM a; COMMIT"]), json!({})),
            "sql.statement[1]",
            "give a list",
        ),
        (
            sql("BEGIN", json!({})),
            "sql.statement",
            "transaction of its own",
        ),
        (
            sql("commit", json!({})),
            "sql.statement",
            "transaction of its own",
        ),
        (sql("-- nothing", json!({})), "sql.statement", "is empty"),
        (sql("SELECT 'a", json!({})), "sql.statement", "does not end"),
        (
            probed(EACH, "ROLLBACK", json!({})),
            "sql.probe",
            "transaction of its own",
        ),
    ]);
    fine([sql("DELETE FROM a; -- all", json!({}))]);
}

#[test]
fn placeholders_of_a_driver_are_refused() {
    for statement in [
        "UPDATE t SET n = ? WHERE id = 1",
        "UPDATE t SET n = 1 WHERE id=?",
        "INSERT INTO t VALUES (?, ?)",
        "SELECT id FROM t LIMIT ?",
        "SELECT id FROM t WHERE id BETWEEN ? AND ?",
        "SELECT id FROM t WHERE id = /* which */ ?",
        "UPDATE t SET n = $1",
    ] {
        refused([(
            sql(statement, json!({})),
            "sql.statement",
            "named parameters such as :slice",
        )]);
    }
    // Operators of PostgreSQL's JSON and geometry.
    fine([
        sql("SELECT id FROM t WHERE data ? 'key'", json!({})),
        sql("SELECT id FROM t WHERE data->'a' ?| array['b']", json!({})),
        sql("SELECT id FROM t WHERE f(data)\n?& array['b']", json!({})),
        sql("SELECT id FROM t WHERE ?- way", json!({})),
    ]);
}

#[test]
fn bounds_that_are_taken_for_text_want_a_key_of_text() {
    let probe =
        "SELECT min(id::text), max(id::text) FROM t WHERE :after IS NULL OR id::text > :after";
    let statement = "DELETE FROM t WHERE id::text BETWEEN :page_from AND :page_to";
    let text = json!({"sql": {"key": "text"}});
    let casts = "DELETE FROM t WHERE id BETWEEN :page_from::uuid AND :page_to::uuid";
    refused([
        (
            probed(statement, PROBE, json!({})),
            "sql.statement",
            "key = \"text\"",
        ),
        (
            probed(EACH, probe, json!({})),
            "sql.probe",
            "key = \"text\"",
        ),
        (
            probed(casts, PROBE, json!({})),
            "sql.statement",
            "key = \"text\"",
        ),
    ]);
    fine([
        probed(statement, probe, text.clone()),
        probed(casts, probe, text),
        probed(
            "INSERT INTO log SELECT 'from ' || :page_from::text",
            PROBE,
            json!({}),
        ),
        probed(
            EACH,
            "SELECT min(id), max(id) FROM t WHERE id::bigint > :after::bigint",
            json!({}),
        ),
    ]);
}

/// What one kind of database refuses and another takes is for the worker to say, which knows its databases.
#[test]
fn what_is_right_in_one_kind_of_database_is_right() {
    fine([
        sql("CREATE TEMP TABLE x AS SELECT 1", json!({})),
        sql("SELECT a[1:n] FROM t", json!({})),
        sql("SELECT $$ :a $$", json!({})),
        sql("SELECT '\\':a'", json!({})),
        sql("UPDATE t SET n = @x := 1", json!({})),
        sql("SELECT 1 # :a", json!({})),
    ]);
    // A cast tells whose it is.
    let cast = sql("SELECT $x::int", json!({}));
    fine([cast]);
}

#[test]
fn exec_has_no_probe() {
    let asked = with(job("exec"), json!({"grid": {"pages": {"probe": true}}}));
    refused([(asked, "grid.pages", "{ count = 100 }")]);
    let own = json!({"params": {"whatever": 1}, "grid": {"slices": 7}});
    fine([with(job("exec"), own)]);
}

#[test]
fn noop_takes_no_parameter_but_its_own() {
    let noop = |params: Value| with(job("noop"), json!({"params": params}));
    refused([
        (
            noop(json!({"sleep_m": 1})),
            "params.sleep_m",
            "did you mean \"sleep_ms\"?",
        ),
        (noop(json!({"day": 1})), "params.day", "fail_percent"),
        (
            noop(json!({"sleep_ms": "1s"})),
            "params.sleep_ms",
            "a whole number is wanted, not the text \"1s\"",
        ),
    ]);
    fine([
        noop(json!({})),
        noop(json!({"sleep_ms": 1, "permanent": true, "fail_percent": 5})),
    ]);
    let probed = with(job("noop"), json!({"grid": {"pages": {"probe": true}}}));
    assert_eq!(warnings(&probed)[0].path, "grid.pages");
}

#[test]
fn nothing_is_known_of_a_handler_of_ones_own() {
    fine([with(
        job("resize"),
        json!({"resize": {"statement": "?"}, "params": {"day": 1}, "grid": {"slices": 4, "pages": {"probe": true}}}),
    )]);
}
