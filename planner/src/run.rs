//! What a run needs next. Pure: it reads no clock and speaks to no broker.
//!
//! | phase | wave decided | another planner's record came first | queue refilled | all done |
//! |-------|--------------|-------------------------------------|----------------|----------|
//! | idle | - | - | - | closing |
//! | deciding | idle, one more publishing | idle, stale | - | - |
//! | | (if it can never be written: idle, broken, and next closing) | | | |
//! | refilling | - | - | idle | - |
//! | closing | - | idle, stale | - | gone, with the `closed` record |
//!
//! Orders by people are written between waves, whatever the queue is being compared with. A run that
//! was cancelled decides nothing more: [`cancel`] says how it ends.
//!
//! Several waves may be on their way to the queue at once: the next is under way while workers are at
//! the one before. A stale run decides nothing more; it is refilled once nothing of it is on its way.

use std::sync::Arc;

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{QueueName, Term};
use gridloom_shared::ledger::fold::{Fold, Next};
use gridloom_shared::ledger::orders::Cancelled;
use gridloom_shared::ledger::record::{Closed, EndState, Wave};
use gridloom_shared::limits::PUBLISHING_MAX;

mod cancel;
pub mod order;
pub mod wave;

use cancel::Halted;
use wave::Cursor;

/// What is under way for a run, besides waves that are being published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing.
    Idle,
    /// A wave is being written to the ledger.
    Deciding,
    /// The queue is being compared with the ledger.
    Refilling,
    /// Everything of a cancelled run is being stopped.
    Halting,
    /// The last record is being written.
    Closing,
}

/// One open run.
#[derive(Debug)]
pub struct Run {
    /// What its ledger says.
    pub fold: Fold,
    /// The queue that its tiles go to.
    pub queue: QueueName,
    /// What is under way.
    pub phase: Phase,
    /// Whether the queue may lack tiles that the ledger has: to be refilled before anything else.
    pub stale: bool,
    /// Why no wave of it can be written: it ends so.
    broken: Option<String>,
    publishing: u32,
    /// The next wave when the run was last looked at for missing tiles.
    looked_at: u32,
    cursor: Cursor,
    next_wave: u32,
    /// Whether an order is being written.
    ordering: bool,
    /// Sequence of the last order that was written; planning goes on once it is read back.
    awaited: Option<u64>,
    halted: Halted,
    /// Why it is to end itself: too many of its shards are dead.
    too_many: Option<String>,
    /// What that was judged from.
    judged: Option<(u64, bool)>,
}

/// What is to be done for a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Write this wave to the ledger, expecting `expected` as the planner's last record; then put
    /// its tiles on the queue.
    Decide {
        /// The wave.
        wave: Arc<Wave>,
        /// Sequence of the planner's previous record of the run.
        expected: u64,
    },
    /// Compare the queue with the ledger and publish what is missing.
    Refill,
    /// Empty the queue of the run and stop everything of it.
    Halt {
        /// Sequence of the planner's last record of the run.
        sequence: u64,
    },
    /// Write the record by which the run ends itself.
    Abort {
        /// The record.
        cancelled: Cancelled,
        /// Sequence of the planner's previous record of the run.
        expected: u64,
    },
    /// Write the last record.
    Close {
        /// The record.
        closed: Closed,
        /// Sequence of the planner's previous record of the run.
        expected: u64,
    },
}

impl Run {
    /// A run as its ledger has it. `None` before its first record.
    pub fn new(fold: Fold) -> Option<Run> {
        let queue = fold.opening()?.record.job.queue.clone();
        let next_wave = fold.next_wave();
        let mut run = Run {
            fold,
            queue,
            phase: Phase::Idle,
            stale: false,
            broken: None,
            publishing: 0,
            looked_at: 0,
            cursor: Cursor::default(),
            next_wave,
            ordering: false,
            awaited: None,
            halted: Halted::default(),
            too_many: None,
            judged: None,
        };
        run.count_dead();
        Some(run)
    }

