//! The whole: state, actions, and how the checker walks through them.
//!
//! Every action either comes nearer to the end or uses up a fault, so every path is finite; a test
//! holds that. A state without actions is therefore where a run ends, and only there is liveness
//! judged.

use stateright::{Model, Property};

use super::claims;
use super::ledger::{Ledger, Record};
use super::planner::{self, Planner};
use super::queue::{Batch, Place, Queue};
use super::rules::{Faults, Rules, Sequences};
use super::worker::{self, Hold};

/// A case to be explored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) rules: Rules,
    pub(crate) workers: usize,
    pub(crate) planners: usize,
    pub(crate) faults: Faults,
}

/// What went wrong in an action and cannot be seen in the state behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Breaches {
    /// A tile left the queue without its outcome.
    pub(crate) acknowledged: bool,
    /// A takeover started what stood settled before it.
    pub(crate) repeated: bool,
    /// An unmarked copy was stored behind a marked one.
    pub(crate) late_copy: bool,
    /// Two unmarked copies of one tile were stored.
    pub(crate) second_copy: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) ledger: Ledger,
    pub(crate) queue: Queue,
    pub(crate) workers: Vec<Option<Hold>>,
    pub(crate) planners: Vec<Planner>,
    /// Batches whose planner does not wait for them any more.
    pub(crate) orphans: Vec<Batch>,
    /// Leaderships so far.
    pub(crate) terms: u8,
    pub(crate) left: Faults,
    pub(crate) breaches: Breaches,
}

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Worker(usize, worker::Step),
    Planner(usize, planner::Step),
    Deliver {
        seq: u8,
        to: usize,
    },
    /// The lease of a message ends, as nobody renews it.
    Expire {
        seq: u8,
    },
    OrphanLands(usize),
    OrphanVanishes(usize),
    /// A fault: the lease of a message ends although its holder lives.
    Pause {
        seq: u8,
    },
    /// A fault: the leader hands back the tile of a living worker.
    Nak {
        seq: u8,
    },
    WorkerCrash(usize),
    BrokerCrash,
    Purge,
    Recreate,
    PlannerCrash(usize),
    LoseAnswer(usize),
}

impl Case {
    /// The actions that the state allows.
    pub(crate) fn enabled(&self, state: &State, out: &mut Vec<Action>) {
        let mut steps = Vec::new();
        for w in 0..state.workers.len() {
            worker::steps(state, w, &mut steps);
            out.extend(steps.drain(..).map(|step| Action::Worker(w, step)));
        }
        let mut steps = Vec::new();
        for p in 0..state.planners.len() {
            planner::steps(state, &self.rules, p, &mut steps);
            out.extend(steps.drain(..).map(|step| Action::Planner(p, step)));
        }
        deliveries(state, out);
        for (at, batch) in state.orphans.iter().enumerate() {
            if planner::passes(state, &self.rules, *batch) {
                out.push(Action::OrphanLands(at));
            }
            out.push(Action::OrphanVanishes(at));
        }
        faults(state, out);
    }

    /// What an action makes of a state.
    pub(crate) fn after(&self, state: &State, action: Action) -> State {
        let mut next = state.clone();
        let left = &mut next.left;
        match action {
            Action::Worker(w, step) => worker::take(&mut next, &self.rules, w, step),
            Action::Planner(p, step) => planner::take(&mut next, &self.rules, p, step),
            Action::Deliver { seq, to } => worker::deliver(&mut next, &self.rules, to, seq),
            Action::Expire { seq } => worker::expire(&mut next, seq),
            Action::OrphanLands(at) => {
                let batch = next.orphans.remove(at);
                planner::land(&mut next, &self.rules, batch);
            }
            Action::OrphanVanishes(at) => {
                next.orphans.remove(at);
            }
            Action::Pause { seq } => {
                left.expiries -= 1;
                worker::expire(&mut next, seq);
            }
            Action::Nak { seq } => {
                left.naks -= 1;
                if let Some(message) = next.queue.message_mut(seq) {
                    message.place = Place::Waiting;
                }
            }
            Action::WorkerCrash(w) => {
                left.worker_crashes -= 1;
                next.workers[w] = None;
            }
            Action::BrokerCrash => {
                left.broker_crashes -= 1;
                next.queue.forget_deliveries();
                worker::reconnect(&mut next);
            }
            Action::Purge => {
                left.purges -= 1;
                next.queue.purge();
            }
            Action::Recreate => {
                left.recreations -= 1;
                next.queue.recreate(self.rules.sequences);
                worker::reconnect(&mut next);
            }
            Action::PlannerCrash(p) => {
                left.planner_crashes -= 1;
                let sent = next.planners[p].crash();
                next.orphans.extend(sent);
            }
            Action::LoseAnswer(p) => {
                left.lost_answers -= 1;
                planner::lose_answer(&mut next, &self.rules, p);
            }
        }
        next.sort();
        if self.rules.sequences == Sequences::NeverAgain {
            next.renumber();
        }
        next
    }
}

