use std::sync::Arc;

use gridloom_shared::command::{Answer, Command, Verb};
use gridloom_shared::id::{Fence, HandlerName, JobName, Nonce, RunId, Session};
use gridloom_shared::job::{
    AbortAfter, Backoff, GridSpec, JobSpec, LimitsSpec, PagesSpec, RetrySpec,
};
use gridloom_shared::ledger::fold::Cell;
use gridloom_shared::ledger::outcomes::{self, Entry, Failed, Retry, Status};
use gridloom_shared::ledger::record::{
    Author, EndState, Opened, PlanRecord, Probed, Record, TileRun, WorkRecord,
};
use gridloom_shared::tile::{Bounds, Key, TileKind, TileRef};

use gridloom_shared::ledger::orders::{Reopened, Which};

use super::order::{Judged, judge};
use super::*;

const TERM: Term = Term(3);

/// A run with its own ledger: what the planner decides is written there, and folded.
struct Script {
    run: Run,
    sequence: u64,
    number: u64,
}

impl Script {
    fn new(slices: u32, pages: PagesSpec, tile: Option<u32>) -> Script {
        let job = JobSpec {
            name: JobName::new("sum").unwrap(),
            handler: HandlerName::new("noop").unwrap(),
            queue: QueueName::new("default").unwrap(),
            grid: GridSpec {
                slices,
                pages,
                tile,
            },
            retry: RetrySpec {
                max_attempts: 2,
                backoff: Backoff {
                    initial_ms: 100,
                    factor: 1.0,
                    max_ms: 100,
                    jitter: 0.0,
                },
            },
            limits: LimitsSpec::default(),
            params: serde_json::json!({}),
        };
        let opened = Opened {
            nonce: Nonce(1),
            job,
            scheduled_at: UnixMs(0),
            content: 0,
            term: TERM,
        };
        let mut fold = Fold::new(RunId::new("sum_s_1").unwrap());
        fold.apply(
            1,
            UnixMs(0),
            &Record::Plan(PlanRecord::Opened(Box::new(opened))),
        );
        Script {
            run: Run::new(fold).unwrap(),
            sequence: 1,
            number: 0,
        }
    }

    /// The same run with a limit of dead shards.
    fn limit(&mut self, limit: AbortAfter) {
        let mut opened = (*self.run.fold().opening().unwrap().record).clone();
        opened.job.limits.abort_after = Some(limit);
        let mut fold = Fold::new(self.run.fold().run().clone());
        let record = Record::Plan(PlanRecord::Opened(Box::new(opened)));
        fold.apply(1, UnixMs(0), &record);
        self.run = Run::new(fold).unwrap();
    }

    fn write(&mut self, record: &Record) {
        self.sequence += 1;
        let entry = crate::entry::Entry {
            sequence: self.sequence,
            at: UnixMs(self.sequence),
            queue: self.run.queue().clone(),
            run: self.run.fold().run().clone(),
            author: Author::Plan,
            record: Ok(record.clone()),
        };
        self.run.read(&entry, TERM);
    }

    fn step(&mut self, room: usize, now: u64) -> Option<Action> {
        self.run.step(tiles(room), self.sequence, TERM, UnixMs(now))
    }

    /// Lets the run decide a wave, and writes and publishes it.
    fn wave(&mut self, room: usize, now: u64) -> Vec<TileRun> {
        let Some(Action::Decide { wave, expected }) = self.step(room, now) else {
            return Vec::new();
        };
        assert_eq!(expected, self.run.fold().last_plan());
        let tiles = wave.tiles.clone();
        self.write(&Record::Plan(PlanRecord::Wave(Arc::unwrap_or_clone(wave))));
        self.run.take(Event::Decided);
        self.run.take(Event::Published);
        tiles
    }

    fn outcome(&mut self, place: TileRef, first: u32, pages: u32, status: Status) {
        let tile = &self.run.fold().open_tiles()[&place];
        let entry = Entry {
            tile: place,
            kind: tile.kind,
            fence: tile.fence,
            slice: tile.slice,
            first,
            pages,
            status,
            columns: Vec::new(),
            results: Vec::new(),
        };
        self.number += 1;
        let block = outcomes::encode(&[entry]).into();
        self.write(&Record::Work(WorkRecord::Outcomes {
            session: Session(1),
            number: self.number,
            block,
        }));
    }

