//! The proof of coverage: a second, plain reading of a run's raw ledger, one entry a shard.
//!
//! It shares no code with the fold, so that a mistake there shows here. *lost*: cells of the grid,
//! not of the waves, without an outcome. *twice*: successes that no takeover explains. *unexpected*:
//! records of what was never issued (docs/PROTOCOL.md §4).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;

use crate::id::{Fence, RunId, Session};
use crate::ledger::crash::Suspicion;
use crate::ledger::fold::Cell;
use crate::ledger::orders::Which;
use crate::ledger::outcomes::{self, Entry, Retry, Status};
use crate::ledger::record::{
    EndState, Opened, PlanRecord, Probed, Reason, Record, Wave, WorkRecord,
};
use crate::tile::{TileKind, TileRef};

/// One cell of the grid, as programs read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct GridCell {
    /// Row.
    pub slice: u32,
    /// Column.
    pub page: u32,
}

/// The result of an audit, as `audit RUN --json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The run.
    pub run: RunId,
    /// Whether nothing is lost, unexpected or twice.
    pub ok: bool,
    /// How the run ended; `None` while it is open.
    pub ended: Option<EndState>,
    /// Cells that waves issued.
    pub planned: u64,
    /// Cells with a success.
    pub committed: u64,
    /// Cells without one whose attempts are used up.
    pub dead: u64,
    /// Tiles that were taken over, each time.
    pub takeovers: u64,
    /// Second successes that a takeover or another attempt explains.
    pub repeated: u64,
    /// Cells without an outcome because the run was cancelled or aborted.
    pub cancelled: u64,
    /// Cells of the grid without an outcome, of a run that was not cancelled.
    pub lost: Vec<GridCell>,
    /// Cells with a record that was never asked for.
    pub unexpected: Vec<GridCell>,
    /// Records that could not be read or did not belong where they stood.
    pub unexpected_records: u64,
    /// Cells with two successes that no takeover explains.
    pub twice: Vec<GridCell>,
}

#[derive(Default)]
struct CellState {
    issued: Vec<(TileRef, u32)>,
    successes: Vec<(Fence, Session)>,
    failed: BTreeSet<u32>,
    never: bool,
    /// Attempts that it may have, where it was reopened.
    most: Option<u32>,
    dropped: bool,
}

impl CellState {
    fn last_failed(&self) -> u32 {
        self.failed.last().copied().unwrap_or(0)
    }

    /// Whether it has no success and no attempts left, of the `most` that its job allows.
    fn is_dead(&self, most: u32) -> bool {
        let most = self.most.unwrap_or(most);
        self.successes.is_empty()
            && !self.failed.is_empty()
            && (self.never || self.last_failed() >= most)
    }
}

struct TileState {
    kind: TileKind,
    slice: u32,
    fences: Vec<Fence>,
    attempt: u32,
    suspicion: Suspicion,
}

