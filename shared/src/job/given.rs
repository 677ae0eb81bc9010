//! How what people gave becomes what a handler wants: where it does not, the key is named, and what is wanted there, in the
//! words of job files. Settings and parameters of all handlers go through here.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Fault;
use crate::chain;

/// The words that come from types: each with what people call it, as a whole and with its range.
const NUMBERS: &[(&str, i128, i128)] = &[
    ("u8", 0, u8::MAX as i128),
    ("u16", 0, u16::MAX as i128),
    ("u32", 0, u32::MAX as i128),
    ("u64", 0, u64::MAX as i128),
    ("usize", 0, usize::MAX as i128),
    ("i8", i8::MIN as i128, i8::MAX as i128),
    ("i16", i16::MIN as i128, i16::MAX as i128),
    ("i32", i32::MIN as i128, i32::MAX as i128),
    ("i64", i64::MIN as i128, i64::MAX as i128),
    ("isize", isize::MIN as i128, isize::MAX as i128),
];

/// Reads `value`, which stands at `path` (`params`), as a `T`.
///
/// # Errors
/// With the key of `value` that makes it none.
pub fn read<T: DeserializeOwned>(path: &str, value: &Value) -> Result<T, Fault> {
    let error = match T::deserialize(value) {
        Ok(read) => return Ok(read),
        Err(error) => chain(&error).to_string(),
    };
    if let Some(key) = in_quotes(&error, "missing field `") {
        return Err(Fault::new(format!("{path}.{key}"), "is missing"));
    }
    if let Some(key) = in_quotes(&error, "unknown field `") {
        let known = error.split_once(", ").map_or("", |(_, known)| known);
        let known = known
            .replace("expected one of ", "there are ")
            .replace("expected ", "there is ");
        let known = known.replace('`', "");
        return Err(Fault::new(
            format!("{path}.{key}"),
            format!("is not known: {known}"),
        ));
    }
    let path = match culprit::<T>(value, &error) {
        Some(key) => format!("{path}.{key}"),
        None => path.to_owned(),
    };
    Err(Fault::new(path, in_words(&error)))
}

/// The key of `value` without which the error is another one, or none.
fn culprit<T: DeserializeOwned>(value: &Value, error: &str) -> Option<String> {
    let mut rest = value.as_object()?.clone();
    let keys: Vec<String> = rest.keys().cloned().collect();
    keys.into_iter().find(|key| {
        rest.remove(key);
        let without = T::deserialize(&Value::Object(rest.clone()));
        without.is_ok() || without.is_err_and(|other| chain(&other).to_string() != error)
    })
}

fn in_quotes<'t>(text: &'t str, before: &str) -> Option<&'t str> {
    Some(text.strip_prefix(before)?.split_once('`')?.0)
}

/// `a whole number is wanted, not the text "20"`; what does not come from a type is repeated as it is.
fn in_words(error: &str) -> String {
    let said = |kind: &str| error.strip_prefix(kind)?.rsplit_once(", expected ");
    if let Some((found, wanted)) = said("invalid type: ") {
        return format!("{} is wanted, not {}", kind(wanted), thing(found));
    }
    if let Some((found, wanted)) = said("invalid value: ") {
        let range = NUMBERS.iter().find(|(name, ..)| *name == wanted);
        let wanted = range.map_or_else(
            || kind(wanted),
            |(_, from, to)| format!("a whole number from {from} to {to}"),
        );
        return format!("{wanted} is wanted, not {}", thing(found));
    }
    error.to_owned()
}

/// What people call a type.
fn kind(wanted: &str) -> String {
    let known = match wanted {
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "a borrowed string" => "a text",
        "a sequence" => "a list",
        "a map" => "a table",
        other if NUMBERS.iter().any(|(name, ..)| *name == other) => "a whole number",
        other if other.starts_with("struct ") => "a table",
        other => other,
    };
    known.to_owned()
}

/// What people call a value.
fn thing(found: &str) -> String {
    let inner = |kind: &str| Some(found.strip_prefix(kind)?.trim_matches('`').to_owned());
    match found {
        "null" | "unit value" => "null".to_owned(),
        "sequence" => "a list".to_owned(),
        "map" => "a table".to_owned(),
        _ => (inner("string ").map(|text| format!("the text {text}")))
            .or_else(|| inner("integer ").map(|number| format!("the number {number}")))
            .or_else(|| inner("floating point ").map(|number| format!("the number {number}")))
            .or_else(|| inner("boolean "))
            .unwrap_or_else(|| found.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only how it is read is of interest")]
    struct Wanted {
        day: String,
        #[serde(default)]
        sleep_ms: u64,
        #[serde(default)]
        small: u8,
        #[serde(default)]
        share: f64,
        #[serde(default)]
        loud: bool,
        #[serde(default)]
        names: Vec<String>,
        #[serde(default)]
        other: u64,
    }

    #[test]
    fn key_is_named_and_what_is_wanted_there_in_words() {
        for (key, value, words) in [
            (
                "sleep_ms",
                json!("20"),
                "params.sleep_ms: a whole number is wanted, not the text \"20\"",
            ),
            (
                "sleep_ms",
                json!(1.5),
                "params.sleep_ms: a whole number is wanted, not the number 1.5",
            ),
            (
                "sleep_ms",
                json!(-1),
                "params.sleep_ms: a whole number from 0 to 18446744073709551615 is wanted, not the number -1",
            ),
            (
                "small",
                json!(300),
                "params.small: a whole number from 0 to 255 is wanted, not the number 300",
            ),
            (
                "share",
                json!(true),
                "params.share: a number is wanted, not true",
            ),
            (
                "loud",
                json!("yes"),
                "params.loud: true or false is wanted, not the text \"yes\"",
            ),
            (
                "names",
                json!({}),
                "params.names: a list is wanted, not a table",
            ),
            (
                "names",
                json!([7]),
                "params.names: a text is wanted, not the number 7",
            ),
            ("day", json!(null), "params.day: a text is wanted, not null"),
        ] {
            let mut given = json!({"day": "today", "share": 1.0});
            given[key] = value;
            let fault = read::<Wanted>("params", &given).unwrap_err();
            assert_eq!(fault.to_string(), words);
        }
        let of = |given: Value| read::<Wanted>("params", &given).unwrap_err().to_string();
        assert_eq!(of(json!({"small": 1})), "params.day: is missing");
        let two = of(json!({"day": "x", "sleep_ms": "1", "other": "1"}));
        assert!(
            two.starts_with("params.") && two.contains(": a whole number"),
            "{two}"
        );
        let unknown = of(json!({"day": "x", "dya": 1}));
        assert!(
            unknown.starts_with("params.dya: is not known: there are day, sleep_ms"),
            "{unknown}"
        );
        assert_eq!(of(json!([1])), "params: a text is wanted, not the number 1");
        assert!(read::<Wanted>("params", &json!({"day": "x"})).is_ok());
    }
}
