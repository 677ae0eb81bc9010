//! The ledger of one run with one shard, and what its records add up to.
//!
//! [`Ledger::fold`] mirrors `gridloom_shared::ledger::fold` for one shard (its size decides how many
//! states can be explored); `real.rs` compares the two on every ledger that a case reaches.

use super::rules::{Failure, Reading};

/// What came out of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Done,
    Failed,
}

/// One record. A wave is known by its place, which is also its fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Record {
    Wave {
        attempt: u8,
        folded: u8,
    },
    Takeover {
        by: u8,
        wave: u8,
    },
    Outcome {
        by: u8,
        wave: u8,
        fence: u8,
        outcome: Outcome,
    },
}

/// The records in order. The first stands at sequence 1; `opened` is taken to stand at 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Ledger(pub(crate) Vec<Record>);

/// The newest wave's tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Newest {
    pub(crate) wave: u8,
    pub(crate) attempt: u8,
    pub(crate) fence: u8,
    /// Whether a failure of it counted.
    pub(crate) failed: bool,
}

/// What the records add up to. Of older waves only the successes matter: each was closed by a
/// counted failure before the next was issued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fold {
    pub(crate) done: bool,
    pub(crate) newest: Option<Newest>,
}

impl Fold {
    /// The wave whose tile lacks its outcome.
    pub(crate) fn open(&self) -> Option<u8> {
        self.newest
            .filter(|newest| !self.done && !newest.failed)
            .map(|newest| newest.wave)
    }

    /// The attempt that is to be issued next.
    pub(crate) fn due(&self) -> Option<u8> {
        match self.newest {
            _ if self.done => None,
            None => Some(1),
            Some(newest) => newest.failed.then_some(newest.attempt + 1),
        }
    }

    /// Sequence of the planner's last record.
    pub(crate) fn last_plan(&self) -> u8 {
        self.newest.map_or(0, |newest| newest.wave)
    }
}

impl Ledger {
    pub(crate) fn len(&self) -> u8 {
        self.0.len() as u8
    }

    /// Appends a record and returns its sequence.
    pub(crate) fn append(&mut self, record: Record) -> u8 {
        self.0.push(record);
        self.len()
    }

    /// The fold of the records up to `position`.
    pub(crate) fn fold(&self, position: u8, rule: Failure) -> Fold {
        let mut fold = Fold::default();
        for (at, record) in (1..).zip(&self.0[..usize::from(position)]) {
            fold.apply(at, record, rule);
        }
        fold
    }

    /// What a takeover's reading finds: whether the tile of `wave` needs nothing more, as seen from
    /// the takeover record at `own`.
    pub(crate) fn is_settled(&self, wave: u8, own: u8, reading: Reading, rule: Failure) -> bool {
        let folded = match self.0[usize::from(wave) - 1] {
            Record::Wave { folded, .. } => folded,
            Record::Takeover { .. } | Record::Outcome { .. } => unreachable!("{wave} is a wave"),
        };
        let (from, to) = match reading {
            Reading::FromFoldedToOwn => (folded, own),
            Reading::FromWaveToOwn => (wave, own),
            Reading::EndsEarly => (folded, wave),
        };
        let mut newest = wave;
        for at in from + 1..to {
            match self.0[usize::from(at) - 1] {
                Record::Takeover { wave: of, .. } if of == wave => newest = at,
                Record::Outcome {
                    outcome: Outcome::Done,
                    ..
                } => return true,
                Record::Outcome {
                    wave: of, fence, ..
                } if of == wave && (fence == newest || rule == Failure::AnyFence) => return true,
                Record::Wave { .. } | Record::Takeover { .. } | Record::Outcome { .. } => {}
            }
        }
        false
    }

    /// Whether another session's takeover of `wave` stands after `fence`.
    pub(crate) fn taken_by_another(&self, wave: u8, fence: u8, session: u8) -> bool {
        self.0[usize::from(fence)..].iter().any(
            |record| matches!(record, Record::Takeover { by, wave: of } if *of == wave && *by != session),
        )
    }

    /// The newest fence under which the tile of `wave` is held.
    pub(crate) fn newest_fence(&self, wave: u8) -> u8 {
        let taken = (1..).zip(&self.0).filter_map(|(at, record)| {
            matches!(record, Record::Takeover { wave: of, .. } if *of == wave).then_some(at)
        });
        taken.last().unwrap_or(wave)
    }
}

impl Fold {
    fn apply(&mut self, at: u8, record: &Record, rule: Failure) {
        match *record {
            Record::Wave { attempt, .. } => {
                self.newest = Some(Newest {
                    wave: at,
                    attempt,
                    fence: at,
                    failed: false,
                });
            }
            Record::Takeover { wave, .. } => {
                if let Some(newest) = self.newest.as_mut().filter(|newest| newest.wave == wave) {
                    newest.fence = at;
                }
            }
            Record::Outcome {
                outcome: Outcome::Done,
                ..
            } => self.done = true,
            Record::Outcome { wave, fence, .. } => {
                if let Some(newest) = self.newest.as_mut().filter(|newest| newest.wave == wave) {
                    newest.failed |= newest.fence == fence || rule == Failure::AnyFence;
                }
            }
        }
    }
}
