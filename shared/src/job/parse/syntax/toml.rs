//! How TOML text becomes that kind of value.

use serde_json::{Map, Number, Value};

use super::super::fault::Faults;
use super::super::node::join;
use super::syntax_fault;

pub(super) fn read(text: &str) -> Result<Value, Faults> {
    let table: ::toml::Table = ::toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let (line, column) = position(text, at);
        syntax_fault(line, column, error.message())
    })?;
    let mut faults = Faults::default();
    let value = from_table(table, "", &mut faults);
    faults.or(Some(value))
}

/// Line and column, both from 1, of the byte `at`.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    (line, before[start..].chars().count() + 1)
}

fn from_table(table: ::toml::Table, path: &str, faults: &mut Faults) -> Value {
    let entries = table.into_iter().map(|(key, value)| {
        let path = join(path, &key);
        (key, plain(value, &path, faults))
    });
    Value::Object(entries.collect::<Map<_, _>>())
}

/// The JSON form of a TOML value; the two kinds that JSON lacks are faults.
fn plain(value: ::toml::Value, path: &str, faults: &mut Faults) -> Value {
    match value {
        ::toml::Value::String(text) => Value::String(text),
        ::toml::Value::Integer(number) => Value::Number(number.into()),
        ::toml::Value::Boolean(truth) => Value::Bool(truth),
        ::toml::Value::Float(number) => Number::from_f64(number).map_or_else(
            || {
                faults.add(path, format!("must be a finite number, found {number}"));
                Value::Null
            },
            Value::Number,
        ),
        ::toml::Value::Datetime(date) => {
            faults.add(path, format!("must be in quotes: \"{date}\""));
            Value::Null
        }
        ::toml::Value::Array(items) => {
            let places = items.into_iter().enumerate();
            Value::Array(
                places
                    .map(|(place, item)| plain(item, &format!("{path}[{place}]"), faults))
                    .collect(),
            )
        }
        ::toml::Value::Table(table) => from_table(table, path, faults),
    }
}
