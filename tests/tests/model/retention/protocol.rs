//! Puts planners, workers and people together: what may happen next, and the model that stateright walks.

use stateright::{Model, Property};

use super::leader::{self, Act, Leader};
use super::ledger::{Ledger, Record, Subject};
use super::rules::{Faults, Rules};
use super::sweep::{self, Purge, Sweep};

/// A case to be explored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) rules: Rules,
    pub(crate) leaders: u8,
    /// A person orders `retry`, once, at any time.
    pub(crate) retry: bool,
    /// The request by which the run came to be is made again, at any time.
    pub(crate) request: bool,
    /// The time for which ids are remembered passes.
    pub(crate) forgets: bool,
    pub(crate) faults: Faults,
}

/// Whoever gave the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Person {
    Asking,
    Confirmed,
    /// Told that there is nothing to retry; or never asked.
    Refused,
}

/// The request that is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Request {
    Asking,
    Answered,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) ledger: Ledger,
    pub(crate) leaders: Vec<Leader>,
    pub(crate) person: Person,
    pub(crate) request: Request,
    /// Purges on their way whose senders wait no longer.
    pub(crate) air: Vec<Purge>,
    /// Planners so far.
    terms: u8,
    pub(crate) left: Faults,
}

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Leader(usize, leader::Step),
    Sweep(usize, sweep::Step),
    /// A planner dies, and another begins.
    Crash(usize),
    /// What comes next of an open run: its planner's wave or closing, or a worker's report of its tile.
    Run(Record),
    Stray,
    Arrive(usize),
}

/// Whatever is removed is of a run that is over, and stays so.
pub(crate) const INTACT: &str = "nothing of an open run is removed";
/// From the first record until `forgotten`, whoever asks finds it.
pub(crate) const REMEMBERED: &str = "an id is free only after it was forgotten";
/// A second first record stands behind `forgotten`.
pub(crate) const ONE_RUN: &str = "one run an id, as long as it is remembered";
/// A retry that was confirmed stands in the ledger, once.
pub(crate) const CONFIRMED: &str = "a confirmed retry stands, once";
/// Where nothing can happen any more, everybody has an answer, a run that was reopened has executed its page,
/// and nothing of any run is left but, if that is not forgotten, its id.
pub(crate) const ENDS: &str = "executed, purged and answered in the end";

/// Where the last run begins in the history.
fn last_run(ledger: &Ledger) -> usize {
    let is_first = |record: &Record| matches!(record, Record::Opened { .. });
    ledger.history.iter().rposition(is_first).unwrap_or(0)
}

fn intact(state: &State) -> bool {
    let ledger = &state.ledger;
    let begin = last_run(ledger);
    let of_run = || ledger.history.iter().enumerate().skip(begin);
    let end = of_run()
        .rfind(|(_, record)| matches!(record, Record::Closed { .. } | Record::Reopened { .. }));
    if matches!(end, Some((_, Record::Closed { .. }))) {
        return true;
    }
    of_run().all(|(at, record)| {
        let is_its_own = record.subject() != Subject::Id && *record != Record::Stray;
        !is_its_own || !ledger.is_gone(at as u8 + 1)
    })
}

fn remembered(state: &State) -> bool {
    let of_run = &state.ledger.history[last_run(&state.ledger)..];
    let is_forgotten = |record: &Record| matches!(record, Record::Forgotten { .. });
    of_run.iter().any(is_forgotten) || !state.ledger.is_free()
}

fn one_run(state: &State) -> bool {
    let mut free = true;
    state.ledger.history.iter().all(|record| match record {
        Record::Opened { .. } => std::mem::replace(&mut free, false),
        Record::Forgotten { .. } => {
            free = true;
            true
        }
        _ => true,
    })
}

fn confirmed(state: &State) -> bool {
    let history = state.ledger.history.iter();
    let reopened = history.filter(|record| matches!(record, Record::Reopened { .. }));
    let reopened = reopened.count();
    reopened <= 1 && (state.person != Person::Confirmed || reopened == 1)
}

fn ends(case: &Case, state: &State) -> bool {
    let mut actions = Vec::new();
    case.actions(state, &mut actions);
    // Neither what may be lost for ever nor what nobody waits for.
    let more = |action: &Action| !matches!(action, Action::Arrive(_) | Action::Stray);
    actions.iter().any(more) || {
        let answered = state.person != Person::Asking && state.request == Request::Answered;
        let is_left = |record| match record {
            Record::Remembered { .. } => !case.forgets,
            _ => false,
        };
        let mut left = state.ledger.present();
        let has_gone = left.all(|(_, record)| is_left(record));
        answered && executed(state) && has_gone
    }
}

/// Whether the run that was reopened has executed its page.
fn executed(state: &State) -> bool {
    let mut history = state.ledger.history.iter();
    let reopened = history.any(|record| matches!(record, Record::Reopened { .. }));
    let mut behind = history.take_while(|record| !matches!(record, Record::Opened { .. }));
    !reopened || behind.any(|record| matches!(record, Record::Outcome { done: true, .. }))
}

impl Model for Case {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            ledger: Ledger::failed_run(),
            leaders: vec![Leader::begin(); usize::from(self.leaders)],
            person: if self.retry {
                Person::Asking
            } else {
                Person::Refused
            },
            request: if self.request {
                Request::Asking
            } else {
                Request::Answered
            },
            air: Vec::new(),
            terms: 0,
            left: self.faults,
        }]
    }

    fn actions(&self, state: &State, out: &mut Vec<Action>) {
        let (mut steps, mut sweeps) = (Vec::new(), Vec::new());
        for p in 0..state.leaders.len() {
            leader::steps(state, p, &mut steps);
            out.extend(steps.drain(..).map(|step| Action::Leader(p, step)));
            sweep::steps(self, state, p, &mut sweeps);
            out.extend(sweeps.drain(..).map(|step| Action::Sweep(p, step)));
            let leader = &state.leaders[p];
            let is_busy = leader.act != Act::Idle || leader.sweep != Sweep::Idle;
            if state.left.planner_crashes > 0 && is_busy {
                out.push(Action::Crash(p));
            }
        }
        out.extend(state.ledger.facts().next.map(Action::Run));
        if state.left.strays > 0 {
            out.push(Action::Stray);
        }
        out.extend((0..state.air.len()).map(Action::Arrive));
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        if let Action::Leader(p, _) | Action::Sweep(p, _) = action
            && next.leaders[p].term == 0
        {
            next.terms += 1;
            next.leaders[p].term = next.terms;
        }
        match action {
            Action::Leader(p, step) => leader::take(self, &mut next, p, step)?,
            Action::Sweep(p, step) => sweep::take(self, &mut next, p, step)?,
            Action::Crash(p) => {
                next.left.planner_crashes -= 1;
                next.leaders[p] = Leader::begin();
            }
            Action::Run(record) => {
                next.ledger.append(record);
            }
            Action::Stray => {
                next.left.strays -= 1;
                next.ledger.append(Record::Stray);
            }
            Action::Arrive(at) => next.air.remove(at).arrive(&mut next),
        }
        // Which is which tells no two states apart.
        next.leaders.sort_unstable_by_key(|leader| leader.term);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(INTACT, |_, state: &State| intact(state)),
            Property::always(REMEMBERED, |_, state: &State| remembered(state)),
            Property::always(ONE_RUN, |_, state: &State| one_run(state)),
            Property::always(CONFIRMED, |_, state: &State| confirmed(state)),
            Property::always(ENDS, ends),
        ]
    }
}
