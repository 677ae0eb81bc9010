//! A worker that is ready to run: how it is started, stopped, and how it may end.

use gridloom_shared::chain;
#[cfg(feature = "telemetry")]
use gridloom_shared::telemetry;
use tokio::sync::oneshot;

use crate::engine;
use crate::error::RunError;
use crate::health::WorkerHealth;
use crate::settings::Settings;
use crate::stop::Stop;

/// What a collector is told it is, unless a variable says otherwise.
#[cfg(feature = "telemetry")]
const SERVICE: &str = "gridloom-worker";

/// A worker that is ready to run. See the [crate's own page](crate) for a whole one.
pub struct Worker {
    pub(crate) settings: Settings,
    pub(crate) stop: Stop,
    pub(crate) health: WorkerHealth,
    pub(crate) signals: bool,
    #[cfg(feature = "telemetry")]
    pub(crate) listen: Option<std::net::SocketAddr>,
    #[cfg(feature = "telemetry")]
    pub(crate) traces: telemetry::traces::Wanted,
}

impl Worker {
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
    #[cfg_attr(
        not(feature = "telemetry"),
        expect(unused_mut, reason = "there is nobody to be told of anything")
    )]
    pub async fn run(mut self) -> Result<(), RunError> {
        #[cfg(feature = "telemetry")]
        let endpoints = match self.listen {
            Some(address) => {
                Some(telemetry::serve(address, self.health(), &[crate::metrics::DESCRIBED]).await?)
            }
            None => None,
        };
        #[cfg(feature = "telemetry")]
        if let Some(endpoints) = &endpoints {
            let health = format_args!("http://{}/ready", endpoints.address());
            tracing::info!(%health, "metrics and health are served");
        }
        #[cfg(feature = "telemetry")]
        let traces = {
            let (wanted, name) = (&self.traces, self.settings.name.as_str());
            let traces = telemetry::traces::Traces::begin(wanted, SERVICE, name)?;
            self.settings.tracer = traces.tracer();
            traces
        };
        let ended = self.run_engine().await;
        #[cfg(feature = "telemetry")]
        traces.stop().await;
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
