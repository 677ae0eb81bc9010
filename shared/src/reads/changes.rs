//! What is new in a run: which of its cells have changed since a place of the ledger, and how they stand now. Pure.
//!
//! Of each record is kept which cells it may have changed, of the last so many of them; how those stand is asked of the
//! fold. So what is told is absolute: said twice, or from a little too far back, it is right all the same, and whoever
//! was told by another reader of the same ledger goes on here.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use serde::Serialize;

use super::grid::{Segment, runs, segments, within};
use super::ledger::Entry;
use crate::ledger::fold::{Fold, Touched};
use crate::ledger::record::{PlanRecord, Record};

/// Numbers that changed cells are told by at most: the grid as a whole takes three times as many.
pub const CHANGED_MAX: usize = 8_000;
/// What is kept of records: a megabyte for a run.
const MARKS_MAX: usize = 32_768;

/// Cells of a run that have changed, each exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Cells {
    /// How many slices the whole run has.
    pub slices: u32,
    /// How many pages its longest slice has, as far as that is known.
    pub pages: u32,
    /// Whether the pages of all slices are known.
    pub all_known: bool,
    /// The slices with changed cells, in order; neighbours that stand alike together. `None`: that is too much, and the
    /// grid has to be read anew.
    pub rows: Option<Vec<ChangedRows>>,
}

/// Slices that stand alike as far as they have changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangedRows {
    /// The first of them.
    pub first: u32,
    /// How many slices.
    pub slices: u32,
    /// How many pages each of them has now.
    pub pages: u32,
    /// The first page that is told.
    pub page: u32,
    /// From that page on, in turn: a state by its place among those of the grid, and how many pages stand so. Those
    /// before and behind stand as they did.
    pub runs: Vec<u32>,
}

/// A run, and what has changed in it lately.
#[derive(Clone, Debug)]
pub struct Changes {
    fold: Fold,
    marks: Marks,
    /// The longest slice, while that of all is known, and what was seen when it was looked for.
    longest: Option<(u64, u32)>,
}

impl Changes {
    pub(super) fn of(fold: Fold, marks: Marks) -> Changes {
        Changes {
            fold,
            marks,
            longest: None,
        }
    }

    /// The run as it stands.
    pub fn fold(&self) -> &Fold {
        &self.fold
    }

    /// Takes in the next record of the run. One that was taken in is passed over.
    pub fn take(&mut self, entry: &Entry) {
        if entry.sequence > self.fold.position() {
            self.marks.note(&self.fold, entry);
            entry.fold_into(&mut self.fold);
        }
    }

    /// Whether a record was stored behind `sequence`.
    pub fn is_changed_since(&self, sequence: u64) -> bool {
        self.marks.last > sequence
    }

    /// Whether it is known what has changed since `sequence`.
    pub fn reaches_back_to(&self, sequence: u64) -> bool {
        sequence >= self.marks.floor
    }

    /// How the cells stand that have changed since `sequence`; `None` where that is not known any more, or the run is
    /// another one since.
    pub fn since(&mut self, sequence: u64) -> Option<Cells> {
        if !self.reaches_back_to(sequence) {
            return None;
        }
        let touched = self.marks.since(sequence, self.fold.slices());
        let (pages, all_known) = self.extent();
        Some(Cells {
            slices: self.fold.slices(),
            pages,
            all_known,
            rows: rows(&self.fold, touched),
        })
    }

    /// Pages of the longest slice, and whether those of all are known. A grid that is known does not grow.
    fn extent(&mut self) -> (u32, bool) {
        let all_known = self.fold.all_known();
        if let Some((seen, longest)) = self.longest
            && all_known
            && seen >= self.marks.grown
        {
            return (longest, true);
        }
        let slices = 0..self.fold.slices();
        let pages = slices.map(|slice| {
            let frontier = self.fold.frontier(slice);
            frontier.end().unwrap_or_else(|| frontier.next_page())
        });
        let longest = pages.max().unwrap_or(0);
        self.longest = all_known.then_some((self.marks.last, longest));
        (longest, all_known)
    }
}

