//! Which cells a run has, as far as its specification says so, and which come next. A mode of pages is one
//! room: nobody else asks which of them a grid has.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`frontier`] | how far a slice is planned, and what comes next of it |
//! | `counted` | the same number of pages in each slice |
//! | `sized` | as many pages as a slice has rows for |
//! | `probed` | pages that the handler tells |

use crate::job::{GridSpec, PagesSpec};

mod counted;
#[cfg_attr(
    not(feature = "runs"),
    expect(dead_code, reason = "only the fold moves it on")
)]
pub mod frontier;
mod probed;
mod sized;

use frontier::{Frontier, Piece, Room};

/// Which rows of its slice a page holds, where pages are cut by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows before the page.
    pub offset: u64,
    /// Rows in the page; `None`: to the end of the slice.
    pub size: Option<u64>,
}

/// What a mode of pages decides.
trait Mode {
    /// Pages of a slice, where the specification alone says so.
    fn pages_of(&self, slice: u32) -> Option<u32>;
    /// So many slices, the first ones, have something said of them; all others are alike.
    fn named(&self) -> u32 {
        0
    }
    /// Pages of the longest slice, as far as the specification says so.
    fn most_pages(&self) -> u64;
    /// Shards of the whole grid, where the specification alone says so.
    fn shards(&self, slices: u32) -> Option<u128>;
    /// Rows of a page, where pages are cut by position.
    fn window(&self, _slice: u32, _page: u32) -> Option<Window> {
        None
    }
    /// What comes next of a slice that is planned up to `at`, in tiles of `pages`.
    fn next(&self, at: &Frontier, pages: u32, room: &mut Room, issue: &mut dyn FnMut(Piece));
}

impl GridSpec {
    fn with<T>(&self, ask: impl FnOnce(&dyn Mode) -> T) -> T {
        match &self.pages {
            PagesSpec::Count { count } => ask(&counted::Counted { count: *count }),
            PagesSpec::Rows { rows, page_size } => ask(&sized::Sized {
                rows,
                page_size: *page_size,
            }),
            PagesSpec::Probe => ask(&probed::Probed),
        }
    }

    /// Pages of `slice`, where the specification alone says so; `None` for a probed grid.
    pub fn pages_of(&self, slice: u32) -> Option<u32> {
        self.with(|mode| mode.pages_of(slice))
    }

    /// So many slices, the first ones, have something said of them; all others are alike.
    pub fn named(&self) -> u32 {
        self.with(|mode| mode.named())
    }

    /// Whether handlers are asked for the pages.
    pub fn is_probed(&self) -> bool {
        self.shards().is_none()
    }

    /// Pages of the longest slice, as far as the specification says so.
    pub fn most_pages(&self) -> u64 {
        self.with(|mode| mode.most_pages())
    }

    /// Shards of the whole grid, where the specification alone says so.
    pub fn shards(&self) -> Option<u64> {
        let shards = self.with(|mode| mode.shards(self.slices));
        shards.map(|shards| u64::try_from(shards).unwrap_or(u64::MAX))
    }

    /// Rows of page `page` of `slice`, where pages are cut by position.
    pub fn window(&self, slice: u32, page: u32) -> Option<Window> {
        self.with(|mode| mode.window(slice, page))
    }

    /// What comes next of a slice that is planned up to `at`, in tiles of `pages`: as much as there is
    /// `room` for.
    pub fn next(&self, at: &Frontier, pages: u32, room: &mut Room, mut issue: impl FnMut(Piece)) {
        self.with(|mode| mode.next(at, pages.max(1), room, &mut issue));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sized_slices_end_in_an_open_page_so_that_no_row_is_left_out() {
        let grid = GridSpec {
            slices: 2,
            pages: PagesSpec::Rows {
                rows: vec![2_500, 0],
                page_size: 1_000,
            },
            tile: None,
        };
        assert_eq!((grid.pages_of(0), grid.pages_of(1)), (Some(3), Some(1)));
        assert_eq!(grid.shards(), Some(4));
        assert_eq!(
            grid.window(0, 1),
            Some(Window {
                offset: 1_000,
                size: Some(1_000)
            })
        );
        assert_eq!(
            grid.window(0, 2),
            Some(Window {
                offset: 2_000,
                size: None
            })
        );
        assert_eq!(
            grid.window(1, 0),
            Some(Window {
                offset: 0,
                size: None
            })
        );
    }
}
