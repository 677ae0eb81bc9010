//! The record of what could not be understood.

use serde::{Deserialize, Serialize};

use crate::clock::UnixMs;
use crate::limits::EXCERPT_MAX;

/// The record of a message that could not be understood or carried out, on `<ns>.unreadable`, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// The subject that it stood on.
    pub subject: String,
    /// Its sequence in its stream.
    pub sequence: u64,
    /// Why it was refused, and what to change.
    pub reason: String,
    /// When it was refused, milliseconds since 1970.
    pub at: UnixMs,
    /// Its size in bytes.
    pub size: usize,
    /// Its beginning, at most [`EXCERPT_MAX`] bytes, with what is no text replaced.
    pub excerpt: String,
}

impl Unreadable {
    /// The record of a message with `payload`.
    pub fn new(subject: &str, sequence: u64, reason: String, payload: &[u8]) -> Unreadable {
        let head = &payload[..payload.len().min(EXCERPT_MAX)];
        Unreadable {
            subject: subject.chars().take(256).collect(),
            sequence,
            reason,
            at: UnixMs::now(),
            size: payload.len(),
            excerpt: String::from_utf8_lossy(head).into_owned(),
        }
    }

    /// Its bytes.
    pub fn encode(&self) -> bytes::Bytes {
        serde_json::json!(self).to_string().into()
    }
}
