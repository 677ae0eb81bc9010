//! Where log lines go, and which.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

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
