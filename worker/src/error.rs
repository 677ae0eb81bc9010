//! Why there is no worker, or none any more.

use std::time::Duration;

use gridloom_shared::broker::topology::TopologyError;
use gridloom_shared::broker::{ConnectError, SettingsError};
use gridloom_shared::environment::EnvironmentError;
use gridloom_shared::id::NameError;
use gridloom_shared::limits::CONCURRENCY_MAX;

/// Why a worker cannot be built. The text says what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A name is malformed.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The environment says what cannot be.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// What is said of the way to the broker contradicts itself.
    #[error(transparent)]
    Connection(#[from] SettingsError),
    /// Two handlers have the same name.
    #[error("register handler {0:?} twice: give each its own name")]
    HandlerTwice(String),
    /// No handler at all.
    #[error("build a worker without handlers: register at least one with .handler(name, handler)")]
    NoHandler,
    /// Too few or too many tiles at once.
    #[error("run {0} tiles at once: concurrency must be 1 to {CONCURRENCY_MAX}")]
    Concurrency(u32),
    /// More queues or handlers than a worker can announce.
    #[error("build a worker of {count} {what}: {most} at most; start several workers")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// So many.
        count: usize,
        /// What it can have.
        most: usize,
    },
    /// The ack deadline is too short to renew a lease, or too long.
    #[error("use an ack deadline of {0:?}: it must be 500 ms to 1 h")]
    AckDeadline(Duration),
}

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
    /// Nobody can be told of traces.
    #[cfg(feature = "telemetry")]
    #[error(transparent)]
    Traces(#[from] gridloom_shared::telemetry::traces::TracesError),
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
            RunError::Serve(_) | RunError::Traces(_) => false,
            RunError::Build(_) | RunError::Engine(_) => false,
        }
    }
}
