//! What the engine has said of the worker: it keeps the facts, the announcements are made beside it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::holdings::Packed;
use gridloom_shared::id::Session;
use gridloom_shared::presence::{Presence, Toll};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::health::WorkerHealth;
use crate::presence::{self, Facts};
use crate::settings::Settings;

/// How long the last word may take.
const GOODBYE: Duration = Duration::from_secs(2);

pub(super) struct Announcer {
    facts: Arc<Facts>,
    farewell: CancellationToken,
    task: Option<JoinHandle<()>>,
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
            task: Some(tokio::spawn(announcing)),
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

    pub(super) fn holds(&self, named: Packed) {
        *self
            .facts
            .named
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = named;
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

    /// What runs have cost since it was said last.
    pub(super) fn costs(&self, tolls: Vec<Toll>) {
        *self
            .facts
            .tolls
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = tolls;
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
