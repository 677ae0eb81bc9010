//! A worker that is ready to run: how it is started, stopped, and how it may end.

use std::collections::HashMap;
use std::time::Duration;

use gridloom_shared::broker::topology::{AckDeadline, TopologyError};
use gridloom_shared::broker::{ConnectError, Options};
use gridloom_shared::chain;
use gridloom_shared::id::{HandlerName, QueueName, WorkerName};
use gridloom_shared::lane::Lane;
#[cfg(feature = "telemetry")]
use gridloom_shared::telemetry;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::builder::{BuildError, Builder};
use crate::engine;
use crate::handler::SharedHandler;
use crate::health::WorkerHealth;

/// Why a worker ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It was not built right.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// There is no broker, or not one that will do.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// What the broker has does not fit.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// Metrics and health cannot be served where they should be.
    #[cfg(feature = "telemetry")]
    #[error(transparent)]
    Serve(#[from] gridloom_shared::telemetry::ServeError),
    /// The engine's thread or runtime cannot be made, or the engine failed.
    #[error("run the worker's engine: {0}")]
    Engine(String),
}

impl RunError {
    /// Whether the broker could not be reached, as against: will not do.
    pub fn is_unreachable(&self) -> bool {
        match self {
            RunError::Connect(error) => error.is_unreachable(),
            RunError::Topology(error) => error.is_unreachable(),
            #[cfg(feature = "telemetry")]
            RunError::Serve(_) => false,
            RunError::Build(_) | RunError::Engine(_) => false,
        }
    }
}

/// What an engine needs to know.
pub(crate) struct Settings {
    pub(crate) options: Options,
    pub(crate) name: WorkerName,
    pub(crate) queues: Vec<QueueName>,
    pub(crate) concurrency: u32,
    pub(crate) ack_deadline: AckDeadline,
    pub(crate) grace: Duration,
    pub(crate) handlers: HashMap<HandlerName, SharedHandler>,
}

impl Settings {
    /// What it pulls from: each queue for each handler.
    pub(crate) fn lanes(&self) -> Vec<Lane> {
        let of_queue = |queue: &QueueName| {
            let handlers = self.handlers.keys().cloned();
            let lanes = handlers.map(|handler| Lane::new(queue.clone(), handler));
            lanes.collect::<Vec<_>>()
        };
        self.queues.iter().flat_map(of_queue).collect()
    }
}

/// A worker that is ready to run. See the [crate's own page](crate) for a whole one.
pub struct Worker {
    pub(crate) settings: Settings,
    pub(crate) stop: Stop,
    pub(crate) health: WorkerHealth,
    pub(crate) signals: bool,
    #[cfg(feature = "telemetry")]
    pub(crate) listen: Option<std::net::SocketAddr>,
}

/// Tells a worker to stop: it takes no more work, lets its tiles finish within the grace, and hands
/// back the rest. Clones stop the same worker.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    asked: CancellationToken,
    hurried: CancellationToken,
}

impl Stop {
    /// Asks the worker to stop. Returns at once.
    pub fn stop(&self) {
        self.asked.cancel();
    }

    /// Asks the worker to stop without grace: what runs is stopped and handed back.
    pub fn hurry(&self) {
        self.asked.cancel();
        self.hurried.cancel();
    }

    /// Whether it was asked to stop.
    pub fn is_stopped(&self) -> bool {
        self.asked.is_cancelled()
    }

    pub(crate) async fn stopped(&self) {
        self.asked.cancelled().await;
    }

    pub(crate) async fn hurried(&self) {
        self.hurried.cancelled().await;
    }
}

impl Worker {
    /// Begins a worker.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A handle that stops it.
    pub fn stop_handle(&self) -> Stop {
        self.stop.clone()
    }

    /// What it says of itself: ready or not, and why.
    pub fn health(&self) -> WorkerHealth {
        self.health.clone()
    }

    /// Runs until SIGTERM, SIGINT or [`Stop::stop`], and then until every tile is finished or handed
    /// back; a second signal ends the grace. Handlers run on the runtime of the caller; everything said to the broker runs on a
    /// thread of its own, so that a handler that hogs its CPU does not look like a dead worker.
    ///
    /// # Errors
    /// When the broker cannot be reached at the start, or will not do. A broker that goes away later
    /// is waited for.
    pub async fn run(self) -> Result<(), RunError> {
        #[cfg(feature = "telemetry")]
        let endpoints = match self.listen {
            Some(address) => Some(telemetry::serve(address, self.health()).await?),
            None => None,
        };
        #[cfg(feature = "telemetry")]
        if let Some(endpoints) = &endpoints {
            let health = format_args!("http://{}/ready", endpoints.address());
            tracing::info!(%health, "metrics and health are served");
        }
        let ended = self.run_engine().await;
        #[cfg(feature = "telemetry")]
        if let Some(endpoints) = endpoints {
            endpoints.stop().await;
        }
        ended
    }

    async fn run_engine(self) -> Result<(), RunError> {
        let (ended_tx, ended) = oneshot::channel();
        let crew = tokio::runtime::Handle::current();
        let (stop, health) = (self.stop.clone(), self.health.clone());
        let settings = self.settings;
        std::thread::Builder::new()
            .name("gridloom-engine".into())
            .spawn(move || {
                let _ = ended_tx.send(engine::run_here(settings, &crew, stop, health));
            })
            .map_err(|error| RunError::Engine(chain(&error).to_string()))?;
        let listener = self
            .signals
            .then(|| tokio::spawn(obey_signals(self.stop.clone())));
        let result = ended.await;
        if let Some(listener) = listener {
            listener.abort();
        }
        result.unwrap_or_else(|_| {
            Err(RunError::Engine(
                "it panicked; the log has the message".into(),
            ))
        })
    }
}

/// The first signal stops the worker, the second one ends its grace.
async fn obey_signals(stop: Stop) {
    use tokio::signal::unix::{SignalKind, signal};
    let listened = signal(SignalKind::terminate())
        .and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)));
    let (mut terminate, mut interrupt) = match listened {
        Ok(both) => both,
        Err(error) => {
            tracing::warn!(error = %chain(&error), "cannot listen to signals");
            return;
        }
    };
    for asked in [Stop::stop, Stop::hurry] {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        asked(&stop);
    }
}
