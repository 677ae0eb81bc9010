//! What the records of a run add up to, in ledger order. Pure: the same answer for every reader.
//!
//! The first success of a shard counts, whatever its fence, even after its attempts were used up. A
//! failure counts only with the newest fence of its attempt at that position; `dead` is never
//! written, it follows when the attempts are used up (docs/PROTOCOL.md §4). Its size follows what is
//! outstanding, not the size of the run: finished pages are kept as runs.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::UnixMs;
use crate::id::{Fence, RunId, Session};
use crate::job::PAGES_MAX;
use crate::ledger::crash::Suspicion;
use crate::ledger::orders::Cancelled;
use crate::ledger::outcomes;
use crate::ledger::record::{
    Closed, Opened, PlanRecord, Probed, Reason, Record, Takeover, TileRun, Wave, WorkRecord,
};
use crate::quick::QuickMap;
use crate::ranges::Ranges;
use crate::tile::{Bounds, Key, Tile, TileKind, TileRef};

mod outcome;
mod reopen;

/// One shard, or one question of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cell {
    /// What kind of work.
    pub kind: TileKind,
    /// Row of the grid.
    pub slice: u32,
    /// Page, or number of the question.
    pub page: u32,
}

/// Numbers over a whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Shards that waves have issued, each once.
    pub planned: u64,
    /// Shards with a success.
    pub done: u64,
    /// Shards without a success whose attempts are used up.
    pub dead: u64,
    /// Probes that are dead.
    pub dead_probes: u64,
    /// Failed attempts that count.
    pub failures: u64,
    /// Successes after the first of their shard.
    pub late: u64,
    /// Shards issued again after a failed attempt, each time.
    pub retried: u64,
    /// Shards without an outcome in tiles that were taken over, each time.
    pub taken_over: u64,
    /// Outcomes and records that were never asked for.
    pub unexpected: u64,
    /// Tiles that waves have issued.
    pub tiles_issued: u64,
    /// Tiles whose every shard has an outcome.
    pub tiles_closed: u64,
}

/// Shards of one slice: those that waves have issued, and those that succeeded.
#[derive(Clone, Debug, Default)]
struct Cells {
    issued: Ranges,
    done: Ranges,
}

/// What is known of one slice.
#[derive(Clone, Debug, Default)]
pub struct Slice {
    pages: Cells,
    probes: Cells,
    next_page: u32,
    next_probe: u32,
    end: Option<u32>,
    found: u32,
    ready: VecDeque<Bounds>,
    cursor: Option<Key>,
    counted: bool,
}

impl Slice {
    /// First page that no wave has issued.
    pub fn next_page(&self) -> u32 {
        self.next_page
    }

    /// Number of pages, once it is known.
    pub fn end(&self) -> Option<u32> {
        self.end
    }

    /// Bounds of pages that a probe found and no wave has issued; the first is that of `next_page`.
    pub fn ready(&self) -> &VecDeque<Bounds> {
        &self.ready
    }

    /// The question to ask next, with its cursor: only while none is open and the end is unknown.
    pub fn question(&self) -> Option<(u32, Option<Key>)> {
        let answered = self.probes.done.len() == u64::from(self.next_probe);
        (self.end.is_none() && answered).then(|| (self.next_probe, self.cursor.clone()))
    }
}

/// A tile some of whose shards lack an outcome.
#[derive(Clone, Debug)]
pub struct OpenTile {
    /// What kind of work.
    pub kind: TileKind,
    /// Row of the grid.
    pub slice: u32,
    /// Attempt that it carries.
    pub attempt: u32,
    /// Under which sequence it is held: its wave's, or its newest takeover's.
    pub fence: Fence,
    /// The pages without an outcome.
    pub left: Ranges,
    /// Sequence of the wave that issued it.
    wave_fence: Fence,
    folded: u64,
    first: u32,
    pages: u32,
    bounds: Vec<Bounds>,
    after: Option<Key>,
    /// Once it was taken over for its delivery count.
    suspicion: Option<Box<Suspicion>>,
}

