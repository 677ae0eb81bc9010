//! The model's fold against the real one: every ledger that a case reaches is built from real
//! records, and `gridloom_shared::ledger::fold` must say of it what the model says.

use std::collections::HashSet;

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{Fence, Nonce, RunId, Session, Term};
use gridloom_shared::job::parse::{self, Format};
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::outcomes::{self, Entry, Failed, Retry, Status};
use gridloom_shared::ledger::record::{
    Opened, PlanRecord, Reason, Record, Takeover, TileRun, Wave, WorkRecord,
};
use gridloom_shared::tile::{TileKind, TileRef};

use super::explore;
use super::ledger::{self, Ledger, Outcome};
use super::protocol::Case;
use super::rules::Failure;

/// Where the run's first record stands; the model counts from it.
const OPENED: u64 = 100;

/// Compares the two on every ledger of a case. Returns how many there were.
pub(crate) fn agrees(case: &Case) -> usize {
    let states = explore::finite(case);
    let ledgers: HashSet<Ledger> = states.into_iter().map(|state| state.ledger).collect();
    for ledger in &ledgers {
        compare(ledger);
    }
    ledgers.len()
}

fn compare(ledger: &Ledger) {
    let model = ledger.fold(ledger.len(), Failure::NewestFence);
    let run = run();
    let mut real = Fold::new(run.clone());
    real.apply(OPENED, UnixMs(0), &opened(1, 10));
    for (at, record) in (1..).zip(&ledger.0) {
        let record = translated(ledger, at, *record);
        real.apply(OPENED + u64::from(at), UnixMs(0), &record);
    }
    assert_eq!(real.counts().unexpected, 0, "{ledger:?}");
    assert_eq!(real.counts().done == 1, model.done, "{ledger:?}");
    assert_eq!(real.last_plan(), OPENED + u64::from(model.last_plan()));
    let open: Vec<_> = real.open_tiles().iter().collect();
    match model.open() {
        None => assert!(open.is_empty(), "{ledger:?}: {open:?}"),
        Some(wave) => {
            let [(place, tile)] = open[..] else {
                panic!("{ledger:?}: {open:?}");
            };
            let newest = model.newest.expect("an open tile");
            assert_eq!(place.wave, number(ledger, wave), "{ledger:?}");
            assert_eq!(tile.fence, fence(newest.fence), "{ledger:?}");
            assert_eq!(tile.attempt, u32::from(newest.attempt), "{ledger:?}");
            let again = tile.again(*place, &run, real.opening().expect("an opened run"));
            assert!(again.again && again.fence == fence(wave), "{again:?}");
        }
    }
    let due = real.due(UnixMs(u64::MAX)).next();
    let due = due.map(|due| due.attempts + 1);
    let retry = model.due().filter(|attempt| *attempt > 1).map(u32::from);
    assert_eq!(due, retry, "{ledger:?}");
}

/// The run that every model is about.
pub(crate) fn run() -> RunId {
    RunId::new("sum_s_7").expect("a run id")
}

fn fence(position: u8) -> Fence {
    Fence(OPENED + u64::from(position))
}

/// The number of the wave that stands at `position`.
fn number(ledger: &Ledger, position: u8) -> u32 {
    let before = &ledger.0[..usize::from(position) - 1];
    let waves = before
        .iter()
        .filter(|record| matches!(record, ledger::Record::Wave { .. }));
    waves.count() as u32
}

fn place(ledger: &Ledger, wave: u8) -> TileRef {
    TileRef {
        wave: number(ledger, wave),
        index: 0,
    }
}

fn translated(ledger: &Ledger, at: u8, record: ledger::Record) -> Record {
    match record {
        ledger::Record::Wave { attempt, folded } => Record::Plan(PlanRecord::Wave(Wave {
            n: number(ledger, at),
            folded: OPENED + u64::from(folded),
            term: Term(1),
            tiles: vec![TileRun {
                kind: TileKind::Page,
                slice: 0,
                first: 0,
                pages: 1,
                tiles: 1,
                attempt: u32::from(attempt),
                bounds: Vec::new(),
                after: None,
            }],
        })),
        ledger::Record::Takeover { by, wave } => Record::Takeover(Takeover {
            session: Session(u64::from(by) + 1),
            number: u64::from(at),
            tiles: vec![place(ledger, wave)],
            reason: Reason::Count,
        }),
        ledger::Record::Outcome {
            by,
            wave,
            fence: held,
            outcome,
        } => {
            let status = match outcome {
                Outcome::Done => Status::Done,
                Outcome::Failed => Status::Failed(Failed {
                    error: "broken".into(),
                    retry: Retry::Backoff,
                }),
            };
            let entry = Entry {
                tile: place(ledger, wave),
                kind: TileKind::Page,
                fence: fence(held),
                slice: 0,
                first: 0,
                pages: 1,
                status,
                columns: Vec::new(),
                results: Vec::new(),
            };
            Record::Work(WorkRecord::Outcomes {
                session: Session(u64::from(by) + 1),
                number: u64::from(at),
                block: outcomes::encode(&[entry]).into(),
            })
        }
    }
}

/// The first record of a run with so many pages, each of which may be tried so often.
pub(crate) fn opened(pages: u8, attempts: u8) -> Record {
    let text = format!(
        r#"
        name = "sum"
        handler = "noop"
        queue = "default"
        grid = {{ slices = 1, pages = {{ count = {pages} }}, tile = 1 }}
        retry = {{ max_attempts = {attempts} }}
    "#
    );
    let job = parse::parse(&text, Format::Toml).expect("a job");
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
