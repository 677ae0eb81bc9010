//! What the engine has said of the worker: it keeps the facts and says when they are due, the announcements are made
//! beside it.
//!
//! What is held is looked up in the same turn. Looked up and announced each by a clock of its own, it was up to two
//! seconds old before the leader knew it, and nearly always one.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::clock::{Boot, UnixMs};
use gridloom_shared::holdings::Packed;
use gridloom_shared::id::Session;
use gridloom_shared::presence::{Presence, Toll};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::health::WorkerHealth;
use crate::presence::{self, Facts};
use crate::settings::Settings;

/// How often it is announced. Looked at with each tick, so that two are not more than a second apart.
const EVERY: Duration = Duration::from_millis(950);
/// How long the last word may take.
const GOODBYE: Duration = Duration::from_secs(2);

pub(super) struct Announcer {
    facts: Arc<Facts>,
    farewell: CancellationToken,
    task: Option<JoinHandle<()>>,
    /// When it was announced last.
    said: Option<Boot>,
}

impl Announcer {
    pub(super) fn start(
        broker: &Broker,
        settings: &Settings,
        session: Session,
        health: WorkerHealth,
    ) -> Announcer {
        let mut handlers: Vec<_> = settings.handlers.keys().cloned().collect();
        handlers.sort();
        let known = settings.handlers.iter().flat_map(|(name, handler)| {
            let known = handler.names_known().into_iter();
            known.map(move |known| format!("{name}/{known}"))
        });
        let facts = Arc::new(Facts {
            worker: settings.name.clone(),
            session,
            queues: settings.queues.clone(),
            handlers,
            capacity: AtomicU32::new(settings.concurrency),
            started_at: UnixMs::now(),
            in_flight: AtomicU32::new(0),
            stopping: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            due: Notify::new(),
            named: Mutex::default(),
            tolls: Mutex::default(),
            ack_deadlines_ms: Mutex::default(),
            knows: Presence::knows_of(known),
            health,
        });
        let farewell = CancellationToken::new();
        let announcing = presence::announce(broker.clone(), Arc::clone(&facts), farewell.clone());
        Announcer {
            facts,
            farewell,
            task: Some(tokio::spawn(announcing.in_current_span())),
            said: None,
        }
    }

    pub(super) fn running(&self, tiles: u32) {
        self.facts.in_flight.store(tiles, Ordering::Relaxed);
    }

    pub(super) fn capacity(&self, tiles: u32) {
        self.facts.capacity.store(tiles, Ordering::Relaxed);
    }

    pub(super) fn stopping(&self) {
        self.facts.stopping.store(true, Ordering::Relaxed);
    }

    /// How long until it is to be announced again.
    pub(super) fn due_in(&self, now: Boot) -> Duration {
        let since = self.said.map_or(EVERY, |said| now.since(said));
        EVERY.saturating_sub(since)
    }

    /// Announces it, with what it holds and what runs have cost since it was said last.
    pub(super) fn announce(&mut self, named: Packed, costs: Vec<Toll>, now: Boot) {
        self.said = Some(now);
        let facts = &self.facts;
        *facts.named.lock().unwrap_or_else(PoisonError::into_inner) = named;
        *facts.tolls.lock().unwrap_or_else(PoisonError::into_inner) = costs;
        facts.due.notify_one();
    }

    /// The ack deadlines of its queues, in their order.
    pub(super) fn goes_by(&self, deadlines: impl Iterator<Item = Duration>) {
        let in_ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        *self
            .facts
            .ack_deadlines_ms
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = deadlines.map(in_ms).collect();
    }

    /// The last word. Whoever leaves something behind is to be found dead.
    pub(super) async fn say_goodbye(&mut self, empty_handed: bool) {
        self.facts.gone.store(empty_handed, Ordering::Relaxed);
        self.farewell.cancel();
        if let Some(task) = self.task.take() {
            let _ = tokio::time::timeout(GOODBYE, task).await;
        }
    }
}
