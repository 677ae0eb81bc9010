//! Records of made-up runs, for the oracle's own tests.

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{Fence, Nonce, RunId, Session, Term};
use gridloom_shared::job::parse::{self, Format};
use gridloom_shared::ledger::outcomes::{self, Entry as Outcome, Failed, Retry, Status};
use gridloom_shared::ledger::record::{
    Closed, EndState, Opened, PlanRecord, Reason, Record, Takeover, TileRun, Wave, WorkRecord,
};
use gridloom_shared::tile::{TileKind, TileRef};

use super::ledger::{Entry, Ledger};

pub(crate) const ANN: Session = Session(1);
pub(crate) const BOB: Session = Session(2);
pub(crate) const FIRST: TileRef = TileRef { wave: 0, index: 0 };
pub(crate) const SECOND: TileRef = TileRef { wave: 1, index: 0 };

pub(crate) fn opened() -> Record {
    let text = "name = \"a\"\nhandler = \"noop\"\n[grid]\nslices = 1\npages = { count = 2 }\n[retry]\nmax_attempts = 2";
    Record::Plan(PlanRecord::Opened(Box::new(Opened {
        nonce: Nonce(7),
        job: parse::parse(text, Format::Toml).unwrap(),
        scheduled_at: UnixMs(0),
        content: 0,
        term: Term(1),
        first: Vec::new(),
        traceparent: None,
        reports: 1,
    })))
}

pub(crate) fn wave(n: u32, first: u32, pages: u32, attempt: u32) -> Record {
    let tiles = TileRun {
        kind: TileKind::Page,
        slice: 0,
        first,
        pages,
        tiles: 1,
        attempt,
        bounds: Vec::new(),
        after: None,
    };
    Record::Plan(PlanRecord::Wave(Wave {
        n,
        folded: 1,
        term: Term(1),
        tiles: vec![tiles],
    }))
}

pub(crate) fn closed() -> Record {
    Record::Plan(PlanRecord::Closed(Closed {
        state: EndState::Succeeded,
        error: None,
        dead: 0,
        term: Term(1),
    }))
}

pub(crate) fn outcome(
    by: (Session, u64),
    tile: TileRef,
    fence: u64,
    first: u32,
    pages: u32,
    status: Status,
) -> Record {
    let entry = Outcome {
        tile,
        kind: TileKind::Page,
        fence: Fence(fence),
        slice: 0,
        first,
        pages,
        status,
        columns: Vec::new(),
        results: Vec::new(),
    };
    let block = outcomes::encode(&[entry]).into();
    Record::Work(WorkRecord::Outcomes {
        session: by.0,
        number: by.1,
        block,
    })
}

pub(crate) fn done(by: (Session, u64), tile: TileRef, fence: u64) -> Record {
    outcome(by, tile, fence, 0, 2, Status::Done)
}

pub(crate) fn failed(by: (Session, u64), tile: TileRef, fence: u64, page: u32) -> Record {
    let status = Status::Failed(Failed {
        error: "no".into(),
        retry: Retry::Backoff,
    });
    outcome(by, tile, fence, page, 1, status)
}

pub(crate) fn taken(by: (Session, u64), tile: TileRef) -> Record {
    Record::Takeover(Takeover {
        session: by.0,
        number: by.1,
        tiles: vec![tile],
        reason: Reason::Count,
    })
}

/// A run of these records behind its first one, each stored at its time. Sequences count from 1, so
/// the first wave is number 2 and its fence 2.
pub(crate) fn ledger(records: impl IntoIterator<Item = (UnixMs, Record)>) -> Ledger {
    let entry = |(seq, (at, record))| Entry {
        seq,
        at,
        record: Some(record),
    };
    let first = std::iter::once((UnixMs(1), opened()));
    Ledger {
        run: RunId::new("a_s_1").unwrap(),
        entries: (1..).zip(first.chain(records)).map(entry).collect(),
    }
}
