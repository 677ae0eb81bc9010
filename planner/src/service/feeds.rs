//! Feeds of the loop: submissions, the ledger's tail, the state of the queue, the workers' presence. Each is a task that
//! ends with its leadership, or with the service.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::{FollowError, Followed, Record, Start};
use gridloom_shared::broker::pull::{Delivery, EndReason, Patience, PullEvent, Puller};
use gridloom_shared::broker::topology::consumers;
use gridloom_shared::chain;
use gridloom_shared::id::{JobName, QueueName, RunId, Term};
use gridloom_shared::ledger::record::Author;
use gridloom_shared::presence::Presence;
use gridloom_shared::reads::workers;
use tokio::sync::{Semaphore, mpsc};

use super::doors::Taken;
use super::envoy::Envoy;
use super::event::Event;
use super::odd::Odd;
use super::task::Task;
use crate::alive::Signs;
use crate::entry::Entry;
use crate::lead::event::Event as LeadEvent;
use crate::metrics::SUBMISSIONS;
use crate::pulse::Pulse;
use crate::submit::{self, Receipt};

pub(super) mod commands;
mod look;

use look::{Found, Looks};

/// Submissions that are answered at once.
const ANSWERS: usize = 128;
/// Submissions that are answered together.
const GROUP: usize = 64;
/// How long one pull of submissions waits.
const PULL: Duration = Duration::from_secs(10);
/// How often the queue is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// When a submission is looked at again whose queue takes no new runs, or that only a newer build can answer.
const LATER: Duration = Duration::from_secs(10);
/// Pause after something failed.
const PAUSE: Duration = Duration::from_millis(250);

/// Looks whether the queue is still there: a deleted stream is gone, a purged one has not even the register.
pub(super) async fn queue(envoy: Envoy, signs: Signs) {
    let shards = envoy.broker.subjects().shards();
    let mut looks = Looks::default();
    loop {
        signs.give();
        tokio::time::sleep(LOOK).await;
        let found = match envoy.broker.info(&shards).await {
            Ok(state) => Found::There(state),
            Err(error) if error.is_stream_missing() => Found::Gone,
            Err(_) => Found::Untold,
        };
        if let Some(event) = looks.next(&found)
            && !envoy.say(event).await
        {
            return;
        }
    }
}

