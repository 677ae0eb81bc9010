//! What the records of a run add up to, in ledger order. Pure: the same answer for every reader.
//!
//! The first success of a shard counts, whatever its fence, even after its attempts were used up. A
//! failure counts only with the newest fence of its attempt at that position; `dead` is never
//! written, it follows when the attempts are used up (docs/PROTOCOL.md §4). Its size follows what is
//! outstanding, neither the size of the run nor its failures: finished pages and dead ones are kept as
//! runs, errors each once, and of a slice that is finished nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::UnixMs;
use crate::id::{Fence, RunId};
use crate::ledger::orders::Cancelled;
use crate::ledger::outcomes;
use crate::ledger::record::{Closed, Opened, PlanRecord, Record, WorkRecord};
use crate::ledger::retired::Retired;
use crate::quick::QuickMap;
#[cfg(test)]
use crate::ranges::Ranges;
use crate::tile::TileRef;

pub use crate::tile::Cell;

mod counts;
mod errors;
mod graves;
mod issue;
mod orders;
mod outcome;
mod probe;
mod recall;
mod row;
mod sessions;
mod slices;
mod standing;
mod strays;
mod takeover;
mod touched;
mod view;
mod waiting;

pub use counts::Counts;
pub use errors::{ErrorGroup, FailedAttempt};
pub use issue::OpenTile;
pub use orders::Chosen;
pub use row::Row;
pub use touched::Touched;
pub use view::{Dead, Due};
pub use waiting::{FailedCell, Next};

use errors::Errors;
use graves::Graves;
use recall::Recalled;
use sessions::Sessions;
use slices::Slices;
use strays::Strays;
use waiting::Waiting;

/// The run's first record and where it stands.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Its ledger sequence.
    pub sequence: u64,
    /// When the broker stored it.
    pub at: UnixMs,
    /// The record.
    pub record: Arc<Opened>,
}

/// The projection of one run's ledger.
#[derive(Clone, Debug)]
pub struct Fold {
    run: RunId,
    opening: Option<Opening>,
    closing: Option<(UnixMs, Closed)>,
    cancelled: Option<Cancelled>,
    retired: Option<Retired>,
    /// Why nothing more of it can be planned.
    aside: Option<Arc<str>>,
    /// Whether a planner of a newer build wrote some of it, so that nothing here is certain.
    newer: bool,
    /// Records since the first one.
    records: u64,
    /// The orders that were carried out, by their numbers: how many dead shards and questions each concerned.
    requests: BTreeMap<u64, u64>,
    /// Dead shards when the run was reopened last.
    dead_before: u64,
    position: u64,
    last_plan: u64,
    next_wave: u32,
    slices: Slices,
    open: QuickMap<TileRef, OpenTile>,
    /// Cells that failed and have attempts left; those that died; those that died and have attempts again.
    waiting: Waiting,
    dead: Graves,
    again: Graves,
    /// What waves said of some of the last, by the sequence of the wave.
    recalled: BTreeMap<u64, BTreeMap<Cell, Recalled>>,
    errors: Errors,
    sessions: Sessions,
    counts: Counts,
    counters: BTreeMap<String, i128>,
    /// Whether there were more counters than are summed.
    more_counters: bool,
    /// Until when the counted failures asked for a hold.
    hold_until: Option<UnixMs>,
}

impl Fold {
    /// The fold of a run before its first record.
    pub fn new(run: RunId) -> Fold {
        Fold {
            run,
            opening: None,
            closing: None,
            cancelled: None,
            retired: None,
            aside: None,
            newer: false,
            records: 0,
            requests: BTreeMap::new(),
            dead_before: 0,
            position: 0,
            last_plan: 0,
            next_wave: 0,
            slices: Slices::default(),
            open: QuickMap::default(),
            waiting: Waiting::default(),
            dead: Graves::default(),
            again: Graves::default(),
            recalled: BTreeMap::new(),
            errors: Errors::default(),
            sessions: Sessions::default(),
            counts: Counts::default(),
            counters: BTreeMap::new(),
            more_counters: false,
            hold_until: None,
        }
    }

