//! All that the ledger holds under one run id, what was removed of it, and what the real fold and the real
//! planner say of the rest.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use gridloom_planner::run::order::{self, Judged};
use gridloom_planner::run::{Action, Room, Run};
use gridloom_shared::clock::UnixMs;
use gridloom_shared::command::{Command, Verb};
use gridloom_shared::id::{Fence, Nonce, Session, Term};
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::orders::{Reopened, Which};
use gridloom_shared::ledger::outcomes::{self, Entry, Failed, Retry, Status};
use gridloom_shared::ledger::record::{
    self, Closed, EndState, Forgotten, PlanRecord, Retired, TileRun, Wave, WorkRecord,
};
use gridloom_shared::limits::{CELLS_MAX, RECORD_MAX};
use gridloom_shared::tile::{TileKind, TileRef};

use crate::real::{opened, run};

/// One record. The run has one page, with one attempt at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Record {
    Opened {
        nonce: u8,
    },
    Wave {
        n: u8,
        attempt: u8,
    },
    Closed {
        succeeded: bool,
    },
    Reopened {
        term: u8,
    },
    Retired {
        nonce: Option<u8>,
        term: u8,
    },
    /// What came out of wave `n`, which stands at `fence`.
    Outcome {
        n: u8,
        fence: u8,
        done: bool,
    },
    /// What a worker says about its tile when nobody needs it any more.
    Stray,
    /// The record of a retired run by which its id is remembered.
    Remembered {
        nonce: Option<u8>,
        term: u8,
    },
    Forgotten {
        term: u8,
    },
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Subject {
    Plan,
    Work,
    Id,
}

impl Record {
    pub(crate) fn subject(self) -> Subject {
        match self {
            Record::Outcome { .. } | Record::Stray => Subject::Work,
            Record::Remembered { .. } | Record::Forgotten { .. } => Subject::Id,
            _ => Subject::Plan,
        }
    }

    /// Whether a run of which this is the last planner record is over, as the sweep sees it.
    pub(crate) fn is_end(self) -> bool {
        matches!(real(self, 0), record::Record::Plan(plan) if plan.is_end())
    }
}

/// Records, each with its sequence.
type Stored = Vec<(u8, Record)>;

/// All that was ever stored, and what of it was removed. Sequences count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ledger {
    pub(crate) history: Vec<Record>,
    gone: u64,
}

impl Ledger {
    /// A run whose page failed, and that was closed.
    pub(crate) fn failed_run() -> Ledger {
        let history = vec![
            Record::Opened { nonce: 0 },
            Record::Wave { n: 0, attempt: 1 },
            Record::Outcome {
                n: 0,
                fence: 2,
                done: false,
            },
            Record::Closed { succeeded: false },
        ];
        Ledger { history, gone: 0 }
    }

    pub(crate) fn is_gone(&self, sequence: u8) -> bool {
        self.gone >> sequence & 1 == 1
    }

    /// What was not removed.
    pub(crate) fn present(&self) -> impl DoubleEndedIterator<Item = (u8, Record)> {
        let stored = self.history.iter().enumerate();
        let stored = stored.map(|(at, record)| (at as u8 + 1, *record));
        stored.filter(|(sequence, _)| !self.is_gone(*sequence))
    }

    pub(crate) fn last(&self, subject: Subject) -> Option<(u8, Record)> {
        let mut present = self.present().rev();
        present.find(|(_, record)| record.subject() == subject)
    }

    pub(crate) fn first_of_plan(&self) -> Option<(u8, Record)> {
        let mut present = self.present();
        present.find(|(_, record)| record.subject() == Subject::Plan)
    }

    /// The last sequence on `subject`, or on any.
    pub(crate) fn last_sequence(&self, subject: Option<Subject>) -> u8 {
        let last = match subject {
            Some(subject) => self.last(subject),
            None => self.present().next_back(),
        };
        last.map_or(0, |(sequence, _)| sequence)
    }

    pub(crate) fn append(&mut self, record: Record) -> u8 {
        self.history.push(record);
        self.history.len() as u8
    }

    /// Removes what stands on `subject` below `below`.
    pub(crate) fn purge(&mut self, subject: Subject, below: u8) {
        for (at, record) in self.history.iter().enumerate() {
            let sequence = at as u8 + 1;
            if sequence < below && record.subject() == subject {
                self.gone |= 1 << sequence;
            }
        }
    }

    /// What a request under the id finds, read in three steps; here at once.
    pub(crate) fn is_free(&self) -> bool {
        let id = self.last(Subject::Id);
        self.first_of_plan().is_none()
            && id.is_none_or(|(_, record)| matches!(record, Record::Forgotten { .. }))
    }

    /// What the real fold and planner say of what is there.
    pub(crate) fn facts(&self) -> Rc<Facts> {
        thread_local! {
            static KNOWN: RefCell<HashMap<Stored, Rc<Facts>>> = RefCell::default();
        }
        let records = self.present();
        let records: Stored = records
            .filter(|(_, record)| record.subject() != Subject::Id)
            .collect();
        KNOWN.with_borrow_mut(|known| {
            let facts = known
                .entry(records)
                .or_insert_with_key(|records| Rc::new(Facts::of(records)));
            Rc::clone(facts)
        })
    }
}

