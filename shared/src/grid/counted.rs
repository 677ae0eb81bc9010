//! The same fixed number of pages in each slice.

use super::Mode;
use super::frontier::{self, Frontier, Piece, Room};

pub(super) struct Counted {
    pub(super) count: u32,
}

impl Mode for Counted {
    fn pages_of(&self, _slice: u32) -> Option<u32> {
        Some(self.count)
    }

    fn most_pages(&self) -> u64 {
        self.count.into()
    }

    fn shards(&self, slices: u32) -> Option<u128> {
        Some(u128::from(self.count) * u128::from(slices))
    }

    fn next(&self, at: &Frontier, pages: u32, room: &mut Room, issue: &mut dyn FnMut(Piece)) {
        frontier::known(at, pages, room, issue);
    }
}
