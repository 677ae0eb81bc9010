use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::id::{JobName, Nonce, Session, Term};
use crate::job::PagesSpec;
use crate::ledger::audit::Audit;
use crate::ledger::orders::{Dropped, Reopened, Which};
use crate::ledger::outcomes::{Column, Entry, Failed, Retry, Status};
use crate::ledger::record::{EndState, Probed, Reason, Takeover, TileRun, Wave};
use crate::tile::{Bounds, Key, TileKind};

mod any;
mod bombs;
mod chosen;
mod opened;

use opened::opened;

const SLICES: u32 = 2;
const PAGES: u32 = 6;
const ATTEMPTS: u32 = 2;

fn tiles(slice: u32, first: u32, pages: u32, tiles: u32, attempt: u32) -> TileRun {
    TileRun {
        kind: TileKind::Page,
        slice,
        first,
        pages,
        tiles,
        attempt,
        bounds: vec![],
        after: None,
    }
}

fn wave(n: u32, tiles: Vec<TileRun>) -> Record {
    Record::Plan(PlanRecord::Wave(Wave {
        n,
        folded: 0,
        term: Term(1),
        tiles,
    }))
}

fn entry(
    place: (u32, u32),
    fence: u64,
    slice: u32,
    first: u32,
    pages: u32,
    status: Status,
) -> Entry {
    // A shard's counter follows from the shard alone, as that of a deterministic handler does.
    let value = |page: u32| i64::from(slice * 100 + page + 1);
    let columns = match &status {
        Status::Done => vec![Column::of("rows", (first..first + pages).map(value))],
        Status::Failed(_) => Vec::new(),
    };
    Entry {
        tile: TileRef {
            wave: place.0,
            index: place.1,
        },
        kind: TileKind::Page,
        fence: Fence(fence),
        slice,
        first,
        pages,
        status,
        columns,
        results: Vec::new(),
    }
}

fn outcome(session: u64, number: u64, entries: &[Entry]) -> Record {
    Record::Work(WorkRecord::Outcomes {
        session: Session(session),
        number,
        block: outcomes::encode(entries).into(),
    })
}

fn failure(retry: Retry) -> Status {
    Status::Failed(Failed {
        error: "broken".into(),
        retry,
    })
}

fn takeover(session: u64, number: u64, place: (u32, u32)) -> Record {
    let tiles = vec![TileRef {
        wave: place.0,
        index: place.1,
    }];
    Record::Takeover(Takeover {
        session: Session(session),
        number,
        tiles,
        reason: Reason::Count,
    })
}

/// The holder of an open tile announces its first page that is left.
fn started(session: u64, number: u64, place: TileRef, tile: &OpenTile) -> Record {
    Record::Work(WorkRecord::Started {
        session: Session(session),
        number,
        tile: place,
        page: tile.left.iter().next().map_or(0, |left| left.start) as u32,
        fence: tile.fence,
    })
}

fn returned(session: u64, number: u64, place: TileRef) -> Record {
    Record::Work(WorkRecord::Returned {
        session: Session(session),
        number,
        tiles: vec![place],
    })
}

fn page_cell(slice: u32, page: u32) -> Cell {
    Cell {
        kind: TileKind::Page,
        slice,
        page,
    }
}

fn cancelled(request: u64) -> Record {
    Record::Plan(PlanRecord::Cancelled(Cancelled {
        request,
        aborted: None,
        term: Term(1),
    }))
}

fn reopened(request: u64, which: Which) -> Record {
    Record::Plan(PlanRecord::Reopened(Reopened {
        request,
        which,
        term: Term(1),
    }))
}

fn dropped(request: u64, which: Which) -> Record {
    Record::Plan(PlanRecord::Dropped(Dropped {
        request,
        which,
        closed: false,
        left: 0,
        term: Term(1),
    }))
}

fn closed() -> Record {
    Record::Plan(PlanRecord::Closed(Closed {
        state: EndState::Failed,
        error: None,
        dead: 0,
        term: Term(1),
    }))
}

fn folded(records: &[Record]) -> Fold {
    let mut fold = Fold::new(RunId::new("sum_s_1").unwrap());
    for (sequence, record) in (1..).zip(records) {
        fold.apply(sequence, UnixMs(sequence * 1_000), record);
    }
    fold
}

