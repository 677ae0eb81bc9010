//! Statements as each database takes them, and what is no statement.

use super::Dialect::{MySql, Postgres, Sqlite};
use super::*;

fn text(sql: &str, dialect: Dialect) -> String {
    Statement::read(sql, dialect, &as_usual)
        .unwrap()
        .text
        .to_string()
}

fn verb(sql: &str) -> String {
    Statement::read(sql, Postgres, &as_usual).unwrap().verb
}

#[test]
fn names_become_placeholders_of_the_dialect() {
    let sql = "SELECT :slice, :page_from, :slice";
    assert_eq!(text(sql, Sqlite), "SELECT ?1, ?2, ?1");
    assert_eq!(text(sql, Postgres), "SELECT $1, $2, $1");
    assert_eq!(text(sql, MySql), "SELECT ?, ?, ?");
    let names = |dialect| Statement::read(sql, dialect, &as_usual).unwrap().names;
    assert_eq!(names(Postgres), ["slice", "page_from"]);
    assert_eq!(names(MySql), ["slice", "page_from", "slice"]);
}

#[test]
fn quotes_comments_and_casts_are_left_as_they_are() {
    for sql in [
        "SELECT ':a', 'it''s :b', \"q :c\"",
        "SELECT 1 -- :a\n, 2",
        "SELECT /* :a */ 1",
        "SELECT '1'::int, x::text",
        "SELECT '' , ':a'",
    ] {
        for dialect in [Sqlite, Postgres, MySql] {
            assert_eq!(text(sql, dialect), sql);
        }
    }
    for (sql, dialect) in [
        ("SELECT `:a`, '\\':b'", MySql),
        ("SELECT 1 # :a\n", MySql),
        ("SELECT @x := 5, 5--3", MySql),
        ("SELECT [:a], `b`", Sqlite),
        ("SELECT E'\\':a', '\\'", Postgres),
        ("SELECT $$ :a $$, $t$ $$ :b $t$", Postgres),
        ("SELECT /* a /* :b */ :c */ x ? 'k', @ -5", Postgres),
    ] {
        assert_eq!(text(sql, dialect), sql.trim());
    }
}

#[test]
fn casts_of_names_keep_the_cast() {
    assert_eq!(text("SELECT :a::int", Postgres), "SELECT $1::int");
    assert_eq!(text("SELECT a[1:2], :b", Postgres), "SELECT a[1:2], $1");
    for (sql, bound) in [
        ("SELECT a[1:n], a[i:n]", "SELECT a[1:n], a[i:n]"),
        ("SELECT a[1 + f(:x):n]", "SELECT a[1 + f($1):n]"),
        ("SELECT a[:from:to], a[:from]", "SELECT a[$1:to], a[$1]"),
        (
            "SELECT ARRAY[1, :x], a[1: :n]",
            "SELECT ARRAY[1, $1], a[1: $2]",
        ),
    ] {
        assert_eq!(text(sql, Postgres), bound);
    }
}

#[test]
fn names_of_every_language_are_whole_names() {
    let read = Statement::read("SELECT :größe, :день", Postgres, &as_usual).unwrap();
    assert_eq!(read.names, ["größe", "день"]);
    assert_eq!(&*read.text, "SELECT $1, $2");
}

#[test]
fn verb_is_the_word_after_the_named_queries() {
    assert_eq!(verb("  -- hello\n update t set a = 1"), "UPDATE");
    assert_eq!(
        verb("WITH gone AS (DELETE FROM t RETURNING 1) SELECT count(*) FROM gone"),
        "SELECT"
    );
    assert_eq!(
        verb("with a as (select 1) insert into t select * from a"),
        "INSERT"
    );
    assert_eq!(verb("(SELECT 1)"), "");
}

#[test]
fn what_would_bind_nothing_or_end_the_statement_is_refused() {
    let error = |sql, dialect| Statement::read(sql, dialect, &as_usual).unwrap_err();
    assert_eq!(error(" ; ", Postgres), StatementError::Empty);
    assert_eq!(error("-- a\n;", Postgres), StatementError::Empty);
    assert_eq!(error("SELECT 1; SELECT 2", Sqlite), StatementError::Several);
    assert!(Statement::read("SELECT 1; -- done\n", Sqlite, &as_usual).is_ok());
    assert_eq!(
        error("a = ?", Sqlite),
        StatementError::Placeholder("?".into())
    );
    assert_eq!(
        error("a = $x", Sqlite),
        StatementError::Placeholder("$x".into())
    );
    for dialect in [Postgres, MySql] {
        assert_eq!(
            error("a = $1", dialect),
            StatementError::Placeholder("$1".into())
        );
    }
    for sql in ["a = ?", "a IN (?)", "LIMIT ?", "a = /* b */ ?", "?"] {
        assert_eq!(
            error(sql, Postgres),
            StatementError::Placeholder("?".into()),
            "{sql}"
        );
    }
    assert_eq!(text("a ? 'k' AND ?| b", Postgres), "a ? 'k' AND ?| b");
    for open in ["SELECT 'a", "SELECT \"a", "/* a", "SELECT $q$ a $$"] {
        assert!(
            matches!(error(open, Postgres), StatementError::Unclosed(_)),
            "{open}"
        );
    }
}

#[test]
fn any_text_is_answered() {
    // A small generator of hostile texts: every string of four pieces.
    let pieces = [
        "'", "\"", "$", "$$", ":", "::", ":a", "/*", "*/", "--", "\n", "é", "[", "\\", ";", "?",
        "E'", "(", ")",
    ];
    let total = pieces.len().pow(4);
    for number in 0..total {
        let picks = (0..4).map(|place| pieces[number / pieces.len().pow(place) % pieces.len()]);
        let sql: String = picks.collect();
        for dialect in [Sqlite, Postgres, MySql] {
            let _ = Statement::read(&sql, dialect, &as_usual);
        }
    }
}
