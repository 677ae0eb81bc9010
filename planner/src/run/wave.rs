//! Which tiles a run issues next: retries that are due, then probes, then pages in order.

use gridloom_shared::clock::UnixMs;
use gridloom_shared::grid::frontier::{Frontier, Piece, Room as Left};
use gridloom_shared::job::GridSpec;
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::record::TileRun;
use gridloom_shared::limits::{RETRYING_MAX, TILE_MAX, WAVE_TILES_MAX};
use gridloom_shared::tile::{Bounds, Key};

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
    let mut draft = Draft {
        tiles: Vec::new(),
        left: Left {
            tiles: room.tiles.min(WAVE_TILES_MAX),
            ..Left::in_record(room.record)
        },
    };
    draft.retries(fold, now);
    // A run so many of whose shards wait has a fault that more of them would not mend.
    if fold.waiting().len() > RETRYING_MAX {
        return draft.tiles;
    }
    while cursor.slice < grid.slices && fold.frontier(cursor.slice).is_issued() {
        cursor.slice += 1;
    }
    let pages = grid.tile.unwrap_or(room.pages.clamp(1, TILE_MAX));
    for slice in (cursor.slice..grid.slices).take(SLICES_A_STEP as usize) {
        if draft.left.is_full() {
            break;
        }
        let Draft { tiles, left } = &mut draft;
        grid.next(&fold.frontier(slice), pages, left, |piece| {
            push(tiles, first_attempt(slice, piece));
        });
    }
    draft.tiles
}

/// All tiles of a grid whose pages are known, if there is room for all of them.
pub fn all_tiles(grid: &GridSpec, room: Room) -> Vec<TileRun> {
    let (mut tiles, mut left) = (
        Vec::new(),
        Left {
            tiles: room.tiles,
            ..Left::in_record(room.record)
        },
    );
    let pages = grid.tile.unwrap_or(room.pages.clamp(1, TILE_MAX));
    for slice in 0..grid.slices {
        let at = Frontier::new(grid.pages_of(slice));
        let mut issued = 0;
        grid.next(&at, pages, &mut left, |piece| {
            issued += piece.pages * piece.tiles;
            push(&mut tiles, first_attempt(slice, piece));
        });
        if Some(issued) != grid.pages_of(slice) {
            return Vec::new();
        }
    }
    tiles
}

struct Draft {
    tiles: Vec<TileRun>,
    left: Left,
}

impl Draft {
    fn retries(&mut self, fold: &Fold, now: UnixMs) {
        for due in fold.due(now) {
            if self.left.is_full() {
                return;
            }
            let bounds: Vec<Bounds> = due.bounds.into_iter().cloned().collect();
            let cost: usize = bounds.iter().map(Bounds::cost).sum();
            let after = due.after.map_or(0, Key::cost);
            self.left.take(1, cost + after);
            let tile = TileRun {
                kind: due.cell.kind,
                slice: due.cell.slice,
                first: due.cell.page,
                pages: 1,
                tiles: 1,
                attempt: due.attempts + 1,
                bounds,
                after: due.after.cloned(),
            };
            push(&mut self.tiles, tile);
        }
    }
}

/// Adds a run of tiles, to the one before it where it goes on from there.
fn push(tiles: &mut Vec<TileRun>, run: TileRun) {
    if let Some(last) = tiles.last_mut() {
        let follows = last.kind == run.kind
            && last.slice == run.slice
            && last.attempt == run.attempt
            && last.pages == run.pages
            && last.first + last.pages * last.tiles == run.first;
        let alike = last.bounds.is_empty() == run.bounds.is_empty();
        if follows && alike && last.after.is_none() && run.after.is_none() {
            last.tiles += run.tiles;
            last.bounds.extend(run.bounds);
            return;
        }
    }
    tiles.push(run);
}

fn first_attempt(slice: u32, piece: Piece) -> TileRun {
    TileRun {
        kind: piece.kind,
        slice,
        first: piece.first,
        pages: piece.pages,
        tiles: piece.tiles,
        attempt: 1,
        bounds: piece.bounds,
        after: piece.after,
    }
}
