//! What a run needs next. Pure: it reads no clock and speaks to no broker.
//!
//! | phase | wave decided | another planner's record came first | all done |
//! |-------|--------------|-------------------------------------|----------|
//! | idle | - | - | closing |
//! | deciding | idle, one more publishing | idle, stale | - |
//! | | (if it can never be written: idle, and next ends itself) | | |
//! | recalling (until the waves were read) | - | - | - |
//! | closing | - | idle, stale | gone, with the `closed` record |
//!
//! While the queue is being compared with the ledger, or what it lacks is being published again, nothing
//! is decided. Orders by people are written meanwhile, between waves. A run that was cancelled decides
//! nothing more, and waits for no comparison: [`cancel`] says how it ends.
//!
//! Several waves may be on their way to the queue at once: the next is under way while workers are at
//! the one before. A stale run decides nothing more; it is refilled once nothing of it is on its way.

use std::collections::BTreeSet;
use std::sync::Arc;

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{QueueName, Term};
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::orders::Cancelled;
use gridloom_shared::ledger::record::{Closed, PlanRecord, Record, Wave, WorkRecord};
use gridloom_shared::limits::{PUBLISHING_MAX, RECORD_MAX};

use crate::entry::Entry;

mod cancel;
mod close;
mod event;
pub mod order;
pub mod wave;

pub use event::Event;

use cancel::Halted;
use wave::Cursor;

/// What is under way for a run, besides waves that are being published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing.
    Idle,
    /// A wave is being written to the ledger.
    Deciding,
    /// Waves are being read again, for the bounds of dead shards that are to be tried again.
    Recalling,
    /// Everything of a cancelled run is being stopped.
    Halting,
    /// The last record is being written.
    Closing,
}

/// How far the queue is compared with the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    /// Not at all.
    None,
    /// The queue is being listed, or workers are being asked.
    Looking,
    /// What the queue lacks is on its way there.
    Publishing,
}

/// One open run.
#[derive(Debug)]
pub struct Run {
    fold: Fold,
    queue: QueueName,
    phase: Phase,
    comparison: Comparison,
    /// Whether the queue may lack tiles that the ledger has: to be refilled before anything else.
    stale: bool,
    /// Whether tiles of it are held of which the queue has no message: one that is handed back is nowhere then.
    held_apart: bool,
    /// Why no wave of it can be written, or no tile be put on the queue: it ends itself.
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
    /// Shards of the grid; `None` where they are found on the way.
    total: Option<u64>,
}

/// What a run may put on its queue at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// So many tiles.
    pub tiles: usize,
    /// So many pages in each, where the job does not say; 0 counts as one.
    pub pages: u32,
    /// Largest record that the broker takes, in bytes.
    pub record: usize,
}

