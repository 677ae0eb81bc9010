//! How the cells of a run stand: run-length coded, so that a run of a million shards takes a few kB; and never more
//! than a bound, whatever the shards do. Where neighbours stand too unlike to be told each, several pages, and then
//! several slices, are told as one block by what in it matters most. Pure.

use std::ops::Range;

use serde::Serialize;

use super::attempts::ShardState;
use crate::ledger::fold::{Fold, Row};

/// Numbers that a grid is told by at most: each takes two to eight bytes.
pub const NUMBERS_MAX: usize = 24_000;

/// Blocks of pages at most where slices are laid over each other.
const WIDTH_MAX: u32 = 1_024;

/// What the numbers of [`Rows::runs`] mean.
pub const STATES: [ShardState; 7] = [
    ShardState::NotIssued,
    ShardState::Issued,
    ShardState::Retrying,
    ShardState::Done,
    ShardState::Dead,
    ShardState::GivenUp,
    ShardState::Cancelled,
];

/// Which part of a grid is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its slices.
    pub slices: Range<u32>,
    /// Its pages.
    pub pages: Range<u32>,
}

/// The cells of a run, or of a window of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Grid {
    /// The ledger sequence up to which this tells: what events say up to there is in it.
    pub at: u64,
    /// How many slices the whole run has.
    pub slices: u32,
    /// How many pages its longest slice has, as far as that is known.
    pub pages: u32,
    /// Whether the pages of all slices are known: a probed grid grows.
    pub all_known: bool,
    /// So many slices are told as one.
    pub slices_a_block: u32,
    /// So many pages are told as one.
    pub pages_a_block: u32,
    /// What the numbers in `runs` mean, by their place in this list.
    pub states: [ShardState; 7],
    /// The slices in order; neighbours that stand alike together.
    pub rows: Vec<Rows>,
}

/// Slices that stand alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rows {
    /// The first of them.
    pub first: u32,
    /// How many slices.
    pub slices: u32,
    /// From the first page of the window on, in turn: a state, and how many blocks of pages stand so.
    pub runs: Vec<u32>,
}

/// The cells of a run as its ledger adds up to them.
pub fn of(fold: &Fold, window: &Window) -> Grid {
    let count = fold.slices();
    let over = fold.closing().is_some();
    let slices = window.slices.start.min(count)..window.slices.end.min(count);
    let (mut longest, mut all_known) = (0, true);
    let mut rows: Vec<(Range<u32>, Vec<Segment>)> = Vec::new();
    for slice in 0..count {
        if !slices.contains(&slice) {
            let frontier = fold.frontier(slice);
            longest = longest.max(frontier.end().unwrap_or_else(|| frontier.next_page()));
            all_known &= frontier.end().is_some();
            continue;
        }
        let row = fold.row(slice);
        longest = longest.max(row.pages);
        all_known &= row.all_known;
        let segments = within(segments(&row, over), &window.pages);
        match rows.last_mut() {
            Some((slices, last)) if *last == segments => slices.end += 1,
            Some(_) | None => rows.push((slice..slice + 1, segments)),
        }
    }
    let (slices_a_block, pages_a_block, rows) = fitting(&rows, NUMBERS_MAX);
    Grid {
        at: fold.position(),
        slices: count,
        pages: longest,
        all_known,
        slices_a_block,
        pages_a_block,
        states: STATES,
        rows,
    }
}

/// Neighbouring pages that stand alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The pages.
    pub pages: Range<u32>,
    /// How they stand.
    pub state: ShardState,
}

