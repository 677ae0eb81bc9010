//! Waves: what the planner issues at once, and the tiles that it makes.

use serde::{Deserialize, Serialize};

use crate::id::{Fence, Nonce, RunId, Term};
use crate::tile::{Bounds, Key, Tile, TileKind};

/// What the planner issues at once. It holds all that its tiles hold, so a refill needs nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wave {
    /// Number of the wave, from 0 without gaps.
    pub n: u32,
    /// Ledger sequence up to which its decider had read.
    pub folded: u64,
    /// The decider's term.
    pub term: Term,
    /// Its tiles, run-length coded, in the order of their indexes.
    pub tiles: Vec<TileRun>,
}

/// Consecutive tiles of one slice with the same number of pages and the same attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TileRun {
    /// What kind of work.
    #[serde(default)]
    pub kind: TileKind,
    /// Row of the grid.
    pub slice: u32,
    /// First page of the first tile.
    pub first: u32,
    /// Pages of each tile.
    pub pages: u32,
    /// How many tiles.
    pub tiles: u32,
    /// Attempt that all of them carry.
    pub attempt: u32,
    /// Bounds of each page in order; empty where pages are counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bounds: Vec<Bounds>,
    /// For a probe: the cursor of the slice's previous probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Key>,
}

impl Wave {
    /// How many tiles it has.
    pub fn len(&self) -> usize {
        count(&self.tiles)
    }

    /// Whether it has no tiles. A wave that is written has some.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its tiles as queue messages. `fence` is the wave's own ledger sequence, `opened` that of the
    /// run's first record; `again` marks a refill.
    pub fn expand<'a>(
        &'a self,
        run: &'a RunId,
        nonce: Nonce,
        fence: Fence,
        opened: u64,
        again: Again,
    ) -> impl Iterator<Item = Tile> + 'a {
        let cells = self
            .tiles
            .iter()
            .flat_map(|tiles| (0..tiles.tiles).map(move |n| (tiles, n)));
        cells.zip(0_u32..).map(move |((tiles, n), index)| Tile {
            kind: tiles.kind,
            run: run.clone(),
            nonce,
            wave: self.n,
            index,
            slice: tiles.slice,
            first: tiles.first + n * tiles.pages,
            pages: tiles.pages,
            attempt: tiles.attempt,
            fence,
            folded: self.folded,
            opened,
            again: again == Again::Yes,
            bounds: tiles.bounds_of(n).to_vec(),
            after: tiles.after.clone(),
            frozen: None,
        })
    }
}

/// How many tiles there are.
pub fn count(tiles: &[TileRun]) -> usize {
    tiles.iter().map(|run| run.tiles as usize).sum()
}

impl TileRun {
    /// Bounds of the pages of its `n`-th tile; empty where pages are counted.
    pub fn bounds_of(&self, n: u32) -> &[Bounds] {
        let from = n as usize * self.pages as usize;
        self.bounds
            .get(from..from + self.pages as usize)
            .unwrap_or(&[])
    }
}

/// Whether tiles are published for the first time, by the leader that decided them in its own term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// The first publishing.
    No,
    /// A refill, or a predecessor's decision: another copy may have been delivered.
    Yes,
}
