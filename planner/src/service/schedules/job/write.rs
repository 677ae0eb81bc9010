//! Writes the records of a job's fires, under compare-and-swap. Decides nothing.

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::{AppendError, ReadError};
use gridloom_shared::chain;
use gridloom_shared::id::Term;
use gridloom_shared::schedule::record::{Decision, Record};
use gridloom_shared::wire;

use super::super::super::envoy::Envoy;
use super::super::roll::Roll;
use super::{Defined, Job, SettleError};

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
                // Where that fails the same conflict comes again: its record is not read without what its writer knew.
                self.hear_out(broker, roll).await?;
                match last {
                    // The stream was lost: the next record brings back all that is known.
                    None => self.sequence = 0,
                    Some(last) => self.meet(last.seq, &last.payload, term),
                }
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Hears what the writer of the last record knew: the runs that stand in the ledger now, and the definition. By an older one
    /// the job would get back the schedule that it had before.
    pub(super) async fn hear_out(&mut self, broker: &Broker, roll: &Roll) -> Result<(), ReadError> {
        roll.catch_up(broker).await?;
        let place = broker.jobs().place_of(self.name.as_str()).await?;
        if let Some(entry) = place.entry() {
            self.define(Defined::read(broker, entry), entry.revision);
        }
        self.behind = true;
        Ok(())
    }

    /// Another's record stands there. Where that is of a later leadership, nothing more is decided by this one.
    pub(super) fn meet(&mut self, sequence: u64, payload: &[u8], term: Term) {
        match self.understand(payload) {
            Some(record) if record.term > term => self.aside = true,
            Some(record) => self.read(sequence, record),
            None => {}
        }
    }

    /// Its last record is to stand above `below`. Whether it does not yet.
    pub(in crate::service::schedules) fn keep_above(&mut self, below: u64) -> bool {
        self.above = below;
        self.is_endangered()
    }

    fn is_endangered(&self) -> bool {
        self.fires.state().is_some()
            && self.sequence < self.above
            && !self.aside
            && self.stopped.is_none()
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

#[cfg(test)]
mod tests {
    use gridloom_shared::clock::UnixMs;
    use gridloom_shared::id::JobName;
    use gridloom_shared::schedule::Spec;
    use gridloom_shared::schedule::record::State;
    use serde_json::json;

    use super::*;

    fn record(term: u64) -> Vec<u8> {
        let spec = Spec::try_from(json!({ "every": "1h" })).unwrap();
        let record = Record {
            at: UnixMs(1),
            term: Term(term),
            decision: Decision::Adopted,
            state: State::new(Some(spec), UnixMs(0), UnixMs(0)),
        };
        wire::encode(&record).to_vec()
    }

    fn job() -> Job {
        let mut job = Job::new(JobName::new("nightly").unwrap());
        job.define(Defined::Gone(UnixMs(0)), 1);
        job
    }

    #[test]
    fn nothing_is_decided_any_more_where_a_later_leadership_has_written() {
        for (wrote, decides) in [(2, true), (3, true), (4, false)] {
            let mut job = job();
            job.meet(9, &record(wrote), Term(3));
            assert_eq!(job.world(UnixMs(5), Term(3)).is_some(), decides, "{wrote}");
            assert_eq!(job.needs(UnixMs(5), Term(3)).is_some(), decides, "{wrote}");
        }
    }

    #[test]
    fn nothing_is_decided_behind_a_record_that_makes_no_sense_until_one_does() {
        let mut job = job();
        job.meet(9, b"nonsense", Term(3));
        assert!(job.world(UnixMs(5), Term(3)).is_none());
        job.meet(10, &record(3), Term(3));
        assert!(job.world(UnixMs(5), Term(3)).is_some());
        assert_eq!(job.sequence, 10);
    }

    #[test]
    fn record_of_a_newer_build_is_not_taken_for_none_and_nothing_is_decided_behind_it() {
        let newer = b"\x82\xa1v\x09\xa5other\x01";
        // As a leader meets it, and as whoever stands by follows it.
        let meets: [fn(&mut Job, &[u8]); 2] = [
            |job, record| job.meet(9, record, Term(3)),
            |job, record| job.catch_up(9, record),
        ];
        for meet in meets {
            let mut job = job();
            assert!(job.world(UnixMs(5), Term(3)).is_some());
            meet(&mut job, newer);
            assert!(job.world(UnixMs(5), Term(3)).is_none());
            assert!(job.needs(UnixMs(5), Term(3)).is_none());
            assert!(!job.keep_above(20));
            // What was known of before is not gone on from either.
            let mut job = self::job();
            job.catch_up(8, &record(3));
            meet(&mut job, newer);
            assert!(job.world(UnixMs(5), Term(3)).is_none());
            assert!(!job.keep_above(20));
            job.catch_up(10, &record(3));
            assert!(job.world(UnixMs(5), Term(3)).is_some());
        }
    }
}