    fn finish_all(&mut self) {
        let open: Vec<_> = self
            .run
            .fold
            .open_tiles()
            .iter()
            .map(|(place, tile)| (*place, tile.left.clone()))
            .collect();
        for (place, left) in open {
            for part in left.iter() {
                self.outcome(
                    place,
                    part.start as u32,
                    (part.end - part.start) as u32,
                    Status::Done,
                );
            }
        }
    }
}

fn tiles(tiles: usize) -> Room {
    Room { tiles, pages: 1 }
}

fn place(wave: u32, index: u32) -> TileRef {
    TileRef { wave, index }
}

fn cells(tiles: &[TileRun]) -> Vec<(u32, u32, u32, u32, u32)> {
    tiles
        .iter()
        .map(|run| (run.slice, run.first, run.pages, run.tiles, run.attempt))
        .collect()
}

#[test]
fn pages_are_issued_within_the_room_and_each_once() {
    let mut script = Script::new(2, PagesSpec::Count { count: 5 }, Some(2));
    assert_eq!(cells(&script.wave(2, 0)), [(0, 0, 2, 2, 1)]);
    assert_eq!(
        cells(&script.wave(2, 0)),
        [(0, 4, 1, 1, 1), (1, 0, 2, 1, 1)]
    );
    assert_eq!(
        cells(&script.wave(9, 0)),
        [(1, 2, 2, 1, 1), (1, 4, 1, 1, 1)]
    );
    assert_eq!(script.step(9, 0), None);
    assert!(script.run.fold().all_issued());
}

#[test]
fn nothing_more_is_decided_before_the_last_wave_was_read_back() {
    let mut script = Script::new(1, PagesSpec::Count { count: 5 }, None);
    assert!(matches!(script.step(1, 0), Some(Action::Decide { .. })));
    script.run.take(Event::Decided);
    script.run.take(Event::Published);
    assert_eq!(script.step(1, 0), None);
}

#[test]
fn failed_shard_is_issued_alone_when_its_backoff_is_over_and_then_is_dead() {
    let mut script = Script::new(1, PagesSpec::Count { count: 4 }, Some(4));
    script.wave(9, 0);
    let broken = || {
        Status::Failed(Failed {
            error: "broken".into(),
            retry: Retry::Backoff,
        })
    };
    script.outcome(place(0, 0), 0, 3, Status::Done);
    script.outcome(place(0, 0), 3, 1, broken());
    let due = script.sequence + 100;
    assert_eq!(script.step(9, due - 1), None);
    assert!(!script.run.wants_room(UnixMs(due - 1)) && script.run.wants_room(UnixMs(due)));
    assert_eq!(cells(&script.wave(9, due)), [(0, 3, 1, 1, 2)]);
    script.outcome(place(1, 0), 3, 1, broken());
    let Some(Action::Close { closed, .. }) = script.step(9, due) else {
        panic!("not closed")
    };
    assert_eq!(closed.state, EndState::Failed);
    assert!(closed.error.unwrap().contains("broken"));
}

#[test]
fn run_is_closed_once_and_only_when_everything_is_done() {
    let mut script = Script::new(3, PagesSpec::Count { count: 2 }, None);
    script.wave(9, 0);
    assert_eq!(script.step(9, 0), None);
    script.finish_all();
    let Some(Action::Close { closed, expected }) = script.step(9, 0) else {
        panic!("not closed")
    };
    assert_eq!(
        (closed.state, expected),
        (EndState::Succeeded, script.run.fold().last_plan())
    );
    assert_eq!(script.step(9, 0), None);
}

#[test]
fn probes_come_first_and_their_pages_as_they_are_found() {
    let bounds = |n: i64| Bounds(Key::Int(n), Key::Int(n + 9));
    let mut script = Script::new(2, PagesSpec::Probe, Some(2));
    let tiles = script.wave(9, 0);
    assert_eq!(
        tiles.iter().map(|run| run.kind).collect::<Vec<_>>(),
        [TileKind::Probe; 2]
    );
    let probed = |number, index: u32, pages, cursor| {
        Record::Work(WorkRecord::Probed(Probed {
            session: Session(2),
            number,
            tile: place(0, index),
            fence: Fence(2),
            slice: index,
            probe: 0,
            pages,
            cursor,
        }))
    };
    script.write(&probed(
        0,
        0,
        vec![bounds(0), bounds(10), bounds(20)],
        Some(Key::Int(29)),
    ));
    script.write(&probed(1, 1, vec![], None));
    // A whole tile of what is known; the rest waits for the next answer, which is asked for.
    let tiles = script.wave(9, 0);
    assert_eq!(cells(&tiles), [(0, 0, 2, 1, 1), (0, 1, 1, 1, 1)]);
    assert_eq!(
        (&tiles[0].bounds, tiles[1].kind),
        (&vec![bounds(0), bounds(10)], TileKind::Probe)
    );
    assert_eq!(tiles[1].after, Some(Key::Int(29)));
    assert_eq!(script.step(9, 0), None);
}

