//! Decides which rules the records of a run keep or break (docs/PROTOCOL.md §2 to §5).
//!
//! It keeps everything that happened to every shard, in order, and judges each record against what
//! stood before it.

use std::collections::{BTreeMap, HashMap, HashSet};

use gridloom_shared::id::{Fence, Session};
use gridloom_shared::ledger::fold::Cell;
use gridloom_shared::ledger::orders::Which;
use gridloom_shared::ledger::outcomes::{self, Retry, Status};
use gridloom_shared::ledger::record::{
    Opened, PlanRecord, Probed, Reason, Record, Takeover, Wave, WorkRecord,
};
use gridloom_shared::tile::{TileKind, TileRef};

use super::Breach;
use super::ledger::Ledger;

mod came;

mod end;

/// A tile as its wave decided it, and who held it since.
#[derive(Clone, Debug)]
pub struct TileTrace {
    /// What kind of work.
    pub kind: TileKind,
    /// Row.
    pub slice: u32,
    /// First page.
    pub first: u32,
    /// How many pages.
    pub pages: u32,
    /// Attempt that it carries.
    pub attempt: u32,
    /// Sequence of its wave.
    pub fence: Fence,
    /// Term of its wave's decider.
    pub term: u64,
    /// Its takeovers: fence and author.
    pub takeovers: Vec<(Fence, Session)>,
    /// How many of them suggest that the holder before had crashed.
    pub crashes: usize,
    /// The page that its holder announced last, and the holder.
    pub announced: Option<(u32, Session)>,
    /// Pages that were announced and then taken over so, each with who announced it.
    pub blamed: Vec<(u32, Session)>,
}

impl TileTrace {
    /// Its shards.
    pub fn cells(&self) -> impl Iterator<Item = Cell> + use<> {
        let (kind, slice) = (self.kind, self.slice);
        (self.first..self.first + self.pages).map(move |page| Cell { kind, slice, page })
    }

    fn newest(&self) -> Fence {
        self.takeovers
            .last()
            .map_or(self.fence, |(fence, _)| *fence)
    }
}

/// What happened to one shard.
#[derive(Clone, Debug, Default)]
pub struct CellTrace {
    /// Attempts issued: number and tile.
    pub issued: Vec<(u32, TileRef)>,
    /// Successes: sequence, fence and author.
    pub done: Vec<(u64, Fence, Session)>,
    /// Failures that count: attempt, and whether none may follow.
    pub failed: Vec<(u32, bool)>,
    /// Failures whether they count or not: the attempts.
    pub tried: Vec<u32>,
    /// Attempts that a reopening gave; `None`: as the job says.
    pub most: Option<u32>,
    /// Whether it was given up.
    pub dropped: bool,
}

/// Everything that the records say.
#[derive(Debug)]
pub struct Trace {
    opened: Option<(u64, Opened)>,
    closed: Option<u64>,
    /// The order by which nothing more may be issued.
    cancelled: Option<u64>,
    waves: u32,
    tiles: BTreeMap<TileRef, TileTrace>,
    cells: BTreeMap<Cell, CellTrace>,
    found: HashMap<u32, u32>,
    seen: HashSet<(Session, u64)>,
    breaches: Vec<Breach>,
}

impl Trace {
    /// Follows a run from its first record to its last.
    pub fn of(ledger: &Ledger) -> Trace {
        let mut trace = Trace {
            opened: None,
            closed: None,
            cancelled: None,
            waves: 0,
            tiles: BTreeMap::new(),
            cells: BTreeMap::new(),
            found: HashMap::new(),
            seen: HashSet::new(),
            breaches: Vec::new(),
        };
        for entry in &ledger.entries {
            match &entry.record {
                None => trace.breach(Breach::of_run(format!(
                    "record {} cannot be read",
                    entry.seq
                ))),
                Some(Record::Plan(plan)) => trace.plan(entry.seq, plan),
                Some(Record::Work(work)) => trace.work(entry.seq, work),
                Some(Record::Takeover(takeover)) => trace.takeover(entry.seq, takeover),
            }
        }
        trace
    }

    /// Rules that were broken on the way.
    pub fn breaches(&self) -> &[Breach] {
        &self.breaches
    }

    /// Tiles that were decided.
    pub fn tiles(&self) -> &BTreeMap<TileRef, TileTrace> {
        &self.tiles
    }

    /// What happened to a shard.
    pub fn cell(&self, cell: Cell) -> Option<&CellTrace> {
        self.cells.get(&cell)
    }

    /// What happened to every shard.
    pub fn cells(&self) -> &BTreeMap<Cell, CellTrace> {
        &self.cells
    }