impl OpenTile {
    /// The tile as a refill: another copy of it may have been delivered.
    pub fn again(&self, place: TileRef, run: &RunId, opening: &Opening) -> Tile {
        Tile {
            kind: self.kind,
            run: run.clone(),
            nonce: opening.record.nonce,
            wave: place.wave,
            index: place.index,
            slice: self.slice,
            first: self.first,
            pages: self.pages,
            attempt: self.attempt,
            fence: self.wave_fence,
            folded: self.folded,
            opened: opening.sequence,
            again: true,
            bounds: self.bounds.clone(),
            after: self.after.clone(),
            frozen: None,
        }
    }

    fn bounds_of(&self, page: u32) -> Option<&Bounds> {
        self.bounds.get(page.checked_sub(self.first)? as usize)
    }
}

/// A shard with at least one counted failure and no success.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedCell {
    /// Attempts that failed.
    pub attempts: u32,
    /// The last error.
    pub error: String,
    /// When that was recorded.
    pub at: UnixMs,
    /// What follows.
    pub next: Next,
    /// Attempts that it may have; more than the job's own number once it was reopened.
    pub most: u32,
    /// Attempts before it was reopened last.
    pub base: u32,
    /// Whether somebody gave it up.
    pub dropped: bool,
    /// The page's bounds, where it has some.
    pub bounds: Option<Bounds>,
    /// For a probe: its cursor.
    pub after: Option<Key>,
}

/// What follows a counted failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another attempt, not before this time by the broker's clock.
    Due(UnixMs),
    /// Another attempt has been issued.
    Issued(TileRef),
    /// Nothing: its attempts are used up.
    Dead,
}

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
    /// Numbers of the orders that were carried out.
    requests: BTreeSet<u64>,
    /// Dead shards when the run was reopened last.
    dead_before: u64,
    position: u64,
    last_plan: u64,
    next_wave: u32,
    slices: Vec<Slice>,
    slices_issued: u32,
    open: QuickMap<TileRef, OpenTile>,
    failed: BTreeMap<Cell, FailedCell>,
    retries: BTreeSet<(UnixMs, Cell)>,
    sessions: HashMap<Session, Ranges>,
    counts: Counts,
    counters: BTreeMap<String, i64>,
}

impl Fold {
    /// The fold of a run before its first record.
    pub fn new(run: RunId) -> Fold {
        Fold {
            run,
            opening: None,
            closing: None,
            cancelled: None,
            requests: BTreeSet::new(),
            dead_before: 0,
            position: 0,
            last_plan: 0,
            next_wave: 0,
            slices: Vec::new(),
            slices_issued: 0,
            open: QuickMap::default(),
            failed: BTreeMap::new(),
            retries: BTreeSet::new(),
            sessions: HashMap::new(),
            counts: Counts::default(),
            counters: BTreeMap::new(),
        }
    }