/// A shard that failed: attempts, when the next is due (or `None`: it is dead, or an attempt is under way),
/// its error, whether it is dead, and given up.
type Failing = (u32, Option<UnixMs>, String, bool, bool);

fn failed(fold: &Fold) -> BTreeMap<Cell, Failing> {
    let waiting = fold.waiting().iter().map(|(cell, failed)| {
        let due = match failed.next {
            Next::Due(due) => Some(due),
            Next::Issued(_) => None,
        };
        let error = fold.error_of(failed).to_owned();
        (*cell, (failed.attempts, due, error, false, false))
    });
    let again = fold.again.iter().flat_map(|(first, pages, grave)| {
        pages.map(move |page| {
            let error = fold.errors.text(grave.error).to_owned();
            let failing = (grave.attempts, Some(grave.at), error, false, false);
            (Cell { page, ..first }, failing)
        })
    });
    let dead = fold.dead().map(|dead| {
        let failing = (
            dead.attempts,
            None,
            dead.error.to_owned(),
            true,
            dead.dropped,
        );
        (dead.cell, failing)
    });
    waiting.chain(again).chain(dead).collect()
}

/// What counts: done pages a slice, failed cells, sums.
type Counted = (Vec<Ranges>, BTreeMap<Cell, Failing>, BTreeMap<String, i128>);

fn outcomes_of(fold: &Fold) -> Counted {
    let done = (0..fold.slices())
        .map(|slice| fold.slices.done(slice))
        .collect();
    (done, failed(fold), fold.counters().clone())
}

fn whole_grid() -> Vec<Record> {
    let count = PagesSpec::Count { count: PAGES };
    vec![
        opened(count),
        wave(0, vec![tiles(0, 0, 2, 3, 1), tiles(1, 0, 3, 2, 1)]),
    ]
}

#[test]
fn run_is_complete_when_every_cell_has_its_success() {
    let mut records = whole_grid();
    records.push(outcome(
        1,
        0,
        &[
            entry((0, 0), 2, 0, 0, 2, Status::Done),
            entry((0, 1), 2, 0, 2, 2, Status::Done),
        ],
    ));
    assert!(folded(&records).all_issued() && !folded(&records).complete());
    records.push(outcome(
        2,
        0,
        &[
            entry((0, 2), 2, 0, 4, 2, Status::Done),
            entry((0, 3), 2, 1, 0, 3, Status::Done),
        ],
    ));
    records.push(outcome(2, 1, &[entry((0, 4), 2, 1, 3, 3, Status::Done)]));
    let fold = folded(&records);
    assert!(fold.complete());
    assert_eq!((fold.counts().done, fold.counts().tiles_closed), (12, 5));
    assert_eq!(
        fold.counters()["rows"],
        (1..=6).sum::<i128>() + (101..=106).sum::<i128>()
    );
}

#[test]
fn failure_of_a_holder_that_was_taken_over_does_not_count() {
    let mut records = whole_grid();
    records.push(takeover(2, 0, (0, 0)));
    records.push(outcome(
        1,
        0,
        &[entry((0, 0), 2, 0, 0, 2, failure(Retry::Backoff))],
    ));
    assert!(failed(&folded(&records)).is_empty());
    records.push(outcome(
        2,
        1,
        &[entry((0, 0), 3, 0, 0, 2, failure(Retry::Backoff))],
    ));
    let fold = folded(&records);
    assert_eq!(fold.retries().len(), 2);
    assert_eq!(fold.retries().first().unwrap().0, UnixMs(5_000 + 100));
}

#[test]
fn shard_that_four_announced_and_died_of_is_dead_and_its_tile_goes_on() {
    let mut records = whole_grid();
    let place = TileRef { wave: 0, index: 0 };
    records.push(takeover(1, 0, (0, 0)));
    for session in 1..5 {
        let fold = folded(&records);
        assert_eq!(fold.counts().dead, 0);
        records.push(started(session, 1, place, &fold.open_tiles()[&place]));
        records.push(takeover(session + 1, 0, (0, 0)));
    }
    let fold = folded(&records);
    assert_eq!((fold.counts().dead, fold.retries().len()), (1, 0));
    assert!(fold.dead().all(|dead| dead.error.starts_with("crashed")));
    assert_eq!(fold.open_tiles()[&place].left, Ranges::of(1..2));
}

