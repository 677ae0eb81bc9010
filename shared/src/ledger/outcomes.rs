//! The packed block of outcomes: about three bytes for a tile that follows its neighbour.
//!
//! A block is a table of counter names, then one entry a run of pages with the same status. Numbers
//! are LEB128; differences are zigzag-coded against the entry before. Counters are columns with
//! **one value a shard**, run-length coded: a sum over shards could not be split when only some of
//! them count (docs/PROTOCOL.md §4).

use crate::id::Fence;
use crate::tile::{TileKind, TileRef};

mod reader;
mod writer;

pub use reader::{BlockError, decode};
pub use writer::encode;

pub use crate::limits::{COUNTER_NAME_MAX, COUNTERS_MAX, ERROR_MAX, RESULT_MAX};

/// The counter that [`crate::ledger::fold::Fold`] shows as the run's rows.
pub const ROWS: &str = "rows";

/// The outcome of consecutive pages of one tile, all with the same status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The tile.
    pub tile: TileRef,
    /// What kind of work it was.
    pub kind: TileKind,
    /// The fence under which the tile was held.
    pub fence: Fence,
    /// Row of the grid.
    pub slice: u32,
    /// First page.
    pub first: u32,
    /// How many pages; at least 1.
    pub pages: u32,
    /// What came out.
    pub status: Status,
    /// Counters, one value a page.
    pub columns: Vec<Column>,
    /// Small results, one a page; empty where there are none.
    pub results: Vec<Vec<u8>>,
}

/// What came out of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It succeeded.
    Done,
    /// It failed.
    Failed(Failed),
}

/// Why an attempt failed, and what is to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The error, at most [`ERROR_MAX`] bytes.
    pub error: String,
    /// What is to follow.
    pub retry: Retry,
}

/// What is to follow a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Another attempt after the job's backoff.
    Backoff,
    /// Another attempt after this many milliseconds.
    AfterMs(u64),
    /// None: the shard is dead.
    Never,
    /// The whole job, or the resource that it names, is to be held for so many milliseconds; then another
    /// attempt, and this one uses up none of those that the job allows.
    Hold(u64),
}

/// One counter over the pages of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The counter's name.
    pub name: String,
    /// Runs of (how many pages, value of each).
    pub runs: Vec<(u32, i64)>,
}

impl Column {
    /// The column of one value a page.
    pub fn of(name: impl Into<String>, values: impl IntoIterator<Item = i64>) -> Column {
        let mut runs: Vec<(u32, i64)> = Vec::new();
        for value in values {
            match runs.last_mut() {
                Some((count, last)) if *last == value => *count += 1,
                Some(_) | None => runs.push((1, value)),
            }
        }
        Column {
            name: name.into(),
            runs,
        }
    }

    /// Sum over the pages from `from` (inclusive) to `to` (exclusive), counted from the entry's first.
    /// Exact, however large the values are: no run has so many pages that 128 bits would not hold it.
    pub fn sum(&self, from: u32, to: u32) -> i128 {
        let mut at = 0_u32;
        let mut sum = 0_i128;
        for (count, value) in &self.runs {
            let end = at.saturating_add(*count);
            let inside = to.min(end).saturating_sub(from.max(at));
            sum += i128::from(*value) * i128::from(inside);
            at = end;
        }
        sum
    }
}

mod flag {
    pub(super) const FAILED: u8 = 1;
    pub(super) const PROBE: u8 = 1 << 1;
    pub(super) const WAVE: u8 = 1 << 2;
    pub(super) const FENCE: u8 = 1 << 3;
    pub(super) const SLICE: u8 = 1 << 4;
    pub(super) const FIRST: u8 = 1 << 5;
    pub(super) const PAGES: u8 = 1 << 6;
    pub(super) const EXTRAS: u8 = 1 << 7;
}

/// What the next entry is compared with: the neighbour that would cost nothing.
struct Expected {
    tile: TileRef,
    fence: Fence,
    slice: u32,
    first: u32,
    pages: u32,
}

impl Expected {
    fn start() -> Expected {
        Expected {
            tile: TileRef { wave: 0, index: 0 },
            fence: Fence(0),
            slice: 0,
            first: 0,
            pages: 1,
        }
    }

