use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{Nonce, RunId, Term};
use gridloom_shared::ledger::orders::{Cancelled, Reopened};
use gridloom_shared::tile::Tile;

use super::*;
use crate::observer::Stored;
use crate::oracle::made_up::{
    ANN, BOB, FIRST, SECOND, closed, done, failed, ledger, outcome, taken, wave,
};
use crate::oracle::queue;

fn trace(records: impl IntoIterator<Item = Record>) -> Trace {
    let records = (2..).zip(records);
    Trace::of(&ledger(records.map(|(n, record)| (UnixMs(n), record))))
}

fn breaches(records: impl IntoIterator<Item = Record>) -> Vec<String> {
    let trace = trace(records);
    let all = trace.breaches().iter().cloned().chain(trace.at_the_end());
    all.map(|breach| breach.to_string()).collect()
}

fn finds(records: impl IntoIterator<Item = Record>, what: &str) {
    let found = breaches(records);
    assert!(
        found.iter().any(|breach| breach.contains(what)),
        "{what:?} not in {found:?}"
    );
}

#[test]
fn runs_in_order_with_a_takeover_a_late_success_and_a_retry_are_fine() {
    assert_eq!(
        breaches([wave(0, 0, 2, 1), done((ANN, 1), FIRST, 2), closed()]),
        Vec::<String>::new()
    );
    let late = [
        wave(0, 0, 2, 1),
        taken((BOB, 1), FIRST),
        done((BOB, 2), FIRST, 3),
        done((ANN, 1), FIRST, 2),
        closed(),
    ];
    assert_eq!(breaches(late), Vec::<String>::new());
    let half = outcome((ANN, 1), FIRST, 2, 0, 1, Status::Done);
    let second = outcome((ANN, 3), SECOND, 5, 1, 1, Status::Done);
    let retried = [
        wave(0, 0, 2, 1),
        half,
        failed((ANN, 2), FIRST, 2, 1),
        wave(1, 1, 1, 2),
        second,
        closed(),
    ];
    assert_eq!(breaches(retried), Vec::<String>::new());
}

#[test]
fn append_that_was_repeated_counts_once() {
    let twice = [
        wave(0, 0, 2, 1),
        done((ANN, 1), FIRST, 2),
        done((ANN, 1), FIRST, 2),
        closed(),
    ];
    assert_eq!(breaches(twice), Vec::<String>::new());
}

#[test]
fn shard_issued_twice_or_without_a_failure_is_found() {
    finds([wave(0, 0, 2, 1), wave(1, 1, 1, 1)], "attempt issued twice");
    finds([wave(0, 0, 2, 1), wave(1, 1, 1, 2)], "without a failure");
    let zombie = [
        wave(0, 0, 2, 1),
        taken((BOB, 1), FIRST),
        failed((ANN, 1), FIRST, 2, 1),
        wave(1, 1, 1, 2),
    ];
    finds(zombie, "without a failure");
    let often = [
        wave(0, 0, 2, 1),
        failed((ANN, 1), FIRST, 2, 1),
        wave(1, 1, 1, 3),
    ];
    finds(often, "more often");
}

#[test]
fn lost_cells_and_cells_outside_the_grid_are_found() {
    finds(
        [
            wave(0, 0, 1, 1),
            outcome((ANN, 1), FIRST, 2, 0, 1, Status::Done),
            closed(),
        ],
        "never issued",
    );
    finds(
        [
            wave(0, 0, 2, 1),
            outcome((ANN, 1), FIRST, 2, 0, 1, Status::Done),
            closed(),
        ],
        "no outcome",
    );
    finds(
        [
            wave(0, 0, 3, 1),
            outcome((ANN, 1), FIRST, 2, 0, 3, Status::Done),
            closed(),
        ],
        "outside the grid",
    );
    finds([wave(0, 0, 2, 1), done((ANN, 1), FIRST, 2)], "not closed");
}

#[test]
fn successes_that_nobody_can_explain_are_found() {
    finds(
        [
            wave(0, 0, 2, 1),
            done((ANN, 1), FIRST, 2),
            done((BOB, 1), FIRST, 2),
        ],
        "same fence",
    );
    finds(
        [wave(0, 0, 2, 1), done((ANN, 1), FIRST, 9)],
        "fence that nobody gave",
    );
    finds(
        [
            wave(0, 0, 2, 1),
            taken((BOB, 1), FIRST),
            done((ANN, 1), FIRST, 3),
        ],
        "another worker's takeover",
    );
    finds(
        [wave(0, 0, 2, 1), done((ANN, 1), SECOND, 2)],
        "never issued",
    );
}

