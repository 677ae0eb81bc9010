//! The connection to the broker of the API's own, and what is kept at hand of what it tells.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use gridloom_shared::broker::{Broker, Options};
use gridloom_shared::chain;
use gridloom_shared::id::Namespace;
use tokio::sync::{Semaphore, watch};

use super::access::Tokens;
use super::armed::Armed;
use super::callbacks;
use super::counted::Operations;
use super::doctor::Examined;
use super::events::Events;
use super::folds::Folds;
use super::mirror::{Jobs, Mirror, Runs};
use super::named::OfRuns;
use super::problem::Problem;
use super::router;
use super::runs::waits::{AllWaits, Lately};
use super::runs::work::Names;
use super::sessions::Sessions;
use super::settings::Settings;
use super::together::Together;
use crate::faults::Faults;

/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_secs(1);

/// What every operation has at hand.
#[derive(Clone)]
pub(super) struct Api(pub(super) Arc<Link>);

/// See [`Api`].
pub(super) struct Link {
    pub(super) settings: Settings,
    /// Who may ask.
    tokens: watch::Sender<Arc<Tokens>>,
    pub(super) namespace: Namespace,
    pub(super) folds: Folds,
    pub(super) names: Names,
    pub(super) events: Events,
    pub(super) armed: Armed,
    pub(super) operations: Operations,
    pub(super) runs: Mirror<Runs>,
    pub(super) jobs: Mirror<Jobs>,
    pub(super) of_runs: OfRuns,
    pub(super) examined: Together<Examined>,
    pub(super) waits: Together<AllWaits>,
    pub(super) lately: Lately,
    pub(super) faults: Faults,
    pub(super) sessions: Sessions,
    /// Callbacks that are carried out at once.
    pub(super) callbacks: Semaphore,
    broker: OnceLock<Broker>,
}

impl Link {
    pub(super) fn new(settings: Settings, namespace: Namespace, faults: Faults) -> Link {
        Link {
            tokens: watch::Sender::new(Arc::new(settings.tokens.clone())),
            settings,
            namespace,
            folds: Folds::default(),
            names: Names::default(),
            events: Events::default(),
            armed: Armed::default(),
            operations: Operations::of(&router::description()),
            runs: Mirror::default(),
            jobs: Mirror::default(),
            of_runs: OfRuns::default(),
            examined: Together::default(),
            waits: Together::default(),
            lately: Lately::default(),
            faults,
            sessions: Sessions::default(),
            callbacks: Semaphore::new(callbacks::AT_ONCE),
            broker: OnceLock::new(),
        }
    }

    /// Connects, follows what is listed, and tells what happens until it is `over`. Never ends.
    pub(super) async fn keep(&self, options: &Options, over: watch::Receiver<bool>) {
        let broker = connected(options).await;
        let broker = self.broker.get_or_init(|| broker);
        tokio::join!(
            self.runs.keep(broker.runs()),
            self.jobs.keep(broker.jobs()),
            self.events.keep(self, broker, over)
        );
    }

    /// Who may ask, now.
    pub(super) fn tokens(&self) -> Arc<Tokens> {
        Arc::clone(&self.tokens.borrow())
    }

    /// Hears when others may ask.
    pub(super) fn changes_of_tokens(&self) -> watch::Receiver<Arc<Tokens>> {
        self.tokens.subscribe()
    }

    /// These may ask from now on. `true`: they are others than before.
    pub(super) fn take_tokens(&self, tokens: Arc<Tokens>) -> bool {
        self.tokens.send_if_modified(|before| {
            let are_others = *before != tokens;
            *before = tokens;
            are_others
        })
    }

    /// The connection, while there is one.
    pub(super) fn broker(&self) -> Option<&Broker> {
        self.broker.get().filter(|broker| broker.is_connected())
    }
}

async fn connected(options: &Options) -> Broker {
    let mut told = String::new();
    loop {
        match Broker::connect(options).await {
            Ok(broker) => return broker,
            Err(error) => {
                let error = chain(&error).to_string();
                if error != told {
                    tracing::warn!(
                        error,
                        "the API has no connection to the broker; trying again"
                    );
                }
                told = error;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Deref for Api {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.0
    }
}

/// The broker, for an operation that needs it.
pub(super) struct Linked(pub(super) Broker);

impl FromRequestParts<Api> for Linked {
    type Rejection = Problem;

    async fn from_request_parts(_parts: &mut Parts, api: &Api) -> Result<Linked, Problem> {
        let broker = api.broker().cloned();
        broker.map(Linked).ok_or_else(Problem::away)
    }
}