#[test]
fn planner_that_was_outrun_refills_before_it_decides_again() {
    let mut script = Script::new(1, PagesSpec::Count { count: 4 }, None);
    let Some(Action::Decide { wave, .. }) = script.step(2, 0) else {
        panic!("no wave")
    };
    let other = Wave {
        term: Term(9),
        ..Arc::unwrap_or_clone(wave)
    };
    script.write(&Record::Plan(PlanRecord::Wave(other)));
    script.run.take(Event::Outrun);
    assert_eq!(script.step(2, 0), Some(Action::Refill));
    assert_eq!(script.step(2, 0), None);
    script.run.take(Event::Refilled);
    assert_eq!(cells(&script.wave(9, 0)), [(0, 2, 1, 2, 1)]);
}

#[test]
fn lost_wave_is_refilled_only_when_nothing_else_is_on_its_way() {
    let mut script = Script::new(1, PagesSpec::Count { count: 9 }, None);
    for _ in 0..2 {
        let Some(Action::Decide { wave, .. }) = script.step(1, 0) else {
            panic!("no wave")
        };
        script.write(&Record::Plan(PlanRecord::Wave(Arc::unwrap_or_clone(wave))));
        script.run.take(Event::Decided);
    }
    script.run.take(Event::PublishLost);
    assert_eq!(script.step(1, 0), None);
    assert!(script.run.fold().open_tiles().len() == 2);
    script.run.take(Event::Published);
    assert_eq!(script.step(1, 0), Some(Action::Refill));
    script.run.take(Event::Refilled);
    assert_eq!(cells(&script.wave(1, 0)), [(0, 2, 1, 1, 1)]);
}

#[test]
fn run_whose_next_wave_can_never_be_written_fails_once_nothing_is_on_its_way() {
    let mut script = Script::new(1, PagesSpec::Count { count: 3 }, None);
    let now = UnixMs(0);
    let decide = |run: &mut Run| run.step(tiles(1), 1, TERM, now);
    assert!(matches!(
        decide(&mut script.run),
        Some(Action::Decide { .. })
    ));
    script.run.take(Event::Decided);
    script.run.phase = Phase::Deciding;
    script.run.take(Event::Unwritable("too large".into()));
    assert!(!script.run.wants_room(now));
    assert_eq!(script.run.step(tiles(9), 1, TERM, now), None);
    script.run.take(Event::Published);
    let closed = script.run.step(tiles(9), 1, TERM, now);
    assert!(
        matches!(&closed, Some(Action::Close { closed, .. })
            if closed.state == EndState::Failed && closed.error.as_deref() == Some("too large")),
        "{closed:?}"
    );
}

#[test]
fn tile_that_stays_open_is_looked_for_on_the_queue() {
    let mut script = Script::new(1, PagesSpec::Count { count: 4 }, None);
    script.wave(2, 0);
    script.run.take(Event::Looked);
    assert!(!script.run.stale);
    script.finish_all();
    script.wave(2, 0);
    script.run.take(Event::Looked);
    assert!(!script.run.stale);
    script.run.take(Event::Looked);
    assert!(script.run.stale);
}

fn order(script: &mut Script, record: PlanRecord) {
    script.write(&Record::Plan(record));
}

fn cancelled(request: u64) -> PlanRecord {
    PlanRecord::Cancelled(Cancelled {
        request,
        aborted: None,
        term: TERM,
    })
}

fn closed_as(action: Option<Action>) -> EndState {
    match action {
        Some(Action::Close { closed, .. }) => closed.state,
        other => panic!("{other:?}"),
    }
}

#[test]
fn cancelled_run_decides_nothing_more_and_is_closed_once_it_is_halted() {
    let mut script = Script::new(1, PagesSpec::Count { count: 40 }, None);
    script.wave(4, 0);
    order(&mut script, cancelled(1));
    script.run.stale = true;
    assert!(!script.run.wants_room(UnixMs(0)));
    assert_eq!(script.step(4, 0), Some(Action::Halt { sequence: 3 }));
    assert_eq!(script.step(4, 0), None);
    script.run.take(Event::Halted);
    assert_eq!(closed_as(script.step(4, 0)), EndState::Cancelled);
}

