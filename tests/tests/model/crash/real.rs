//! The model's reading against the real fold, on the records about tiles that a case reaches.

use std::collections::HashSet;

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{Fence, Session, Term};
use gridloom_shared::ledger::crash;
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::outcomes::{self, Entry, Status};
use gridloom_shared::ledger::record::{self, PlanRecord, Takeover, TileRun, Wave, WorkRecord};
use gridloom_shared::tile::{TileKind, TileRef};

use super::protocol::{Case, State};
use super::rules::Rules;
use super::tile::{Record, read};
use crate::real::{opened, run};

const WAVE: u64 = 2;
const PLACE: TileRef = TileRef { wave: 0, index: 0 };

/// Compares the two on the first tile of every state. Returns how many histories there were.
pub(crate) fn agrees(case: &Case, states: Vec<State>) -> usize {
    let histories: HashSet<Vec<Record>> = states
        .into_iter()
        .map(|state| state.tiles[0].records.0.clone())
        .collect();
    for records in &histories {
        compare(records, case.pages[0]);
    }
    histories.len()
}

fn compare(records: &[Record], pages: u8) {
    let model = read(records, pages, &Rules::KEPT);
    let mut real = Fold::new(run());
    real.apply(1, UnixMs(0), &opened(pages, 1));
    real.apply(WAVE, UnixMs(0), &wave(pages));
    let mut fences = vec![WAVE];
    for (sequence, record) in (WAVE + 1..).zip(records) {
        if matches!(record, Record::Takeover { .. }) {
            fences.push(sequence);
        }
        real.apply(sequence, UnixMs(0), &translated(record, &fences, sequence));
    }
    assert_eq!(real.counts().unexpected, 0, "{records:?}");
    assert!(real.waiting().is_empty(), "{records:?}");
    let dead = real.dead().fold(0, |dead, shard| {
        assert_eq!(shard.error, crash::verdict());
        dead | 1 << shard.cell.page
    });
    assert_eq!(dead, model.dead, "{records:?}");
    let left = real.open_tiles().get(&PLACE).map_or(0, |tile| {
        tile.left
            .iter()
            .flatten()
            .fold(0, |left, page| left | 1 << page)
    });
    assert_eq!(left, model.left, "{records:?}");
}

fn wave(pages: u8) -> record::Record {
    record::Record::Plan(PlanRecord::Wave(Wave {
        n: 0,
        folded: 1,
        term: Term(1),
        tiles: vec![TileRun {
            kind: TileKind::Page,
            slice: 0,
            first: 0,
            pages: u32::from(pages),
            tiles: 1,
            attempt: 1,
            bounds: Vec::new(),
            after: None,
        }],
    }))
}

fn translated(record: &Record, fences: &[u64], number: u64) -> record::Record {
    let session = |by: u8| Session(u64::from(by));
    record::Record::Work(match *record {
        Record::Takeover { by, why } => {
            return record::Record::Takeover(Takeover {
                session: session(by),
                number,
                tiles: vec![PLACE],
                reason: why.reason(),
            });
        }
        Record::Started { by, page, fence } => WorkRecord::Started {
            session: session(by),
            number,
            tile: PLACE,
            page: u32::from(page),
            fence: Fence(fences[usize::from(fence)]),
        },
        Record::Returned { by } => WorkRecord::Returned {
            session: session(by),
            number,
            tiles: vec![PLACE],
        },
        Record::Done { by, page } => {
            let entry = Entry {
                tile: PLACE,
                kind: TileKind::Page,
                fence: Fence(WAVE),
                slice: 0,
                first: u32::from(page),
                pages: 1,
                status: Status::Done,
                columns: Vec::new(),
                results: Vec::new(),
            };
            WorkRecord::Outcomes {
                session: session(by),
                number,
                block: outcomes::encode(&[entry]).into(),
            }
        }
    })
}
