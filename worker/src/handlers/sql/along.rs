//! Which statements go along with the shard's key in one question to PostgreSQL, and how they are
//! written there. A question of several statements ends at its first error: where the key is taken,
//! none behind it runs.
//!
//! Values stay values: they are constants of their types where they stood, or the statement is prepared as its author
//! wrote it, with their types, and executed with them. What stands in the text for a value is a number, a text of plain letters, or the
//! hexadecimal digits of its bytes: no setting of a session and no encoding reads it otherwise.

use std::fmt::Write;

use super::dialect::Dialect;
use super::link::Value;
use super::literal::{self, quoted};
use super::order::Bound;

/// What PostgreSQL prepares.
const PREPARED: &[&str] = &[
    "SELECT", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE", "MERGE",
];

/// Of these, what returns rows to nobody.
const CHANGES: &[&str] = &["INSERT", "UPDATE", "DELETE", "MERGE"];

/// The steps of each statement; none where one of them must be asked on its own, as its driver does.
pub(super) fn steps(statements: &[Bound], dialect: Dialect) -> Vec<Vec<String>> {
    if dialect != Dialect::Postgres || !statements.iter().all(goes_along) {
        return Vec::new();
    }
    let each = statements.iter().enumerate();
    each.map(|(place, statement)| written(place, statement))
        .collect()
}

fn goes_along(statement: &Bound) -> bool {
    let Bound {
        text, values, verb, ..
    } = statement;
    // Where a literal or a comment ends could be otherwise than it was read; a text ends at the last.
    if text.contains(['\\', '\r', '\0']) {
        return false;
    }
    values.is_empty() || PREPARED.contains(&&**verb) && !makes_table(text)
}

/// `SELECT ... INTO` does, and is not prepared.
fn makes_table(text: &str) -> bool {
    let is = |word: &str, other: &str| word.eq_ignore_ascii_case(other);
    let mut before = "";
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    for word in words.filter(|word| !word.is_empty()) {
        if is(word, "INTO") && !is(before, "INSERT") && !is(before, "MERGE") {
            return true;
        }
        before = word;
    }
    false
}

fn written(place: usize, statement: &Bound) -> Vec<String> {
    // It may end with a comment, which ends with the line.
    if statement.values.is_empty() {
        return vec![format!("{}\n", statement.text)];
    }
    if let Some(text) = with_constants(statement) {
        return vec![text];
    }
    let text = format!("{}\n", statement.text);
    let kinds = statement.values.iter().map(kind).collect::<Vec<_>>();
    let values = statement.values.iter().map(literal).collect::<Vec<_>>();
    vec![
        format!("PREPARE gridloom_{place} ({}) AS {text}", kinds.join(", ")),
        format!("EXECUTE gridloom_{place} ({})", values.join(", ")),
    ]
}

/// The statement with constants of the same types in place of its values, which spares the server a step: where
/// all of them are plain ones, and nothing is called by their name (a column of a query that is a value has none, and
/// that of a constant is called like its type).
fn with_constants(statement: &Bound) -> Option<String> {
    let Bound {
        text,
        values,
        places,
        verb,
        ..
    } = statement;
    if !CHANGES.contains(&&**verb) || !values.iter().all(is_plain) {
        return None;
    }
    let mut written = String::with_capacity(text.len() + 32 * places.len());
    let mut from = 0;
    for (place, value) in places.iter() {
        let value = values.get(*value)?;
        written.push_str(text.get(from..place.start)?);
        let _ = write!(written, "({}::{})", constant(value), kind(value));
        from = place.end;
    }
    written.push_str(text.get(from..)?);
    written.push('\n');
    Some(written)
}

fn is_plain(value: &Value) -> bool {
    match value {
        Value::Text(Some(text)) => literal::is_plain(text),
        _ => true,
    }
}

/// As [`literal()`]; a sign before a number would be an operator, and what it belongs to the cast.
fn constant(value: &Value) -> String {
    match value {
        Value::Int(Some(number)) => format!("'{number}'"),
        other => literal(other),
    }
}

/// The same types as those of values that are bound.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Int(_) => "bigint",
        Value::Text(_) => "pg_catalog.text",
        Value::Real(_) => "double precision",
        Value::Decimal(_) => "numeric",
        Value::Bool(_) => "boolean",
    }
}

fn literal(value: &Value) -> String {
    match value {
        Value::Int(None) | Value::Text(None) => "NULL".to_owned(),
        Value::Int(Some(number)) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Real(number) => format!("'{number:?}'"),
        Value::Decimal(number) => format!("'{number}'"),
        Value::Text(Some(text)) => quoted(text),
    }
}

