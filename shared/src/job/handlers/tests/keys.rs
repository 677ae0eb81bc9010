//! What bounds the pages, and which names tell them apart: each word that decides about it.

use super::*;
use crate::job::handlers::sql::Order;

const PLAIN: &str = "SELECT min(k), max(k) FROM t";

/// Each type that no integer can be, wherever it meets a bound.
#[test]
fn every_type_that_is_no_integer_is_seen_on_either_side_of_a_bound() {
    const TEXTS: &[&str] = &[
        "text",
        "varchar",
        "char",
        "character",
        "bpchar",
        "citext",
        "TEXT",
    ];
    const OTHERS: &[&str] = &[
        "uuid",
        "date",
        "time",
        "timetz",
        "timestamp",
        "timestamptz",
        "inet",
        "cidr",
        "macaddr",
    ];
    for kind in TEXTS.iter().chain(OTHERS) {
        for compared in [
            format!("k::{kind} > :page_from"),
            format!("k::{kind} <= :page_to"),
            format!("k::{kind} = :page_to"),
            format!("k:: {kind}  between :page_from and :page_to"),
        ] {
            let statement = format!("DELETE FROM t WHERE {compared}");
            let fault = fault(&probed(statement, PLAIN, json!({})));
            let named = format!("for a {}", kind.to_lowercase());
            assert!(fault.message.contains(&named), "{compared}: {fault}");
            assert_eq!(fault.path, "sql.statement");
        }
        let probe = format!("SELECT min(k), max(k) FROM t WHERE k::{kind} > :after");
        assert_eq!(fault(&probed(EACH, &probe, json!({}))).path, "sql.probe");
    }
    for kind in OTHERS {
        for bound in ["page_from", "page_to"] {
            let statement = format!("DELETE FROM t WHERE k > :{bound}::{kind}");
            let fault = fault(&probed(statement, PLAIN, json!({})));
            assert!(fault.message.contains(&format!(":{bound}")), "{fault}");
        }
    }
}

#[test]
fn what_is_no_bound_is_cast_as_anybody_likes() {
    let day = json!({"params": {"day": "2013-01-01", "code": "a"}});
    fine([
        probed(
            "DELETE FROM t WHERE day::date > :day AND code::text = :code AND k BETWEEN :page_from AND :page_to",
            PLAIN,
            day.clone(),
        ),
        probed(
            "DELETE FROM t WHERE day > :day::date AND :code::uuid = x AND k BETWEEN :page_from AND :page_to",
            PLAIN,
            day,
        ),
        // An integer is a text where it is made one, and no type of ours.
        probed(
            "INSERT INTO log SELECT :page_from::text || x::bigint",
            PLAIN,
            json!({}),
        ),
        // A column may be called like a type.
        probed(
            "DELETE FROM t WHERE date >= :page_from AND text <= :page_to",
            PLAIN,
            json!({}),
        ),
        probed(
            "DELETE FROM t WHERE k::numeric BETWEEN :page_from AND :page_to",
            PLAIN,
            json!({}),
        ),
    ]);
}

#[test]
fn probe_that_casts_its_key_is_warned_of_where_no_statement_casts() {
    let text = || json!({"sql": {"key": "text"}});
    let warned = |statement: &str, probe: &str| {
        let job = probed(statement, probe, text());
        warnings(&job)
    };
    for probe in [
        "SELECT min(CAST(k AS char)), max(CAST(k AS char)) FROM t WHERE :after IS NULL OR CAST(k AS char) > :after",
        "SELECT min(convert(k, char)), max(convert(k, char)) FROM t",
        "SELECT min(k::text), max(k::text) FROM t",
    ] {
        let warnings = warned(EACH, probe);
        assert_eq!(warnings.len(), 1, "{probe}: {warnings:?}");
        assert_eq!(warnings[0].path, "sql.statement");
        assert!(warnings[0].message.contains("casts nothing"));
        // Either side of the comparison may be cast.
        for statement in [
            "DELETE FROM t WHERE CAST(k AS char) BETWEEN :page_from AND :page_to",
            "DELETE FROM t WHERE k BETWEEN CAST(:page_from AS uuid) AND CAST(:page_to AS uuid)",
            "DELETE FROM t WHERE k BETWEEN :page_from::uuid AND :page_to::uuid",
        ] {
            assert_eq!(warned(statement, probe), [], "{statement}, {probe}");
        }
    }
    // What casts nothing but a name, or no key, or orders by an integer.
    for probe in [
        "SELECT min(k), max(k) FROM t WHERE k > :after::text",
        "SELECT min(k), max(k) FROM t WHERE k > CAST( :after AS char)",
        "SELECT min(k), max(k), 'CAST(' FROM t",
        "SELECT min(k), max(k) FROM t WHERE cast > :after AND convert > 1",
    ] {
        assert_eq!(warned(EACH, probe), [], "{probe}");
    }
    let integer = probed(
        EACH,
        "SELECT min(CAST(k AS signed)), max(CAST(k AS signed)) FROM t",
        json!({}),
    );
    assert_eq!(warnings(&integer), []);
    let by_page = "DELETE FROM t WHERE k = :page";
    assert_eq!(
        warned(
            by_page,
            "SELECT min(CAST(k AS char)), max(CAST(k AS char)) FROM t"
        ),
        []
    );
}

