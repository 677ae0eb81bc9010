//! Tiles whose consumer has gone, with the queue's stream or without it: nobody is there to hear that they are still
//! worked at, and nobody would give them to somebody else. Whoever publishes such a tile again asks first who holds it,
//! and whoever gets it by another consumer takes it over in the ledger. So the ledger is asked in the consumer's place:
//! that its leader answers, and knows of no takeover, prolongs the leases of the run's tiles from when the signals were
//! sent that nobody heard (docs/decisions/0032-the-queue-is-in-memory.md).
//!
//! Nobody is there for a worker on a parted member of a cluster, too. There the ledger does not answer either, and the
//! leases end in time.

use std::collections::HashMap;

use gridloom_shared::clock::Boot;

use super::Engine;
use super::errand::Ask;
use super::tiles::Holding;
use crate::lease::Event as LeaseEvent;

/// What was sent for a run and nobody heard.
#[derive(Default)]
struct Unheard {
    /// Before the ledger was asked last.
    asked: Vec<(Holding, Boot)>,
    /// Since then.
    waiting: Vec<(Holding, Boot)>,
}

/// Signals that nobody heard, by the sequence of their run's first record.
#[derive(Default)]
pub(super) struct Orphans(HashMap<u64, Unheard>);

impl Orphans {
    /// Nobody heard that a tile is still worked at. Whether the ledger is to be asked now.
    fn note(&mut self, holding: Holding, sent: Boot) -> bool {
        let of_run = self.0.entry(holding.tile.opened).or_default();
        of_run.waiting.push((holding, sent));
        of_run.asked.is_empty()
    }

    /// The ledger is being asked for all that waits. `false`: for nothing.
    fn ask(&mut self, run: u64) -> bool {
        let Some(of_run) = self.0.get_mut(&run) else {
            return false;
        };
        of_run.asked = std::mem::take(&mut of_run.waiting);
        if of_run.asked.is_empty() {
            self.0.remove(&run);
            return false;
        }
        true
    }

    /// The ledger was asked: for these.
    fn take(&mut self, run: u64) -> Vec<(Holding, Boot)> {
        let of_run = self.0.get_mut(&run);
        of_run
            .map(|of_run| std::mem::take(&mut of_run.asked))
            .unwrap_or_default()
    }
}

impl Engine {
    /// Nobody was there to hear a signal that was sent at `sent`.
    pub(super) fn unheard(&mut self, holding: Holding, sent: Boot) {
        if self.orphans.note(holding, sent) {
            self.ask_for_orphans(holding.tile.opened);
        }
    }

    fn ask_for_orphans(&mut self, run: u64) {
        if self.orphans.ask(run) && !self.look(run, Ask::Instead) {
            self.orphans.0.remove(&run);
        }
    }

    /// The ledger was asked in the consumer's place, and has answered or not. What it said of takeovers was taken in.
    pub(super) fn asked_instead(&mut self, run: u64, answered: bool) {
        for (holding, sent) in self.orphans.take(run) {
            if let Some(held) = self.tiles.of_mut(holding).filter(|_| answered) {
                let action = held.hear(LeaseEvent::RenewalAnswered { sent }, Boot::now());
                self.act(holding.tile, action);
            }
        }
        self.ask_for_orphans(run);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gridloom_shared::tile::TileRef;

    use super::*;
    use crate::engine::tiles::TileKey;

    fn holding(index: u32) -> Holding {
        let place = TileRef { wave: 0, index };
        Holding {
            tile: TileKey { opened: 7, place },
            generation: u64::from(index),
        }
    }

    fn at(ms: u64) -> Boot {
        Boot(Duration::from_millis(ms))
    }

    #[test]
    fn answer_stands_for_what_was_sent_before_the_ledger_was_asked() {
        let mut orphans = Orphans::default();
        assert!(orphans.note(holding(1), at(10)) && orphans.ask(7));
        assert!(!orphans.note(holding(2), at(20)), "it is being asked");
        assert_eq!(orphans.take(7), [(holding(1), at(10))]);
        assert!(orphans.ask(7));
        assert_eq!(orphans.take(7), [(holding(2), at(20))]);
        assert!(!orphans.ask(7), "nothing waits");
        assert!(orphans.0.is_empty());
    }
}
