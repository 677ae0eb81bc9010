//! One worker with one slot: delivery, read, takeover, run, append, acknowledge.
//!
//! A worker may stop between any two steps. A check and the act that follows it are two steps where
//! something may come between them: an append that was begun lands even though the lease has ended.

use super::ledger::{Outcome, Record};
use super::protocol::State;
use super::queue::{Mark, Message, Place};
use super::rules::{Append, First, Floor, Rules};

/// What a worker may believe of its hold. The broker's timer never ends before the worker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Lease {
    Running,
    /// Ended; or of an earlier connection or consumer, which ends what is not started.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Delivered, not read. All that tells whether it is the first was fixed when it was delivered:
    /// a new floor comes only with a new connection or consumer, and then it is dropped.
    Socket {
        sign: Sign,
    },
    /// A takeover record is on its way.
    Claiming,
    Executing {
        fence: u8,
    },
    /// An outcome is on its way to the ledger.
    Reporting {
        fence: u8,
        outcome: Outcome,
    },
    /// An acknowledgement is on its way.
    Acknowledging,
    /// The mutation: the outcome is appended after the acknowledgement.
    AcknowledgingFirst {
        fence: u8,
        outcome: Outcome,
    },
}

/// What a delivery says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Sign {
    CertainlyFirst,
    MaybeNot,
}

/// A tile in a worker's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Hold {
    pub(crate) wave: u8,
    pub(crate) seq: u8,
    /// Another message with the same tile, adopted.
    pub(crate) copy: Option<u8>,
    pub(crate) lease: Lease,
    pub(crate) phase: Phase,
}

impl Hold {
    pub(crate) fn has(&self, seq: u8) -> bool {
        self.seq == seq || self.copy == Some(seq)
    }

    /// Under which fence the shard is being executed, or was and is being reported.
    pub(crate) fn executes_under(&self) -> Option<u8> {
        match self.phase {
            Phase::Executing { fence }
            | Phase::Reporting { fence, .. }
            | Phase::AcknowledgingFirst { fence, .. } => Some(fence),
            Phase::Socket { .. } | Phase::Claiming | Phase::Acknowledging => None,
        }
    }

    fn is_started(&self) -> bool {
        !matches!(self.phase, Phase::Socket { .. } | Phase::Claiming)
    }
}

/// What a worker does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Reads its delivery: drops it, starts it, or begins a takeover.
    Read,
    /// Drops a first delivery, having heard of another's takeover.
    DropHeard,
    /// The takeover lands; the ledger is read up to it.
    Claim,
    /// The handler ends; the lease is checked and the outcome sent.
    Finish(Outcome),
    /// The outcome lands; the lease is checked and the acknowledgement sent.
    Report,
    /// The acknowledgement lands.
    Acknowledge,
    /// Notices that the lease has ended, or that another took the tile over, and stops.
    GiveUp,
}

/// The steps that worker `w` may take.
pub(crate) fn steps(state: &State, w: usize, out: &mut Vec<Step>) {
    let Some(hold) = &state.workers[w] else {
        return;
    };
    let session = w as u8;
    match hold.phase {
        Phase::Socket { sign } => {
            out.push(Step::Read);
            let first = sign == Sign::CertainlyFirst;
            if first && state.ledger.taken_by_another(hold.wave, hold.wave, session) {
                out.push(Step::DropHeard);
            }
        }
        Phase::Claiming => out.push(Step::Claim),
        Phase::Executing { .. } if hold.lease == Lease::Over => out.push(Step::GiveUp),
        Phase::Executing { fence } => {
            out.push(Step::Finish(Outcome::Done));
            if state.left.failures > 0 {
                out.push(Step::Finish(Outcome::Failed));
            }
            if state.ledger.taken_by_another(hold.wave, fence, session) {
                out.push(Step::GiveUp);
            }
        }
        Phase::Reporting { .. } => out.push(Step::Report),
        Phase::Acknowledging | Phase::AcknowledgingFirst { .. } => {
            out.push(Step::Acknowledge);
            if hold.lease == Lease::Over {
                out.push(Step::GiveUp);
            }
        }
    }
}

/// Whether a delivery is certainly the first of its tile: mirrors `worker/src/takeover.rs`.
fn sign(message: &Message, floor: u8, rules: &Rules) -> Sign {
    let above = message.seq > floor || rules.floor == Floor::Ignored;
    let signs = message.mark == Mark::None && above;
    if message.count == 1 && (signs || rules.first == First::CountAlone) {
        Sign::CertainlyFirst
    } else {
        Sign::MaybeNot
    }
}

