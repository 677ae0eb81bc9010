//! Puts leaders, runs and people together: what may happen next, and the model that stateright walks.

use stateright::{Model, Property};

use super::leader::{self, Leader};
use super::ledger::{Place, TIMES};
use super::rules::{Faults, Rules};

/// A case to be explored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) rules: Rules,
    /// Definitions of the job, one after the other; `None`: it is deleted. People change it at any time.
    pub(crate) definitions: &'static [Option<&'static str>],
    /// Ticks of the clock.
    pub(crate) ticks: u8,
    /// Whether runs may be open beside each other.
    pub(crate) overlap: bool,
    pub(crate) faults: Faults,
}

/// A run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Life {
    Never,
    Open,
    Over,
    /// Its id, too.
    Forgotten,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) now: u8,
    pub(crate) ledger: Place,
    /// Which definition is there, and since when.
    pub(crate) definition: u8,
    pub(crate) since: u8,
    /// The first tick of the last pause, and the first after it.
    pub(crate) pause: Option<(u8, Option<u8>)>,
    /// The leadership in which it was paused.
    pub(crate) paused_at: u8,
    /// The run of each nominal time.
    pub(crate) runs: [Life; TIMES],
    /// How often each was opened.
    pub(crate) opened: [u8; TIMES],
    pub(crate) leaders: Vec<Leader>,
    /// Leaderships so far.
    terms: u8,
    /// A leader that had read of a pause opened something in it.
    pub(crate) opened_in_pause: bool,
    pub(crate) left: Faults,
}

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Leader(usize, leader::Step),
    Begin,
    Depose,
    Crash(usize),
    /// The next tick of the clock.
    Pass,
    Over(u8),
    Change,
    Pause,
    Resume,
    Forget,
}

/// No nominal time has two, or waits twice, and none is left out.
pub(crate) const ONE_DECISION: &str = "a nominal time has one final decision";
/// Whoever leads, and whether or not its id is remembered.
pub(crate) const ONE_RUN: &str = "nothing is fired twice";
/// Each run that was opened has a decision that stands.
pub(crate) const DECIDED: &str = "no run without its decision";
/// Unless that is allowed.
pub(crate) const ALONE: &str = "no run beside another one";
pub(crate) const PAUSED: &str = "nothing opens in a pause that was read of";
/// A schedule ends as deleted only where somebody deleted it.
pub(crate) const DELETED: &str = "nothing ends that nobody ended";
/// Where the leader has nothing to do any more, and time and runs are over.
pub(crate) const CARRIED_OUT: &str = "what is pending is carried out in the end";

impl State {
    /// The runs that are open.
    pub(crate) fn open(&self) -> u8 {
        self.are(Life::Open)
    }

    fn are(&self, life: Life) -> u8 {
        let runs = self.runs.iter().zip(0..);
        runs.filter(|(run, _)| **run == life)
            .fold(0, |bits, (_, tick)| bits | 1 << tick)
    }

    /// The leader that was not deposed.
    fn leader(&self) -> Option<usize> {
        self.leaders
            .iter()
            .position(|leader| leader.term == self.terms)
    }

    fn is_paused(&self) -> bool {
        self.pause.is_some_and(|(_, until)| until.is_none())
    }
}

fn one_decision(state: &State) -> bool {
    state.ledger.entry().is_none_or(|entry| {
        let mut answers = entry.answers.iter();
        !entry.left_out && answers.all(|answers| answers.last <= 1 && answers.queued <= 1)
    })
}

fn one_run(state: &State) -> bool {
    state.opened.iter().all(|times| *times <= 1)
}

fn decided(state: &State) -> bool {
    let entry = state.ledger.entry();
    let is_decided = |tick: usize| {
        entry
            .as_ref()
            .is_some_and(|entry| entry.answers[tick].opened)
    };
    (0..TIMES).all(|tick| state.opened[tick] == 0 || is_decided(tick))
}

fn deleted(case: &Case, state: &State) -> bool {
    let so_far = &case.definitions[..=usize::from(state.definition)];
    let entry = state.ledger.entry();
    so_far.contains(&None) || entry.is_none_or(|entry| !entry.deleted)
}

/// Whether something has yet to happen: nobody may be deposed, die or change anything any more.
fn goes_on(case: &Case, state: &State) -> bool {
    let Some(leader) = state.leader() else {
        return true;
    };
    let mut steps = Vec::new();
    leader::steps(case, state, leader, &mut steps);
    !steps.is_empty() || state.now < case.ticks || state.open() != 0 || state.is_paused()
}