/// The pages of a slice in order, whose run is `over` or not.
pub fn segments(row: &Row, over: bool) -> Vec<Segment> {
    let mut edges: Vec<u32> = Vec::from([0, row.pages]);
    let dead = row.dead.iter().map(|(run, _)| run);
    let all = row.issued.iter().chain(&row.done).chain(dead);
    for run in all.chain(&row.retrying) {
        edges.extend([run.start, run.end]);
    }
    edges.sort_unstable();
    edges.dedup();
    let [mut issued, mut done, mut retrying] =
        [&row.issued, &row.done, &row.retrying].map(|runs| Cursor::new(runs));
    let graves: Vec<Range<u32>> = row.dead.iter().map(|(run, _)| run.clone()).collect();
    let mut dead = Cursor::new(&graves);
    let mut segments: Vec<Segment> = Vec::new();
    for pair in edges.windows(2) {
        let (first, end) = (pair[0], pair[1].min(row.pages));
        if first >= end {
            continue;
        }
        let grave = dead.at(first).map(|place| row.dead[place].1);
        let state = match grave {
            _ if done.at(first).is_some() => ShardState::Done,
            Some(true) => ShardState::GivenUp,
            Some(false) => ShardState::Dead,
            None if over => ShardState::Cancelled,
            None if retrying.at(first).is_some() => ShardState::Retrying,
            None if issued.at(first).is_some() => ShardState::Issued,
            None => ShardState::NotIssued,
        };
        match segments.last_mut() {
            Some(last) if last.state == state => last.pages.end = end,
            Some(_) | None => segments.push(Segment {
                pages: first..end,
                state,
            }),
        }
    }
    segments
}

/// Looks numbers up in runs, each number not below the one before.
struct Cursor<'r> {
    runs: &'r [Range<u32>],
    place: usize,
}

