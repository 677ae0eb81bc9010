use std::collections::HashMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::clock::UnixMs;
use crate::id::{Nonce, Term};
use crate::job::PagesSpec;
use crate::job::parse::{self, Format};
use crate::ledger::crash::Suspicion;
use crate::ledger::orders::{Dropped, Reopened};
use crate::ledger::record::TileRun;
use crate::limits::{LISTED_MAX, SUCCESSES_MAX, TILE_MAX};

mod plain;

const ATTEMPTS: u32 = 2;

fn run() -> RunId {
    RunId::new("sum_s_1").unwrap()
}

fn opened(slices: u32, pages: PagesSpec) -> Record {
    let text = "name = \"sum\"\nhandler = \"noop\"\n[grid]\nslices = 1";
    let mut job = parse::parse(text, Format::Toml).unwrap();
    job.retry.max_attempts = ATTEMPTS;
    (job.grid.slices, job.grid.pages) = (slices, pages);
    Record::Plan(PlanRecord::Opened(Box::new(Opened {
        nonce: Nonce(1),
        job,
        scheduled_at: UnixMs(0),
        content: 0,
        term: Term(1),
        first: Vec::new(),
        traceparent: None,
        reports: 1,
    })))
}

fn counted(slices: u32, count: u32) -> Record {
    opened(slices, PagesSpec::Count { count })
}

