//! Takes tiles over: after the takeover record is confirmed, the ledger is read up to it, and only
//! what has no outcome is run (docs/PROTOCOL.md §5).

use std::time::Duration;

use gridloom_shared::broker::log::ReadError;
use gridloom_shared::chain;
use gridloom_shared::id::Fence;
use gridloom_shared::ledger::record::Reason;

use super::errand::{self, Ask, Claim, Found, Search};
use super::ledger_writer::At;
use super::tiles::{Holding, Phase, TileKey};
use super::{Engine, meters};
use crate::lease::{Action, Event as LeaseEvent};
use crate::takeover::reading::{Left, Reading};

const RETRY: Duration = Duration::from_millis(100);
/// How often is read what became of the holders of a tile that waits to be alone.
const STILL_WAITS: Duration = Duration::from_millis(250);

impl Engine {
    /// Our takeover of `holdings` stands there, or earlier if it was repeated.
    pub(super) fn read_claim(&mut self, at: At, reason: Reason, holdings: Vec<Holding>) {
        meters::count_taken_over(reason, holdings.len());
        self.start_reading(
            Claim {
                run: at.run,
                number: at.number,
                up_to: Some(at.sequence),
                holdings,
            },
            Duration::ZERO,
        );
    }

    fn start_reading(&mut self, mut claim: Claim, after: Duration) {
        claim
            .holdings
            .retain(|holding| self.tiles.is_held(*holding, self.now));
        let Some(run) = self.runs.get(claim.run) else {
            return;
        };
        let tiles = || {
            claim
                .holdings
                .iter()
                .filter_map(|holding| self.tiles.get(holding.tile))
                .map(|held| &**held.tile())
        };
        let Some(folded) = tiles().map(|tile| tile.folded).min() else {
            return;
        };
        let search = Search {
            place: (run.queue().clone(), run.id().clone()),
            from: folded + 1,
            reading: Reading::new((self.session, claim.number), claim.run, tiles()),
            claim,
        };
        let reading = errand::read_claim(self.broker.clone(), search, after);
        self.errands.add(reading);
    }

    pub(super) fn claimed(&mut self, claim: Claim, result: Result<Found, ReadError>) {
        match result {
            Ok(Found::Whole(fence, lefts)) => {
                for (holding, left) in claim.holdings.iter().zip(lefts) {
                    match self.phase_of(*holding) {
                        Some(Phase::Claiming) => self.take_up(*holding, fence, &left),
                        Some(Phase::Blocked) => self.reconsider(holding.tile, left.isolated),
                        _ => {}
                    }
                }
                self.ask_again(claim);
            }
            Ok(Found::Purged) => self.give_up_claim(&claim),
            Ok(Found::Part) => {
                let run = self.runs.get(claim.run).map(|run| run.id().as_str());
                tracing::debug!(
                    run,
                    "the ledger is not read up to the own takeover: a replica lags"
                );
                self.start_reading(claim, RETRY);
            }
            Err(error) => {
                let run = self.runs.get(claim.run).map(|run| run.id().as_str());
                tracing::debug!(run, error = %chain(&error), "cannot read the ledger for a takeover");
                self.start_reading(claim, RETRY);
            }
        }
    }

    fn take_up(&mut self, holding: Holding, fence: Fence, left: &Left) {
        let key = holding.tile;
        let Some(held) = self.tiles.get_mut(key) else {
            return;
        };
        held.confirm(fence);
        let suspect = held.take_suspicion();
        let ask = suspect && held.hear(LeaseEvent::Heard, self.now) == Some(Action::Ask);
        let tile = held.tile();
        tracing::debug!(run = %tile.run, slice = tile.slice, page = tile.first, pages = tile.pages, attempt = tile.attempt,
            left = left.pages.len(), crashes = left.crashes, "taken over");
        if left.pages.is_empty() {
            self.settle(key);
        } else {
            held.reduce(left);
            self.ready(key);
        }
        if ask {
            // What was heard meanwhile may have been read, and not been judged, already.
            self.look_after(key.opened, fence.0, Ask::Leader);
        }
    }

    /// Nothing of the run is to be done any more: its tiles leave the queue, should they be there still.
    fn give_up_claim(&mut self, claim: &Claim) {
        let run = self.runs.get(claim.run).map(|run| run.id().as_str());
        tracing::debug!(run, "the run of a takeover was purged");
        for holding in &claim.holdings {
            if matches!(
                self.phase_of(*holding),
                Some(Phase::Claiming | Phase::Blocked)
            ) {
                self.settle(holding.tile);
            }
        }
    }

    fn phase_of(&self, holding: Holding) -> Option<Phase> {
        Some(self.tiles.of(holding)?.phase())
    }

    /// Whether a tile that waits to be alone still has to be.
    fn reconsider(&mut self, key: TileKey, isolated: bool) {
        if let Some(held) = self.tiles.get_mut(key) {
            held.reconsider(isolated);
        }
    }

    /// Those of its tiles that wait to be alone wait for long shards perhaps, and a holder that was thought to
    /// be dead may still say that it lives.
    fn ask_again(&mut self, mut claim: Claim) {
        claim.holdings.retain(|holding| {
            let held = self.tiles.of(*holding);
            held.is_some_and(|held| held.phase() == Phase::Blocked && held.is_alone())
        });
        claim.up_to = None;
        self.start_reading(claim, STILL_WAITS);
    }
}
