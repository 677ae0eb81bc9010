//! Puts workers, queue and ledger together: what may happen next, and the model that stateright walks.

use gridloom_shared::id::Session;
use stateright::{Model, Property};

use super::rules::{Faults, Rules};
use super::tile::{Reading, Record, Unseen, read};
use super::worker::{self, Worker};

/// Most tiles of a case.
pub(crate) const TILES: usize = 2;

/// A case to be explored. The first page of the first tile may be one that kills who executes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) rules: Rules,
    pub(crate) workers: usize,
    /// Pages of each tile.
    pub(crate) pages: [u8; TILES],
    pub(crate) poison: bool,
    /// Most workers that the poison may kill.
    pub(crate) kills: u8,
    pub(crate) faults: Faults,
}

/// A tile's message on the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Message {
    /// Delivered, its lease running as far as the broker knows.
    pub(crate) out: bool,
    /// How often the consumer remembers having delivered it; 2 stands for more than once.
    pub(crate) count: u8,
    pub(crate) below_floor: bool,
    pub(crate) again: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tile {
    pub(crate) records: Unseen<Vec<Record>>,
    /// What they add up to.
    standing: String,
    pub(crate) message: Option<Message>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) tiles: Vec<Tile>,
    pub(crate) workers: Vec<Worker>,
    /// Workers that the poison has killed.
    pub(crate) killed: u8,
    /// Sessions so far.
    sessions: Unseen<u8>,
    pub(crate) left: Faults,
}

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A step of a worker about a tile.
    Worker(usize, usize, worker::Step),
    Deliver {
        tile: usize,
        to: usize,
    },
    /// The lease of a message ends, as nobody renews it.
    Expire(usize),
    /// The poison kills a worker that executes it.
    Kill(usize),
    /// A fault: the lease ends although its holder lives.
    Freeze(usize),
    Crash(usize),
    BrokerRestart,
    BrokerForgets,
    PowerCut,
    Refill(usize),
}

/// Nobody is condemned but the poison.
pub(crate) const INNOCENT: &str = "no innocent page is condemned";
/// The poison is condemned when it has killed so many.
pub(crate) const KILLS: &str = "the poison kills no more workers than that";
/// Where nothing can happen any more, every page is committed or dead.
pub(crate) const ENDS: &str = "every page is committed or dead in the end";

impl Case {
    pub(crate) fn is_poison(&self, tile: usize, page: u8) -> bool {
        self.poison && (tile, page) == (0, 0)
    }

    pub(crate) fn pages(&self, tile: usize) -> u8 {
        self.pages[tile]
    }

    pub(crate) fn all(&self, tile: usize) -> u8 {
        (1 << self.pages[tile]) - 1
    }

    pub(crate) fn reading(&self, state: &State, tile: usize) -> Reading {
        read(&state.tiles[tile].records.0, self.pages[tile], &self.rules)
    }

    fn of_tile(&self, state: &State, tile: usize, out: &mut Vec<Action>) {
        let mut steps = Vec::new();
        for w in 0..state.workers.len() {
            worker::steps(self, state, w, tile, &mut steps);
            out.extend(steps.drain(..).map(|step| Action::Worker(w, tile, step)));
        }
        let Some(message) = state.tiles[tile].message else {
            return;
        };
        if !message.out {
            let able = (0..state.workers.len()).filter(|w| worker::may_receive(state, *w, tile));
            out.extend(able.map(|to| Action::Deliver { tile, to }));
        } else if !state.is_renewed(tile) {
            out.push(Action::Expire(tile));
        } else if state.left.freezes > 0 {
            out.push(Action::Freeze(tile));
        }
        if state.left.refills > 0 {
            out.push(Action::Refill(tile));
        }
    }
}

impl State {
    fn is_renewed(&self, tile: usize) -> bool {
        let mut holds = self.workers.iter().filter_map(|worker| worker.holds[tile]);
        holds.any(|hold| hold.leased)
    }

    fn expire(&mut self, tile: usize) {
        for worker in &mut self.workers {
            if let Some(hold) = &mut worker.holds[tile] {
                hold.leased = false;
            }
        }
        if let Some(message) = &mut self.tiles[tile].message {
            message.out = false;
        }
    }

    /// A worker dies; another starts in its place.
    fn replace(&mut self, w: usize) {
        self.workers[w] = Worker::new(self.sessions.0);
        self.sessions.0 += 1;
    }

