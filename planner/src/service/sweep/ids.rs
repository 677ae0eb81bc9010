//! The ids of runs that are gone: remembered on a subject of their own, apart from all ledgers, so that
//! nobody who lists those meets them; and forgotten when they were remembered for long enough.

use gridloom_shared::broker::log::{AppendError, Record};
use gridloom_shared::id::{QueueName, RunId};
use gridloom_shared::ledger::record::PlanRecord;
use gridloom_shared::ledger::retired::{Forgotten, Retired};
use gridloom_shared::wire;

use super::{SweepError, Sweeper};
use crate::retention::ages::Watched;

impl Sweeper {
    /// Writes the record by which the id is remembered, while the run's `retired` record is the last of its
    /// plan: so not after that has gone, and the id was used again. Written twice, it means the same.
    pub(super) async fn remember(
        &self,
        queue: &QueueName,
        run: &RunId,
        (plan, sequence): (&str, u64),
        retired: Retired,
    ) -> Result<(), SweepError> {
        let id = self.broker.subjects().id_of(queue, run);
        let record = wire::encode(&PlanRecord::Retired(retired));
        self.broker.append_on(id, record, (plan, sequence)).await?;
        Ok(())
    }

    /// Ids stand in the order in which they were remembered, between the records of everything that was
    /// written since: what is too young ends the search, and it goes on from there.
    pub(super) async fn forget_ids(&mut self, watched: &Watched) -> Result<(), SweepError> {
        let ledger = self.broker.subjects().ledger();
        loop {
            let first = self.broker.first_of_leader(&ledger, ">", self.ids_from);
            let is_old = |record: &Record| self.policy.may_forget(record.at, watched);
            if !first.await?.is_some_and(|first| is_old(&first)) {
                return Ok(());
            }
            self.signs.give();
            let mut reader = self.broker.reader(&ledger, ">", self.ids_from, None);
            let page = reader.next_page().await?.unwrap_or_default();
            for record in page {
                self.signs.give();
                if !self.policy.may_forget(record.at, watched) {
                    return Ok(());
                }
                if self.broker.subjects().parse_id(&record.subject).is_some() {
                    self.forget(&record).await?;
                }
                self.ids_from = record.seq + 1;
            }
        }
    }

    /// Decided before it is done, too: only what stands up to the decision is removed.
    async fn forget(&self, id: &Record) -> Result<(), SweepError> {
        let forgotten = match self.broker.decode(&id.subject, &id.payload) {
            // It is looked at again by the next leader.
            Err(error) if error.is_newer() => return Ok(()),
            // A planner died after it had decided.
            Ok(PlanRecord::Forgotten(_)) => id.seq,
            Ok(_) | Err(_) => {
                let record = wire::encode(&PlanRecord::Forgotten(Forgotten { term: self.term }));
                let place = (id.subject.as_str(), id.seq);
                match self
                    .broker
                    .append_on(id.subject.clone(), record, place)
                    .await
                {
                    Ok(sequence) => sequence,
                    // A later one stands there: that is the one to go by.
                    Err(AppendError::Conflict { .. }) => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
            }
        };
        self.cut(&id.subject, forgotten + 1).await
    }
}
