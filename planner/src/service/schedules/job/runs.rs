//! What one job's decisions ask for: runs that are to be opened, and such that are to end.

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::{AppendError, ReadError};
use gridloom_shared::clock::UnixMs;
use gridloom_shared::command::{Answer, Command, Verb};
use gridloom_shared::id::{Nonce, RunId, Term};
use gridloom_shared::ledger::record::PlanRecord;
use gridloom_shared::submission::Unreadable;
use gridloom_shared::submission::answer::Outcome;
use gridloom_shared::wire;

use super::super::super::envoy::Envoy;
use super::{ANSWERED, Defined, Job, SettleError};
use crate::lead::event::Event as LeadEvent;
use crate::open::Opening;

impl Job {
    /// Opens the runs that were decided.
    pub(super) async fn open(&mut self, envoy: &Envoy, term: Term) -> Result<(), SettleError> {
        let Some(world) = self.world(UnixMs::default(), term) else {
            return Ok(());
        };
        for (at, run) in self.fires.to_open(&world) {
            self.open_one(envoy, term, at, run).await?;
        }
        Ok(())
    }

    /// Opens the run of a nominal time, or finds out what became of it.
    pub(super) async fn open_one(
        &mut self,
        envoy: &Envoy,
        term: Term,
        at: UnixMs,
        run: RunId,
    ) -> Result<(), SettleError> {
        if self.is_newer(&run) {
            return Err(SettleError::Newer(run));
        }
        if self.is_gone(at, &run) {
            return Ok(self.find(&envoy.broker, run).await?);
        }
        let Defined::There(job, ..) = &self.defined else {
            let why = "its job was deleted before it could be opened".to_owned();
            return Ok(self.give_up(&envoy.broker, run, why).await?);
        };
        if envoy.doors.is_closed(&job.queue) {
            return Err(SettleError::Full);
        }
        let opened = match self.first_record(job, (at, &run), term) {
            Ok(opened) => opened,
            Err(reason) => return Ok(self.give_up(&envoy.broker, run, reason).await?),
        };
        let opening = envoy.open(run.clone(), opened);
        match tokio::time::timeout(ANSWERED, opening).await?? {
            Opening::New(new) => {
                tracing::info!(job = %self.name, %run, "opened");
                let told = (Outcome::Opened, None, None);
                self.tell_asked(&envoy.broker, &run, told).await;
                self.is_open(run);
                envoy.say(LeadEvent::Opened(new)).await;
            }
            // One that was kept is looked for under its id when it comes.
            Opening::Exists | Opening::Anothers => self.find(&envoy.broker, run).await?,
            Opening::Purged => self.over(run, None, None),
            Opening::Refused(reason) => self.give_up(&envoy.broker, run, reason).await?,
        }
        Ok(())
    }

    /// A run that can never be opened. Why not is on record.
    async fn give_up(
        &mut self,
        broker: &Broker,
        run: RunId,
        reason: String,
    ) -> Result<(), AppendError> {
        tracing::warn!(job = %self.name, %run, reason, "refused");
        let reason = Unreadable::why_not_opened(&run, &reason);
        let record = self.unreadable(broker, &run, reason.clone());
        let stored = broker.append_patiently(broker.subjects().unreadable(), record.encode());
        stored.await?;
        let told = (Outcome::Refused, Some(reason), None);
        self.tell_asked(broker, &run, told).await;
        self.over(run, None, None);
        Ok(())
    }

    /// A run that an earlier leader has opened: whether it is over.
    pub(super) async fn find(&mut self, broker: &Broker, run: RunId) -> Result<(), ReadError> {
        let subjects = broker.subjects();
        let plan = subjects.plan_of_run_anywhere(&run);
        let last = broker.last_of_leader(&subjects.ledger(), &plan).await?;
        match last.map(|last| (last.at, wire::decode::<PlanRecord>(&last.payload))) {
            Some((at, Ok(PlanRecord::Closed(closed)))) => {
                self.over(run, Some(at), Some(closed.state))
            }
            Some((at, Ok(record))) if record.is_end() => self.over(run, Some(at), None),
            Some(_) => {
                self.is_open(run);
            }
            None => self.over(run, None, None),
        }
        Ok(())
    }

    /// Ends the runs that a fire does not wait for any longer.
    pub(super) async fn cancel(&mut self, envoy: &Envoy, term: Term) -> Result<(), SettleError> {
        let Some(world) = self.world(UnixMs::default(), term) else {
            return Ok(());
        };
        let runs = self.fires.to_cancel(&world);
        self.end_runs(envoy, runs).await
    }

    /// Orders that runs end, each once.
    pub(super) async fn end_runs(
        &mut self,
        envoy: &Envoy,
        runs: Vec<RunId>,
    ) -> Result<(), SettleError> {
        for run in runs {
            if self.cancelled.contains(&run) {
                continue;
            }
            tracing::info!(job = %self.name, %run, "cancelled: a fire waits for that");
            let command = Command {
                request: Nonce::random().0,
                verb: Verb::Cancel,
                run: run.clone(),
                slice: None,
                page: None,
                error_like: None,
            };
            let subject = envoy.broker.subjects().command(Verb::Cancel);
            let order = wire::encode(&command);
            let answer = envoy.broker.request(subject, order, ANSWERED).await?;
            match wire::decode(&answer.payload) {
                Ok(Answer::Done { .. } | Answer::Nothing { .. }) => self.cancelled.insert(run),
                other => return Err(SettleError::Refused(format!("{other:?}"))),
            };
        }
        Ok(())
    }
}