#[test]
fn late_success_of_a_deposed_holder_counts_even_after_the_attempts_are_used_up() {
    let mut records = whole_grid();
    records.push(takeover(2, 0, (0, 0)));
    records.push(outcome(
        2,
        1,
        &[entry((0, 0), 3, 0, 0, 1, failure(Retry::Never))],
    ));
    assert_eq!(folded(&records).counts().dead, 1);
    records.push(outcome(1, 0, &[entry((0, 0), 2, 0, 0, 1, Status::Done)]));
    let fold = folded(&records);
    assert_eq!((fold.counts().dead, fold.counts().done), (0, 1));
}

#[test]
fn success_calls_off_the_attempt_that_was_issued_meanwhile() {
    let mut records = whole_grid();
    records.push(outcome(
        1,
        0,
        &[entry((0, 0), 2, 0, 0, 1, failure(Retry::Backoff))],
    ));
    records.push(wave(1, vec![tiles(0, 0, 1, 1, 2)]));
    assert_eq!(folded(&records).open_tiles().len(), 6);
    records.push(outcome(3, 0, &[entry((0, 0), 2, 0, 0, 1, Status::Done)]));
    let fold = folded(&records);
    assert_eq!((fold.open_tiles().len(), fold.counts().retried), (5, 1));
    records.push(outcome(4, 0, &[entry((1, 0), 4, 0, 0, 1, Status::Done)]));
    assert_eq!(folded(&records).counts().late, 1);
}

#[test]
fn retry_decided_before_a_success_and_recorded_after_it_is_closed_at_once() {
    let mut records = whole_grid();
    records.push(outcome(
        1,
        0,
        &[entry((0, 0), 2, 0, 0, 1, failure(Retry::Backoff))],
    ));
    records.push(outcome(3, 0, &[entry((0, 0), 2, 0, 0, 1, Status::Done)]));
    records.push(wave(1, vec![tiles(0, 0, 1, 1, 2)]));
    assert!(
        !folded(&records)
            .open_tiles()
            .contains_key(&TileRef { wave: 1, index: 0 })
    );
}

#[test]
fn what_was_never_issued_changes_nothing_and_is_counted() {
    let mut records = whole_grid();
    records.push(outcome(1, 0, &[entry((0, 0), 2, 0, 0, 9, Status::Done)])); // 6 and up do not exist
    records.push(outcome(1, 1, &[entry((0, 0), 0, 0, 0, 1, Status::Done)])); // fence below `opened`
    records.push(outcome(1, 2, &[entry((0, 4), 2, 0, 0, 1, Status::Done)])); // late, and of another slice's tile
    records.push(outcome(1, 3, &[entry((0, 0), 2, 9, 0, 1, Status::Done)])); // no such slice
    records.push(takeover(1, 4, (7, 0)));
    let fold = folded(&records);
    assert_eq!(
        (
            fold.counts().unexpected,
            fold.counts().done,
            fold.counts().late
        ),
        (6, 6, 1)
    );
}