    /// Waves decided.
    pub fn waves(&self) -> u32 {
        self.waves
    }

    fn breach(&mut self, breach: Breach) {
        self.breaches.push(breach);
    }

    fn plan(&mut self, seq: u64, plan: &PlanRecord) {
        let may_follow = matches!(
            plan,
            PlanRecord::Reopened(_) | PlanRecord::Dropped(_) | PlanRecord::Retired(_)
        );
        if self.closed.is_some() && !may_follow {
            self.breach(Breach::of_run(format!(
                "plan record {seq} after the run was closed"
            )));
        }
        match plan {
            PlanRecord::Opened(opened) if self.opened.is_none() => {
                self.opened = Some((seq, (**opened).clone()));
                let first = opened.wave(seq);
                first.iter().for_each(|wave| self.wave(seq, wave));
            }
            PlanRecord::Opened(_) => self.breach(Breach::of_run(format!("opened twice, at {seq}"))),
            PlanRecord::Closed(_) => self.closed = Some(seq),
            PlanRecord::Wave(wave) => {
                if let Some(at) = self.cancelled {
                    self.breach(Breach::of_run(format!(
                        "wave {} stands at {seq}, after the run was cancelled at {at}",
                        wave.n
                    )));
                }
                self.wave(seq, wave);
            }
            PlanRecord::Cancelled(_) => {
                if self.cancelled.is_some() {
                    self.breach(Breach::of_run(format!("cancelled twice, at {seq}")));
                }
                self.cancelled = Some(seq);
            }
            PlanRecord::Reopened(reopened) => {
                if self.cancelled.is_some() && self.closed.is_none() {
                    let what = format!("reopened at {seq} while it was being cancelled");
                    self.breach(Breach::of_run(what));
                }
                (self.closed, self.cancelled) = (None, None);
                let most = self.most();
                for cell in self.dead_of(&reopened.which) {
                    if let Some(trace) = self.cells.get_mut(&cell)
                        && let Some((attempt, never)) = trace.failed.last_mut()
                    {
                        trace.most = Some(*attempt + most);
                        trace.dropped = false;
                        *never = false;
                    }
                }
            }
            PlanRecord::Retired(_) if self.closed.is_some() => {}
            PlanRecord::Retired(_) | PlanRecord::Forgotten(_) => {
                self.breach(Breach::of_run(format!(
                    "retired while it was open, at {seq}"
                )));
            }
            PlanRecord::Dropped(dropped) => {
                if dropped.closed != self.closed.is_some() {
                    let what =
                        format!("dropped at {seq} by who did not know whether it was closed");
                    self.breach(Breach::of_run(what));
                }
                for cell in self.dead_of(&dropped.which) {
                    if let Some(trace) = self.cells.get_mut(&cell) {
                        trace.dropped = true;
                    }
                }
            }
        }
    }

    /// Attempts that the job allows.
    fn most(&self) -> u32 {
        self.opened
            .as_ref()
            .map_or(1, |(_, opened)| opened.job.retry.max_attempts)
    }