impl<'r> Cursor<'r> {
    fn new(runs: &'r [Range<u32>]) -> Cursor<'r> {
        Cursor { runs, place: 0 }
    }

    fn at(&mut self, number: u32) -> Option<usize> {
        while self
            .runs
            .get(self.place)
            .is_some_and(|run| run.end <= number)
        {
            self.place += 1;
        }
        let found = self.runs.get(self.place)?;
        found.contains(&number).then_some(self.place)
    }
}

pub(super) fn within(segments: Vec<Segment>, pages: &Range<u32>) -> Vec<Segment> {
    let cut = segments.into_iter().map(|segment| Segment {
        pages: segment.pages.start.max(pages.start)..segment.pages.end.min(pages.end),
        ..segment
    });
    cut.filter(|segment| !segment.pages.is_empty()).collect()
}

/// The rows in at most so many numbers: as they are, or in the smallest blocks that do.
fn fitting(rows: &[(Range<u32>, Vec<Segment>)], most: usize) -> (u32, u32, Vec<Rows>) {
    let (mut slices, mut pages) = (1_u32, 1_u32);
    let last = |(_, segments): &(Range<u32>, Vec<Segment>)| {
        let ends = segments.first().zip(segments.last());
        ends.map_or(0, |(first, last)| last.pages.end - first.pages.start)
    };
    let width = rows.iter().map(last).max().unwrap_or(0);
    loop {
        let blocks = blocks(rows, slices, pages);
        let numbers: usize = blocks.iter().map(|row| row.runs.len() + 2).sum();
        if numbers <= most {
            return (slices, pages, blocks);
        }
        // Rows that are short already are not what takes the room; and rows are laid over each other block by block.
        let longest = blocks.iter().map(|row| row.runs.len()).max();
        let is_wide = width.div_ceil(pages) > WIDTH_MAX;
        match longest.unwrap_or(0) > 64 || is_wide {
            true => pages = pages.saturating_mul(2),
            false => slices = slices.saturating_mul(2),
        }
    }
}

fn blocks(rows: &[(Range<u32>, Vec<Segment>)], slices: u32, pages: u32) -> Vec<Rows> {
    let mut blocks: Vec<(Range<u32>, Vec<u32>)> = Vec::new();
    let mut open: Option<(u32, Range<u32>, Vec<ShardState>)> = None;
    for (of, segments) in rows {
        if slices == 1 {
            push(&mut blocks, of.clone(), runs(&coarse(segments, pages)));
            continue;
        }
        let states = expand(&coarse(segments, pages));
        let mut slice = of.start;
        while slice < of.end {
            let block = slice / slices;
            let end = of.end.min((block + 1).saturating_mul(slices));
            match &mut open {
                Some((number, range, states_of)) if *number == block => {
                    range.end = end;
                    overlay(states_of, &states);
                }
                _ => {
                    if let Some((_, range, states)) = open.take() {
                        push(&mut blocks, range, runs(&collapse(&states)));
                    }
                    open = Some((block, slice..end, states.clone()));
                }
            }
            slice = end;
        }
    }
    if let Some((_, range, states)) = open {
        push(&mut blocks, range, runs(&collapse(&states)));
    }
    let told = blocks.into_iter().map(|(of, runs)| Rows {
        first: of.start,
        slices: of.end - of.start,
        runs,
    });
    told.collect()
}

fn push(blocks: &mut Vec<(Range<u32>, Vec<u32>)>, of: Range<u32>, runs: Vec<u32>) {
    match blocks.last_mut() {
        Some((last, same)) if *same == runs && last.end == of.start => last.end = of.end,
        Some(_) | None => blocks.push((of, runs)),
    }
}

/// Each block of so many pages by what in it matters most.
fn coarse(segments: &[Segment], pages: u32) -> Vec<(ShardState, u32)> {
    let mut blocks: Vec<(ShardState, u32)> = Vec::new();
    if pages == 1 {
        let length = |segment: &Segment| segment.pages.end - segment.pages.start;
        return segments
            .iter()
            .map(|one| (one.state, length(one)))
            .collect();
    }
    let first = segments.first().map_or(0, |segment| segment.pages.start);
    // The last block that was begun, and what stands in it.
    let mut open: Option<(u32, ShardState)> = None;
    let mut close = |state: ShardState, count: u32| match blocks.last_mut() {
        Some((last, blocks)) if *last == state => *blocks += count,
        Some(_) | None => blocks.push((state, count)),
    };
    for segment in segments {
        let (from, to) = (segment.pages.start - first, segment.pages.end - first);
        let (mut begin, end) = (from / pages, (to - 1) / pages);
        if let Some((number, state)) = open
            && number == begin
        {
            open = Some((number, graver(state, segment.state)));
            begin += 1;
        }
        if begin > end {
            continue;
        }
        if let Some((_, state)) = open.take() {
            close(state, 1);
        }
        if end > begin {
            close(segment.state, end - begin);
        }
        open = Some((end, segment.state));
    }
    if let Some((_, state)) = open {
        close(state, 1);
    }
    blocks
}

fn graver(one: ShardState, other: ShardState) -> ShardState {
    let weight = |state| match state {
        ShardState::Dead => 6,
        ShardState::Retrying => 5,
        ShardState::GivenUp => 4,
        ShardState::Issued => 3,
        ShardState::Cancelled => 2,
        ShardState::NotIssued => 1,
        ShardState::Done => 0,
    };
    if weight(other) > weight(one) {
        other
    } else {
        one
    }
}

fn expand(runs: &[(ShardState, u32)]) -> Vec<ShardState> {
    let all = runs.iter();
    all.flat_map(|(state, count)| std::iter::repeat_n(*state, *count as usize))
        .collect()
}

fn overlay(states: &mut Vec<ShardState>, others: &[ShardState]) {
    for (state, other) in states.iter_mut().zip(others) {
        *state = graver(*state, *other);
    }
    let more = others.get(states.len()..).unwrap_or_default();
    states.extend(more);
}

fn collapse(states: &[ShardState]) -> Vec<(ShardState, u32)> {
    let mut runs: Vec<(ShardState, u32)> = Vec::new();
    for state in states {
        match runs.last_mut() {
            Some((last, count)) if last == state => *count += 1,
            Some(_) | None => runs.push((*state, 1)),
        }
    }
    runs
}

pub(super) fn runs(blocks: &[(ShardState, u32)]) -> Vec<u32> {
    let number = |state: &ShardState| {
        let mut states = STATES.iter();
        states.position(|one| one == state).unwrap_or(0) as u32
    };
    let all = blocks.iter();
    all.flat_map(|(state, count)| [number(state), *count])
        .collect()
}

#[cfg(test)]
mod tests;
