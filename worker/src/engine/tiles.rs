//! The tiles that this worker holds: the one table of them, and the counts that follow from it.
//!
//! A tile's [`Phase`] changes only here, so that slots, running handlers and what waits for its
//! acknowledgement are counted right whatever happens to a tile. Pure: it starts and says nothing.
//!
//! | phase | takes a slot | its handler runs | waits to be acknowledged |
//! |---|---|---|---|
//! | `Context`, `Claiming`, `Blocked`, `Starting` | yes | - | - |
//! | `Running` | yes | yes | - |
//! | `Reporting` | - | - | yes |
//! | `Paused` | beyond as many as there are slots | - | - |
//! | (lost while its handler ran) | until that ends | yes | - |
//! | (left behind: its handler blocks its thread) | until that ends | yes | - |

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::ledger::record::Reason;
use gridloom_shared::quick::QuickMap;
use gridloom_shared::tile::Tile;

use crate::lease::{Action, Event, Lease, Loss};
use crate::shard::{End, Lent};

mod held;

pub(super) use held::{Held, Holding, Phase, Receipt, TileKey};

/// Tiles that are remembered as handed back by this worker. Forgetting one is harmless, so this holds up nothing.
const GIVEN_BACK_MAX: usize = 10_000;
/// How much later than it should a handler may end before its slot counts as lost. The crew itself ends
/// whatever lets it, 50 ms after its time.
const SLACK: Duration = Duration::from_millis(500);
/// How long a tile that came beyond the slots waits for one while none frees, and how long at most.
const SURPLUS: Duration = Duration::from_millis(100);
const SURPLUS_MOST: Duration = Duration::from_secs(1);
/// A tick that is so late says that the machine or this process was frozen: then nothing is judged that the
/// crew had no chance to end.
const FROZEN: Duration = Duration::from_millis(250);

pub(super) struct Tiles {
    held: QuickMap<TileKey, Held>,
    counts: Counts,
    /// Tiles that were lost while their handler ran, and it still runs: which holding it was.
    zombies: HashMap<TileKey, Zombie>,
    /// Holdings whose handlers still run although all is said about their tiles: by generation.
    strays: HashSet<u64>,
    /// How many zombies should have ended long ago.
    stubborn: u32,
    last_tick: Boot,
    /// When a handler began last.
    last_start: Boot,
    /// Since when ticks came in time.
    steady: Boot,
    /// Tiles that this worker handed back, and the delivery count that they have if nobody else had
    /// them since.
    given_back: HashMap<TileKey, u64>,
    generation: u64,
}

/// How many tiles are in which phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    preparing: u32,
    starting: u32,
    running: u32,
    reporting: u32,
    paused: u32,
}

impl Counts {
    fn of(&mut self, phase: Phase) -> &mut u32 {
        match phase {
            Phase::Context | Phase::Claiming | Phase::Blocked => &mut self.preparing,
            Phase::Starting => &mut self.starting,
            Phase::Running => &mut self.running,
            Phase::Reporting => &mut self.reporting,
            Phase::Paused(_) => &mut self.paused,
        }
    }
}

/// The handler of a tile that was lost.
#[derive(Clone, Copy, Debug)]
struct Zombie {
    generation: u64,
    since: Boot,
}

/// Whose handler has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// That of a tile that is held.
    Held,
    /// That of a tile that was lost meanwhile; it may be held again, and wait for this.
    Zombie,
    Nobody,
}

/// What time asks for.
#[derive(Debug, Default)]
pub(super) struct Due {
    pub(super) lost: Vec<(TileKey, Loss)>,
    pub(super) renew: Vec<TileKey>,
    /// Tiles that cannot start here for long, and those that came beyond the slots and found none.
    pub(super) back: Vec<TileKey>,
    /// Attempts that are out of time and do not end.
    pub(super) overdue: Vec<(TileKey, Lent)>,
    /// Tiles of cancelled runs whose handlers do not end.
    pub(super) stubborn: Vec<TileKey>,
    /// Tiles that the crew has not taken up, and since when.
    pub(super) untaken: Vec<(TileKey, Boot)>,
    /// Tiles that cannot start here as long as some handler does not end.
    pub(super) haunted: Vec<TileKey>,
}

/// The table.
impl Tiles {
    pub(super) fn new(now: Boot) -> Tiles {
        Tiles {
            held: QuickMap::default(),
            counts: Counts::default(),
            zombies: HashMap::new(),
            strays: HashSet::new(),
            stubborn: 0,
            last_tick: now,
            last_start: now,
            steady: now,
            given_back: HashMap::new(),
            generation: 0,
        }
    }

