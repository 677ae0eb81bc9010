//! What a leader does: as `planner/src/service/schedules/job.rs`, whose steps stand here one by one, with the real
//! decisions. It acts on what it last heard, and is not told that it was deposed.

use super::ledger::{Orders, Place, Question, View};
use super::protocol::{Case, Life, State};
use super::rules::{Begin, Found, Opening, Order, Reading, Takeover, Writing};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leader {
    pub(crate) term: u8,
    /// The ledger as it last read it: its next record expects that nothing stands behind it.
    pub(crate) known: Place,
    pub(crate) view: View,
    /// A decision that is not written yet.
    pub(crate) decided: Option<Place>,
    /// Runs that it has decided itself, where that is of consequence.
    mine: u8,
    /// Runs that it takes for open for ever.
    mistaken: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Hears of all that happened.
    Hear,
    Decide,
    Append,
    /// A fault: the record stands, and the answer does not reach it.
    AppendUnheard,
    Open(u8),
    /// A fault likewise.
    OpenUnheard(u8),
    Cancel(u8),
}

impl Leader {
    /// A new leader reads the last record, and who is open; definitions and pauses before it decides.
    pub(crate) fn begin(case: &Case, state: &State, term: u8) -> Leader {
        let mut view = View {
            spec: case.definitions[usize::from(state.definition)],
            since: state.since,
            pause: state.pause,
            open: state.open(),
            over: 0,
        };
        match case.rules.begin {
            Begin::Whole => {}
            Begin::WithoutPauses => view.pause = None,
            Begin::WithoutDefinition => (view.spec, view.since) = (None, state.now),
            Begin::WithoutRuns => view.open = 0,
        }
        Leader {
            term,
            known: state.ledger,
            view,
            decided: None,
            mine: 0,
            mistaken: 0,
        }
    }

    /// What it knows once it has heard everything.
    fn heard(&self, case: &Case, state: &State) -> View {
        let known = match case.rules.begin {
            Begin::WithoutRuns => self.view.open & state.open(),
            _ => state.open(),
        };
        let named = self.known.unopened();
        let ended = self.view.open & !state.open();
        View {
            spec: case.definitions[usize::from(state.definition)],
            since: state.since,
            pause: match case.rules.begin {
                Begin::WithoutPauses => None,
                _ => state.pause,
            },
            open: known | self.mistaken,
            over: (self.view.over | ended) & named,
        }
    }

    pub(crate) fn orders(&self, case: &Case, now: u8) -> Orders {
        let (known, view, term, rules) = (self.known, self.view, self.term, case.rules);
        let orders = Question {
            known,
            view,
            now,
            term,
            rules,
        }
        .ask();
        match rules.takeover {
            Takeover::OpensAgain => orders,
            Takeover::OpensItsOwn => Orders {
                open: orders.open & self.mine,
                ..orders
            },
        }
    }

    /// What it opens before its decision stands.
    fn opens_first(&self, case: &Case) -> u8 {
        let decided = self
            .decided
            .filter(|_| case.rules.order == Order::OpenFirst);
        decided.map_or(0, Place::unopened) & !self.view.open & !self.view.over
    }

    /// It reads what stands there now.
    fn read(&mut self, ledger: Place) {
        self.known = ledger;
        self.view.over &= ledger.unopened();
    }

    /// Whether there is nothing to do for it, and nothing will be for as long as ids are kept.
    pub(crate) fn rests(&self, case: &Case, state: &State) -> bool {
        let orders = self.orders(case, state.now);
        self.decided.is_none() && orders.append.is_none() && orders.open == 0 && orders.rests
    }
}

/// What the leader at `p` may do next.
pub(crate) fn steps(case: &Case, state: &State, p: usize, out: &mut Vec<Step>) {
    let leader = &state.leaders[p];
    if leader.heard(case, state) != leader.view {
        out.push(Step::Hear);
    }
    let unheard = state.left.lost_answers > 0;
    let open = match leader.decided {
        Some(_) if leader.opens_first(case) != 0 => leader.opens_first(case),
        Some(_) => {
            out.push(Step::Append);
            if unheard {
                out.push(Step::AppendUnheard);
            }
            return;
        }
        None => {
            let orders = leader.orders(case, state.now);
            if orders.append.is_some() {
                out.push(Step::Decide);
            }
            let ticks = ticks(orders.cancel & state.open());
            out.extend(ticks.map(Step::Cancel));
            orders.open
        }
    };
    out.extend(ticks(open).map(Step::Open));
    if unheard {
        out.extend(ticks(open).map(Step::OpenUnheard));
    }
}

