//! Summaries that count dead shards as waiting for somebody which were given up: of an earlier build, or of a planner
//! that died before it had shown what it had recorded. Each is written anew, once in a leadership at most.

use futures_util::future::join_all;
use gridloom_shared::ledger::summary::RunSummary;
use gridloom_shared::wire;

use super::list::GivenUp;
use super::{AT_ONCE, SweepError, Sweeper};

impl Sweeper {
    /// Looks at the summaries of those that were found since the last time.
    pub(super) async fn mend_summaries(&mut self) -> Result<(), SweepError> {
        for some in self.listed.given_up().chunks(AT_ONCE) {
            self.signs.give();
            let mended = some.iter().map(|given_up| self.mend(given_up));
            let mended = join_all(mended).await;
            mended.into_iter().collect::<Result<(), SweepError>>()?;
        }
        self.listed.forget_given_up();
        Ok(())
    }

    async fn mend(&self, given_up: &GivenUp) -> Result<(), SweepError> {
        let (_, run) = &given_up.place;
        let runs = self.broker.runs();
        let there = runs.place_of(run.as_str()).await?;
        let summary: Option<RunSummary> = there.value().and_then(|value| wire::decode(value).ok());
        let Some(mut summary) = summary.filter(|summary| summary.state.ended()) else {
            return Ok(());
        };
        let shards = &mut summary.shards;
        let dead = shards.dead.saturating_add(shards.dead_probes);
        let before = std::mem::replace(&mut shards.given_up, dead.saturating_sub(given_up.left));
        if before == shards.given_up {
            return Ok(());
        }
        self.show_as_of(
            &given_up.place,
            given_up.sequence,
            &summary,
            there.revision(),
        )
        .await
    }
}
