//! A submission with an overlap policy: it stands in a key of the `state` bucket from when it is acknowledged until it was
//! carried out or refused, so that it outlives the leader that took it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::ByHand;
use crate::clock::UnixMs;
use crate::id::RunId;
use crate::trace::{self, Traceparent};

/// What was asked for, as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The run that it becomes.
    pub run: RunId,
    /// What becomes of it while another run of the job is open.
    pub overlap: ByHand,
    /// Hash of what is asked for.
    pub content: u64,
    /// The subject that it stood on.
    pub subject: String,
    /// Its place in the submit stream.
    pub sequence: u64,
    /// When it was stored there.
    pub at: UnixMs,
    /// Its content type, where it names one.
    pub content_type: Option<String>,
    /// Its body.
    pub body: Bytes,
    /// Where its answer goes.
    pub reply: Option<String>,
    /// Who has cancelled it before it was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<String>,
    /// The place in a trace that its submitter named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "trace::lenient")]
    pub traceparent: Option<Traceparent>,
}

/// A place in the submit stream, and when what stands there was stored: after a power failure places can come again.
pub type Stored = (u64, UnixMs);

impl Kept {
    /// Where it stood in the submit stream.
    pub fn stored(&self) -> Stored {
        (self.sequence, self.at)
    }
}

crate::wire::coded!(Kept);
