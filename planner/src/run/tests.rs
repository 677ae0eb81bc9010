use std::sync::Arc;

use gridloom_shared::command::{Answer, Command, Verb};
use gridloom_shared::id::{Fence, HandlerName, JobName, Nonce, RunId, Session};
use gridloom_shared::job::{
    AbortAfter, Backoff, GridSpec, JobSpec, LimitsSpec, PagesSpec, RetrySpec, SubmitSpec,
};
use gridloom_shared::ledger::outcomes::{self, Entry, Failed, Retry, Status};
use gridloom_shared::ledger::record::{
    Author, EndState, Opened, PlanRecord, Probed, Record, TileRun, WorkRecord,
};
use gridloom_shared::tile::{Bounds, Key, TileKind, TileRef};

use gridloom_shared::ledger::orders::{Reopened, Which};

use super::order::{Judged, judge};
use super::*;

mod ends;
mod recall;

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
            settings: serde_json::json!({}),
            params: serde_json::json!({}),
            submit: SubmitSpec::default(),
            schedule: None,
        };
        let opened = Opened {
            nonce: Nonce(1),
            job,
            scheduled_at: UnixMs(0),
            content: 0,
            term: TERM,
            first: Vec::new(),
            traceparent: None,
            reports: 1,
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
    Room {
        tiles,
        pages: 1,
        ..Room::default()
    }
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
