//! The model's ledger against the real fold and the real planner: what is open, and what is issued next.

use gridloom_planner::run::{Action, Event, Room, Run};
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{Fence, Session, Term};
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::outcomes::{self, Entry, Status};
use gridloom_shared::ledger::record::{Author, PlanRecord, Record, WorkRecord};
use gridloom_shared::tile::{TileKind, TileRef};

use super::protocol::Ledger;
use crate::real::{opened, run};

/// Compares them on every ledger of so many waves of `tiles` tiles.
pub(crate) fn agrees(waves: u8, tiles: u8) {
    for issued in 0..=waves {
        for done in 0..1_u16 << (issued * tiles) {
            let ledger = Ledger {
                waves: issued,
                done,
            };
            compare(ledger, waves, tiles);
        }
    }
}

fn compare(mut ledger: Ledger, waves: u8, tiles: u8) {
    let mut real = Run::new(fold(waves * tiles)).expect("an opened run");
    let mut sequence = 1;
    for _ in 0..ledger.waves {
        let wave = next(&mut real, tiles, sequence).expect("a wave");
        sequence += 1;
        let record = Record::Plan(PlanRecord::Wave(wave));
        read(&mut real, sequence, record);
        real.take(Event::Decided);
        real.take(Event::Published);
    }
    let bits = (0..u32::from(ledger.waves * tiles)).filter(|bit| ledger.done & 1 << bit != 0);
    for bit in bits {
        sequence += 1;
        read(&mut real, sequence, success(bit, u32::from(tiles)));
    }
    assert_eq!(real.fold().counts().unexpected, 0, "{ledger:?}");
    let open = real.fold().open_tiles().keys().fold(0, |open, place| {
        open | 1_u16 << (place.wave * u32::from(tiles) + place.index)
    });
    assert_eq!(open, ledger.open(tiles), "{ledger:?}");
    let issued = next(&mut real, tiles, sequence).map(|wave| {
        let [run] = &wave.tiles[..] else {
            panic!("{:?}", wave.tiles);
        };
        ((1_u16 << run.tiles) - 1) << run.first
    });
    let expected = (ledger.waves < waves).then(|| ledger.issue(tiles));
    assert_eq!(issued, expected, "{ledger:?}");
}

fn read(real: &mut Run, sequence: u64, record: Record) {
    let author = match &record {
        Record::Plan(_) => Author::Plan,
        Record::Work(_) => Author::Work,
        Record::Takeover(_) => Author::Takeover,
    };
    let entry = gridloom_planner::entry::Entry {
        sequence,
        at: UnixMs(0),
        queue: real.queue().clone(),
        run: run(),
        author,
        record: Ok(record),
    };
    real.read(&entry, Term(1));
}

fn fold(pages: u8) -> Fold {
    let mut fold = Fold::new(run());
    fold.apply(1, UnixMs(0), &opened(pages, 1));
    fold
}

fn next(run: &mut Run, tiles: u8, folded: u64) -> Option<gridloom_shared::ledger::record::Wave> {
    let room = Room {
        tiles: usize::from(tiles),
        pages: 1,
        ..Room::default()
    };
    match run.step(room, folded, Term(1), UnixMs(0)) {
        Some(Action::Decide { wave, .. }) => Some((*wave).clone()),
        _ => None,
    }
}

fn success(page: u32, tiles: u32) -> Record {
    let wave = page / tiles;
    let entry = Entry {
        tile: TileRef {
            wave,
            index: page % tiles,
        },
        kind: TileKind::Page,
        fence: Fence(u64::from(wave) + 2),
        slice: 0,
        first: page,
        pages: 1,
        status: Status::Done,
        columns: Vec::new(),
        results: Vec::new(),
    };
    Record::Work(WorkRecord::Outcomes {
        session: Session(1),
        number: u64::from(page),
        block: outcomes::encode(&[entry]).into(),
    })
}
