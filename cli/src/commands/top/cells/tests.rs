use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{Fence, Nonce, RunId, Session, Term};
use gridloom_shared::job::parse::{self, Format};
use gridloom_shared::ledger::outcomes::{self, Column, Failed, Retry, Status};
use gridloom_shared::ledger::record::{
    Closed, EndState, Opened, PlanRecord, Record, TileRun, Wave, WorkRecord,
};
use gridloom_shared::ledger::summary::RunState;
use gridloom_shared::tile::{TileKind, TileRef};

use super::super::frame::made_up;
use super::*;

fn opened(slices: u32, pages: u32) -> Opened {
    let job = format!(
        "name = \"sum\"\nhandler = \"noop\"\n[grid]\nslices = {slices}\npages = {{ count = {pages} }}\n[retry]\nmax_attempts = 1"
    );
    Opened {
        nonce: Nonce(1),
        job: parse::parse(&job, Format::Toml).unwrap(),
        scheduled_at: UnixMs(0),
        content: 0,
        term: Term(1),
        first: Vec::new(),
        traceparent: None,
        reports: 1,
    }
}

/// A run of `slices` by `pages`, one attempt each, of which one wave has issued the first `issued` pages of each slice. Of
/// slice 0 these pages are done, and these dead.
fn fold((slices, pages): (u32, u32), issued: u32, done: &[u32], dead: &[u32]) -> Fold {
    let opened = opened(slices, pages);
    let tiles = (0..slices).map(|slice| TileRun {
        kind: TileKind::Page,
        slice,
        first: 0,
        pages: 1,
        tiles: issued,
        attempt: 1,
        bounds: Vec::new(),
        after: None,
    });
    let wave = Wave {
        n: 0,
        folded: 0,
        term: Term(1),
        tiles: tiles.collect(),
    };
    let mut records = vec![
        Record::Plan(PlanRecord::Opened(Box::new(opened))),
        Record::Plan(PlanRecord::Wave(wave)),
    ];
    let failed = || {
        Status::Failed(Failed {
            error: "busy".into(),
            retry: Retry::Backoff,
        })
    };
    let all = done.iter().map(|page| (*page, Status::Done));
    let all = all.chain(dead.iter().map(|page| (*page, failed())));
    for (number, (page, status)) in (1..).zip(all) {
        let columns = match &status {
            Status::Done => vec![Column::of("rows", [1])],
            Status::Failed(_) => Vec::new(),
        };
        let entry = outcomes::Entry {
            tile: TileRef {
                wave: 0,
                index: page,
            },
            kind: TileKind::Page,
            fence: Fence(2),
            slice: 0,
            first: page,
            pages: 1,
            status,
            columns,
            results: Vec::new(),
        };
        records.push(Record::Work(WorkRecord::Outcomes {
            session: Session(7),
            number,
            block: outcomes::encode([&entry]).into(),
        }));
    }
    let mut fold = Fold::new(RunId::new("sum_s_1").unwrap());
    for (sequence, record) in (1..).zip(&records) {
        fold.apply(sequence, UnixMs(sequence * 1_000), record);
    }
    fold
}

fn marks(blocks: &[Block]) -> String {
    let sign = |block: &Block| match block.mark() {
        Mark::Dead => 'X',
        Mark::Retrying => 'r',
        Mark::Done => '#',
        Mark::InFlight => '+',
        Mark::Part => '=',
        Mark::GivenUp => '-',
        Mark::Cancelled => '/',
        Mark::NotIssued => '.',
    };
    blocks.iter().map(sign).collect()
}

#[test]
fn grid_that_has_room_is_shown_cell_by_cell() {
    let fold = fold((2, 6), 4, &[0, 1], &[3]);
    let cells = Cells::of(&fold, (10, 40));
    assert_eq!((cells.slices_a_row, cells.pages_a_column), (1, 1));
    let rows: Vec<String> = cells.rows.iter().map(|row| marks(row)).collect();
    assert_eq!(rows, ["##+X..", "++++.."]);
}

#[test]
fn grid_that_has_none_is_shown_in_blocks_and_hides_nothing_that_died() {
    let done: Vec<u32> = (0..50).collect();
    let fold = fold((4, 100), 60, &done, &[57]);
    let cells = Cells::of(&fold, (2, 12));
    assert_eq!((cells.slices_a_row, cells.pages_a_column), (2, 9));
    let all: u64 = cells.rows.iter().flatten().map(|block| block.cells).sum();
    assert_eq!(all, 400);
    let rows: Vec<String> = cells.rows.iter().map(|row| marks(row)).collect();
    assert_eq!(rows, ["++++++X.....", "+++++++....."]);
    // Of a single slice blocks are done.
    let one = fold_of_one();
    assert_eq!(marks(&Cells::strip(&one, 10)), "#####+....");
}

fn fold_of_one() -> Fold {
    let done: Vec<u32> = (0..50).collect();
    fold((1, 100), 60, &done, &[])
}

#[test]
fn strip_goes_along_the_longer_side_and_is_no_longer_than_that() {
    let wide = fold((2, 5), 5, &[0], &[]);
    assert_eq!(Cells::strip(&wide, 20).len(), 5);
    let deep = fold((30, 1), 1, &[0], &[]);
    let strip = Cells::strip(&deep, 20);
    assert_eq!(strip.len(), 15);
    assert!(marks(&strip).starts_with('+'), "{}", marks(&strip));
}

#[test]
fn nothing_is_shown_of_a_grid_that_is_not_known_and_no_room_is_no_panic() {
    let empty = Fold::new(RunId::new("sum_s_1").unwrap());
    assert!(Cells::of(&empty, (3, 3)).rows.is_empty());
    let fold = fold((2, 6), 4, &[0], &[]);
    assert_eq!(Cells::of(&fold, (0, 0)).rows.len(), 1);
}

#[test]
fn what_is_over_is_cancelled_where_it_has_no_outcome() {
    let mut fold = fold((1, 4), 2, &[0], &[]);
    let closed = Record::Plan(PlanRecord::Closed(Closed {
        state: EndState::Cancelled,
        error: None,
        dead: 0,
        term: Term(1),
    }));
    fold.apply(99, UnixMs(99_000), &closed);
    assert_eq!(marks(&Cells::strip(&fold, 9)), "#///");
}

#[test]
fn row_made_of_numbers_is_as_long_as_it_may_be_and_shows_a_single_dead_shard() {
    let mut run = made_up::run("sum_s_1", (1_000, 500, 1));
    assert_eq!(marks(&of_numbers(&run.summary, 10)), "#####X....");
    run.summary.state = RunState::Cancelled;
    assert_eq!(marks(&of_numbers(&run.summary, 10)), "#####X////");
    let small = made_up::run("sum_s_1", (3, 3, 0));
    assert_eq!(marks(&of_numbers(&small.summary, 10)), "###");
    let all_dead = made_up::run("sum_s_1", (4, 0, 4));
    assert_eq!(marks(&of_numbers(&all_dead.summary, 10)), "XXXX");
}