    /// Takes in the record at ledger sequence `sequence`, stored at `at`. A record at or before the
    /// last one taken in is passed over; the first one says then when it was stored, of which whoever wrote
    /// it knew only about.
    pub fn apply(&mut self, sequence: u64, at: UnixMs, record: &Record) {
        if sequence <= self.position {
            let opening = self.opening.as_mut();
            if let Some(opening) = opening.filter(|opening| opening.sequence == sequence) {
                opening.at = at;
            }
            return;
        }
        self.position = sequence;
        self.records += u64::from(self.opening.is_some());
        match record {
            Record::Plan(PlanRecord::Opened(opened)) => self.open_run(sequence, at, opened),
            Record::Plan(PlanRecord::Retired(retired)) => {
                self.last_plan = sequence;
                self.retired = Some(retired.clone());
            }
            Record::Plan(PlanRecord::Forgotten(_)) => self.last_plan = sequence,
            _ if self.opening.is_none() => self.counts.unexpected += 1,
            Record::Plan(PlanRecord::Wave(wave)) => {
                self.last_plan = sequence;
                if wave.n != self.next_wave {
                    return self.unexpected_wave(wave);
                }
                self.take_wave(sequence, wave);
            }
            Record::Plan(PlanRecord::Closed(closed)) => {
                self.last_plan = sequence;
                self.closing = Some((at, closed.clone()));
            }
            Record::Plan(PlanRecord::Cancelled(cancelled)) => {
                self.last_plan = sequence;
                self.cancel(cancelled);
            }
            Record::Plan(PlanRecord::Reopened(reopened)) => {
                self.last_plan = sequence;
                self.reopen(at, reopened);
            }
            Record::Plan(PlanRecord::Dropped(dropped)) => {
                self.last_plan = sequence;
                self.give_up(dropped);
            }
            Record::Work(work) => self.work(at, work),
            Record::Takeover(takeover) => self.take_over(at, Fence(sequence), takeover),
        }
    }

    /// Takes in a record of the run's ledger that could not be read.
    pub fn apply_unreadable(&mut self, sequence: u64) {
        if sequence > self.position {
            self.position = sequence;
            self.records += u64::from(self.opening.is_some());
            self.counts.unexpected += 1;
        }
    }

    fn open_run(&mut self, sequence: u64, at: UnixMs, opened: &Opened) {
        if self.is_another(opened) {
            *self = Fold::new(self.run.clone());
            self.position = sequence;
        }
        self.last_plan = sequence;
        if self.opening.is_some() {
            self.counts.unexpected += 1;
            return;
        }
        self.records = 1;
        let record = Arc::new(opened.clone());
        self.slices = Slices::of(Arc::clone(&record));
        self.opening = Some(Opening {
            sequence,
            at,
            record,
        });
        if let Some(wave) = opened.wave(sequence) {
            self.take_wave(sequence, &wave);
        }
    }

    fn work(&mut self, at: UnixMs, work: &WorkRecord) {
        let (session, number) = work.signature();
        if !self.sessions.is_new(session, number) {
            return;
        }
        match work {
            WorkRecord::Outcomes { block, .. } => match outcomes::decode(block) {
                Ok(entries) => {
                    let mut strays = Strays::default();
                    for entry in &entries {
                        self.outcome(at, entry, &mut strays);
                    }
                }
                Err(_) => self.counts.unexpected += 1,
            },
            WorkRecord::Probed(probed) => self.probed(probed),
            WorkRecord::Started {
                tile, page, fence, ..
            } => {
                let held = self.open.get_mut(tile).filter(|held| held.fence == *fence);
                if let Some(suspicion) = held.and_then(|held| held.suspicion.as_mut()) {
                    suspicion.started(session, u64::from(*page));
                }
            }
            WorkRecord::Returned { tiles, .. } => {
                for place in tiles {
                    let tile = self.open.get_mut(place);
                    if let Some(suspicion) = tile.and_then(|tile| tile.suspicion.as_mut()) {
                        suspicion.returned(session);
                    }
                }
            }
        }
    }

    /// Notes that the whole ledger was read up to `position`, whatever runs its records were of.
    pub fn advance(&mut self, position: u64) {
        self.position = self.position.max(position);
    }

    /// Takes pages out of an open tile, and the tile away with its last page.
    fn settle(&mut self, place: TileRef, pages: std::ops::Range<u64>) {
        if let Some(tile) = self.open.get_mut(&place) {
            tile.left.remove(&pages);
        }
        self.close_if_empty(place);
    }

    fn close_if_empty(&mut self, place: TileRef) {
        if self
            .open
            .get(&place)
            .is_some_and(|tile| tile.left.is_empty())
        {
            self.open.remove(&place);
            self.counts.tiles_closed += 1;
        }
    }
}

#[cfg(test)]
mod memory;
#[cfg(test)]
mod tests;
