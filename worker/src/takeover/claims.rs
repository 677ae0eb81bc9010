//! The tiles of one takeover, found by their places and by their pages: most of what is read is of
//! others.

use std::ops::Range;

use gridloom_shared::id::Fence;
use gridloom_shared::ledger::crash::Suspicion;
use gridloom_shared::ledger::record::Reason;
use gridloom_shared::ranges::Ranges;
use gridloom_shared::tile::{Tile, TileKind, TileRef};

/// One tile that is being taken over.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) kind: TileKind,
    pub(super) slice: u32,
    pub(super) fence: Fence,
    pub(super) left: Ranges,
    pub(super) suspicion: Suspicion,
}

impl Claim {
    pub(super) fn taken_over(&mut self, fence: Fence, reason: Reason) {
        self.fence = fence;
        let left = &self.left;
        let condemned = self
            .suspicion
            .taken_over(reason, |page| left.contains(page));
        if let Some(page) = condemned {
            self.left.remove(&(page..page + 1));
        }
    }
}

/// The tiles, found by their places and by their pages.
#[derive(Debug)]
pub(super) struct Claims {
    all: Vec<Claim>,
    /// In order.
    places: Vec<(TileRef, usize)>,
    /// Where they begin, in order.
    starts: Vec<((TileKind, u32, u64), usize)>,
    /// Pages of the longest.
    longest: u64,
}

impl Claims {
    pub(super) fn of<'a>(tiles: impl Iterator<Item = &'a Tile>) -> Claims {
        let (mut places, mut starts, mut longest) = (Vec::new(), Vec::new(), 0);
        let claim = |(at, tile): (usize, &Tile)| {
            places.push((tile.place(), at));
            starts.push(((tile.kind, tile.slice, u64::from(tile.first)), at));
            longest = longest.max(u64::from(tile.pages));
            Claim {
                kind: tile.kind,
                slice: tile.slice,
                fence: tile.fence,
                left: Ranges::of(tile.range()),
                suspicion: Suspicion::default(),
            }
        };
        let all = tiles.enumerate().map(claim).collect();
        places.sort_unstable();
        starts.sort_unstable();
        Claims {
            all,
            places,
            starts,
            longest,
        }
    }

    /// Has `change` done to the tile at `place`.
    pub(super) fn at(&mut self, place: TileRef, mut change: impl FnMut(&mut Claim)) {
        let from = self.places.partition_point(|(other, _)| *other < place);
        let here = self.places[from..].iter();
        for (_, at) in here.take_while(|(other, _)| *other == place) {
            change(&mut self.all[*at]);
        }
    }

    /// Takes `pages` of a slice out of all tiles.
    pub(super) fn finish(&mut self, kind: TileKind, slice: u32, pages: &Range<u64>) {
        let first = pages.start.saturating_sub(self.longest);
        let from = self
            .starts
            .partition_point(|(start, _)| *start < (kind, slice, first));
        let near = self.starts[from..].iter();
        for (_, at) in near.take_while(|(start, _)| *start < (kind, slice, pages.end)) {
            self.all[*at].left.remove(pages);
        }
    }

    /// The tiles in the order in which they were given.
    pub(super) fn into_all(self) -> Vec<Claim> {
        self.all
    }
}