/// What the real fold and the real planner say of some records.
pub(crate) struct Facts {
    fold: Fold,
    /// What comes next of the run, if it is open.
    pub(crate) next: Option<Record>,
}

impl Facts {
    fn of(records: &[(u8, Record)]) -> Facts {
        let mut fold = Fold::new(run());
        for (sequence, record) in records {
            let sequence = u64::from(*sequence);
            fold.apply(sequence, UnixMs(0), &real(*record, sequence));
        }
        let is_over = fold.closing().is_some() || fold.retired().is_some();
        let next = (!is_over).then(|| report(&fold).or_else(|| decide(&fold)));
        let next = next.flatten();
        Facts { fold, next }
    }

    /// What the planner of `term` makes of the order to retry: a record, and behind which; or an answer.
    pub(crate) fn retry(&self, term: u8) -> Result<(Record, u8), order::Judged> {
        let command = Command {
            request: 1,
            verb: Verb::Retry,
            run: run(),
            slice: None,
            page: None,
            error_like: None,
        };
        match order::judge(&self.fold, &command, Term(u64::from(term)), CELLS_MAX) {
            Judged::Write(PlanRecord::Reopened(_), shards) => {
                assert_eq!(shards, 1, "one page is dead");
                Ok((Record::Reopened { term }, self.fold.last_plan() as u8))
            }
            other => Err(other),
        }
    }
}

/// What a worker reports of the open tile.
fn report(fold: &Fold) -> Option<Record> {
    let (place, tile) = fold.open_tiles().iter().next()?;
    Some(Record::Outcome {
        n: place.wave as u8,
        fence: tile.fence.0 as u8,
        done: true,
    })
}

/// What the real `Run` writes next.
fn decide(fold: &Fold) -> Option<Record> {
    const ROOM: Room = Room {
        tiles: 1,
        pages: 1,
        record: RECORD_MAX,
    };
    let mut run = Run::new(fold.clone())?;
    Some(match run.step(ROOM, fold.position(), Term(0), UnixMs(1))? {
        Action::Decide { wave, .. } => Record::Wave {
            n: wave.n as u8,
            attempt: wave.tiles[0].attempt as u8,
        },
        Action::Close { closed, .. } => Record::Closed {
            succeeded: closed.state == EndState::Succeeded,
        },
        other => panic!("{other:?}"),
    })
}

fn real(record: Record, sequence: u64) -> record::Record {
    let term = |term: u8| Term(u64::from(term));
    let retired = |nonce: Option<u8>, of: u8| {
        PlanRecord::Retired(Retired {
            nonce: nonce.map(|nonce| Nonce(u64::from(nonce))),
            content: Some(0),
            closed_at: UnixMs(0),
            dead: 1,
            term: term(of),
        })
    };
    record::Record::Plan(match record {
        Record::Opened { nonce } => return first(nonce),
        Record::Wave { n, attempt } => PlanRecord::Wave(wave(n, attempt)),
        Record::Closed { succeeded } => PlanRecord::Closed(Closed {
            state: if succeeded {
                EndState::Succeeded
            } else {
                EndState::Failed
            },
            error: None,
            dead: u64::from(!succeeded),
            term: term(0),
        }),
        Record::Reopened { term: of } => PlanRecord::Reopened(Reopened {
            request: 1,
            which: Which::All,
            term: term(of),
        }),
        Record::Retired { nonce, term: of } | Record::Remembered { nonce, term: of } => {
            retired(nonce, of)
        }
        Record::Forgotten { term: of } => PlanRecord::Forgotten(Forgotten { term: term(of) }),
        Record::Outcome { n, fence, done } => return outcome(n, fence, done, sequence),
        Record::Stray => {
            return record::Record::Work(WorkRecord::Returned {
                session: Session(2),
                number: sequence,
                tiles: vec![tile(0)],
            });
        }
    })
}

fn first(nonce: u8) -> record::Record {
    let mut record = opened(1, 1);
    if let record::Record::Plan(PlanRecord::Opened(opened)) = &mut record {
        opened.nonce = Nonce(u64::from(nonce));
    }
    record
}

fn tile(wave: u8) -> TileRef {
    TileRef {
        wave: u32::from(wave),
        index: 0,
    }
}

fn wave(n: u8, attempt: u8) -> Wave {
    Wave {
        n: u32::from(n),
        folded: 1,
        term: Term(0),
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
    }
}

fn outcome(n: u8, fence: u8, done: bool, number: u64) -> record::Record {
    let status = if done {
        Status::Done
    } else {
        Status::Failed(Failed {
            error: "broken".into(),
            retry: Retry::Backoff,
        })
    };
    let entry = Entry {
        tile: tile(n),
        kind: TileKind::Page,
        fence: Fence(u64::from(fence)),
        slice: 0,
        first: 0,
        pages: 1,
        status,
        columns: Vec::new(),
        results: Vec::new(),
    };
    record::Record::Work(WorkRecord::Outcomes {
        session: Session(1),
        number,
        block: outcomes::encode(&[entry]).into(),
    })
}
