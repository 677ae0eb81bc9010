use super::super::made_up::{Story, failed};
use super::*;
use crate::ledger::orders::EndState;
use crate::ledger::outcomes::Status;

const ALL: Window = Window {
    slices: 0..u32::MAX,
    pages: 0..u32::MAX,
};

fn told(fold: &Fold, window: &Window) -> Vec<(u32, u32, Vec<u32>)> {
    let grid = of(fold, window);
    assert_eq!((grid.slices_a_block, grid.pages_a_block), (1, 1));
    let rows = grid.rows.into_iter();
    rows.map(|row| (row.first, row.slices, row.runs)).collect()
}

#[test]
fn every_cell_is_told_by_its_state_and_slices_that_stand_alike_together() {
    let mut story = Story::of(4, 10);
    let fence = story.wave(&[(0, 0, 6, 1)]);
    story.outcome(7, (0, 0), fence, 0, Status::Done);
    story.outcome(7, (0, 1), fence, 1, Status::Done);
    story.outcome(7, (0, 3), fence, 3, failed("busy"));
    let fold = story.fold();
    let mut slice = Vec::new();
    for (state, count) in [(3, 2), (1, 1), (2, 1), (1, 2), (0, 4)] {
        slice.extend([state, count]);
    }
    let wanted = [(0, 1, slice), (1, 3, Vec::from([0, 10]))];
    assert_eq!(told(&fold, &ALL), wanted);
    let window = Window {
        slices: 0..1,
        pages: 2..4,
    };
    assert_eq!(told(&fold, &window), [(0, 1, Vec::from([1, 1, 2, 1]))]);
    // What has no outcome when the run is over will have none.
    story.cancelled();
    story.closed(EndState::Cancelled);
    let wanted = [(0, 1, Vec::from([3, 2, 6, 8])), (1, 3, Vec::from([6, 10]))];
    assert_eq!(told(&story.fold(), &ALL), wanted);
}

fn fragments(slices: u32, pages: u32) -> Vec<(Range<u32>, Vec<Segment>)> {
    let states = [ShardState::Done, ShardState::Issued];
    let row = |slice: u32| {
        let segments = (0..pages).map(|page| Segment {
            pages: page..page + 1,
            state: match (slice, page) {
                (3, 17) => ShardState::Dead,
                _ => states[((page + slice) % 2) as usize],
            },
        });
        (slice..slice + 1, segments.collect())
    };
    (0..slices).map(row).collect()
}

#[test]
fn grid_whose_neighbours_all_differ_takes_no_more_room_and_hides_nothing_that_died() {
    for (slices, pages) in [(10, 100_000), (4_096, 64), (1_000, 1_000)] {
        let (slices_a_block, pages_a_block, rows) = fitting(&fragments(slices, pages), NUMBERS_MAX);
        let numbers: usize = rows.iter().map(|row| row.runs.len() + 2).sum();
        assert!(numbers <= NUMBERS_MAX, "{numbers}");
        assert!(slices_a_block > 1 || pages_a_block > 1);
        let covered: u32 = rows.iter().map(|row| row.slices).sum();
        assert_eq!(covered, slices);
        for row in &rows {
            let blocks: u32 = row.runs.chunks(2).map(|run| run[1]).sum();
            assert_eq!(blocks, pages.div_ceil(pages_a_block));
        }
        let dead = rows
            .iter()
            .filter(|row| row.runs.chunks(2).any(|run| run[0] == 4));
        let dead: Vec<Range<u32>> = dead.map(|row| row.first..row.first + row.slices).collect();
        assert!(dead.len() == 1 && dead[0].contains(&3), "{dead:?}");
    }
}

#[test]
fn block_that_begins_within_a_segment_is_counted_once() {
    let segment = |pages: Range<u32>, state| Segment { pages, state };
    let segments = [
        segment(5..8, ShardState::Done),
        segment(8..9, ShardState::Dead),
        segment(9..30, ShardState::Done),
        segment(30..31, ShardState::Issued),
    ];
    // Blocks of four from page 5 on: 5-8, 9-12, ..., 29-30.
    let wanted = [
        (ShardState::Dead, 1),
        (ShardState::Done, 5),
        (ShardState::Issued, 1),
    ];
    assert_eq!(coarse(&segments, 4), wanted);
}
