//! What orders change: a run that is cancelled, reopened, or whose dead shards were given up.

use std::ops::Range;

use super::graves::Grave;
use super::{Cell, Dead, Fold};
use crate::clock::UnixMs;
use crate::ledger::orders::{Cancelled, Dropped, Reopened, Which};
use crate::tile::TileKind;

/// Which dead shards of a run are meant; by default all that were not given up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Only those of this slice.
    pub slice: Option<u32>,
    /// Only this page of it.
    pub page: Option<u32>,
    /// Only those whose last error holds this text, in capital letters or small ones.
    pub error_like: Option<String>,
    /// Those too that were given up.
    pub given_up: bool,
}

impl Chosen {
    /// Whether an error is meant.
    pub fn has_error(&self, error: &str) -> bool {
        let Some(text) = &self.error_like else {
            return true;
        };
        error.to_lowercase().contains(&text.to_lowercase())
    }
}

impl Fold {
    pub(super) fn cancel(&mut self, cancelled: &Cancelled) {
        self.requests.entry(cancelled.request).or_default();
        self.cancelled.get_or_insert_with(|| cancelled.clone());
    }

    /// The run is open again. Its dead shards are due at once, with a new set of attempts.
    pub(super) fn reopen(&mut self, at: UnixMs, reopened: &Reopened) {
        let dead_before = self.dead.len();
        self.closing = None;
        self.cancelled = None;
        // What a newer build wrote stands there all the same.
        if !self.newer {
            self.aside = None;
        }
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
        let concerned = dead_before - self.dead.len();
        self.requests.entry(reopened.request).or_insert(concerned);
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
        let kept_before = self.dead_kept();
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
        let concerned = kept_before - self.dead_kept();
        self.requests.entry(dropped.request).or_insert(concerned);
    }

    /// How many dead shards and questions were not given up.
    pub fn dead_kept(&self) -> u64 {
        self.dead.kept()
    }

    /// How many somebody has given up: they are dead all the same.
    pub fn given_up(&self) -> u64 {
        self.dead.len() - self.dead.kept()
    }

    /// The dead shards and questions that are meant, in order.
    pub fn dead_of<'a>(&'a self, chosen: &Chosen) -> impl Iterator<Item = Dead<'a>> + use<'a> {
        let graves = self.graves_of(chosen);
        graves.flat_map(move |(first, pages, grave)| {
            pages.map(move |page| self.dead_at(Cell { page, ..first }, grave))
        })
    }

    /// The same, as far as neighbours died of one error together: the first of them, and the pages of all.
    pub fn dead_pages<'a>(
        &'a self,
        chosen: &Chosen,
    ) -> impl Iterator<Item = (Cell, Range<u32>)> + use<'a> {
        self.graves_of(chosen)
            .map(|(first, pages, _)| (first, pages))
    }

    /// How many those are.
    pub fn count_of(&self, chosen: &Chosen) -> u64 {
        let graves = self.graves_of(chosen);
        graves
            .map(|(_, pages, _)| u64::from(pages.end - pages.start))
            .sum()
    }

    fn graves_of<'a>(
        &'a self,
        chosen: &Chosen,
    ) -> impl Iterator<Item = (Cell, Range<u32>, &'a Grave)> + use<'a> {
        let chosen = chosen.clone();
        self.dead.iter().filter_map(move |(first, pages, grave)| {
            let is_meant = (chosen.given_up || !grave.dropped)
                && chosen.slice.is_none_or(|slice| slice == first.slice)
                && chosen.has_error(self.errors.text(grave.error));
            let pages = match chosen.page {
                None => pages,
                Some(_) if first.kind != TileKind::Page => return None,
                Some(page) => page.max(pages.start)..page.saturating_add(1).min(pages.end),
            };
            (is_meant && !pages.is_empty()).then_some((first, pages, grave))
        })
    }

    /// The order by which nothing more of the run is issued, unless it was reopened since.
    pub fn cancelled(&self) -> Option<&Cancelled> {
        self.cancelled.as_ref()
    }

    /// How many dead shards and questions the order with this number concerned; `None` where it does not stand in
    /// the ledger.
    pub fn concerned_by(&self, request: u64) -> Option<u64> {
        self.requests.get(&request).copied()
    }

    /// Shards that died since the run was opened, or reopened last.
    pub fn dead_lately(&self) -> u64 {
        self.counts.dead.saturating_sub(self.dead_before)
    }
}