#[test]
fn takeover_that_repeats_what_stood_committed_is_found() {
    let repeated = [
        wave(0, 0, 2, 1),
        done((ANN, 1), FIRST, 2),
        taken((BOB, 1), FIRST),
        done((BOB, 2), FIRST, 4),
    ];
    finds(repeated, "committed before the takeover");
}

#[test]
fn waves_out_of_order_and_plans_after_the_end_are_found() {
    finds([wave(1, 0, 2, 1)], "where 0 was due");
    finds([wave(0, 0, 2, 1), wave(0, 0, 2, 1)], "where 1 was due");
    finds(
        [wave(0, 0, 1, 1), closed(), wave(1, 1, 1, 1)],
        "after the run was closed",
    );
}

fn stored(seq: u64, again: bool, fence: u64) -> Stored {
    stored_in(seq, 1, again, fence)
}

fn stored_in(seq: u64, term: u64, again: bool, fence: u64) -> Stored {
    let tile = Tile {
        kind: TileKind::Page,
        run: RunId::new("a_s_1").unwrap(),
        nonce: Nonce(7),
        wave: 0,
        index: 0,
        slice: 0,
        first: 0,
        pages: 2,
        attempt: 1,
        fence: Fence(fence),
        folded: 1,
        opened: 1,
        again,
        bounds: Vec::new(),
        after: None,
        frozen: None,
    };
    Stored { seq, term, tile }
}

#[test]
fn second_copy_on_the_queue_must_be_marked_and_as_decided() {
    let trace = trace([wave(0, 0, 2, 1)]);
    let count = |copies: &[Stored]| queue::stored(&trace, copies, true).len();
    assert_eq!(count(&[stored(1, false, 2), stored(2, true, 2)]), 0);
    assert_eq!(count(&[stored(1, true, 2), stored(2, true, 2)]), 0);
    assert_eq!(count(&[stored(1, false, 2), stored(2, false, 2)]), 1);
    assert_eq!(count(&[stored(1, false, 3)]), 1);
    assert_eq!(count(&[stored_in(1, 2, false, 2)]), 1);
    assert_eq!(count(&[stored_in(1, 2, true, 2)]), 0);
    assert_eq!(count(&[]), 1);
}

#[test]
fn tile_that_left_the_queue_without_its_outcomes_is_found() {
    let half = outcome((ANN, 1), FIRST, 2, 0, 1, Status::Done);
    let open = trace([wave(0, 0, 2, 1), half.clone()]);
    let copies = [stored(5, false, 2)];
    assert_eq!(queue::removed(&open, &copies, &HashSet::from([5])), []);
    assert_eq!(queue::removed(&open, &copies, &HashSet::new()).len(), 1);
    let ended = trace([wave(0, 0, 2, 1), half, failed((ANN, 2), FIRST, 2, 1)]);
    assert_eq!(queue::removed(&ended, &copies, &HashSet::new()), []);
}

fn ordered(record: PlanRecord) -> Record {
    Record::Plan(record)
}

fn cancelled() -> Record {
    ordered(PlanRecord::Cancelled(Cancelled {
        request: 1,
        aborted: None,
        term: Term(1),
    }))
}

fn reopened() -> Record {
    ordered(PlanRecord::Reopened(Reopened {
        request: 2,
        which: Which::All,
        term: Term(1),
    }))
}

#[test]
fn cancelled_run_may_lack_outcomes_and_issues_nothing_more() {
    let fine = breaches([wave(0, 0, 1, 1), cancelled(), closed()]);
    assert!(fine.is_empty(), "{fine:?}");
    let on = [wave(0, 0, 1, 1), cancelled(), wave(1, 1, 1, 1), closed()];
    finds(on, "after the run was cancelled");
    let undone = [
        wave(0, 0, 1, 1),
        cancelled(),
        closed(),
        reopened(),
        closed(),
    ];
    finds(undone, "lost: no outcome");
    finds([cancelled(), reopened()], "while it was being cancelled");
}

#[test]
fn dead_shards_may_be_issued_again_only_after_a_reopening() {
    let place = |wave| TileRef { wave, index: 0 };
    let dead = || {
        vec![
            wave(0, 0, 2, 1),
            outcome((ANN, 0), FIRST, 2, 1, 1, Status::Done),
            failed((ANN, 1), FIRST, 2, 0),
            wave(1, 0, 1, 2),
            failed((ANN, 2), SECOND, 5, 0),
            closed(),
        ]
    };
    let again = |reopening: bool| {
        let mut records = dead();
        records.extend(reopening.then(reopened));
        let fence = records.len() as u64 + 2;
        records.push(wave(2, 0, 1, 3));
        records.push(outcome((ANN, 3), place(2), fence, 0, 1, Status::Done));
        records.push(closed());
        records
    };
    let fine = breaches(again(true));
    assert!(fine.is_empty(), "{fine:?}");
    finds(again(false), "issued more often than its job allows");
}
