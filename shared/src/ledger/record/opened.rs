//! The first record of a run: what never changes of it.

use serde::{Deserialize, Serialize};

use crate::clock::UnixMs;
use crate::id::{Nonce, Term};
use crate::job::JobSpec;

use super::wave::{TileRun, Wave};

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
    /// Tiles of its first wave, where there was room for them when it was opened. Empty: waves of their own
    /// follow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<TileRun>,
}

impl Opened {
    /// The wave that is decided with it; `sequence` is the record's own, and that of the wave.
    pub fn wave(&self, sequence: u64) -> Option<Wave> {
        (!self.first.is_empty()).then(|| Wave {
            n: 0,
            // Nothing of the run can stand before.
            folded: sequence.saturating_sub(1),
            term: self.term,
            tiles: self.first.clone(),
        })
    }
}
