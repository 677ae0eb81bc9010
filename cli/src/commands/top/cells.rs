//! How the cells of a run stand, in so many blocks as there is room for: a row of them beside its name, or a field of them.
//! Pure.

use std::ops::Range;

use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::summary::{RunState, RunSummary};
use gridloom_shared::reads::attempts::ShardState;
use gridloom_shared::reads::grid::segments;

/// Neighbouring cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// How many.
    pub(super) cells: u64,
    /// Those with a success.
    pub(super) done: u64,
    /// Those whose attempts are used up.
    pub(super) dead: u64,
    /// Those that were issued and lack an outcome.
    pub(super) in_flight: u64,
    /// Those that wait for another attempt.
    pub(super) retrying: u64,
    /// Those that were given up.
    pub(super) given_up: u64,
    /// Those that will not be issued any more.
    pub(super) cancelled: u64,
}

/// What is shown of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Something of it is dead.
    Dead,
    /// Something of it waits for another attempt.
    Retrying,
    /// All of it is done.
    Done,
    /// Something of it is under way.
    InFlight,
    /// A part of it is done.
    Part,
    /// Something of it was given up.
    GivenUp,
    /// It is not issued any more.
    Cancelled,
    /// Nothing of it is issued yet.
    NotIssued,
}

impl Mark {
    /// All of them, with what they mean.
    pub(super) const ALL: [(Mark, &'static str); 8] = [
        (Mark::Done, "done"),
        (Mark::Part, "partly done"),
        (Mark::InFlight, "in flight"),
        (Mark::NotIssued, "to come"),
        (Mark::Retrying, "failed, tried again"),
        (Mark::Dead, "dead"),
        (Mark::GivenUp, "given up"),
        (Mark::Cancelled, "cancelled"),
    ];
}

impl Block {
    /// What in it matters most.
    pub(super) fn mark(&self) -> Mark {
        match self {
            Block { dead: 1.., .. } => Mark::Dead,
            Block { retrying: 1.., .. } => Mark::Retrying,
            Block { cells, done, .. } if *cells > 0 && done == cells => Mark::Done,
            Block { in_flight: 1.., .. } => Mark::InFlight,
            Block { given_up: 1.., .. } => Mark::GivenUp,
            Block { done: 1.., .. } => Mark::Part,
            Block { cancelled: 1.., .. } => Mark::Cancelled,
            _ => Mark::NotIssued,
        }
    }

    fn add(&mut self, state: ShardState, cells: u64) {
        self.cells += cells;
        let of = match state {
            ShardState::NotIssued => return,
            ShardState::Issued => &mut self.in_flight,
            ShardState::Retrying => &mut self.retrying,
            ShardState::Done => &mut self.done,
            ShardState::Dead => &mut self.dead,
            ShardState::GivenUp => &mut self.given_up,
            ShardState::Cancelled => &mut self.cancelled,
        };
        *of += cells;
    }
}

/// A grid in blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cells {
    /// Slices that a row of blocks stands for.
    pub(super) slices_a_row: u32,
    /// Pages that a column stands for.
    pub(super) pages_a_column: u32,
    /// Row by row.
    pub(super) rows: Vec<Vec<Block>>,
}

impl Cells {
    /// The grid of a run in at most so many rows and columns.
    pub(super) fn of(fold: &Fold, (rows, columns): (usize, usize)) -> Cells {
        let (slices, pages) = (fold.slices(), longest(fold));
        let (slices_a_row, rows) = blocks(slices, rows);
        let (pages_a_column, columns) = blocks(pages, columns);
        let mut all = vec![vec![Block::default(); columns]; rows];
        if columns == 0 {
            all.clear();
        }
        let over = fold.closing().is_some();
        for slice in 0..slices {
            let Some(row) = all.get_mut((slice / slices_a_row) as usize) else {
                break;
            };
            for segment in segments(&fold.row(slice), over) {
                spread(row, &segment.pages, pages_a_column, segment.state);
            }
        }
        Cells {
            slices_a_row,
            pages_a_column,
            rows: all,
        }
    }

    /// The grid in one row of at most so many blocks: pages, or slices where there are more of them.
    pub(super) fn strip(fold: &Fold, most: usize) -> Vec<Block> {
        let cells = match longest(fold) >= fold.slices() {
            true => Cells::of(fold, (1, most)),
            false => Cells::of(fold, (most, 1)),
        };
        cells.rows.into_iter().flatten().collect()
    }
}

/// A row of blocks made of numbers alone: what was never looked at more closely.
pub(super) fn of_numbers(summary: &RunSummary, most: usize) -> Vec<Block> {
    let (shards, all) = (&summary.shards, summary.grid.shards.max(1));
    let most = u64::try_from(most).unwrap_or(u64::MAX).min(all);
    let to = |cells: u64| cells.min(all) * most / all;
    let over = summary.state == RunState::Cancelled;
    // Questions that were given up are no shards.
    let given_up = shards.given_up.min(shards.dead);
    let rest = if over {
        ShardState::Cancelled
    } else {
        ShardState::NotIssued
    };
    let parts = [
        (ShardState::Done, shards.done),
        (ShardState::Dead, shards.dead - given_up),
        (ShardState::GivenUp, given_up),
        (
            ShardState::Issued,
            if over { 0 } else { shards.outstanding },
        ),
        (rest, all),
    ];
    let (mut row, mut told) = (Vec::new(), 0);
    for (state, cells) in parts {
        told += cells;
        // What is dead is seen, however little it is.
        let least = u64::from(state == ShardState::Dead && cells > 0);
        let end = to(told).max(row.len() as u64 + least).min(most);
        while (row.len() as u64) < end {
            let mut block = Block::default();
            block.add(state, 1);
            row.push(block);
        }
    }
    row
}

/// Pages of the longest slice, as far as that is known.
fn longest(fold: &Fold) -> u32 {
    let pages = (0..fold.slices()).map(|slice| {
        let frontier = fold.frontier(slice);
        frontier.end().unwrap_or_else(|| frontier.next_page())
    });
    pages.max().unwrap_or(0)
}

/// How many a block stands for, and how many blocks that makes.
fn blocks(all: u32, most: usize) -> (u32, usize) {
    let most = u32::try_from(most).unwrap_or(u32::MAX).max(1);
    let each = all.div_ceil(most).max(1);
    (each, all.div_ceil(each) as usize)
}

fn spread(row: &mut [Block], pages: &Range<u32>, each: u32, state: ShardState) {
    let mut first = pages.start;
    while first < pages.end {
        let column = first / each;
        let end = pages.end.min((column + 1).saturating_mul(each));
        if let Some(block) = row.get_mut(column as usize) {
            block.add(state, u64::from(end - first));
        }
        first = end;
    }
}

#[cfg(test)]
mod tests;
