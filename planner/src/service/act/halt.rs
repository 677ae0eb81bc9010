//! Ends what is queued and runs of a cancelled run.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use gridloom_shared::broker::{PublishError, Subscription};
use gridloom_shared::chain;
use gridloom_shared::command::{Broadcast, Halted};
use gridloom_shared::id::{QueueName, RunId, Session};
use gridloom_shared::wire;

use super::super::envoy::Envoy;
use super::PAUSE;
use crate::lead::event::Report;

/// How long the holders of a cancelled run are waited for: the run ends within two seconds.
const HOLDERS: Duration = Duration::from_millis(1_600);
/// How often they are told again.
const TOLD_AGAIN: Duration = Duration::from_millis(450);

impl Envoy {
    /// Empties the queue of a cancelled run, then has everything of it stopped: whoever pulled one of
    /// its tiles before that listened already.
    pub(super) async fn halt(
        self,
        run: RunId,
        queue: QueueName,
        sequence: u64,
        mut holders: Option<HashSet<Session>>,
    ) {
        let begun = Instant::now();
        self.empty(&run, &queue).await;
        let broadcast = Broadcast::Cancelled {
            run: run.clone(),
            sequence,
        };
        let inbox = self.broker.new_inbox();
        match self.broker.subscribe(inbox.clone()).await {
            Ok(mut answers) => {
                if let Err(error) = self
                    .halted(&broadcast, (&inbox, &mut answers), begun, &mut holders)
                    .await
                {
                    tracing::warn!(%run, error = %chain(&error), "failed to have a cancelled run stopped");
                }
            }
            Err(error) => {
                tracing::warn!(%run, error = %chain(&error), "failed to listen to workers")
            }
        }
        if let Some(silent) = holders.filter(|holders| !holders.is_empty()) {
            tracing::warn!(%run, workers = silent.len(), "not every worker says that it stopped a cancelled run");
        }
        self.report(Report::Halted(run)).await;
    }

    async fn empty(&self, run: &RunId, queue: &QueueName) {
        let subjects = self.broker.subjects();
        let (stream, filter) = (subjects.shards(), subjects.shards_of_run(queue, run));
        loop {
            match self.broker.purge(&stream, &filter, 0).await {
                Ok(tiles) => return tracing::info!(%run, tiles, "removed from the queue"),
                Err(error) => {
                    tracing::warn!(%run, error = %chain(&error), "failed to empty the queue")
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn halted(
        &self,
        broadcast: &Broadcast,
        (inbox, answers): (&str, &mut Subscription),
        begun: Instant,
        holders: &mut Option<HashSet<Session>>,
    ) -> Result<(), PublishError> {
        let payload = wire::encode(broadcast);
        let mut told: Option<Instant> = None;
        let answered =
            |holders: &Option<HashSet<Session>>| holders.as_ref().is_some_and(HashSet::is_empty);
        while told.is_none() || !answered(holders) && begun.elapsed() < HOLDERS {
            if told.is_none_or(|told| told.elapsed() >= TOLD_AGAIN) {
                told = Some(Instant::now());
                let subject = self.broker.subjects().broadcast();
                self.broker
                    .publish_with_reply(subject, inbox.to_owned(), payload.clone())
                    .await?;
            }
            let wait = TOLD_AGAIN.min(HOLDERS.saturating_sub(begun.elapsed()));
            if let Ok(Some(answer)) = tokio::time::timeout(wait, answers.next()).await
                && let Ok(Halted { session }) = wire::decode(&answer.payload)
            {
                holders.iter_mut().for_each(|holders| {
                    holders.remove(&session);
                });
            }
        }
        Ok(())
    }
}
