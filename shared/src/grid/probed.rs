//! The handler is asked for the pages of each slice.

use super::Mode;
use super::frontier::{self, Frontier, Piece, Room};

pub(super) struct Probed;

impl Mode for Probed {
    fn pages_of(&self, _slice: u32) -> Option<u32> {
        None
    }

    fn most_pages(&self) -> u64 {
        0
    }

    fn shards(&self, _slices: u32) -> Option<u128> {
        None
    }

    fn next(&self, at: &Frontier, pages: u32, room: &mut Room, issue: &mut dyn FnMut(Piece)) {
        frontier::probed(at, pages, room, issue);
    }
}
