//! How TOML and JSON text become one kind of value, and where a text that is neither goes wrong.

use serde_json::{Map, Number, Value};

use super::Format;
use super::fault::Faults;
use super::node::join;

pub(super) fn read(text: &str, format: Format) -> Result<Value, Faults> {
    match format {
        Format::Toml => from_toml(text),
        Format::Json => from_json(text),
    }
}

fn from_json(text: &str) -> Result<Value, Faults> {
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let whole = error.to_string();
        let place = format!(" at line {line} column {column}");
        let what = whole.strip_suffix(place.as_str()).unwrap_or(&whole);
        syntax_fault(line, column, what)
    })
}

fn from_toml(text: &str) -> Result<Value, Faults> {
    let table: toml::Table = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let (line, column) = position(text, at);
        syntax_fault(line, column, error.message())
    })?;
    let mut faults = Faults::default();
    let value = from_table(table, "", &mut faults);
    faults.or(Some(value))
}

fn syntax_fault(line: usize, column: usize, what: &str) -> Faults {
    let what = what.trim().replace('\n', ", ");
    Faults::one("", format!("line {line}, column {column}: {what}"))
}

/// Line and column, both from 1, of the byte `at`.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    (line, before[start..].chars().count() + 1)
}

fn from_table(table: toml::Table, path: &str, faults: &mut Faults) -> Value {
    let entries = table.into_iter().map(|(key, value)| {
        let path = join(path, &key);
        (key, plain(value, &path, faults))
    });
    Value::Object(entries.collect::<Map<_, _>>())
}

/// The JSON form of a TOML value; the two kinds that JSON lacks are faults.
fn plain(value: toml::Value, path: &str, faults: &mut Faults) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => Value::Number(number.into()),
        toml::Value::Boolean(truth) => Value::Bool(truth),
        toml::Value::Float(number) => Number::from_f64(number).map_or_else(
            || {
                faults.add(path, format!("must be a finite number, found {number}"));
                Value::Null
            },
            Value::Number,
        ),
        toml::Value::Datetime(date) => {
            faults.add(path, format!("must be in quotes: \"{date}\""));
            Value::Null
        }
        toml::Value::Array(items) => {
            let places = items.into_iter().enumerate();
            Value::Array(
                places
                    .map(|(place, item)| plain(item, &format!("{path}[{place}]"), faults))
                    .collect(),
            )
        }
        toml::Value::Table(table) => from_table(table, path, faults),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_text_is_told_with_its_line_and_column() {
        let toml = read("name = \"a\"\nhandler = = 1\n", Format::Toml).unwrap_err();
        assert_eq!(toml.0.len(), 1);
        assert!(
            toml.to_string().starts_with("line 2, column 11: "),
            "{toml}"
        );
        let json = read("{\n \"name\": }", Format::Json).unwrap_err();
        assert!(
            json.to_string().starts_with("line 2, column 10: "),
            "{json}"
        );
        assert!(!json.to_string().contains(" at line"), "{json}");
    }

    #[test]
    fn dates_and_numbers_that_json_lacks_are_told_by_their_keys() {
        let faults = read(
            "[params]\nat = 2026-01-01\nlist = [1.0, nan]\n",
            Format::Toml,
        );
        let faults = faults.unwrap_err();
        let paths: Vec<&str> = faults.0.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(paths, ["params.at", "params.list[1]"]);
    }
}
