//! Logs, metrics and the health endpoints of a service: where they go and what they are called.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`metric`] | what a metric is; each crate names its own in its file `metrics.rs` |
//! | [`labels`] | what has a label of its own: the bound of everything |
//! | [`about`] | what the work at hand is about: fields of each line that is written meanwhile |
//! | [`board`] | gauges that go to 0 with whoever told of them |
//! | [`spans`] | what is told of a trace, and to whom |
//! | `traces` | whether a service tells of traces, and to which collector (feature `telemetry`) |
//! | `otlp` | how they get there (feature `otlp`) |
//! | `logs` | where log lines go, and which (feature `telemetry`) |
//! | `recorder` | where metrics are collected (feature `telemetry`) |
//! | `endpoints` | what `/metrics`, `/live` and `/ready` answer (feature `telemetry`) |
//!
//! Nothing here decides whether a service is ready: the service says so through [`Health`].

pub mod about;
pub mod board;
#[cfg(feature = "telemetry")]
pub mod endpoints;
pub mod labels;
#[cfg(feature = "telemetry")]
mod logs;
pub mod metric;
#[cfg(feature = "otlp")]
pub mod otlp;
#[cfg(feature = "telemetry")]
mod recorder;
pub mod spans;
#[cfg(feature = "telemetry")]
pub mod traces;

#[cfg(feature = "telemetry")]
pub use endpoints::{Endpoints, ServeError, serve};
#[cfg(feature = "telemetry")]
pub use logs::{
    LOG_VARIABLE, LogError, LogFormat, Logs, at_once, last_word, logs, logs_at_once, logs_exactly,
};
#[cfg(feature = "telemetry")]
pub use recorder::{MetricsError, metrics};

pub use metric::{Described, Metric};

/// What a service says of itself.
pub trait Health: Send + Sync + 'static {
    /// Whether it can work now; the text says why not, for people.
    ///
    /// # Errors
    /// The reason why it cannot.
    fn ready(&self) -> Result<(), String>;

    /// Whether it lives: who does not is to be restarted. It must not depend on the broker or anything else that a restart
    /// does not mend.
    ///
    /// # Errors
    /// What of it does not go on any more.
    fn live(&self) -> Result<(), String> {
        Ok(())
    }
}

impl<F: Fn() -> Result<(), String> + Send + Sync + 'static> Health for F {
    fn ready(&self) -> Result<(), String> {
        self()
    }
}