#[test]
fn probes_tell_the_pages_and_the_end_of_a_slice() {
    let probe = |slice, probe, after| TileRun {
        kind: TileKind::Probe,
        after,
        ..tiles(slice, probe, 1, 1, 1)
    };
    let bounds = |n: i64| Bounds(Key::Int(n), Key::Int(n + 9));
    let probed = |number, index, wave, probe, pages, cursor| {
        Record::Work(WorkRecord::Probed(Probed {
            session: Session(1),
            number,
            tile: TileRef { wave, index },
            fence: Fence(2),
            slice: index,
            probe,
            pages,
            cursor,
        }))
    };
    let mut records = vec![
        opened(PagesSpec::Probe),
        wave(0, vec![probe(0, 0, None), probe(1, 0, None)]),
    ];
    records.push(probed(0, 0, 0, 0, vec![bounds(0)], Some(Key::Int(9))));
    records.push(probed(1, 1, 0, 0, vec![], None));
    let fold = folded(&records);
    assert_eq!(fold.frontier(1).end(), Some(0));
    assert_eq!(fold.frontier(0).question(), Some((1, Some(Key::Int(9)))));
    records.push(wave(
        1,
        vec![
            TileRun {
                bounds: vec![bounds(0)],
                ..tiles(0, 0, 1, 1, 1)
            },
            probe(0, 1, Some(Key::Int(9))),
        ],
    ));
    let fold = folded(&records);
    assert_eq!(
        (fold.frontier(0).question(), fold.frontier(0).ready().len()),
        (None, 0)
    );
    let last = Probed {
        session: Session(1),
        number: 2,
        tile: TileRef { wave: 1, index: 1 },
        fence: Fence(5),
        slice: 0,
        probe: 1,
        pages: vec![bounds(10)],
        cursor: None,
    };
    records.push(Record::Work(WorkRecord::Probed(last)));
    assert!(!folded(&records).all_issued());
    records.push(wave(
        2,
        vec![TileRun {
            bounds: vec![bounds(10)],
            ..tiles(0, 1, 1, 1, 1)
        }],
    ));
    records.push(outcome(
        1,
        3,
        &[
            entry((1, 0), 5, 0, 0, 1, Status::Done),
            entry((2, 0), 7, 0, 1, 1, Status::Done),
        ],
    ));
    assert!(folded(&records).complete());
}

#[test]
fn hold_uses_up_no_attempt_however_often_it_is_asked_for() {
    let mut records = whole_grid();
    let hold = |ms| failure(Retry::Hold(ms));
    for n in 0..20_u32 {
        let fence = records.len() as u64;
        let at = (records.len() as u64 + 1) * 1_000;
        records.push(outcome(
            1,
            n.into(),
            &[entry((n, 0), fence, 0, 0, 1, hold(5_000))],
        ));
        let fold = folded(&records);
        assert_eq!((fold.counts().dead, fold.counts().failures), (0, 0));
        assert_eq!(fold.counts().held, u64::from(n) + 1);
        assert_eq!(fold.hold_until(), Some(UnixMs(at + 5_000)));
        let failed = &fold.waiting()[&page_cell(0, 0)];
        assert_eq!(
            (failed.next, failed.attempts),
            (Next::Due(UnixMs(at + 5_000)), n + 1)
        );
        records.push(wave(n + 1, vec![tiles(0, 0, 1, 1, n + 2)]));
    }
    for n in [20, 21] {
        assert_eq!(folded(&records).counts().dead, 0);
        let fence = records.len() as u64;
        let failed = failure(Retry::Backoff);
        records.push(outcome(
            1,
            n.into(),
            &[entry((n, 0), fence, 0, 0, 1, failed)],
        ));
        // The wait is that of the first failure.
        let due = UnixMs(records.len() as u64 * 1_000 + 100);
        if n == 20 {
            assert_eq!(
                folded(&records).retries().first(),
                Some(&(due, page_cell(0, 0)))
            );
        }
        records.push(wave(n + 1, vec![tiles(0, 0, 1, 1, n + 2)]));
    }
    records.pop();
    assert_eq!(folded(&records).counts().dead, 1);
}

#[test]
fn hold_ends_with_the_latest_and_one_that_does_not_count_holds_nothing() {
    let mut records = whole_grid();
    let hold = |ms| failure(Retry::Hold(ms));
    records.push(outcome(1, 0, &[entry((0, 0), 2, 0, 0, 1, hold(9_000))])); // at 3 s
    records.push(outcome(1, 1, &[entry((0, 0), 2, 0, 1, 1, hold(1_000))]));
    assert_eq!(folded(&records).hold_until(), Some(UnixMs(12_000)));
    records.push(takeover(2, 0, (0, 1)));
    records.push(outcome(1, 2, &[entry((0, 1), 2, 0, 2, 1, hold(90_000))]));
    assert_eq!(folded(&records).hold_until(), Some(UnixMs(12_000)));
    assert_eq!(folded(&records).counts().held, 2);
}

