//! The proof of coverage: a second, plain reading of a run's raw ledger.
//!
//! It shares no code with the fold, so that a mistake there shows here. *lost*: cells of the grid,
//! not of the waves, without an outcome. *twice*: successes that no takeover explains. *unexpected*:
//! records of what was never issued.
//!
//! What it keeps and how long it takes follows the bytes of the ledger, not the cells that they name: a
//! record of a few bytes may name thousands of pages, and a grid has up to 2^40.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;

use crate::id::{Fence, RunId, Session};
use crate::ledger::fold::Cell;
use crate::ledger::orders::Which;
use crate::ledger::outcomes::{self, Entry, Failed, Retry, Status};
use crate::ledger::record::{
    EndState, Opened, PlanRecord, Probed, Reason, Record, Takeover, Wave, WorkRecord,
};
use crate::limits::PAGES_MAX;
use crate::tile::{TileKind, TileRef};

mod fate;
mod report;
mod spans;
mod tiles;

pub use report::{GridCell, Report};

use fate::Fate;
use report::Cells;
use spans::Spans;
use tiles::{Tile, Tiles};

/// Where a cell stands, but for its page.
type Lane = (TileKind, u32);

/// Reads a run's records in ledger order.
pub struct Audit {
    run: RunId,
    opened: Option<(u64, Opened)>,
    ended: Option<EndState>,
    cancelled: bool,
    tiles: Tiles,
    cells: Spans<Lane, Fate>,
    /// Pages that probes found, by slice.
    found: BTreeMap<u32, u64>,
    probed: HashSet<(u32, u32)>,
    seen: Spans<Session, ()>,
    takeovers: u64,
    unexpected: Spans<u32, ()>,
    unexpected_records: u64,
}

impl Audit {
    /// The audit of a run before its first record.
    pub fn new(run: RunId) -> Audit {
        Audit {
            run,
            opened: None,
            ended: None,
            cancelled: false,
            tiles: Tiles::default(),
            cells: Spans::default(),
            found: BTreeMap::new(),
            probed: HashSet::new(),
            seen: Spans::default(),
            takeovers: 0,
            unexpected: Spans::default(),
            unexpected_records: 0,
        }
    }

    /// Takes in the record at `sequence`; `None` for one that could not be read.
    pub fn read(&mut self, sequence: u64, record: Option<&Record>) {
        match record {
            Some(Record::Plan(PlanRecord::Opened(opened))) if self.opened.is_none() => {
                self.begin(sequence, opened);
            }
            // What was known is of an earlier run of this id, whose records have gone.
            Some(Record::Plan(PlanRecord::Opened(opened))) if self.is_another(opened) => {
                *self = Audit::new(self.run.clone());
                self.begin(sequence, opened);
            }
            Some(Record::Plan(PlanRecord::Retired(_) | PlanRecord::Forgotten(_))) => {}
            Some(_) if self.opened.is_none() => self.unexpected_records += 1,
            Some(Record::Plan(plan)) => self.plan(sequence, plan),
            Some(Record::Work(work)) => self.work(work),
            Some(Record::Takeover(takeover)) => self.takeover(sequence, takeover),
            None => self.unexpected_records += 1,
        }
    }

    fn begin(&mut self, sequence: u64, opened: &Opened) {
        self.opened = Some((sequence, opened.clone()));
        if let Some(wave) = opened.wave(sequence) {
            self.wave(sequence, &wave);
        }
    }

    fn is_another(&self, opened: &Opened) -> bool {
        let known = self.opened.as_ref();
        known.is_some_and(|(_, known)| known.nonce != opened.nonce)
    }

    fn plan(&mut self, sequence: u64, plan: &PlanRecord) {
        match plan {
            PlanRecord::Wave(wave) if wave.n as usize == self.tiles.next_wave() => {
                self.wave(sequence, wave);
            }
            PlanRecord::Opened(_) | PlanRecord::Wave(_) => self.unexpected_records += 1,
            PlanRecord::Retired(_) | PlanRecord::Forgotten(_) => {}
            PlanRecord::Closed(closed) => self.ended = Some(closed.state),
            PlanRecord::Cancelled(_) => self.cancelled = true,
            PlanRecord::Reopened(reopened) => {
                (self.ended, self.cancelled) = (None, false);
                let most = self.most();
                self.change_dead(&reopened.which, |cell| cell.reopen(most));
            }
            PlanRecord::Dropped(dropped) => {
                self.change_dead(&dropped.which, |cell| cell.dropped = true);
            }
        }
    }

