//! Shards whose attempts are used up, as runs of pages: ten million dead shards of a run are mostly
//! neighbours that died alike.

use std::collections::BTreeMap;
use std::ops::Range;

use super::errors::ErrorId;
use crate::clock::UnixMs;
use crate::limits::GRAVES_EXACT;
use crate::tile::{Cell, TileKind};

/// What is known of dead shards that lie in one grave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grave {
    /// Attempts that failed.
    pub(super) attempts: u32,
    pub(super) error: ErrorId,
    /// Whether somebody gave them up.
    pub(super) dropped: bool,
    /// When the last error was recorded; for those that are to be tried again, when that was ordered.
    pub(super) at: UnixMs,
    /// Ledger sequence of the wave that has their bounds or cursor; 0 where they have none.
    pub(super) wave: u64,
}

/// Runs of pages, by their first cell.
#[derive(Clone, Debug, Default)]
pub(super) struct Graves {
    runs: BTreeMap<Cell, (u32, Grave)>,
    cells: u64,
    /// Of these, those that somebody gave up: summaries ask for it twice a second, however many graves there are.
    dropped: u64,
}

impl Graves {
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many shards.
    pub(super) fn len(&self) -> u64 {
        self.cells
    }

    /// Of how many shards nobody has given them up.
    pub(super) fn kept(&self) -> u64 {
        self.cells - self.dropped
    }

    pub(super) fn runs(&self) -> usize {
        self.runs.len()
    }

    /// The grave that `cell` lies in.
    pub(super) fn get(&self, cell: Cell) -> Option<&Grave> {
        let (first, (end, grave)) = self.runs.range(..=cell).next_back()?;
        (first.kind == cell.kind && first.slice == cell.slice && *end > cell.page).then_some(grave)
    }

