//! A planner's sweep, step by step, as `planner/src/service/sweep.rs` does it: look, decide, remove below the
//! decision, remember the id, remove the plan; later the id likewise.

use super::leader::append;
use super::ledger::{Record, Subject};
use super::protocol::{Case, State};
use super::rules::{Bound, Decision, Memory};

/// Where a sweep is. A planner may be frozen before each of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sweep {
    Idle,
    /// Writes `retired` behind the end that it saw.
    Retiring {
        end: u8,
        nonce: Option<u8>,
    },
    /// Removes what workers wrote.
    CutWork(Retired),
    Remember(Retired),
    CutPlan(Retired),
    /// Writes `forgotten` behind the record by which the id is remembered.
    Forgetting {
        id: u8,
    },
    CutId {
        below: u8,
    },
    /// Removes what workers wrote after the run had gone.
    CutStrays {
        below: u8,
    },
}

/// The decision that a sweep goes by: where it stands, and of which run it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Retired {
    sequence: u8,
    nonce: Option<u8>,
    term: u8,
}

/// A request to remove something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Purge {
    subject: Subject,
    below: u8,
}

impl Purge {
    pub(crate) fn arrive(self, state: &mut State) {
        state.ledger.purge(self.subject, self.below);
    }
}

/// What a planner does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Looks, and finds this to do.
    Look(Sweep),
    /// The next step of what it has begun.
    GoOn,
    /// A fault: what it writes reaches the ledger, and the answer does not reach it.
    Unheard,
    /// A fault: the purge is on its way, and the sweep ends without an answer.
    Late,
}

/// What a look finds: a run that is over or half gone, an id, or what workers wrote about a run that is gone.
fn look(case: &Case, state: &State) -> Vec<Sweep> {
    let ledger = &state.ledger;
    let mut found = Vec::new();
    match ledger.last(Subject::Plan) {
        Some((sequence, Record::Retired { nonce, term })) => found.push(Sweep::CutWork(Retired {
            sequence,
            nonce,
            term,
        })),
        Some((end, record)) if record.is_end() => {
            let nonce = match ledger.first_of_plan() {
                Some((_, Record::Opened { nonce })) => Some(nonce),
                _ => None,
            };
            found.push(Sweep::Retiring { end, nonce });
        }
        Some(_) => {}
        None if ledger.last(Subject::Work).is_some() => found.push(Sweep::CutStrays {
            below: ledger.history.len() as u8 + 1,
        }),
        None => {}
    }
    match ledger.last(Subject::Id) {
        Some((id, Record::Forgotten { .. })) => found.push(Sweep::CutId { below: id + 1 }),
        Some((id, _)) if case.forgets => found.push(Sweep::Forgetting { id }),
        _ => {}
    }
    found
}

/// The steps that planner `p` may take.
pub(crate) fn steps(case: &Case, state: &State, p: usize, out: &mut Vec<Step>) {
    let sweep = state.leaders[p].sweep;
    if sweep == Sweep::Idle {
        out.extend(look(case, state).into_iter().map(Step::Look));
        return;
    }
    out.push(Step::GoOn);
    match purge(case, sweep) {
        Some(_) if state.left.late_purges > 0 => out.push(Step::Late),
        None if state.left.lost_answers > 0 => out.push(Step::Unheard),
        _ => {}
    }
}

/// The purge that a step is, if it is one.
fn purge(case: &Case, sweep: Sweep) -> Option<Purge> {
    let (subject, below) = match sweep {
        Sweep::CutWork(retired) => (Subject::Work, retired.sequence),
        Sweep::CutPlan(retired) => (Subject::Plan, retired.sequence + 1),
        Sweep::CutId { below } => (Subject::Id, below),
        Sweep::CutStrays { below } => (Subject::Work, below),
        Sweep::Idle | Sweep::Retiring { .. } | Sweep::Remember(_) | Sweep::Forgetting { .. } => {
            return None;
        }
    };
    let below = match case.rules.bound {
        Bound::Decided => below,
        Bound::Missing => u8::MAX,
    };
    Some(Purge { subject, below })
}

/// Carries out a step of planner `p`. `None` where it would change nothing.
pub(crate) fn take(case: &Case, state: &mut State, p: usize, step: Step) -> Option<()> {
    let sweep = state.leaders[p].sweep;
    let next = match step {
        Step::Look(found) => found,
        Step::Late => {
            state.left.late_purges -= 1;
            state.air.extend(purge(case, sweep));
            state.air.sort_unstable();
            Sweep::Idle
        }
        Step::Unheard => {
            state.left.lost_answers -= 1;
            let before = state.ledger.history.len();
            write(case, state, p, sweep);
            if state.ledger.history.len() == before {
                return None;
            }
            match sweep {
                // Tried again until it is certain.
                Sweep::Retiring { .. } => sweep,
                // The next sweep finds it.
                _ => Sweep::Idle,
            }
        }
        Step::GoOn => match purge(case, sweep) {
            Some(purge) => {
                purge.arrive(state);
                behind(case, sweep)
            }
            None => write(case, state, p, sweep),
        },
    };
    state.leaders[p].sweep = next;
    Some(())
}

/// What follows a purge.
fn behind(case: &Case, sweep: Sweep) -> Sweep {
    match (sweep, case.rules.memory) {
        (Sweep::CutWork(retired), Memory::First) => Sweep::Remember(retired),
        (Sweep::CutWork(retired), Memory::Last) => Sweep::CutPlan(retired),
        (Sweep::CutPlan(retired), Memory::Last) => Sweep::Remember(retired),
        _ => Sweep::Idle,
    }
}

/// A step that writes a record, and what follows.
fn write(case: &Case, state: &mut State, p: usize, sweep: Sweep) -> Sweep {
    let term = state.leaders[p].term;
    match sweep {
        Sweep::Retiring { end, nonce } => {
            let retired = |sequence| {
                Sweep::CutWork(Retired {
                    sequence,
                    nonce,
                    term,
                })
            };
            let record = Record::Retired { nonce, term };
            match case.rules.decision {
                Decision::Looked => retired(end),
                Decision::Appended => retired(state.ledger.append(record)),
                Decision::CompareAndSwap => {
                    append(state, record, (Some(Subject::Plan), end)).map_or(Sweep::Idle, retired)
                }
            }
        }
        Sweep::Remember(retired) => {
            let record = Record::Remembered {
                nonce: retired.nonce,
                term: retired.term,
            };
            let fits = match case.rules.memory {
                Memory::First => {
                    state.ledger.last_sequence(Some(Subject::Plan)) == retired.sequence
                }
                Memory::Last => true,
            };
            if !fits {
                return Sweep::Idle;
            }
            state.ledger.append(record);
            behind_memory(case, retired)
        }
        Sweep::Forgetting { id } => {
            if state.ledger.last_sequence(Some(Subject::Id)) != id {
                return Sweep::Idle;
            }
            let forgotten = state.ledger.append(Record::Forgotten { term });
            Sweep::CutId {
                below: forgotten + 1,
            }
        }
        other => panic!("{other:?} writes nothing"),
    }
}

fn behind_memory(case: &Case, retired: Retired) -> Sweep {
    match case.rules.memory {
        Memory::First => Sweep::CutPlan(retired),
        Memory::Last => Sweep::Idle,
    }
}