/// Carries out a step of worker `w`.
pub(crate) fn take(state: &mut State, rules: &Rules, w: usize, step: Step) {
    let Some(mut hold) = state.workers[w].take() else {
        return;
    };
    let held = hold.lease == Lease::Running;
    match (step, hold.phase) {
        (Step::Read, Phase::Socket { sign }) if held => {
            hold.phase = match sign {
                Sign::CertainlyFirst => Phase::Executing { fence: hold.wave },
                Sign::MaybeNot => Phase::Claiming,
            };
        }
        (Step::Claim, Phase::Claiming) => match claim(state, rules, w, &hold) {
            Some(phase) if held => hold.phase = phase,
            Some(_) | None => return,
        },
        (Step::Finish(outcome), Phase::Executing { fence }) => {
            if outcome == Outcome::Failed {
                state.left.failures -= 1;
            }
            hold.phase = match rules.append {
                Append::BeforeAck => Phase::Reporting { fence, outcome },
                Append::AfterAck => Phase::AcknowledgingFirst { fence, outcome },
            };
        }
        (Step::Report, Phase::Reporting { fence, outcome }) => {
            state.ledger.append(Record::Outcome {
                by: w as u8,
                wave: hold.wave,
                fence,
                outcome,
            });
            if !held || rules.append == Append::AfterAck {
                return;
            }
            hold.phase = Phase::Acknowledging;
        }
        (Step::Acknowledge, phase) => {
            for seq in [Some(hold.seq), hold.copy].into_iter().flatten() {
                acknowledge(state, rules, w, seq);
            }
            let Phase::AcknowledgingFirst { fence, outcome } = phase else {
                return;
            };
            hold.phase = Phase::Reporting { fence, outcome };
        }
        _ => return,
    }
    state.workers[w] = Some(hold);
}

/// The takeover record lands and the ledger is read. What follows if the lease still runs.
fn claim(state: &mut State, rules: &Rules, w: usize, hold: &Hold) -> Option<Phase> {
    let fence = state.ledger.append(Record::Takeover {
        by: w as u8,
        wave: hold.wave,
    });
    let settled = |reading, rule| state.ledger.is_settled(hold.wave, fence, reading, rule);
    if settled(rules.reading, rules.failure) {
        return Some(Phase::Acknowledging);
    }
    if hold.lease == Lease::Running && settled(Rules::KEPT.reading, rules.failure) {
        state.breaches.repeated = true;
    }
    Some(Phase::Executing { fence })
}

/// The broker removes what stands at `seq`, whatever it is now.
fn acknowledge(state: &mut State, rules: &Rules, w: usize, seq: u8) {
    let Some(message) = state.queue.remove(seq) else {
        return;
    };
    let fold = state.ledger.fold(state.ledger.len(), rules.failure);
    let counted = match fold.newest {
        Some(newest) if newest.wave == message.wave => newest.failed,
        Some(_) | None => true,
    };
    // A zombie takes its own failure for counted. The periodic refill brings that tile back.
    let own = state.ledger.0.iter().any(|record| {
        matches!(record, Record::Outcome { by, wave, .. } if usize::from(*by) == w && *wave == message.wave)
    });
    state.breaches.acknowledged |= !(fold.done || counted || own);
}

/// Where message `seq` may be delivered: to an idle worker, or to one that runs the tile already.
pub(crate) fn may_receive(state: &State, w: usize, seq: u8) -> bool {
    match (&state.workers[w], state.queue.message(seq)) {
        (_, Some(message)) if message.place != Place::Waiting => false,
        (None, Some(_)) => true,
        (Some(hold), Some(message)) => {
            hold.wave == message.wave && matches!(hold.phase, Phase::Executing { .. })
        }
        (_, None) => false,
    }
}

/// The broker delivers message `seq` to worker `w`.
pub(crate) fn deliver(state: &mut State, rules: &Rules, w: usize, seq: u8) {
    let floor = state.queue.floor;
    let Some(message) = state.queue.message_mut(seq) else {
        return;
    };
    message.place = Place::Out;
    message.count = (message.count + 1).min(2);
    let message = *message;
    match &mut state.workers[w] {
        Some(hold) if hold.lease == Lease::Running => {
            if hold.seq != seq {
                hold.copy = Some(seq);
            }
        }
        slot => {
            *slot = Some(Hold {
                wave: message.wave,
                seq,
                copy: None,
                lease: Lease::Running,
                phase: Phase::Socket {
                    sign: sign(&message, floor, rules),
                },
            });
        }
    }
}

/// Whether a worker still renews the lease of message `seq`.
pub(crate) fn is_renewed(state: &State, seq: u8) -> bool {
    let mut holds = state.workers.iter().flatten();
    holds.any(|hold| hold.has(seq) && hold.lease == Lease::Running)
}

/// The broker's timer for message `seq` ends: so did that of everyone who had it.
pub(crate) fn expire(state: &mut State, seq: u8) {
    for hold in state.workers.iter_mut().flatten() {
        if hold.has(seq) {
            hold.lease = Lease::Over;
        }
    }
    if let Some(message) = state.queue.message_mut(seq) {
        message.place = Place::Waiting;
    }
}

/// The connection or the consumer is a new one: what is not started is dropped.
pub(crate) fn reconnect(state: &mut State) {
    for hold in state.workers.iter_mut().flatten() {
        if !hold.is_started() {
            hold.lease = Lease::Over;
        }
    }
}
