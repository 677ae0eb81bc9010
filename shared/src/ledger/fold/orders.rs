//! What orders change: a run that is cancelled, reopened, or whose dead shards were given up.

use std::ops::Range;

use super::graves::Grave;
use super::{Cell, Fold};
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
        self.aside = None;
        match &reopened.which {
            Which::All => {
                for (first, end, grave) in self.dead.take_kept() {
                    self.try_again(at, first.kind, first.slice, first.page..end, grave);
                }
            }
            Which::These(cells) => {
                for cell in cells {
                    let one = cell.page..cell.page.saturating_add(1);
                    for (pages, grave) in self.dead.take(cell.kind, cell.slice, one) {
                        self.try_again(at, cell.kind, cell.slice, pages, grave);
                    }
                }
            }
        }
        self.dead_before = self.counts.dead;
    }

    fn try_again(
        &mut self,
        at: UnixMs,
        kind: TileKind,
        slice: u32,
        pages: Range<u32>,
        grave: Grave,
    ) {
        self.counts
            .uncount_dead(kind, u64::from(pages.end - pages.start));
        let dropped = false;
        self.again.insert(
            kind,
            slice,
            pages,
            Grave {
                at,
                dropped,
                ..grave
            },
        );
    }

    pub(super) fn give_up(&mut self, dropped: &Dropped) {
        self.requests.insert(dropped.request);
        match &dropped.which {
            Which::All => self.dead.drop_all(),
            Which::These(cells) => {
                for cell in cells {
                    let one = cell.page..cell.page.saturating_add(1);
                    for (pages, grave) in self.dead.take(cell.kind, cell.slice, one) {
                        let dropped = true;
                        let grave = Grave { dropped, ..grave };
                        self.dead.insert(cell.kind, cell.slice, pages, grave);
                    }
                }
            }
        }
    }

    /// How many dead shards and questions were not given up.
    pub fn dead_kept(&self) -> u64 {
        let kept = self.dead.iter().filter(|(.., grave)| !grave.dropped);
        kept.map(|(_, pages, _)| u64::from(pages.end - pages.start))
            .sum()
    }

    /// The dead shards of a slice, or one page of it.
    pub fn dead_of(&self, slice: u32, page: Option<u32>) -> impl Iterator<Item = Cell> + '_ {
        let kinds = [TileKind::Page, TileKind::Probe].into_iter();
        let kinds = kinds.filter(move |kind| page.is_none() || *kind == TileKind::Page);
        kinds.flat_map(move |kind| {
            let runs = self.dead.of_slice(kind, slice).map(|(pages, _)| pages);
            let pages = runs.flat_map(move |pages| match page {
                Some(page) => page.max(pages.start)..page.saturating_add(1).min(pages.end),
                None => pages,
            });
            pages.map(move |page| Cell { kind, slice, page })
        })
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