#[test]
fn tiles_that_were_on_their_way_are_removed_once_they_have_landed() {
    let mut script = Script::new(1, PagesSpec::Count { count: 40 }, None);
    let Some(Action::Decide { wave, .. }) = script.step(4, 0) else {
        panic!("nothing to decide");
    };
    script.write(&Record::Plan(PlanRecord::Wave(Arc::unwrap_or_clone(wave))));
    script.run.take(Event::Decided);
    order(&mut script, cancelled(1));
    assert!(matches!(script.step(4, 0), Some(Action::Halt { .. })));
    script.run.take(Event::Halted);
    assert_eq!(script.step(4, 0), None, "a batch may still land");
    script.run.take(Event::Published);
    assert!(matches!(script.step(4, 0), Some(Action::Halt { .. })));
    script.run.take(Event::Halted);
    assert_eq!(closed_as(script.step(4, 0)), EndState::Cancelled);
}

#[test]
fn order_waits_for_the_wave_before_it_and_waves_wait_for_the_order() {
    let mut script = Script::new(1, PagesSpec::Count { count: 40 }, None);
    assert!(script.run.may_order());
    let Some(Action::Decide { wave, .. }) = script.step(4, 0) else {
        panic!("nothing to decide");
    };
    assert!(!script.run.may_order(), "the wave is being written");
    script.run.take(Event::Decided);
    assert!(!script.run.may_order(), "the wave is not read back");
    script.write(&Record::Plan(PlanRecord::Wave(Arc::unwrap_or_clone(wave))));
    assert!(script.run.may_order());
    script.run.take(Event::OrderBegun);
    assert_eq!(script.step(4, 0), None);
    script.run.take(Event::OrderWritten { sequence: 3 });
    assert_eq!(script.step(4, 0), None, "the order is not read back");
    order(&mut script, cancelled(1));
    assert!(matches!(script.step(4, 0), Some(Action::Halt { .. })));
}

#[test]
fn wave_that_came_after_another_planners_order_is_decided_anew() {
    let mut script = Script::new(1, PagesSpec::Count { count: 40 }, None);
    assert!(matches!(script.step(4, 0), Some(Action::Decide { .. })));
    script.run.take(Event::Outrun);
    let dropped = gridloom_shared::ledger::orders::Dropped {
        request: 1,
        which: Which::All,
        closed: false,
        term: TERM,
    };
    order(&mut script, PlanRecord::Dropped(dropped));
    assert_eq!(script.step(4, 0), Some(Action::Refill));
    script.run.take(Event::Refilled);
    assert!(matches!(
        script.step(4, 0),
        Some(Action::Decide { expected: 2, .. })
    ));
}

#[test]
fn reopened_run_issues_its_dead_shards_again_and_is_closed_anew() {
    let mut script = Script::new(1, PagesSpec::Count { count: 2 }, None);
    script.wave(4, 0);
    for index in 0..2 {
        let never = Status::Failed(Failed {
            error: "ill".into(),
            retry: Retry::Never,
        });
        script.outcome(TileRef { wave: 0, index }, index, 1, never);
    }
    assert_eq!(closed_as(script.step(4, 0)), EndState::Failed);
    script.run.phase = Phase::Idle;
    let reopened = Reopened {
        request: 1,
        which: Which::All,
        term: TERM,
    };
    order(&mut script, PlanRecord::Reopened(reopened));
    let again = script.wave(4, 100);
    assert_eq!(cells(&again), [(0, 0, 1, 2, 2)]);
    script.finish_all();
    assert_eq!(closed_as(script.step(4, 100)), EndState::Succeeded);
}

