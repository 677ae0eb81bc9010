//! Where log lines go, and which.
//!
//! A service says its lines and goes on; a thread beside it writes them. Standard error may be a file on a disk that stands
//! still for seconds, or a pipe that nobody empties: a worker that waited for it was as good as frozen.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | `layer` | what is said in a line: by itself, by the work at hand, by spans |
//! | `line` | how it looks, as text and as JSON |
//! | `flood` | which warnings are one too many |
//! | `panics` | how a panic is told |

use std::io::{IsTerminal, Write};
use std::str::FromStr;
use std::sync::OnceLock;

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::broker::connect::CONNECTOR;
use crate::chain;
use crate::clock::UnixMs;
use crate::telemetry::about::SPAN;

mod flood;
mod layer;
mod line;
mod panics;

use layer::Lines;
use line::{Fields, line};

/// The environment variable that says which log lines are wanted, as
/// `info` or `warn,gridloom_worker=debug`.
pub const LOG_VARIABLE: &str = "GRIDLOOM_LOG";

/// Lines that may wait to be written; further ones are left out, and counted ([`crate::metrics::LOG_LINES_LOST`]).
const WAITING_MAX: usize = 8_192;

/// How many were left out.
static LOST: OnceLock<ErrorCounter> = OnceLock::new();

/// Lines that could not be written so far, as standard error takes no more.
pub(super) fn lost() -> u64 {
    LOST.get().map_or(0, |lost| {
        lost.dropped_lines().try_into().unwrap_or(u64::MAX)
    })
}

/// The log of a service. What still waits is written when this is dropped, for a second at most.
#[derive(Debug)]
#[must_use = "lines that wait are lost without it"]
pub struct Logs {
    writer: WorkerGuard,
    format: LogFormat,
}

impl Logs {
    /// How its lines look.
    pub fn format(&self) -> LogFormat {
        self.format
    }

    /// Ends it with the reason why the process ends, after all that still waits.
    pub fn end(self, error: &str) {
        drop(self.writer);
        last_word(self.format, error);
    }
}

/// Says why a process ends whose log has ended: a line like the others, written at once.
pub fn last_word(format: LogFormat, error: &str) {
    let mut fields = Fields::default();
    fields.add("message", "the process ends");
    fields.add("error", error);
    let about = (UnixMs::now(), tracing::Level::ERROR, module_path!());
    write(&line(format, is_coloured(), about, &fields));
}

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

/// The filter without what is told otherwise, and better, unless it asks for that: attempts to connect, and spans that
/// say of a shard what the work at hand says.
fn without_what_is_told(filter: &str) -> String {
    let mut filter = filter.to_owned();
    for told in [CONNECTOR, SPAN] {
        if !filter.trim().is_empty() && !filter.contains(told) {
            filter.push_str(&format!(",{told}=off"));
        }
    }
    filter
}

/// Sends log lines to standard error, beside the one who says them. [`LOG_VARIABLE`] says which; `level` does where it is unset.
///
/// # Errors
/// When the filter is malformed, or the process has a logger already.
pub fn logs(format: LogFormat, level: &str) -> Result<Logs, LogError> {
    let wanted = std::env::var(LOG_VARIABLE).ok();
    let wanted = wanted.as_deref().filter(|text| !text.trim().is_empty());
    logs_exactly(format, wanted.unwrap_or(level))
}

/// As [`logs`](self::logs()), without a look at the environment.
///
/// # Errors
/// When the filter is malformed, or the process has a logger already.
pub fn logs_exactly(format: LogFormat, filter: &str) -> Result<Logs, LogError> {
    let (to, writer) = beside(std::io::stderr());
    let lost = to.error_counter();
    send(format, filter, move |line| {
        let _ = to.clone().write_all(line.as_bytes());
    })?;
    let _ = LOST.set(lost);
    Ok(Logs { writer, format })
}

/// As [`logs_exactly`], for a command that is done in a moment: each line is written before what follows it.
///
/// # Errors
/// When the filter is malformed, or the process has a logger already.
pub fn logs_at_once(format: LogFormat, filter: &str) -> Result<(), LogError> {
    send(format, filter, write)
}

/// What writes to `to` on a thread of its own, and leaves lines out rather than wait.
fn beside(to: impl Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING_MAX)
        .lossy(true)
        .thread_name("log")
        .finish(to)
}

fn send<W>(format: LogFormat, filter: &str, to: W) -> Result<(), LogError>
where
    W: Fn(&str) + Send + Sync + 'static,
{
    let parsed =
        EnvFilter::try_new(without_what_is_told(filter)).map_err(|error| LogError::Filter {
            filter: filter.to_owned(),
            cause: chain(&error).to_string(),
        })?;
    tracing_subscriber::registry()
        .with(parsed)
        .with(Lines::new(format, is_coloured(), to))
        .try_init()
        .map_err(|_| LogError::Taken)?;
    panics::tell();
    Ok(())
}

fn is_coloured() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// One call, so that lines of several threads do not mix. What cannot be written is told nowhere.
fn write(line: &str) {
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

#[cfg(test)]
mod tests;
