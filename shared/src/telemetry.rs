//! Logs, metrics and the health endpoints of a service: where they go and what they are called.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`names`] | the name, unit and meaning of every metric |
//! | [`labels`] | which jobs have a label of their own |
//! | `logs` | where log lines go, and which (feature `telemetry`) |
//! | `recorder` | where metrics are collected (feature `telemetry`) |
//! | `endpoints` | what `/metrics`, `/live` and `/ready` answer (feature `telemetry`) |
//!
//! Nothing here decides whether a service is ready: the service says so through [`Health`].

#[cfg(feature = "telemetry")]
pub mod endpoints;
pub mod labels;
#[cfg(feature = "telemetry")]
mod logs;
pub mod names;
#[cfg(feature = "telemetry")]
mod recorder;

#[cfg(feature = "telemetry")]
pub use endpoints::{Endpoints, ServeError, serve};
#[cfg(feature = "telemetry")]
pub use logs::{LOG_VARIABLE, LogError, LogFormat, logs, logs_exactly};
#[cfg(feature = "telemetry")]
pub use recorder::{MetricsError, metrics};

/// What a service says of itself.
pub trait Health: Send + Sync + 'static {
    /// Whether it can work now; the text says why not, for people.
    ///
    /// # Errors
    /// The reason why it cannot.
    fn ready(&self) -> Result<(), String>;
}

impl<F: Fn() -> Result<(), String> + Send + Sync + 'static> Health for F {
    fn ready(&self) -> Result<(), String> {
        self()
    }
}
