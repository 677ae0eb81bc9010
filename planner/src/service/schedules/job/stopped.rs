//! What is done about a last record that makes no sense, and what is told of what is to come.

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::Record as LogRecord;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::Term;
use gridloom_shared::schedule::record::Record;

use super::super::roll::Roll;
use super::{AT_ONCE, Job, SettleError};
use crate::schedule::Fires;

impl Job {
    /// Looks whether the record that made no sense is gone: what stands before it is gone on from. When it is to be looked at
    /// again, if it is.
    pub(super) async fn mend(
        &mut self,
        broker: &Broker,
        roll: &Roll,
        term: Term,
    ) -> Result<Option<UnixMs>, SettleError> {
        let subjects = broker.subjects();
        let (history, subject) = (subjects.history(), subjects.fires(&self.name));
        let last = broker.last_of_leader(&history, &subject).await?;
        let is_nonsense = |last: &LogRecord| {
            let read = broker.decode::<Record>(&last.subject, &last.payload);
            read.is_err()
        };
        if last.as_ref().is_some_and(is_nonsense) {
            return Ok(None);
        }
        self.hear_out(broker, roll).await?;
        match last {
            None => {
                self.sequence = 0;
                self.fires = Fires::new(self.name.clone(), None, None);
                self.stopped = None;
            }
            Some(last) => self.meet(last.seq, &last.payload, term),
        }
        tracing::info!(job = %self.name, "its fires are decided again");
        Ok(Some(AT_ONCE))
    }

    /// Fires that have come and have no open run yet.
    pub(in crate::service::schedules) fn pending(&self) -> u64 {
        let state = self.fires.state();
        state.map_or(0, |state| {
            let unopened = state.unopened.iter();
            let unopened = unopened.filter(|fire| !self.runs.knows(&fire.run));
            (state.queued.len() + state.carried.len() + unopened.count()) as u64
        })
    }
}
