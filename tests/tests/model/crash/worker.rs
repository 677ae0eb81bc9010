//! One worker with a slot for each tile: delivery, takeover, pages one after the other, each announced where
//! the tile is run carefully, alone where that is asked for; outcomes that land later; and its end.

use super::protocol::{Case, State, TILES};
use super::rules::{Announcing, Rules, Second, Sign};
use super::tile::{Record, Unseen, Why, read};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Delivered, and not read.
    Socket(Option<Why>),
    /// A takeover record is on its way.
    Claiming(Why),
    /// Waits for its turn.
    Blocked,
    /// The record that announces a page is on its way.
    Starting(u8),
    Executing(u8),
    /// Every page was executed.
    Reporting,
}

/// How a tile is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Care {
    None,
    PageByPage,
    Alone,
}

/// A tile in a worker's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Hold {
    /// Whether the lease runs.
    pub(crate) leased: bool,
    pub(crate) phase: Phase,
    care: Care,
    pub(crate) fence: Unseen<u8>,
    /// Whether nobody took the tile over since.
    pub(crate) newest: bool,
    /// Pages that were not begun.
    todo: u8,
    /// Pages that were finished and are not in the ledger.
    pending: u8,
}

/// What still executes although its lease was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Zombie {
    pub(crate) page: u8,
    care: Care,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Worker {
    pub(crate) session: Unseen<u8>,
    pub(crate) holds: [Option<Hold>; TILES],
    pub(crate) zombies: [Option<Zombie>; TILES],
    /// Tiles of which it has yet to say that it lost them alive.
    returns: [bool; TILES],
}

/// What a worker does next about a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Read,
    Claim,
    /// Reads again whether it still has to be alone.
    Look,
    /// It is its turn.
    Start,
    /// The announcement lands.
    Announce,
    Finish,
    /// Outcomes land.
    Report,
    Acknowledge,
    /// Notices that the lease has ended, or that another took the tile over.
    GiveUp,
    /// What was given up ends.
    ZombieEnds,
    /// Says that it lost the tile alive.
    Return,
}

impl Phase {
    fn is_started(self) -> bool {
        matches!(
            self,
            Phase::Starting(_) | Phase::Executing(_) | Phase::Reporting
        )
    }
}

impl Worker {
    pub(crate) fn new(session: u8) -> Worker {
        Worker {
            session: Unseen(session),
            holds: [None; TILES],
            zombies: [None; TILES],
            returns: [false; TILES],
        }
    }

    /// Whether it is executing that page of that tile.
    pub(crate) fn executes(&self, tile: usize, page: u8) -> bool {
        self.holds[tile].is_some_and(|hold| hold.phase == Phase::Executing(page))
            || self.zombies[tile].is_some_and(|zombie| zombie.page == page)
    }

    /// The connection is a new one: what is not started is dropped.
    pub(crate) fn reconnect(&mut self) {
        for hold in &mut self.holds {
            *hold = hold.filter(|hold| hold.phase.is_started());
        }
    }

    /// Mirrors `worker/src/engine/careful.rs`.
    fn has_turn(&self, tile: usize, rules: &Rules) -> bool {
        let Some(own) = self.holds[tile] else {
            return false;
        };
        if self.zombies[tile].is_some() {
            return false;
        }
        if rules.second == Second::BesideOthers {
            return true;
        }
        let others = (0..TILES).filter(|other| *other != tile);
        let mut held = others.clone().filter_map(|other| self.holds[other]);
        let mut zombies = others.filter_map(|other| self.zombies[other]);
        if own.care == Care::Alone {
            let begun = |hold: Hold| {
                let executes = matches!(hold.phase, Phase::Starting(_) | Phase::Executing(_));
                executes || hold.care == Care::Alone && hold.phase.is_started()
            };
            !held.any(begun) && zombies.next().is_none()
        } else {
            !held.any(|hold| {
                hold.care == Care::Alone
                    && (hold.phase.is_started() || hold.phase == Phase::Blocked)
            }) && !zombies.any(|zombie| zombie.care == Care::Alone)
        }
    }
}

/// The steps that worker `w` may take about `tile`.
pub(crate) fn steps(case: &Case, state: &State, w: usize, tile: usize, out: &mut Vec<Step>) {
    let worker = &state.workers[w];
    if worker.returns[tile] {
        out.push(Step::Return);
    }
    if let Some(zombie) = worker.zombies[tile]
        && !case.is_poison(tile, zombie.page)
    {
        out.push(Step::ZombieEnds);
    }
    let Some(hold) = worker.holds[tile] else {
        return;
    };
    if hold.pending != 0 {
        out.push(Step::Report);
    }
    match hold.phase {
        Phase::Socket(_) => out.push(Step::Read),
        Phase::Claiming(_) => out.push(Step::Claim),
        Phase::Blocked => {
            if hold.leased && worker.has_turn(tile, &case.rules) {
                out.push(Step::Start);
            }
            let records = &state.tiles[tile].records.0;
            if hold.care == Care::Alone && care(records, case, tile) != Care::Alone {
                out.push(Step::Look);
            }
        }
        Phase::Starting(_) => out.push(Step::Announce),
        Phase::Executing(page) if hold.leased && !case.is_poison(tile, page) => {
            out.push(Step::Finish);
        }
        Phase::Executing(_) => {}
        Phase::Reporting if hold.pending == 0 && hold.leased => out.push(Step::Acknowledge),
        Phase::Reporting => {}
    }
    let claims = matches!(hold.phase, Phase::Socket(Some(_)) | Phase::Claiming(_));
    if !hold.leased || !claims && !hold.newest {
        out.push(Step::GiveUp);
    }
}

