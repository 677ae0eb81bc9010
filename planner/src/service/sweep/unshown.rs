//! Runs that were over when this leadership began, and whose summaries do not say so: the planner before died after
//! it had closed them, and before it had written that. Nobody opens such a run again to show it, so lists would tell
//! for ever that it runs, or never that it was there. Likewise those that count dead shards as waiting for somebody which
//! were given up: of such a planner, or of an earlier build.

use std::collections::HashMap;

use futures_util::future::join_all;
use gridloom_shared::broker::kv::WriteError;
use gridloom_shared::ledger::record::Author;
use gridloom_shared::ledger::summary::RunSummary;
use gridloom_shared::reads::ledger;
use gridloom_shared::wire;

use super::list::{End, Ended};
use super::{AT_ONCE, SweepError, Sweeper};

/// Summaries that are asked for at once.
const ASKED: usize = 1_000;

impl Sweeper {
    /// Writes what summaries lack of runs that were over before this leadership.
    pub(super) async fn show_ended(&mut self) -> Result<(), SweepError> {
        while let Some(some) = self.listed.ended(ASKED) {
            self.signs.give();
            let unshown = self.without_summary(some).await?;
            for some in unshown.chunks(AT_ONCE) {
                self.signs.give();
                let shown = join_all(some.iter().map(|ended| self.show(ended))).await;
                shown.into_iter().collect::<Result<(), SweepError>>()?;
            }
            self.listed.forget_ended(ASKED);
        }
        Ok(())
    }

    /// Those of which no summary says that they are over, and since when.
    async fn without_summary(&self, some: &[Ended]) -> Result<Vec<Ended>, SweepError> {
        let keys: Vec<String> = some.iter().map(|ended| ended.place.1.to_string()).collect();
        let stand = self.broker.runs().several(&keys).await?;
        let read = stand.into_iter().filter_map(|entry| {
            let summary: RunSummary = wire::decode(&entry.value?).ok()?;
            Some((entry.key, summary))
        });
        let read: HashMap<String, RunSummary> = read.collect();
        let is_shown = |ended: &Ended| {
            let summary = read.get(ended.place.1.as_str());
            summary.is_some_and(|it| says(it, ended.end))
        };
        let without = some.iter().filter(|ended| !is_shown(ended));
        Ok(without.cloned().collect())
    }

    /// Writes a summary where it was read, unless the leader recorded something of the run behind that: what was
    /// opened again, or has gone, is another's to show.
    async fn show(&self, ended: &Ended) -> Result<(), SweepError> {
        let (queue, run) = &ended.place;
        let runs = self.broker.runs();
        let there = runs.place_of(run.as_str()).await?;
        let fold = ledger::fold(&self.broker, run.clone(), ended.sequence).await?;
        let over = fold.closing().and_then(|_| RunSummary::of(&fold));
        let Some(mut summary) = over else {
            return Ok(());
        };
        summary.fit(self.broker.max_record());
        // Asked when the summary has been read.
        let subjects = self.broker.subjects();
        let plan = subjects.ledger_of(queue, run, Author::Plan);
        let last = self
            .broker
            .last_of_leader(&subjects.ledger(), &plan)
            .await?;
        if last.is_none_or(|last| last.seq != ended.sequence) {
            return Ok(());
        }
        let value = wire::encode(&summary);
        match runs.update(run.as_str(), value, there.revision()).await {
            Ok(_) | Err(WriteError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a summary was written after the run had ended so: one that was tried again ends more than once.
fn says(summary: &RunSummary, end: End) -> bool {
    summary.state.ended()
        && match end {
            End::Closed(at) => summary.closed_at == Some(at.rfc3339()),
            End::GivenUp { left } => summary.shards.dead_kept() == left,
        }
}