#[cfg(test)]
mod tests {
    use gridloom_shared::exact::Decimal;
    use gridloom_shared::job::handlers::sql::names::{Statement, as_usual};

    use super::*;

    fn bound(text: &str, verb: &str, values: &[Value]) -> Bound {
        let read = Statement::read(text, Dialect::Postgres, &as_usual).unwrap();
        assert_eq!((&*read.verb, read.names.len()), (verb, values.len()));
        Bound {
            text: read.text,
            values: values.to_vec(),
            places: read.places.into(),
            verb: verb.into(),
            goes_on: false,
            traces: false,
            may_end: false,
        }
    }

    fn asked(statements: &[Bound]) -> Vec<Vec<String>> {
        steps(statements, Dialect::Postgres)
    }

    fn values() -> Vec<Value> {
        vec![
            Value::Int(Some(i64::MIN)),
            Value::Text(None),
            Value::Text(Some("plain :text $1".to_owned())),
            Value::Decimal(Decimal::parse("-1.25").unwrap()),
            Value::Bool(true),
            Value::Real(1.5),
        ]
    }

    #[test]
    fn plain_values_of_what_changes_rows_are_constants_of_their_types() {
        let insert = "INSERT INTO t SELECT :a, :b, :c, :d, :e, :f, 'x :a $1' WHERE :a <> 1 -- $2";
        let plain = bound("SELECT 1", "SELECT", &[]);
        let steps = asked(&[bound(insert, "INSERT", &values()), plain]);
        let expected = "INSERT INTO t SELECT ('-9223372036854775808'::bigint), (NULL::pg_catalog.text), \
             ('plain :text $1'::pg_catalog.text), ('-1.25'::numeric), (true::boolean), \
             ('1.5'::double precision), 'x :a $1' WHERE ('-9223372036854775808'::bigint) <> 1 -- $2\n";
        let all = [vec![expected.to_owned()], vec!["SELECT 1\n".to_owned()]];
        assert_eq!(steps, all);
    }

    #[test]
    fn other_statements_are_prepared_as_they_were_written_and_executed_with_their_values() {
        let mut odd = values();
        odd.push(Value::Text(Some("a'; --\\".to_owned())));
        let insert = "INSERT INTO t VALUES (:a, :b, :c, :d, :e, :f, :g) -- all";
        let expected = [
            "PREPARE gridloom_0 (bigint, pg_catalog.text, pg_catalog.text, numeric, boolean, double precision, \
             pg_catalog.text) AS INSERT INTO t VALUES ($1, $2, $3, $4, $5, $6, $7) -- all\n",
            "EXECUTE gridloom_0 (-9223372036854775808, NULL, 'plain :text $1', '-1.25', true, '1.5', \
             pg_catalog.convert_from(pg_catalog.decode('61273b202d2d5c', 'hex'), 'UTF8'))",
        ];
        assert_eq!(asked(&[bound(insert, "INSERT", &odd)]), [expected]);
        // Its column is a counter, by its name.
        let select = bound("SELECT :a AS b, :a", "SELECT", &values()[..1]);
        let expected = [
            "PREPARE gridloom_0 (bigint) AS SELECT $1 AS b, $1\n",
            "EXECUTE gridloom_0 (-9223372036854775808)",
        ];
        assert_eq!(asked(&[select]), [expected]);
    }

    #[test]
    fn what_is_not_prepared_or_may_be_read_otherwise_is_asked_on_its_own() {
        let values = [Value::Int(Some(1))];
        let alone = |text, verb, values: &[Value]| {
            let fine = bound("SELECT 1", "SELECT", &[]);
            asked(&[fine, bound(text, verb, values)]).is_empty()
        };
        assert!(alone("CALL p(:a)", "CALL", &values));
        assert!(!alone("CALL p()", "CALL", &[]));
        assert!(alone("SELECT :a into t", "SELECT", &values));
        assert!(!alone("SELECT 1 INTO t", "SELECT", &[]));
        assert!(!alone("INSERT INTO t VALUES (:a)", "INSERT", &values));
        let with = "WITH n AS (insert into t VALUES (:a) RETURNING 1) SELECT * FROM n";
        assert!(!alone(with, "SELECT", &values));
        for text in ["SELECT '\\'", "SELECT 1 --\r2", "SELECT '\0'"] {
            assert!(alone(text, "SELECT", &[]));
        }
        let other = bound("SELECT :a", "SELECT", &values);
        assert!(steps(&[other], Dialect::MySql).is_empty());
    }
}
