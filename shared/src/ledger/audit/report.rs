//! What an audit finds, in numbers that are exact and lists that are bounded.

use std::ops::Range;

use serde::Serialize;

use crate::id::RunId;
use crate::ledger::record::EndState;
use crate::limits::LISTED_MAX;

/// One cell of the grid, as programs read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GridCell {
    /// Row.
    pub slice: u32,
    /// Column.
    pub page: u32,
}

/// The result of an audit, as `audit RUN --json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = AuditReport))]
pub struct Report {
    /// The run.
    pub run: RunId,
    /// Whether nothing is lost, unexpected or twice.
    pub ok: bool,
    /// How the run ended; `None` while it is open.
    pub ended: Option<EndState>,
    /// Cells that waves issued.
    pub planned: u64,
    /// Cells with a success.
    pub committed: u64,
    /// Cells without one whose attempts are used up.
    pub dead: u64,
    /// Questions of probes whose attempts are used up: the pages of their slices are not known.
    pub dead_questions: u64,
    /// Tiles that were taken over, each time.
    pub takeovers: u64,
    /// Second successes that a takeover or another attempt explains.
    pub repeated: u64,
    /// Cells without an outcome because the run was cancelled or aborted.
    pub cancelled: u64,
    /// How many cells of the grid have no outcome, in a run that was not cancelled.
    pub lost_cells: u64,
    /// The first of them, at most [`LISTED_MAX`].
    pub lost: Vec<GridCell>,
    /// How many cells have a record that was never asked for.
    pub unexpected_cells: u64,
    /// The first of them, at most [`LISTED_MAX`].
    pub unexpected: Vec<GridCell>,
    /// Records that could not be read or did not belong where they stood.
    pub unexpected_records: u64,
    /// How many cells have two successes that no takeover explains.
    pub twice_cells: u64,
    /// The first of them, at most [`LISTED_MAX`].
    pub twice: Vec<GridCell>,
}

/// Cells: how many, and the first of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Cells {
    pub(super) count: u64,
    pub(super) first: Vec<GridCell>,
}

impl Cells {
    /// Adds `pages` of `slice`. Cells must come in order.
    pub(super) fn add(&mut self, slice: u32, pages: Range<u64>) {
        self.count = self
            .count
            .saturating_add(pages.end.saturating_sub(pages.start));
        let room = LISTED_MAX - self.first.len();
        let cells = pages.take(room).map(|page| GridCell {
            slice,
            page: u32::try_from(page).unwrap_or(u32::MAX),
        });
        self.first.extend(cells);
    }

    /// Adds the first `pages` pages of each of `slices`.
    pub(super) fn add_slices(&mut self, slices: Range<u64>, pages: u64) {
        let all = slices.end.saturating_sub(slices.start);
        let count = self.count.saturating_add(all.saturating_mul(pages));
        let mut named = slices;
        while pages > 0
            && self.first.len() < LISTED_MAX
            && let Some(slice) = named.next()
        {
            self.add(slice as u32, 0..pages);
        }
        self.count = count;
    }

    /// These and `others`, in order.
    pub(super) fn and(mut self, others: Cells) -> Cells {
        self.count = self.count.saturating_add(others.count);
        self.first.extend(others.first);
        self.first.sort_unstable();
        self.first.truncate(LISTED_MAX);
        self
    }
}
