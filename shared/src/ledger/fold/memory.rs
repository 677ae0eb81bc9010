//! What a fold costs, counted by its entries: a run of any size, whatever becomes of it.

use super::*;
use crate::id::Session;
use crate::id::{HandlerName, JobName, Nonce, QueueName, Term};
use crate::job::{Backoff, GridSpec, JobSpec, LimitsSpec, PagesSpec, RetrySpec, SubmitSpec};
use crate::ledger::orders::{Reopened, Which};
use crate::ledger::outcomes::{Entry, Failed, Retry, Status};
use crate::ledger::record::{TileRun, Wave};
use crate::tile::{Bounds, Key, TileKind};

/// About the bytes of an entry of a B-tree or a table beyond its own.
const ENTRY: usize = 24;

impl Fold {
    fn weight(&self) -> usize {
        let ranges = |ranges: &Ranges| ranges.iter().count() * 16;
        let slices = self.slices.live().map(|slice| {
            let cells = [&slice.pages, &slice.probes].into_iter();
            let cells = cells.map(|cells| ranges(&cells.issued) + ranges(&cells.done));
            size_of_val(slice) + ENTRY + cells.sum::<usize>() + slice.frontier.ready().len() * 48
        });
        let (finished, told) = self.slices.finished();
        let open = self
            .open
            .values()
            .map(|tile| size_of_val(tile) + ENTRY + ranges(&tile.left) + tile.bounds.len() * 48);
        let sessions = self.sessions.seen().map(|seen| 64 + ranges(seen));
        let recalled = self
            .recalled
            .values()
            .map(|cells| cells.len() * (128 + ENTRY));
        slices.sum::<usize>()
            + finished * 16
            + told * (12 + ENTRY)
            + open.sum::<usize>()
            + self.waiting.cells().len() * (size_of::<(Cell, FailedCell)>() + ENTRY)
            + self.waiting.due().len() * (size_of::<(UnixMs, Cell)>() + ENTRY)
            + (self.dead.runs() + self.again.runs()) * (48 + ENTRY)
            + recalled.sum::<usize>()
            + self.errors.bytes()
            + sessions.sum::<usize>()
    }
}

/// A run, its planner and its workers, as far as the ledger sees them.
struct Story {
    fold: Fold,
    sequence: u64,
    number: u64,
    waves: u32,
    heaviest: usize,
}

impl Story {
    fn new(slices: u32, pages: PagesSpec, attempts: u32) -> Story {
        let job = JobSpec {
            name: JobName::new("sum").unwrap(),
            handler: HandlerName::new("noop").unwrap(),
            queue: QueueName::new("default").unwrap(),
            grid: GridSpec {
                slices,
                pages,
                tile: None,
            },
            retry: RetrySpec {
                max_attempts: attempts,
                backoff: Backoff {
                    initial_ms: 0,
                    factor: 1.0,
                    max_ms: 0,
                    jitter: 0.0,
                },
            },
            limits: LimitsSpec::default(),
            settings: serde_json::json!({}),
            params: serde_json::json!({}),
            submit: SubmitSpec::default(),
            schedule: None,
        };
        let mut story = Story {
            fold: Fold::new(RunId::new("sum_s_1").unwrap()),
            sequence: 0,
            number: 0,
            waves: 0,
            heaviest: 0,
        };
        story.write(&Record::Plan(PlanRecord::Opened(Box::new(Opened {
            nonce: Nonce(1),
            job,
            scheduled_at: UnixMs(0),
            content: 0,
            term: Term(1),
            first: Vec::new(),
            traceparent: None,
            reports: 1,
        }))));
        story
    }

    fn write(&mut self, record: &Record) {
        self.sequence += 1;
        self.fold
            .apply(self.sequence, UnixMs(self.sequence), record);
    }

    fn wave(&mut self, tiles: Vec<TileRun>) -> (u32, Fence) {
        self.waves += 1;
        self.write(&Record::Plan(PlanRecord::Wave(Wave {
            n: self.waves - 1,
            folded: self.sequence,
            term: Term(1),
            tiles,
        })));
        (self.waves - 1, Fence(self.sequence))
    }

    fn outcome(&mut self, entries: &[Entry]) {
        self.number += 1;
        self.write(&Record::Work(WorkRecord::Outcomes {
            session: Session(1 + self.number % 3),
            number: self.number / 3,
            block: outcomes::encode(entries).into(),
        }));
    }

    fn weigh(&mut self) {
        self.heaviest = self.heaviest.max(self.fold.weight());
    }
}

fn tiles(kind: TileKind, slice: u32, first: u32, pages: u32, tiles: u32, attempt: u32) -> TileRun {
    TileRun {
        kind,
        slice,
        first,
        pages,
        tiles,
        attempt,
        bounds: Vec::new(),
        after: None,
    }
}