    pub(super) fn get(&self, key: TileKey) -> Option<&Held> {
        self.held.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: TileKey) -> Option<&mut Held> {
        self.held.get_mut(&key)
    }

    /// The tile, if this holding of it is not over.
    pub(super) fn of(&self, holding: Holding) -> Option<&Held> {
        self.held
            .get(&holding.tile)
            .filter(|held| held.generation() == holding.generation)
    }

    pub(super) fn of_mut(&mut self, holding: Holding) -> Option<&mut Held> {
        self.held
            .get_mut(&holding.tile)
            .filter(|held| held.generation() == holding.generation)
    }

    /// Whether `holding` is still what it was when something was said about it, and under its lease.
    pub(super) fn is_held(&self, holding: Holding, now: Boot) -> bool {
        self.of(holding).is_some_and(|held| held.lease.is_held(now))
    }

    pub(super) fn contains(&self, key: TileKey) -> bool {
        self.held.contains_key(&key)
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (TileKey, &Held)> {
        self.held.iter().map(|(key, held)| (*key, held))
    }

    /// Tiles that are not started and of which `which` says yes.
    pub(super) fn unstarted(&self, which: impl Fn(&Held) -> bool) -> Vec<TileKey> {
        let unstarted = self.iter().filter(|(_, held)| !held.phase().is_started());
        let wanted = unstarted.filter(|(_, held)| which(held));
        wanted.map(|(key, _)| key).collect()
    }

    /// Whether anything of the run is held, or still runs although it was lost.
    pub(super) fn has_any_of(&self, opened: u64) -> bool {
        self.holds_any_of(opened) || self.zombies.keys().any(|key| key.opened == opened)
    }

    pub(super) fn holds_any_of(&self, opened: u64) -> bool {
        self.held.keys().any(|key| key.opened == opened)
    }

    /// Whether a handler runs, or is about to, for any tile but this one.
    pub(super) fn executes_beside(&self, key: TileKey) -> bool {
        let mut held = self.iter();
        held.any(|(other, held)| other != key && held.phase().is_executing())
    }

    /// Whether the handler of a lost holding of this tile still runs.
    pub(super) fn is_haunted(&self, key: TileKey) -> bool {
        !self.zombies.is_empty() && self.zombies.contains_key(&key)
    }

    /// Whether this very worker handed the tile back, and nobody had it since.
    pub(super) fn was_given_back(&self, key: TileKey, delivered: u64) -> bool {
        self.given_back.get(&key) == Some(&delivered)
    }
}

/// What happens to a tile.
impl Tiles {
    /// Takes in a tile that was delivered just now.
    pub(super) fn take(
        &mut self,
        tile: Arc<Tile>,
        lane: usize,
        receipt: Receipt,
        lease: Lease,
        reason: Option<Reason>,
        now: Boot,
    ) -> TileKey {
        self.generation += 1;
        let generation = self.generation;
        let held = Held::new(tile, lane, receipt, lease, reason, generation, now);
        let key = held.key();
        *self.counts.of(held.phase()) += 1;
        self.held.insert(key, held);
        key
    }

    /// Moves a tile on.
    pub(super) fn enter(&mut self, key: TileKey, phase: Phase) -> Option<&mut Held> {
        let held = self.held.get_mut(&key)?;
        let before = self.counts.of(held.phase());
        *before = before.saturating_sub(1);
        *self.counts.of(phase) += 1;
        held.enter(phase);
        Some(held)
    }

    /// Takes a tile out of the table. A handler that runs goes on, in its slot.
    pub(super) fn release(&mut self, key: TileKey) -> Option<Held> {
        let held = self.held.remove(&key)?;
        let count = self.counts.of(held.phase());
        *count = count.saturating_sub(1);
        if held.phase() == Phase::Running {
            let zombie = Zombie {
                generation: held.generation(),
                // No tick need have been since it began: time is looked at seldom where nothing is held.
                since: self.last_tick.max(self.last_start),
            };
            self.zombies.insert(key, zombie);
        }
        Some(held)
    }

    /// A handler has ended.
    pub(super) fn ended(&mut self, holding: Holding) -> Ended {
        let zombie = self.zombies.get(&holding.tile);
        if zombie.is_some_and(|zombie| zombie.generation == holding.generation) {
            self.zombies.remove(&holding.tile);
            Ended::Zombie
        } else if !self.strays.is_empty() && self.strays.remove(&holding.generation) {
            Ended::Nobody
        } else if self.of(holding).is_some() {
            Ended::Held
        } else {
            Ended::Nobody
        }
    }

