//! The first record of a run: what never changes of it.

use serde::{Deserialize, Serialize};

use crate::clock::UnixMs;
use crate::id::{Nonce, Term};
use crate::job::JobSpec;

/// The first record of a run: everything about it that never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// Tells this run from an earlier one with the same id that was purged.
    pub nonce: Nonce,
    /// The job as it stood, with the submission's own parameters and grid in it.
    pub job: JobSpec,
    /// The time it was meant for: the submission's arrival, or the fire's scheduled time.
    pub scheduled_at: UnixMs,
    /// Hash of what was submitted; the same run id with another hash is a conflict.
    pub content: u64,
    /// The term of the planner that opened it.
    pub term: Term,
}