fn failed(n: u32) -> Status {
    Status::Failed(Failed {
        error: format!("file {n} is missing: {}", "x".repeat(900)),
        retry: Retry::Backoff,
    })
}

fn entry((wave, fence): (u32, Fence), index: u32, run: &TileRun, status: Status) -> Entry {
    Entry {
        tile: TileRef { wave, index },
        kind: run.kind,
        fence,
        slice: run.slice,
        first: run.first + index * run.pages,
        pages: run.pages,
        status,
        columns: Vec::new(),
        results: Vec::new(),
    }
}

/// The tiles of a wave in the order in which hasty workers end them.
fn mixed(tiles: u32) -> impl Iterator<Item = u32> {
    (0..tiles)
        .step_by(3)
        .chain((1..tiles).step_by(3))
        .chain((2..tiles).step_by(3))
}

#[test]
fn ten_million_shards_that_all_die_cost_what_a_few_do() {
    const PAGES: u32 = 1_250_000;
    let mut story = Story::new(8, PagesSpec::Count { count: PAGES }, 1);
    for slice in 0..8 {
        for first in (0..PAGES).step_by(50_000) {
            let run = tiles(TileKind::Page, slice, first, 1_000, 50, 1);
            let place = story.wave(vec![run.clone()]);
            for index in mixed(50) {
                story.outcome(&[entry(place, index, &run, failed(first + index))]);
            }
            story.weigh();
        }
    }
    assert_eq!(story.fold.counts().dead, 10_000_000);
    assert!(story.fold.complete());
    assert!(story.heaviest < 8 << 20, "{} bytes", story.heaviest);

    // And they are tried again, a wave at a time.
    story.write(&Record::Plan(PlanRecord::Reopened(Reopened {
        request: 1,
        which: Which::All,
        term: Term(1),
    })));
    assert_eq!(
        (story.fold.retrying(), story.fold.counts().dead),
        (10_000_000, 0)
    );
    let due: Vec<Cell> = story
        .fold
        .due(UnixMs(u64::MAX))
        .map(|due| due.cell)
        .take(1_000)
        .collect();
    assert_eq!((due[0].page, due[999].page), (0, 999));
    story.wave(vec![tiles(TileKind::Page, 0, 0, 1, 1_000, 2)]);
    story.weigh();
    assert_eq!(
        (story.fold.retrying(), story.fold.waiting().len()),
        (9_999_000, 1_000)
    );
    assert!(story.heaviest < 8 << 20, "{} bytes", story.heaviest);
}

#[test]
fn shards_that_die_one_by_one_after_several_attempts_cost_what_a_few_do() {
    const PAGES: u32 = 60_000;
    let mut story = Story::new(1, PagesSpec::Count { count: PAGES }, 3);
    for first in (0..PAGES).step_by(1_000) {
        for attempt in 1..=3 {
            let run = tiles(TileKind::Page, 0, first, 1, 1_000, attempt);
            let place = story.wave(vec![run.clone()]);
            for index in mixed(1_000) {
                story.outcome(&[entry(place, index, &run, failed(0))]);
            }
            story.weigh();
        }
    }
    assert_eq!(
        (story.fold.counts().dead, story.fold.waiting().len()),
        (u64::from(PAGES), 0)
    );
    assert!(story.heaviest < 16 << 20, "{} bytes", story.heaviest);
}

#[test]
fn bounds_of_dead_pages_are_not_kept() {
    let mut story = Story::new(1, PagesSpec::Probe, 1);
    let (mut answered, mut first) = (0, 0);
    while first < 40_000 {
        let mut question = tiles(TileKind::Probe, 0, answered, 1, 1, 1);
        question.after = (answered > 0).then(|| Key::Text("k".repeat(200)));
        let (wave, fence) = story.wave(vec![question]);
        let bounds = |n: u32| {
            Bounds(
                Key::Text(format!("{n:0200}")),
                Key::Text(format!("{n:0200}")),
            )
        };
        story.number += 1;
        let probed = Record::Work(WorkRecord::Probed(crate::ledger::record::Probed {
            session: Session(9),
            number: story.number,
            tile: TileRef { wave, index: 0 },
            fence,
            slice: 0,
            probe: answered,
            pages: (first..first + 1_000).map(bounds).collect(),
            cursor: (first < 39_000).then(|| Key::Text("k".repeat(200))),
        }));
        story.write(&probed);
        answered += 1;
        let mut run = tiles(TileKind::Page, 0, first, 100, 10, 1);
        run.bounds = (first..first + 1_000).map(bounds).collect();
        let place = story.wave(vec![run.clone()]);
        for index in mixed(10) {
            story.outcome(&[entry(place, index, &run, failed(0))]);
        }
        story.weigh();
        first += 1_000;
    }
    assert_eq!(story.fold.counts().dead, 40_000);
    assert!(story.heaviest < 1 << 20, "{} bytes", story.heaviest);
}

