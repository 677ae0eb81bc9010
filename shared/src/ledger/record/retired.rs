//! The last records of a run: it is decided that it is purged, and later that even its id is forgotten.
//!
//! Decided before it is done: `retired` stands behind the record that closed the run, under the same
//! compare-and-swap as an order, so that a `reopened` that came first wins. Only then is anything
//! removed, and only what stands below (docs/PROTOCOL.md).

use serde::{Deserialize, Serialize};

use crate::clock::UnixMs;
use crate::id::{Nonce, Term};

/// The run is over for good: its records are being removed, and its id is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired {
    /// Whose end it is. `None` where the run's first record had gone before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Nonce>,
    /// Hash of what was submitted: the same id with another hash is a conflict. `None` likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<u64>,
    /// When the run was closed, by the broker's clock.
    pub closed_at: UnixMs,
    /// Its dead shards and questions that nobody retried or gave up: they go unseen.
    #[serde(default, skip_serializing_if = "super::orders::is_zero")]
    pub dead: u64,
    /// The decider's term.
    pub term: Term,
}

/// The id is remembered no longer: it is free for another run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// The decider's term.
    pub term: Term,
}