fn carried_out(case: &Case, state: &State) -> bool {
    if goes_on(case, state) {
        return true;
    }
    let so_far = &case.definitions[..=usize::from(state.definition)];
    let gone = so_far.contains(&None);
    let entry = state.ledger.entry();
    // Deleted before anything of it was recorded.
    gone && entry.is_none()
        || entry.is_some_and(|entry| {
            // Of a job that is gone nothing can be opened.
            let is_open = |tick: usize| state.opened[tick] > 0 || gone;
            let mut answers = entry.answers.iter().enumerate();
            let all = answers.all(|(tick, answers)| {
                let waited = answers.queued > 0 && answers.last == 0;
                !waited && (!answers.opened || is_open(tick))
            });
            all && entry.is_settled(state.now)
        })
}

impl Model for Case {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            now: 0,
            ledger: Place::EMPTY,
            definition: 0,
            since: 0,
            pause: None,
            paused_at: 0,
            runs: [Life::Never; TIMES],
            opened: [0; TIMES],
            leaders: Vec::new(),
            terms: 0,
            opened_in_pause: false,
            left: self.faults,
        }]
    }

    fn actions(&self, state: &State, out: &mut Vec<Action>) {
        let mut steps = Vec::new();
        for p in 0..state.leaders.len() {
            leader::steps(self, state, p, &mut steps);
            out.extend(steps.drain(..).map(|step| Action::Leader(p, step)));
            if state.left.crashes > 0 {
                out.push(Action::Crash(p));
            }
        }
        match state.leader() {
            None => out.push(Action::Begin),
            Some(_) if state.left.depositions > 0 => out.push(Action::Depose),
            Some(leader) => {
                let leader = &state.leaders[leader];
                let forgets = state.left.forgettings > 0 && state.are(Life::Over) != 0;
                if forgets && leader.rests(self, state) {
                    out.push(Action::Forget);
                }
            }
        }
        if state.now < self.ticks {
            out.push(Action::Pass);
        }
        let open = (0..TIMES as u8).filter(|tick| state.runs[usize::from(*tick)] == Life::Open);
        out.extend(open.map(Action::Over));
        if usize::from(state.definition) + 1 < self.definitions.len() {
            out.push(Action::Change);
        }
        if state.is_paused() {
            out.push(Action::Resume);
        } else if state.left.pauses > 0 {
            out.push(Action::Pause);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Leader(p, step) => leader::take(self, &mut next, p, step)?,
            Action::Depose => {
                next.left.depositions -= 1;
                begin(self, &mut next);
            }
            Action::Begin => begin(self, &mut next),
            Action::Crash(p) => {
                next.left.crashes -= 1;
                next.leaders.remove(p);
            }
            Action::Pass => next.now += 1,
            Action::Over(tick) => next.runs[usize::from(tick)] = Life::Over,
            Action::Change => {
                next.definition += 1;
                next.since = next.now;
            }
            Action::Pause => {
                next.left.pauses -= 1;
                next.pause = Some((next.now, None));
                next.paused_at = next.terms;
            }
            Action::Resume => {
                let now = next.now;
                next.pause = next.pause.map(|(from, _)| (from, Some(now)));
            }
            Action::Forget => {
                // Nobody sleeps for days.
                let last = next.terms;
                next.leaders.retain(|leader| leader.term == last);
                next.left.forgettings -= 1;
                let over = next.runs.iter_mut().filter(|run| **run == Life::Over);
                over.for_each(|run| *run = Life::Forgotten);
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_DECISION, |_, state: &State| one_decision(state)),
            Property::always(ONE_RUN, |_, state: &State| one_run(state)),
            Property::always(DECIDED, |_, state: &State| decided(state)),
            Property::always(ALONE, |case: &Case, state: &State| {
                case.overlap || state.open().count_ones() <= 1
            }),
            Property::always(PAUSED, |_, state: &State| !state.opened_in_pause),
            Property::always(DELETED, deleted),
            Property::always(CARRIED_OUT, carried_out),
        ]
    }
}

fn begin(case: &Case, state: &mut State) {
    state.terms += 1;
    let leader = Leader::begin(case, state, state.terms);
    state.leaders.push(leader);
}