#[test]
fn bounds_of_one_kind_of_pages_have_no_value_in_another() {
    let rows = || json!({"grid": {"pages": {"rows": 5_000, "page_size": 1_000}}});
    for name in ["page_from", "page_to"] {
        let statement = format!("DELETE FROM t WHERE k > :{name} AND n > :offset");
        let fault = fault(&sql(statement, rows()));
        assert!(fault.message.contains("probe = true"), "{fault}");
    }
    for name in ["offset", "limit"] {
        let statement = format!("DELETE FROM t WHERE k > :{name} AND n > :page_from");
        let fault = fault(&probed(statement, PLAIN, json!({})));
        assert!(fault.message.contains("page_size = 1000"), "{fault}");
    }
}

/// What is a comment in another kind of database is none in the one that the cast tells.
#[test]
fn cast_of_one_kind_of_database_says_what_its_statements_are() {
    refused([(
        sql("SELECT x::int # :slize", json!({})),
        "sql.statement",
        "did you mean :slice?",
    )]);
    fine([sql("SELECT x # :slize", json!({}))]);
}

#[test]
fn each_name_that_tells_pages_apart_is_enough() {
    let rows = json!({"grid": {"pages": {"rows": 5_000, "page_size": 1_000}}});
    for name in ["page_from", "page_to", "page"] {
        let statement = format!("DELETE FROM t WHERE k = :{name}");
        fine([probed(statement, PLAIN, json!({}))]);
    }
    for name in ["offset", "limit", "page"] {
        fine([sql(
            format!("DELETE FROM t WHERE k > :{name}"),
            rows.clone(),
        )]);
    }
}

/// A probe that nobody asks, as the pages are counted, tells no slices apart, and no name in it is missed.
#[test]
fn probe_that_is_not_asked_counts_for_nothing() {
    let asked = "SELECT min(k), max(k) FROM t WHERE k % :slices = :slice AND :what > 1";
    let mut job = sql("DELETE FROM t", slices(4));
    job["sql"]["probe"] = asked.into();
    let told = fault(&job);
    assert_eq!(told.path, "sql.statement");
    assert!(!told.message.contains("in the probe too"), "{told}");
    let mut job = sql("DELETE FROM t", json!({}));
    job["sql"]["probe"] = asked.into();
    fine([job]);
}

#[test]
fn every_parameter_of_noop_is_one() {
    for name in [
        "sleep_ms",
        "block_ms",
        "fail_percent",
        "fail_attempts",
        "permanent",
    ] {
        let value = if name == "permanent" {
            json!(true)
        } else {
            json!(1)
        };
        fine([with(job("noop"), json!({"params": {name: value}}))]);
        let wrong = with(job("noop"), json!({"params": {name: "x"}}));
        assert_eq!(fault(&wrong).path, format!("params.{name}"));
    }
}

/// A run's settings come from a record that anybody may have written: they are read with the same care as a file's.
#[test]
fn settings_of_a_record_are_read_with_care() {
    let read = |settings: Value| Order::read(&settings, &json!({})).map_err(|fault| fault.path);
    let of = |more: Value| with(json!({"database": "d", "statement": "SELECT 1"}), more);
    assert!(read(of(json!({}))).is_ok() && read(of(json!({"statement": ["a", "b"]}))).is_ok());
    for (settings, path) in [
        (of(json!({"batch": 1})), "sql.batch"),
        (json!({"statement": "SELECT 1"}), "sql.database"),
        (of(json!({"database": 7})), "sql.database"),
        (of(json!({"key": "uuid"})), "sql.key"),
        (of(json!({"key": 7})), "sql.key"),
        (json!({"database": "d"}), "sql.statement"),
        (of(json!({"statement": []})), "sql.statement"),
        (of(json!({"statement": 7})), "sql.statement"),
        (of(json!({"statement": ["a", 7]})), "sql.statement"),
        (of(json!({"probe": 7})), "sql.probe"),
    ] {
        assert_eq!(read(settings), Err(path.to_owned()));
    }
    let kind = |key: &str| {
        Order::read(&of(json!({"key": key})), &json!({}))
            .unwrap()
            .key
    };
    use crate::job::handlers::sql::KeyKind;
    assert_eq!(
        (kind("text"), kind("integer")),
        (KeyKind::Text, KeyKind::Integer)
    );
    for taken in crate::job::handlers::sql::GIVEN {
        let read = Order::read(&of(json!({})), &json!({*taken: 1}));
        assert_eq!(read.unwrap_err().path, format!("params.{taken}"));
    }
}