fn deliveries(state: &State, out: &mut Vec<Action>) {
    for message in &state.queue.messages {
        let seq = message.seq;
        match message.place {
            Place::Waiting => {
                let able = (0..state.workers.len()).filter(|w| worker::may_receive(state, *w, seq));
                out.extend(able.map(|to| Action::Deliver { seq, to }));
            }
            Place::Out if !worker::is_renewed(state, seq) => out.push(Action::Expire { seq }),
            Place::Out => {
                if state.left.expiries > 0 {
                    out.push(Action::Pause { seq });
                }
                if state.left.naks > 0 {
                    out.push(Action::Nak { seq });
                }
            }
        }
    }
}

fn faults(state: &State, out: &mut Vec<Action>) {
    let left = &state.left;
    if left.worker_crashes > 0 {
        let busy = (0..state.workers.len()).filter(|w| state.workers[*w].is_some());
        out.extend(busy.map(Action::WorkerCrash));
    }
    if left.broker_crashes > 0 && !state.queue.messages.is_empty() {
        out.push(Action::BrokerCrash);
    }
    if left.purges > 0 {
        out.push(Action::Purge);
    }
    if left.recreations > 0 {
        out.push(Action::Recreate);
    }
    for (p, planner) in state.planners.iter().enumerate() {
        if left.planner_crashes > 0 && planner.leads() {
            out.push(Action::PlannerCrash(p));
        }
        if left.lost_answers > 0 && matches!(planner.phase, planner::Phase::Publishing(_)) {
            out.push(Action::LoseAnswer(p));
        }
    }
}

impl State {
    /// Makes states alike that differ only in what their workers are called.
    fn sort(&mut self) {
        self.orphans.sort_unstable();
        let count = self.workers.len();
        let mut seen = vec![u8::MAX; count];
        for (record, at) in self.ledger.0.iter().zip(0_u8..) {
            if let Record::Takeover { by, .. } | Record::Outcome { by, .. } = record {
                let first = &mut seen[usize::from(*by)];
                *first = at.min(*first);
            }
        }
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|w| (seen[*w], std::cmp::Reverse(self.workers[*w])));
        if order.is_sorted() {
            return;
        }
        self.workers = order.iter().map(|w| self.workers[*w]).collect();
        let mut renamed = vec![0; count];
        for (new, old) in order.iter().enumerate() {
            renamed[*old] = new as u8;
        }
        for record in &mut self.ledger.0 {
            if let Record::Takeover { by, .. } | Record::Outcome { by, .. } = record {
                *by = renamed[usize::from(*by)];
            }
        }
    }
}

impl State {
    /// Makes states alike that differ only in the sequences that were used: those in use become
    /// 1, 2, 3 ..., and one that nothing stands at any more becomes 0, since it is never used again.
    fn renumber(&mut self) {
        let mut used: Vec<u8> = self
            .queue
            .messages
            .iter()
            .map(|message| message.seq)
            .collect();
        used.extend(self.queue.register.map(|held| held.seq));
        used.sort_unstable();
        let rank = |seq: u8| used.binary_search(&seq).map_or(0, |at| at as u8 + 1);
        self.queue.floor = used.iter().filter(|seq| **seq <= self.queue.floor).count() as u8;
        self.queue.last = used.len() as u8;
        for message in &mut self.queue.messages {
            message.seq = rank(message.seq);
        }
        if let Some(held) = &mut self.queue.register {
            held.seq = rank(held.seq);
        }
        for hold in self.workers.iter_mut().flatten() {
            hold.seq = rank(hold.seq);
            hold.copy = hold.copy.map(rank).filter(|seq| *seq > 0);
        }
        for planner in &mut self.planners {
            planner.renumber(rank);
        }
        for batch in &mut self.orphans {
            batch.expected = rank(batch.expected);
        }
    }
}

impl Model for Case {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            ledger: Ledger::default(),
            queue: Queue::new(),
            workers: vec![None; self.workers],
            planners: vec![Planner::standby(); self.planners],
            orphans: Vec::new(),
            terms: 0,
            left: self.faults,
            breaches: Breaches::default(),
        }]
    }

    fn actions(&self, state: &State, out: &mut Vec<Action>) {
        self.enabled(state, out);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        Some(self.after(state, action))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        claims::all()
    }
}