/// Carries out a step of worker `w` about `tile`.
pub(crate) fn take(case: &Case, state: &mut State, w: usize, tile: usize, step: Step) {
    let worker = &mut state.workers[w];
    let by = worker.session.0;
    match step {
        Step::Return => {
            worker.returns[tile] = false;
            state.tiles[tile].records.0.push(Record::Returned { by });
            return;
        }
        Step::ZombieEnds => {
            worker.zombies[tile] = None;
            return;
        }
        _ => {}
    }
    let Some(mut hold) = worker.holds[tile].take() else {
        return;
    };
    let records = &mut state.tiles[tile].records.0;
    match (step, hold.phase) {
        (Step::Read, Phase::Socket(_)) if !hold.leased => return,
        (Step::Read, Phase::Socket(None)) => {
            hold.todo = case.all(tile);
            hold.phase = Phase::Blocked;
        }
        (Step::Read, Phase::Socket(Some(why))) => hold.phase = Phase::Claiming(why),
        (Step::Claim, Phase::Claiming(why)) => {
            records.push(Record::Takeover { by, why });
            if !hold.leased {
                return;
            }
            let reading = read(records, case.pages(tile), &case.rules);
            hold.fence = Unseen(reading.fence);
            hold.todo = reading.left;
            hold.care = care(records, case, tile);
            hold.phase = if reading.left == 0 {
                Phase::Reporting
            } else {
                Phase::Blocked
            };
        }
        (Step::Look, _) => hold.care = care(records, case, tile),
        (Step::Start, _) => hold.go_on(),
        (Step::Announce, Phase::Starting(page)) => {
            if case.rules.announcing == Announcing::Before {
                let fence = hold.fence.0;
                records.push(Record::Started { by, page, fence });
            }
            if !hold.leased {
                state.workers[w].returns[tile] = true;
                return;
            }
            hold.phase = Phase::Executing(page);
        }
        (Step::Finish, Phase::Executing(page)) => {
            hold.pending |= 1 << page;
            hold.go_on();
        }
        (Step::Report, _) => {
            let pages = (0..case.pages(tile)).filter(|page| hold.pending & 1 << page != 0);
            records.extend(pages.map(|page| Record::Done { by, page }));
            hold.pending = 0;
        }
        (Step::Acknowledge, _) => {
            state.tiles[tile].message = None;
            return;
        }
        (Step::GiveUp, phase) => {
            worker.returns[tile] |= phase.is_started();
            if let Phase::Executing(page) = phase {
                let care = hold.care;
                worker.zombies[tile] = Some(Zombie { page, care });
            }
            return;
        }
        _ => return,
    }
    state.workers[w].holds[tile] = Some(hold);
}

impl Hold {
    /// Begins the next page, or reports.
    fn go_on(&mut self) {
        self.phase = if self.todo == 0 {
            Phase::Reporting
        } else {
            let page = self.todo.trailing_zeros() as u8;
            self.todo &= self.todo - 1;
            match self.care {
                Care::None => Phase::Executing(page),
                Care::PageByPage | Care::Alone => Phase::Starting(page),
            }
        };
    }
}

/// Why the delivery of a message may not be the first: mirrors `worker/src/takeover.rs`.
fn sign(message: &super::protocol::Message, rules: &Rules) -> Option<Why> {
    if rules.sign == Sign::FloorWins && message.below_floor {
        Some(Why::Floor)
    } else if message.count > 1 {
        Some(Why::Count)
    } else if message.again {
        Some(Why::Again)
    } else {
        message.below_floor.then_some(Why::Floor)
    }
}

/// Whether the tile's message may be delivered to worker `w`: it has none, or runs it already.
pub(crate) fn may_receive(state: &State, w: usize, tile: usize) -> bool {
    state.workers[w].holds[tile].is_none_or(|hold| hold.leased && hold.phase.is_started())
}

/// The broker delivers the tile's message to worker `w`.
pub(crate) fn deliver(case: &Case, state: &mut State, w: usize, tile: usize) {
    let Some(message) = &mut state.tiles[tile].message else {
        return;
    };
    message.out = true;
    message.count = (message.count + 1).min(2);
    let sign = sign(message, &case.rules);
    state.workers[w].holds[tile].get_or_insert(Hold {
        leased: true,
        phase: Phase::Socket(sign),
        care: Care::None,
        fence: Unseen(0),
        newest: true,
        todo: 0,
        pending: 0,
    });
}

/// How a tile with these records is run by its holder.
fn care(records: &[Record], case: &Case, tile: usize) -> Care {
    let reading = read(records, case.pages(tile), &case.rules);
    if reading
        .suspicion
        .isolates(|page| reading.left & (1 << page) != 0)
    {
        Care::Alone
    } else if reading.suspicion.takeovers() > 0 {
        Care::PageByPage
    } else {
        Care::None
    }
}
