//! One planner: becomes leader, rewrites the register, lists, reads, decides, publishes, refills.
//!
//! No clock fences it: a planner that was deposed acts on for as long as it likes with what it knows.

use super::ledger::Record;
use super::protocol::State;
use super::queue::{Batch, Copy, Mark};
use super::rules::{LostAnswer, Period, Refill, Refused, Register, Rules, Waves};

/// What follows once the register is rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum After {
    List,
    Publish(Batch),
    Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Does not lead; also: its process has just begun anew.
    Standby,
    /// About to rewrite the register.
    Claiming(After),
    /// About to list the queue.
    Listing,
    /// The queue was listed; about to read the ledger. One bit a wave that was on the queue.
    Reading {
        listed: u32,
    },
    Idle,
    /// A batch is on its way.
    Publishing(Batch),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Planner {
    pub(crate) term: u8,
    /// Sequence of the register as this leader wrote it.
    pub(crate) register: u8,
    /// Position up to which it has read the ledger.
    pub(crate) known: u8,
    pub(crate) phase: Phase,
    /// Whether the mutation of the register still has this leader's first writing before it.
    unwritten: bool,
}

/// What a planner does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Becomes leader of a new term.
    Lead,
    Claim,
    List,
    Read,
    /// Takes in what the ledger has since.
    Follow,
    /// Writes the wave that is due.
    Decide,
    /// The periodic refill begins.
    Refill,
    /// The batch reaches the queue, and its answer the planner.
    Land,
}

impl Planner {
    pub(crate) fn standby() -> Planner {
        Planner {
            term: 0,
            register: 0,
            known: 0,
            phase: Phase::Standby,
            unwritten: false,
        }
    }

    pub(crate) fn leads(&self) -> bool {
        self.phase != Phase::Standby
    }

    /// Sequences of the queue get other names.
    pub(crate) fn renumber(&mut self, rank: impl Fn(u8) -> u8) {
        self.register = rank(self.register);
        match &mut self.phase {
            Phase::Publishing(batch) | Phase::Claiming(After::Publish(batch)) => {
                batch.expected = rank(batch.expected);
            }
            Phase::Standby
            | Phase::Claiming(_)
            | Phase::Listing
            | Phase::Reading { .. }
            | Phase::Idle => {}
        }
    }

    /// Its process dies. What it had sent may still land.
    pub(crate) fn crash(&mut self) -> Option<Batch> {
        let sent = match self.phase {
            Phase::Publishing(batch) => Some(batch),
            _ => None,
        };
        *self = Planner::standby();
        sent
    }
}

/// The steps that planner `p` may take.
pub(crate) fn steps(state: &State, rules: &Rules, p: usize, out: &mut Vec<Step>) {
    let planner = &state.planners[p];
    match planner.phase {
        Phase::Standby => {
            let led = state.planners.iter().any(Planner::leads);
            if !led || state.left.depositions > 0 {
                out.push(Step::Lead);
            }
        }
        Phase::Claiming(_) => out.push(Step::Claim),
        Phase::Listing => out.push(Step::List),
        Phase::Reading { .. } => out.push(Step::Read),
        Phase::Publishing(_) => out.push(Step::Land),
        Phase::Idle => {
            if planner.known < state.ledger.len() {
                out.push(Step::Follow);
            }
            if state
                .ledger
                .fold(planner.known, rules.failure)
                .due()
                .is_some()
            {
                out.push(Step::Decide);
            }
            // One that finds the tile on the queue changes nothing: not worth a state.
            let fold = state.ledger.fold(state.ledger.len(), rules.failure);
            let lacking = fold.open().is_some_and(|wave| !state.queue.lists(wave));
            if lacking && rules.period == Period::Periodic {
                out.push(Step::Refill);
            }
        }
    }
}

/// Carries out a step of planner `p`.
pub(crate) fn take(state: &mut State, rules: &Rules, p: usize, step: Step) {
    let mut planner = state.planners[p];
    match (step, planner.phase) {
        (Step::Lead, _) => lead(state, rules, &mut planner),
        (Step::Claim, Phase::Claiming(after)) => claim(state, rules, &mut planner, after),
        (Step::Follow, _) => planner.known = state.ledger.len(),
        (Step::Refill, _) => planner.phase = Phase::Listing,
        (Step::List, _) => {
            let bits = state
                .queue
                .messages
                .iter()
                .map(|message| 1_u32 << message.wave);
            let listed = bits.fold(0, |all, bit| all | bit);
            planner.phase = Phase::Reading { listed };
        }
        (Step::Read, Phase::Reading { listed }) => read(state, rules, &mut planner, listed),
        (Step::Decide, _) => decide(state, rules, &mut planner),
        (Step::Land, Phase::Publishing(batch)) => {
            planner.phase = if land(state, rules, batch) {
                Phase::Idle
            } else if rules.refused == Refused::AsItWas && batch.mark == Mark::None {
                Phase::Claiming(After::Publish(batch))
            } else {
                Phase::Claiming(After::List)
            };
        }
        _ => {}
    }
    state.planners[p] = planner;
}

