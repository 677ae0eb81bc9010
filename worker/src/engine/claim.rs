//! Takes tiles over: after the takeover record is confirmed, the ledger is read up to it, and only
//! what has no outcome is run (docs/PROTOCOL.md §5).

use std::time::Duration;

use gridloom_shared::broker::log::ReadError;
use gridloom_shared::id::Fence;
use gridloom_shared::ledger::record::Reason;

use super::errand::{self, Ask, Claim, Plan};
use super::held::{Careful, Holding, Phase, TileKey};
use super::report::is_held;
use super::{Engine, meters};
use crate::lease::{Action, Event as LeaseEvent};
use crate::takeover::reading::{Left, Reading};

const RETRY: Duration = Duration::from_millis(100);
/// How often is read what became of the holders of a tile that waits to be alone.
const STILL_WAITS: Duration = Duration::from_millis(250);

impl Engine {
    /// Our takeover of `holdings` stands at `sequence`, or earlier if it was repeated.
    pub(super) fn read_claim(
        &mut self,
        run: u64,
        number: u64,
        sequence: u64,
        reason: Reason,
        holdings: Vec<Holding>,
    ) {
        meters::count_taken_over(reason, holdings.len());
        self.start_reading(
            Plan {
                run,
                number,
                up_to: Some(sequence),
                holdings,
            },
            Duration::ZERO,
        );
    }

    fn start_reading(&mut self, mut plan: Plan, after: Duration) {
        plan.holdings
            .retain(|holding| is_held(&self.tiles, *holding, self.now));
        let Some(run) = self.runs.get(plan.run) else {
            return;
        };
        let tiles = || {
            plan.holdings
                .iter()
                .filter_map(|holding| self.tiles.get(&holding.tile))
                .map(|held| &*held.tile)
        };
        let Some(folded) = tiles().map(|tile| tile.folded).min() else {
            return;
        };
        let claim = Claim {
            filter: self.broker.subjects().ledger_of_run(&run.queue, &run.id),
            from: folded + 1,
            reading: Reading::new((self.session, plan.number), plan.run, tiles()),
            plan,
        };
        self.errands.push(Box::pin(errand::read_claim(
            self.broker.clone(),
            claim,
            after,
        )));
    }

    pub(super) fn claimed(
        &mut self,
        plan: Plan,
        result: Result<Option<(Fence, Vec<Left>)>, ReadError>,
    ) {
        match result {
            Ok(Some((fence, lefts))) => {
                for (holding, left) in plan.holdings.iter().zip(lefts) {
                    match self.phase_of(*holding) {
                        Some(Phase::Claiming) => self.take_up(*holding, fence, &left),
                        Some(Phase::Blocked) => self.reconsider(holding.tile, left.isolated),
                        _ => {}
                    }
                }
                self.ask_again(plan);
            }
            Ok(None) => {
                tracing::debug!(run = plan.run, "own takeover not read: a replica lags");
                self.start_reading(plan, RETRY);
            }
            Err(error) => {
                tracing::debug!(run = plan.run, %error, "cannot read the ledger for a takeover");
                self.start_reading(plan, RETRY);
            }
        }
    }

    fn take_up(&mut self, holding: Holding, fence: Fence, left: &Left) {
        let key = holding.tile;
        let Some(held) = self.tiles.get_mut(&key) else {
            return;
        };
        held.lease.confirm(fence);
        let suspect = std::mem::take(&mut held.suspect);
        let ask = suspect && held.lease.step(LeaseEvent::Heard, self.now) == Some(Action::Ask);
        let pages = u64::from(held.tile.pages);
        tracing::debug!(run = %held.tile.run, ?key.place, left = left.pages.len(), of = pages, crashes = left.crashes, "taken over");
        if left.pages.is_empty() {
            self.settle(key);
        } else {
            held.left = (left.pages.len() < pages).then(|| left.pages.iter().collect());
            held.careful = (left.crashes > 0).then(|| Careful {
                pages: left.pages.iter().flatten().collect(),
                alone: left.isolated,
            });
            self.ready(key);
        }
        if ask {
            // What was heard meanwhile may have been read, and not been judged, already.
            self.look_after(key.opened, fence.0, Ask::Leader);
        }
    }

    fn phase_of(&self, holding: Holding) -> Option<Phase> {
        let held = self.tiles.get(&holding.tile)?;
        (held.generation == holding.generation).then_some(held.phase)
    }

    /// Whether a tile that waits to be alone still has to be.
    fn reconsider(&mut self, key: TileKey, isolated: bool) {
        if let Some(careful) = self
            .tiles
            .get_mut(&key)
            .and_then(|held| held.careful.as_mut())
        {
            careful.alone &= isolated;
        }
    }

    /// Those of its tiles that wait to be alone wait for long shards perhaps, and a holder that was thought to
    /// be dead may still say that it lives.
    fn ask_again(&mut self, mut plan: Plan) {
        plan.holdings.retain(|holding| {
            self.phase_of(*holding) == Some(Phase::Blocked) && self.is_alone(holding.tile)
        });
        plan.up_to = None;
        self.start_reading(plan, STILL_WAITS);
    }
}
