//! What the shards of a run report mostly: the same, page after page. Where that is known, it goes with the shard's key,
//! and need not be written there once more; nobody sees the key before the commit, and that is only said once
//! what the statements returned is known to be that. Asks nobody anything.
//!
//! The first shard of a run in a process, and the next one after each that reported something else, is written at its
//! key as ever: which also tells whether the statements have left that key alone.

use std::sync::{Arc, Mutex, PoisonError};

/// The last outcome of a run.
#[derive(Debug, Default)]
pub(super) struct Habit(Mutex<Option<Arc<str>>>);

impl Habit {
    /// What the next shard is to report, if it does as the last one did.
    pub(super) fn expected(&self) -> Option<Arc<str>> {
        self.lock().clone()
    }

    /// An outcome was committed, as it was expected or not.
    pub(super) fn saw(&self, outcome: &str, expected: bool) {
        if !expected {
            *self.lock() = Some(outcome.into());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