    fn restart_broker(&mut self, forgets: bool) {
        for message in self
            .tiles
            .iter_mut()
            .filter_map(|tile| tile.message.as_mut())
        {
            message.below_floor = true;
            if forgets {
                message.out = false;
                message.count = 0;
            }
        }
        self.workers.iter_mut().for_each(Worker::reconnect);
    }

    /// Makes states alike that differ only in what sessions and fences are called: those who live are
    /// numbered, and the dead have one name, as they say nothing any more.
    fn sort(&mut self, case: &Case) {
        self.workers.sort_unstable();
        for (number, tile) in self.tiles.iter_mut().enumerate() {
            let mut reading = read(&tile.records.0, case.pages[number], &case.rules);
            let newest = std::mem::take(&mut reading.fence);
            tile.standing = format!("{reading:?}");
            for session in 0..self.sessions.0 {
                let alive = self
                    .workers
                    .iter()
                    .position(|worker| worker.session.0 == session);
                let name = alive.map_or("dead".to_owned(), |at| format!("worker {at}"));
                let session = format!("{:?}", Session(u64::from(session)));
                tile.standing = tile.standing.replace(&session, &name);
            }
            let holds = self
                .workers
                .iter_mut()
                .filter_map(|worker| worker.holds[number].as_mut());
            holds.for_each(|hold| hold.newest = hold.fence.0 == newest);
        }
    }
}

impl Model for Case {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let message = Message {
            out: false,
            count: 0,
            below_floor: false,
            again: false,
        };
        let tiles = self.pages.iter().map(|pages| Tile {
            records: Unseen::default(),
            standing: String::new(),
            message: (*pages > 0).then_some(message),
        });
        vec![State {
            tiles: tiles.collect(),
            workers: (0..self.workers as u8).map(Worker::new).collect(),
            killed: 0,
            sessions: Unseen(self.workers as u8),
            left: self.faults,
        }]
    }

    fn actions(&self, state: &State, out: &mut Vec<Action>) {
        if state.killed > self.kills {
            return;
        }
        (0..TILES).for_each(|tile| self.of_tile(state, tile, out));
        let left = &state.left;
        for (w, worker) in state.workers.iter().enumerate() {
            if self.poison && worker.executes(0, 0) {
                out.push(Action::Kill(w));
            }
            if left.worker_crashes > 0 && worker.holds.iter().any(Option::is_some) {
                out.push(Action::Crash(w));
            }
        }
        if left.broker_restarts > 0 {
            out.extend([Action::BrokerRestart, Action::BrokerForgets]);
        }
        if left.power_cuts > 0 {
            out.push(Action::PowerCut);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        let left = &mut next.left;
        match action {
            Action::Worker(w, tile, step) => worker::take(self, &mut next, w, tile, step),
            Action::Deliver { tile, to } => worker::deliver(self, &mut next, to, tile),
            Action::Expire(tile) => next.expire(tile),
            Action::Kill(w) => {
                next.killed += 1;
                next.replace(w);
            }
            Action::Freeze(tile) => {
                left.freezes -= 1;
                next.expire(tile);
            }
            Action::Crash(w) => {
                left.worker_crashes -= 1;
                next.replace(w);
            }
            Action::BrokerRestart => {
                left.broker_restarts -= 1;
                next.restart_broker(false);
            }
            Action::BrokerForgets => {
                left.broker_restarts -= 1;
                next.restart_broker(true);
            }
            Action::PowerCut => {
                left.power_cuts -= 1;
                (0..next.workers.len()).for_each(|w| next.replace(w));
                next.restart_broker(true);
            }
            Action::Refill(tile) => {
                left.refills -= 1;
                next.tiles[tile].message = Some(Message {
                    out: false,
                    count: 0,
                    below_floor: false,
                    again: true,
                });
            }
        }
        next.sort(self);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(INNOCENT, |case: &Case, state: &State| {
                (0..TILES).all(|tile| {
                    let dead = case.reading(state, tile).dead;
                    (0..case.pages(tile))
                        .all(|page| dead & 1 << page == 0 || case.is_poison(tile, page))
                })
            }),
            Property::always(KILLS, |case: &Case, state: &State| {
                state.killed <= case.kills
            }),
            Property::always(ENDS, |case: &Case, state: &State| {
                let open = |tile| case.reading(state, tile).left != 0;
                if !(0..TILES).any(open) {
                    return true;
                }
                let mut actions = Vec::new();
                case.actions(state, &mut actions);
                !actions.is_empty() || state.killed > case.kills
            }),
        ]
    }
}
