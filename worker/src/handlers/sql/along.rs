//! Which statements go along with the shard's key in one question to PostgreSQL, and how they are
//! written there. A question of several statements ends at its first error: where the key is taken,
//! none behind it runs.
//!
//! Values stay values: a statement that has some is prepared as its author wrote it, with their types,
//! and executed with them. What stands in the text for a value is a number, a text of plain letters, or the
//! hexadecimal digits of its bytes: no setting of a session and no encoding reads it otherwise.

use super::dialect::Dialect;
use super::link::Value;
use super::literal::quoted;
use super::order::Bound;

/// What PostgreSQL prepares.
const PREPARED: &[&str] = &[
    "SELECT", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE", "MERGE",
];

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
    values.is_empty() || PREPARED.contains(&verb.as_str()) && !makes_table(text)
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
    let text = format!("{}\n", statement.text);
    if statement.values.is_empty() {
        return vec![text];
    }
    let kinds = statement.values.iter().map(kind).collect::<Vec<_>>();
    let values = statement.values.iter().map(literal).collect::<Vec<_>>();
    vec![
        format!("PREPARE gridloom_{place} ({}) AS {text}", kinds.join(", ")),
        format!("EXECUTE gridloom_{place} ({})", values.join(", ")),
    ]
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

    use super::*;

    fn bound(text: &str, verb: &str, values: &[Value]) -> Bound {
        Bound {
            text: text.into(),
            values: values.to_vec(),
            verb: verb.to_owned(),
            goes_on: false,
            traces: false,
        }
    }

    fn asked(statements: &[Bound]) -> Vec<Vec<String>> {
        steps(statements, Dialect::Postgres)
    }

    #[test]
    fn statement_is_prepared_as_it_was_written_and_executed_with_its_values() {
        let values = [
            Value::Int(Some(i64::MIN)),
            Value::Text(Some("a'; --\\".to_owned())),
            Value::Text(None),
            Value::Text(Some("plain :text $1".to_owned())),
            Value::Decimal(Decimal::parse("-1.25").unwrap()),
            Value::Bool(true),
        ];
        let insert = "INSERT INTO t VALUES ($1, $2, $3, $4, $5, $6) -- all";
        let plain = bound("SELECT 1", "SELECT", &[]);
        let steps = asked(&[bound(insert, "INSERT", &values), plain]);
        let expected = [
            format!(
                "PREPARE gridloom_0 (bigint, pg_catalog.text, pg_catalog.text, pg_catalog.text, numeric, \
                 boolean) AS {insert}\n"
            ),
            "EXECUTE gridloom_0 (-9223372036854775808, \
             pg_catalog.convert_from(pg_catalog.decode('61273b202d2d5c', 'hex'), 'UTF8'), NULL, \
             'plain :text $1', '-1.25', true)"
                .to_owned(),
        ];
        assert_eq!(steps, [expected.to_vec(), vec!["SELECT 1\n".to_owned()]]);
    }

    #[test]
    fn what_is_not_prepared_or_may_be_read_otherwise_is_asked_on_its_own() {
        let values = [Value::Int(Some(1))];
        let alone = |text, verb, values: &[Value]| {
            let fine = bound("SELECT 1", "SELECT", &[]);
            asked(&[fine, bound(text, verb, values)]).is_empty()
        };
        assert!(alone("CALL p($1)", "CALL", &values));
        assert!(!alone("CALL p()", "CALL", &[]));
        assert!(alone("SELECT $1 into t", "SELECT", &values));
        assert!(!alone("SELECT 1 INTO t", "SELECT", &[]));
        for text in [
            "INSERT INTO t VALUES ($1)",
            "WITH n AS (insert into t VALUES ($1) RETURNING 1) SELECT * FROM n",
        ] {
            assert!(!alone(text, "SELECT", &values));
        }
        for text in ["SELECT '\\'", "SELECT 1 --\r", "SELECT '\0'"] {
            assert!(alone(text, "SELECT", &[]));
        }
        let other = bound("SELECT ?", "SELECT", &values);
        assert!(steps(&[other], Dialect::MySql).is_empty());
    }
}