    /// Takes in the record at ledger sequence `sequence`, stored at `at`. A record at or before the
    /// last one taken in is passed over.
    pub fn apply(&mut self, sequence: u64, at: UnixMs, record: &Record) {
        if sequence <= self.position {
            return;
        }
        self.position = sequence;
        match record {
            Record::Plan(PlanRecord::Opened(opened)) => self.open_run(sequence, at, opened),
            _ if self.opening.is_none() => self.counts.unexpected += 1,
            Record::Plan(PlanRecord::Wave(wave)) => {
                self.last_plan = sequence;
                if wave.n != self.next_wave {
                    self.counts.unexpected += 1;
                    return;
                }
                self.next_wave += 1;
                let mut index = 0;
                for tiles in &wave.tiles {
                    self.issue(wave, &mut index, Fence(sequence), tiles);
                }
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
            self.counts.unexpected += 1;
        }
    }

    fn open_run(&mut self, sequence: u64, at: UnixMs, opened: &Opened) {
        self.last_plan = sequence;
        if self.opening.is_some() {
            self.counts.unexpected += 1;
            return;
        }
        let grid = &opened.job.grid;
        self.slices = (0..grid.slices)
            .map(|slice| Slice {
                end: grid.pages_of(slice),
                ..Slice::default()
            })
            .collect();
        self.opening = Some(Opening {
            sequence,
            at,
            record: Arc::new(opened.clone()),
        });
    }

    fn issue(&mut self, wave: &Wave, index: &mut u32, fence: Fence, tiles: &TileRun) {
        let folded = wave.folded;
        let Some(slice) = self.slices.get_mut(tiles.slice as usize) else {
            self.counts.unexpected += 1;
            return;
        };
        let whole = u64::from(tiles.first)
            ..u64::from(tiles.first) + u64::from(tiles.pages) * u64::from(tiles.tiles);
        if whole.is_empty() || whole.end > PAGES_MAX {
            self.counts.unexpected += 1;
            return;
        }
        let fresh = tiles.attempt == 1;
        match (tiles.kind, fresh) {
            (TileKind::Page, true) => {
                let found = slice.ready.len().min((whole.end - whole.start) as usize);
                slice.ready.drain(..found);
                slice.next_page = slice.next_page.max(whole.end as u32);
                let new: u64 = slice
                    .pages
                    .issued
                    .missing(&whole)
                    .iter()
                    .map(|r| r.end - r.start)
                    .sum();
                slice.pages.issued.insert(whole);
                self.counts.planned += new;
                if !slice.counted && slice.end == Some(slice.next_page) {
                    slice.counted = true;
                    self.slices_issued += 1;
                }
            }
            (TileKind::Probe, true) => {
                slice.next_probe = slice.next_probe.max(whole.end as u32);
                slice.probes.issued.insert(whole);
            }
            (TileKind::Page, false) => self.counts.retried += whole.end - whole.start,
            (TileKind::Probe, false) => {}
        }
        for n in 0..tiles.tiles {
            let place = TileRef {
                wave: wave.n,
                index: *index,
            };
            *index += 1;
            let first = tiles.first + n * tiles.pages;
            self.counts.tiles_issued += 1;
            let range = u64::from(first)..u64::from(first) + u64::from(tiles.pages);
            let mut left = Ranges::of(range.clone());
            if !fresh {
                self.reissue(tiles, first, place);
                // A success may have arrived between the decision of a retry and its record.
                let done = &self.slices[tiles.slice as usize].cells(tiles.kind).done;
                done.within(&range)
                    .iter()
                    .for_each(|part| left.remove(part));
            }
            let tile = OpenTile {
                kind: tiles.kind,
                slice: tiles.slice,
                attempt: tiles.attempt,
                fence,
                left,
                wave_fence: fence,
                folded,
                first,
                pages: tiles.pages,
                bounds: tiles.bounds_of(n).to_vec(),
                after: tiles.after.clone(),
                suspicion: None,
            };
            self.open.insert(place, tile);
            self.close_if_empty(place);
        }
    }

    /// Notes that cells which had failed have another attempt under way.
    fn reissue(&mut self, tiles: &TileRun, first: u32, place: TileRef) {
        for page in first..first + tiles.pages {
            let cell = Cell {
                kind: tiles.kind,
                slice: tiles.slice,
                page,
            };
            if let Some(failed) = self.failed.get_mut(&cell) {
                match failed.next {
                    Next::Due(due) => {
                        self.retries.remove(&(due, cell));
                    }
                    Next::Dead => self.counts.uncount_dead(tiles.kind),
                    Next::Issued(_) => {}
                }
                failed.next = Next::Issued(place);
            }
        }
    }

    fn work(&mut self, at: UnixMs, work: &WorkRecord) {
        let (session, number) = work.signature();
        if !self.first_time(session, number) {
            return;
        }
        match work {
            WorkRecord::Outcomes { block, .. } => match outcomes::decode(block) {
                Ok(entries) => {
                    for entry in &entries {
                        self.outcome(at, entry);
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

    fn take_over(&mut self, at: UnixMs, fence: Fence, takeover: &Takeover) {
        if !self.first_time(takeover.session, takeover.number) {
            return;
        }
        for place in &takeover.tiles {
            if let Some(tile) = self.open.get_mut(place) {
                tile.fence = fence;
                if tile.kind == TileKind::Page {
                    self.counts.taken_over += tile.left.len();
                }
                if takeover.reason == Reason::Count {
                    tile.suspicion.get_or_insert_default();
                }
                let condemned = tile.suspicion.as_mut().and_then(|suspicion| {
                    suspicion.taken_over(takeover.reason, |page| tile.left.contains(page))
                });
                if let Some(page) = condemned {
                    self.condemn(at, *place, page as u32);
                }
            } else if place.wave >= self.next_wave {
                self.counts.unexpected += 1;
            }
        }
    }

    fn probed(&mut self, probed: &Probed) {
        let cell = Cell {
            kind: TileKind::Probe,
            slice: probed.slice,
            page: probed.probe,
        };
        let page = u64::from(probed.probe);
        let opened = self.opening.as_ref().map_or(0, |opening| opening.sequence);
        let slice = self.slices.get_mut(probed.slice as usize);
        let Some(slice) =
            slice.filter(|slice| slice.probes.issued.contains(page) && probed.fence.0 > opened)
        else {
            self.counts.unexpected += 1;
            return;
        };
        if slice.probes.done.contains(page) {
            return;
        }
        slice.probes.done.insert(page..page + 1);
        slice.found = slice.found.saturating_add(probed.pages.len() as u32);
        slice.ready.extend(probed.pages.iter().cloned());
        slice.cursor.clone_from(&probed.cursor);
        if probed.cursor.is_none() {
            slice.end = Some(slice.found);
            if !slice.counted && slice.next_page == slice.found {
                slice.counted = true;
                self.slices_issued += 1;
            }
        }
        self.forgive(cell);
        self.settle(probed.tile, page..page + 1);
    }

    fn first_time(&mut self, session: Session, number: u64) -> bool {
        let seen = self.sessions.entry(session).or_default();
        if seen.contains(number) || number == u64::MAX {
            return false;
        }
        seen.insert(number..number + 1);
        true
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

    /// The run.
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// Its first record; `None` before that.
    pub fn opening(&self) -> Option<&Opening> {
        self.opening.as_ref()
    }

    /// How and when it was closed.
    pub fn closing(&self) -> Option<&(UnixMs, Closed)> {
        self.closing.as_ref()
    }

    /// Ledger sequence up to which records were taken in.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Notes that the whole ledger was read up to `position`, whatever runs its records were of.
    pub fn advance(&mut self, position: u64) {
        self.position = self.position.max(position);
    }

    /// Ledger sequence of the planner's last record: what its next one expects.
    pub fn last_plan(&self) -> u64 {
        self.last_plan
    }

    /// Number of the wave that may be decided next.
    pub fn next_wave(&self) -> u32 {
        self.next_wave
    }

    /// The slices in order.
    pub fn slices(&self) -> &[Slice] {
        &self.slices
    }

    /// Tiles with a shard that lacks its outcome.
    pub fn open_tiles(&self) -> &QuickMap<TileRef, OpenTile> {
        &self.open
    }

    /// Shards with a counted failure and no success, in order.
    pub fn failed(&self) -> &BTreeMap<Cell, FailedCell> {
        &self.failed
    }

    /// Shards that wait for another attempt, the next due first.
    pub fn retries(&self) -> &BTreeSet<(UnixMs, Cell)> {
        &self.retries
    }

    /// Numbers over the whole run.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Sums of the counters over the shards that count.
    pub fn counters(&self) -> &BTreeMap<String, i64> {
        &self.counters
    }

    /// Whether every cell of the grid has been issued, as far as it can ever be: a slice whose probe
    /// is dead has no more pages.
    pub fn all_issued(&self) -> bool {
        self.opening.is_some()
            && u64::from(self.slices_issued) + self.counts.dead_probes >= self.slices.len() as u64
    }

    /// Whether nothing is left to do or to wait for.
    pub fn complete(&self) -> bool {
        self.all_issued() && self.open.is_empty() && self.retries.is_empty()
    }
}

impl Counts {
    fn uncount_dead(&mut self, kind: TileKind) {
        match kind {
            TileKind::Page => self.dead = self.dead.saturating_sub(1),
            TileKind::Probe => self.dead_probes = self.dead_probes.saturating_sub(1),
        }
    }
}

impl Slice {
    fn cells(&self, kind: TileKind) -> &Cells {
        match kind {
            TileKind::Page => &self.pages,
            TileKind::Probe => &self.probes,
        }
    }
}

#[cfg(test)]
mod tests;
