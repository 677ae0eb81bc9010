//! The ledger of one run as the orders' model has it, and what the real fold and the real planner say of it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::OnceLock;

use gridloom_planner::run::{Action, Event, Room, Run, order};
use gridloom_shared::clock::UnixMs;
use gridloom_shared::command::Command;
use gridloom_shared::id::{Fence, Session, Term};
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::orders::{Cancelled, Reopened, Which};
use gridloom_shared::ledger::outcomes::{self, Entry, Failed, Retry, Status};
use gridloom_shared::ledger::record::{
    self, Closed, EndState, PlanRecord, TileRun, Wave, WorkRecord,
};
use gridloom_shared::limits::{CELLS_MAX, RECORD_MAX};
use gridloom_shared::tile::{TileKind, TileRef};

use crate::real::{opened, run};

/// Pages of the run, each of which has one attempt at a time.
pub(crate) const PAGES: u8 = 2;
/// Where the run's first record stands; the model counts from it.
const OPENED: u64 = 1;

/// How a run was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum End {
    Succeeded,
    Failed,
    Cancelled,
}

/// One record. A wave has one tile of one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Record {
    Wave {
        n: u8,
        page: u8,
        attempt: u8,
        term: u8,
    },
    Closed {
        end: End,
        term: u8,
    },
    Cancelled {
        request: u8,
        term: u8,
    },
    Reopened {
        request: u8,
        term: u8,
    },
    /// What came out of the page's attempt in wave `n`, which stands at `fence`.
    Outcome {
        page: u8,
        n: u8,
        fence: u8,
        done: bool,
    },
}

impl Record {
    pub(crate) fn is_plan(&self) -> bool {
        !matches!(self, Record::Outcome { .. })
    }
}

/// What a leader does next of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Write(Record),
    Halt,
}

/// Sequence of the planner's last record.
pub(crate) fn last_plan(records: &[Record]) -> u8 {
    let last = records.iter().rposition(Record::is_plan);
    last.map_or(0, |at| at as u8 + 1)
}

/// What the real fold and the real planner say of a ledger.
pub(crate) struct Facts {
    pub(crate) fold: Fold,
    /// The open tiles: page, wave, and where that stands.
    pub(crate) open: Vec<(u8, u8, u8)>,
    next: Option<Next>,
    /// The same once everything of a cancelled run is stopped.
    halted: Option<Next>,
}

impl Facts {
    /// Of these records. What was asked before is remembered.
    pub(crate) fn of(records: &[Record]) -> Rc<Facts> {
        thread_local! {
            static KNOWN: RefCell<HashMap<Vec<Record>, Rc<Facts>>> = RefCell::default();
        }
        KNOWN.with_borrow_mut(|known| {
            if !known.contains_key(records) {
                known.insert(records.to_vec(), Rc::new(Facts::new(records)));
            }
            Rc::clone(&known[records])
        })
    }

    fn new(records: &[Record]) -> Facts {
        let fold = fold(records);
        Facts {
            open: open(&fold),
            next: decide(&fold, Halted::No),
            halted: decide(&fold, Halted::Yes),
            fold,
        }
    }

    /// What the planner of `term` decides.
    pub(crate) fn next(&self, halted: Halted, term: u8) -> Option<Next> {
        let mut next = match halted {
            Halted::No => self.next,
            Halted::Yes => self.halted,
        };
        if let Some(Next::Write(Record::Wave { term: of, .. } | Record::Closed { term: of, .. })) =
            &mut next
        {
            *of = term;
        }
        next
    }

    /// What the planner of `term` makes of an order.
    pub(crate) fn judge(&self, command: &Command, term: u8) -> order::Judged {
        order::judge(&self.fold, command, Term(u64::from(term)), CELLS_MAX)
    }
}

/// Whether everything of a cancelled run was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halted {
    No,
    Yes,
}

fn fold(records: &[Record]) -> Fold {
    static FIRST: OnceLock<record::Record> = OnceLock::new();
    let mut fold = Fold::new(run());
    let first = FIRST.get_or_init(|| opened(PAGES, 1));
    fold.apply(OPENED, UnixMs(0), first);
    for (sequence, record) in (1..).zip(records) {
        let record = real(record, sequence);
        fold.apply(OPENED + sequence, UnixMs(0), &record);
    }
    fold
}

/// Room for the next wave.
const ROOM: Room = Room {
    tiles: 1,
    pages: 1,
    record: RECORD_MAX,
};

