//! What orders change: a run that is cancelled, reopened, or whose dead shards were given up.

use super::{Cell, FailedCell, Fold, Next};
use crate::clock::UnixMs;
use crate::ledger::orders::{Cancelled, Dropped, Reopened, Which};
use crate::tile::TileKind;

impl Fold {
    pub(super) fn cancel(&mut self, cancelled: &Cancelled) {
        self.requests.insert(cancelled.request);
        self.cancelled.get_or_insert_with(|| cancelled.clone());
    }

    /// The run is open again. Its dead shards are due at once, with a new set of attempts.
    pub(super) fn reopen(&mut self, at: UnixMs, reopened: &Reopened) {
        self.requests.insert(reopened.request);
        self.closing = None;
        self.cancelled = None;
        let most = self
            .opening
            .as_ref()
            .map_or(1, |opening| opening.record.job.retry.max_attempts);
        for cell in self.chosen(&reopened.which) {
            let Some(failed) = self.failed.get_mut(&cell) else {
                continue;
            };
            failed.base = failed.attempts;
            failed.most = failed.attempts.saturating_add(most);
            failed.dropped = false;
            failed.next = Next::Due(at);
            self.retries.insert((at, cell));
            self.counts.uncount_dead(cell.kind);
        }
        self.dead_before = self.counts.dead;
    }

    pub(super) fn give_up(&mut self, dropped: &Dropped) {
        self.requests.insert(dropped.request);
        for cell in self.chosen(&dropped.which) {
            if let Some(failed) = self.failed.get_mut(&cell) {
                failed.dropped = true;
            }
        }
    }

    /// The dead shards that `which` means now.
    pub fn chosen(&self, which: &Which) -> Vec<Cell> {
        let is_dead = |failed: &FailedCell| failed.next == Next::Dead;
        match which {
            Which::All => self
                .failed
                .iter()
                .filter(|(_, failed)| is_dead(failed) && !failed.dropped)
                .map(|(cell, _)| *cell)
                .collect(),
            Which::These(cells) => cells
                .iter()
                .filter(|cell| self.failed.get(cell).is_some_and(is_dead))
                .copied()
                .collect(),
        }
    }

    /// The dead shards of a slice, or one page of it.
    pub fn dead_of(&self, slice: u32, page: Option<u32>) -> Vec<Cell> {
        let wanted = |cell: &Cell| {
            cell.slice == slice
                && page.is_none_or(|page| cell.kind == TileKind::Page && cell.page == page)
        };
        let dead = self
            .failed
            .iter()
            .filter(|(cell, failed)| wanted(cell) && failed.next == Next::Dead);
        dead.map(|(cell, _)| *cell).collect()
    }

    /// The order by which nothing more of the run is issued, unless it was reopened since.
    pub fn cancelled(&self) -> Option<&Cancelled> {
        self.cancelled.as_ref()
    }

    /// Whether the order with this number stands in the ledger.
    pub fn has_request(&self, request: u64) -> bool {
        self.requests.contains(&request)
    }

    /// Shards that died since the run was opened, or reopened last.
    pub fn dead_lately(&self) -> u64 {
        self.counts.dead.saturating_sub(self.dead_before)
    }
}
