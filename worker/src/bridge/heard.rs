//! What a child may say, and what of it is a fault (docs/CHILD-PROTOCOL.md §4). Pure: bytes of a frame become a message
//! or an error.

use std::borrow::Cow;
use std::time::Duration;

use gridloom_shared::tile::{Bounds, Key};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::handler::ProbedPages;
use crate::shard::Shard;

/// Why a message is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeardError {
    #[error("a frame that is no JSON object with a type")]
    NoMessage(#[source] serde_json::Error),
    #[error("a frame that is JSON and no object")]
    NoObject,
    #[error("a message {kind:?} that cannot be read")]
    Message {
        kind: &'static str,
        #[source]
        source: serde_json::Error,
    },
    #[error("a hold without after_ms")]
    Hold,
}

/// What a child said.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    Hello(Hello),
    Done(Vec<Done>),
    Fail(Vec<Failed>),
    Stopped(Vec<u64>),
    Progress(Vec<Progress>),
    Pages(Pages),
    Bye,
    /// Something that a later version has.
    Unknown,
}

/// Who the child is.
#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Hello {
    pub(super) protocol: (u32, u32),
    pub(super) token: Option<String>,
    pub(super) sdk: Option<String>,
    pub(super) handlers: Vec<String>,
    pub(super) probes: Option<Vec<String>>,
    pub(super) slots: Option<u32>,
}

/// A shard that succeeded, and what it counted: read leniently, as one value that is wrong must not fail the
/// neighbours.
#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct Done {
    pub(super) id: u64,
    rows: Option<Value>,
    counters: Option<Value>,
    result: Option<Value>,
}

/// A shard that did not.
#[derive(Debug, PartialEq)]
pub(super) struct Failed {
    pub(super) id: u64,
    pub(super) failure: Failure,
}

/// How far a shard is.
#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Progress {
    pub(super) id: u64,
    pub(super) rows: u64,
}

/// The answer to a probe.
#[derive(Debug, PartialEq)]
pub(super) struct Pages {
    pub(super) id: u64,
    pub(super) answer: ProbedPages,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Many<T> {
    shards: Vec<T>,
}

#[derive(Deserialize)]
struct Ids {
    ids: Vec<u64>,
}

#[derive(Deserialize)]
struct RawFailed {
    id: u64,
    kind: String,
    after_ms: Option<u64>,
    error: String,
}

#[derive(Deserialize)]
struct RawPages {
    id: u64,
    pages: Vec<(Key, Key)>,
    cursor: Option<Key>,
}

impl Heard {
    /// What a frame says.
    pub(super) fn read(frame: &[u8]) -> Result<Heard, HeardError> {
        // A list would be read as an object's fields in their order.
        if frame
            .trim_ascii_start()
            .first()
            .is_some_and(|first| *first == b'[')
        {
            return Err(HeardError::NoObject);
        }
        let head: Head<'_> = serde_json::from_slice(frame).map_err(HeardError::NoMessage)?;
        Ok(match &*head.kind {
            "hello" => Heard::Hello(body("hello", frame)?),
            "done" => Heard::Done(body::<Many<_>>("done", frame)?.shards),
            "fail" => {
                let failed = body::<Many<RawFailed>>("fail", frame)?.shards;
                Heard::Fail(
                    failed
                        .into_iter()
                        .map(RawFailed::read)
                        .collect::<Result<_, _>>()?,
                )
            }
            "stopped" => Heard::Stopped(body::<Ids>("stopped", frame)?.ids),
            "progress" => Heard::Progress(body::<Many<_>>("progress", frame)?.shards),
            "pages" => {
                let RawPages { id, pages, cursor } = body("pages", frame)?;
                let pages = pages
                    .into_iter()
                    .map(|(from, to)| Bounds(from, to))
                    .collect();
                Heard::Pages(Pages {
                    id,
                    answer: ProbedPages { pages, cursor },
                })
            }
            "bye" => Heard::Bye,
            _ => Heard::Unknown,
        })
    }
}

fn body<T: DeserializeOwned>(kind: &'static str, frame: &[u8]) -> Result<T, HeardError> {
    serde_json::from_slice(frame).map_err(|source| HeardError::Message { kind, source })
}

impl RawFailed {
    fn read(self) -> Result<Failed, HeardError> {
        let wait = self.after_ms.map(Duration::from_millis);
        let failure = match (self.kind.as_str(), wait) {
            ("permanent", _) => Failure::permanent(self.error),
            ("hold", Some(wait)) => Failure::hold(wait, self.error),
            ("hold", None) => return Err(HeardError::Hold),
            (_, Some(wait)) => Failure::retry_after(wait, self.error),
            (_, None) => Failure::retry(self.error),
        };
        Ok(Failed {
            id: self.id,
            failure,
        })
    }
}

impl Done {
    /// Counts for the shard what the child said of it.
    ///
    /// # Errors
    /// When something there is not what the ledger takes: the shard fails for good.
    pub(super) fn report(self, shard: &Shard) -> Result<(), Failure> {
        let wrong = |what: &str, value: &Value, must: &str| {
            let mut value = value.to_string();
            value.truncate(value.floor_char_boundary(100));
            Failure::permanent(format!("the child said {what}: {value}: {must}"))
        };
        if let Some(rows) = &self.rows {
            let counted = rows.as_u64().filter(|rows| *rows <= i64::MAX as u64);
            let rows = counted
                .ok_or_else(|| wrong("rows", rows, "must be a whole number from 0 below 2^63"))?;
            shard.rows(rows);
        }
        match &self.counters {
            None => {}
            Some(Value::Object(counters)) => count(counters, shard, wrong)?,
            Some(other) => {
                return Err(wrong(
                    "counters",
                    other,
                    "must be an object of whole numbers",
                ));
            }
        }
        match self.result {
            None => {}
            Some(Value::String(text)) => shard.result(text),
            Some(other) => return Err(wrong("result", &other, "must be a text")),
        }
        Ok(())
    }
}

fn count(
    counters: &Map<String, Value>,
    shard: &Shard,
    wrong: impl Fn(&str, &Value, &str) -> Failure,
) -> Result<(), Failure> {
    for (name, value) in counters {
        let n = value.as_i64().ok_or_else(|| {
            wrong(
                &format!("counter {name:?}"),
                value,
                "must be a whole number of 64 bits",
            )
        })?;
        shard.count(name, n);
    }
    Ok(())
}
