//! Which tiles a run issues next: retries that are due, then probes, then pages in order.

use gridloom_shared::clock::UnixMs;
use gridloom_shared::job::{PagesSpec, TILE_MAX};
use gridloom_shared::ledger::fold::{Fold, Next, Slice};
use gridloom_shared::ledger::record::TileRun;
use gridloom_shared::limits::{READY_MAX, TILE_BOUNDS_MAX, WAVE_BOUNDS_MAX, WAVE_TILES_MAX};
use gridloom_shared::tile::{Bounds, TileKind};

use super::Room;

/// Slices looked at in one step: the rest wait for the next.
const SLICES_A_STEP: u32 = 4_096;

/// Where planning stands: all slices before it are issued to their ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    slice: u32,
}

/// At most as many tiles as there is room for, never more than a wave may have. Empty when nothing
/// can be issued now.
pub fn next_tiles(fold: &Fold, cursor: &mut Cursor, room: Room, now: UnixMs) -> Vec<TileRun> {
    let Some(opening) = fold.opening() else {
        return Vec::new();
    };
    if fold.hold_until().is_some_and(|until| now < until) {
        return Vec::new();
    }
    let grid = &opening.record.job.grid;
    let mut plan = Plan {
        tiles: Vec::new(),
        room: room.tiles.min(WAVE_TILES_MAX),
        bytes: WAVE_BOUNDS_MAX,
    };
    plan.retries(fold, now);
    while fold
        .slices()
        .get(cursor.slice as usize)
        .is_some_and(is_issued)
    {
        cursor.slice += 1;
    }
    let probed = grid.pages == PagesSpec::Probe;
    let pages = grid.tile.unwrap_or(room.pages.clamp(1, TILE_MAX));
    let mut ready = 0;
    let slices = fold.slices().iter().zip(0..).skip(cursor.slice as usize);
    for (slice, number) in slices.take(SLICES_A_STEP as usize) {
        if plan.room == 0 || plan.bytes == 0 {
            break;
        }
        if probed {
            ready += slice.ready().len();
            plan.probed_pages(slice, number, pages);
            if ready < READY_MAX {
                plan.probe(slice, number);
            }
        } else {
            plan.counted_pages(slice, number, pages);
        }
    }
    plan.tiles
}

fn is_issued(slice: &Slice) -> bool {
    slice.end().is_some_and(|end| slice.next_page() >= end)
}

struct Plan {
    tiles: Vec<TileRun>,
    room: usize,
    bytes: usize,
}

impl Plan {
    fn retries(&mut self, fold: &Fold, now: UnixMs) {
        for (_, cell) in fold.retries().iter().take_while(|(due, _)| *due <= now) {
            let Some(failed) = fold.failed().get(cell) else {
                continue;
            };
            if self.room == 0 || !matches!(failed.next, Next::Due(_)) {
                return;
            }
            let bounds: Vec<Bounds> = failed.bounds.iter().cloned().collect();
            self.bytes = self.bytes.saturating_sub(size(&bounds));
            self.push(TileRun {
                kind: cell.kind,
                slice: cell.slice,
                first: cell.page,
                pages: 1,
                tiles: 1,
                attempt: failed.attempts + 1,
                bounds,
                after: failed.after.clone(),
            });
        }
    }

    /// Whole tiles, then one of what is left at the end of the slice.
    fn counted_pages(&mut self, slice: &Slice, number: u32, pages: u32) {
        let Some(end) = slice.end() else { return };
        let whole = ((end - slice.next_page()) / pages).min(self.room as u32);
        let first = slice.next_page();
        if whole > 0 {
            self.push(first_attempt(TileKind::Page, number, first, pages, whole));
        }
        let rest = end - first - whole * pages;
        if self.room > 0 && rest > 0 && rest < pages {
            self.push(first_attempt(
                TileKind::Page,
                number,
                first + whole * pages,
                rest,
                1,
            ));
        }
    }

    /// Tiles of the pages that probes have found; a part of a tile only at the end of the slice.
    fn probed_pages(&mut self, slice: &Slice, number: u32, pages: u32) {
        let mut first = slice.next_page();
        let mut at = 0;
        while self.room > 0 && self.bytes > 0 && at < slice.ready().len() {
            let left = slice.ready().len() - at;
            let mut count = left.min(pages as usize);
            if count < pages as usize && slice.end().is_none() {
                return;
            }
            let mut bounds: Vec<Bounds> = slice.ready().range(at..at + count).cloned().collect();
            while size(&bounds) > TILE_BOUNDS_MAX && count > 1 {
                count /= 2;
                bounds.truncate(count);
            }
            self.bytes = self.bytes.saturating_sub(size(&bounds));
            self.push_joined(TileRun {
                bounds,
                ..first_attempt(TileKind::Page, number, first, count as u32, 1)
            });
            first += count as u32;
            at += count;
        }
    }

    fn probe(&mut self, slice: &Slice, number: u32) {
        if let (Some((probe, after)), true) = (slice.question(), self.room > 0) {
            self.push(TileRun {
                after,
                ..first_attempt(TileKind::Probe, number, probe, 1, 1)
            });
        }
    }

    fn push(&mut self, tiles: TileRun) {
        self.room -= (tiles.tiles as usize).min(self.room);
        self.tiles.push(tiles);
    }

    /// Adds one tile to the run before it, where it goes on from there.
    fn push_joined(&mut self, tile: TileRun) {
        if let Some(last) = self.tiles.last_mut() {
            let follows = last.kind == tile.kind
                && last.slice == tile.slice
                && last.attempt == tile.attempt
                && last.pages == tile.pages
                && last.first + last.pages * last.tiles == tile.first;
            if follows {
                last.tiles += 1;
                last.bounds.extend(tile.bounds);
                self.room -= 1;
                return;
            }
        }
        self.push(tile);
    }
}

fn first_attempt(kind: TileKind, slice: u32, first: u32, pages: u32, tiles: u32) -> TileRun {
    TileRun {
        kind,
        slice,
        first,
        pages,
        tiles,
        attempt: 1,
        bounds: Vec::new(),
        after: None,
    }
}

fn size(bounds: &[Bounds]) -> usize {
    bounds.iter().map(Bounds::cost).sum()
}