impl Default for Room {
    fn default() -> Room {
        Room {
            tiles: 0,
            pages: 0,
            record: RECORD_MAX,
        }
    }
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
    /// Read these waves again: they have the bounds of dead shards that are to be tried again.
    Recall {
        /// Their ledger sequences.
        waves: BTreeSet<u64>,
    },
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
        let total = cancel::shards_of(&fold);
        let mut run = Run {
            fold,
            queue,
            phase: Phase::Idle,
            comparison: Comparison::None,
            stale: false,
            held_apart: false,
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
            total,
        };
        run.count_dead();
        run.tell_aside(false);
        Some(run)
    }

    /// What to do now, given `room` on the queue; the caller then sees to it and reports back
    /// through [`Run::take`]. `folded` is the ledger sequence up to which this planner has read, and
    /// `now` is compared with the broker's stamps.
    pub fn step(&mut self, room: Room, folded: u64, term: Term, now: UnixMs) -> Option<Action> {
        if self.phase != Phase::Idle || self.fold.closing().is_some() || !self.is_in_step() {
            return None;
        }
        // Whoever reads what stands there knows what is next.
        if self.fold.is_newer() {
            return None;
        }
        if self.fold.cancelled().is_some() {
            return self.step_cancelled(term);
        }
        if self.comparison != Comparison::None {
            return None;
        }
        if self.fold.aside().is_some() {
            return None;
        }
        if self.stale && self.broken.is_none() {
            if self.publishing > 0 {
                return None;
            }
            self.stale = false;
            self.comparison = Comparison::Looking;
            return Some(Action::Refill);
        }
        if !self.is_read_back() {
            return None;
        }
        let complete = self.fold.complete();
        if complete && self.publishing == 0 {
            self.phase = Phase::Closing;
            return Some(Action::Close {
                closed: self.end(term),
                expected: self.fold.last_plan(),
            });
        }
        let hopeless = self.broken.as_ref().or(self.too_many.as_ref());
        if let Some(why) = hopeless.filter(|_| !complete).cloned() {
            return Some(self.abort(why, term));
        }
        if self.publishing >= PUBLISHING_MAX {
            return None;
        }
        let waves = self.fold.forgotten();
        if !waves.is_empty() {
            self.phase = Phase::Recalling;
            return Some(Action::Recall { waves });
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

    /// Takes in what happened to the run.
    pub fn take(&mut self, event: Event) {
        match event {
            Event::Outrun => {
                self.phase = Phase::Idle;
                // It need not be a wave.
                self.next_wave = self.fold.next_wave();
                self.stale = true;
            }
            Event::Unwritable(why) => {
                self.phase = Phase::Idle;
                self.next_wave = self.fold.next_wave();
                self.broken = Some(why);
            }
            Event::Unsendable(why) => self.broken = Some(why),
            Event::Decided => {
                self.phase = Phase::Idle;
                self.publishing += 1;
            }
            Event::Begun => self.publishing += 1,
            Event::Published => self.publishing = self.publishing.saturating_sub(1),
            Event::PublishLost => {
                self.publishing = self.publishing.saturating_sub(1);
                self.stale = true;
            }
            Event::QueueDoubtful => self.stale |= self.may_lack_tiles(),
            Event::Looked => self.look_for_missing(),
            Event::HeldApart => self.held_apart = true,
            Event::RefillBegun => self.comparison = Comparison::Publishing,
            Event::Refilled => self.comparison = Comparison::None,
            Event::NotCompared => {
                self.comparison = Comparison::None;
                self.stale = true;
            }
            Event::Halted => self.phase = Phase::Idle,
            Event::Recalled(waves) => {
                let read = waves.iter();
                read.for_each(|(sequence, wave)| self.fold.recall(*sequence, wave));
                if self.phase == Phase::Recalling {
                    self.phase = Phase::Idle;
                }
            }
            Event::OrderBegun => self.ordering = true,
            Event::OrderWritten { sequence } => {
                self.ordering = false;
                self.awaited = Some(sequence);
            }
            Event::OrderFailed => self.ordering = false,
        }
    }

    /// Takes in the next record of its ledger. Returns whether it is a wave of another term than
    /// `term`: one that somebody else publishes, or does not.
    pub fn read(&mut self, entry: &Entry, term: Term) -> bool {
        let was_aside = self.fold.aside().is_some();
        let foreign = entry.fold_into(&mut self.fold).is_some_and(|of| of != term);
        let returned = matches!(&entry.record, Ok(Record::Work(WorkRecord::Returned { .. })));
        self.stale |= foreign || returned && self.held_apart;
        self.next_wave = self.next_wave.max(self.fold.next_wave());
        if self.fold.cancelled().is_none() {
            self.halted = Halted::default();
        }
        if matches!(entry.plan(), Some(PlanRecord::Reopened(_))) {
            // Whoever ordered that may have mended it.
            self.broken = None;
        }
        self.count_dead();
        self.tell_aside(was_aside);
        foreign
    }

    /// Says that its plan makes no sense, once.
    fn tell_aside(&self, before: bool) {
        if let Some(reason) = self.fold.aside().filter(|_| !before) {
            tracing::error!(run = %self.fold.run(), reason, "set aside: nothing more of it is planned");
        }
    }

    /// What its ledger says.
    pub fn fold(&self) -> &Fold {
        &self.fold
    }

    /// What its ledger says, once nothing else of it is of interest.
    pub fn into_fold(self) -> Fold {
        self.fold
    }

    /// The queue that its tiles go to.
    pub fn queue(&self) -> &QueueName {
        &self.queue
    }

    /// Whether its queue is being compared with its ledger.
    pub fn is_compared(&self) -> bool {
        self.comparison == Comparison::Looking
    }

    /// Whether the queue may lack tiles of it.
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// Shards that no wave has issued yet, where that is known.
    pub fn left(&self) -> Option<u64> {
        let planned = self.fold.counts().planned;
        self.total.map(|total| total.saturating_sub(planned))
    }

    /// When its next shard that failed may be tried again; `None` when none waits.
    pub fn next_retry(&self) -> Option<UnixMs> {
        self.fold.next_retry()
    }

    /// Whether it has tiles that are decided, or being decided, and lack an outcome.
    fn may_lack_tiles(&self) -> bool {
        let deciding = self.phase == Phase::Deciding || !self.is_read_back();
        deciding || self.publishing > 0 || !self.fold.open_tiles().is_empty()
    }

    /// Whether the record of the last wave has been read back.
    fn is_read_back(&self) -> bool {
        self.fold.next_wave() == self.next_wave
    }

    /// A tile that was open at the last look too may not be on the queue.
    fn look_for_missing(&mut self) {
        let since = std::mem::replace(&mut self.looked_at, self.fold.next_wave());
        let mut open = self.fold.open_tiles().keys();
        self.stale |= open.any(|place| place.wave < since);
    }

    /// Whether the run could use room on the queue now.
    pub fn wants_room(&self, now: UnixMs) -> bool {
        self.phase == Phase::Idle
            && self.comparison == Comparison::None
            && self.broken.is_none()
            && self.too_many.is_none()
            && self.fold.aside().is_none()
            && self.fold.cancelled().is_none()
            && self.is_in_step()
            && self.is_read_back()
            && self.publishing < PUBLISHING_MAX
            && self.fold.closing().is_none()
            && (!self.fold.all_issued() || self.next_retry().is_some_and(|due| due <= now))
    }
}

#[cfg(test)]
mod tests;
