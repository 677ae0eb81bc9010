use super::super::made_up::{Story, failed};
use super::*;
use crate::id::RunId;
use crate::ledger::orders::EndState;
use crate::ledger::outcomes::Status;
use crate::reads::grid::{self, Window};

const ALL: Window = Window {
    slices: 0..u32::MAX,
    pages: 0..u32::MAX,
};

/// What somebody sees who is told of changes: the state of each cell.
type Seen = Vec<Vec<u32>>;

fn whole(fold: &Fold) -> Seen {
    let grid = grid::of(fold, &ALL);
    assert_eq!((grid.slices_a_block, grid.pages_a_block), (1, 1));
    let rows = grid.rows.iter();
    let slices = rows.flat_map(|row| std::iter::repeat_n(cells(&row.runs), row.slices as usize));
    slices.collect()
}

fn cells(runs: &[u32]) -> Vec<u32> {
    let runs = runs.chunks(2);
    runs.flat_map(|run| std::iter::repeat_n(run[0], run[1] as usize))
        .collect()
}

fn patch(seen: &mut Seen, told: &Cells) {
    seen.resize(told.slices as usize, Vec::new());
    for row in told.rows.as_ref().unwrap() {
        let states = cells(&row.runs);
        for slice in row.first..row.first + row.slices {
            let pages = &mut seen[slice as usize];
            pages.resize(row.pages as usize, 0);
            let from = row.page as usize;
            pages[from..from + states.len()].copy_from_slice(&states);
        }
    }
}

fn story() -> Story {
    let mut story = Story::of(3, 8);
    let fence = story.wave(&[(0, 0, 4, 1), (1, 0, 2, 1)]);
    story.outcome(7, (0, 0), fence, 0, Status::Done);
    story.outcome(7, (0, 1), fence, 1, failed("busy"));
    let retry = story.wave(&[(0, 1, 1, 2), (2, 3, 5, 1)]);
    story.outcome(7, (1, 0), retry, 1, failed("busy"));
    story.outcome(8, (0, 2), fence, 2, Status::Done);
    story.outcome(8, (1, 0), retry, 1, Status::Done);
    story.cancelled();
    story.closed(EndState::Cancelled);
    story
}

fn changes() -> Changes {
    let run = RunId::new("sum_s_1").unwrap();
    Changes::of(Fold::new(run), Marks::default())
}

#[test]
fn whoever_is_told_of_changes_from_any_place_to_any_other_sees_what_is_there() {
    let story = story();
    let end = story.entries.len();
    for from in 1..=end {
        for to in from..=end {
            let mut changes = changes();
            story.entries[..from]
                .iter()
                .for_each(|entry| changes.take(entry));
            let mut seen = whole(changes.fold());
            story.entries[from..to]
                .iter()
                .for_each(|entry| changes.take(entry));
            // From where it was seen, or from a little before that.
            for since in [from.saturating_sub(1).max(1), from] {
                let told = changes.since(since as u64).unwrap();
                patch(&mut seen, &told);
                assert_eq!(seen, whole(changes.fold()), "{since} of {from} to {to}");
            }
        }
    }
}

#[test]
fn a_wave_is_told_by_the_cells_that_it_issues_alone() {
    let story = story();
    let mut changes = changes();
    story.entries[..2]
        .iter()
        .for_each(|entry| changes.take(entry));
    let row = |first, pages| ChangedRows {
        first,
        slices: 1,
        pages: 8,
        page: 0,
        runs: vec![1, pages],
    };
    let told = changes.since(1).unwrap();
    assert_eq!(told.rows, Some(vec![row(0, 4), row(1, 2)]));
    assert!(changes.is_changed_since(1) && !changes.is_changed_since(2));
    assert_eq!(changes.since(2).unwrap().rows, Some(Vec::new()));
}

#[test]
fn what_was_before_the_run_was_opened_is_of_another() {
    let story = story();
    let mut changes = changes();
    story.entries.iter().for_each(|entry| changes.take(entry));
    assert!(changes.since(0).is_none() && changes.since(1).is_some());
}

#[test]
fn very_many_changes_are_kept_more_roughly_and_hide_nothing() {
    let mut marks = Marks::default();
    let one = |n: u32| Touched {
        slices: n % 1_000..n % 1_000 + 1,
        // No two are neighbours.
        pages: n / 1_000 * 2..n / 1_000 * 2 + 1,
    };
    let many = 4 * MARKS_MAX as u32;
    for n in 0..many {
        marks.push(u64::from(n) + 1, one(n));
    }
    assert!(marks.kept.len() <= MARKS_MAX);
    let sequences: Vec<u64> = marks.kept.iter().map(|mark| mark.sequence).collect();
    assert!(sequences.is_sorted());
    for since in [marks.floor, u64::from(many) / 2, u64::from(many) - 10] {
        let told = marks.since(since, 1_000);
        for n in since as u32..many {
            let cells = one(n);
            let pages = &told[&cells.slices.start];
            assert!(
                pages.start <= cells.pages.start && cells.pages.end <= pages.end,
                "{n}"
            );
        }
    }
    // All slices are kept: of so few nothing is forgotten.
    assert_eq!(marks.floor, 0);
}

#[test]
fn more_than_fits_is_not_told_cell_by_cell() {
    let slices = 2_000;
    let mut story = Story::of(slices, 4);
    let tiles: Vec<_> = (0..slices).map(|slice| (slice, slice % 3, 1, 1)).collect();
    for some in tiles.chunks(1_000) {
        story.wave(some);
    }
    let mut changes = changes();
    story.entries.iter().for_each(|entry| changes.take(entry));
    assert_eq!(changes.since(1).unwrap().rows, None);
    let told = changes.since(2).unwrap().rows.unwrap();
    assert_eq!(told.len(), 1_000);
}
