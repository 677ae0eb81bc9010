//! What a fold says of its run.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::graves::Grave;
use super::slices::Slice;
use super::{Cell, Counts, ErrorGroup, FailedCell, Fold, Next, OpenTile, Opening};
use crate::clock::UnixMs;
use crate::grid::frontier::Frontier;
use crate::id::RunId;
use crate::ledger::record::{Closed, Opened};
use crate::quick::QuickMap;
use crate::tile::{Bounds, Key, TileRef};

/// A shard that is due for another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due<'a> {
    /// Which.
    pub cell: Cell,
    /// Attempts that failed.
    pub attempts: u32,
    /// The page's bounds, where it has some.
    pub bounds: Option<&'a Bounds>,
    /// For a probe: its cursor.
    pub after: Option<&'a Key>,
}

/// A shard whose attempts are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dead<'a> {
    /// Which.
    pub cell: Cell,
    /// Attempts that failed.
    pub attempts: u32,
    /// The last error.
    pub error: &'a str,
    /// When that was recorded; of a run with very many dead shards, when that of a neighbour was.
    pub at: UnixMs,
    /// Whether somebody gave it up.
    pub dropped: bool,
}

impl Fold {
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

    /// Ledger sequence of the planner's last record: what its next one expects.
    pub fn last_plan(&self) -> u64 {
        self.last_plan
    }

    /// Number of the wave that may be decided next.
    pub fn next_wave(&self) -> u32 {
        self.next_wave
    }

    /// How many slices the grid has; 0 before the first record.
    pub fn slices(&self) -> u32 {
        self.slices.count()
    }