fn ticks(bits: u8) -> impl Iterator<Item = u8> {
    (0..u8::BITS as u8).filter(move |tick| bits & 1 << tick != 0)
}

/// It does so. `None`: nothing comes of it.
pub(crate) fn take(case: &Case, state: &mut State, p: usize, step: Step) -> Option<()> {
    match step {
        Step::Hear => state.leaders[p].view = state.leaders[p].heard(case, state),
        Step::Decide => {
            let leader = &mut state.leaders[p];
            leader.decided = Some(leader.orders(case, state.now).append?);
        }
        Step::Append => append(case, state, p)?,
        Step::AppendUnheard => {
            state.left.lost_answers -= 1;
            let decided = state.leaders[p].decided;
            append(case, state, p)?;
            // It decides anew, and finds what stands there.
            if let Some(leader) = state.leaders.get_mut(p)
                && state.ledger == decided?
            {
                leader.known = before(state.ledger);
            }
        }
        Step::Open(tick) => {
            let found = open(case, state, p, tick);
            know(&mut state.leaders[p], tick, found);
        }
        Step::OpenUnheard(tick) => {
            state.left.lost_answers -= 1;
            open(case, state, p, tick);
        }
        Step::Cancel(tick) => state.runs[usize::from(tick)] = Life::Over,
    }
    Some(())
}

/// The ledger without its last record.
fn before(place: Place) -> Place {
    place.entry().map_or(Place::EMPTY, |entry| entry.before)
}

/// What its writer wants to append stands behind what it knows, or it reads what does.
fn append(case: &Case, state: &mut State, p: usize) -> Option<()> {
    let leader = &mut state.leaders[p];
    let decided = leader.decided.take()?;
    let record = decided.entry()?.record.clone();
    let fits = leader.known == state.ledger;
    if fits || case.rules.writing == Writing::Appended {
        let opens = decided.unopened() & !leader.known.unopened();
        state.ledger = state.ledger.with(record);
        leader.read(state.ledger);
        if case.rules.takeover == Takeover::OpensItsOwn {
            leader.mine |= opens;
        }
        // Who began when it was paused has read of it.
        let paused = state.pause.is_some_and(|(_, until)| until.is_none());
        state.opened_in_pause |= opens != 0 && paused && leader.term > state.paused_at;
        return Some(());
    }
    let last = state.ledger.entry()?;
    if last.record.term.0 > u64::from(leader.term) {
        // A later leadership writes the records of this job.
        state.leaders.remove(p);
        return Some(());
    }
    leader.read(state.ledger);
    if case.rules.reading == Reading::WithRuns {
        let heard = state.leaders[p].heard(case, state);
        let view = &mut state.leaders[p].view;
        (view.open, view.over) = (heard.open, heard.over);
    }
    Some(())
}

/// What became of an opening.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opened {
    Open,
    Over,
}

fn open(case: &Case, state: &mut State, p: usize, tick: u8) -> Opened {
    if state.leaders[p].view.spec.is_none() {
        // The job is gone; that it could not be opened is on record.
        return Opened::Over;
    }
    let at = usize::from(tick);
    let free = matches!(state.runs[at], Life::Never | Life::Forgotten);
    if free || case.rules.opening == Opening::Anew {
        state.opened[at] += 1;
        state.runs[at] = Life::Open;
        return Opened::Open;
    }
    match (state.runs[at], case.rules.found) {
        (Life::Over, Found::Asked) => Opened::Over,
        (Life::Over, Found::TakenForOpen) => {
            state.leaders[p].mistaken |= 1 << tick;
            Opened::Open
        }
        _ => Opened::Open,
    }
}

fn know(leader: &mut Leader, tick: u8, opened: Opened) {
    match opened {
        Opened::Open => leader.view.open |= 1 << tick,
        Opened::Over => {
            leader.view.open &= !(1 << tick);
            leader.view.over |= 1 << tick;
        }
    }
}
