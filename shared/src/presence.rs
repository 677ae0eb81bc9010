//! What a worker says of itself: on plain NATS every second and whenever asked, and in the
//! `workers` bucket while it is registered.

use serde::{Deserialize, Serialize};

use crate::clock::UnixMs;
use crate::holdings::Packed;
use crate::id::{HandlerName, QueueName, RunId, Session, WorkerName};

/// One worker's announcement. Loss of one is harmless: a second follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// The worker, as people see it.
    pub worker: WorkerName,
    /// Its life.
    pub session: Session,
    /// The queues that it pulls from.
    pub queues: Vec<QueueName>,
    /// The handlers that it has.
    pub handlers: Vec<HandlerName>,
    /// Tiles that it runs at once.
    pub capacity: u32,
    /// Tiles that it runs now.
    pub in_flight: u32,
    /// Version of its build.
    pub version: String,
    /// When it started.
    pub started_at: UnixMs,
    /// When it said this, by its own clock.
    pub at: UnixMs,
    /// Whether it is on its way out and takes no more work.
    pub stopping: bool,
    /// Whether this is its last word: it holds nothing any more, and nobody need look after it.
    #[serde(default)]
    pub gone: bool,
    /// Stream sequences of messages that it held a moment ago, as many as fit. Incomplete and late:
    /// only a hint for the time in which others do not answer (docs/PROTOCOL.md §6).
    #[serde(default, skip_serializing_if = "Packed::is_empty")]
    pub named: Packed,
    /// What runs have cost it since it knows them, those that have grown since it said so last: at
    /// most [`TOLLS_MAX`](crate::limits::TOLLS_MAX).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolls: Vec<Toll>,
}

/// What one run has cost a worker, from the first of its tiles there on. Sums, so that a message may
/// be lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toll {
    /// The run.
    pub run: RunId,
    /// Shards that were executed, whatever came out.
    pub shards: u64,
    /// Time that slots were busy with them, in microseconds.
    pub busy_us: u64,
}

crate::wire::coded!(Presence);
