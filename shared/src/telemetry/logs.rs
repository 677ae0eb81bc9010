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
//! | `beside` | who writes the lines of a service, and what becomes of those for which there is no room |
//! | `panics` | how a panic is told |

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::broker::connect::CONNECTOR;
use crate::chain;
use crate::clock::UnixMs;
use crate::telemetry::about::SPAN;

mod beside;
pub(super) mod flood;
mod layer;
mod line;
mod panics;

use beside::Beside;
use layer::Lines;
use line::{Fields, line};

/// The environment variable that says which log lines are wanted, as
/// `info` or `warn,gridloom_worker=debug`.
pub const LOG_VARIABLE: &str = "GRIDLOOM_LOG";

/// How long a process that ends waits for its log.
const END_WITHIN: Duration = Duration::from_secs(1);

/// Who writes for the service that this process is, if it is one.
static BESIDE: OnceLock<Arc<Beside>> = OnceLock::new();

/// Lines that could not be written so far, as standard error takes no more.
pub(super) fn lost() -> u64 {
    BESIDE.get().map_or(0, |beside| beside.lost())
}

/// The log of a service. What still waits is written when this is dropped, for a second at most.
#[derive(Debug)]
#[must_use = "lines that wait are lost without it"]
pub struct Logs {
    beside: Arc<Beside>,
    format: LogFormat,
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.beside.finish(END_WITHIN);
    }
}

impl Logs {
    /// How its lines look.
    pub fn format(&self) -> LogFormat {
        self.format
    }
}

/// Says why a process ends: a line like the others, written [at once](at_once).
pub fn last_word(format: LogFormat, error: &str) {
    let mut fields = Fields::default();
    fields.add("message", "the process ends");
    fields.add("error", error);
    let about = (UnixMs::now(), tracing::Level::ERROR, module_path!());
    let _ = at_once(&line(format, is_coloured(), about, &fields));
}

/// Writes what is no line of the log to standard error, in one call, so that those of several threads do not mix. In a service
/// behind all that waits, for a second at most: what ends must not stand still for a log that does.
///
/// # Errors
/// When it cannot be written; a service counts that.
pub fn at_once(text: &str) -> io::Result<()> {
    match BESIDE.get() {
        Some(beside) => {
            beside.say_surely(text);
            beside.finish(END_WITHIN);
            Ok(())
        }
        None => {
            let mut to = io::stderr().lock();
            to.write_all(text.as_bytes())?;
            to.flush()
        }
    }
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
    /// There is nobody to write them.
    #[error("begin to write log lines to standard error")]
    Writer(#[source] io::Error),
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
    // A file of its own: whoever holds the lock of the other one keeps everybody from a last word.
    let to = io::stderr().as_fd().try_clone_to_owned();
    let beside = to.and_then(|to| Beside::start(File::from(to)));
    let beside = beside.map_err(LogError::Writer)?;
    let to = Arc::clone(&beside);
    send(format, filter, move |line| to.say(line))?;
    let beside = Arc::clone(BESIDE.get_or_init(|| beside));
    Ok(Logs { beside, format })
}

/// As [`logs_exactly`], for a command that is done in a moment: each line is written before what follows it.
///
/// # Errors
/// When the filter is malformed, or the process has a logger already.
pub fn logs_at_once(format: LogFormat, filter: &str) -> Result<(), LogError> {
    // What cannot be written is told nowhere.
    send(format, filter, |line| _ = at_once(line))
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
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

#[cfg(test)]
mod tests;
