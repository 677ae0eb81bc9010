//! Which value a key may hold, and how a wrong one is described.
//!
//! Each reader returns `None` after it has added a fault, so that the reading goes on with the next
//! key and no fault hides another.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value};

use super::fault::Faults;
use crate::duration::{meant_duration, parse_duration, write_duration};
use crate::id::NameError;

/// Longest piece of a user's text that a message repeats, in characters.
const SHOWN: usize = 40;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node<'v> {
    path: String,
    value: &'v Value,
}

/// The keys of a table, none of them unknown.
#[derive(Clone, Debug)]
pub(super) struct Fields<'v> {
    table: Node<'v>,
    map: &'v Map<String, Value>,
}

impl<'v> Node<'v> {
    pub(super) fn root(value: &'v Value) -> Self {
        Node::at("", value)
    }

    pub(super) fn at(path: &str, value: &'v Value) -> Self {
        Node {
            path: path.to_owned(),
            value,
        }
    }

    pub(super) fn value(&self) -> &'v Value {
        self.value
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The item of this list at `place`.
    pub(super) fn item(&self, place: usize, value: &'v Value) -> Self {
        Node {
            path: format!("{}[{place}]", self.path),
            value,
        }
    }

    /// The path of this table's `key`.
    pub(super) fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// Adds the fault that this value is not what it `must` be.
    pub(super) fn refuse(&self, must: impl fmt::Display, faults: &mut Faults) {
        self.refuse_with(must, "", faults);
    }

    /// The same, and what may have been meant.
    pub(super) fn refuse_with(&self, must: impl fmt::Display, hint: &str, faults: &mut Faults) {
        let found = Found(self.value);
        let message = format!("must be {must}, found {found}{hint}");
        faults.add(self.path.clone(), message);
    }

    /// The keys of this table. Keys that are in neither list are faults, as are those that only a
    /// later version has (`later`: the key and what to do without it).
    pub(super) fn fields(
        &self,
        known: &[&str],
        later: &[(&str, &str)],
        faults: &mut Faults,
    ) -> Option<Fields<'v>> {
        let Value::Object(map) = self.value else {
            let keys = known.join(", ");
            self.refuse(format_args!("a table with the keys {keys}"), faults);
            return None;
        };
        for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
            let advice = later.iter().find(|(name, _)| name == key);
            let message = advice.map_or_else(
                || misplaced(&self.path, key).unwrap_or_else(|| unknown(key, known)),
                |(_, advice)| format!("this version does not have it yet: {advice}"),
            );
            faults.add(self.path_of(key), message);
        }
        Some(Fields {
            table: self.clone(),
            map,
        })
    }

    pub(super) fn integer(&self, within: RangeInclusive<u64>, faults: &mut Faults) -> Option<u64> {
        let found = self.value.as_u64().filter(|found| within.contains(found));
        if found.is_none() {
            let (low, high) = (within.start(), within.end());
            self.refuse(format_args!("a whole number from {low} to {high}"), faults);
        }
        found
    }

    pub(super) fn number(&self, within: RangeInclusive<f64>, faults: &mut Faults) -> Option<f64> {
        let found = self.value.as_f64().filter(|found| within.contains(found));
        if found.is_none() {
            let (low, high) = (within.start(), within.end());
            self.refuse(format_args!("a number from {low} to {high}"), faults);
        }
        found
    }

    /// The length of time in milliseconds.
    pub(super) fn duration(
        &self,
        within: &RangeInclusive<Duration>,
        faults: &mut Faults,
    ) -> Option<u64> {
        let read = self.value.as_str().map(parse_duration);
        let Some(Ok(ms)) = read else {
            let form = "a duration such as \"500ms\", \"30s\", \"10m\", \"2h\" or \"1h30m\"";
            match self.value.as_u64() {
                // Without a unit, which most other tools take for seconds.
                Some(number) => self.refuse(
                    format_args!("{form} (\"{number}s\" for so many seconds)"),
                    faults,
                ),
                None => {
                    let meant = self.value.as_str().and_then(meant_duration);
                    let hint = meant.map(|meant| format!("; did you mean {meant:?}?"));
                    self.refuse_with(form, &hint.unwrap_or_default(), faults);
                }
            }
            return None;
        };
        if within.contains(&Duration::from_millis(ms)) {
            return Some(ms);
        }
        let written =
            |bound: &Duration| write_duration(u64::try_from(bound.as_millis()).unwrap_or(u64::MAX));
        let (low, high) = (written(within.start()), written(within.end()));
        self.refuse(format_args!("a duration from {low} to {high}"), faults);
        None
    }

    pub(super) fn name<T>(
        &self,
        read: impl FnOnce(String) -> Result<T, NameError>,
        faults: &mut Faults,
    ) -> Option<T> {
        let found = self.value.as_str().map(|text| read(text.to_owned()));
        if let Some(Ok(name)) = found {
            return Some(name);
        }
        let form = "1 to 48 of a-z, 0-9 and '-', beginning with a letter or digit";
        self.refuse(form, faults);
        None
    }
}

