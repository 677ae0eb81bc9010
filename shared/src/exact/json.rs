//! Which JSON text is read. A byte order mark before it is passed over, as in TOML.

use serde::de::Deserialize;
use serde_json::Value;

use super::strict::Strict;
use super::{NumberError, number};
use crate::chain;

/// Where and why a text is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct JsonError {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in bytes.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// Whether it is JSON, only nothing that can be carried.
    pub is_json: bool,
}

/// The value that `text` says.
///
/// # Errors
/// When it is no JSON, has a key twice, or a number that cannot be carried as it is written.
pub fn json(text: &[u8]) -> Result<Value, JsonError> {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = Strict::deserialize(&mut reader);
    match read.and_then(|Strict(value)| reader.end().map(|()| value)) {
        Ok(value) => inexact(text).map_or(Ok(value), Err),
        Err(error) => {
            let far = chain(&error).to_string().starts_with("number out of range");
            let refused = if far { inexact(text) } else { None };
            Err(refused.unwrap_or_else(|| malformed(&error)))
        }
    }
}

fn malformed(error: &serde_json::Error) -> JsonError {
    let (line, column) = (error.line(), error.column());
    let whole = chain(&error).to_string();
    let place = format!(" at line {line} column {column}");
    let what = whole.strip_suffix(place.as_str()).unwrap_or(&whole);
    JsonError {
        line,
        column,
        what: what.to_owned(),
        is_json: error.is_data(),
    }
}

/// The first number of a JSON text that cannot be carried.
fn inexact(text: &[u8]) -> Option<JsonError> {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at = after_text(text, at),
            b'-' | b'0'..=b'9' => {
                let digit =
                    |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                let length = text[at..].iter().take_while(|byte| digit(byte)).count();
                let written = std::str::from_utf8(&text[at..at + length]).unwrap_or_default();
                if let Err(error) = number(written) {
                    return Some(refused(&text[..at], &error));
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    None
}

/// Behind the text in quotes that begins at `at`.
fn after_text(text: &[u8], mut at: usize) -> usize {
    at += 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

fn refused(before: &[u8], error: &NumberError) -> JsonError {
    let line_feed = before.iter().rposition(|byte| *byte == b'\n');
    JsonError {
        line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
        column: before.len() - line_feed.map_or(0, |end| end + 1) + 1,
        what: chain(&error).to_string(),
        is_json: true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Decimal;
    use super::*;

    #[test]
    fn numbers_that_cannot_be_carried_are_told_with_their_place() {
        let error = json(b"{\n \"a-1\\\"9e999\": [1, 18446744073709551617]}").unwrap_err();
        assert_eq!((error.line, error.column), (2, 20), "{error}");
        assert!(error.to_string().contains("in quotes"), "{error}");
        let far = json(b"[1e400]").unwrap_err();
        assert!(
            far.is_json && far.to_string().contains("in quotes"),
            "{far}"
        );
    }

    #[test]
    fn byte_order_mark_is_passed_over_and_key_that_stands_there_twice_refused() {
        let marked = json("\u{feff}{\"a\": 1}".as_bytes());
        assert_eq!(marked, Ok(serde_json::json!({"a": 1})));
        for twice in [r#"{"a": 1, "a": 1}"#, r#"[{"x": {"a": 1, "\u0061": 2}}]"#] {
            let error = json(twice.as_bytes()).unwrap_err();
            assert!(
                error.to_string().contains("\"a\" stands there twice"),
                "{error}"
            );
            assert!(error.line == 1 && error.column > 5, "{error}");
        }
        for no_json in ["", "{", "[1] 2", "nan", "{'a': 1}", "\u{feff}\u{feff}1"] {
            let error = json(no_json.as_bytes()).unwrap_err();
            assert!(!error.is_json, "{no_json:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_a_plain_reader_reads_and_no_number_changes(
            numbers in proptest::collection::vec("-?(0|[1-9][0-9]{0,19})(\\.[0-9]{1,18})?(e[+-]?[0-9]{1,3})?", 0..8),
            text: String,
        ) {
            let written = format!(
                "[{}, {}]", serde_json::json!(text),
                serde_json::json!(numbers).to_string().replace('"', ""),
            );
            if let Ok(value) = json(written.as_bytes()) {
                prop_assert_eq!(&value, &serde_json::from_str::<Value>(&written).unwrap());
                for (read, written) in value[1].as_array().unwrap().iter().zip(&numbers) {
                    let read = Decimal::parse(&read.to_string());
                    prop_assert_eq!(read, Decimal::parse(written));
                }
            }
        }
    }
}
