//! The whole content of a stream, out of a broker and into another: JetStream's own snapshot, which keeps sequences,
//! times and gaps. It decides neither which streams are copied nor where the bytes go.
//!
//! The broker answers the question for a snapshot with the state of which it is, and sends that in pieces; each is
//! acknowledged, and the broker waits where too many are not. What is written meanwhile is not in it: measured with a
//! writer beside it, a stream that was put back had exactly the messages that the answer named.
//!
//! [`frames`] unpacks what the broker packed. [`back`] puts a copy into a broker, far ahead of where it ended, one at a time ([`mark`]); [`mirror`] follows a stream
//! elsewhere.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::api::ApiError;
use super::connect::Broker;
use super::log::moment;
use super::plain::{PublishError, RequestError, Subscription};
use super::subjects::{StreamName, api};
use crate::clock::UnixMs;

pub mod back;
mod frames;
pub mod mark;
pub mod mirror;

/// Bytes of a piece: what the broker itself chooses, and small enough for any of them.
pub const PIECE_BYTES: usize = 128 << 10;
/// Silence of the broker in the middle of a copy; it reads its disk in between.
const SILENCE: Duration = Duration::from_secs(20);
/// What the broker says at the end of a copy that is whole.
const WHOLE: u16 = 204;

/// What a copy is of: as the broker writes it, so that nothing is lost that this build does not know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The settings of the stream.
    pub config: Map<String, Value>,
    /// How much it held.
    pub state: Value,
}

/// How much a stream held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Messages.
    pub messages: u64,
    /// Their size in the store.
    pub bytes: u64,
    /// Sequence of the first.
    pub first_seq: u64,
    /// Sequence of the last that was ever stored.
    pub last_seq: u64,
    /// When the first was stored; `None` where there is none.
    pub first_at: Option<UnixMs>,
    /// When the last was stored.
    pub last_at: Option<UnixMs>,
}

impl Extent {
    pub(super) fn of(state: &Value) -> Extent {
        let number = |key| state.get(key).and_then(Value::as_u64).unwrap_or(0);
        // The broker names the year 1 where there is nothing: before 1970 there is no moment here.
        let at = |key| {
            let text = state.get(key).and_then(Value::as_str)?;
            moment(text).filter(|at| at.0 > 0)
        };
        Extent {
            messages: number("messages"),
            bytes: number("bytes"),
            first_seq: number("first_seq"),
            last_seq: number("last_seq"),
            first_at: at("first_ts"),
            last_at: at("last_ts"),
        }
    }
}

impl Origin {
    /// How much the stream held.
    pub fn extent(&self) -> Extent {
        Extent::of(&self.state)
    }

    /// How many copies the broker kept of it.
    pub fn replicas(&self) -> u64 {
        let replicas = self.config.get(REPLICAS).and_then(Value::as_u64);
        replicas.unwrap_or(1)
    }

    /// The same, of which the broker is to keep so many copies.
    pub fn with_replicas(mut self, replicas: u64) -> Origin {
        self.config.insert(REPLICAS.into(), replicas.into());
        self
    }
}

/// The setting of a stream.
const REPLICAS: &str = "num_replicas";

/// Why a copy is not whole. Copying again is right.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The broker does not do it.
    #[error("copy stream {stream}")]
    Api {
        /// Which.
        stream: String,
        /// What the broker said.
        #[source]
        cause: ApiError,
    },
    /// A subscription or an acknowledgement could not be handed to the client.
    #[error("copy stream {stream}")]
    Publish {
        /// Which.
        stream: String,
        /// What is wrong.
        #[source]
        cause: PublishError,
    },
    /// The broker ended it.
    #[error("copy stream {stream}: the broker ended it: {reason}")]
    Ended {
        /// Which.
        stream: String,
        /// What the broker said.
        reason: String,
    },
    /// It does not go on ahead of where it ended.
    #[error("put back stream {stream}: it should go on at {ahead}, and ends at {found}")]
    Behind {
        /// Which.
        stream: String,
        /// Where it should go on.
        ahead: u64,
        /// Where it ends.
        found: u64,
    },
}

/// A copy on its way out.
#[derive(Debug)]
pub struct CopyOut {
    broker: Broker,
    stream: StreamName,
    pieces: Subscription,
    origin: Origin,
    done: bool,
}

impl Broker {
    /// Begins a copy of `stream`, without its consumers.
    ///
    /// # Errors
    /// When the broker does not begin it.
    pub async fn copy_out(&self, stream: &StreamName) -> Result<CopyOut, CopyError> {
        let inbox = self.new_inbox();
        let subscribed = self.subscribe(inbox.clone()).await;
        let pieces = subscribed.map_err(|cause| unpublished(stream, cause))?;
        let question = json!({
            "deliver_subject": inbox,
            "no_consumers": true,
            "chunk_size": PIECE_BYTES,
        });
        let asked = self.api(api::stream_snapshot(stream), &question).await;
        Ok(CopyOut {
            broker: self.clone(),
            stream: stream.clone(),
            pieces,
            origin: asked.map_err(|cause| failed(stream, cause))?,
            done: false,
        })
    }
}

impl CopyOut {
    /// What it is of.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The next piece; `None` when it is whole.
    ///
    /// # Errors
    /// When it will not become whole.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CopyError> {
        if self.done {
            return Ok(None);
        }
        let silent = || RequestError::TimedOut {
            subject: format!("a piece of {}", self.stream),
            waited: SILENCE,
        };
        let next = timeout(SILENCE, self.pieces.next()).await.ok().flatten();
        let Some(piece) = next else {
            return Err(failed(&self.stream, silent().into()));
        };
        if piece.payload.is_empty() {
            self.done = true;
            let status = piece.status.map(|status| status.as_u16());
            return match status {
                None | Some(WHOLE) => Ok(None),
                Some(status) => Err(CopyError::Ended {
                    stream: self.stream.to_string(),
                    reason: format!("{status} {}", piece.description.unwrap_or_default()),
                }),
            };
        }
        if let Some(reply) = piece.reply {
            let acknowledged = self.broker.publish(reply, Bytes::new()).await;
            acknowledged.map_err(|cause| unpublished(&self.stream, cause))?;
        }
        Ok(Some(piece.payload))
    }
}

fn failed(stream: &StreamName, cause: ApiError) -> CopyError {
    CopyError::Api {
        stream: stream.to_string(),
        cause,
    }
}

fn unpublished(stream: &StreamName, cause: PublishError) -> CopyError {
    CopyError::Publish {
        stream: stream.to_string(),
        cause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extent_is_what_the_broker_says_and_an_empty_stream_has_no_times() {
        let full = json!({
            "messages": 2, "bytes": 90, "first_seq": 7, "last_seq": 9,
            "first_ts": "1970-01-01T00:00:01Z", "last_ts": "1970-01-01T00:00:02.5Z",
        });
        let extent = Extent::of(&full);
        assert_eq!(
            (extent.messages, extent.first_seq, extent.last_seq),
            (2, 7, 9)
        );
        assert_eq!(
            (extent.first_at, extent.last_at),
            (Some(UnixMs(1_000)), Some(UnixMs(2_500)))
        );
        let empty = json!({ "last_seq": 6, "last_ts": "0001-01-01T00:00:00Z" });
        let extent = Extent::of(&empty);
        assert_eq!((extent.last_seq, extent.last_at), (6, None));
    }
}
