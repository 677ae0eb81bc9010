//! What a wave changes: its tiles are open, and its cells are issued.

use std::collections::VecDeque;

use super::{Cell, Fold, Next, Opening};
use crate::id::{Fence, RunId};
use crate::job::PAGES_MAX;
use crate::ledger::crash::Suspicion;
use crate::ledger::record::{TileRun, Wave};
use crate::ranges::Ranges;
use crate::tile::{Bounds, Key, Tile, TileKind, TileRef};

/// Shards of one slice: those that waves have issued, and those that succeeded.
#[derive(Clone, Debug, Default)]
pub(super) struct Cells {
    pub(super) issued: Ranges,
    pub(super) done: Ranges,
}

/// What is known of one slice.
#[derive(Clone, Debug, Default)]
pub struct Slice {
    pub(super) pages: Cells,
    pub(super) probes: Cells,
    pub(super) next_page: u32,
    pub(super) next_probe: u32,
    pub(super) end: Option<u32>,
    pub(super) found: u32,
    pub(super) ready: VecDeque<Bounds>,
    pub(super) cursor: Option<Key>,
    pub(super) counted: bool,
}

impl Slice {
    /// First page that no wave has issued.
    pub fn next_page(&self) -> u32 {
        self.next_page
    }

    /// Number of pages, once it is known.
    pub fn end(&self) -> Option<u32> {
        self.end
    }

    /// Bounds of pages that a probe found and no wave has issued; the first is that of `next_page`.
    pub fn ready(&self) -> &VecDeque<Bounds> {
        &self.ready
    }

    /// The question to ask next, with its cursor: only while none is open and the end is unknown.
    pub fn question(&self) -> Option<(u32, Option<Key>)> {
        let answered = self.probes.done.len() == u64::from(self.next_probe);
        (self.end.is_none() && answered).then(|| (self.next_probe, self.cursor.clone()))
    }
}

impl Slice {
    pub(super) fn cells(&self, kind: TileKind) -> &Cells {
        match kind {
            TileKind::Page => &self.pages,
            TileKind::Probe => &self.probes,
        }
    }
}

/// A tile some of whose shards lack an outcome.
#[derive(Clone, Debug)]
pub struct OpenTile {
    /// What kind of work.
    pub kind: TileKind,
    /// Row of the grid.
    pub slice: u32,
    /// Attempt that it carries.
    pub attempt: u32,
    /// Under which sequence it is held: its wave's, or its newest takeover's.
    pub fence: Fence,
    /// The pages without an outcome.
    pub left: Ranges,
    /// Sequence of the wave that issued it.
    pub(super) wave_fence: Fence,
    pub(super) folded: u64,
    pub(super) first: u32,
    pub(super) pages: u32,
    pub(super) bounds: Vec<Bounds>,
    pub(super) after: Option<Key>,
    /// Once it was taken over for its delivery count.
    pub(super) suspicion: Option<Box<Suspicion>>,
}

impl OpenTile {
    /// The tile as a refill: another copy of it may have been delivered.
    pub fn again(&self, place: TileRef, run: &RunId, opening: &Opening) -> Tile {
        Tile {
            kind: self.kind,
            run: run.clone(),
            nonce: opening.record.nonce,
            wave: place.wave,
            index: place.index,
            slice: self.slice,
            first: self.first,
            pages: self.pages,
            attempt: self.attempt,
            fence: self.wave_fence,
            folded: self.folded,
            opened: opening.sequence,
            again: true,
            bounds: self.bounds.clone(),
            after: self.after.clone(),
            frozen: None,
        }
    }

    pub(super) fn bounds_of(&self, page: u32) -> Option<&Bounds> {
        self.bounds.get(page.checked_sub(self.first)? as usize)
    }
}

impl Fold {
    pub(super) fn issue(&mut self, wave: &Wave, index: &mut u32, fence: Fence, tiles: &TileRun) {
        let folded = wave.folded;
        let Some(slice) = self.slices.get_mut(tiles.slice as usize) else {
            self.counts.unexpected += 1;
            return;
        };
        let whole = u64::from(tiles.first)
            ..u64::from(tiles.first) + u64::from(tiles.pages) * u64::from(tiles.tiles);
        if whole.is_empty() || whole.end > PAGES_MAX {
            self.counts.unexpected += 1;
            return;
        }
        let fresh = tiles.attempt == 1;
        match (tiles.kind, fresh) {
            (TileKind::Page, true) => {
                let found = slice.ready.len().min((whole.end - whole.start) as usize);
                slice.ready.drain(..found);
                slice.next_page = slice.next_page.max(whole.end as u32);
                let new: u64 = slice
                    .pages
                    .issued
                    .missing(&whole)
                    .iter()
                    .map(|r| r.end - r.start)
                    .sum();
                slice.pages.issued.insert(whole);
                self.counts.planned += new;
                if !slice.counted && slice.end == Some(slice.next_page) {
                    slice.counted = true;
                    self.slices_issued += 1;
                }
            }
            (TileKind::Probe, true) => {
                slice.next_probe = slice.next_probe.max(whole.end as u32);
                slice.probes.issued.insert(whole);
            }
            (TileKind::Page, false) => self.counts.retried += whole.end - whole.start,
            (TileKind::Probe, false) => {}
        }
        for n in 0..tiles.tiles {
            let place = TileRef {
                wave: wave.n,
                index: *index,
            };
            *index += 1;
            let first = tiles.first + n * tiles.pages;
            self.counts.tiles_issued += 1;
            let range = u64::from(first)..u64::from(first) + u64::from(tiles.pages);
            let mut left = Ranges::of(range.clone());
            if !fresh {
                self.reissue(tiles, first, place);
                // A success may have arrived between the decision of a retry and its record.
                let done = &self.slices[tiles.slice as usize].cells(tiles.kind).done;
                done.within(&range)
                    .iter()
                    .for_each(|part| left.remove(part));
            }
            let tile = OpenTile {
                kind: tiles.kind,
                slice: tiles.slice,
                attempt: tiles.attempt,
                fence,
                left,
                wave_fence: fence,
                folded,
                first,
                pages: tiles.pages,
                bounds: tiles.bounds_of(n).to_vec(),
                after: tiles.after.clone(),
                suspicion: None,
            };
            self.open.insert(place, tile);
            self.close_if_empty(place);
        }
    }

    /// Notes that cells which had failed have another attempt under way.
    fn reissue(&mut self, tiles: &TileRun, first: u32, place: TileRef) {
        for page in first..first + tiles.pages {
            let cell = Cell {
                kind: tiles.kind,
                slice: tiles.slice,
                page,
            };
            if let Some(failed) = self.failed.get_mut(&cell) {
                match failed.next {
                    Next::Due(due) => {
                        self.retries.remove(&(due, cell));
                    }
                    Next::Dead => self.counts.uncount_dead(tiles.kind),
                    Next::Issued(_) => {}
                }
                failed.next = Next::Issued(place);
            }
        }
    }
}
