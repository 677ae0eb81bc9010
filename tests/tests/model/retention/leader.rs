//! What a planner writes beside its sweeps: an order to retry, and the answer to a request. Under
//! compare-and-swap, with what it knew when it decided.

use gridloom_planner::run::order::Judged;
use gridloom_shared::command::Answer;

use super::ledger::{Record, Subject};
use super::protocol::{Case, Person, Request, State};
use super::rules::Opening;
use super::sweep::Sweep;

/// Never told of its deposition: each planner of a case acts for as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leader {
    /// 0 until it does something.
    pub(crate) term: u8,
    pub(crate) act: Act,
    pub(crate) sweep: Sweep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Act {
    Idle,
    Writing {
        record: Record,
        expected: u8,
        why: Why,
    },
    Finding(Find),
}

/// What a record is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Why {
    Retry,
    Request,
}

/// The reads by which it is found out what there is under an id, in the order of the real ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Find {
    Last,
    Plan { last: u8 },
    Id { last: u8 },
}

/// What a planner does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Judges the order to retry, and answers it or begins to write it.
    Judge,
    /// Begins to answer the request.
    Take,
    /// The next step of what it has begun.
    GoOn,
    /// A fault: what it writes reaches the ledger, and the answer does not reach it.
    Unheard,
}

impl Leader {
    pub(crate) fn begin() -> Leader {
        Leader {
            term: 0,
            act: Act::Idle,
            sweep: Sweep::Idle,
        }
    }

    /// The first record that it writes for the request.
    fn first(&self) -> Record {
        Record::Opened { nonce: self.term }
    }
}

/// Appends under compare-and-swap; an own earlier try whose answer was lost is known by its bytes, as the
/// real append does. `on`: the subject that the expectation is about, or all.
pub(crate) fn append(
    state: &mut State,
    record: Record,
    (on, expected): (Option<Subject>, u8),
) -> Option<u8> {
    if state.ledger.last_sequence(on) == expected {
        return Some(state.ledger.append(record));
    }
    let last = state.ledger.last(record.subject());
    last.filter(|(_, stored)| *stored == record)
        .map(|(sequence, _)| sequence)
}

/// The steps that planner `p` may take.
pub(crate) fn steps(state: &State, p: usize, out: &mut Vec<Step>) {
    let leader = &state.leaders[p];
    match leader.act {
        Act::Idle => {
            if state.person == Person::Asking {
                out.push(Step::Judge);
            }
            if state.request == Request::Asking {
                out.push(Step::Take);
            }
        }
        Act::Writing { .. } => {
            out.push(Step::GoOn);
            if state.left.lost_answers > 0 {
                out.push(Step::Unheard);
            }
        }
        Act::Finding(_) => out.push(Step::GoOn),
    }
}

/// Carries out a step of planner `p`. `None` where it would change nothing.
pub(crate) fn take(case: &Case, state: &mut State, p: usize, step: Step) -> Option<()> {
    let leader = state.leaders[p];
    let writing = |record, expected, why| Act::Writing {
        record,
        expected,
        why,
    };
    let act = match step {
        Step::Judge => match state.ledger.facts().retry(leader.term) {
            Ok((record, expected)) => writing(record, expected, Why::Retry),
            Err(judged) => {
                state.person = answered(&judged);
                Act::Idle
            }
        },
        Step::Take => writing(leader.first(), 0, Why::Request),
        Step::GoOn => go_on(case, state, &leader),
        Step::Unheard => {
            state.left.lost_answers -= 1;
            let before = state.ledger.history.len();
            let Act::Writing {
                record,
                expected,
                why,
            } = leader.act
            else {
                return None;
            };
            append(state, record, (on(case, why), expected))?;
            if state.ledger.history.len() == before {
                return None;
            }
            leader.act
        }
    };
    state.leaders[p].act = act;
    Some(())
}

fn answered(judged: &Judged) -> Person {
    match judged {
        // It was given before.
        Judged::Answer(Answer::Done { .. }) => Person::Confirmed,
        Judged::Answer(_) => Person::Refused,
        Judged::Write(..) => panic!("{judged:?}"),
    }
}

fn on(case: &Case, why: Why) -> Option<Subject> {
    match (why, case.rules.opening) {
        (Why::Request, Opening::WholeRun) => None,
        _ => Some(Subject::Plan),
    }
}

fn go_on(case: &Case, state: &mut State, leader: &Leader) -> Act {
    match leader.act {
        Act::Idle => Act::Idle,
        Act::Writing {
            record,
            expected,
            why,
        } => match (append(state, record, (on(case, why), expected)), why) {
            (Some(_), Why::Retry) => {
                state.person = Person::Confirmed;
                Act::Idle
            }
            (Some(_), Why::Request) => {
                state.request = Request::Answered;
                Act::Idle
            }
            (None, Why::Request) => Act::Finding(Find::Last),
            // Somebody came first: it is judged anew.
            (None, Why::Retry) => Act::Idle,
        },
        Act::Finding(find) => go_on_finding(case, state, leader, find),
    }
}

fn go_on_finding(case: &Case, state: &mut State, leader: &Leader, find: Find) -> Act {
    match find {
        Find::Last => Act::Finding(Find::Plan {
            last: state.ledger.last_sequence(on(case, Why::Request)),
        }),
        Find::Plan { last } => match state.ledger.first_of_plan() {
            None => Act::Finding(Find::Id { last }),
            // The run, or the record by which it was given up: the request was made before.
            Some(_) => {
                state.request = Request::Answered;
                Act::Idle
            }
        },
        Find::Id { last } => match state.ledger.last(Subject::Id) {
            Some((_, Record::Remembered { .. })) => {
                state.request = Request::Answered;
                Act::Idle
            }
            _ => Act::Writing {
                record: leader.first(),
                expected: last,
                why: Why::Request,
            },
        },
    }
}
