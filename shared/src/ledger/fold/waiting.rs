//! Shards that failed and are not dead: another attempt is due, or under way.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::errors::ErrorId;
use crate::clock::UnixMs;
use crate::tile::{Bounds, Cell, Key, TileRef};

/// A shard with at least one counted failure, no success, and attempts left.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedCell {
    /// Attempts that failed.
    pub attempts: u32,
    /// When the last was recorded.
    pub at: UnixMs,
    /// What follows.
    pub next: Next,
    /// Attempts that it may have; more than the job's own number once it was reopened.
    pub most: u32,
    /// Attempts before it was reopened last.
    pub base: u32,
    pub(super) error: ErrorId,
    /// The page's bounds, where it has some.
    pub bounds: Option<Box<Bounds>>,
    /// For a probe: its cursor.
    pub after: Option<Box<Key>>,
}

/// What follows a counted failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another attempt, not before this time by the broker's clock.
    Due(UnixMs),
    /// Another attempt has been issued.
    Issued(TileRef),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    cells: BTreeMap<Cell, FailedCell>,
    due: BTreeSet<(UnixMs, Cell)>,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    pub(super) fn cells(&self) -> &BTreeMap<Cell, FailedCell> {
        &self.cells
    }

    pub(super) fn due(&self) -> &BTreeSet<(UnixMs, Cell)> {
        &self.due
    }

    pub(super) fn get(&self, cell: Cell) -> Option<&FailedCell> {
        self.cells.get(&cell)
    }

    /// The cells among `pages`, which are those of one kind and slice.
    pub(super) fn among(&self, cells: Range<Cell>) -> impl Iterator<Item = Cell> {
        self.cells.range(cells).map(|(cell, _)| *cell)
    }

    pub(super) fn insert(&mut self, cell: Cell, failed: FailedCell) {
        self.remove(cell);
        if let Next::Due(due) = failed.next {
            self.due.insert((due, cell));
        }
        self.cells.insert(cell, failed);
    }

    pub(super) fn remove(&mut self, cell: Cell) -> Option<FailedCell> {
        let failed = self.cells.remove(&cell)?;
        if let Next::Due(due) = failed.next {
            self.due.remove(&(due, cell));
        }
        Some(failed)
    }

    /// Notes that another attempt at `cell` is under way. Whether it waited for one.
    pub(super) fn issue(&mut self, cell: Cell, place: TileRef) -> bool {
        let Some(failed) = self.cells.get_mut(&cell) else {
            return false;
        };
        if let Next::Due(due) = failed.next {
            self.due.remove(&(due, cell));
        }
        failed.next = Next::Issued(place);
        true
    }
}
