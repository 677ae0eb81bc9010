//! What a wave changes: its tiles are open, and its cells are issued.

use std::ops::Range;

use super::graves::Grave;
use super::{Cell, FailedCell, Fold, Next, Opening};
use crate::id::{Fence, RunId};
use crate::ledger::crash::Suspicion;
use crate::ledger::record::{TileRun, Wave};
use crate::limits::{PAGES_MAX, TILE_MAX, WAVE_TILES_MAX};
use crate::ranges::Ranges;
use crate::tile::{Bounds, Key, Tile, TileKind, TileRef};

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
    /// Whether somebody took it over since its wave: its fence is that of the takeover.
    pub fn is_taken_over(&self) -> bool {
        self.fence != self.wave_fence
    }

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
    /// Takes in the next wave, which stands at `sequence`.
    pub(super) fn take_wave(&mut self, sequence: u64, wave: &Wave) {
        self.next_wave += 1;
        let mut index = 0;
        for tiles in &wave.tiles {
            self.issue(wave, &mut index, Fence(sequence), tiles);
        }
    }

    /// Takes in the tiles of one run of a wave; `index` is the place of the first.
    fn issue(&mut self, wave: &Wave, index: &mut u32, fence: Fence, tiles: &TileRun) {
        let whole = u64::from(tiles.first)
            ..u64::from(tiles.first) + u64::from(tiles.pages) * u64::from(tiles.tiles);
        let many =
            *index as usize + tiles.tiles as usize > WAVE_TILES_MAX || tiles.pages > TILE_MAX;
        if whole.is_empty() || whole.end > PAGES_MAX || many {
            self.counts.unexpected += 1;
            return;
        }
        let Some(slice) = self.slices.touch(tiles.slice) else {
            self.counts.unexpected += 1;
            return;
        };
        let fresh = tiles.attempt == 1;
        match (tiles.kind, fresh) {
            (TileKind::Page, true) => {
                slice
                    .frontier
                    .issued(whole.end - whole.start, whole.end as u32);
                self.counts.planned += slice.pages.issued.lacks(&whole);
                slice.pages.issued.insert(whole);
            }
            (TileKind::Probe, true) => {
                slice.frontier.asked(whole.end as u32);
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
            self.open_tile(wave.folded, place, fence, tiles, n);
        }
        self.slices.settle(tiles.slice);
    }

    fn open_tile(&mut self, folded: u64, place: TileRef, fence: Fence, tiles: &TileRun, n: u32) {
        let first = tiles.first + n * tiles.pages;
        self.counts.tiles_issued += 1;
        let range = u64::from(first)..u64::from(first) + u64::from(tiles.pages);
        let mut left = Ranges::of(range.clone());
        if tiles.attempt != 1 {
            self.reissue(tiles, first, place);
            // A success may have arrived between the decision of a retry and its record.
            if let Some(slice) = self.slices.get(tiles.slice) {
                let done = slice.cells(tiles.kind).done.within(&range);
                done.iter().for_each(|part| left.remove(part));
            }
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

    /// Notes that cells which had failed have another attempt under way.
    fn reissue(&mut self, tiles: &TileRun, first: u32, place: TileRef) {
        let (kind, slice) = (tiles.kind, tiles.slice);
        let pages = first..first + tiles.pages;
        let at = |page| Cell { kind, slice, page };
        let waited: Vec<Cell> = self.waiting.among(at(pages.start)..at(pages.end)).collect();
        for cell in waited {
            self.waiting.issue(cell, place);
        }
        let attempts = self.job_attempts();
        for (pages, grave) in self.dead.take(kind, slice, pages.clone()) {
            self.counts
                .uncount_dead(kind, u64::from(pages.end - pages.start));
            self.resurrect(kind, slice, pages, grave, place, 0, attempts);
        }
        for (pages, grave) in self.again.take(kind, slice, pages) {
            let (base, most) = (grave.attempts, grave.attempts.saturating_add(attempts));
            self.resurrect(kind, slice, pages, grave, place, base, most);
        }
    }

    /// Notes that `pages`, which lay in one grave, have another attempt under way.
    #[expect(
        clippy::too_many_arguments,
        reason = "what is known of them comes from as many places"
    )]
    fn resurrect(
        &mut self,
        kind: TileKind,
        slice: u32,
        pages: Range<u32>,
        grave: Grave,
        place: TileRef,
        base: u32,
        most: u32,
    ) {
        for page in pages {
            let cell = Cell { kind, slice, page };
            self.forget_recalled(cell, grave.wave);
            let failed = FailedCell {
                attempts: grave.attempts,
                at: grave.at,
                next: Next::Issued(place),
                most,
                base,
                error: grave.error,
                bounds: None,
                after: None,
            };
            self.waiting.insert(cell, failed);
        }
    }
}
