//! Says who this worker is: every second and whenever asked on plain NATS, and in the `workers`
//! bucket while it is registered. Loss of any of it is harmless.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gridloom_shared::broker::{Broker, Message, Subscription};
use gridloom_shared::clock::UnixMs;
use gridloom_shared::holdings::Packed;
use gridloom_shared::id::{HandlerName, QueueName, Session, WorkerName};
use gridloom_shared::presence::{Presence, Toll};
use gridloom_shared::wire;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(1);
/// The registration is written anew each so many announcements.
const REGISTER_EACH: u32 = 10;

/// What is said.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) worker: WorkerName,
    pub(crate) session: Session,
    pub(crate) queues: Vec<QueueName>,
    pub(crate) handlers: Vec<HandlerName>,
    pub(crate) capacity: AtomicU32,
    pub(crate) started_at: UnixMs,
    pub(crate) in_flight: AtomicU32,
    pub(crate) stopping: AtomicBool,
    /// Whether it leaves nothing behind: said last.
    pub(crate) gone: AtomicBool,
    /// Sequences of what it held a moment ago.
    pub(crate) named: Mutex<Packed>,
    /// What runs have cost lately.
    pub(crate) tolls: Mutex<Vec<Toll>>,
}

impl Facts {
    fn presence(&self) -> Presence {
        Presence {
            worker: self.worker.clone(),
            session: self.session,
            queues: self.queues.clone(),
            handlers: self.handlers.clone(),
            capacity: self.capacity.load(Ordering::Relaxed),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at,
            at: UnixMs::now(),
            stopping: self.stopping.load(Ordering::Relaxed),
            gone: self.gone.load(Ordering::Relaxed),
            named: self
                .named
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            tolls: self
                .tolls
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        }
    }

    fn bytes(&self) -> Bytes {
        wire::encode(&self.presence())
    }
}

/// Announces the worker until `stop`, then says goodbye and takes the registration away.
pub(crate) async fn announce(broker: Broker, facts: Arc<Facts>, stop: CancellationToken) {
    let key = facts.session.to_string();
    let workers = broker.workers();
    let mut questions = [
        broker.subscribe(broker.subjects().roll_call()).await.ok(),
        broker
            .subscribe(broker.subjects().probe(facts.session))
            .await
            .ok(),
    ];
    let mut clock = tokio::time::interval(EVERY);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut count = 0_u32;
    loop {
        let [everybody, own] = &mut questions;
        tokio::select! {
            () = stop.cancelled() => break,
            Some(question) = next(everybody) => answer(&broker, &facts, &question).await,
            Some(question) = next(own) => answer(&broker, &facts, &question).await,
            _ = clock.tick() => {
                if !broker.is_connected() {
                    continue;
                }
                if count.is_multiple_of(REGISTER_EACH)
                    && let Err(error) = workers.put(&key, facts.bytes()).await
                {
                    tracing::debug!(%error, "cannot register");
                }
                count = count.wrapping_add(1);
                say(&broker, &facts).await;
            }
        }
    }
    say(&broker, &facts).await;
    if broker.is_connected()
        && let Err(error) = workers.delete(&key, None).await
    {
        tracing::debug!(%error, "cannot take the registration away");
    }
}

async fn next(questions: &mut Option<Subscription>) -> Option<Message> {
    match questions {
        Some(questions) => questions.next().await,
        None => std::future::pending().await,
    }
}

async fn say(broker: &Broker, facts: &Facts) {
    let subject = broker.subjects().presence(facts.session);
    if let Err(error) = broker.publish(subject, facts.bytes()).await {
        tracing::debug!(%error, "cannot announce");
    }
}

async fn answer(broker: &Broker, facts: &Facts, question: &Message) {
    if let Some(reply) = question.reply.clone()
        && let Err(error) = broker.publish(reply, facts.bytes()).await
    {
        tracing::debug!(%error, "cannot answer");
    }
}
