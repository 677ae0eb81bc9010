//! Says who this worker is: every second, when the engine says so, and whenever asked on plain NATS, and in the
//! `workers` bucket while it is registered. Loss of one of these is harmless: none counts as done before it is.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gridloom_shared::broker::newer::Newer;
use gridloom_shared::broker::{Broker, Message, Subscription};
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::holdings::Packed;
use gridloom_shared::id::{HandlerName, QueueName, Session, WorkerName};
use gridloom_shared::limits::TROUBLE_MAX;
use gridloom_shared::presence::{Presence, Toll};
use gridloom_shared::wire::{self, Versions};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::health::WorkerHealth;

/// How long a registration that was written is left alone.
const REGISTERED: Duration = Duration::from_secs(10);
/// How often a new connection is looked for without a hint.
const LOOK: Duration = Duration::from_secs(1);
/// Pause before one that was not is tried again.
const UNREGISTERED: Duration = Duration::from_millis(250);

/// So long it is told that something of a newer build came: what is put off comes again sooner.
const NEWER: Duration = Duration::from_secs(30);

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
    /// That it is to be said again.
    pub(crate) due: Notify,
    /// Sequences of what it held when it was said last.
    pub(crate) named: Mutex<Packed>,
    /// What runs have cost lately.
    pub(crate) tolls: Mutex<Vec<Toll>>,
    /// What it goes by on each of its queues, in milliseconds; empty until it knows.
    pub(crate) ack_deadlines_ms: Mutex<Vec<u64>>,
    pub(crate) knows: Vec<String>,
    pub(crate) health: WorkerHealth,
}

impl Facts {
    /// `refused`: what the broker refused it lately; `newer`: what it met lately that it cannot read.
    fn presence(&self, refused: Option<String>, newer: Option<Newer>) -> Presence {
        Presence {
            worker: self.worker.clone(),
            session: self.session,
            queues: self.queues.clone(),
            handlers: self.handlers.clone(),
            capacity: self.capacity.load(Ordering::Relaxed),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            wire: Versions::own(),
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
            ack_deadlines_ms: self
                .ack_deadlines_ms
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            knows: self.knows.clone(),
            trouble: self.trouble(refused, newer),
        }
    }

    fn trouble(&self, refused: Option<String>, newer: Option<Newer>) -> String {
        let mut troubles = self.health.of_handlers();
        troubles.extend(refused.map(|what| format!("the broker refuses it something: {what}")));
        troubles.extend(newer.map(|newer| newer.told()));
        let mut trouble = troubles.join("; ");
        trouble.truncate(trouble.floor_char_boundary(TROUBLE_MAX));
        trouble
    }

    fn bytes(&self, broker: &Broker) -> Bytes {
        let newer = broker.newer_within(NEWER);
        wire::encode(&self.presence(broker.refused(), newer))
    }
}

/// Announces the worker until `stop`, then says goodbye and takes the registration away.
pub(crate) async fn announce(broker: Broker, facts: Arc<Facts>, stop: CancellationToken) {
    let called = Notify::new();
    // Beside each other: a bucket stands still for seconds at an election, and whoever does not answer a
    // probe for so long is held to be dead.
    tokio::select! {
        () = stop.cancelled() => {}
        () = register(&broker, &facts, &called) => {}
        () = speak(&broker, &facts, &called) => {}
        never = broker.keep_showing_ends() => match never {},
    }
    say(&broker, &facts).await;
    let key = facts.session.to_string();
    if broker.is_connected()
        && let Err(error) = broker.workers().delete(&key, None).await
    {
        tracing::debug!(error = %chain(&error), "cannot take the registration away");
    }
}

/// Registers the worker: soon again until that is done, then every now and then, on each new connection and
/// whenever a leader calls. A leader knows of a worker that died before it led by this alone.
async fn register(broker: &Broker, facts: &Facts, called: &Notify) {
    let key = facts.session.to_string();
    let mut changes = broker.changes();
    let mut failing = false;
    loop {
        let epoch = broker.connection_epoch();
        let pause = match broker.workers().put(&key, facts.bytes(broker)).await {
            Ok(_) => {
                failing = false;
                REGISTERED
            }
            Err(error) => {
                // Where the bucket is not there, the lanes say so, and who makes it.
                let told = error.is_of_no_bucket() || !broker.is_connected();
                if !told && !std::mem::replace(&mut failing, true) {
                    tracing::warn!(error = %chain(&error), "cannot register yet; trying again");
                }
                UNREGISTERED
            }
        };
        let again = async {
            let end = Instant::now() + pause;
            while Instant::now() < end && broker.connection_epoch() == epoch {
                tokio::select! {
                    () = tokio::time::sleep_until(end.min(Instant::now() + LOOK)) => {}
                    Ok(()) = changes.changed() => {}
                }
            }
        };
        tokio::select! {
            () = again => {}
            () = called.notified() => {}
        }
    }
}

/// Says who it is whenever that is due, answers who asks for that, and to the leader that it lives.
async fn speak(broker: &Broker, facts: &Facts, called: &Notify) {
    let subjects = broker.subjects();
    let (everybody, own) = (subjects.roll_call(), subjects.probe(facts.session));
    let mut questions = [
        listen(broker, everybody.clone()).await,
        listen(broker, own.clone()).await,
    ];
    loop {
        let [calls, probes] = &mut questions;
        tokio::select! {
            call = calls.next() => match call {
                Some(call) if call.reply.is_none() => {
                    called.notify_one();
                    say(broker, facts).await;
                }
                Some(call) => reply(broker, &call, facts.bytes(broker)).await,
                None => *calls = listen(broker, everybody.clone()).await,
            },
            probe = probes.next() => match probe {
                Some(probe) => reply(broker, &probe, Bytes::new()).await,
                None => *probes = listen(broker, own.clone()).await,
            },
            () = facts.due.notified() => {
                if broker.is_connected() {
                    say(broker, facts).await;
                }
            }
        }
    }
}

/// A subscription, however often it has to be asked for.
async fn listen(broker: &Broker, subject: String) -> Subscription {
    loop {
        match broker.subscribe(subject.clone()).await {
            Ok(subscription) => return subscription,
            Err(error) => tracing::warn!(error = %chain(&error), "cannot listen yet; trying again"),
        }
        tokio::time::sleep(UNREGISTERED).await;
    }
}

async fn say(broker: &Broker, facts: &Facts) {
    let subject = broker.subjects().presence(facts.session);
    if let Err(error) = broker.publish(subject, facts.bytes(broker)).await {
        tracing::debug!(error = %chain(&error), "cannot announce this worker");
    }
}

/// Answers a question. That there is an answer says all to who asks whether it lives.
async fn reply(broker: &Broker, question: &Message, answer: Bytes) {
    if let Some(reply) = question.reply.clone()
        && let Err(error) = broker.publish(reply, answer).await
    {
        tracing::debug!(error = %chain(&error), "cannot answer");
    }
}
