//! Which tiles waves have issued, run-length coded as the waves are, and under which fences each was
//! held.

use std::collections::HashMap;
use std::ops::Range;

use crate::id::Fence;
use crate::ledger::crash::Suspicion;
use crate::ledger::record::TileRun;
use crate::tile::{TileKind, TileRef};

/// Consecutive tiles of one wave that are alike.
#[derive(Clone, Debug)]
struct Issue {
    kind: TileKind,
    slice: u32,
    first: u64,
    pages: u64,
    tiles: u64,
    attempt: u32,
    /// Index of the first of them in its wave.
    base: u64,
}

/// A tile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) kind: TileKind,
    pub(super) slice: u32,
    pub(super) pages: Range<u64>,
    pub(super) attempt: u32,
    /// Sequence of its wave.
    pub(super) wave: Fence,
}

/// What takeovers have made of a tile.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    /// Under which it was held after its wave's, in order.
    pub(super) fences: Vec<Fence>,
    pub(super) suspicion: Suspicion,
}

/// One wave.
#[derive(Clone, Copy, Debug)]
struct Wave {
    sequence: u64,
    /// Its first run of tiles among all.
    from: usize,
}

/// All tiles of a run.
#[derive(Debug, Default)]
pub(super) struct Tiles {
    waves: Vec<Wave>,
    issues: Vec<Issue>,
    held: HashMap<TileRef, Held>,
}

impl Tiles {
    /// Number of the wave that comes next.
    pub(super) fn next_wave(&self) -> usize {
        self.waves.len()
    }

    /// A wave stands at `sequence`; its tiles follow.
    pub(super) fn begin(&mut self, sequence: u64) {
        self.waves.push(Wave {
            sequence,
            from: self.issues.len(),
        });
    }

    /// The next tiles of the wave that was begun last.
    pub(super) fn issue(&mut self, run: &TileRun) {
        let from = self.waves.last().map_or(0, |wave| wave.from);
        let before = self.issues[from..].last();
        let base = before.map_or(0, |issue| issue.base + issue.tiles);
        self.issues.push(Issue {
            kind: run.kind,
            slice: run.slice,
            first: run.first.into(),
            pages: run.pages.into(),
            tiles: run.tiles.into(),
            attempt: run.attempt,
            base,
        });
    }

    /// The tile at `place`.
    pub(super) fn at(&self, place: TileRef) -> Option<Tile> {
        let number = place.wave as usize;
        let wave = self.waves.get(number)?;
        let to = self.waves.get(number + 1);
        let of_wave = &self.issues[wave.from..to.map_or(self.issues.len(), |next| next.from)];
        let index = u64::from(place.index);
        let after = of_wave.partition_point(|issue| issue.base <= index);
        let issue = &of_wave[after.checked_sub(1)?];
        let n = index - issue.base;
        (n < issue.tiles).then(|| {
            let first = issue.first + n * issue.pages;
            Tile {
                kind: issue.kind,
                slice: issue.slice,
                pages: first..first + issue.pages,
                attempt: issue.attempt,
                wave: Fence(wave.sequence),
            }
        })
    }

    /// What became of the tile at `place`, if it was ever taken over.
    pub(super) fn held(&mut self, place: TileRef) -> Option<&mut Held> {
        self.held.get_mut(&place)
    }

    /// The tile at `place`, which must be there, is taken over under `fence`.
    pub(super) fn take_over(&mut self, place: TileRef, fence: Fence) -> &mut Held {
        let held = self.held.entry(place).or_default();
        if held.fences.last() != Some(&fence) {
            held.fences.push(fence);
        }
        held
    }

    /// Under which fence `tile` is held now.
    pub(super) fn newest(&self, place: TileRef, tile: &Tile) -> Fence {
        let held = self.held.get(&place);
        let last = held.and_then(|held| held.fences.last());
        last.copied().unwrap_or(tile.wave)
    }

    /// Whether `tile` was ever held under `fence`.
    pub(super) fn was_held(&self, place: TileRef, tile: &Tile, fence: Fence) -> bool {
        let held = self.held.get(&place);
        fence == tile.wave || held.is_some_and(|held| held.fences.binary_search(&fence).is_ok())
    }
}