    /// The runs in order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (Cell, Range<u32>, &Grave)> {
        let runs = self.runs.iter();
        runs.map(|(first, (end, grave))| (*first, first.page..*end, grave))
    }

    /// Those of the pages of one slice, in order.
    pub(super) fn of_slice(&self, slice: u32) -> impl Iterator<Item = (Range<u32>, &Grave)> {
        let at = |page| Cell {
            kind: TileKind::Page,
            slice,
            page,
        };
        let runs = self.runs.range(at(0)..=at(u32::MAX));
        runs.map(|(first, (end, grave))| (first.page..*end, grave))
    }

    /// Lays `pages` of a kind and slice to rest; none of them is there yet.
    pub(super) fn insert(&mut self, kind: TileKind, slice: u32, pages: Range<u32>, grave: Grave) {
        let cells = u64::from(pages.end - pages.start);
        self.cells += cells;
        self.dropped += if grave.dropped { cells } else { 0 };
        let crowded = self.runs.len() >= GRAVES_EXACT;
        let joins = |other: &Grave| {
            let alike = other.attempts == grave.attempts
                && other.dropped == grave.dropped
                && other.wave == grave.wave;
            alike && (crowded || other.error == grave.error && other.at == grave.at)
        };
        let at = |page| Cell { kind, slice, page };
        let (mut first, mut end) = (pages.start, pages.end);
        if let Some((_, (after, other))) = self.runs.get_key_value(&at(end))
            && joins(other)
        {
            let after = *after;
            self.runs.remove(&at(end));
            end = after;
        }
        if let Some((before, (touches, other))) = self.runs.range(..at(first)).next_back()
            && before.kind == kind
            && before.slice == slice
            && *touches == first
            && joins(other)
        {
            first = before.page;
        }
        self.runs.insert(at(first), (end, grave));
    }

    /// Takes out what lies within `pages`, piece by piece.
    pub(super) fn take(
        &mut self,
        kind: TileKind,
        slice: u32,
        pages: Range<u32>,
    ) -> Vec<(Range<u32>, Grave)> {
        let at = |page| Cell { kind, slice, page };
        let mut taken = Vec::new();
        if pages.is_empty() {
            return taken;
        }
        while let Some((first, (end, grave))) = self.runs.range(..at(pages.end)).next_back() {
            let (first, end, grave) = (*first, *end, *grave);
            if first.kind != kind || first.slice != slice || end <= pages.start {
                break;
            }
            self.runs.remove(&first);
            if end > pages.end {
                self.runs.insert(at(pages.end), (end, grave));
            }
            if first.page < pages.start {
                self.runs.insert(first, (pages.start, grave));
            }
            let piece = first.page.max(pages.start)..end.min(pages.end);
            let cells = u64::from(piece.end - piece.start);
            self.cells -= cells;
            self.dropped -= if grave.dropped { cells } else { 0 };
            taken.push((piece, grave));
        }
        taken
    }

    /// Takes out all that were not given up.
    pub(super) fn take_kept(&mut self) -> Vec<(Cell, u32, Grave)> {
        let mut taken = Vec::new();
        let cells = &mut self.cells;
        self.runs.retain(|first, (end, grave)| {
            if !grave.dropped {
                *cells -= u64::from(*end - first.page);
                taken.push((*first, *end, *grave));
            }
            grave.dropped
        });
        taken
    }

    /// Notes that all are given up.
    pub(super) fn drop_all(&mut self) {
        self.runs
            .values_mut()
            .for_each(|(_, grave)| grave.dropped = true);
        self.dropped = self.cells;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn grave(attempts: u32) -> Grave {
        Grave {
            attempts,
            error: ErrorId::default(),
            dropped: attempts == 2,
            at: UnixMs(0),
            wave: 0,
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_map_of_cells(steps in prop::collection::vec((any::<bool>(), 0..2_u32, 0..30_u32, 1..9_u32, 1..3_u32), 0..60)) {
            let mut graves = Graves::default();
            let mut plain = BTreeMap::new();
            for (insert, slice, first, length, attempts) in steps {
                let page = TileKind::Page;
                let mut taken: Vec<(u32, u32)> = graves
                    .take(page, slice, first..first + length)
                    .into_iter()
                    .flat_map(|(pages, grave)| pages.map(move |page| (page, grave.attempts)))
                    .collect();
                taken.sort_unstable();
                let before: Vec<(u32, u32)> = (first..first + length)
                    .filter_map(|page| Some((page, plain.remove(&(slice, page))?)))
                    .collect();
                prop_assert_eq!(taken, before);
                if insert {
                    graves.insert(page, slice, first..first + length, grave(attempts));
                    plain.extend((first..first + length).map(|page| ((slice, page), attempts)));
                }
                let listed: BTreeMap<(u32, u32), u32> = graves
                    .iter()
                    .flat_map(|(cell, pages, grave)| pages.map(move |page| ((cell.slice, page), grave.attempts)))
                    .collect();
                prop_assert_eq!(&listed, &plain);
                prop_assert_eq!(graves.len(), plain.len() as u64);
                let kept = plain.values().filter(|attempts| **attempts != 2).count() as u64;
                prop_assert_eq!(graves.kept(), kept);
                let mut others = graves.clone();
                let taken = others.take_kept().into_iter().map(|(first, end, _)| u64::from(end - first.page));
                prop_assert_eq!((taken.sum::<u64>(), others.kept()), (kept, 0));
                let mut all = graves.clone();
                all.drop_all();
                prop_assert_eq!((all.kept(), all.len()), (0, graves.len()));
                for page in 0..40 {
                    let cell = Cell { kind: TileKind::Page, slice, page };
                    prop_assert_eq!(graves.get(cell).map(|grave| grave.attempts), plain.get(&(slice, page)).copied());
                }
            }
        }
    }

    #[test]
    fn neighbours_that_died_alike_share_a_grave() {
        let mut graves = Graves::default();
        for page in (0..1_000).step_by(2).chain((1..1_000).step_by(2)) {
            graves.insert(TileKind::Page, 0, page..page + 1, grave(1));
        }
        assert_eq!((graves.len(), graves.runs()), (1_000, 1));
    }
}
