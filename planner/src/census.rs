//! How many records each open run should have in the ledger, and what it means if they are fewer. Pure.

use gridloom_shared::id::{Nonce, QueueName, RunId, Term};
use gridloom_shared::ledger::fold::Fold;

/// An open run, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The run.
    pub run: RunId,
    /// The queue of its ledger.
    pub queue: QueueName,
    /// Its own number.
    pub nonce: Nonce,
    /// Ledger sequence of its first record.
    pub opened: u64,
    /// How many records it has from there on.
    pub records: u64,
    /// Up to which ledger sequence.
    pub up_to: u64,
    /// Whose leadership has read it.
    pub term: Term,
}

/// An open run whose records have gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// The run.
    pub run: RunId,
    /// The queue of its ledger.
    pub queue: QueueName,
    /// Its own number.
    pub nonce: Nonce,
    /// How many of its records are missing.
    pub missing: u64,
    /// Whose leadership has found it.
    pub term: Term,
}

impl Counted {
    /// An open run that was read to `position`; `None` before its first record.
    pub fn of(fold: &Fold, position: u64, term: Term) -> Option<Counted> {
        let opening = fold.opening()?;
        Some(Counted {
            run: fold.run().clone(),
            queue: opening.record.job.queue.clone(),
            nonce: opening.record.nonce,
            opened: opening.sequence,
            records: fold.records(),
            // It is known of before its first record was read back.
            up_to: position.max(opening.sequence),
            term,
        })
    }

    /// What it means that `found` of its records stand in the ledger.
    pub fn gone(&self, found: u64) -> Option<Gone> {
        let missing = self.records.saturating_sub(found);
        (missing > 0).then(|| Gone {
            run: self.run.clone(),
            queue: self.queue.clone(),
            nonce: self.nonce,
            missing,
            term: self.term,
        })
    }
}

impl Gone {
    /// Whether it is this run, and no later one of its id.
    pub fn is_of(&self, run: &Counted) -> bool {
        self.run == run.run && self.nonce == run.nonce
    }
}