fn tiles(slice: u32, first: u32, pages: u32, tiles: u32, attempt: u32) -> TileRun {
    TileRun {
        kind: TileKind::Page,
        slice,
        first,
        pages,
        tiles,
        attempt,
        bounds: Vec::new(),
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

fn entry(place: (u32, u32), fence: u64, slice: u32, pages: Range<u32>, status: Status) -> Entry {
    Entry {
        tile: TileRef {
            wave: place.0,
            index: place.1,
        },
        kind: TileKind::Page,
        fence: Fence(fence),
        slice,
        first: pages.start,
        pages: pages.end - pages.start,
        status,
        columns: Vec::new(),
        results: Vec::new(),
    }
}

fn failure(retry: Retry) -> Status {
    Status::Failed(Failed {
        error: "broken".into(),
        retry,
    })
}

fn outcomes_of(session: u64, number: u64, entries: &[Entry]) -> Record {
    Record::Work(WorkRecord::Outcomes {
        session: Session(session),
        number,
        block: outcomes::encode(entries).into(),
    })
}

fn takeover(session: u64, number: u64, places: &[(u32, u32)]) -> Record {
    let tiles = places
        .iter()
        .map(|(wave, index)| TileRef {
            wave: *wave,
            index: *index,
        })
        .collect();
    Record::Takeover(Takeover {
        session: Session(session),
        number,
        tiles,
        reason: Reason::Count,
    })
}

fn audited(records: &[Record]) -> Audit {
    let mut audit = Audit::new(run());
    for (sequence, record) in (1..).zip(records) {
        audit.read(sequence, Some(record));
    }
    audit
}

impl Audit {
    /// Runs of cells and numbers that it keeps: what its memory follows.
    fn kept(&self) -> usize {
        self.cells.iter().count() + self.unexpected.iter().count() + self.seen.iter().count()
    }
}

#[test]
fn run_that_begins_with_its_first_record_is_proven_like_any_other() {
    let Record::Plan(PlanRecord::Opened(plain)) = counted(1, 2) else {
        panic!("it is a first record");
    };
    let opened = Opened {
        first: vec![tiles(0, 0, 1, 2, 1)],
        ..*plain
    };
    let done = |index, fence| {
        let page = index..index + 1;
        outcomes_of(
            1,
            u64::from(index) + 1,
            &[entry((0, index), fence, 0, page, Status::Done)],
        )
    };
    let opened = Record::Plan(PlanRecord::Opened(Box::new(opened)));
    let report = audited(&[opened.clone(), done(0, 1), done(1, 1)]).report();
    assert_eq!((report.planned, report.committed), (2, 2), "{report:?}");
    assert_eq!((report.lost_cells, report.unexpected_cells), (0, 0));
    // What an earlier run of the id reports is none of it.
    let report = audited(&[opened, done(0, 0), done(1, 1)]).report();
    assert_eq!((report.committed, report.unexpected_cells), (1, 1));
}

#[test]
fn whole_grid_with_one_success_each_is_proven() {
    let records = [
        counted(2, 1_000),
        wave(0, vec![tiles(0, 0, 100, 10, 1), tiles(1, 0, 1_000, 1, 1)]),
        outcomes_of(1, 1, &[entry((0, 10), 2, 1, 0..1_000, Status::Done)]),
        outcomes_of(
            1,
            2,
            &Vec::from_iter((0..10).map(|n| {
                let pages = n * 100..n * 100 + 100;
                entry((0, n), 2, 0, pages, Status::Done)
            })),
        ),
    ];
    let audit = audited(&records);
    assert!(audit.kept() < 5, "{}", audit.kept());
    let report = audit.report();
    assert!(report.ok, "{report:?}");
    assert_eq!((report.planned, report.committed), (2_000, 2_000));
}

#[test]
fn second_success_is_repeated_where_a_takeover_explains_it_and_twice_where_none_does() {
    let whole = |fence| entry((0, 0), fence, 0, 0..4, Status::Done);
    let begun = |rest: &[Record]| {
        let records = [counted(1, 4), wave(0, vec![tiles(0, 0, 4, 1, 1)])];
        audited(&[&records, rest].concat()).report()
    };
    let explained = begun(&[
        outcomes_of(1, 1, &[whole(2)]),
        takeover(2, 1, &[(0, 0)]),
        outcomes_of(2, 2, &[whole(4)]),
    ]);
    assert_eq!(
        (explained.ok, explained.repeated, explained.twice_cells),
        (true, 4, 0)
    );
    let again = begun(&[
        outcomes_of(1, 1, &[whole(2)]),
        outcomes_of(1, 2, &[whole(2)]),
    ]);
    assert_eq!((again.ok, again.repeated, again.twice_cells), (false, 0, 4));
    let made_up = begun(&[outcomes_of(1, 1, &[whole(3)])]);
    assert_eq!((made_up.ok, made_up.twice_cells), (false, 4));
}

#[test]
fn cells_of_a_breach_are_counted_exactly_and_the_first_thousand_are_listed() {
    let records = [
        counted(3, 5_000),
        wave(0, vec![tiles(1, 0, 1_000, 4, 1)]),
        outcomes_of(1, 1, &[entry((0, 0), 2, 2, 10..12, Status::Done)]),
    ];
    let report = audited(&records).report();
    assert_eq!(report.lost_cells, 15_000);
    assert_eq!(report.lost.len(), LISTED_MAX);
    assert!(report.lost.is_sorted());
    assert_eq!(
        report.lost[999],
        GridCell {
            slice: 0,
            page: 999
        }
    );
    assert_eq!(
        (report.unexpected_cells, report.unexpected),
        (
            2,
            vec![
                GridCell { slice: 2, page: 10 },
                GridCell { slice: 2, page: 11 }
            ]
        )
    );
}

// Ledgers that somebody wrote who wishes us ill.

#[test]
fn grid_of_two_to_the_forty_cells_and_beyond_is_counted_at_once() {
    for (slices, pages, cells) in [
        (1 << 16, 1 << 24, 1_u64 << 40),
        (
            u32::MAX,
            u32::MAX,
            u64::from(u32::MAX) * u64::from(u32::MAX),
        ),
    ] {
        let begun = Instant::now();
        let audit = audited(&[
            counted(slices, pages),
            wave(0, vec![tiles(7, 1, 1_000, 10_000, 1)]),
        ]);
        assert!(audit.kept() < 5);
        let report = audit.report();
        assert_eq!((report.lost_cells, report.planned), (cells, 10_000_000));
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
    let rows = PagesSpec::Rows {
        rows: vec![0, 9],
        page_size: 0,
    };
    let report = audited(&[opened(u32::MAX, rows)]).report();
    assert_eq!(report.lost_cells, u64::from(u32::MAX) + 8);
    let report = audited(&[opened(u32::MAX, PagesSpec::Probe)]).report();
    assert_eq!(report.lost_cells, 0);
}

/// Entries of a thousand pages each, every one beginning a page further.
fn staggered(fence: u64, status: &Status, entries: u32) -> Vec<Entry> {
    let of = |n| entry((0, n / TILE_MAX), fence, 0, n..n + TILE_MAX, status.clone());
    (0..entries).map(of).collect()
}

#[test]
fn entries_that_overlap_cost_what_they_say_and_not_the_pages_that_they_name() {
    let mut records = vec![
        counted(1, 100_000),
        wave(0, vec![tiles(0, 0, TILE_MAX, 100, 1)]),
    ];
    let entries = 20_000;
    for (number, status) in [Status::Done, failure(Retry::Never)].iter().enumerate() {
        // A forged fence, the right one, and pages that no wave has issued.
        for fence in [2, 99] {
            let number = (number as u64 * 2 + fence) * 100;
            let entries = staggered(fence, status, entries);
            // As many as a block holds that is looked at.
            let parts = entries.chunks(2_000).zip(number..);
            records.extend(parts.map(|(part, number)| outcomes_of(1, number, part)));
        }
    }
    let bytes: usize = 4 * 3 * entries as usize;
    let begun = Instant::now();
    let audit = audited(&records);
    assert!(audit.kept() <= bytes, "{}", audit.kept());
    let report = audit.report();
    assert!(!report.ok && report.twice_cells > 0, "{report:?}");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn pages_that_were_never_issued_are_kept_as_runs() {
    let records: Vec<Record> = [counted(1, 1)]
        .into_iter()
        .chain((0..50).map(|n| {
            let of = |m: u32| entry((9, 9), 99, m % 7, m * 500..m * 500 + TILE_MAX, Status::Done);
            outcomes_of(n, 1, &Vec::from_iter((0..2_000).map(of)))
        }))
        .collect();
    let audit = audited(&records);
    assert!(audit.kept() < 2_200, "{}", audit.kept());
    assert_eq!(audited(&records).report().unexpected_cells, 2_000 * 1_000);
}

#[test]
fn successes_under_ever_more_fences_are_told_apart_up_to_a_bound() {
    let mut records = vec![counted(1, 2), wave(0, vec![tiles(0, 0, 2, 1, 1)])];
    for number in 0..200 {
        let fence = records.len() as u64 + 1;
        records.push(takeover(number, 1, &[(0, 0)]));
        records.push(outcomes_of(
            number,
            2,
            &[entry((0, 0), fence, 0, 0..2, Status::Done)],
        ));
        let report = audited(&records).report();
        assert_eq!(report.ok, number < SUCCESSES_MAX as u64, "{number}");
    }
}

/// One step of a history: what, and four numbers that say of which.
type Step = (u8, u8, u8, u8, u8);

const SLICES: u32 = 3;
const PAGES: u32 = 12;

fn record(step: Step, sequence: u64, next_wave: &mut u32) -> Record {
    let (what, a, b, c, d) = step;
    let [a, b, c] = [a, b, c].map(u32::from);
    let session = u64::from(d % 3);
    let place = (a % (*next_wave + 1), b % 5);
    let fence = 1 + u64::from(d) % (sequence + 1);
    let first = b % PAGES;
    let pages = first..first + 1 + c % 6;
    let status = match c % 4 {
        0 => failure(Retry::Never),
        1 => failure(Retry::Backoff),
        2 => failure(Retry::Hold(5)),
        _ => Status::Done,
    };
    let at = TileRef {
        wave: place.0,
        index: place.1,
    };
    match what % 9 {
        0 | 1 => {
            *next_wave += 1;
            let kind = if d % 5 == 0 {
                TileKind::Probe
            } else {
                TileKind::Page
            };
            let mut run = tiles(
                a % (SLICES + 1),
                first,
                1 + c % 4,
                b % 4,
                1 + u32::from(d) % 3,
            );
            run.kind = kind;
            wave(*next_wave - 1, vec![run, tiles(0, c % PAGES, 2, 2, 1)])
        }
        2..=4 => {
            let mut one = entry(place, fence, a % SLICES, pages, Status::Done);
            if d % 7 == 0 {
                one.kind = TileKind::Probe;
            }
            let two = entry(place, fence, c % SLICES, first..first + 2, status);
            outcomes_of(session, sequence, &[one, two])
        }
        5 => takeover(session, u64::from(d % 9), &[place, (0, c % 4)]),
        6 => Record::Work(WorkRecord::Started {
            session: Session(session),
            number: sequence,
            tile: at,
            page: first,
            fence: Fence(fence),
        }),
        7 => order(d % 2 == 0, a, b, c),
        _ => Record::Work(WorkRecord::Probed(Probed {
            session: Session(session),
            number: sequence,
            tile: at,
            fence: Fence(fence),
            slice: a % SLICES,
            probe: b % PAGES,
            pages: Vec::new(),
            cursor: None,
        })),
    }
}

/// An order about all dead cells, or about two cells.
fn order(reopened: bool, a: u32, b: u32, c: u32) -> Record {
    let cells = [(a, b), (b, c)].map(|(slice, page)| Cell {
        kind: TileKind::Page,
        slice: slice % SLICES,
        page: page % PAGES,
    });
    let which = if c.is_multiple_of(2) {
        Which::All
    } else {
        Which::These(cells.to_vec())
    };
    let term = Term(1);
    let request = 1;
    Record::Plan(if reopened {
        PlanRecord::Reopened(Reopened {
            request,
            which,
            term,
        })
    } else {
        PlanRecord::Dropped(Dropped {
            request,
            which,
            closed: false,
            left: 0,
            term,
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn says_of_any_ledger_what_a_reading_cell_by_cell_says(
        steps in prop::collection::vec(any::<Step>(), 0..60),
        probed in any::<bool>(),
    ) {
        let pages = if probed { PagesSpec::Probe } else { PagesSpec::Count { count: 8 } };
        let mut records = vec![opened(SLICES, pages)];
        let mut next_wave = 0;
        for step in steps {
            records.push(record(step, records.len() as u64 + 1, &mut next_wave));
        }
        let plain = plain::report(&records);
        prop_assert_eq!(audited(&records).report(), plain, "{:?}", records);
    }

    #[test]
    fn no_bytes_in_a_block_cost_more_than_they_are(bytes in prop::collection::vec(any::<u8>(), 0..3_000)) {
        let mut records = vec![counted(4, 10_000), wave(0, vec![tiles(0, 0, 1_000, 10, 1)])];
        records.push(Record::Work(WorkRecord::Outcomes {
            session: Session(1),
            number: 1,
            block: bytes.clone().into(),
        }));
        let audit = audited(&records);
        prop_assert!(audit.kept() <= 8 + 2 * bytes.len(), "{} of {}", audit.kept(), bytes.len());
        audit.report();
    }
}