    fn after(entry: &Entry) -> Expected {
        Expected {
            tile: TileRef {
                wave: entry.tile.wave,
                index: entry.tile.index.wrapping_add(1),
            },
            fence: entry.fence,
            slice: entry.slice,
            first: entry.first.wrapping_add(entry.pages),
            pages: entry.pages,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(index: u32, first: u32, pages: u32) -> Entry {
        Entry {
            tile: TileRef { wave: 3, index },
            kind: TileKind::Page,
            fence: Fence(70_000),
            slice: 5,
            first,
            pages,
            status: Status::Done,
            columns: Vec::new(),
            results: Vec::new(),
        }
    }

    #[test]
    fn golden_bytes_of_a_block() {
        let mut second = plain(8, 128, 64);
        second.columns = vec![Column::of("rows", [7; 64])];
        let mut third = plain(9, 192, 1);
        third.status = Status::Failed(Failed {
            error: "no".into(),
            retry: Retry::AfterMs(500),
        });
        let bytes = encode(&[plain(7, 64, 64), second, third]);
        let expected: Vec<u8> = [
            &[1, 4][..],
            b"rows",
            // 7: flags, index, wave, fence, slice, first, pages
            &[0x7c, 14, 6, 0xe0, 0xc5, 8, 10, 0x80, 1, 64],
            // 8: flags, index, one column: name 0, one run of 64 sevens; no results
            &[0x80, 0, 1, 0, 1, 64, 14, 0],
            // 9: flags, index, pages, after 500 ms, text
            &[0x41, 0, 1, 1, 0xf4, 3, 2],
            b"no",
        ]
        .concat();
        assert_eq!(bytes, expected);
    }

    #[test]
    fn golden_bytes_of_a_hold() {
        let mut held = plain(0, 0, 1);
        held.status = Status::Failed(Failed {
            error: "429".into(),
            retry: Retry::Hold(500),
        });
        let bytes = encode([&held]);
        let end: &[u8] = &[3, 0xf4, 3, 3, b'4', b'2', b'9'];
        assert!(bytes.ends_with(end), "{bytes:x?}");
    }

    #[test]
    fn a_tile_of_64_that_follows_its_neighbour_costs_two_bytes() {
        let one = encode(&[plain(7, 64, 64)]).len();
        let two = encode(&[plain(7, 64, 64), plain(8, 128, 64)]).len();
        assert_eq!(two - one, 2);
    }

    #[test]
    fn entry_with_more_pages_than_a_tile_has_is_no_entry() {
        let most = plain(0, 0, crate::limits::TILE_MAX);
        assert_eq!(decode(&encode([&most])), Ok(vec![most]));
        let more = plain(0, 0, crate::limits::TILE_MAX + 1);
        assert!(matches!(
            decode(&encode([&more])),
            Err(BlockError::Bounds { .. })
        ));
    }

    #[test]
    fn block_that_no_worker_packs_is_none() {
        let most = vec![0; crate::limits::BLOCK_MAX + 1];
        assert_eq!(decode(&most), Err(BlockError::Bounds { what: "its size" }));
    }

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let status = prop_oneof![
            3 => Just(Status::Done),
            1 => (".{0,9}", prop_oneof![Just(Retry::Backoff), Just(Retry::Never), any::<u64>().prop_map(Retry::AfterMs), any::<u64>().prop_map(Retry::Hold)])
                .prop_map(|(error, retry)| Status::Failed(Failed { error, retry })),
        ];
        let entry = (
            any::<(u32, u32, u64, bool)>(),
            0..65_536_u32,
            0..1_u32 << 30,
            1..9_u32,
            status,
            any::<(i64, bool, bool)>(),
        );
        let entry = entry.prop_map(
            |(
                (wave, index, fence, probe),
                slice,
                first,
                pages,
                status,
                (value, counted, results),
            )| Entry {
                tile: TileRef { wave, index },
                kind: if probe {
                    TileKind::Probe
                } else {
                    TileKind::Page
                },
                fence: Fence(fence),
                slice,
                first,
                pages,
                status,
                columns: if counted {
                    vec![Column::of(
                        "bytes",
                        (0..pages).map(|n| value.wrapping_add(i64::from(n / 3))),
                    )]
                } else {
                    Vec::new()
                },
                results: if results {
                    vec![b"r".to_vec(); pages as usize]
                } else {
                    Vec::new()
                },
            },
        );
        prop::collection::vec(entry, 0..12)
    }

    proptest! {
        #[test]
        fn what_was_packed_is_unpacked(entries in entries()) {
            prop_assert_eq!(decode(&encode(&entries)), Ok(entries));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn sum_of_a_column_is_the_sum_of_its_values(values in prop::collection::vec(-9_i64..9, 1..30), a in 0_usize..30, b in 0_usize..30) {
            let (from, to) = (a.min(b).min(values.len()), a.max(b).min(values.len()));
            let column = Column::of("n", values.clone());
            prop_assert_eq!(column.sum(from as u32, to as u32), i128::from(values[from..to].iter().sum::<i64>()));
        }
    }
}
