//! Writes the records of a job's fires, under compare-and-swap. Decides nothing.

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::AppendError;
use gridloom_shared::chain;
use gridloom_shared::id::Term;
use gridloom_shared::schedule::record::{Decision, Record};
use gridloom_shared::wire;

use super::super::super::envoy::Envoy;
use super::super::roll::Roll;
use super::{Job, SettleError};

impl Job {
    /// Appends a record behind the last one that it knows. Where another one stands there, it is read, with the runs
    /// that its writer knew, and it is [behind](Job::behind).
    pub(super) async fn append(
        &mut self,
        broker: &Broker,
        roll: &Roll,
        term: Term,
        record: Record,
    ) -> Result<(), SettleError> {
        let subjects = broker.subjects();
        let (stream, subject) = (subjects.history(), subjects.fires(&self.name));
        let bytes = wire::encode(&record);
        // One whose answer was lost is found as the last record, and is ours.
        match broker
            .append(subject.clone(), bytes, Some(self.sequence))
            .await
        {
            Ok(sequence) => {
                self.sequence = sequence;
                self.tell(&record);
                self.tell_waits(broker, &record).await;
                self.recorded(record);
            }
            Err(AppendError::Conflict { .. }) => {
                let last = broker.last_of_leader(&stream, &subject).await?;
                // Where that fails the same conflict comes again: its record is not read without its runs.
                roll.catch_up(broker).await?;
                self.behind = true;
                let Some(last) = last else {
                    // The stream was lost: the next record brings back all that is known.
                    self.sequence = 0;
                    return Ok(());
                };
                match self.understand(&last.payload) {
                    Some(record) if record.term > term => self.aside = true,
                    Some(record) => self.read(last.seq, record),
                    None => {}
                }
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Its last record is to stand above `below`. Whether it does not yet.
    pub(in crate::service::schedules) fn keep_above(&mut self, below: u64) -> bool {
        self.above = below;
        self.is_endangered()
    }

    fn is_endangered(&self) -> bool {
        self.fires.state().is_some() && self.sequence < self.above && !self.aside && !self.stopped
    }

    /// Writes its last record again if it is about to be removed: nothing else of it changes.
    pub(super) async fn repeat(&mut self, envoy: &Envoy, roll: &Roll, term: Term) {
        let state = self.fires.state().filter(|_| self.is_endangered());
        let (Some(state), Some(now)) = (state, envoy.clock.now()) else {
            return;
        };
        let record = Record {
            at: now,
            term,
            decision: Decision::Confirmed,
            state: state.clone(),
        };
        if let Err(error) = self.append(&envoy.broker, roll, term, record).await {
            tracing::warn!(job = %self.name, error = %chain(&error), "its last record was not written again and may be removed");
        }
    }
}