    /// Attempts that the job allows a shard.
    fn most(&self) -> u32 {
        self.opened
            .as_ref()
            .map_or(1, |(_, opened)| opened.job.retry.max_attempts)
    }

    fn slices(&self) -> u32 {
        self.opened
            .as_ref()
            .map_or(0, |(_, opened)| opened.job.grid.slices)
    }

    fn change_dead(&mut self, which: &Which, change: impl Fn(&mut Fate)) {
        let most = self.most();
        match which {
            Which::All => {
                let dead = self.cells.values_mut();
                dead.filter(|cell| cell.is_dead(most) && !cell.dropped)
                    .for_each(change);
            }
            Which::These(cells) => {
                for Cell { kind, slice, page } in cells {
                    let page = u64::from(*page);
                    self.cells
                        .update((*kind, *slice), page..page + 1, |_, cell| {
                            let mut cell = cell?;
                            if cell.is_dead(most) {
                                change(&mut cell);
                            }
                            Some(cell)
                        });
                }
            }
        }
    }

    fn wave(&mut self, sequence: u64, wave: &Wave) {
        self.tiles.begin(sequence);
        for run in &wave.tiles {
            let first = u64::from(run.first);
            let whole = first..first + u64::from(run.pages) * u64::from(run.tiles);
            if whole.is_empty() || whole.end > PAGES_MAX || run.slice >= self.slices() {
                self.unexpected_records += 1;
                continue;
            }
            self.tiles.issue(run);
            self.cells.update((run.kind, run.slice), whole, |_, cell| {
                Some(cell.unwrap_or_default())
            });
        }
    }

    /// Whether a worker's record is read for the first time.
    fn is_new(&mut self, (session, number): (Session, u64)) -> bool {
        let new = number != u64::MAX && self.seen.get(session, number).is_none();
        if new {
            self.seen.insert(session, number..number + 1);
        }
        new
    }

    fn takeover(&mut self, sequence: u64, takeover: &Takeover) {
        if self.is_new((takeover.session, takeover.number)) {
            for place in &takeover.tiles {
                self.take_over(sequence, *place, takeover.reason);
            }
        }
    }

    fn take_over(&mut self, sequence: u64, place: TileRef, reason: Reason) {
        self.takeovers += 1;
        let Some(tile) = self.tiles.at(place) else {
            self.unexpected_records += 1;
            return;
        };
        let lane = (tile.kind, tile.slice);
        let held = self.tiles.take_over(place, Fence(sequence));
        let cells = &self.cells;
        let condemned = held.suspicion.taken_over(reason, |page| {
            cells
                .get(lane, page)
                .is_some_and(|cell| !cell.is_done() && !cell.failed.contains(&tile.attempt))
        });
        if let Some(page) = condemned {
            self.fail(lane, page..page + 1, tile.attempt, Retry::Never);
        }
    }

    fn fail(&mut self, lane: Lane, pages: Range<u64>, attempt: u32, retry: Retry) {
        let most = self.most();
        self.cells.update(lane, pages, |_, cell| {
            let mut cell = cell?;
            cell.fail(attempt, retry, most);
            Some(cell)
        });
    }

    fn work(&mut self, work: &WorkRecord) {
        if !self.is_new(work.signature()) {
            return;
        }
        match work {
            WorkRecord::Outcomes { block, .. } => match outcomes::decode(block) {
                Ok(entries) => entries.iter().for_each(|entry| self.entry(entry)),
                Err(_) => self.unexpected_records += 1,
            },
            WorkRecord::Probed(probed) => self.probe(probed),
            WorkRecord::Started {
                session,
                tile,
                page,
                fence,
                ..
            } => {
                if let Some(held) = self.tiles.held(*tile)
                    && held.fences.last() == Some(fence)
                {
                    held.suspicion.started(*session, u64::from(*page));
                }
            }
            WorkRecord::Returned { session, tiles, .. } => {
                for place in tiles {
                    if let Some(held) = self.tiles.held(*place) {
                        held.suspicion.returned(*session);
                    }
                }
            }
        }
    }

