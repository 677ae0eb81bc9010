//! One planner beside open batches: claims the register step by step, lists, reads, decides, publishes.

use super::protocol::{Ledger, State};
use super::queue::{Batch, Heard, Mark, Stage};
use super::rules::{Barrier, Cut, LostAnswer, Rules};

/// What a claim does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Claim {
    /// Writes the register for the first time.
    Write,
    /// Switches open batches off.
    Off,
    /// Writes the register once more.
    WriteAgain,
    /// Switches them off once more.
    OffAgain,
    /// Switches them on, and returns.
    On,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Phase {
    Standby,
    Claiming(Claim),
    Idle,
    /// The queue was listed; about to read the ledger.
    Reading {
        listed: u16,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Planner {
    pub(crate) term: u8,
    /// Sequence of the register as this leader wrote it.
    pub(crate) register: u8,
    /// What it has read of the ledger.
    pub(crate) known: Ledger,
    pub(crate) phase: Phase,
    /// Whether the queue may lack tiles that the ledger has.
    stale: bool,
    /// The mutation: what was cut off is sent again.
    again: Option<(Mark, u16)>,
}

/// What a planner does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Lead,
    Claim(Claim),
    List,
    Read,
    Follow,
    Decide,
}

impl Planner {
    pub(crate) fn standby() -> Planner {
        Planner {
            term: 0,
            register: 0,
            known: Ledger::default(),
            phase: Phase::Standby,
            stale: false,
            again: None,
        }
    }

    pub(crate) fn leads(&self) -> bool {
        self.phase != Phase::Standby
    }

    fn claim(&mut self) {
        self.phase = Phase::Claiming(Claim::Write);
    }

    /// The connection was lost in the middle of a claim: it begins anew.
    pub(crate) fn reconnected(&mut self) {
        if matches!(self.phase, Phase::Claiming(_)) {
            self.claim();
        }
    }

    /// Its batch that expected `register` has ended.
    pub(crate) fn hear(&mut self, batch: &Batch, heard: Heard, rules: &Rules) {
        if heard != Heard::Cut || rules.cut == Cut::Ignored || !self.leads() {
            return;
        }
        if rules.cut == Cut::AsItWas {
            self.again = Some((batch.mark, batch.all));
        } else {
            self.stale = true;
        }
        let claiming = matches!(self.phase, Phase::Claiming(_));
        if batch.expected == self.register && !claiming {
            self.claim();
        }
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
        Phase::Claiming(claim @ (Claim::Write | Claim::WriteAgain)) => {
            if !state.queue.is_storing() {
                out.push(Step::Claim(claim));
            }
        }
        Phase::Claiming(claim) => out.push(Step::Claim(claim)),
        Phase::Reading { .. } => out.push(Step::Read),
        Phase::Idle => {
            if planner.known != state.ledger {
                out.push(Step::Follow);
            }
            let publishing = state.publishes(p);
            // A listing that finds every tile changes nothing: not worth a state.
            let lacking = state.ledger.open(state.tiles) & !state.queue.once != 0;
            if !publishing && (planner.stale || lacking && rules.cut != Cut::Ignored) {
                out.push(Step::List);
            }
            if !planner.stale && planner.known.waves < state.waves {
                out.push(Step::Decide);
            }
        }
    }
}

/// Carries out a step of planner `p`.
pub(crate) fn take(state: &mut State, rules: &Rules, p: usize, step: Step) {
    let mut planner = state.planners[p];
    match step {
        Step::Lead => {
            if state.planners.iter().any(Planner::leads) {
                state.left.depositions -= 1;
            }
            state.terms += 1;
            planner.term = state.terms;
            planner.claim();
        }
        Step::Claim(claim) => go_on(state, rules, p, &mut planner, claim),
        Step::Follow => planner.known = state.ledger,
        Step::List => {
            planner.phase = Phase::Reading {
                listed: state.queue.once,
            };
        }
        Step::Read => {
            let Phase::Reading { listed } = planner.phase else {
                return;
            };
            planner.known = state.ledger;
            planner.phase = Phase::Idle;
            planner.stale = false;
            let missing = planner.known.open(state.tiles) & !listed;
            if missing != 0 {
                state.send(p, &planner, Mark::Again, missing);
            }
        }
        Step::Decide if planner.known.waves == state.ledger.waves => {
            let tiles = state.ledger.issue(state.tiles);
            planner.known.waves = state.ledger.waves;
            state.send(p, &planner, Mark::None, tiles);
        }
        // Another planner's wave stands there: it is to be found, and published marked.
        Step::Decide => planner.stale = true,
    }
    state.planners[p] = planner;
}

fn go_on(state: &mut State, rules: &Rules, p: usize, planner: &mut Planner, claim: Claim) {
    let queue = &mut state.queue;
    let next = match claim {
        Claim::Write if queue.register.term > planner.term => {
            state.depose(p, planner);
            return;
        }
        Claim::Write => {
            planner.register = queue.write(planner.term);
            match rules.barrier {
                Barrier::Missing => Claim::On,
                Barrier::UntilQuiet | Barrier::Twice | Barrier::Once => Claim::Off,
            }
        }
        // Somebody else wrote it: whether this leader may is judged anew.
        Claim::WriteAgain if queue.register.seq != planner.register => Claim::Write,
        Claim::WriteAgain => {
            let quiet = queue.last == planner.register;
            planner.register = queue.write(planner.term);
            match rules.barrier {
                Barrier::UntilQuiet if quiet => Claim::On,
                Barrier::UntilQuiet => Claim::Off,
                Barrier::Twice | Barrier::Once | Barrier::Missing => Claim::OffAgain,
            }
        }
        Claim::Off => {
            queue.forbid();
            match rules.barrier {
                Barrier::Once | Barrier::Missing => Claim::On,
                Barrier::UntilQuiet | Barrier::Twice => Claim::WriteAgain,
            }
        }
        Claim::OffAgain => {
            queue.forbid();
            Claim::On
        }
        Claim::On => {
            queue.permitted = true;
            queue.claimed = queue.claimed.max(planner.register);
            return returned(state, p, planner);
        }
    };
    planner.phase = Phase::Claiming(next);
}

/// The claim has returned: what was published before may be missing.
fn returned(state: &mut State, p: usize, planner: &mut Planner) {
    planner.known = state.ledger;
    planner.phase = Phase::Idle;
    match planner.again.take() {
        Some((mark, tiles)) => state.send(p, planner, mark, tiles),
        None => planner.stale = true,
    }
}

impl State {
    /// Whether a batch of planner `p` is on its way that it waits for.
    pub(crate) fn publishes(&self, p: usize) -> bool {
        let mut batches = self.queue.batches.iter();
        batches.any(|batch| batch.from.map(usize::from) == Some(p))
    }

    fn send(&mut self, p: usize, planner: &Planner, mark: Mark, tiles: u16) {
        self.queue.batches.push(Batch {
            from: Some(p as u8),
            mark,
            expected: planner.register,
            tiles,
            all: tiles,
            stage: Stage::Sent,
        });
    }

    /// The planner stops leading, and waits for nothing.
    pub(crate) fn depose(&mut self, p: usize, planner: &mut Planner) {
        *planner = Planner::standby();
        for batch in &mut self.queue.batches {
            batch.from = batch.from.filter(|from| usize::from(*from) != p);
        }
    }

    /// Planner `p` waits no longer for a batch.
    pub(crate) fn lose_answer(&mut self, rules: &Rules, p: usize, at: usize) {
        self.queue.batches[at].from = None;
        let planner = &mut self.planners[p];
        planner.stale = true;
        let claiming = matches!(planner.phase, Phase::Claiming(_));
        let own = self.queue.batches[at].expected == planner.register;
        if rules.answer == LostAnswer::RegisterFirst && own && !claiming {
            planner.claim();
        }
    }
}
