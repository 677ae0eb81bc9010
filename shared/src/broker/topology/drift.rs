//! Which settings differ. Only the settings that are wanted are compared: what a newer server adds
//! is no drift.

use std::fmt;

use serde_json::{Map, Value};

use super::sizes::{self, MAX_BYTES};

/// Where a stream is kept.
pub(super) const STORAGE: &str = "storage";

/// A setting that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// The stream, bucket or consumer.
    pub what: String,
    /// The setting, as the broker calls it.
    pub setting: String,
    /// What it should be, as JSON.
    pub expected: String,
    /// What it is, as JSON.
    pub found: String,
}

impl Drift {
    /// How people mend it.
    pub fn advice(&self) -> String {
        if self.what.ends_with(QUEUE) && self.setting == "subjects" {
            let what = &self.what;
            return format!(
                "an earlier build made it; it holds nothing but tiles that wait, and the ledger fills it again: stop the planners, delete it (nats stream rm {what}), start them"
            );
        }
        if self.what.ends_with(QUEUE) && self.setting == STORAGE {
            let what = &self.what;
            return format!(
                "it holds nothing that the ledger lacks: a planner that starts while nothing is on it makes it anew; at once: stop the planners, delete it (nats stream rm {what}), start them; or name what it has (queue.storage)"
            );
        }
        if let Some((name, stream)) = self.consumer() {
            return format!(
                "delete it (nats consumer rm {stream} {name}): the next one is made as it should be, and nothing is lost"
            );
        }
        if self.setting == MAX_BYTES {
            return self.advice_of_size();
        }
        "set it back (nats stream edit), or start with the options it was made with".to_owned()
    }

    /// The consumer that it is about, and its stream.
    fn consumer(&self) -> Option<(&str, &str)> {
        self.what.strip_prefix("consumer ")?.split_once(" of ")
    }

    fn advice_of_size(&self) -> String {
        let size = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
        let what = &self.what;
        if sizes::is_more(&size(&self.expected), &size(&self.found)) {
            return "a planner that starts with this size makes it so; those that run were started with another one".to_owned();
        }
        format!(
            "a stream that is made smaller may lose what does not fit, so only you do it (nats stream edit {what} --max-bytes); or name the size that it has (streams.max_bytes)"
        )
    }
}

/// How the name of the queue's stream ends.
const QUEUE: &str = "-shards";

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Drift {
            what,
            setting,
            expected,
            found,
        } = self;
        write!(f, "{what}: {setting} should be {expected}, is {found}")
    }
}

/// The settings of `wanted` that `found` has otherwise.
pub(super) fn between(what: &str, wanted: &Map<String, Value>, found: &Value) -> Vec<Drift> {
    let differs = |setting: &String, expected: &Value| {
        let found = found.get(setting).cloned().unwrap_or(Value::Null);
        (!same(expected, &found)).then(|| Drift {
            what: what.to_owned(),
            setting: setting.clone(),
            expected: expected.to_string(),
            found: found.to_string(),
        })
    };
    wanted
        .iter()
        .filter_map(|(setting, expected)| differs(setting, expected))
        .collect()
}

/// The broker leaves out what is false or zero.
fn same(expected: &Value, found: &Value) -> bool {
    let nothing = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_i64() == Some(0),
        _ => false,
    };
    expected == found || nothing(expected) && nothing(found)
}

/// For people: every difference, and the way out.
pub(super) fn describe(drifts: &[Drift]) -> String {
    let listed: Vec<String> = drifts
        .iter()
        .map(|drift| format!("{drift} ({})", drift.advice()))
        .collect();
    format!(
        "use the broker's streams as they are configured: {}",
        listed.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn difference_is_named_with_both_values() {
        let wanted =
            json!({ "storage": "file", "deny_purge": false, "max_age": 0, "subjects": ["a", "b"] });
        let found = json!({ "storage": "memory", "subjects": ["a", "b"], "new_in_3": true });
        let drifts = between("grid-ledger", wanted.as_object().unwrap(), &found);
        assert_eq!(drifts.len(), 1);
        assert_eq!(
            drifts[0].to_string(),
            "grid-ledger: storage should be \"file\", is \"memory\""
        );
    }

    #[test]
    fn queue_of_an_earlier_build_or_elsewhere_is_to_be_deleted_and_anything_else_set_back() {
        let drift = |what: &str, setting: &str| Drift {
            what: what.into(),
            setting: setting.into(),
            expected: "1".into(),
            found: "2".into(),
        };
        let deleted = |what, setting| {
            drift(what, setting)
                .advice()
                .contains("stream rm grid-shards")
        };
        assert!(deleted("grid-shards", "subjects"));
        assert!(deleted("grid-shards", "storage"));
        assert!(!deleted("grid-shards", "discard"));
        assert!(!deleted("grid-ledger", "storage"));
        assert!(!deleted("grid-ledger", "subjects"));
    }

    #[test]
    fn stream_that_is_too_large_is_made_smaller_by_hand_alone() {
        let drift = |expected: &str, found: &str| Drift {
            what: "grid-ledger".into(),
            setting: MAX_BYTES.into(),
            expected: expected.into(),
            found: found.into(),
        };
        for (expected, found) in [("10", "20"), ("10", "-1")] {
            let advice = drift(expected, found).advice();
            assert!(advice.contains("stream edit grid-ledger"), "{advice}");
        }
        for (expected, found) in [("20", "10"), ("-1", "10")] {
            let advice = drift(expected, found).advice();
            assert!(advice.contains("planner that starts"), "{advice}");
        }
    }

    #[test]
    fn setting_that_is_on_by_mistake_is_drift() {
        let wanted = json!({ "deny_purge": false, "max_age": 0 });
        let found = json!({ "deny_purge": true, "max_age": 5 });
        assert_eq!(between("s", wanted.as_object().unwrap(), &found).len(), 2);
    }
}