    fn entry(&mut self, entry: &Entry) {
        let lane = (entry.kind, entry.slice);
        let pages = u64::from(entry.first)..u64::from(entry.first) + u64::from(entry.pages);
        let opened = self.opened.as_ref().map_or(0, |(sequence, _)| *sequence);
        if entry.fence.0 < opened {
            return self.unexpected.insert(entry.slice, pages);
        }
        let tile = self.tiles.at(entry.tile);
        let tile = tile.filter(|tile| (tile.kind, tile.slice) == lane);
        match &entry.status {
            Status::Done if entry.kind == TileKind::Page => {
                self.succeed(entry, pages, tile.as_ref());
            }
            // A probe succeeds by its own kind of record, which carries the pages.
            Status::Done => self.unexpected.insert(entry.slice, pages),
            Status::Failed(failed) => self.failed(entry, pages, tile.as_ref(), failed),
        }
    }

    fn succeed(&mut self, entry: &Entry, pages: Range<u64>, tile: Option<&Tile>) {
        let held = |tile: &&Tile| self.tiles.was_held(entry.tile, tile, entry.fence);
        let explained = tile.filter(held).map(|tile| tile.pages.clone());
        let explained = within(&pages, &explained.unwrap_or_default());
        let (before, after) = (
            pages.start..explained.start.max(pages.start),
            explained.end..pages.end,
        );
        let unexpected = &mut self.unexpected;
        for (part, fence) in [
            (before, None),
            (explained, Some(entry.fence)),
            (after, None),
        ] {
            self.cells
                .update((TileKind::Page, entry.slice), part, |part, cell| {
                    let Some(mut cell) = cell else {
                        unexpected.insert(entry.slice, part);
                        return None;
                    };
                    cell.succeed(fence);
                    Some(cell)
                });
        }
    }

    fn failed(&mut self, entry: &Entry, pages: Range<u64>, tile: Option<&Tile>, failed: &Failed) {
        let lane = (entry.kind, entry.slice);
        let counts = tile.filter(|tile| self.tiles.newest(entry.tile, tile) == entry.fence);
        if let Some(tile) = counts {
            let pages = within(&pages, &tile.pages);
            self.fail(lane, pages, tile.attempt, failed.retry);
        }
        let mut at = pages.start;
        for (issued, _) in self.cells.within(lane, pages.clone()) {
            self.unexpected.insert(entry.slice, at..issued.start);
            at = issued.end;
        }
        self.unexpected.insert(entry.slice, at..pages.end);
    }

    fn probe(&mut self, probed: &Probed) {
        let question = u64::from(probed.probe);
        let lane = (TileKind::Probe, probed.slice);
        if self.cells.get(lane, question).is_none() {
            self.unexpected_records += 1;
            return;
        }
        let tile = self.tiles.at(probed.tile);
        let held = tile.is_some_and(|tile| {
            (tile.kind, tile.slice) == lane
                && tile.pages.contains(&question)
                && self.tiles.was_held(probed.tile, &tile, probed.fence)
        });
        self.cells.update(lane, question..question + 1, |_, cell| {
            let mut cell = cell?;
            cell.succeed(held.then_some(probed.fence));
            Some(cell)
        });
        if self.probed.insert((probed.slice, probed.probe)) {
            *self.found.entry(probed.slice).or_default() += probed.pages.len() as u64;
        }
    }