/// Reads a run's records in ledger order.
pub struct Audit {
    run: RunId,
    opened: Option<(u64, Opened)>,
    ended: Option<EndState>,
    cancelled: bool,
    next_wave: u32,
    tiles: HashMap<TileRef, TileState>,
    cells: BTreeMap<(TileKind, u32, u32), CellState>,
    found: BTreeMap<u32, u32>,
    probed: HashSet<(u32, u32)>,
    seen: HashSet<(Session, u64)>,
    takeovers: u64,
    unexpected: BTreeSet<GridCell>,
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
            next_wave: 0,
            tiles: HashMap::new(),
            cells: BTreeMap::new(),
            found: BTreeMap::new(),
            probed: HashSet::new(),
            seen: HashSet::new(),
            takeovers: 0,
            unexpected: BTreeSet::new(),
            unexpected_records: 0,
        }
    }

    /// Takes in the record at `sequence`; `None` for one that could not be read.
    pub fn read(&mut self, sequence: u64, record: Option<&Record>) {
        match record {
            Some(Record::Plan(PlanRecord::Opened(opened))) if self.opened.is_none() => {
                self.opened = Some((sequence, (**opened).clone()));
            }
            Some(Record::Plan(PlanRecord::Wave(wave)))
                if self.opened.is_some() && wave.n == self.next_wave =>
            {
                self.next_wave += 1;
                self.wave(sequence, wave);
            }
            Some(Record::Plan(PlanRecord::Closed(closed))) if self.opened.is_some() => {
                self.ended = Some(closed.state);
            }
            Some(Record::Plan(PlanRecord::Cancelled(_))) if self.opened.is_some() => {
                self.cancelled = true;
            }
            Some(Record::Plan(PlanRecord::Reopened(reopened))) if self.opened.is_some() => {
                (self.ended, self.cancelled) = (None, false);
                let most = self.most();
                for cell in self.dead_among(&reopened.which) {
                    cell.most = Some(cell.last_failed().saturating_add(most));
                    cell.never = false;
                    cell.dropped = false;
                }
            }
            Some(Record::Plan(PlanRecord::Dropped(dropped))) if self.opened.is_some() => {
                for cell in self.dead_among(&dropped.which) {
                    cell.dropped = true;
                }
            }
            Some(Record::Work(work)) if self.opened.is_some() => self.work(work),
            Some(Record::Takeover(takeover)) if self.opened.is_some() => {
                if self.seen.insert((takeover.session, takeover.number)) {
                    for place in &takeover.tiles {
                        self.take_over(sequence, *place, takeover.reason);
                    }
                }
            }
            Some(Record::Plan(_) | Record::Work(_) | Record::Takeover(_)) | None => {
                self.unexpected_records += 1;
            }
        }
    }

    /// Attempts that the job allows a shard.
    fn most(&self) -> u32 {
        self.opened
            .as_ref()
            .map_or(1, |(_, opened)| opened.job.retry.max_attempts)
    }

    fn dead_among(&mut self, which: &Which) -> impl Iterator<Item = &mut CellState> {
        let most = self.most();
        let wanted = move |(kind, slice, page): (TileKind, u32, u32), dropped: bool| match which {
            Which::All => !dropped,
            Which::These(cells) => cells.contains(&Cell { kind, slice, page }),
        };
        let dead = self
            .cells
            .iter_mut()
            .filter(move |(at, cell)| cell.is_dead(most) && wanted(**at, cell.dropped));
        dead.map(|(_, cell)| cell)
    }

    fn wave(&mut self, sequence: u64, wave: &Wave) {
        let mut index = 0;
        for run in &wave.tiles {
            for n in 0..run.tiles {
                let place = TileRef {
                    wave: wave.n,
                    index,
                };
                index += 1;
                let state = TileState {
                    kind: run.kind,
                    slice: run.slice,
                    suspicion: Suspicion::default(),
                    fences: vec![Fence(sequence)],
                    attempt: run.attempt,
                };
                self.tiles.insert(place, state);
                let first = run.first + n * run.pages;
                for page in first..first + run.pages {
                    let cell = self.cells.entry((run.kind, run.slice, page)).or_default();
                    cell.issued.push((place, run.attempt));
                }
            }
        }
    }

    fn take_over(&mut self, sequence: u64, place: TileRef, reason: Reason) {
        self.takeovers += 1;
        let Some(tile) = self.tiles.get_mut(&place) else {
            self.unexpected_records += 1;
            return;
        };
        tile.fences.push(Fence(sequence));
        let (kind, slice, attempt) = (tile.kind, tile.slice, tile.attempt);
        let cells = &mut self.cells;
        let condemned = tile.suspicion.taken_over(reason, |page| {
            cells
                .get(&(kind, slice, page as u32))
                .is_some_and(|cell| cell.successes.is_empty() && !cell.failed.contains(&attempt))
        });
        let condemned = condemned.and_then(|page| cells.get_mut(&(kind, slice, page as u32)));
        if let Some(cell) = condemned {
            cell.never |= cell.failed.insert(attempt);
        }
    }

    fn work(&mut self, work: &WorkRecord) {
        if !self.seen.insert(work.signature()) {
            return;
        }
        match work {
            WorkRecord::Outcomes { session, block, .. } => match outcomes::decode(block) {
                Ok(entries) => entries.iter().for_each(|entry| self.entry(*session, entry)),
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
                let held = self.tiles.get_mut(tile);
                if let Some(held) = held.filter(|held| held.fences.last() == Some(fence)) {
                    held.suspicion.started(*session, u64::from(*page));
                }
            }
            WorkRecord::Returned { session, tiles, .. } => {
                for place in tiles {
                    if let Some(tile) = self.tiles.get_mut(place) {
                        tile.suspicion.returned(*session);
                    }
                }
            }
        }
    }

    fn entry(&mut self, session: Session, entry: &Entry) {
        let opened = self.opened.as_ref().map_or(0, |(sequence, _)| *sequence);
        let most = self.most();
        for page in entry.first..entry.first + entry.pages {
            let cell = self.cells.get_mut(&(entry.kind, entry.slice, page));
            let Some(cell) = cell.filter(|_| entry.fence.0 > opened) else {
                self.unexpected.insert(GridCell {
                    slice: entry.slice,
                    page,
                });
                continue;
            };
            match &entry.status {
                Status::Done => cell.successes.push((entry.fence, session)),
                Status::Failed(failed) => {
                    let Some(tile) = self.tiles.get(&entry.tile) else {
                        continue;
                    };
                    let held = cell.issued.contains(&(entry.tile, tile.attempt))
                        && tile.fences.last() == Some(&entry.fence);
                    if held && cell.failed.insert(tile.attempt) {
                        match failed.retry {
                            Retry::Never => cell.never = true,
                            // It uses up no attempt: one more may follow.
                            Retry::Hold(_) => {
                                let before = cell.most.unwrap_or(most);
                                cell.most = Some(before.saturating_add(1));
                            }
                            Retry::Backoff | Retry::AfterMs(_) => {}
                        }
                    }
                }
            }
        }
    }

    fn probe(&mut self, probed: &Probed) {
        let known = self
            .cells
            .get_mut(&(TileKind::Probe, probed.slice, probed.probe));
        let Some(cell) = known else {
            self.unexpected_records += 1;
            return;
        };
        cell.successes.push((probed.fence, probed.session));
        if self.probed.insert((probed.slice, probed.probe)) {
            *self.found.entry(probed.slice).or_default() += probed.pages.len() as u32;
        }
    }

    /// What the records prove.
    pub fn report(self) -> Report {
        let grid = self.opened.as_ref().map(|(_, opened)| &opened.job.grid);
        let most = self.most();
        let mut report = Report {
            run: self.run.clone(),
            ok: false,
            ended: self.ended,
            planned: 0,
            committed: 0,
            dead: 0,
            takeovers: self.takeovers,
            repeated: 0,
            cancelled: 0,
            lost: Vec::new(),
            unexpected: self.unexpected.iter().copied().collect(),
            unexpected_records: self.unexpected_records,
            twice: Vec::new(),
        };
        for slice in 0..grid.map_or(0, |grid| grid.slices) {
            let end = grid.and_then(|grid| grid.pages_of(slice));
            let end = end.unwrap_or_else(|| self.found.get(&slice).copied().unwrap_or(0));
            for page in 0..end {
                if !self.cells.contains_key(&(TileKind::Page, slice, page)) {
                    self.missing(&mut report, GridCell { slice, page });
                }
            }
        }
        for ((kind, slice, page), cell) in &self.cells {
            self.judge(
                &mut report,
                *kind,
                GridCell {
                    slice: *slice,
                    page: *page,
                },
                cell,
                most,
            );
        }
        report.lost.sort_unstable();
        report.ok = self.opened.is_some()
            && report.lost.is_empty()
            && report.unexpected.is_empty()
            && report.unexpected_records == 0
            && report.twice.is_empty();
        report
    }

    /// A cell without an outcome.
    fn missing(&self, report: &mut Report, at: GridCell) {
        if self.cancelled {
            report.cancelled += 1;
        } else {
            report.lost.push(at);
        }
    }

    fn judge(
        &self,
        report: &mut Report,
        kind: TileKind,
        at: GridCell,
        cell: &CellState,
        most: u32,
    ) {
        let page = u64::from(kind == TileKind::Page);
        report.planned += page;
        match (cell.successes.is_empty(), cell.is_dead(most)) {
            (false, _) => report.committed += page,
            (true, true) => report.dead += page,
            (true, false) if self.cancelled && kind == TileKind::Probe => {}
            (true, false) => self.missing(report, at),
        }
        let given = |fence: &Fence| {
            cell.issued.iter().any(|(place, _)| {
                self.tiles
                    .get(place)
                    .is_some_and(|tile| tile.fences.contains(fence))
            })
        };
        let fences: HashSet<Fence> = cell.successes.iter().map(|(fence, _)| *fence).collect();
        let explained = fences.len() == cell.successes.len() && fences.iter().all(given);
        if !explained {
            report.twice.push(at);
        } else if let Some(more) = cell.successes.len().checked_sub(1) {
            report.repeated += more as u64 * page;
        }
    }
}
