//! Where log lines go, which, and how they look. One record is one line, and nothing in it steers a terminal:
//! its values may come from anywhere.
//!
//! A service says its lines and goes on; a thread beside it writes them. Standard error may be a file on a disk that stands
//! still for seconds, or a pipe that nobody empties: a worker that waited for it was as good as frozen.

use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;
use std::sync::OnceLock;

use crate::broker::connect::CONNECTOR;
use crate::chain;

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use crate::shown::on_one_line;

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
    _writer: WorkerGuard,
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

/// The filter without what is told otherwise, and better, unless it asks for that.
fn without_connecting(filter: &str) -> String {
    match filter.trim().is_empty() || filter.contains(CONNECTOR) {
        true => filter.to_owned(),
        false => format!("{filter},{CONNECTOR}=off"),
    }
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
    let (writer, guard) = beside(std::io::stderr());
    let lost = writer.error_counter();
    send(format, filter, writer)?;
    let _ = LOST.set(lost);
    Ok(Logs { _writer: guard })
}

/// As [`logs_exactly`], for a command that is done in a moment: each line is written before what follows it.
///
/// # Errors
/// When the filter is malformed, or the process has a logger already.
pub fn logs_at_once(format: LogFormat, filter: &str) -> Result<(), LogError> {
    send(format, filter, std::io::stderr)
}

/// What writes to `to` on a thread of its own, and leaves lines out rather than wait.
fn beside(to: impl std::io::Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING_MAX)
        .lossy(true)
        .thread_name("log")
        .finish(to)
}

fn send<W>(format: LogFormat, filter: &str, to: W) -> Result<(), LogError>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let parsed =
        EnvFilter::try_new(without_connecting(filter)).map_err(|error| LogError::Filter {
            filter: filter.to_owned(),
            cause: chain(&error).to_string(),
        })?;
    let base = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(to);
    let coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let done = match format {
        LogFormat::Text => base
            .with_ansi(coloured)
            .with_target(false)
            .fmt_fields(fields())
            .compact()
            .try_init(),
        LogFormat::Json => base.json().flatten_event(true).try_init(),
    };
    done.map_err(|_| LogError::Taken)
}

/// Most bytes of one value in a line for people; the end is what tells most of a long one.
const VALUE_MAX: usize = 8 * 1024;

/// How values look in a line for people.
fn fields() -> impl for<'writer> FormatFields<'writer> + Send + Sync + 'static {
    debug_fn(
        |writer: &mut Writer<'_>, field: &tracing::field::Field, value: &dyn fmt::Debug| {
            let value = format!("{value:?}");
            let value = on_one_line(
                &value[value.ceil_char_boundary(value.len().saturating_sub(VALUE_MAX))..],
            );
            match field.name() {
                "message" => writer.write_str(&value),
                name if writer.has_ansi_escapes() => {
                    write!(writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{value}")
                }
                name => write!(writer, "{name}={value}"),
            }
        },
    )
    .delimited(" ")
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn record_is_one_bounded_line_that_steers_no_terminal() {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .without_time()
            .fmt_fields(fields())
            .compact()
            .finish();
        let said = "\x1b[2J\nWARN forged\r\0";
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(log = %said, text = said, n = 3, "from {said}");
            tracing::warn!(log = %"x".repeat(100_000), "long");
        });
        let bytes = written.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(!lines[0].contains(char::is_control), "{text}");
        assert!(
            lines[0].contains(r"from \x1b[2J\nWARN forged\r\0") && lines[0].contains("n=3"),
            "{text}"
        );
        assert!(lines[1].len() < VALUE_MAX + 200 && lines[1].contains("long"));
    }
}
