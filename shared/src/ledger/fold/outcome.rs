//! What one entry of an outcome block changes.

use std::ops::Range;
use std::time::Duration;

use super::{Cell, Fold};
use crate::clock::UnixMs;
use crate::ledger::outcomes::{Entry, Failed, Retry, Status};
use crate::limits::{HOLD_MIN, WAIT_MAX};
use crate::tile::{Bounds, Key, TileKind, TileRef};

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

impl Fold {
    pub(super) fn outcome(&mut self, at: UnixMs, entry: &Entry) {
        let opened = self.opening.as_ref().map_or(0, |opening| opening.sequence);
        let pages = u64::from(entry.first)..u64::from(entry.first) + u64::from(entry.pages);
        let Some(slice) = self.slices.get(entry.slice as usize) else {
            self.counts.unexpected += u64::from(entry.pages);
            return;
        };
        if entry.fence.0 <= opened {
            self.counts.unexpected += u64::from(entry.pages);
            return;
        }
        let issued = slice.cells(entry.kind).issued.within(&pages);
        let known: u64 = issued.iter().map(|part| part.end - part.start).sum();
        self.counts.unexpected += u64::from(entry.pages) - known;
        match (&entry.status, entry.kind) {
            (Status::Done, TileKind::Page) => {
                issued.into_iter().for_each(|part| self.done(entry, &part))
            }
            // A probe succeeds by its own kind of record, which carries the pages.
            (Status::Done, TileKind::Probe) => self.counts.unexpected += known,
            (Status::Failed(failed), _) => {
                for page in issued.into_iter().flatten() {
                    self.fail(at, entry, failed, page as u32);
                }
            }
        }
    }

    fn done(&mut self, entry: &Entry, pages: &Range<u64>) {
        let Some(slice) = self.slices.get(entry.slice as usize) else {
            return;
        };
        let new = slice.pages.done.missing(pages);
        let fresh: u64 = new.iter().map(|part| part.end - part.start).sum();
        self.counts.late += pages.end - pages.start - fresh;
        for part in new {
            self.first_success(entry, part);
        }
    }

    /// Counts pages that had no success so far. Normally they are open in the entry's own tile, or
    /// failed before; a record that names the wrong tile still tells of an issued shard's success.
    fn first_success(&mut self, entry: &Entry, part: Range<u64>) {
        let own = self.open.get(&entry.tile).is_some_and(|tile| {
            tile.kind == entry.kind && tile.slice == entry.slice && tile.left.covers(&part)
        });
        self.count_success(entry, part.clone());
        if own {
            self.settle(entry.tile, part);
        } else {
            let strays: Vec<_> = self
                .open
                .iter()
                .filter(|(_, tile)| tile.kind == entry.kind && tile.slice == entry.slice)
                .filter(|(_, tile)| !tile.left.within(&part).is_empty())
                .map(|(place, _)| *place)
                .collect();
            strays
                .into_iter()
                .for_each(|place| self.settle(place, part.clone()));
        }
    }

    fn count_success(&mut self, entry: &Entry, part: Range<u64>) {
        let Some(slice) = self.slices.get_mut(entry.slice as usize) else {
            return;
        };
        slice.pages.done.insert(part.clone());
        self.counts.done += part.end - part.start;
        let offset = |page: u64| (page - u64::from(entry.first)) as u32;
        for column in &entry.columns {
            let sum = column.sum(offset(part.start), offset(part.end));
            match self.counters.get_mut(&column.name) {
                Some(total) => *total = total.saturating_add(sum), // no ledger reaches 2^127
                None => {
                    self.counters.insert(column.name.clone(), sum);
                }
            }
        }
        if !self.failed.is_empty() {
            let cell = |page: u64| Cell {
                kind: entry.kind,
                slice: entry.slice,
                page: page as u32,
            };
            let failed: Vec<Cell> = self
                .failed
                .range(cell(part.start)..cell(part.end))
                .map(|(cell, _)| *cell)
                .collect();
            failed.into_iter().for_each(|cell| self.forgive(cell));
        }
    }

