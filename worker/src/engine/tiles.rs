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

use std::collections::HashMap;
use std::sync::Arc;

use gridloom_shared::clock::Boot;
use gridloom_shared::ledger::record::Reason;
use gridloom_shared::quick::QuickMap;
use gridloom_shared::tile::Tile;

use crate::lease::{Action, Event, Lease, Loss};

mod held;

pub(super) use held::{Careful, Held, Holding, Phase, Receipt, TileKey};

/// Tiles that are remembered as handed back by this worker. Forgetting one is harmless.
const GIVEN_BACK_MAX: usize = 10_000;

#[derive(Default)]
pub(super) struct Tiles {
    held: QuickMap<TileKey, Held>,
    counts: Counts,
    /// Tiles that were lost while their handler ran, and it still runs: which holding it was.
    zombies: HashMap<TileKey, u64>,
    /// Tiles that this worker handed back, and the delivery count that they have if nobody else had
    /// them since.
    given_back: HashMap<TileKey, u64>,
    generation: u64,
}

/// How many tiles are in which phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    preparing: u32,
    running: u32,
    reporting: u32,
    paused: u32,
}

impl Counts {
    fn of(&mut self, phase: Phase) -> &mut u32 {
        match phase {
            Phase::Context | Phase::Claiming | Phase::Blocked | Phase::Starting => {
                &mut self.preparing
            }
            Phase::Running => &mut self.running,
            Phase::Reporting => &mut self.reporting,
            Phase::Paused(_) => &mut self.paused,
        }
    }
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
    /// Tiles without a handler here, whose pause is over.
    pub(super) back: Vec<TileKey>,
}

/// The table.
impl Tiles {
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
    /// Takes in a tile that was delivered.
    pub(super) fn take(
        &mut self,
        tile: Arc<Tile>,
        queue: usize,
        receipt: Receipt,
        lease: Lease,
        reason: Option<Reason>,
    ) -> TileKey {
        self.generation += 1;
        let held = Held::new(tile, queue, receipt, lease, reason, self.generation);
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
            self.zombies.insert(key, held.generation());
        }
        Some(held)
    }

    /// A handler has ended.
    pub(super) fn ended(&mut self, holding: Holding) -> Ended {
        if self.is_haunted(holding.tile)
            && self.zombies.get(&holding.tile) == Some(&holding.generation)
        {
            self.zombies.remove(&holding.tile);
            Ended::Zombie
        } else if self.of(holding).is_some() {
            Ended::Held
        } else {
            Ended::Nobody
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
        for (key, held) in &mut self.held {
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

/// The counts.
impl Tiles {
    /// Slots that hold a tile.
    pub(super) fn occupied(&self) -> u32 {
        self.counts.preparing + self.running()
    }

    /// Handlers that run.
    pub(super) fn running(&self) -> u32 {
        self.counts.running + self.zombies.len() as u32
    }

    /// Tiles whose handler has finished and that are not acknowledged yet.
    pub(super) fn unacked(&self) -> u32 {
        self.counts.reporting
    }

    /// Tiles without a handler here, that are about to be handed back.
    pub(super) fn paused(&self) -> u32 {
        self.counts.paused
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use gridloom_shared::broker::Subject;

    use super::*;
    use crate::Trial;

    const DEADLINE: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Boot {
        Boot(Duration::from_secs(seconds))
    }

    pub(in crate::engine) fn taken(tiles: &mut Tiles, page: u32) -> TileKey {
        let tile = Tile {
            index: page,
            ..(*Trial::new("a", "b").tile_context().tile).clone()
        };
        let lease = Lease::new(tile.fence, at(0), DEADLINE);
        let receipt = Receipt {
            reply: Subject::from("reply"),
            epoch: 1,
            stream_seq: 1,
            delivered: 1,
        };
        tiles.take(Arc::new(tile), 0, receipt, lease, None)
    }

    fn counted(tiles: &Tiles) -> [u32; 4] {
        [
            tiles.occupied(),
            tiles.running(),
            tiles.unacked(),
            tiles.paused(),
        ]
    }

    #[test]
    fn tile_takes_a_slot_until_its_handler_has_ended_and_is_unacked_until_it_goes() {
        let mut tiles = Tiles::default();
        let key = taken(&mut tiles, 0);
        assert_eq!(counted(&tiles), [1, 0, 0, 0]);
        let held = tiles.enter(key, Phase::Running).unwrap().holding();
        assert_eq!(counted(&tiles), [1, 1, 0, 0]);
        assert_eq!(tiles.ended(held), Ended::Held);
        tiles.enter(key, Phase::Reporting);
        assert_eq!(counted(&tiles), [0, 0, 1, 0]);
        tiles.release(key);
        assert_eq!(counted(&tiles), [0; 4]);
    }

    #[test]
    fn lost_tile_keeps_its_slot_while_its_handler_runs_even_if_it_comes_back() {
        let mut tiles = Tiles::default();
        let key = taken(&mut tiles, 0);
        let first = tiles.enter(key, Phase::Running).unwrap().holding();
        tiles.release(key);
        assert_eq!(counted(&tiles), [1, 1, 0, 0]);
        taken(&mut tiles, 0);
        assert!(tiles.is_haunted(key) && tiles.has_any_of(key.opened));
        assert_eq!(counted(&tiles), [2, 1, 0, 0]);
        assert_eq!(tiles.ended(first), Ended::Zombie);
        assert_eq!(tiles.ended(first), Ended::Nobody);
        assert_eq!(counted(&tiles), [1, 0, 0, 0]);
    }

    #[test]
    fn time_ends_leases_and_pauses_and_asks_for_renewals() {
        let mut tiles = Tiles::default();
        let (paused, running) = (taken(&mut tiles, 0), taken(&mut tiles, 1));
        tiles.enter(paused, Phase::Paused(at(5)));
        tiles.enter(running, Phase::Running);
        assert_eq!(counted(&tiles), [1, 1, 0, 1]);
        assert_eq!(tiles.tick(at(4)).back, []);
        assert_eq!(tiles.tick(at(5)).back, [paused]);
        let due = tiles.tick(at(10));
        assert_eq!((due.renew, due.lost.len()), (vec![running], 0));
        assert_eq!(tiles.tick(at(27)).lost.len(), 2);
    }
}
