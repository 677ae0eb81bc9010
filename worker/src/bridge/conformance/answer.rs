//! What an answer has to be, and how it is told where it is another.

use std::fmt::Display;

use serde_json::Value;

/// Why a situation did not end as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It cannot be played on this machine.
    Cannot(String),
    Other {
        expected: String,
        came: String,
        /// Where another place says so than the one that the situation is about.
        clause: Option<&'static str>,
    },
}

/// Something else came.
pub(super) fn fault(expected: impl Display, came: impl Display) -> Fault {
    Fault::Other {
        expected: expected.to_string(),
        came: came.to_string(),
        clause: None,
    }
}

impl Fault {
    /// It is this place that says so.
    #[must_use]
    pub(super) fn by(self, clause: &'static str) -> Fault {
        match self {
            Fault::Other { expected, came, .. } => Fault::Other {
                expected,
                came,
                clause: Some(clause),
            },
            cannot @ Fault::Cannot(_) => cannot,
        }
    }
}

/// Something else came, unless it is so.
pub(super) fn ensure(
    so: bool,
    expected: impl Display,
    came: impl FnOnce() -> String,
) -> Result<(), Fault> {
    match so {
        true => Ok(()),
        false => Err(fault(expected, came())),
    }
}

/// An answer for a shard or a probe, as it was said.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Done(Value),
    Failed(Value),
    Stopped(u64),
    Pages(Value),
}

/// Most bytes of an answer that are told.
const TOLD_MAX: usize = 300;

impl Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Answer::Done(said) => write!(f, "done {}", short(said)),
            Answer::Failed(said) => write!(f, "fail {}", short(said)),
            Answer::Stopped(id) => write!(f, "stopped {id}"),
            Answer::Pages(said) => write!(f, "pages {}", short(said)),
        }
    }
}

/// A value, cut where it is long.
pub(super) fn short(value: &Value) -> String {
    cut(&value.to_string())
}

/// A text, likewise.
pub(super) fn cut(text: &str) -> String {
    match text.len() {
        0..=TOLD_MAX => text.to_owned(),
        all => format!(
            "{}... ({all} bytes)",
            &text[..text.floor_char_boundary(TOLD_MAX)]
        ),
    }
}

impl Answer {
    /// It succeeded; what was said of it.
    pub(super) fn done(&self) -> Result<&Value, Fault> {
        match self {
            Answer::Done(said) => Ok(said),
            other => Err(fault("done", other)),
        }
    }

    /// It succeeded, with this result.
    pub(super) fn result(&self) -> Result<&str, Fault> {
        let said = self.done()?;
        let result = said.get("result").and_then(Value::as_str);
        result.ok_or_else(|| fault("done with a result that is a text", self))
    }

    /// It succeeded with exactly this result.
    pub(super) fn says(&self, wanted: &str) -> Result<(), Fault> {
        let result = self.result()?;
        ensure(
            result == wanted,
            format!("done with the result {:?}", cut(wanted)),
            || format!("done with the result {:?}", cut(result)),
        )
    }

    /// It failed in this way; the error.
    pub(super) fn failed(&self, kind: &str) -> Result<&str, Fault> {
        let Answer::Failed(said) = self else {
            return Err(fault(format!("fail of kind {kind}"), self));
        };
        ensure(said["kind"] == kind, format!("fail of kind {kind}"), || {
            self.to_string()
        })?;
        Ok(said["error"].as_str().unwrap_or_default())
    }

    /// It failed, and says what follows after so long, if it does.
    pub(super) fn after(&self, wanted: Option<u64>) -> Result<(), Fault> {
        let Answer::Failed(said) = self else {
            return Err(fault("fail", self));
        };
        let after = said.get("after_ms").and_then(Value::as_u64);
        let expected = match wanted {
            Some(wanted) => format!("after_ms of {wanted}"),
            None => "no after_ms".to_owned(),
        };
        ensure(after == wanted, expected, || self.to_string())
    }

    /// It was stopped, and nothing more is said of it.
    pub(super) fn stopped(&self) -> Result<(), Fault> {
        match self {
            Answer::Stopped(_) => Ok(()),
            other => Err(fault("stopped", other)),
        }
    }
}

/// Whether two values of JSON are the same to somebody whose numbers are all of one kind: `1` and `1.0` are.
pub(super) fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || one.as_f64() == other.as_f64()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same = |(name, value): (&String, &Value)| {
                other.get(name).is_some_and(|other| alike(value, other))
            };
            one.len() == other.len() && one.iter().all(same)
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_alike_however_they_are_written() {
        assert!(alike(
            &json!({"a": [1, 2.5], "b": null}),
            &json!({"b": null, "a": [1.0, 2.5]})
        ));
        assert!(!alike(&json!({"a": 1}), &json!({"a": 1, "b": 2})));
        assert!(!alike(&json!([1]), &json!(["1"])));
    }
}
