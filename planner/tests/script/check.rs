//! What must hold over the whole story, whatever the script is about.
//!
//! | claim | where it is looked at |
//! |---|---|
//! | an attempt of a shard is issued by one wave | as a wave lands in the ledger |
//! | no tile is stored unmarked twice | as a batch lands on the queue |
//! | nothing is issued while the register is being claimed | as an action is decided |
//! | no more tiles of a job than its concurrency are open | as an action is decided |
//! | no action for a run that the leadership has seen closed, or never saw | as an action is decided |
//! | nothing is issued or published again of a run that the leadership has seen cancelled | as an action is decided |
//! | what is published again is open, and neither queued nor held | as an action is decided |
//! | a run is closed as succeeded only when each cell of its grid is done | as an action is decided |
//! | a run of which `explain` knows no reason to wait is open on the queue, or something is under way for it | as an action is decided |
//! | an order is answered once | as an action is decided |
//! | one record at a time is on its way to a run's ledger, one comparison with its queue | as an action is begun |

use std::collections::{HashMap, HashSet};

use gridloom_shared::id::{Nonce, RunId};
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::record::Wave;
use gridloom_shared::tile::{Tile, TileKind, TileRef};

#[derive(Default)]
pub(super) struct Checks {
    attempts: HashMap<(RunId, Nonce, TileKind, u32, u32, u32), u32>,
    unmarked: HashSet<(RunId, Nonce, TileRef)>,
    answered: HashSet<String>,
    faults: Vec<String>,
}

impl Checks {
    /// What has been found since the last call.
    pub(super) fn faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }

    pub(super) fn fault(&mut self, what: impl Into<String>) {
        self.faults.push(what.into());
    }

    /// A wave stands in the ledger.
    pub(super) fn decided(&mut self, fold: &Fold, wave: &Wave) {
        let Some(opening) = fold.opening() else {
            return;
        };
        if fold.next_wave() != wave.n + 1 {
            return;
        }
        for tiles in &wave.tiles {
            for page in tiles.first..tiles.first + tiles.pages * tiles.tiles {
                let cell = (tiles.kind, tiles.slice, page, tiles.attempt);
                let nonce = opening.record.nonce;
                let attempt = (fold.run().clone(), nonce, cell.0, cell.1, cell.2, cell.3);
                if let Some(other) = self.attempts.insert(attempt, wave.n) {
                    self.fault(format!(
                        "attempt {} of {}/{page} of {} is issued by wave {} and wave {other}",
                        tiles.attempt,
                        tiles.slice,
                        fold.run(),
                        wave.n
                    ));
                }
            }
        }
    }

    /// A tile landed on the queue.
    pub(super) fn stored(&mut self, tile: &Tile) {
        let name = (tile.run.clone(), tile.nonce, tile.place());
        if !tile.again && !self.unmarked.insert(name) {
            self.fault(format!(
                "tile {}.{} of {} is stored unmarked twice",
                tile.wave, tile.index, tile.run
            ));
        }
    }

    /// An order was answered.
    pub(super) fn answered(&mut self, reply: &str) {
        if !self.answered.insert(reply.to_owned()) {
            self.fault(format!("{reply} is answered twice"));
        }
    }

    /// Orders that were not answered, of those that were given.
    pub(super) fn is_answered(&self, reply: &str) -> bool {
        self.answered.contains(reply)
    }
}