    /// What to do now, given room for `room` more tiles; the caller then sees to it and reports back
    /// through [`Run::decided`] and its neighbours. `now` is compared with the broker's stamps.
    pub fn step(&mut self, room: usize, folded: u64, term: Term, now: UnixMs) -> Option<Action> {
        if self.phase != Phase::Idle || self.fold.closing().is_some() {
            return None;
        }
        if !self.is_in_step() {
            return None;
        }
        if self.fold.cancelled().is_some() {
            return self.step_cancelled(term);
        }
        if self.stale {
            if self.publishing > 0 {
                return None;
            }
            self.stale = false;
            self.phase = Phase::Refilling;
            return Some(Action::Refill);
        }
        // The record of the last wave has been written but not read back yet.
        if self.fold.next_wave() != self.next_wave {
            return None;
        }
        let over = self.fold.complete() || self.broken.is_some();
        if over && self.publishing == 0 {
            self.phase = Phase::Closing;
            return Some(Action::Close {
                closed: self.end(term),
                expected: self.fold.last_plan(),
            });
        }
        if self.broken.is_some() {
            return None;
        }
        if let Some(why) = self.too_many.clone().filter(|_| !over) {
            return Some(self.abort(why, term));
        }
        if self.publishing >= PUBLISHING_MAX {
            return None;
        }
        let tiles = wave::next_tiles(&self.fold, &mut self.cursor, room, now);
        if tiles.is_empty() {
            return None;
        }
        self.phase = Phase::Deciding;
        self.next_wave += 1;
        let wave = Wave {
            n: self.fold.next_wave(),
            folded,
            term,
            tiles,
        };
        Some(Action::Decide {
            wave: Arc::new(wave),
            expected: self.fold.last_plan(),
        })
    }

    /// Another planner's record is the next: nothing of ours was decided.
    pub fn outrun(&mut self) {
        self.phase = Phase::Idle;
        // It need not be a wave.
        self.next_wave = self.fold.next_wave();
        self.stale = true;
    }

    /// The wave that was to be the next can never be written.
    pub fn broken(&mut self, why: String) {
        self.phase = Phase::Idle;
        self.next_wave = self.fold.next_wave();
        self.broken = Some(why);
    }

    /// The fold moved on: takes over numbers of waves that others decided.
    pub fn follow(&mut self) {
        self.next_wave = self.next_wave.max(self.fold.next_wave());
        if self.fold.cancelled().is_none() {
            self.halted = Halted::default();
        }
        self.count_dead();
    }

    /// Ours was decided and is being published.
    pub fn decided(&mut self) {
        self.phase = Phase::Idle;
        self.publishing += 1;
    }

    /// A wave is on the queue.
    pub fn published(&mut self) {
        self.publishing = self.publishing.saturating_sub(1);
    }

    /// A wave may not be on the queue.
    pub fn lost(&mut self) {
        self.published();
        self.stale = true;
    }

    /// Called every now and then: a tile that was open at the last call too may not be on the queue.
    pub fn look_for_missing(&mut self) {
        let since = std::mem::replace(&mut self.looked_at, self.fold.next_wave());
        self.stale |= self
            .fold
            .open_tiles()
            .keys()
            .any(|place| place.wave < since);
    }

    /// The queue holds what the ledger says.
    pub fn refilled(&mut self) {
        self.phase = Phase::Idle;
    }

    /// Whether the run could use room on the queue now.
    pub fn wants_room(&self, now: UnixMs) -> bool {
        self.phase == Phase::Idle
            && self.broken.is_none()
            && self.too_many.is_none()
            && self.fold.cancelled().is_none()
            && self.is_in_step()
            && self.publishing < PUBLISHING_MAX
            && self.fold.closing().is_none()
            && (!self.fold.all_issued()
                || self
                    .fold
                    .retries()
                    .first()
                    .is_some_and(|(due, _)| *due <= now))
    }

    fn end(&self, term: Term) -> Closed {
        if let Some(why) = &self.broken {
            return Closed {
                state: EndState::Failed,
                error: Some(why.clone()),
                term,
            };
        }
        let counts = self.fold.counts();
        if counts.dead + counts.dead_probes == 0 {
            return Closed {
                state: EndState::Succeeded,
                error: None,
                term,
            };
        }
        let last = self
            .fold
            .failed()
            .values()
            .rfind(|failed| failed.next == Next::Dead);
        let error = last.map_or("", |failed| failed.error.as_str());
        let what = match (counts.dead, counts.dead_probes) {
            (dead, 0) => format!("{dead} shards are dead"),
            (0, probes) => {
                format!("{probes} probes are dead, so the pages of their slices are unknown")
            }
            (dead, probes) => format!("{dead} shards and {probes} probes are dead"),
        };
        Closed {
            state: EndState::Failed,
            error: Some(format!("{what}; the last error: {error}")),
            term,
        }
    }
}

#[cfg(test)]
mod tests;