    /// What the records prove.
    pub fn report(self) -> Report {
        let mut judged = Judged::default();
        for ((kind, slice), pages, cell) in self.cells.iter() {
            self.judge(&mut judged, kind, slice, pages, cell);
        }
        let [page, probe] = judged.missing;
        let missing = self.never_issued().and(page).and(probe);
        let [page, probe] = judged.twice;
        let twice = page.and(probe);
        let (lost, cancelled) = match self.cancelled {
            true => (Cells::default(), missing.count),
            false => (missing, 0),
        };
        let mut unexpected = Cells::default();
        for (slice, pages, ()) in self.unexpected.iter() {
            unexpected.add(slice, pages);
        }
        let breaches = lost.count + unexpected.count + self.unexpected_records + twice.count;
        Report {
            run: self.run,
            ok: self.opened.is_some() && breaches == 0,
            ended: self.ended,
            planned: judged.planned,
            committed: judged.committed,
            dead: judged.dead,
            dead_questions: judged.dead_questions,
            takeovers: self.takeovers,
            repeated: judged.repeated,
            cancelled,
            lost_cells: lost.count,
            lost: lost.first,
            unexpected_cells: unexpected.count,
            unexpected: unexpected.first,
            unexpected_records: self.unexpected_records,
            twice_cells: twice.count,
            twice: twice.first,
        }
    }

    fn judge(
        &self,
        judged: &mut Judged,
        kind: TileKind,
        slice: u32,
        pages: Range<u64>,
        cell: &Fate,
    ) {
        let cells = pages.end - pages.start;
        let (of_kind, counted) = match kind {
            TileKind::Page => (0, cells),
            TileKind::Probe => (1, 0),
        };
        judged.planned += counted;
        match (cell.is_done(), cell.is_dead(self.most())) {
            (true, _) => judged.committed += counted,
            (false, true) => {
                judged.dead += counted;
                judged.dead_questions += cells - counted;
            }
            // Questions that are not answered are no cells of a run that was stopped.
            (false, false) if self.cancelled && kind == TileKind::Probe => {}
            (false, false) => judged.missing[of_kind].add(slice, pages.clone()),
        }
        if cell.twice {
            judged.twice[of_kind].add(slice, pages);
        } else if let Some(more) = cell.successes.len().checked_sub(1) {
            judged.repeated += more as u64 * counted;
        }
    }

    /// Cells of the grid that no wave has issued.
    fn never_issued(&self) -> Cells {
        let mut cells = Cells::default();
        let Some((_, opened)) = &self.opened else {
            return cells;
        };
        let grid = &opened.job.grid;
        let slices = u64::from(grid.slices);
        // Slices of which something is said; all others are alike.
        let issued = self.cells.iter().map(|((_, slice), ..)| slice);
        let mut special: BTreeSet<u32> = issued.chain(self.found.keys().copied()).collect();
        special.extend(0..grid.named().min(grid.slices));
        let pages_of = |slice| grid.pages_of(slice).map(u64::from);
        let of_others = pages_of(grid.named()).unwrap_or(0);
        let mut next = 0;
        for slice in special.into_iter().filter(|slice| *slice < grid.slices) {
            cells.add_slices(next..u64::from(slice), of_others);
            let found = self.found.get(&slice).copied().unwrap_or(0);
            let end = pages_of(slice).unwrap_or(found);
            let mut at = 0;
            for (pages, _) in self.cells.of((TileKind::Page, slice)) {
                cells.add(slice, at..pages.start.min(end));
                at = pages.end;
            }
            cells.add(slice, at..end);
            next = u64::from(slice) + 1;
        }
        cells.add_slices(next..slices, of_others);
        cells
    }
}

/// What the issued cells add up to, pages and questions of probes apart where that matters.
#[derive(Default)]
struct Judged {
    planned: u64,
    committed: u64,
    dead: u64,
    dead_questions: u64,
    repeated: u64,
    missing: [Cells; 2],
    twice: [Cells; 2],
}

/// What of `pages` lies in `other`; at the start of `pages` where that is nothing.
fn within(pages: &Range<u64>, other: &Range<u64>) -> Range<u64> {
    let start = other.start.clamp(pages.start, pages.end);
    let end = other.end.clamp(start, pages.end);
    if start < end {
        start..end
    } else {
        pages.start..pages.start
    }
}

#[cfg(test)]
mod tests;
