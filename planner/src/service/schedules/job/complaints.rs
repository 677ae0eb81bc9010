//! What of a job makes no sense: said by the planner that leads, once, and not by those that stand by as well.

use gridloom_shared::chain;
use gridloom_shared::schedule::record::Record;
use gridloom_shared::wire;

use super::{Defined, Job};

impl Job {
    /// The record in these bytes. Where they are none, nothing of the job is decided until they are gone.
    pub(super) fn understand(&mut self, payload: &[u8]) -> Option<Record> {
        match wire::decode(payload) {
            Ok(record) => {
                self.stopped = None;
                Some(record)
            }
            Err(error) => {
                self.stopped = Some(chain(&error).to_string());
                self.complain_of_record();
                None
            }
        }
    }

    /// Says all of it.
    pub(super) fn complain(&self) {
        self.complain_of_record();
        self.complain_of_definition();
        if !self.fires.is_followed()
            && let Some(state) = self.fires.state()
        {
            // Says itself why not.
            self.plan(state);
        }
    }

    fn complain_of_record(&self) {
        if let Some(error) = self.stopped.as_ref().filter(|_| self.leads) {
            tracing::error!(job = %self.name, error, "the record of its fires cannot be gone on from: nothing of it is opened");
        }
    }

    pub(super) fn complain_of_definition(&self) {
        if let Defined::Nonsense(error) = &self.defined
            && self.leads
        {
            tracing::error!(job = %self.name, error, "its definition cannot be understood: nothing of it is opened until it is");
        }
    }
}
