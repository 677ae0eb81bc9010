//! Takes tiles over: after the takeover record is confirmed, the ledger is read up to it, and only
//! what has no outcome is run (protocol.md §5).

use std::time::Duration;

use gridloom_shared::broker::log::ReadError;
use gridloom_shared::id::Fence;
use gridloom_shared::ledger::record::Reason;

use super::errand::{self, Ask, Claim, Plan};
use super::held::{Careful, Holding, Phase};
use super::report::is_held;
use super::{Engine, meters};
use crate::lease::{Action, Event as LeaseEvent};
use crate::takeover::reading::{Left, Reading};

const RETRY: Duration = Duration::from_millis(100);

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
                up_to: sequence,
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
                for (holding, left) in plan.holdings.into_iter().zip(lefts) {
                    self.take_up(holding, fence, &left);
                }
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
        let held = self
            .tiles
            .get_mut(&key)
            .filter(|held| held.generation == holding.generation);
        let Some(held) = held.filter(|held| held.phase == Phase::Claiming) else {
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
                alone: left.on_trial,
            });
            self.ready(key);
        }
        if ask {
            // What was heard meanwhile may have been read, and not been judged, already.
            self.look_after(key.opened, fence.0, Ask::Leader);
        }
    }
}