/// How the touched cells stand, unless that takes too many numbers.
fn rows(fold: &Fold, touched: BTreeMap<u32, Range<u32>>) -> Option<Vec<ChangedRows>> {
    let over = fold.closing().is_some();
    let (mut told, mut numbers): (Vec<ChangedRows>, usize) = (Vec::new(), 0);
    for (slice, window) in touched {
        let row = fold.row(slice);
        let cells = within(segments(&row, over), &window);
        let states = cells.iter().map(|Segment { pages, state }| {
            let many = pages.end - pages.start;
            (*state, many)
        });
        let runs = runs(&states.collect::<Vec<_>>());
        let page = window.start.min(row.pages);
        match told.last_mut() {
            Some(last)
                if last.first + last.slices == slice
                    && (last.pages, last.page) == (row.pages, page)
                    && last.runs == runs =>
            {
                last.slices += 1;
            }
            Some(_) | None => {
                numbers += runs.len() + 4;
                if numbers > CHANGED_MAX {
                    return None;
                }
                told.push(ChangedRows {
                    first: slice,
                    slices: 1,
                    pages: row.pages,
                    page,
                    runs,
                });
            }
        }
    }
    Some(told)
}

/// Which cells the last records may have changed, in the order of the ledger.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    kept: VecDeque<Mark>,
    /// What was changed up to there is not known.
    floor: u64,
    /// The last record.
    last: u64,
    /// The last record that may have made the grid another.
    grown: u64,
}

#[derive(Clone, Debug)]
struct Mark {
    sequence: u64,
    cells: Touched,
}

impl Marks {
    /// Notes what the record changes, which is taken in next.
    pub(super) fn note(&mut self, fold: &Fold, entry: &Entry) {
        self.last = entry.sequence;
        let Ok(record) = &entry.record else {
            return;
        };
        if let Record::Plan(PlanRecord::Opened(_)) = record {
            // Whatever was told before is of another run, or of none.
            self.kept.clear();
            self.floor = entry.sequence;
        }
        if !matches!(
            record,
            Record::Plan(PlanRecord::Wave(_)) | Record::Takeover(_)
        ) {
            self.grown = entry.sequence;
        }
        for cells in fold.touches(record) {
            self.push(entry.sequence, cells);
        }
    }

    fn push(&mut self, sequence: u64, cells: Touched) {
        if let Some(last) = self.kept.back_mut()
            && last.sequence == sequence
            && last.cells.join(&cells)
        {
            return;
        }
        if self.kept.len() >= MARKS_MAX {
            self.thin_out();
        }
        self.kept.push_back(Mark { sequence, cells });
    }

    /// Of the older half, one mark for the same slices is kept: of whatever page was changed among them, as late as the
    /// last. What is too much even so is forgotten.
    fn thin_out(&mut self) {
        let mut joined: BTreeMap<(u32, u32), Mark> = BTreeMap::new();
        for mark in self.kept.drain(..MARKS_MAX / 2) {
            let slices = (mark.cells.slices.start, mark.cells.slices.end);
            let all = joined.entry(slices).or_insert_with(|| mark.clone());
            let (one, other) = (&mut all.cells.pages, mark.cells.pages);
            *one = one.start.min(other.start)..one.end.max(other.end);
            all.sequence = mark.sequence;
        }
        let mut joined: Vec<Mark> = joined.into_values().collect();
        joined.sort_by_key(|mark| mark.sequence);
        let forgotten = joined.len().saturating_sub(MARKS_MAX / 4);
        if let Some(last) = joined.drain(..forgotten).next_back() {
            self.floor = last.sequence;
        }
        for mark in joined.into_iter().rev() {
            self.kept.push_front(mark);
        }
    }

    /// By slice, the pages that may have changed since.
    fn since(&self, sequence: u64, slices: u32) -> BTreeMap<u32, Range<u32>> {
        let mut touched: BTreeMap<u32, Range<u32>> = BTreeMap::new();
        let marks = self.kept.iter().rev();
        for mark in marks.take_while(|mark| mark.sequence > sequence) {
            let pages = &mark.cells.pages;
            for slice in mark.cells.slices.start..mark.cells.slices.end.min(slices) {
                let all = touched.entry(slice).or_insert_with(|| pages.clone());
                *all = all.start.min(pages.start)..all.end.max(pages.end);
            }
        }
        touched
    }
}

#[cfg(test)]
mod tests;
