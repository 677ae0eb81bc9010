//! Logs, metrics and the health endpoints of a service: where they go and what they are called.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`logs`](self::logs()) | where log lines go, and which |
//! | [`names`] | the name, unit and meaning of every metric |
//! | [`endpoints`] | what `/metrics`, `/live` and `/ready` answer |
//!
//! Nothing here decides whether a service is ready: the service says so through [`Health`].

use std::io::IsTerminal;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

pub mod endpoints;
pub mod names;

pub use endpoints::{Endpoints, Health, ServeError, serve};

/// The environment variable that says which log lines are wanted, as
/// `info` or `warn,gridloom_worker=debug`.
pub const LOG_VARIABLE: &str = "GRIDLOOM_LOG";

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for people.
    #[default]
    Text,
    /// One JSON document a line, for a log store.
    Json,
}

impl FromStr for LogFormat {
    type Err = LogError;
    fn from_str(text: &str) -> Result<Self, LogError> {
        match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(LogError::Format(text.to_owned())),
        }
    }
}

/// Why logs cannot be written as wished.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is none.
    #[error(
        "read log filter {filter:?} ({LOG_VARIABLE}): {cause}; write for example \"info\" or \"warn,gridloom_worker=debug\""
    )]
    Filter {
        /// The filter as given.
        filter: String,
        /// What is wrong with it.
        cause: String,
    },
    /// No such format.
    #[error("use log format {0:?}: there are \"text\" and \"json\"")]
    Format(String),
    /// Somebody else decides about logs in this process.
    #[error("start logging: this process has a logger already")]
    Taken,
}

/// Sends log lines to standard error. [`LOG_VARIABLE`] says which; `level` does where it is unset.
///
/// # Errors
/// When the filter is malformed, or the process has a logger already.
pub fn logs(format: LogFormat, level: &str) -> Result<(), LogError> {
    let wanted = std::env::var(LOG_VARIABLE).ok();
    let wanted = wanted.as_deref().filter(|text| !text.trim().is_empty());
    logs_exactly(format, wanted.unwrap_or(level))
}

/// As [`logs`](self::logs()), without a look at the environment.
///
/// # Errors
/// When the filter is malformed, or the process has a logger already.
pub fn logs_exactly(format: LogFormat, filter: &str) -> Result<(), LogError> {
    let parsed = EnvFilter::try_new(filter).map_err(|error| LogError::Filter {
        filter: filter.to_owned(),
        cause: error.to_string(),
    })?;
    let base = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(std::io::stderr);
    let coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let done = match format {
        LogFormat::Text => base
            .with_ansi(coloured)
            .with_target(false)
            .compact()
            .try_init(),
        LogFormat::Json => base.json().flatten_event(true).try_init(),
    };
    done.map_err(|_| LogError::Taken)
}

/// Why metrics cannot be collected.
#[derive(Debug, thiserror::Error)]
#[error("collect metrics: {0}")]
pub struct MetricsError(#[from] BuildError);

static RECORDER: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// Installs the recorder of this process, once: later calls give the same one. Whoever installs it
/// must serve it (see [`serve`]), which keeps its memory bounded.
///
/// # Errors
/// When another library installed a recorder of its own.
pub fn metrics() -> Result<PrometheusHandle, MetricsError> {
    let mut recorder = RECORDER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*recorder {
        return Ok(handle.clone());
    }
    let mut builder = PrometheusBuilder::new();
    for metric in names::ALL {
        if let names::Kind::Histogram(buckets) = metric.kind {
            builder =
                builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)?;
        }
    }
    let handle = builder.install_recorder()?;
    names::describe();
    *recorder = Some(handle.clone());
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorder_is_installed_once_and_shows_what_was_counted() {
        let handle = metrics().unwrap();
        ::metrics::counter!(names::SHARDS_PLANNED).increment(3);
        ::metrics::histogram!(names::SHARD_DURATION).record(0.002);
        let text = metrics().unwrap().render();
        assert!(text.contains("gridloom_shards_planned_total 3"), "{text}");
        assert!(
            text.contains("gridloom_shard_duration_seconds_bucket{le=\"0.0025\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("# HELP gridloom_shards_planned_total "),
            "{text}"
        );
        handle.run_upkeep();
    }
}