/// Feeds the records of the ledger after `from`.
pub(super) async fn ledger(envoy: Envoy, from: u64, pulse: Pulse, signs: Signs) {
    let subjects = envoy.broker.subjects();
    let start = Start::Sequence(from + 1);
    let mut tail = envoy
        .broker
        .follow(&subjects.ledger(), subjects.all_ledgers(), start);
    let mut connection = envoy.broker.connection_epoch();
    loop {
        match signs.waiting(tail.next()).await {
            Ok(Followed::Record(record)) => {
                let Some(entry) = Entry::read(&envoy.broker, &record) else {
                    envoy.odd.note("subject", &record.subject, "no run's");
                    continue;
                };
                tell_unreadable(&envoy.odd, &entry, &record);
                if !envoy.say(LeadEvent::Read(Box::new(entry))).await {
                    return;
                }
                pulse.beat();
            }
            Ok(Followed::Quiet) => pulse.beat(),
            Ok(Followed::CaughtUp) => {
                pulse.beat();
                let now = envoy.broker.connection_epoch();
                if now != connection {
                    connection = now;
                    envoy.say(LeadEvent::Reconnected).await;
                }
            }
            Err(error @ FollowError::Rewound { .. }) => {
                envoy
                    .say(LeadEvent::LedgerLost(chain(&error).to_string()))
                    .await;
                return;
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the ledger cannot be followed");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// What a planner wrote is one's own and rare; workers may write what they like.
fn tell_unreadable(odd: &Odd, entry: &Entry, stored: &Record) {
    let Err(error) = &entry.record else { return };
    match entry.author {
        // That is noted already.
        _ if error.is_newer() => {}
        Author::Plan => {
            tracing::warn!(run = %entry.run, subject = %stored.subject, sequence = stored.seq, error = %chain(error), "unreadable record");
        }
        author @ (Author::Work | Author::Takeover) => {
            odd.note_of(
                Some(&entry.run),
                author.as_str(),
                &stored.subject,
                chain(error),
            );
        }
    }
}

/// Feeds the announcements of workers, and asks all of them at once for a first one.
pub(super) async fn presence(broker: Broker, events: mpsc::Sender<Event>, odd: Odd, signs: Signs) {
    loop {
        signs.give();
        let heard = broker.subscribe(broker.subjects().all_presence()).await;
        let mut heard = match heard {
            Ok(heard) => heard,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "failed to listen for workers");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        call_workers(&broker).await;
        while let Some(message) = signs.waiting(heard.next()).await {
            match Presence::read(&message.payload) {
                // Each worker speaks for itself alone.
                Ok(presence)
                    if broker.subjects().parse_presence(&message.subject)
                        != Some(presence.session) =>
                {
                    odd.note("presence", &message.subject, "it is another's");
                }
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
                    odd.note("presence", &message.subject, chain(&error));
                }
            }
        }
    }
}

/// Asks all workers to announce themselves.
pub(super) async fn call_workers(broker: &Broker) {
    if let Err(error) = workers::call(broker).await {
        tracing::debug!(error = %chain(&error), "failed to call the workers");
    }
}

/// Answers submissions, several at once, each acknowledged after its answer is written.
pub(super) async fn submissions(envoy: Envoy, term: Term, signs: Signs) {
    let answers = Arc::new(Semaphore::new(ANSWERS));
    loop {
        signs.give();
        let consumer = match consumers::ensure_planner(&envoy.broker).await {
            Ok(consumer) => consumer,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "submissions cannot be pulled");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        match consumers::hand_out_what_came_back(&envoy.broker).await {
            Ok(false) => {}
            Ok(true) => tracing::warn!(
                "submissions stood below what was answered: the broker lost what it had not flushed; all that are there are answered again"
            ),
            Err(error) => {
                tracing::debug!(error = %chain(&error), "cannot look for submissions that came back");
            }
        }
        let mut puller = Puller::new(&envoy.broker, &envoy.broker.subjects().submit(), &consumer);
        let mut taken = Taken::everything(envoy.doors.clone());
        loop {
            signs.give();
            match taken.follow(&envoy.broker).await {
                Ok(true) => {}
                Ok(false) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "submissions of full queues cannot be left out; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
            if let Err(error) = puller.pull(ANSWERS as u32, Patience::UpTo(PULL)).await {
                tracing::debug!(error = %chain(&error), "failed to pull submissions");
                tokio::time::sleep(PAUSE).await;
            }
            match signs
                .waiting(pulled(&mut puller, &envoy, term, &answers))
                .await
            {
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

/// Hands out what one pull brings, until it ends: what is there at once as one group.
async fn pulled(
    puller: &mut Puller,
    envoy: &Envoy,
    term: Term,
    answers: &Arc<Semaphore>,
) -> EndReason {
    let mut left = ANSWERS;
    while left > 0 {
        let (mut group, mut ended) = (Vec::new(), None);
        let mut next = Some(puller.next().await);
        while let Some(event) = next {
            match event {
                PullEvent::Delivery(delivery) => group.push(delivery),
                PullEvent::Ended { reason, .. } => ended = Some(reason),
            }
            let more = ended.is_none() && group.len() < left.min(GROUP);
            next = more.then(|| puller.next().now_or_never()).flatten();
        }
        left -= group.len();
        if !group.is_empty() {
            let size = group.len() as u32;
            let places = Arc::clone(answers).acquire_many_owned(size).await;
            let (errands, envoy) = (envoy.errands.clone(), envoy.clone());
            errands.send(Task::Submission, async move {
                let _places = places;
                answer_all(&envoy, &group, term).await;
            });
        }
        if let Some(reason) = ended {
            return reason;
        }
    }
    EndReason::Expired
}

async fn answer_all(envoy: &Envoy, group: &[Delivery], term: Term) {
    let jobs = submit::jobs(&envoy.broker, group).await;
    let answers = group.iter();
    let answers = answers.map(|delivery| answer(envoy, delivery, &jobs, term));
    join_all(answers).await;
}

async fn answer(
    envoy: &Envoy,
    delivery: &Delivery,
    jobs: &HashMap<JobName, submit::Found>,
    term: Term,
) {
    let broker = &envoy.broker;
    let name = submit::name(broker, delivery).ok();
    let found = name.as_ref().and_then(|name| jobs.get(name));
    let job = name.as_ref().map(JobName::as_str);
    let is_full = |queue: &QueueName| envoy.doors.is_closed(queue);
    let open = async |run, opened| envoy.open(run, opened).await;
    let answered = submit::answer(broker, delivery, found, term, is_full, open).await;
    if let Ok(receipt) = &answered {
        submit::tell(&envoy.broker, delivery, receipt).await;
    }
    let sequence = delivery.stream_seq;
    let label = match answered {
        Ok(Receipt::Opened(new)) => {
            tracing::info!(run = %new.run, "opened");
            envoy.say(LeadEvent::Opened(new)).await;
            "opened"
        }
        Ok(Receipt::Exists(run)) => {
            tracing::info!(%run, "submitted again");
            "repeated"
        }
        Ok(Receipt::Purged(run)) => {
            tracing::info!(%run, "submitted again: the run is over and was purged");
            "repeated"
        }
        Ok(Receipt::Kept(run)) => {
            tracing::info!(%run, "kept until it is known what becomes of the run beside others");
            "kept"
        }
        Ok(Receipt::Waits(run)) => {
            tracing::info!(%run, "submitted again: the run waits");
            "repeated"
        }
        Ok(Receipt::Later) => return put_off(broker, delivery).await,
        Ok(Receipt::Refused(run, reason)) => {
            let run = run.as_ref().map(RunId::as_str);
            tracing::warn!(job, run, subject = %delivery.subject, sequence, reason, "refused");
            "refused"
        }
        Err(error) if error.is_newer() => {
            tracing::debug!(job, subject = %delivery.subject, sequence, error = %chain(&error), "a submission waits for a planner of a newer build");
            return put_off(broker, delivery).await;
        }
        Err(error) => {
            tracing::warn!(job, subject = %delivery.subject, sequence, error = %chain(&error),
                "failed to answer a submission; it is tried again");
            tokio::time::sleep(PAUSE).await;
            if let Err(error) = envoy.broker.nak(&delivery.reply, delivery.epoch).await {
                tracing::debug!(job, sequence, error = %chain(&error), "failed to hand a submission back");
            }
            return;
        }
    };
    SUBMISSIONS.counter(&[label]).increment(1);
    if let Err(error) = envoy.broker.ack(&delivery.reply).await {
        tracing::debug!(job, sequence, error = %chain(&error), "failed to acknowledge a submission; it is delivered again");
    }
}

/// Nothing becomes of a submission for now: it is delivered again later.
async fn put_off(broker: &Broker, delivery: &Delivery) {
    let handed = broker.nak_for(&delivery.reply, delivery.epoch, LATER);
    if let Err(error) = handed.await {
        let (subject, sequence) = (&delivery.subject, delivery.stream_seq);
        tracing::debug!(%subject, sequence, error = %chain(&error), "failed to put a submission off; it is delivered again");
    }
}