    /// The tile's handler does not end, and is waited for no more: it keeps its slot alone.
    pub(super) fn leave_behind(&mut self, key: TileKey) -> Option<&mut Held> {
        let held = self.enter(key, Phase::Reporting)?;
        let generation = held.generation();
        self.strays.insert(generation);
        self.held.get_mut(&key)
    }

    /// A handler begins.
    pub(super) fn note_start(&mut self, now: Boot) {
        self.last_start = now;
    }

    /// The tile waits for a slot, from now on if it did not before.
    pub(super) fn note_surplus(&mut self, key: TileKey, now: Boot) {
        if let Some(held) = self.held.get_mut(&key) {
            held.surplus.get_or_insert(now);
        }
    }

    /// The tile is given back, having been delivered so many times.
    pub(super) fn note_given_back(&mut self, key: TileKey, delivered: u64) {
        if self.given_back.len() >= GIVEN_BACK_MAX {
            self.given_back.clear();
        }
        self.given_back.insert(key, delivered + 1);
    }

    /// What time asks for: leases that end, are to be renewed, pauses that are over.
    pub(super) fn tick(&mut self, now: Boot) -> Due {
        let mut due = Due::default();
        let rested = self.held.is_empty() && self.zombies.is_empty();
        if now.since(self.last_tick) > FROZEN && !rested {
            self.steady = now;
        }
        self.last_tick = now;
        let steady = now.since(self.steady) >= SLACK;
        let stubborn = |zombie: &&Zombie| now.since(zombie.since) >= SLACK;
        self.stubborn = self.zombies.values().filter(stubborn).count() as u32;
        let lost = self.lost_slots() > 0;
        for (key, held) in &mut self.held {
            let late = |since: Boot| {
                now.since(since.max(self.last_start)) >= SURPLUS || now.since(since) >= SURPLUS_MOST
            };
            match held.phase() {
                Phase::Blocked if held.surplus.is_some_and(late) => due.back.push(*key),
                Phase::Running if steady => look_after(*key, held, now, &mut due),
                Phase::Blocked if lost => {
                    let zombie = self.zombies.get(key);
                    if zombie.as_ref().is_some_and(stubborn) || held.is_alone() {
                        due.haunted.push(*key);
                    }
                }
                _ => {}
            }
            match (held.phase(), held.lease.step(Event::Tick, now)) {
                (_, Some(Action::Abandon(loss))) => due.lost.push((*key, loss)),
                (Phase::Paused(until), _) if now >= until => due.back.push(*key),
                (Phase::Paused(_), _) | (_, Some(Action::Ask) | None) => {}
                (_, Some(Action::Renew)) => due.renew.push(*key),
            }
        }
        due
    }
}

/// Whether the tile's handler does what it should.
fn look_after(key: TileKey, held: &Held, now: Boot, due: &mut Due) {
    let Some(hold) = &held.hold else {
        return;
    };
    if let Some(lent) = hold.take_overdue(now, SLACK) {
        due.overdue.push((key, lent));
    } else if let Some(since) = hold.waits_since() {
        due.untaken.push((key, since));
    } else if hold.ignores(now, SLACK) && hold.ended_by(now) == Some(End::Cancelled) {
        due.stubborn.push(key);
    }
}

/// The counts.
impl Tiles {
    /// Slots whose handlers should have ended and do not.
    pub(super) fn lost_slots(&self) -> u32 {
        self.strays.len() as u32 + self.stubborn
    }

    /// Handlers that run for tiles of which not all is said.
    pub(super) fn executing(&self) -> u32 {
        self.counts.running + self.zombies.len() as u32
    }

    /// Slots that hold a tile.
    pub(super) fn occupied(&self) -> u32 {
        self.counts.preparing + self.counts.starting + self.running()
    }

    /// Slots whose tile has, or is about to have, its handler.
    pub(super) fn started(&self) -> u32 {
        self.counts.starting + self.running()
    }

    /// Handlers that run.
    pub(super) fn running(&self) -> u32 {
        self.executing() + self.strays.len() as u32
    }

    /// Tiles whose handler has finished and that are not acknowledged yet.
    pub(super) fn unacked(&self) -> u32 {
        self.counts.reporting
    }

    /// Tiles that cannot start here for long, and are about to be handed back.
    pub(super) fn paused(&self) -> u32 {
        self.counts.paused
    }
}

#[cfg(test)]
pub(super) mod tests;