    /// Whether the run was cancelled or aborted, and not reopened since.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_some()
    }

    fn dead_of(&self, which: &Which) -> Vec<Cell> {
        let dead = |cell: &&Cell| {
            self.cells
                .get(*cell)
                .is_some_and(|trace| self.is_dead(trace))
        };
        match which {
            Which::All => {
                let listed = self.cells.iter().filter(|(_, trace)| !trace.dropped);
                listed.map(|(cell, _)| cell).filter(dead).copied().collect()
            }
            Which::These(cells) => cells.iter().filter(dead).copied().collect(),
        }
    }

    fn wave(&mut self, seq: u64, wave: &Wave) {
        if wave.n != self.waves || self.opened.is_none() {
            let what = format!(
                "wave {} stands at {seq} where {} was due",
                wave.n, self.waves
            );
            self.breach(Breach::of_run(what));
        }
        self.waves = wave.n + 1;
        if wave.is_empty() || wave.folded >= seq {
            self.breach(Breach::of_run(format!(
                "wave {} is empty or had read its own record",
                wave.n
            )));
        }
        let mut index = 0;
        for run in &wave.tiles {
            for n in 0..run.tiles {
                let place = TileRef {
                    wave: wave.n,
                    index,
                };
                index += 1;
                let tile = TileTrace {
                    kind: run.kind,
                    slice: run.slice,
                    first: run.first + n * run.pages,
                    pages: run.pages,
                    attempt: run.attempt,
                    fence: Fence(seq),
                    term: wave.term.0,
                    takeovers: Vec::new(),
                    crashes: 0,
                    announced: None,
                    blamed: Vec::new(),
                };
                tile.cells()
                    .for_each(|cell| self.issue(cell, place, run.attempt, wave.folded));
                self.tiles.insert(place, tile);
            }
        }
    }

    fn issue(&mut self, cell: Cell, place: TileRef, attempt: u32, folded: u64) {
        let most = self.most();
        let trace = self.cells.entry(cell).or_default();
        let most = trace.most.unwrap_or(most);
        let what = if trace.issued.iter().any(|(earlier, _)| *earlier == attempt) {
            Some("attempt issued twice")
        } else if attempt > most {
            Some("issued more often than its job allows")
        } else if attempt > 1 && trace.failed.last() != Some(&(attempt - 1, false)) {
            Some("issued again without a failure that counts")
        } else if trace.done.first().is_some_and(|(seq, ..)| *seq <= folded) {
            Some("issued again although its success had been read")
        } else {
            None
        };
        trace.issued.push((attempt, place));
        if let Some(what) = what {
            self.breach(Breach::of_cell(
                cell,
                format!("{what}: attempt {attempt} in wave {}", place.wave),
            ));
        }
    }

    fn takeover(&mut self, seq: u64, takeover: &Takeover) {
        if !self.seen.insert((takeover.session, takeover.number)) {
            return;
        }
        for place in &takeover.tiles {
            match self.tiles.get_mut(place) {
                Some(tile) => {
                    tile.takeovers.push((Fence(seq), takeover.session));
                    let announced = tile.announced.take();
                    if takeover.reason != Reason::Count {
                        continue;
                    }
                    tile.crashes += 1;
                    let (kind, slice, attempt) = (tile.kind, tile.slice, tile.attempt);
                    let Some((page, by)) = announced else {
                        continue;
                    };
                    let trace = self.cells.entry(Cell { kind, slice, page }).or_default();
                    let open = trace.failed.iter().all(|(failed, _)| *failed != attempt);
                    if open && trace.done.is_empty() {
                        tile.blamed.push((page, by));
                        // The fourth that died of it as announced is the last.
                        if tile
                            .blamed
                            .iter()
                            .filter(|(blamed, _)| *blamed == page)
                            .count()
                            == 4
                        {
                            trace.tried.push(attempt);
                            trace.failed.push((attempt, true));
                        }
                    }
                }
                None => {
                    let what = format!("taken over at {seq} before it was decided");
                    self.breaches.push(Breach::of_tile(*place, what));
                }
            }
        }
    }

    fn work(&mut self, seq: u64, work: &WorkRecord) {
        if !self.seen.insert(work.signature()) {
            return;
        }
        match work {
            WorkRecord::Outcomes { session, block, .. } => match outcomes::decode(block) {
                Ok(entries) => entries
                    .iter()
                    .for_each(|entry| self.outcome(seq, *session, entry)),
                Err(error) => self.breach(Breach::of_run(format!(
                    "block at {seq} cannot be read: {error}"
                ))),
            },
            WorkRecord::Probed(probed) => self.probed(seq, probed),
            WorkRecord::Started {
                session,
                tile,
                page,
                fence,
                ..
            } => self.announced(seq, *session, *tile, *page, *fence),
            WorkRecord::Returned { session, tiles, .. } => {
                for place in tiles {
                    if let Some(tile) = self.tiles.get_mut(place) {
                        tile.announced = tile.announced.filter(|(_, by)| by != session);
                        tile.blamed.retain(|(_, by)| by != session);
                    }
                }
            }
        }
    }

    fn announced(&mut self, seq: u64, session: Session, place: TileRef, page: u32, fence: Fence) {
        match self.tiles.get_mut(&place) {
            // Another holds it by now.
            Some(tile) if tile.newest() != fence => {}
            Some(tile) if tile.crashes > 0 => tile.announced = Some((page, session)),
            Some(_) | None => {
                let what = format!("page {page} announced at {seq} without a cause");
                self.breach(Breach::of_tile(place, what));
            }
        }
    }

    fn is_dead(&self, trace: &CellTrace) -> bool {
        let most = trace.most.unwrap_or_else(|| self.most());
        trace.done.is_empty()
            && trace
                .failed
                .last()
                .is_some_and(|(attempt, never)| *never || *attempt >= most)
    }

    /// Whether every shard of a tile has a success, or an outcome of the attempt that it carries.
    pub fn is_finished(&self, tile: &TileTrace) -> bool {
        tile.cells().all(|cell| {
            self.cells
                .get(&cell)
                .is_some_and(|trace| !trace.done.is_empty() || trace.tried.contains(&tile.attempt))
        })
    }
}

#[cfg(test)]
mod tests;
