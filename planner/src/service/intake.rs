//! Feeds of the loop: submissions, the ledger's tail, the state of the queue, the workers' presence. Each is a task that
//! ends with its leadership, or with the service.

use std::sync::Arc;
use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::{FollowError, Followed, Start};
use gridloom_shared::broker::pull::{Delivery, EndReason, PullEvent, Puller};
use gridloom_shared::broker::topology::consumers;
use gridloom_shared::id::Term;
use gridloom_shared::presence::Presence;
use gridloom_shared::telemetry::names;
use gridloom_shared::wire;
use tokio::sync::{Semaphore, mpsc};

use super::work::Voice;
use super::{Event, LeadEvent};
use crate::submit::{self, Answer};

/// Submissions that are answered at once.
const ANSWERS: usize = 64;
/// How long one pull of submissions waits.
const PULL: Duration = Duration::from_secs(10);
/// How often the queue is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Pause after something failed.
const PAUSE: Duration = Duration::from_millis(250);

/// Looks whether the queue is still there: a deleted stream is gone, a purged one has not even the register.
/// Told only of what is seen twice: a stream of a cluster is not found for a moment at an election.
pub(super) async fn queue(voice: Voice) {
    let shards = voice.broker.subjects().shards();
    let mut times = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        let lost = match voice.broker.info(&shards).await {
            Ok(state) => state.messages == 0,
            Err(error) => error.is_stream_missing(),
        };
        times = if lost { times + 1 } else { 0 };
        if times == 2 {
            times = 0;
            if !voice.say(LeadEvent::QueueLost).await {
                return;
            }
        }
    }
}

/// Feeds the records of the ledger after `from`.
pub(super) async fn ledger(voice: Voice, from: u64) {
    let subjects = voice.broker.subjects();
    let start = Start::Sequence(from + 1);
    let mut tail = voice
        .broker
        .follow(&subjects.ledger(), subjects.all_ledgers(), start);
    let mut connection = voice.broker.connection_epoch();
    loop {
        match tail.next().await {
            Ok(Followed::Record(record)) => {
                if !voice.say(LeadEvent::Ledger(record)).await {
                    return;
                }
            }
            Ok(Followed::CaughtUp) => {
                let now = voice.broker.connection_epoch();
                if now != connection {
                    connection = now;
                    voice.say(LeadEvent::Reconnected).await;
                }
            }
            Err(error @ FollowError::Rewound { .. }) => {
                voice.say(LeadEvent::LedgerLost(error.to_string())).await;
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "the ledger cannot be followed");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Feeds the announcements of workers, and asks all of them at once for a first one.
pub(super) async fn presence(broker: Broker, events: mpsc::Sender<Event>) {
    loop {
        let heard = broker.subscribe(broker.subjects().all_presence()).await;
        let mut heard = match heard {
            Ok(heard) => heard,
            Err(error) => {
                tracing::warn!(%error, "failed to listen for workers");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        if let Err(error) = broker
            .publish(broker.subjects().roll_call(), bytes::Bytes::new())
            .await
        {
            tracing::debug!(%error, "failed to call the workers");
        }
        while let Some(message) = heard.next().await {
            match wire::decode::<Presence>(&message.payload) {
                Ok(presence) => {
                    if events
                        .send(Event::Presence(Box::new(presence)))
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(subject = %message.subject, %error, "unreadable presence")
                }
            }
        }
    }
}

/// Answers submissions, several at once, each acknowledged after its answer is written.
pub(super) async fn submissions(voice: Voice, term: Term) {
    let slots = Arc::new(Semaphore::new(ANSWERS));
    loop {
        let consumer = match consumers::ensure_planner(&voice.broker).await {
            Ok(consumer) => consumer,
            Err(error) => {
                tracing::warn!(%error, "submissions cannot be pulled");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let mut puller = Puller::new(&voice.broker, &voice.broker.subjects().submit(), &consumer);
        loop {
            if let Err(error) = puller.pull(ANSWERS as u32, PULL).await {
                tracing::debug!(%error, "failed to pull submissions");
                tokio::time::sleep(PAUSE).await;
            }
            match pulled(&mut puller, &voice, term, &slots).await {
                EndReason::Expired => {}
                reason => {
                    tracing::debug!(?reason, "a pull of submissions ended");
                    tokio::time::sleep(PAUSE).await;
                    break;
                }
            }
        }
    }
}

/// Hands out what one pull brings, until it ends.
async fn pulled(
    puller: &mut Puller,
    voice: &Voice,
    term: Term,
    slots: &Arc<Semaphore>,
) -> EndReason {
    let mut left = ANSWERS;
    loop {
        match puller.next().await {
            PullEvent::Delivery(delivery) => {
                left -= 1;
                let Ok(slot) = Arc::clone(slots).acquire_owned().await else {
                    return EndReason::Expired;
                };
                let voice = voice.clone();
                tokio::spawn(async move {
                    answer(&voice, &delivery, term).await;
                    drop(slot);
                });
                if left == 0 {
                    return EndReason::Expired;
                }
            }
            PullEvent::Ended { reason, .. } => return reason,
        }
    }
}

async fn answer(voice: &Voice, delivery: &Delivery, term: Term) {
    let label = match submit::answer(&voice.broker, delivery, term).await {
        Ok(Answer::Opened(new)) => {
            tracing::info!(run = %new.run, "opened");
            voice.say(LeadEvent::Opened(new)).await;
            "opened"
        }
        Ok(Answer::Exists(run)) => {
            tracing::info!(%run, "submitted again");
            "repeated"
        }
        Ok(Answer::Refused(reason)) => {
            tracing::warn!(subject = %delivery.subject, reason, "refused");
            "refused"
        }
        Err(error) => {
            tracing::warn!(subject = %delivery.subject, %error, "failed to answer a submission; it is tried again");
            tokio::time::sleep(PAUSE).await;
            if let Err(error) = voice.broker.nak(&delivery.reply, delivery.epoch).await {
                tracing::debug!(%error, "failed to hand a submission back");
            }
            return;
        }
    };
    metrics::counter!(names::SUBMISSIONS, "answer" => label).increment(1);
    if let Err(error) = voice.broker.ack(&delivery.reply).await {
        tracing::debug!(%error, "failed to acknowledge a submission; it is delivered again");
    }
}
