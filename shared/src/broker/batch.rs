//! Tiles of a wave get on the queue together, and only while the term register is as the leader
//! wrote it (docs/PROTOCOL.md §2).
//!
//! | room | how |
//! |------|-----|
//! | [`open`] | on a server that stands alone: an open batch, stored message by message |
//! | [`atomic`] | on a cluster: an atomic batch, all or none |
//!
//! The broker judges the register once a batch: with the first message of an open one, at the commit
//! of an atomic one. So whoever rewrites the register ends the open ones after that
//! ([`Broker::claim_term`]), and nothing lands any more that expected the older one. What is left
//! of a batch that was ended is as if its answer had been lost, and is mended in the same way.

mod atomic;
mod open;

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;

use crate::chain;

use super::api::{ApiError, Fault};
use super::connect::Broker;
use super::log::append::expecting;
use super::plain::RequestError;
use super::term::Register;

pub use crate::limits::BATCH_MAX;

/// One message for the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Where it goes.
    pub subject: Subject,
    /// What it carries.
    pub payload: Bytes,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// All of it is stored.
    Stored,
    /// The register is no longer as expected: another leader wrote it, or it is gone with the queue; or
    /// somebody is just ending all open batches. Surely nothing is stored.
    Refused,
    /// The broker could not judge or take it now. Surely nothing is stored: send it again.
    Busy {
        /// What was seen.
        cause: String,
    },
    /// Nobody knows: all of it or a part may be stored or become so. Rewrite the register, then refill.
    Unknown {
        /// What was seen.
        cause: String,
    },
    /// A part of it is stored, the queue has no room for the rest, and nothing more of it is stored later.
    Part(BatchError),
    /// Surely nothing is stored, and sending it again would not help by itself.
    Failed(BatchError),
}

/// Why a batch was refused for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The queue, the account or the disk is full.
    #[error("publish tiles (make room on the broker's disk or raise its limits)")]
    Full(#[source] Fault),
    /// Another fault of the broker.
    #[error("publish tiles")]
    Fault(#[source] Fault),
    /// Not to be sent: too large, too many, none.
    #[error("publish tiles: {0}")]
    Unsendable(String),
}

impl Broker {
    /// Publishes up to [`BATCH_MAX`] messages to the queue if the term register still is `register`.
    pub async fn publish_batch(&self, messages: &[Outgoing], register: Register) -> Published {
        if let Err(why) = self.check(messages) {
            return Published::Failed(BatchError::Unsendable(why));
        }
        // Never closed: without a permit the broker itself would bound them.
        let _permit = self.batches.acquire().await;
        if self.has_open_batches() {
            self.publish_open(messages, register).await
        } else {
            self.publish_atomic(messages, register).await
        }
    }

    fn check(&self, messages: &[Outgoing]) -> Result<(), String> {
        let most = self.max_record();
        match messages.iter().map(|message| message.payload.len()).max() {
            None => Err("no message in the batch".into()),
            Some(_) if messages.len() > BATCH_MAX => Err(format!(
                "{} messages in the batch, {BATCH_MAX} are the most",
                messages.len()
            )),
            Some(largest) if largest > most => Err(format!(
                "a tile of {largest} bytes, {most} are the most that the broker takes: raise its max_payload"
            )),
            Some(_) => Ok(()),
        }
    }

    fn under(&self, register: Register) -> HeaderMap {
        expecting(register.seq, Some(&self.subjects().term()))
    }
}

/// What to make of an error after which surely nothing is stored.
fn not_stored(error: ApiError) -> Published {
    match error {
        ApiError::Fault(fault) if fault.is_wrong_last() || fault.is_of_no_open_batch() => {
            Published::Refused
        }
        ApiError::Fault(fault) if fault.is_full() => Published::Failed(BatchError::Full(fault)),
        ApiError::Fault(fault) if fault.is_busy() || fault.is_passing() => Published::Busy {
            cause: fault.to_string(),
        },
        ApiError::Fault(fault) => Published::Failed(BatchError::Fault(fault)),
        ApiError::Request(RequestError::Unsendable { subject, cause }) => {
            Published::Failed(BatchError::Unsendable(format!("{subject}: {cause}")))
        }
        ApiError::Request(error) => Published::Busy {
            cause: chain(&error).to_string(),
        },
        ApiError::Answer(cause) => Published::Busy { cause },
    }
}
