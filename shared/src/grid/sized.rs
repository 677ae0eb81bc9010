//! As many pages as the rows of a slice need. The last page of each slice has no end, so that rows above
//! the estimate are in it.

use super::frontier::{self, Frontier, Piece, Room};
use super::{Mode, Window};

pub(super) struct Sized<'a> {
    pub(super) rows: &'a [u64],
    pub(super) page_size: u64,
}

impl Sized<'_> {
    fn pages(&self, rows: u64) -> u64 {
        rows.div_ceil(self.page_size.max(1)).max(1)
    }
}

impl Mode for Sized<'_> {
    fn pages_of(&self, slice: u32) -> Option<u32> {
        let rows = self.rows.get(slice as usize).copied().unwrap_or(0);
        u32::try_from(self.pages(rows)).ok()
    }

    fn named(&self) -> u32 {
        u32::try_from(self.rows.len()).unwrap_or(u32::MAX)
    }

    fn most_pages(&self) -> u64 {
        let pages = self.rows.iter().map(|rows| self.pages(*rows));
        pages.max().unwrap_or(1)
    }

    fn shards(&self, slices: u32) -> Option<u128> {
        let named = self.rows.len().min(slices as usize);
        let pages = self.rows[..named]
            .iter()
            .map(|rows| u128::from(self.pages(*rows)));
        Some(pages.sum::<u128>() + (slices as usize - named) as u128)
    }

    fn window(&self, slice: u32, page: u32) -> Option<Window> {
        let last = self.pages_of(slice)?.saturating_sub(1);
        Some(Window {
            offset: u64::from(page) * self.page_size,
            size: (page < last).then_some(self.page_size),
        })
    }

    fn next(&self, at: &Frontier, pages: u32, room: &mut Room, issue: &mut dyn FnMut(Piece)) {
        frontier::known(at, pages, room, issue);
    }
}