fn lead(state: &mut State, rules: &Rules, planner: &mut Planner) {
    if state.planners.iter().any(Planner::leads) {
        state.left.depositions -= 1;
    }
    state.terms += 1;
    *planner = Planner {
        term: state.terms,
        register: 0,
        known: 0,
        phase: Phase::Claiming(After::List),
        unwritten: rules.register == Register::AfterReading,
    };
    if planner.unwritten {
        planner.phase = Phase::Listing;
    }
}

/// Only a lower term, or one's own, is overwritten; a missing register is written.
fn claim(state: &mut State, rules: &Rules, planner: &mut Planner, after: After) {
    let found = state.queue.register;
    if found.is_some_and(|held| held.term > planner.term) {
        *planner = Planner::standby();
        return;
    }
    if rules.register != Register::Missing {
        planner.register = state.queue.claim(planner.term);
    }
    planner.phase = match after {
        After::List => Phase::Listing,
        After::Rest => Phase::Idle,
        After::Publish(mut batch) => {
            batch.expected = planner.register;
            Phase::Publishing(batch)
        }
    };
}

fn read(state: &State, rules: &Rules, planner: &mut Planner, listed: u32) {
    planner.known = state.ledger.len();
    let open = state.ledger.fold(planner.known, rules.failure).open();
    let missing = open.filter(|wave| listed & (1 << wave) == 0);
    let batch = missing.map(|wave| Batch {
        wave,
        mark: again(rules),
        expected: planner.register,
    });
    planner.phase = match batch {
        Some(batch) if planner.unwritten => Phase::Claiming(After::Publish(batch)),
        None if planner.unwritten => Phase::Claiming(After::Rest),
        Some(batch) => Phase::Publishing(batch),
        None => Phase::Idle,
    };
    planner.unwritten = false;
}

fn again(rules: &Rules) -> Mark {
    match rules.refill {
        Refill::Marked => Mark::Again,
        Refill::Unmarked => Mark::None,
    }
}

fn decide(state: &mut State, rules: &Rules, planner: &mut Planner) {
    let fold = state.ledger.fold(planner.known, rules.failure);
    let Some(attempt) = fold.due() else { return };
    let now = state.ledger.fold(state.ledger.len(), rules.failure);
    if rules.waves == Waves::CompareAndSwap && fold.last_plan() != now.last_plan() {
        // Another planner's wave stands there: it is to be found, and published marked.
        planner.phase = Phase::Listing;
        return;
    }
    let folded = planner.known;
    let wave = state.ledger.append(Record::Wave { attempt, folded });
    planner.phase = Phase::Publishing(Batch {
        wave,
        mark: Mark::None,
        expected: planner.register,
    });
}

/// A batch reaches the queue. Whether the register let it pass.
pub(crate) fn land(state: &mut State, rules: &Rules, batch: Batch) -> bool {
    let passes = passes(state, rules, batch);
    if passes {
        match state.queue.store(batch) {
            Copy::Fine => {}
            Copy::Late => state.breaches.late_copy = true,
            Copy::Second => state.breaches.second_copy = true,
        }
    }
    passes
}

/// Whether the register lets a batch pass.
pub(crate) fn passes(state: &State, rules: &Rules, batch: Batch) -> bool {
    let held = state.queue.register.map(|held| held.seq);
    rules.register == Register::Missing || held == Some(batch.expected)
}

/// The answer to what planner `p` published is lost.
pub(crate) fn lose_answer(state: &mut State, rules: &Rules, p: usize) {
    let Phase::Publishing(batch) = state.planners[p].phase else {
        return;
    };
    state.orphans.push(batch);
    state.planners[p].phase = match rules.answer {
        LostAnswer::RegisterFirst => Phase::Claiming(After::List),
        LostAnswer::RefillAtOnce => Phase::Listing,
    };
}
