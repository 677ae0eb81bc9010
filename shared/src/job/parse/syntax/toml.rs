//! How TOML text becomes that kind of value.

use ::toml::de::{DeInteger, DeTable, DeValue};
use serde_json::{Map, Number, Value};

use super::super::fault::Faults;
use super::super::node::join;
use super::syntax_fault;
use crate::chain;
use crate::exact;

pub(super) fn read(text: &str) -> Result<Value, Faults> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let (line, column) = position(text, at);
        syntax_fault(line, column, error.message())
    })?;
    let mut faults = Faults::default();
    let value = from_table(table.get_ref(), "", &mut faults);
    faults.or(Some(value))
}

/// Line and column, both from 1, of the byte `at`.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    (line, before[start..].chars().count() + 1)
}

fn from_table(table: &DeTable<'_>, path: &str, faults: &mut Faults) -> Value {
    let entries = table.iter().map(|(key, value)| {
        let key = key.get_ref();
        let path = join(path, key);
        (key.to_string(), plain(value.get_ref(), &path, faults))
    });
    Value::Object(entries.collect::<Map<_, _>>())
}

/// The JSON form of a TOML value; what JSON lacks is a fault.
fn plain(value: &DeValue<'_>, path: &str, faults: &mut Faults) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Integer(number) => carried(integer(number), path, faults),
        DeValue::Float(number) => carried(exact::number(number.as_str()), path, faults),
        DeValue::Datetime(date) => {
            faults.add(path, format!("must be in quotes: \"{date}\""));
            Value::Null
        }
        DeValue::Array(items) => {
            let places = items.iter().enumerate();
            Value::Array(
                places
                    .map(|(place, item)| plain(item.get_ref(), &format!("{path}[{place}]"), faults))
                    .collect(),
            )
        }
        DeValue::Table(table) => from_table(table, path, faults),
    }
}

fn integer(number: &DeInteger<'_>) -> Result<Number, exact::NumberError> {
    let (digits, radix) = (number.as_str(), number.radix());
    let signed = i64::from_str_radix(digits, radix).map(Number::from);
    signed
        .or_else(|_| u64::from_str_radix(digits, radix).map(Number::from))
        .or_else(|_| exact::number(&number.to_string()))
}

fn carried(number: Result<Number, exact::NumberError>, path: &str, faults: &mut Faults) -> Value {
    number.map_or_else(
        |error| {
            faults.add(path, chain(&error).to_string());
            Value::Null
        },
        Value::Number,
    )
}