#[test]
fn bounds_of_dead_pages_are_read_from_their_wave_before_they_are_tried_again() {
    let bounds = |n: i64| Bounds(Key::Int(n), Key::Int(n + 9));
    let mut script = Script::new(1, PagesSpec::Probe, Some(1));
    script.wave(9, 0);
    script.write(&Record::Work(WorkRecord::Probed(Probed {
        session: Session(2),
        number: 0,
        tile: place(0, 0),
        fence: Fence(2),
        slice: 0,
        probe: 0,
        pages: vec![bounds(0), bounds(10), bounds(20)],
        cursor: None,
    })));
    let sequence = script.sequence + 1;
    let wave = Wave {
        n: 1,
        folded: 3,
        term: TERM,
        tiles: script.wave(9, 0),
    };
    for index in 0..3 {
        let never = Status::Failed(Failed {
            error: "ill".into(),
            retry: Retry::Never,
        });
        script.outcome(place(1, index), index, 1, never);
    }
    order(
        &mut script,
        PlanRecord::Reopened(Reopened {
            request: 1,
            which: Which::These(vec![page(0), page(2)]),
            term: TERM,
        }),
    );
    let waves = [sequence].into();
    assert_eq!(script.step(9, 100), Some(Action::Recall { waves }));
    assert_eq!(script.step(9, 100), None, "it is being read");
    script.run.take(Event::Recalled(vec![(sequence, wave)]));
    let again = script.wave(9, 100);
    assert_eq!(cells(&again), [(0, 0, 1, 1, 2), (0, 2, 1, 1, 2)]);
    assert_eq!(again[0].bounds, [bounds(0)]);
    assert_eq!(again[1].bounds, [bounds(20)]);
    script.finish_all();
    assert_eq!(
        closed_as(script.step(9, 100)),
        EndState::Failed,
        "page 1 is dead"
    );
}

fn page(page: u32) -> Cell {
    Cell {
        kind: TileKind::Page,
        slice: 0,
        page,
    }
}

#[test]
fn run_ends_itself_when_too_many_shards_are_dead() {
    let mut script = Script::new(1, PagesSpec::Count { count: 40 }, None);
    script.limit(AbortAfter::DeadPercent(5.0));
    script.wave(4, 0);
    for index in 0..2 {
        assert!(script.run.wants_room(UnixMs(0)));
        let never = Status::Failed(Failed {
            error: "ill".into(),
            retry: Retry::Never,
        });
        script.outcome(TileRef { wave: 0, index }, index, 1, never);
    }
    assert!(!script.run.wants_room(UnixMs(0)));
    let Some(Action::Abort {
        cancelled,
        expected,
    }) = script.step(4, 0)
    else {
        panic!("it goes on");
    };
    assert_eq!(expected, script.run.fold().last_plan());
    script.run.take(Event::OrderWritten {
        sequence: script.sequence + 1,
    });
    order(&mut script, PlanRecord::Cancelled(cancelled));
    assert!(matches!(script.step(4, 0), Some(Action::Halt { .. })));
    script.run.take(Event::Halted);
    let closed = script.step(4, 0);
    assert!(
        matches!(&closed, Some(Action::Close { closed, .. })
            if closed.error.as_deref().is_some_and(|error| error.starts_with("aborted: 2 shards"))),
        "{closed:?}"
    );
    assert_eq!(closed_as(closed), EndState::Failed);
}

#[test]
fn orders_are_judged_by_how_the_run_stands() {
    let command = |request, verb, slice, page| Command {
        request,
        verb,
        run: RunId::new("sum_s_1").unwrap(),
        slice,
        page,
    };
    let judged = |script: &Script, command: &Command| judge(script.run.fold(), command, TERM);
    let cancel = command(1, Verb::Cancel, None, None);
    let retry = command(2, Verb::Retry, None, None);
    let empty = Fold::new(RunId::new("sum_s_1").unwrap());
    assert!(matches!(
        judge(&empty, &cancel, TERM),
        Judged::Answer(Answer::Misuse { .. })
    ));
    let mut script = Script::new(1, PagesSpec::Count { count: 2 }, None);
    assert!(matches!(
        judged(&script, &retry),
        Judged::Answer(Answer::Nothing { .. })
    ));
    assert!(matches!(
        judged(&script, &cancel),
        Judged::Write(PlanRecord::Cancelled(_), 0)
    ));
    order(&mut script, cancelled(1));
    assert_eq!(
        judged(&script, &cancel),
        Judged::Answer(Answer::Done { shards: 0 })
    );
    let other = command(3, Verb::Cancel, None, None);
    assert!(matches!(
        judged(&script, &other),
        Judged::Answer(Answer::Nothing { .. })
    ));
    assert!(matches!(
        judged(&script, &retry),
        Judged::Answer(Answer::Refused { .. })
    ));
    let alive = command(4, Verb::Drop, Some(0), Some(1));
    assert!(matches!(
        judged(&script, &alive),
        Judged::Answer(Answer::Misuse { .. })
    ));
}
