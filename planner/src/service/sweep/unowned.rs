//! Summaries of runs that are gone. They are written behind: where runs that are over are kept for seconds, one may come
//! when its run has been removed, and so does what a planner that was frozen had still to write.

use std::collections::HashSet;

use futures_util::future::join_all;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::summary::RunSummary;
use gridloom_shared::wire;

use super::{AT_ONCE, Ends, SweepError, Sweeper};

/// Summaries that are asked for at once.
const ASKED: usize = 1_000;

impl Sweeper {
    /// The runs that have a summary.
    pub(super) async fn shown(&self) -> Result<HashSet<RunId>, SweepError> {
        let runs = self.broker.runs();
        let found = self.signs.waiting(runs.names()).await?;
        Ok(found.into_iter().flat_map(RunId::new).collect())
    }

    /// Removes the summaries of those `shown` of which nothing else is there, as they stood when the sweep began. A run
    /// that went on, and whose records are lost, is told of by its summary alone: that stays.
    pub(super) async fn hide_gone(
        &self,
        mut shown: HashSet<RunId>,
        ends: &Ends,
    ) -> Result<(), SweepError> {
        let runs = self.listed.runs();
        shown.retain(|run| !runs.contains(run));
        let gone: Vec<String> = shown.iter().map(RunId::to_string).collect();
        for some in gone.chunks(ASKED) {
            self.signs.give();
            let over = self.over(some).await?;
            for some in over.chunks(AT_ONCE) {
                self.signs.give();
                let hidden = join_all(some.iter().map(|run| self.hide(run, ends))).await;
                hidden.into_iter().collect::<Result<(), SweepError>>()?;
            }
        }
        Ok(())
    }

    /// Those of `some` that are over by their summaries.
    async fn over(&self, some: &[String]) -> Result<Vec<RunId>, SweepError> {
        let stand = self.broker.runs().several(some).await?;
        let over = stand.into_iter().filter_map(|entry| {
            let summary: RunSummary = wire::decode(&entry.value?).ok()?;
            summary.state.ended().then_some(summary.run)
        });
        Ok(over.collect())
    }

    /// Removes a summary, unless its id was used again.
    async fn hide(&self, run: &RunId, ends: &Ends) -> Result<(), SweepError> {
        let subjects = self.broker.subjects();
        let plan = subjects.plan_of_run_anywhere(run);
        let last = self.broker.last_of_leader(&subjects.ledger(), &plan).await;
        if last?.is_none() {
            let runs = self.broker.runs();
            runs.forget_below(run.as_str(), ends.summaries + 1).await?;
        }
        Ok(())
    }
}
