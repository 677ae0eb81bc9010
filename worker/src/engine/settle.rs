//! Ends tiles: what came out of a handler goes to the ledger, and once that is confirmed the tile is
//! acknowledged or what is left of it handed back; or its lease ends first.

use gridloom_shared::limits::probe_bytes;

use super::ledger_writer::{Return, failed_probe};
use super::tiles::{Ended, Held, Holding, Phase, TileKey};
use super::{Engine, meters};
use crate::crew::Finished;
use crate::failure::Failure;
use crate::lease::Loss;
use crate::shard::End;

impl Engine {
    /// A handler has finished, or was stopped.
    pub(super) fn finish(&mut self, finished: Finished<Holding>) {
        self.meters.ended(finished.done, finished.failed);
        let key = finished.key.tile;
        match self.tiles.ended(finished.key) {
            Ended::Held => self.finish_held(key, finished),
            Ended::Zombie => {
                let held = self.tiles.get(key);
                if held.is_some_and(|held| held.phase() == Phase::Blocked) {
                    self.ready(key);
                }
            }
            Ended::Nobody => {}
        }
    }

    fn finish_held(&mut self, key: TileKey, finished: Finished<Holding>) {
        let draining = self.draining.is_some();
        let more = self.tiles.get(key).is_some_and(Held::has_more);
        let goes_on = more && !finished.stopped && !draining;
        let held = if goes_on {
            self.tiles.get_mut(key)
        } else {
            self.tiles.enter(key, Phase::Reporting)
        };
        let Some(held) = held else { return };
        held.leave(!goes_on && (finished.stopped || more));
        let mut entries = finished.entries;
        if let Some(answer) = finished.probed {
            match answer.check(probe_bytes(self.broker.max_record())) {
                Ok(()) => {
                    held.await_records(1);
                    self.ledger.answer(finished.key, answer);
                }
                Err(fault) => {
                    let failure = Failure::permanent(format!("the probe returned {fault}"));
                    entries = failed_probe(held.tile(), held.fence(), failure);
                }
            }
        }
        held.await_records(self.ledger.outcomes(finished.key, entries));
        let settled = held.is_settled();
        if goes_on {
            self.announce_next(key);
        } else if settled {
            self.settle(key);
        }
    }

    /// Everything about the tile stands in the ledger: it is acknowledged, or what is left of it is
    /// handed back.
    pub(super) fn settle(&mut self, key: TileKey) {
        if self.tiles.get(key).is_some_and(Held::is_unfinished) {
            return self.hand_back(key);
        }
        let Some(held) = self.release(key) else {
            return;
        };
        // Past the end of the lease it is another's to acknowledge.
        if held.is_held(self.now) {
            let all = held.receipts().into_iter();
            all.for_each(|receipt| self.signals.ack(receipt.reply));
        }
    }

    /// A record about the tile is confirmed.
    pub(super) fn confirm(&mut self, holding: Holding) {
        let Some(held) = self.tiles.of_mut(holding) else {
            return;
        };
        held.confirmed();
        if held.is_settled() && held.phase() == Phase::Reporting {
            self.settle(holding.tile);
        }
    }

    /// Gives a tile back that is held and not finished: recorded first, then NAKed.
    pub(super) fn hand_back(&mut self, key: TileKey) {
        let cancelled = self.is_cancelled(key);
        let Some(held) = self.release(key).filter(|_| !cancelled) else {
            return;
        };
        self.tiles.note_given_back(key, held.receipt().delivered);
        let receipts = if held.is_held(self.now) {
            held.receipts()
        } else {
            Vec::new()
        };
        let place = key.place;
        self.ledger
            .give_back(key.opened, Return { place, receipts });
    }

    /// Forgets a tile that was not started, as if it had never come.
    pub(super) fn drop_unstarted(&mut self, key: TileKey) {
        if let Some(held) = self.release(key) {
            let tile = held.tile();
            tracing::debug!(run = %tile.run, slice = tile.slice, page = tile.first, pages = tile.pages, attempt = tile.attempt,
                "dropped unstarted");
        }
    }

    /// The lease has ended before the tile: nothing is said about it any more, save that.
    pub(super) fn lose(&mut self, key: TileKey, loss: Loss) {
        let Some(held) = self.release(key) else {
            return;
        };
        meters::count_lost(loss);
        let tile = held.tile();
        tracing::warn!(run = %tile.run, slice = tile.slice, page = tile.first, pages = tile.pages, attempt = tile.attempt,
            reason = loss.text(), "lease lost");
        held.end(End::LeaseLost);
        if held.phase().is_started() && !self.is_cancelled(key) {
            let returned = Return {
                place: key.place,
                receipts: Vec::new(),
            };
            self.ledger.give_back(key.opened, returned);
        }
    }

    /// Takes a tile out of the table; its handler may still run, in its slot.
    pub(super) fn release(&mut self, key: TileKey) -> Option<Held> {
        let held = self.tiles.release(key)?;
        self.runs.went(key.opened);
        Some(held)
    }
}
