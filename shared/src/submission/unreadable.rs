//! The record of what could not be understood.

use serde::{Deserialize, Serialize};

use crate::clock::UnixMs;
use crate::id::RunId;
use crate::limits::{EXCERPT_MAX, REASON_MAX};

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
            reason: cut(reason),
            at: UnixMs::now(),
            size: payload.len(),
            excerpt: String::from_utf8_lossy(head).into_owned(),
        }
    }

    /// The reason of a record of a run that was decided and cannot be opened.
    pub fn why_not_opened(run: &RunId, why: &str) -> String {
        format!("run {run}: {why}")
    }

    /// Why `run` was not opened though it was decided, where that is what it tells.
    pub fn not_opened(&self, run: &RunId) -> Option<&str> {
        self.reason.strip_prefix(&Self::why_not_opened(run, ""))
    }

    /// Its bytes.
    pub fn encode(&self) -> bytes::Bytes {
        serde_json::json!(self).to_string().into()
    }
}

/// A text of at most [`REASON_MAX`] bytes.
fn cut(mut text: String) -> String {
    const MORE: &str = "...";
    if text.len() > REASON_MAX {
        text.truncate(text.floor_char_boundary(REASON_MAX - MORE.len()));
        text.push_str(MORE);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{MESSAGE_MIN, record_of};

    #[test]
    fn record_of_a_run_that_was_not_opened_is_of_that_run_alone() {
        let run = |text: &str| RunId::new(text).unwrap();
        let reason = Unreadable::why_not_opened(&run("a_1"), "its job was deleted");
        let record = Unreadable::new("a", 1, reason, b"");
        assert_eq!(record.not_opened(&run("a_1")), Some("its job was deleted"));
        assert_eq!(record.not_opened(&run("a_11")), None);
    }

    #[test]
    fn record_fits_into_the_smallest_message_whatever_was_sent() {
        let worst = "\u{1}".repeat(100_000);
        let record = Unreadable::new(&worst, 1, worst.clone(), worst.as_bytes());
        assert!(record.encode().len() <= record_of(MESSAGE_MIN));
        let long = Unreadable::new("a", 1, "é".repeat(REASON_MAX), b"");
        assert!(long.reason.ends_with("é...") && long.reason.len() <= REASON_MAX);
    }
}
