//! Bounds and cursors of shards that died and are to be tried again. They stand in the wave that issued
//! them last, and are read from there once they are needed: kept for every dead page they would be
//! most of a planner's memory.

use std::collections::BTreeSet;

use super::{Cell, Fold};
use crate::ledger::record::Wave;
use crate::limits::{RECALLED_MAX, WAVE_TILES_MAX};
use crate::tile::{Bounds, Key};

/// What a wave says of one shard.
#[derive(Clone, Debug, Default)]
pub(super) struct Recalled {
    pub(super) bounds: Option<Bounds>,
    pub(super) after: Option<Key>,
}

impl Fold {
    /// Ledger sequences of the waves to be read before the next of the shards that are to be tried again
    /// can be: see [`Fold::recall`].
    pub fn forgotten(&self) -> BTreeSet<u64> {
        let mut waves = BTreeSet::new();
        let mut cells = 0;
        for (_, pages, grave) in self.again.iter() {
            if cells >= WAVE_TILES_MAX || waves.len() + self.recalled.len() >= RECALLED_MAX {
                break;
            }
            cells += pages.len();
            if grave.wave != 0 && !self.recalled.contains_key(&grave.wave) {
                waves.insert(grave.wave);
            }
        }
        waves
    }

    /// Takes in a wave that [`Fold::forgotten`] named.
    pub fn recall(&mut self, sequence: u64, wave: &Wave) {
        let cells = self.recalled.entry(sequence).or_default();
        for tiles in &wave.tiles {
            for n in 0..tiles.tiles {
                let first = tiles.first + n * tiles.pages;
                for (page, bounds) in (first..first + tiles.pages).zip(
                    tiles
                        .bounds_of(n)
                        .iter()
                        .map(Some)
                        .chain(std::iter::repeat(None)),
                ) {
                    let cell = Cell {
                        kind: tiles.kind,
                        slice: tiles.slice,
                        page,
                    };
                    if self
                        .again
                        .get(cell)
                        .is_some_and(|grave| grave.wave == sequence)
                    {
                        let recalled = Recalled {
                            bounds: bounds.cloned(),
                            after: tiles.after.clone(),
                        };
                        cells.insert(cell, recalled);
                    }
                }
            }
        }
    }

    /// `cell` waits no more for what `wave` said of it.
    pub(super) fn forget_recalled(&mut self, cell: Cell, wave: u64) {
        if let Some(cells) = self.recalled.get_mut(&wave) {
            cells.remove(&cell);
            if cells.is_empty() {
                self.recalled.remove(&wave);
            }
        }
    }
}
