//! What one entry of an outcome block changes.

use std::ops::Range;
use std::time::Duration;

use super::errors::{ErrorId, FailedAttempt};
use super::graves::Grave;
use super::strays::Strays;
use super::{Cell, FailedCell, Fold, Next};
use crate::clock::UnixMs;
use crate::ledger::outcomes::{Entry, Failed, Retry, Status};
use crate::limits::{HOLD_MIN, NAMES_MAX, WAIT_MAX};
use crate::tile::{TileKind, TileRef};

impl Fold {
    pub(super) fn outcome(&mut self, at: UnixMs, entry: &Entry, strays: &mut Strays) {
        let opened = self.opening.as_ref().map_or(0, |opening| opening.sequence);
        let pages = u64::from(entry.first)..u64::from(entry.first) + u64::from(entry.pages);
        if entry.fence.0 < opened {
            self.counts.unexpected += u64::from(entry.pages);
            return;
        }
        let Some(slice) = self.slices.get(entry.slice) else {
            return self.outcome_of_finished(entry, &pages);
        };
        let cells = slice.cells(entry.kind);
        let unknown = cells.issued.lacks(&pages);
        self.counts.unexpected += unknown;
        match (&entry.status, entry.kind) {
            // Nearly always: all of it was issued, and none of it is done.
            (Status::Done, TileKind::Page) if unknown == 0 && !cells.done.touches(&pages) => {
                self.first_success(entry, pages, strays);
            }
            (Status::Done, TileKind::Page) => {
                for part in cells.issued.within(&pages) {
                    self.done(entry, &part, strays);
                }
            }
            // A probe succeeds by its own kind of record, which carries the pages.
            (Status::Done, TileKind::Probe) => {
                self.counts.unexpected += u64::from(entry.pages) - unknown;
            }
            (Status::Failed(failed), _) => self.fail(at, entry, failed, &pages),
        }
        self.slices.settle(entry.slice);
    }

    /// All that was issued of the slice has succeeded, or nothing was issued.
    fn outcome_of_finished(&mut self, entry: &Entry, pages: &Range<u64>) {
        let known = self.slices.finished_in(entry.kind, entry.slice, pages);
        self.counts.unexpected += u64::from(entry.pages) - known;
        match (&entry.status, entry.kind) {
            (Status::Done, TileKind::Page) => self.counts.late += known,
            (Status::Done, TileKind::Probe) => self.counts.unexpected += known,
            (Status::Failed(_), _) => {}
        }
    }

    fn done(&mut self, entry: &Entry, pages: &Range<u64>, strays: &mut Strays) {
        let Some(slice) = self.slices.get(entry.slice) else {
            return;
        };
        let new = slice.pages.done.missing(pages);
        let fresh: u64 = new.iter().map(|part| part.end - part.start).sum();
        self.counts.late += pages.end - pages.start - fresh;
        for part in new {
            self.first_success(entry, part, strays);
        }
    }

    /// Counts pages that had no success so far. Normally they are open in the entry's own tile, or
    /// failed before; a record that names the wrong tile still tells of an issued shard's success.
    fn first_success(&mut self, entry: &Entry, part: Range<u64>, strays: &mut Strays) {
        let own = self.open.get(&entry.tile).is_some_and(|tile| {
            tile.kind == entry.kind && tile.slice == entry.slice && tile.left.covers(&part)
        });
        self.count_success(entry, part.clone());
        if own {
            self.settle(entry.tile, part);
        } else {
            for place in strays.near(self, (entry.kind, entry.slice), &part) {
                self.settle(place, part.clone());
            }
        }
    }

    fn count_success(&mut self, entry: &Entry, part: Range<u64>) {
        let Some(slice) = self.slices.get_mut(entry.slice) else {
            return;
        };
        slice.pages.done.insert(part.clone());
        self.counts.done += part.end - part.start;
        let offset = |page: u64| (page - u64::from(entry.first)) as u32;
        for column in &entry.columns {
            let sum = column.sum(offset(part.start), offset(part.end));
            let room = self.counters.len() < NAMES_MAX;
            match self.counters.get_mut(&column.name) {
                Some(total) => *total = total.saturating_add(sum), // no ledger reaches 2^127
                None if room => {
                    self.counters.insert(column.name.clone(), sum);
                }
                None => self.more_counters = true,
            }
        }
        self.forgive(entry.kind, entry.slice, part);
    }

    /// A success after failures: what was to follow is off.
    pub(super) fn forgive(&mut self, kind: TileKind, slice: u32, pages: Range<u64>) {
        let at = |page: u64| Cell {
            kind,
            slice,
            page: page as u32,
        };
        if !self.waiting.is_empty() {
            let waited: Vec<Cell> = self.waiting.among(at(pages.start)..at(pages.end)).collect();
            for cell in waited {
                let failed = self.waiting.remove(cell);
                if let Some(Next::Issued(place)) = failed.map(|failed| failed.next) {
                    self.settle(place, u64::from(cell.page)..u64::from(cell.page) + 1);
                }
            }
        }
        self.exhume(kind, slice, pages.start as u32..pages.end as u32);
    }

    /// Takes out whatever of `pages` was dead, or is to be tried again.
    fn exhume(&mut self, kind: TileKind, slice: u32, pages: Range<u32>) {
        if !self.dead.is_empty() {
            for (pages, _) in self.dead.take(kind, slice, pages.clone()) {
                self.counts
                    .uncount_dead(kind, u64::from(pages.end - pages.start));
            }
        }
        if !self.again.is_empty() {
            for (pages, grave) in self.again.take(kind, slice, pages) {
                for page in pages {
                    self.forget_recalled(Cell { kind, slice, page }, grave.wave);
                }
            }
        }
    }