    /// How far a slice is planned.
    pub fn frontier(&self, slice: u32) -> Cow<'_, Frontier> {
        self.slices.frontier(slice)
    }

    /// Shards of the grid, as far as they are known: a probed grid grows.
    pub fn known_shards(&self) -> u64 {
        self.slices.known()
    }

    /// Whether those are all.
    pub fn all_known(&self) -> bool {
        self.slices.all_known()
    }

    /// Tiles with a shard that lacks its outcome.
    pub fn open_tiles(&self) -> &QuickMap<TileRef, OpenTile> {
        &self.open
    }

    /// Shards with a counted failure, no success and attempts left, in order; those that died before they
    /// were given further attempts are not among them until one is issued.
    pub fn waiting(&self) -> &BTreeMap<Cell, FailedCell> {
        self.waiting.cells()
    }

    /// The last error of one of those.
    pub fn error_of(&self, failed: &FailedCell) -> &str {
        self.errors.text(failed.error)
    }

    /// Those of them that wait for another attempt, the next due first.
    pub fn retries(&self) -> &BTreeSet<(UnixMs, Cell)> {
        self.waiting.due()
    }

    /// How many shards and questions wait for another attempt.
    pub fn retrying(&self) -> u64 {
        self.retries().len() as u64 + self.again.len()
    }

    /// When the next of them is due.
    pub fn next_retry(&self) -> Option<UnixMs> {
        let failed = self.retries().first().map(|(due, _)| *due);
        let again = self.again.iter().next().map(|(.., grave)| grave.at);
        failed.into_iter().chain(again).min()
    }

    /// When the last of them is due.
    pub fn last_retry(&self) -> Option<UnixMs> {
        let failed = self.retries().last().map(|(due, _)| *due);
        let again = self.again.iter().map(|(.., grave)| grave.at).max();
        failed.max(again)
    }

    /// When another attempt at `cell` is due; `None` where it does not wait for one.
    pub fn due_of(&self, cell: Cell) -> Option<UnixMs> {
        let failed = self.waiting.get(cell).and_then(|failed| match failed.next {
            Next::Due(due) => Some(due),
            Next::Issued(_) => None,
        });
        failed.or_else(|| self.again.get(cell).map(|grave| grave.at))
    }

    /// Whether `cell` has its success.
    pub fn is_done(&self, cell: Cell) -> bool {
        let page = u64::from(cell.page)..u64::from(cell.page) + 1;
        match self.slices.get(cell.slice) {
            Some(slice) => slice.cells(cell.kind).done.covers(&page),
            None => self.slices.finished_in(cell.kind, cell.slice, &page) > 0,
        }
    }

    /// What is known of `cell`, if its attempts are used up.
    pub fn dead_one(&self, cell: Cell) -> Option<Dead<'_>> {
        self.dead.get(cell).map(|grave| self.dead_at(cell, grave))
    }

    /// Those that are due at `now`, as far as their bounds and cursors are known ([`Fold::forgotten`]).
    pub fn due(&self, now: UnixMs) -> impl Iterator<Item = Due<'_>> {
        let failed = self
            .retries()
            .iter()
            .take_while(move |(due, _)| *due <= now);
        let failed = failed.filter_map(|(_, cell)| {
            let failed = self.waiting.get(*cell)?;
            Some(Due {
                cell: *cell,
                attempts: failed.attempts,
                bounds: failed.bounds.as_deref(),
                after: failed.after.as_deref(),
            })
        });
        let again = self.again.iter().filter(move |(.., grave)| grave.at <= now);
        let known = again.filter_map(|(first, pages, grave)| match grave.wave {
            0 => Some((first, pages, grave, None)),
            wave => Some((first, pages, grave, Some(self.recalled.get(&wave)?))),
        });
        let again = known.flat_map(|(first, pages, grave, recalled)| {
            pages.filter_map(move |page| {
                let cell = Cell { page, ..first };
                let (bounds, after) = match recalled {
                    None => (None, None),
                    Some(cells) => {
                        let said = cells.get(&cell)?;
                        (said.bounds.as_ref(), said.after.as_ref())
                    }
                };
                Some(Due {
                    cell,
                    attempts: grave.attempts,
                    bounds,
                    after,
                })
            })
        });
        failed.chain(again)
    }

    /// Shards whose attempts are used up, in order.
    pub fn dead(&self) -> impl DoubleEndedIterator<Item = Dead<'_>> {
        self.dead.iter().flat_map(move |(first, pages, grave)| {
            pages.map(move |page| self.dead_at(Cell { page, ..first }, grave))
        })
    }

    pub(super) fn dead_at(&self, cell: Cell, grave: &Grave) -> Dead<'_> {
        Dead {
            cell,
            attempts: grave.attempts,
            error: self.errors.text(grave.error),
            at: grave.at,
            dropped: grave.dropped,
        }
    }

    /// The errors of the failures that counted, as far as they are kept.
    pub fn errors(&self) -> impl Iterator<Item = ErrorGroup<'_>> {
        self.errors.groups()
    }

    /// Numbers over the whole run.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// About the bytes that it takes: from how many things it keeps, so that asking costs nothing.
    pub fn memory(&self) -> usize {
        /// About those of an entry of a table or a tree.
        const ENTRY: usize = 24;
        let (slices, told) = self.slices.kept();
        let waiting = size_of::<(Cell, FailedCell)>() + size_of::<(UnixMs, Cell)>() + 2 * ENTRY;
        size_of::<Fold>()
            + size_of::<Opened>()
            + slices * (size_of::<Slice>() + 64 + ENTRY)
            + told * (12 + ENTRY)
            + self.open.len() * (size_of::<(TileRef, OpenTile)>() + 16 + ENTRY)
            + self.waiting.cells().len() * waiting
            + (self.dead.runs() + self.again.runs()) * (48 + ENTRY)
            + self.recalled.len() * (256 + ENTRY)
            + self.errors.bytes()
            + self.sessions.len() * 96
            + self.counters.len() * (64 + ENTRY)
    }

    /// Sums of the counters over the shards that count.
    pub fn counters(&self) -> &BTreeMap<String, i128> {
        &self.counters
    }

    /// Whether there were more counters than are summed.
    pub fn has_more_counters(&self) -> bool {
        self.more_counters
    }

    /// Until when shards of the run asked for a hold: nothing of its job, or of the resource that the job
    /// names, is to be issued before. A time that has passed holds nothing.
    pub fn hold_until(&self) -> Option<UnixMs> {
        self.hold_until
    }

    /// Whether every cell of the grid has been issued, as far as it can ever be: a slice whose probe
    /// is dead has no more pages.
    pub fn all_issued(&self) -> bool {
        self.opening.is_some()
            && u64::from(self.slices.issued()) + self.counts.dead_probes >= u64::from(self.slices())
    }

    /// Whether nothing is left to do or to wait for.
    pub fn complete(&self) -> bool {
        self.all_issued() && self.open.is_empty() && self.retrying() == 0
    }
}