#[test]
fn no_wait_that_a_handler_asks_for_is_longer_than_thirty_days() {
    for (retry, wait) in [
        (Retry::AfterMs(u64::MAX), crate::limits::WAIT_MAX),
        (Retry::Hold(u64::MAX), crate::limits::WAIT_MAX),
        (Retry::Hold(0), crate::limits::HOLD_MIN),
        (Retry::AfterMs(0), Duration::ZERO),
    ] {
        let mut records = whole_grid();
        records.push(outcome(1, 0, &[entry((0, 0), 2, 0, 0, 1, failure(retry))]));
        let fold = folded(&records);
        let due = fold.retries().first().unwrap().0;
        assert_eq!(due, UnixMs(3_000) + wait, "{retry:?}");
    }
}

#[test]
fn sums_beyond_64_bits_are_exact() {
    let mut records = whole_grid();
    let mut done = entry((0, 0), 2, 0, 0, 2, Status::Done);
    done.columns = vec![Column::of("rows", [i64::MAX, i64::MAX])];
    let mut more = entry((0, 1), 2, 0, 2, 2, Status::Done);
    more.columns = vec![Column::of("rows", [i64::MAX, 5])];
    records.extend([outcome(1, 0, &[done]), outcome(1, 1, &[more])]);
    assert_eq!(
        folded(&records).counters()["rows"],
        3 * i128::from(i64::MAX) + 5
    );
}

#[test]
fn reopened_shard_has_all_of_its_attempts_again_numbered_on() {
    let mut records = whole_grid();
    let dead = [entry((0, 0), 2, 0, 0, 1, failure(Retry::Never))];
    records.extend([outcome(1, 0, &dead), closed()]);
    assert_eq!(folded(&records).dead_lately(), 1);
    records.push(reopened(9, Which::All)); // at 5
    let fold = folded(&records);
    assert!(fold.closing().is_none());
    assert_eq!((fold.counts().dead, fold.dead_lately()), (0, 0));
    let due: Vec<_> = fold.due(UnixMs(5_000)).collect();
    assert_eq!((due[0].cell, due[0].attempts), (page_cell(0, 0), 1));
    assert_eq!(fold.due(UnixMs(4_999)).count(), 0);
    assert_eq!((due.len(), fold.next_retry()), (1, Some(UnixMs(5_000))));
    for attempt in 2..=3 {
        let n = attempt - 1;
        let fence = records.len() as u64 + 1;
        records.push(wave(n, vec![tiles(0, 0, 1, 1, attempt)]));
        let again = entry((n, 0), fence, 0, 0, 1, failure(Retry::Backoff));
        records.push(outcome(1, u64::from(attempt), &[again]));
        let dead = u64::from(attempt == 3);
        assert_eq!(
            folded(&records).counts().dead,
            dead,
            "after attempt {attempt}"
        );
    }
}

#[test]
fn reopening_twice_changes_nothing_the_second_time() {
    let mut records = whole_grid();
    let dead = [entry((0, 0), 2, 0, 0, 2, failure(Retry::Never))];
    records.extend([outcome(1, 0, &dead), reopened(1, Which::All)]);
    let once = outcomes_of(&folded(&records));
    records.push(reopened(2, Which::All));
    assert_eq!(outcomes_of(&folded(&records)), once);
}

#[test]
fn outcomes_that_come_after_a_cancellation_count_as_always() {
    let mut records = whole_grid();
    records.push(cancelled(4));
    let done = [entry((0, 0), 2, 0, 0, 2, Status::Done)];
    records.extend([outcome(1, 0, &done), closed()]);
    let fold = folded(&records);
    assert_eq!(fold.counts().done, 2);
    assert!(fold.cancelled().is_some() && fold.closing().is_some());
    records.push(reopened(5, Which::All));
    let fold = folded(&records);
    assert!(fold.cancelled().is_none() && fold.closing().is_none() && !fold.complete());
}

#[test]
fn closing_is_remembered() {
    let mut records = whole_grid();
    let closed = Closed {
        state: EndState::Failed,
        error: Some("x".into()),
        dead: 2,
        term: Term(1),
    };
    records.push(Record::Plan(PlanRecord::Closed(closed.clone())));
    assert_eq!(folded(&records).closing(), Some(&(UnixMs(3_000), closed)));
}
