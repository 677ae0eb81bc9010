//! Which cells a record may change: for whoever shows a run and wants to know what is new in it. Never fewer than
//! those that it does change; which those are tells the fold after it.

use std::ops::Range;

use super::Fold;
use crate::ledger::outcomes;
use crate::ledger::record::{PlanRecord, Record, TileRun, WorkRecord};
use crate::tile::TileKind;

/// Cells that a record may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Their slices.
    pub slices: Range<u32>,
    /// Their pages, those that will be known among them.
    pub pages: Range<u32>,
}

impl Touched {
    /// All cells of a run.
    pub const ALL: Touched = Touched {
        slices: 0..u32::MAX,
        pages: 0..u32::MAX,
    };

    /// Takes `other` in, if it lies beside it. `false`: it does not.
    pub fn join(&mut self, other: &Touched) -> bool {
        let is_beside =
            |one: &Range<u32>, other: &Range<u32>| one.start <= other.end && other.start <= one.end;
        let both = |one: &Range<u32>, other: &Range<u32>| {
            one.start.min(other.start)..one.end.max(other.end)
        };
        if self.slices == other.slices && is_beside(&self.pages, &other.pages) {
            self.pages = both(&self.pages, &other.pages);
            return true;
        }
        if self.pages == other.pages && is_beside(&self.slices, &other.slices) {
            self.slices = both(&self.slices, &other.slices);
            return true;
        }
        false
    }

    fn of(slice: u32, pages: Range<u32>) -> Touched {
        Touched {
            slices: slice..slice.saturating_add(1),
            pages,
        }
    }

    fn from_first(slice: u32, first: u32, many: u32) -> Touched {
        Touched::of(slice, first..first.saturating_add(many))
    }

    fn by_tiles(tiles: &TileRun) -> Touched {
        let many = tiles.pages.saturating_mul(tiles.tiles);
        Touched::from_first(tiles.slice, tiles.first, many)
    }
}

impl Fold {
    /// The cells that `record` may change if it is taken in next.
    pub fn touches(&self, record: &Record) -> Vec<Touched> {
        match record {
            Record::Plan(PlanRecord::Wave(wave)) => {
                let pages = wave.tiles.iter().filter(|run| run.kind == TileKind::Page);
                pages.map(Touched::by_tiles).collect()
            }
            Record::Plan(
                PlanRecord::Opened(_)
                | PlanRecord::Closed(_)
                | PlanRecord::Cancelled(_)
                | PlanRecord::Reopened(_)
                | PlanRecord::Dropped(_),
            ) => Vec::from([Touched::ALL]),
            Record::Plan(PlanRecord::Retired(_) | PlanRecord::Forgotten(_)) => Vec::new(),
            Record::Work(work) => self.touched_by(work),
            // It may condemn a page.
            Record::Takeover(takeover) => {
                let tiles = takeover.tiles.iter().filter_map(|at| self.open.get(at));
                let pages = tiles.filter(|tile| tile.kind == TileKind::Page);
                pages
                    .map(|tile| Touched::from_first(tile.slice, tile.first, tile.pages))
                    .collect()
            }
        }
    }

    fn touched_by(&self, work: &WorkRecord) -> Vec<Touched> {
        match work {
            WorkRecord::Outcomes { block, .. } => {
                let entries = outcomes::decode(block).unwrap_or_default();
                let pages = entries.iter().filter(|entry| entry.kind == TileKind::Page);
                pages
                    .map(|entry| Touched::from_first(entry.slice, entry.first, entry.pages))
                    .collect()
            }
            // Pages come to be known behind those that are.
            WorkRecord::Probed(probed) if probed.slice < self.slices() => {
                let frontier = self.frontier(probed.slice);
                let known = frontier.end().unwrap_or_else(|| frontier.next_page());
                Vec::from([Touched::of(probed.slice, known..u32::MAX)])
            }
            WorkRecord::Probed(_) | WorkRecord::Started { .. } | WorkRecord::Returned { .. } => {
                Vec::new()
            }
        }
    }
}
