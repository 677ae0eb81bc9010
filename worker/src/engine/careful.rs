//! Runs tiles whose holder may have died of them (docs/PROTOCOL.md §5): page by page, each after a confirmed
//! `started` record; and, while a page stands accused of two deaths, with nothing else beside it in this
//! worker. So the ledger says which page it was, and its neighbours are not condemned with it.

use super::Engine;
use super::held::{Holding, Phase, TileKey};
use super::report::is_held;
use crate::lease::Loss;

impl Engine {
    /// Whether a tile may start beside what runs. One that is to be alone waits for the others to end,
    /// and while it waits or runs, no other starts.
    pub(super) fn has_turn(&mut self, key: TileKey, alone: bool) -> bool {
        if let Some(holder) = self.alone {
            return holder == key;
        }
        if !alone {
            return self.in_line.is_empty() || !self.in_line.iter().any(|key| self.is_alone(*key));
        }
        let others = self
            .tiles
            .iter()
            .any(|(other, held)| *other != key && is_executing(held.phase));
        let free = !others && self.running == 0;
        if free {
            self.alone = Some(key);
        }
        free
    }

    pub(super) fn is_alone(&self, key: TileKey) -> bool {
        let careful = self.tiles.get(&key).and_then(|held| held.careful.as_ref());
        careful.is_some_and(|careful| careful.alone)
    }

    /// Lets those start that stood in line, as far as they may now.
    pub(super) fn let_in(&mut self) {
        if let Some(holder) = self.alone {
            let here = self.tiles.contains_key(&holder) || self.zombies.contains_key(&holder);
            self.alone = Some(holder).filter(|_| here);
        }
        let others_wait = self
            .alone
            .is_some_and(|holder| !self.in_line.contains(&holder));
        if self.in_line.is_empty() || others_wait || !self.link.is_open() {
            return;
        }
        let mut waiting = std::mem::take(&mut self.in_line);
        waiting.sort_by_key(|key| !self.is_alone(*key));
        for key in waiting {
            let held = self.tiles.get(&key);
            if held.is_some_and(|held| held.phase == Phase::Blocked) {
                self.ready(key);
            }
        }
    }

    /// Announces the tile's next page.
    pub(super) fn announce_next(&mut self, key: TileKey) {
        let Some(held) = self.tiles.get_mut(&key) else {
            return;
        };
        let page = held
            .careful
            .as_mut()
            .and_then(|careful| careful.pages.pop_front());
        let (Some(page), Some(run)) = (page, self.runs.get_mut(key.opened)) else {
            return;
        };
        held.phase = Phase::Starting;
        run.starts.push((held.holding(), page));
        self.mark_dirty(key.opened);
    }

    /// The ledger says that `page` is about to be executed: now it may be.
    pub(super) fn announced(&mut self, holding: Holding, page: u64) {
        let key = holding.tile;
        if !is_held(&self.tiles, holding, self.now) {
            let lost = self
                .tiles
                .get(&key)
                .is_some_and(|held| held.generation == holding.generation);
            return if lost {
                self.lose(key, Loss::Expired)
            };
        }
        let Some(held) = self
            .tiles
            .get_mut(&key)
            .filter(|held| held.phase == Phase::Starting)
        else {
            return;
        };
        if !self.link.is_open() {
            // Announced again once the takeovers that were missed are read.
            if let Some(careful) = &mut held.careful {
                careful.pages.push_front(page);
            }
            held.phase = Phase::Blocked;
            return self.in_line.push(key);
        }
        if self.draining.is_some() {
            held.phase = Phase::Reporting;
            held.unfinished = true;
            self.occupied = self.occupied.saturating_sub(1);
            self.unacked += 1;
            if held.parts == 0 {
                self.settle(key);
            }
            return;
        }
        held.left = Some(std::iter::once(page..page + 1).collect());
        self.start(key);
    }
}

fn is_executing(phase: Phase) -> bool {
    matches!(phase, Phase::Starting | Phase::Running)
}