#[test]
fn slices_cost_what_is_under_way_of_them() {
    for pages in [PagesSpec::Count { count: 2 }, PagesSpec::Probe] {
        let probed = pages == PagesSpec::Probe;
        let mut story = Story::new(65_536, pages, 1);
        story.weigh();
        assert!(story.heaviest < 1_000, "{} bytes", story.heaviest);
        for slice in (0..65_536).step_by(64) {
            if probed {
                let questions =
                    (slice..slice + 64).map(|slice| tiles(TileKind::Probe, slice, 0, 1, 1, 1));
                let (wave, fence) = story.wave(questions.collect());
                for index in 0..64 {
                    story.number += 1;
                    let probed = Record::Work(WorkRecord::Probed(crate::ledger::record::Probed {
                        session: Session(9),
                        number: story.number,
                        tile: TileRef { wave, index },
                        fence,
                        slice: slice + index,
                        probe: 0,
                        pages: vec![Bounds(Key::Int(1), Key::Int(1)); 2],
                        cursor: None,
                    }));
                    story.write(&probed);
                }
            }
            let runs: Vec<TileRun> = (slice..slice + 64)
                .map(|slice| tiles(TileKind::Page, slice, 0, 2, 1, 1))
                .collect();
            let (wave, fence) = story.wave(runs.clone());
            story.weigh();
            let entries: Vec<Entry> = (0..64)
                .zip(&runs)
                .map(|(index, run)| Entry {
                    tile: TileRef { wave, index },
                    first: 0,
                    ..entry((wave, fence), 0, run, Status::Done)
                })
                .collect();
            story.outcome(&entries);
        }
        assert!(story.fold.complete());
        assert_eq!(
            (story.fold.counts().done, story.fold.known_shards()),
            (131_072, 131_072)
        );
        assert!(story.heaviest < 4 << 20, "{} bytes", story.heaviest);
    }
}

#[test]
fn late_records_of_finished_slices_change_nothing_and_cost_nothing() {
    let mut story = Story::new(4, PagesSpec::Count { count: 2 }, 1);
    let runs: Vec<TileRun> = (0..4)
        .map(|slice| tiles(TileKind::Page, slice, 0, 2, 1, 1))
        .collect();
    let place = story.wave(runs.clone());
    let done = |index: u32| Entry {
        first: 0,
        ..entry(place, index, &runs[index as usize], Status::Done)
    };
    for index in 0..4 {
        story.outcome(&[done(index)]);
    }
    assert_eq!(story.fold.slices.live().count(), 0);
    story.outcome(&[done(2)]);
    story.outcome(&[Entry {
        first: 1,
        ..done(3)
    }]);
    let fence = story.fold.counts();
    assert_eq!((fence.done, fence.late, fence.unexpected), (8, 3, 1));
    // A retry decided before the success was known is closed at once.
    story.wave(vec![tiles(TileKind::Page, 2, 0, 1, 1, 2)]);
    assert!(story.fold.complete() && story.fold.slices.live().count() == 0);
    assert!(story.fold.frontier(2).is_issued());
}

/// Workers number the records of each run by themselves, whatever runs they serve at once.
#[test]
fn numbers_of_a_run_that_follow_each_other_cost_nothing() {
    let mut story = Story::new(1, PagesSpec::Count { count: 1 }, 1);
    for _ in 0..86_400 {
        story.outcome(&[]);
    }
    story.weigh();
    assert!(story.heaviest < 1_000, "{} bytes", story.heaviest);
}

/// A worker that forgot an idle run goes on above the numbers of all that it had closed by then.
#[test]
fn run_costs_its_fold_a_range_for_each_time_that_a_worker_forgot_it() {
    let mut story = Story::new(1, PagesSpec::Count { count: 1 }, 1);
    for second in 0..86_400 {
        if second % 3_600 == 0 {
            story.number += 3 * 10_000;
        }
        story.outcome(&[]);
    }
    story.weigh();
    let ranges = story.fold.sessions.seen().map(|seen| seen.iter().count());
    assert!(
        ranges.max() == Some(24) && story.heaviest < 3_000,
        "{} bytes",
        story.heaviest
    );
}

#[test]
fn what_is_said_of_its_memory_follows_what_it_keeps() {
    let mut story = Story::new(1, PagesSpec::Count { count: 1_000 }, 1);
    let empty = story.fold.memory();
    let run = tiles(TileKind::Page, 0, 0, 1, 1_000, 1);
    let place = story.wave(vec![run.clone()]);
    let open = story.fold.memory();
    assert!(open >= empty + 1_000 * size_of::<OpenTile>(), "{open}");
    for index in 0..1_000 {
        story.outcome(&[entry(place, index, &run, Status::Done)]);
    }
    let ended = story.fold.memory();
    assert!(ended < empty + 1_000, "{empty} {ended}");
}