/// What the real `Run` does next, as a leader of term 0.
fn decide(fold: &Fold, halted: Halted) -> Option<Next> {
    let mut run = Run::new(fold.clone()).expect("an opened run");
    let mut step = || {
        let action = run.step(ROOM, fold.position(), Term(0), UnixMs(1))?;
        run.take(Event::Halted);
        Some(action)
    };
    let action = match step()? {
        Action::Halt { .. } if halted == Halted::Yes => step()?,
        action => action,
    };
    Some(match action {
        Action::Decide { wave, expected } => {
            assert_eq!(expected, fold.last_plan());
            let [tiles] = &wave.tiles[..] else {
                panic!("{wave:?}");
            };
            Next::Write(Record::Wave {
                n: wave.n as u8,
                page: tiles.first as u8,
                attempt: tiles.attempt as u8,
                term: 0,
            })
        }
        Action::Close { closed, .. } => Next::Write(Record::Closed {
            end: match closed.state {
                EndState::Succeeded => End::Succeeded,
                EndState::Failed => End::Failed,
                EndState::Cancelled => End::Cancelled,
            },
            term: 0,
        }),
        Action::Halt { .. } => Next::Halt,
        other @ (Action::Refill | Action::Recall { .. } | Action::Abort { .. }) => {
            panic!("{other:?}")
        }
    })
}

fn open(fold: &Fold) -> Vec<(u8, u8, u8)> {
    let tiles = fold.open_tiles().iter();
    let mut open: Vec<_> = tiles
        .flat_map(|(place, tile)| {
            let fence = (tile.fence.0 - OPENED) as u8;
            let pages = tile.left.iter().flatten();
            pages.map(move |page| (page as u8, place.wave as u8, fence))
        })
        .collect();
    open.sort_unstable();
    open
}

/// The model's record for an order that is to be written.
pub(crate) fn ordered(record: &PlanRecord, term: u8) -> Record {
    match record {
        PlanRecord::Cancelled(cancelled) => Record::Cancelled {
            request: cancelled.request as u8,
            term,
        },
        PlanRecord::Reopened(reopened) => Record::Reopened {
            request: reopened.request as u8,
            term,
        },
        other => panic!("{other:?}"),
    }
}

fn real(record: &Record, sequence: u64) -> record::Record {
    let term = |term: u8| Term(u64::from(term));
    record::Record::Plan(match *record {
        Record::Wave {
            n,
            page,
            attempt,
            term: of,
        } => PlanRecord::Wave(Wave {
            n: u32::from(n),
            folded: OPENED,
            term: term(of),
            tiles: vec![TileRun {
                kind: TileKind::Page,
                slice: 0,
                first: u32::from(page),
                pages: 1,
                tiles: 1,
                attempt: u32::from(attempt),
                bounds: Vec::new(),
                after: None,
            }],
        }),
        Record::Closed { end, term: of } => PlanRecord::Closed(Closed {
            state: match end {
                End::Succeeded => EndState::Succeeded,
                End::Failed => EndState::Failed,
                End::Cancelled => EndState::Cancelled,
            },
            error: None,
            dead: 0,
            term: term(of),
        }),
        Record::Cancelled { request, term: of } => PlanRecord::Cancelled(Cancelled {
            request: u64::from(request),
            aborted: None,
            term: term(of),
        }),
        Record::Reopened { request, term: of } => PlanRecord::Reopened(Reopened {
            request: u64::from(request),
            which: Which::All,
            term: term(of),
        }),
        Record::Outcome {
            page,
            n,
            fence,
            done,
        } => return outcome(page, n, fence, done, sequence),
    })
}

fn outcome(page: u8, n: u8, fence: u8, done: bool, number: u64) -> record::Record {
    let failed = || Failed {
        error: "broken".into(),
        retry: Retry::Backoff,
    };
    let entry = Entry {
        tile: TileRef {
            wave: u32::from(n),
            index: 0,
        },
        kind: TileKind::Page,
        fence: Fence(OPENED + u64::from(fence)),
        slice: 0,
        first: u32::from(page),
        pages: 1,
        status: if done {
            Status::Done
        } else {
            Status::Failed(failed())
        },
        columns: Vec::new(),
        results: Vec::new(),
    };
    record::Record::Work(WorkRecord::Outcomes {
        session: Session(1),
        number,
        block: outcomes::encode(&[entry]).into(),
    })
}
