//! One leader: follows the ledger, decides waves and the closing, and carries out orders, all under
//! compare-and-swap. What it decides is the real planner's.

use gridloom_planner::run::order::Judged;
use gridloom_shared::command::{Answer, Command, Verb};

use super::ledger::{Facts, Halted, Next, Record, last_plan, ordered};
use super::protocol::{Case, Person, State};
use super::rules::{Number, Writing};
use crate::real::run;

/// A record on its way to the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Write {
    pub(crate) record: Record,
    /// Sequence of the planner's last record that it expects.
    expected: u8,
    /// The order that it carries out.
    order: Option<u8>,
    /// It was sent before, and the answer lost.
    again: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    Idle,
    /// Everything of a cancelled run is being stopped.
    Halting,
    /// It was.
    Halted,
    Writing(Write),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leader {
    /// 0 while it does not lead.
    pub(crate) term: u8,
    /// Position up to which it has read the ledger.
    known: u8,
    /// Position that it has to read before it does anything else.
    awaited: u8,
    pub(crate) phase: Phase,
}

/// What a leader does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Lead,
    Follow,
    /// Decides a wave, the halt or the closing.
    Decide,
    Halted,
    /// What it writes reaches the ledger, and the answer reaches it.
    Write,
    /// A fault: it reaches the ledger, and the answer does not reach the leader.
    WriteUnheard,
    /// A fault: both, and what the leader says does not reach the person.
    WriteUnsaid,
    /// Judges an order, and answers it or begins to write it.
    Judge(u8),
}

impl Leader {
    pub(crate) fn standby() -> Leader {
        Leader {
            term: 0,
            known: 0,
            awaited: 0,
            phase: Phase::Idle,
        }
    }

    fn read<'a>(&self, state: &'a State) -> &'a [Record] {
        &state.ledger[..usize::from(self.known)]
    }
}

/// The steps that leader `p` may take.
pub(crate) fn steps(state: &State, p: usize, out: &mut Vec<Step>) {
    let leader = &state.leaders[p];
    if leader.term == 0 {
        let led = state.leaders.iter().any(|leader| leader.term > 0);
        if !led || state.left.depositions > 0 {
            out.push(Step::Lead);
        }
        return;
    }
    if let Phase::Writing(write) = leader.phase {
        out.push(Step::Write);
        if state.left.lost_answers > 0 && !write.again {
            out.push(Step::WriteUnheard);
            if write.order.is_some() {
                out.push(Step::WriteUnsaid);
            }
        }
        return;
    }
    if usize::from(leader.known) < state.ledger.len() {
        out.push(Step::Follow);
    }
    if leader.known < leader.awaited {
        return;
    }
    match leader.phase {
        Phase::Halting => out.push(Step::Halted),
        Phase::Idle | Phase::Halted => {
            if leader.next(state).is_some() {
                out.push(Step::Decide);
            }
        }
        Phase::Writing(_) => {}
    }
    for (order, person) in (0..).zip(&state.people) {
        if *person != Person::Answered && !waits(state, leader, order) {
            out.push(Step::Judge(order));
        }
    }
}

/// Whether an order is refused as yet: it is given again later.
fn waits(state: &State, leader: &Leader, order: u8) -> bool {
    let command = state.command(order, 0);
    let judged = leader.judge(state, &command);
    let refused = matches!(judged, Judged::Answer(Answer::Refused { .. }));
    refused && command.verb == Verb::Retry
}

/// Carries out a step of leader `p`.
pub(crate) fn take(case: &Case, state: &mut State, p: usize, step: Step) {
    let mut leader = state.leaders[p];
    match step {
        Step::Lead => {
            if state.leaders.iter().any(|leader| leader.term > 0) {
                state.left.depositions -= 1;
            }
            state.terms += 1;
            leader.term = state.terms;
            leader.known = state.ledger.len() as u8;
        }
        Step::Follow => {
            leader.known = state.ledger.len() as u8;
            let goes_on = Facts::of(&state.ledger).fold.cancelled().is_none();
            if goes_on && leader.phase == Phase::Halted {
                leader.phase = Phase::Idle;
            }
        }
        Step::Halted => leader.phase = Phase::Halted,
        Step::Decide => match leader.next(state) {
            Some(Next::Write(record)) => leader.write(state, record, None),
            Some(Next::Halt) => leader.phase = Phase::Halting,
            None => {}
        },
        Step::Judge(order) => {
            let asked = state.asks(case, order);
            let command = state.command(order, asked);
            match leader.judge(state, &command) {
                Judged::Write(record, _) => {
                    let record = ordered(&record, leader.term);
                    leader.write(state, record, Some(order));
                }
                Judged::Answer(_) => state.people[usize::from(order)] = Person::Answered,
            }
        }
        Step::Write | Step::WriteUnheard | Step::WriteUnsaid => {
            if let Phase::Writing(write) = leader.phase {
                land(case, state, &mut leader, write, step);
            }
        }
    }
    state.leaders[p] = leader;
}

impl Leader {
    /// What it does of itself, having read what it knows.
    fn next(&self, state: &State) -> Option<Next> {
        let halted = match self.phase {
            Phase::Halted => Halted::Yes,
            Phase::Idle | Phase::Halting | Phase::Writing(_) => Halted::No,
        };
        Facts::of(self.read(state)).next(halted, self.term)
    }

    fn judge(&self, state: &State, command: &Command) -> Judged {
        Facts::of(self.read(state)).judge(command, self.term)
    }

    fn write(&mut self, state: &State, record: Record, order: Option<u8>) {
        self.phase = Phase::Writing(Write {
            record,
            expected: last_plan(self.read(state)),
            order,
            again: false,
        });
    }
}

fn land(case: &Case, state: &mut State, leader: &mut Leader, write: Write, step: Step) {
    let last = last_plan(&state.ledger);
    let order = write.order.is_some();
    let blind = match case.rules.writing {
        Writing::CompareAndSwap => false,
        Writing::OrdersAppended => order,
        Writing::WavesAppended => matches!(write.record, Record::Wave { .. }),
    };
    let fits = write.expected == last || blind && !write.again;
    if fits {
        state.ledger.push(write.record);
    }
    if step != Step::Write {
        state.left.lost_answers -= 1;
    }
    if step == Step::WriteUnheard {
        leader.phase = Phase::Writing(Write {
            again: true,
            ..write
        });
        return;
    }
    leader.phase = Phase::Idle;
    // As the real append does: what stands there may be one's own, whose answer was lost.
    let own = write.again && last > 0 && state.ledger[usize::from(last) - 1] == write.record;
    if fits || own {
        leader.awaited = last_plan(&state.ledger);
        if let Some(order) = write.order {
            state.people[usize::from(order)] = match step {
                Step::WriteUnsaid => Person::Asking,
                _ => Person::Answered,
            };
        }
    } else {
        leader.awaited = leader.known + 1;
    }
}

impl State {
    /// The command of an order that was given `asked` times before.
    fn command(&self, order: u8, asked: u8) -> Command {
        Command {
            request: u64::from(order * 10 + asked + 1),
            verb: self.verbs[usize::from(order)],
            run: run(),
            slice: None,
            page: None,
            error_like: None,
        }
    }

    /// How often the order was given before, if it has a new number each time.
    fn asks(&mut self, case: &Case, order: u8) -> u8 {
        if case.rules.number == Number::Kept {
            return 0;
        }
        let asked = self.asked[usize::from(order)];
        self.asked[usize::from(order)] += 1;
        asked
    }
}
