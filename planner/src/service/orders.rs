//! What is said to the broker for orders by people: their records, the end of what is queued and runs,
//! and the requests themselves.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use gridloom_shared::broker::log::{AppendError, ReadError, Record};
use gridloom_shared::broker::{Message, PublishError, Subscription};
use gridloom_shared::command::{Answer, Broadcast, Command, Halted};
use gridloom_shared::id::{QueueName, RunId, Session};
use gridloom_shared::ledger::record::{Author, PlanRecord};
use gridloom_shared::wire;

use super::LeadEvent;
use super::lead::commands::Asked;
use super::work::{Report, Voice};
use crate::submit::append_certainly;

/// How long the holders of a cancelled run are waited for: the run ends within two seconds.
const HOLDERS: Duration = Duration::from_millis(1_600);
/// How often they are told again.
const TOLD_AGAIN: Duration = Duration::from_millis(450);
/// Pause after something failed.
const PAUSE: Duration = Duration::from_millis(100);
/// Pause before an order is judged anew: the record that came first is on its way here.
const OUTRUN: Duration = Duration::from_millis(20);

/// An order to be written.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) run: RunId,
    pub(super) queue: QueueName,
    pub(super) record: PlanRecord,
    pub(super) expected: u64,
    pub(super) request: u64,
    /// What is answered once it stands in the ledger.
    pub(super) done: Answer,
}

impl Voice {
    /// Writes an order to the ledger. Workers that were told to stop a run hear that it goes on.
    pub(super) async fn order(self, order: Order) {
        let Order {
            run,
            queue,
            record,
            expected,
            request,
            done,
        } = order;
        let subject = self.broker.subjects().ledger_of(&queue, &run, Author::Plan);
        let written =
            append_certainly(&self.broker, &subject, wire::encode(&record), expected).await;
        let result = match written {
            Ok(sequence) => {
                if matches!(record, PlanRecord::Reopened(_)) {
                    let run = run.clone();
                    self.tell(&Broadcast::Reopened { run, sequence }).await;
                }
                Ok((sequence, done))
            }
            Err(AppendError::Conflict { .. }) => {
                tokio::time::sleep(OUTRUN).await;
                Err(None)
            }
            Err(error) => Err(Some(format!("it cannot be written: {error}"))),
        };
        self.report(Report::Ordered(run, request, result)).await;
    }

    async fn tell(&self, broadcast: &Broadcast) {
        let subject = self.broker.subjects().broadcast();
        if let Err(error) = self.broker.publish(subject, wire::encode(broadcast)).await {
            tracing::debug!(%error, "failed to tell the workers");
        }
    }

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
                    tracing::warn!(%run, %error, "failed to have a cancelled run stopped");
                }
            }
            Err(error) => tracing::warn!(%run, %error, "failed to listen to workers"),
        }
        if let Some(silent) = holders.filter(|holders| !holders.is_empty()) {
            tracing::warn!(%run, workers = silent.len(), "not every worker says that it stopped a cancelled run");
        }
        self.report(Report::Halted(run)).await;
    }

    async fn empty(&self, run: &RunId, queue: &QueueName) {
        let subjects = self.broker.subjects();
        let (stream, filter) = (subjects.shards(), subjects.shard(queue, run));
        loop {
            match self.broker.purge(&stream, &filter, 0).await {
                Ok(tiles) => return tracing::info!(%run, tiles, "removed from the queue"),
                Err(error) => tracing::warn!(%run, %error, "failed to empty the queue"),
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

    /// Reads the ledger of a run, at least up to `position`.
    pub(super) async fn load(self, run: RunId, position: u64) {
        loop {
            match self.read_run(&run, position).await {
                Ok(records) => return self.report(Report::Loaded(run, records)).await,
                Err(error) => tracing::warn!(%run, %error, "failed to read a run that is over"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn read_run(&self, run: &RunId, position: u64) -> Result<Vec<Record>, ReadError> {
        let subjects = self.broker.subjects();
        let ledger = subjects.ledger();
        let last = self.broker.info(&ledger).await;
        let last = last.map_err(|cause| ReadError {
            stream: ledger.to_string(),
            cause,
        })?;
        let filter = subjects.ledger_of_run_anywhere(run);
        let up_to = last.last_seq.max(position);
        self.broker.read(&ledger, &filter, 1, Some(up_to)).await
    }
}

/// Feeds the orders that people give. Everything that comes is answered.
pub(super) async fn commands(voice: Voice) {
    let subject = voice.broker.subjects().all_commands();
    loop {
        match voice.broker.subscribe(subject.clone()).await {
            Ok(mut commands) => {
                while let Some(message) = commands.next().await {
                    if !take(&voice, message).await {
                        return;
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "failed to listen for orders"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn take(voice: &Voice, message: Message) -> bool {
    let Some(reply) = message.reply.clone() else {
        tracing::warn!(subject = %message.subject, "an order that wants no answer is not carried out");
        return true;
    };
    match understand(voice, &message) {
        Ok(command) => {
            voice
                .say(LeadEvent::Ordered(Asked { command, reply }))
                .await
        }
        Err(reason) => {
            tracing::warn!(subject = %message.subject, reason, "an order that cannot be understood");
            let answer = wire::encode(&Answer::Misuse { reason });
            if let Err(error) = voice.broker.publish(reply, answer).await {
                tracing::debug!(%error, "failed to answer an order");
            }
            true
        }
    }
}

fn understand(voice: &Voice, message: &Message) -> Result<Command, String> {
    let command: Command = wire::decode(&message.payload)
        .map_err(|error| format!("the order cannot be understood: as one it is {error}"))?;
    if message.subject.as_str() != voice.broker.subjects().command(command.verb) {
        return Err(format!(
            "an order to {} does not belong on subject {}",
            command.verb.as_str(),
            message.subject
        ));
    }
    if command.request == 0 {
        return Err(
            "an order needs a number other than 0, the same whenever it is sent".to_owned(),
        );
    }
    Ok(command)
}