    /// A success after failures: what was to follow is off.
    pub(super) fn forgive(&mut self, cell: Cell) {
        let Some(failed) = self.failed.remove(&cell) else {
            return;
        };
        match failed.next {
            Next::Due(due) => {
                self.retries.remove(&(due, cell));
            }
            Next::Issued(place) => {
                self.settle(place, u64::from(cell.page)..u64::from(cell.page) + 1)
            }
            Next::Dead => self.counts.uncount_dead(cell.kind),
        }
    }

    fn fail(&mut self, at: UnixMs, entry: &Entry, failed: &Failed, page: u32) {
        let Some(opening) = &self.opening else { return };
        let backoff = opening.record.job.retry.backoff.clone();
        let Some(tile) = self.open.get(&entry.tile) else {
            return;
        };
        let held = tile.kind == entry.kind
            && tile.slice == entry.slice
            && tile.fence == entry.fence
            && tile.left.contains(u64::from(page));
        if !held {
            return;
        }
        let cell = Cell {
            kind: entry.kind,
            slice: entry.slice,
            page,
        };
        let attempts = tile.attempt;
        let (most, base) = self.allowed(cell);
        // The wait grows anew with the attempts that a reopening gave.
        let round = attempts.saturating_sub(base);
        let wait = match failed.retry {
            Retry::Never => None,
            Retry::Hold(ms) if attempts < u32::MAX - 1 => {
                let wait = Duration::from_millis(ms).clamp(HOLD_MIN, WAIT_MAX);
                return self.hold(at, entry.tile, cell, wait, failed.error.clone());
            }
            _ if attempts >= most.min(u32::MAX - 1) => None,
            Retry::Backoff | Retry::Hold(_) => {
                Some(backoff.after(round, self.spread(cell, attempts)))
            }
            Retry::AfterMs(ms) => Some(Duration::from_millis(ms)),
        };
        let next = wait.map_or(Next::Dead, |wait| Next::Due(at + wait.min(WAIT_MAX)));
        self.note_failure(at, entry.tile, cell, next, failed.error.clone());
    }

    /// The attempt at `cell` is to be made again after `wait`, and counts as none: as many as before may
    /// follow, and the next wait is as long as if it had not been.
    fn hold(&mut self, at: UnixMs, place: TileRef, cell: Cell, wait: Duration, error: String) {
        let until = at + wait;
        self.note_failure(at, place, cell, Next::Due(until), error);
        if let Some(failed) = self.failed.get_mut(&cell) {
            failed.most = failed.most.saturating_add(1);
            failed.base = failed.base.saturating_add(1);
        }
        self.counts.failures -= 1;
        self.counts.held += 1;
        self.hold_until = self.hold_until.max(Some(until));
    }

    /// The attempt at `cell` that the open tile at `place` carries has failed.
    pub(super) fn note_failure(
        &mut self,
        at: UnixMs,
        place: TileRef,
        cell: Cell,
        next: Next,
        error: String,
    ) {
        let Some(tile) = self.open.get(&place) else {
            return;
        };
        let (most, base) = self.allowed(cell);
        let record = FailedCell {
            attempts: tile.attempt,
            error,
            at,
            next,
            most,
            base,
            dropped: false,
            bounds: tile.bounds_of(cell.page).cloned(),
            after: tile.after.clone(),
        };
        match next {
            Next::Due(due) => {
                self.retries.insert((due, cell));
            }
            Next::Dead if cell.kind == TileKind::Probe => self.counts.dead_probes += 1,
            Next::Dead | Next::Issued(_) => self.counts.dead += 1,
        }
        self.counts.failures += 1;
        self.failed.insert(cell, record);
        self.settle(place, u64::from(cell.page)..u64::from(cell.page) + 1);
    }

    /// Up to which attempt the cell may be tried, and after which its last set of attempts began.
    fn allowed(&self, cell: Cell) -> (u32, u32) {
        if let Some(failed) = self.failed.get(&cell) {
            return (failed.most, failed.base);
        }
        let job = self.opening.as_ref().map(|opening| &opening.record.job);
        (job.map_or(1, |job| job.retry.max_attempts), 0)
    }

    /// A number that looks random and that every reader computes alike (FNV-1a).
    fn spread(&self, cell: Cell, attempt: u32) -> u64 {
        let numbers = [cell.slice, cell.page, attempt];
        let numbers = numbers.iter().flat_map(|number| number.to_le_bytes());
        self.run
            .as_str()
            .bytes()
            .chain(numbers)
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            })
    }
}