impl<'v> Fields<'v> {
    pub(super) fn get(&self, key: &str) -> Option<Node<'v>> {
        self.map.get(key).map(|value| Node {
            path: self.table.path_of(key),
            value,
        })
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// What `read` makes of a key that may be left out. `Some(None)`: left out; `None`: faulty.
    pub(super) fn optional<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Node<'v>) -> Option<T>,
    ) -> Option<Option<T>> {
        self.get(key)
            .map_or(Some(None), |node| read(&node).map(Some))
    }

    /// The value of a key that must be there; `why` ends the message when it is not.
    pub(super) fn need(&self, key: &str, why: &str, faults: &mut Faults) -> Option<Node<'v>> {
        let found = self.get(key);
        if found.is_none() {
            faults.add(self.table.path_of(key), format!("is missing: {why}"));
        }
        found
    }
}

/// `path.key`, with quotes where the key would not be read back as one.
pub(super) fn join(path: &str, key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let key = if !key.is_empty() && key.bytes().all(bare) {
        shortened(key)
    } else {
        format!("{:?}", shortened(key))
    };
    if path.is_empty() {
        key
    } else {
        format!("{path}.{key}")
    }
}

fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    shown
}

/// A known key in another place than its own: mostly a file whose `[table]` begins too late or too early.
fn misplaced(here: &str, key: &str) -> Option<String> {
    let (table, form) = super::keys::place_of(here, key)?;
    Some(match table {
        "" => format!("stands at the top of the file, before its first [table]: {form}"),
        _ => format!("is a key of [{table}]: {form}"),
    })
}

fn unknown(key: &str, known: &[&str]) -> String {
    nearest(key, known).map_or_else(
        || format!("is no known key; known are {}", known.join(", ")),
        |near| format!("is no known key; did you mean `{near}`?"),
    )
}

/// The known key that is nearest in writing, if any is near.
fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    if key.len() > SHOWN {
        return None;
    }
    let key = key.to_ascii_lowercase().replace('-', "_");
    let distances = known.iter().map(|name| (distance(&key, name), *name));
    let (far, name) = distances.min()?;
    let longest = key.len().max(name.len());
    (far * 5 <= longest * 2).then_some(name)
}

/// Letters to add, take away, change or swap with their neighbour to get from one word to the
/// other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![vec![0; to.len() + 1]; from.len() + 1];
    rows[0] = (0..=to.len()).collect();
    for i in 1..=from.len() {
        rows[i][0] = i;
        for j in 1..=to.len() {
            let changed = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let moved = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            rows[i][j] = changed.min(moved);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                rows[i][j] = rows[i][j].min(rows[i - 2][j - 2] + 1);
            }
        }
    }
    rows[from.len()][to.len()]
}

/// A value as a message names it.
struct Found<'v>(&'v Value);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("null"),
            Value::Bool(found) => write!(f, "{found}"),
            Value::Number(found) => write!(f, "{found}"),
            Value::String(found) => write!(f, "{:?}", shortened(found)),
            Value::Array(found) => write!(f, "a list of {}", found.len()),
            Value::Object(_) => f.write_str("a table"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slip_of_the_pen_finds_its_key_and_another_word_does_not() {
        let known = ["name", "handler", "queue", "grid", "max_attempts"];
        assert_eq!(nearest("nmae", &known), Some("name"));
        assert_eq!(nearest("Handler", &known), Some("handler"));
        assert_eq!(nearest("max-atempts", &known), Some("max_attempts"));
        assert_eq!(nearest("owner", &known), None);
        assert_eq!(nearest("", &known), None);
        assert_eq!(nearest(&"x".repeat(1_000_000), &known), None);
    }

    #[test]
    fn keys_that_are_no_words_are_quoted_in_paths() {
        assert_eq!(join("grid", "pages"), "grid.pages");
        assert_eq!(join("", "a.b"), "\"a.b\"");
        assert_eq!(join("params", ""), "params.\"\"");
    }
}
