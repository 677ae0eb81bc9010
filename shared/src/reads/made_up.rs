//! The ledger of a run for tests, record by record, as planners and workers would write it.

use std::time::Duration;

use super::ledger::Entry;
use crate::clock::UnixMs;
use crate::id::{Fence, Nonce, QueueName, RunId, Session, Term};
use crate::job::parse::{self, Format};
use crate::ledger::fold::Fold;
use crate::ledger::orders::{Cancelled, Closed, EndState};
use crate::ledger::outcomes::{self, Column, Failed, Retry, Status};
use crate::ledger::record::{
    Author, Opened, PlanRecord, Reason, Record, Takeover, TileRun, Wave, WorkRecord,
};
use crate::tile::{TileKind, TileRef};

/// A failure that another attempt may follow.
pub(super) fn failed(error: &str) -> Status {
    Status::Failed(Failed {
        error: error.into(),
        retry: Retry::Backoff,
    })
}

/// A failure that uses up no attempt.
pub(super) fn held(error: &str) -> Status {
    Status::Failed(Failed {
        error: error.into(),
        retry: Retry::Hold(1_000),
    })
}

/// A ledger that grows; its records stand a second apart.
pub(super) struct Story {
    pub(super) entries: Vec<Entry>,
    waves: u32,
    number: u64,
}

impl Story {
    /// A run of `slices` slices of `pages` pages, three attempts each, a second apart.
    pub(super) fn of(slices: u32, pages: u32) -> Story {
        let job = format!(
            "name = \"sum\"\nhandler = \"noop\"\n[grid]\nslices = {slices}\npages = {{ count = {pages} }}\n\
             [retry]\nmax_attempts = 3\nbackoff = {{ initial = \"1s\", factor = 1.0, jitter = 0.0 }}"
        );
        let mut story = Story {
            entries: Vec::new(),
            waves: 0,
            number: 0,
        };
        story.record(Record::Plan(PlanRecord::Opened(Box::new(Opened {
            nonce: Nonce(1),
            job: parse::parse(&job, Format::Toml).unwrap(),
            scheduled_at: UnixMs(0),
            content: 0,
            term: Term(1),
            first: Vec::new(),
            traceparent: None,
            reports: 1,
        }))));
        story
    }

    /// When the record at `sequence` was stored.
    pub(super) fn at(&self, sequence: u64) -> UnixMs {
        UnixMs(1_700_000_000_000) + Duration::from_secs(sequence)
    }

    /// Appends a record. Returns its sequence.
    pub(super) fn record(&mut self, record: Record) -> Fence {
        let sequence = self.entries.len() as u64 + 1;
        self.entries.push(Entry {
            sequence,
            at: self.at(sequence),
            queue: QueueName::new("default").unwrap(),
            run: RunId::new("sum_s_1").unwrap(),
            author: match &record {
                Record::Plan(_) => Author::Plan,
                Record::Work(_) => Author::Work,
                Record::Takeover(_) => Author::Takeover,
            },
            record: Ok(record),
        });
        Fence(sequence)
    }

    /// A wave of tiles of one page: slice, first page, how many, attempt.
    pub(super) fn wave(&mut self, tiles: &[(u32, u32, u32, u32)]) -> Fence {
        let tiles = tiles.iter().map(|(slice, first, tiles, attempt)| TileRun {
            kind: TileKind::Page,
            slice: *slice,
            first: *first,
            pages: 1,
            tiles: *tiles,
            attempt: *attempt,
            bounds: Vec::new(),
            after: None,
        });
        let wave = Wave {
            n: self.waves,
            folded: 0,
            term: Term(1),
            tiles: tiles.collect(),
        };
        self.waves += 1;
        self.record(Record::Plan(PlanRecord::Wave(wave)))
    }

    /// What a session says of a page of slice 0.
    pub(super) fn outcome(
        &mut self,
        session: u64,
        (wave, index): (u32, u32),
        fence: Fence,
        page: u32,
        status: Status,
    ) -> Fence {
        let (columns, results) = match &status {
            Status::Done => (
                vec![Column::of("rows", [5]), Column::of("bytes", [70])],
                vec![b"file-7".to_vec()],
            ),
            Status::Failed(_) => (Vec::new(), Vec::new()),
        };
        let entry = outcomes::Entry {
            tile: TileRef { wave, index },
            kind: TileKind::Page,
            fence,
            slice: 0,
            first: page,
            pages: 1,
            status,
            columns,
            results,
        };
        let number = self.next_number();
        self.record(Record::Work(WorkRecord::Outcomes {
            session: Session(session),
            number,
            block: outcomes::encode([&entry]).into(),
        }))
    }

    /// A session takes a tile over.
    pub(super) fn takeover(
        &mut self,
        session: u64,
        (wave, index): (u32, u32),
        reason: Reason,
    ) -> Fence {
        let number = self.next_number();
        self.record(Record::Takeover(Takeover {
            session: Session(session),
            number,
            tiles: vec![TileRef { wave, index }],
            reason,
        }))
    }

    /// A session announces that it executes a page.
    pub(super) fn started(
        &mut self,
        session: u64,
        (wave, index): (u32, u32),
        fence: Fence,
        page: u32,
    ) {
        let number = self.next_number();
        self.record(Record::Work(WorkRecord::Started {
            session: Session(session),
            number,
            tile: TileRef { wave, index },
            page,
            fence,
        }));
    }

    /// A session hands a tile back.
    pub(super) fn returned(&mut self, session: u64, (wave, index): (u32, u32)) {
        let number = self.next_number();
        self.record(Record::Work(WorkRecord::Returned {
            session: Session(session),
            number,
            tiles: vec![TileRef { wave, index }],
        }));
    }

    /// Somebody cancels the run.
    pub(super) fn cancelled(&mut self) {
        self.record(Record::Plan(PlanRecord::Cancelled(Cancelled {
            request: 9,
            aborted: None,
            term: Term(1),
        })));
    }

    /// The run is over.
    pub(super) fn closed(&mut self, state: EndState) {
        self.record(Record::Plan(PlanRecord::Closed(Closed {
            state,
            error: None,
            dead: 0,
            term: Term(1),
        })));
    }

    /// What it adds up to.
    pub(super) fn fold(&self) -> Fold {
        let mut fold = Fold::new(RunId::new("sum_s_1").unwrap());
        for entry in &self.entries {
            entry.fold_into(&mut fold);
        }
        fold
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }
}