    /// The attempt that the entry's tile carries has failed, for those of `pages` that it holds.
    fn fail(&mut self, at: UnixMs, entry: &Entry, failed: &Failed, pages: &Range<u64>) {
        let held = self.open.get(&entry.tile).filter(|tile| {
            tile.kind == entry.kind && tile.slice == entry.slice && tile.fence == entry.fence
        });
        let Some(tile) = held else { return };
        let (attempts, parts) = (tile.attempt, tile.left.within(pages));
        if parts.is_empty() {
            return;
        }
        let error = self.errors.id(&failed.error);
        let cell = |page: u64| Cell {
            kind: entry.kind,
            slice: entry.slice,
            page: page as u32,
        };
        for part in parts {
            let last = match failed.retry {
                Retry::Never => true,
                Retry::Hold(_) => false,
                Retry::Backoff | Retry::AfterMs(_) => attempts >= self.job_attempts(),
            };
            let mut waited = self.waiting.among(cell(part.start)..cell(part.end));
            let alike = last && waited.next().is_none();
            drop(waited);
            if alike {
                self.bury(at, entry.tile, part, error);
            } else {
                for page in part {
                    self.fail_page(at, entry.tile, cell(page), failed.retry, error);
                }
            }
        }
    }

    fn fail_page(&mut self, at: UnixMs, place: TileRef, cell: Cell, retry: Retry, error: ErrorId) {
        let (Some(opening), Some(tile)) = (&self.opening, self.open.get(&place)) else {
            return;
        };
        let attempts = tile.attempt;
        let (most, base) = self.allowed(cell);
        let page = u64::from(cell.page)..u64::from(cell.page) + 1;
        // Attempts are numbered in 32 bits, and whoever holds for ever reaches their end one day.
        let ends = attempts >= u32::MAX - 1;
        let (wait, more) = match retry {
            Retry::Never => return self.bury(at, place, page, error),
            Retry::Hold(ms) if !ends => {
                let wait = Duration::from_millis(ms).clamp(HOLD_MIN, WAIT_MAX);
                self.hold_until = self.hold_until.max(Some(at + wait));
                // As many attempts as before may follow, and the next wait is as long as if it had not been.
                (wait, 1)
            }
            _ if ends || attempts >= most => return self.bury(at, place, page, error),
            Retry::Backoff | Retry::Hold(_) => {
                // The wait grows anew with the attempts that a reopening gave.
                let round = attempts.saturating_sub(base);
                let backoff = &opening.record.job.retry.backoff;
                (backoff.after(round, self.spread(cell, attempts)), 0)
            }
            Retry::AfterMs(ms) => (Duration::from_millis(ms), 0),
        };
        let failed = FailedCell {
            attempts,
            at,
            next: Next::Due(at + wait.min(WAIT_MAX)),
            most: most.saturating_add(more),
            base: base.saturating_add(more),
            error,
            bounds: tile.bounds_of(cell.page).cloned().map(Box::new),
            after: tile.after.clone().map(Box::new),
        };
        match more {
            0 => self.counts.failures += 1,
            _ => self.counts.held += 1,
        }
        self.errors.count(
            error,
            1,
            FailedAttempt {
                cell,
                attempt: attempts,
                held: more > 0,
                at,
            },
        );
        self.exhume(cell.kind, cell.slice, cell.page..cell.page + 1);
        self.waiting.insert(cell, failed);
        self.settle(place, page);
    }

    /// The last attempt at `pages` of the open tile at `place` has failed.
    pub(super) fn bury(&mut self, at: UnixMs, place: TileRef, pages: Range<u64>, error: ErrorId) {
        let Some(tile) = self.open.get(&place) else {
            return;
        };
        let (kind, slice) = (tile.kind, tile.slice);
        let bounded = !tile.bounds.is_empty() || tile.after.is_some();
        let grave = Grave {
            attempts: tile.attempt,
            error,
            dropped: false,
            at,
            wave: if bounded { tile.wave_fence.0 } else { 0 },
        };
        let cells = pages.start as u32..pages.end as u32;
        if !self.waiting.is_empty() {
            let cell = |page| Cell { kind, slice, page };
            let waited: Vec<Cell> = self
                .waiting
                .among(cell(cells.start)..cell(cells.end))
                .collect();
            for cell in waited {
                self.waiting.remove(cell);
            }
        }
        self.exhume(kind, slice, cells.clone());
        self.dead.insert(kind, slice, cells, grave);
        let many = pages.end - pages.start;
        self.counts.count_dead(kind, many);
        self.counts.failures += many;
        let last = FailedAttempt {
            cell: Cell {
                kind,
                slice,
                page: pages.end.saturating_sub(1) as u32,
            },
            attempt: grave.attempts,
            held: false,
            at,
        };
        self.errors.count(error, many, last);
        self.settle(place, pages);
    }

    /// Attempts that the job allows a shard.
    pub(super) fn job_attempts(&self) -> u32 {
        let job = self.opening.as_ref().map(|opening| &opening.record.job);
        job.map_or(1, |job| job.retry.max_attempts)
    }

    /// Up to which attempt the cell may be tried, and after which its last set of attempts began.
    fn allowed(&self, cell: Cell) -> (u32, u32) {
        self.waiting.get(cell).map_or_else(
            || (self.job_attempts(), 0),
            |failed| (failed.most, failed.base),
        )
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
