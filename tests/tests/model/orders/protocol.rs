//! Puts leaders, workers and people together: what may happen next, and the model that stateright walks.

use gridloom_shared::command::Verb;
use stateright::{Model, Property};

use super::leader::{self, Leader};
use super::ledger::{End, Facts, PAGES, Record};
use super::rules::{Faults, Rules};

/// A case to be explored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) rules: Rules,
    pub(crate) leaders: usize,
    /// What people order, each once, at any time.
    pub(crate) orders: &'static [Verb],
    pub(crate) faults: Faults,
}

/// Whoever gave an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Person {
    /// Gives it, again and again.
    Asking,
    Answered,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) ledger: Vec<Record>,
    pub(crate) leaders: Vec<Leader>,
    pub(crate) people: Vec<Person>,
    /// How often each order was given, where that changes its number.
    pub(crate) asked: Vec<u8>,
    /// Leaderships so far.
    pub(crate) terms: u8,
    pub(crate) left: Faults,
    /// As in the case.
    pub(crate) verbs: &'static [Verb],
}

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Leader(usize, leader::Step),
    Crash(usize),
    /// A worker reports what came out of an open tile.
    Report(Record),
}

/// Nothing is issued of a run that was cancelled or closed, until it is reopened.
pub(crate) const NO_WAVE: &str = "no wave behind a cancel or a closing";
/// A run is closed once, until it is reopened.
pub(crate) const ONE_CLOSING: &str = "one closing";
/// An order to cancel stands before the closing, and the closing says so.
pub(crate) const CANCELLED: &str = "a cancelled run is closed as such";
/// An order counts once, however often it is given.
pub(crate) const ONCE: &str = "an order counts once";
/// Attempts of a page are numbered on.
pub(crate) const NUMBERED: &str = "attempts are numbered on";
/// Where nothing can happen any more, the run is closed and everybody has an answer.
pub(crate) const ENDS: &str = "closed and answered in the end";

/// How a run stands behind some of its records.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Open,
    Cancelled,
    Closed,
}

/// Whether `fine` is true of every record, given how the run stood before it.
fn always(state: &State, fine: impl Fn(Standing, Record) -> bool) -> bool {
    let mut standing = Standing::Open;
    state.ledger.iter().all(|record| {
        let before = standing;
        standing = match record {
            Record::Cancelled { .. } => Standing::Cancelled,
            Record::Closed { .. } => Standing::Closed,
            Record::Reopened { .. } => Standing::Open,
            Record::Wave { .. } | Record::Outcome { .. } => standing,
        };
        fine(before, *record)
    })
}

fn cancelled_before_closed(before: Standing, record: Record) -> bool {
    match record {
        Record::Cancelled { .. } => before == Standing::Open,
        Record::Closed { end, .. } => (end == End::Cancelled) == (before == Standing::Cancelled),
        Record::Wave { .. } | Record::Reopened { .. } | Record::Outcome { .. } => true,
    }
}

fn numbered_on(state: &State) -> bool {
    let mut last = [0; PAGES as usize];
    state.ledger.iter().all(|record| {
        let Record::Wave { page, attempt, .. } = record else {
            return true;
        };
        let last = &mut last[usize::from(*page)];
        *last += 1;
        *last == *attempt
    })
}

fn counts_once(state: &State) -> bool {
    let count = |order: fn(&Record) -> bool| state.ledger.iter().filter(|r| order(r)).count();
    let given = |verb| state.verbs.iter().filter(|given| **given == verb).count();
    count(|record| matches!(record, Record::Reopened { .. })) <= given(Verb::Retry)
        && count(|record| matches!(record, Record::Cancelled { .. })) <= given(Verb::Cancel)
}

fn ends(case: &Case, state: &State) -> bool {
    let over = Facts::of(&state.ledger).fold.closing().is_some();
    // Workers of a run that is over need not report any more.
    let more = |action: &Action| !(over && matches!(action, Action::Report(_)));
    let answered = state
        .people
        .iter()
        .all(|person| *person == Person::Answered);
    if over && answered {
        return true;
    }
    let mut actions = Vec::new();
    case.actions(state, &mut actions);
    actions.iter().any(more)
}

impl Model for Case {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            ledger: Vec::new(),
            leaders: vec![Leader::standby(); self.leaders],
            people: vec![Person::Asking; self.orders.len()],
            asked: vec![0; self.orders.len()],
            terms: 0,
            left: self.faults,
            verbs: self.orders,
        }]
    }

    fn actions(&self, state: &State, out: &mut Vec<Action>) {
        let mut steps = Vec::new();
        for p in 0..state.leaders.len() {
            leader::steps(state, p, &mut steps);
            out.extend(steps.drain(..).map(|step| Action::Leader(p, step)));
            if state.left.planner_crashes > 0 && state.leaders[p].term > 0 {
                out.push(Action::Crash(p));
            }
        }
        for &(page, n, fence) in &Facts::of(&state.ledger).open {
            let report = |done| {
                Action::Report(Record::Outcome {
                    page,
                    n,
                    fence,
                    done,
                })
            };
            out.push(report(true));
            if state.left.failures > 0 {
                out.push(report(false));
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Leader(p, step) => leader::take(self, &mut next, p, step),
            Action::Crash(p) => {
                next.left.planner_crashes -= 1;
                next.leaders[p] = Leader::standby();
            }
            Action::Report(record) => {
                if matches!(record, Record::Outcome { done: false, .. }) {
                    next.left.failures -= 1;
                }
                next.ledger.push(record);
            }
        }
        // Which is which tells no two states apart.
        next.leaders.sort_unstable_by_key(|leader| leader.term);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NO_WAVE, |_, state: &State| {
                always(state, |before, record| {
                    before == Standing::Open || !matches!(record, Record::Wave { .. })
                })
            }),
            Property::always(ONE_CLOSING, |_, state: &State| {
                always(state, |before, record| {
                    before != Standing::Closed || !matches!(record, Record::Closed { .. })
                })
            }),
            Property::always(CANCELLED, |_, state: &State| {
                always(state, cancelled_before_closed)
            }),
            Property::always(ONCE, |_, state: &State| counts_once(state)),
            Property::always(NUMBERED, |_, state: &State| numbered_on(state)),
            Property::always(ENDS, ends),
        ]
    }
}
