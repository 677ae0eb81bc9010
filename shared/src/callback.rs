//! How a service ends a shard that it has taken on: by a call of a planner's API, at an address that has the token of that
//! attempt in it. What is said so goes to the worker that holds the shard, which alone knows the secret of tokens, and becomes
//! its outcome under its fence as any other.
//!
//! The token stays where it was shown: a worker is sent the proof that the planner was, over what was said, and whoever
//! overhears that can say the same once more, and nothing else.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};

use crate::id::{Nonce, RunId};
use crate::limits::{COUNTER_NAME_MAX, COUNTERS_MAX, RESULT_MAX};

#[cfg(feature = "handlers")]
mod ticket;

#[cfg(feature = "handlers")]
pub use ticket::{Ticket, Token};

/// The header of a request in which a service finds where to call.
pub const HEADER: &str = "gridloom-callback";
/// Where callbacks go, below the address of an API.
pub const PATH: &str = "/api/v1/callbacks/";
/// No callback has a larger body.
pub const BODY_MAX: usize = 16 << 10;
/// An attempt that follows later than this is none that anybody means.
const AFTER_MAX_MS: u64 = 30 * 24 * 3_600 * 1_000;

/// The attempt for which a callback is awaited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaited {
    /// The run.
    pub run: RunId,
    /// Which run of that id.
    pub nonce: Nonce,
    /// Row of the grid.
    pub slice: u32,
    /// Page of the slice.
    pub page: u32,
    /// Number of the attempt.
    pub attempt: u32,
}

/// What a service says of its shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = CallbackSaid))]
#[serde(tag = "outcome", rename_all = "snake_case", deny_unknown_fields)]
pub enum Said {
    /// It is done.
    Done {
        /// Rows that it counts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rows: Option<u64>,
        /// What else it counts, 15 names at most.
        #[serde(
            default,
            deserialize_with = "or_usual",
            skip_serializing_if = "BTreeMap::is_empty"
        )]
        counters: BTreeMap<String, i64>,
        /// A small result: 1 KiB at most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<String>,
    },
    /// This attempt at it has failed.
    Failed {
        /// Why.
        error: String,
        /// Whether another attempt may do better.
        #[serde(default, deserialize_with = "or_usual")]
        kind: Kind,
        /// Milliseconds until that, in place of the job's backoff: 30 days at most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after_ms: Option<u64>,
    },
}

/// Whether an attempt that has failed is followed by another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = FailureKind))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// As the job says.
    #[default]
    Retry,
    /// None will do better.
    Permanent,
}

/// A value, or the usual one where `null` stands: many libraries write that for what is not there.
fn or_usual<'de, T, D>(from: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

impl Said {
    /// What of it no shard can report.
    ///
    /// # Errors
    /// With what to change.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Said::Done {
                counters, result, ..
            } => {
                let most = COUNTERS_MAX - 1;
                if counters.len() > most {
                    return Err(format!("counters: may be {most} at most, beside rows"));
                }
                let is_name =
                    |name: &String| (1..=COUNTER_NAME_MAX).contains(&name.len()) && name != "rows";
                if let Some(other) = counters.keys().find(|name| !is_name(name)) {
                    let other: String = other.chars().take(COUNTER_NAME_MAX).collect();
                    return Err(format!(
                        "counters: {other:?} must be a name of 1 to {COUNTER_NAME_MAX} bytes; rows stand beside counters"
                    ));
                }
                match result {
                    Some(result) if result.len() > RESULT_MAX => {
                        Err(format!("result: may have {RESULT_MAX} bytes at most"))
                    }
                    _ => Ok(()),
                }
            }
            Said::Failed { kind, after_ms, .. } => match (kind, after_ms) {
                (Kind::Permanent, Some(_)) => {
                    Err("after_ms: goes with the kind retry alone".to_owned())
                }
                (_, Some(ms)) if *ms > AFTER_MAX_MS => {
                    Err("after_ms: may be 30 days at most".to_owned())
                }
                _ => Ok(()),
            },
        }
    }
}

/// A callback, on its way from the planner that was called to a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Which attempt the token is of.
    pub awaited: Awaited,
    /// What was said, as JSON: of these bytes is the proof.
    pub said: Bytes,
    /// That whoever says it has the token.
    pub proof: Bytes,
}

/// What a worker says to a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heard {
    /// It was given to whom it is for; the ledger has it in a moment, or its lease is lost.
    Given,
    /// The shard is not here, or not any more.
    Elsewhere,
    /// The attempt is over, or something else was said of it before.
    Over,
    /// The token is none of that attempt.
    Unknown,
}

crate::wire::spoken!(Heard);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Said, String> {
        let said: Said = serde_json::from_str(text).map_err(|error| error.to_string())?;
        said.check().map(|()| said)
    }

    #[test]
    fn what_is_said_is_one_of_two_outcomes_and_nothing_besides() {
        for fine in [
            r#"{"outcome": "done"}"#,
            r#"{"outcome": "done", "rows": 7, "counters": {"bytes": -3}, "result": "r"}"#,
            r#"{"outcome": "failed", "error": "no"}"#,
            r#"{"outcome": "failed", "error": "no", "kind": "retry", "after_ms": 5000}"#,
            r#"{"outcome": "failed", "error": "no", "kind": "permanent"}"#,
        ] {
            let said = read(fine).unwrap();
            let again = serde_json::to_string(&said).unwrap();
            assert_eq!(read(&again).unwrap(), said);
        }
        for (null, plain) in [
            (
                r#"{"outcome": "done", "rows": null, "counters": null, "result": null}"#,
                r#"{"outcome": "done"}"#,
            ),
            (
                r#"{"outcome": "failed", "error": "no", "kind": null, "after_ms": null}"#,
                r#"{"outcome": "failed", "error": "no"}"#,
            ),
        ] {
            assert_eq!(read(null), read(plain), "{null}");
            assert!(read(null).is_ok(), "{null}");
        }
        let long = "x".repeat(RESULT_MAX + 1);
        let many: Vec<String> = (0..16).map(|n| format!("\"c{n}\": 1")).collect();
        for bad in [
            "{}",
            "[]",
            r#"{"outcome": "succeeded"}"#,
            r#"{"outcome": "done", "output": 1}"#,
            r#"{"outcome": "done", "error": "no"}"#,
            r#"{"outcome": "failed"}"#,
            r#"{"outcome": "failed", "error": null}"#,
            r#"{"outcome": "done", "counters": {"a": null}}"#,
            r#"{"outcome": "failed", "error": "no", "kind": "hold"}"#,
            r#"{"outcome": "failed", "error": "no", "kind": "permanent", "after_ms": 1}"#,
            r#"{"outcome": "failed", "error": "no", "after_ms": 2592000001}"#,
            r#"{"outcome": "done", "counters": {"rows": 1}}"#,
            r#"{"outcome": "done", "counters": {"": 1}}"#,
            &format!(
                "{{\"outcome\": \"done\", \"counters\": {{{}}}}}",
                many.join(",")
            ),
            &format!("{{\"outcome\": \"done\", \"result\": \"{long}\"}}"),
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
