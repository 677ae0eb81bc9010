//! Which cells a run has, as far as its specification says so: a probe tells the rest.

use crate::job::{GridSpec, PagesSpec};

/// Which rows of its slice a page holds, where pages are cut by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows before the page.
    pub offset: u64,
    /// Rows in the page; `None`: to the end of the slice.
    pub size: Option<u64>,
}

impl GridSpec {
    /// Pages of `slice`, where the specification alone says so; `None` for a probed grid.
    pub fn pages_of(&self, slice: u32) -> Option<u32> {
        match &self.pages {
            PagesSpec::Count { count } => Some(*count),
            PagesSpec::Rows { rows, page_size } => {
                let rows = rows.get(slice as usize).copied().unwrap_or(0);
                u32::try_from(rows.div_ceil(*page_size).max(1)).ok()
            }
            PagesSpec::Probe => None,
        }
    }

    /// Shards of the whole grid, where the specification alone says so.
    pub fn shards(&self) -> Option<u64> {
        (0..self.slices)
            .map(|slice| self.pages_of(slice).map(u64::from))
            .sum()
    }

    /// Rows of page `page` of `slice`, where pages are cut by position.
    pub fn window(&self, slice: u32, page: u32) -> Option<Window> {
        let PagesSpec::Rows { page_size, .. } = &self.pages else {
            return None;
        };
        let last = self.pages_of(slice)?.saturating_sub(1);
        Some(Window {
            offset: u64::from(page) * page_size,
            size: (page < last).then_some(*page_size),
        })
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
