//! Which value a `--param KEY=VALUE` gives: JSON where it is some, text otherwise, and nothing that could be
//! meant in two ways.

use gridloom_shared::chain;
use gridloom_shared::exact;
use serde_json::Value;

/// The value; the error says in which ways it can be written.
pub(super) fn read(key: &str, written: &str) -> Result<Value, String> {
    match exact::json(written.as_bytes()) {
        Ok(Value::Number(number)) if number.to_string() != written.trim() => Err(format!(
            "could be a text or the number {number}: write --param '{key}={}' for the text, or --param \
             {key}={number} for the number",
            Value::from(written)
        )),
        Ok(value) => Ok(value),
        Err(error) if error.is_json => Err(format!(
            "{}; as a whole it is text if it stands in quotes: --param '{key}={}'",
            chain(&error),
            Value::from(written)
        )),
        Err(error) if written.trim_start().starts_with(['"', '{', '[']) => Err(format!(
            "begins like JSON and is none ({}); if it is a text: --param '{key}={}'",
            chain(&error),
            Value::from(written)
        )),
        // Every other text that is no JSON means itself.
        Err(_) => Ok(Value::from(written)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn number_is_one_only_if_it_is_written_as_it_is_carried() {
        for (written, value) in [
            ("3", json!(3)),
            ("-3.5", json!(-3.5)),
            ("12345678901234.56", json!(12_345_678_901_234.56)),
            ("18446744073709551615", json!(u64::MAX)),
            ("0012", json!("0012")),
            ("1_000", json!("1_000")),
            ("NaN", json!("NaN")),
            ("1234567f8", json!("1234567f8")),
            ("\"1234567e8\"", json!("1234567e8")),
            ("[1.10]", json!([1.1])),
        ] {
            assert_eq!(read("k", written), Ok(value), "{written}");
        }
        for written in [
            "1234567e8",
            "1e3",
            "1.10",
            "-0",
            "1e400",
            "18446744073709551617",
            "0.1234567890123456789",
        ] {
            let error = read("sha", written).unwrap_err();
            assert!(
                error.contains(&format!("--param 'sha=\"{written}\"'")),
                "{error}"
            );
        }
        for broken in ["\"5", "{\"a\": 1", "[1, 2"] {
            let error = read("k", broken).unwrap_err();
            assert!(error.contains("begins like JSON"), "{error}");
        }
        assert!(read("k", "{\"a\": 1, \"a\": 2}").is_err());
        assert!(read("k", "[18446744073709551617]").is_err());
    }
}
