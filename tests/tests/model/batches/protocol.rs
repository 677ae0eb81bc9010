//! Puts planners and the queue together: what may happen next, and the model that stateright walks.

use stateright::{Model, Property};

use super::planner::{self, Planner};
use super::queue::{Batch, Breaches, Heard, Queue, Stage};
use super::rules::{Faults, Rules};

/// A case to be explored: one run of some waves with as many tiles each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) rules: Rules,
    pub(crate) planners: usize,
    pub(crate) waves: u8,
    pub(crate) tiles: u8,
    pub(crate) faults: Faults,
}

/// The ledger: waves stand there in order and once, by compare-and-swap, which the main model shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ledger {
    pub(crate) waves: u8,
    /// Tiles with a success, one bit each.
    pub(crate) done: u16,
}

impl Ledger {
    /// Tiles that lack their outcome.
    pub(crate) fn open(self, tiles: u8) -> u16 {
        ((1 << (self.waves * tiles)) - 1) & !self.done
    }

    /// Writes the next wave. Returns its tiles.
    pub(crate) fn issue(&mut self, tiles: u8) -> u16 {
        let first = self.waves * tiles;
        self.waves += 1;
        ((1 << tiles) - 1) << first
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) ledger: Ledger,
    pub(crate) queue: Queue,
    pub(crate) planners: Vec<Planner>,
    /// Leaderships so far.
    pub(crate) terms: u8,
    pub(crate) left: Faults,
    pub(crate) breaches: Breaches,
    /// As in the case.
    pub(crate) waves: u8,
    pub(crate) tiles: u8,
}

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Planner(usize, planner::Step),
    /// The next message of a batch comes.
    Arrive(usize),
    /// The message that was let in is stored.
    Store(usize),
    /// Nobody waits for a batch, and what is left of it never comes.
    Vanish(usize),
    /// A worker commits a tile and acknowledges it.
    Commit(u16),
    PlannerCrash(usize),
    LoseAnswer(usize),
    BrokerCrash,
}

/// Nothing of a deposed leader, or of a batch that its leader gave up, lands once the register is claimed.
pub(crate) const FENCED: &str = "nothing lands after the claim";
/// Of several copies of a tile at most one is unmarked.
pub(crate) const ONE_UNMARKED: &str = "never two unmarked copies";
/// And that one was stored before the others.
pub(crate) const UNMARKED_FIRST: &str = "an unmarked copy is the first";
/// A tile is on the queue once.
pub(crate) const ONE_COPY: &str = "a tile is queued once";
/// Where nothing can happen any more, every tile of every wave is committed.
pub(crate) const ENDS: &str = "every tile is committed in the end";

impl Case {
    fn batches(state: &State, out: &mut Vec<Action>) {
        let storing = state.queue.is_storing();
        for (at, batch) in state.queue.batches.iter().enumerate() {
            match batch.stage {
                Stage::Storing | Stage::StoringEnded => out.push(Action::Store(at)),
                Stage::Sent | Stage::Open if storing => {}
                Stage::Sent | Stage::Open | Stage::Ended => out.push(Action::Arrive(at)),
            }
            let waits = !matches!(batch.stage, Stage::Storing | Stage::StoringEnded);
            match batch.from {
                None if waits => out.push(Action::Vanish(at)),
                Some(_) if state.left.lost_answers > 0 => out.push(Action::LoseAnswer(at)),
                Some(_) | None => {}
            }
        }
    }
}

impl State {
    fn tell(&mut self, rules: &Rules, batch: Batch, heard: Heard) {
        if let Some(from) = batch.from {
            self.planners[usize::from(from)].hear(&batch, heard, rules);
        }
    }

    fn restart_broker(&mut self, rules: &Rules) {
        for batch in std::mem::take(&mut self.queue.batches) {
            self.tell(rules, batch, Heard::Cut);
        }
        self.planners.iter_mut().for_each(Planner::reconnected);
    }

    /// Makes states alike that differ only in the sequences that were used: those in use become 0, 1, 2.
    fn renumber(&mut self) {
        let queue = &mut self.queue;
        let mut used = vec![0, queue.last, queue.register.seq, queue.claimed];
        used.extend(queue.batches.iter().map(|batch| batch.expected));
        used.extend(self.planners.iter().map(|planner| planner.register));
        used.sort_unstable();
        used.dedup();
        let rank = |seq: &mut u8| *seq = used.partition_point(|other| other < seq) as u8;
        rank(&mut queue.last);
        rank(&mut queue.register.seq);
        rank(&mut queue.claimed);
        queue
            .batches
            .iter_mut()
            .for_each(|batch| rank(&mut batch.expected));
        self.planners
            .iter_mut()
            .for_each(|planner| rank(&mut planner.register));
        queue.batches.sort_unstable();
    }
}

impl Model for Case {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            ledger: Ledger::default(),
            queue: Queue::new(),
            planners: vec![Planner::standby(); self.planners],
            terms: 0,
            left: self.faults,
            breaches: Breaches::default(),
            waves: self.waves,
            tiles: self.tiles,
        }]
    }

    fn actions(&self, state: &State, out: &mut Vec<Action>) {
        let mut steps = Vec::new();
        for p in 0..state.planners.len() {
            planner::steps(state, &self.rules, p, &mut steps);
            out.extend(steps.drain(..).map(|step| Action::Planner(p, step)));
            if state.left.planner_crashes > 0 && state.planners[p].leads() {
                out.push(Action::PlannerCrash(p));
            }
        }
        Case::batches(state, out);
        let bits = (0..16).map(|bit| 1_u16 << bit);
        out.extend(
            bits.filter(|tile| state.queue.once & tile != 0)
                .map(Action::Commit),
        );
        if state.left.broker_crashes > 0 && !state.queue.batches.is_empty() {
            out.push(Action::BrokerCrash);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Planner(p, step) => planner::take(&mut next, &self.rules, p, step),
            Action::Arrive(at) => {
                let batch = next.queue.batches[at];
                let heard = next.queue.arrive(at);
                next.tell(&self.rules, batch, heard);
            }
            Action::Store(at) => {
                let batch = next.queue.batches[at];
                let heard = next.queue.store(at, &mut next.breaches);
                next.tell(&self.rules, batch, heard);
            }
            Action::Vanish(at) => {
                next.queue.batches.remove(at);
            }
            Action::Commit(tile) => {
                next.ledger.done |= tile;
                next.queue.remove(tile);
            }
            Action::PlannerCrash(p) => {
                next.left.planner_crashes -= 1;
                let mut planner = next.planners[p];
                next.depose(p, &mut planner);
                next.planners[p] = planner;
            }
            Action::LoseAnswer(at) => {
                next.left.lost_answers -= 1;
                if let Some(from) = state.queue.batches[at].from {
                    next.lose_answer(&self.rules, usize::from(from), at);
                }
            }
            Action::BrokerCrash => {
                next.left.broker_crashes -= 1;
                next.restart_broker(&self.rules);
            }
        }
        next.renumber();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(FENCED, |_, state: &State| !state.breaches.late),
            Property::always(ONE_UNMARKED, |_, state: &State| !state.breaches.second_copy),
            Property::always(UNMARKED_FIRST, |_, state: &State| !state.breaches.late_copy),
            Property::always(ONE_COPY, |_, state: &State| state.queue.twice == 0),
            Property::always(ENDS, |case: &Case, state: &State| {
                let whole = state.ledger.waves == case.waves;
                if whole && state.ledger.open(case.tiles) == 0 {
                    return true;
                }
                let mut actions = Vec::new();
                case.actions(state, &mut actions);
                !actions.is_empty()
            }),
        ]
    }
}
