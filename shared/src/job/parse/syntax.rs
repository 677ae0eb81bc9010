//! How TOML and JSON text become one kind of value, and where a text that is neither goes wrong.

use serde_json::Value;

use super::Format;
use super::fault::Faults;
use crate::exact;

#[cfg(feature = "files")]
mod toml;

pub(super) fn read(text: &str, format: Format) -> Result<Value, Faults> {
    match format {
        #[cfg(feature = "files")]
        Format::Toml => toml::read(text),
        Format::Json => from_json(text),
    }
}

fn from_json(text: &str) -> Result<Value, Faults> {
    exact::json(text.as_bytes())
        .map_err(|error| syntax_fault(error.line, error.column, &error.what))
}

fn syntax_fault(line: usize, column: usize, what: &str) -> Faults {
    let what = what.trim().replace('\n', ", ");
    Faults::one("", format!("line {line}, column {column}: {what}"))
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
