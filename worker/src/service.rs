//! A worker of one's own as a service: what it takes out of the environment, where its logs, metrics and health
//! go, and with which code its process ends. All of it as the `gridloom` command does it.

use std::process::ExitCode;

use gridloom_shared::broker::Settings;
use gridloom_shared::chain;
use gridloom_shared::duration::parse_duration;
use gridloom_shared::environment::{self, EnvironmentError};
use gridloom_shared::id::QueueName;
use gridloom_shared::shown::shown;
#[cfg(feature = "telemetry")]
use gridloom_shared::telemetry::LogFormat;

use crate::builder::{Builder, CONCURRENCY_MAX};
use crate::error::RunError;

/// Log lines of a worker, unless something else is said: the client's own news are told by the engine, better.
#[cfg(feature = "telemetry")]
const LOG_DEFAULT: &str = "info,async_nats=warn";

impl Builder {
    /// Takes what stands in the environment over what was said before: `GRIDLOOM_NATS` (or `GRIDLOOM_NATS_FILE`, a
    /// file that holds it) and all that is said of the way there (`GRIDLOOM_NATS_CREDS` and so on, docs/CONFIG.md),
    /// `GRIDLOOM_NAMESPACE`, `GRIDLOOM_WORKER_NAME`, `_QUEUES` (with commas), `_CONCURRENCY` and
    /// `_GRACE`, `GRIDLOOM_QUEUE_ACK_DEADLINE`, and with the feature `telemetry` `GRIDLOOM_LISTEN` and `GRIDLOOM_OTLP_ENDPOINT`. A value that
    /// cannot be read is told by [`Builder::build`]. What was said by [`Builder::connection`] stays.
    #[must_use]
    pub fn environment(mut self) -> Builder {
        self.fault = take_environment(&mut self).err().or(self.fault);
        self
    }

    /// Runs the worker as a service: with [`Builder::environment`], with log lines on standard error (`GRIDLOOM_LOG`,
    /// `GRIDLOOM_LOG_FORMAT`; feature `telemetry`) unless the program has a logger of its own, and until it is told to
    /// stop. The exit code is that of `gridloom worker`: 0 told to stop, 1 failed, 2 wrong settings, 3 broker
    /// unreachable.
    pub async fn main(self) -> ExitCode {
        // What still waits is written when this function ends.
        let log = match begin_logs() {
            Ok(log) => log,
            Err(fault) => {
                say(&fault);
                return ExitCode::from(2);
            }
        };
        let names = std::env::vars_os().map(|(name, _)| name);
        for name in environment::unknown(names) {
            warn(&format!(
                "the environment variable {name} is no known setting and does nothing"
            ));
        }
        match Box::pin(self.environment().run()).await {
            Ok(()) => {
                tracing::info!("worker ended");
                ExitCode::SUCCESS
            }
            Err(error) => ended(log, &chain(&error).to_string(), error.exit_code()),
        }
    }
}

#[cfg(feature = "telemetry")]
fn warn(fault: &str) {
    tracing::warn!(reason = fault, "a setting does nothing");
}

/// There is no log.
#[cfg(not(feature = "telemetry"))]
fn warn(fault: &str) {
    say(fault);
}

fn say(fault: &str) {
    let line = format!("gridloom worker: {}\n", shown(fault));
    #[cfg(feature = "telemetry")]
    let said = gridloom_shared::telemetry::at_once(&line);
    #[cfg(not(feature = "telemetry"))]
    let said = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
    // Nobody is left to tell when even that fails.
    let _ = said;
}

/// The log of the process, where it is this one's.
#[cfg(feature = "telemetry")]
type Log = Option<gridloom_shared::telemetry::Logs>;
/// There is none.
#[cfg(not(feature = "telemetry"))]
type Log = Option<std::convert::Infallible>;

/// Says why the process ends, as a line of the log where programs read it.
#[cfg(feature = "telemetry")]
fn ended(log: Log, fault: &str, code: u8) -> ExitCode {
    match log {
        Some(log) if log.format() == LogFormat::Json => {
            gridloom_shared::telemetry::last_word(LogFormat::Json, fault);
        }
        _ => say(fault),
    }
    ExitCode::from(code)
}

/// Says why the process ends.
#[cfg(not(feature = "telemetry"))]
fn ended(_log: Log, fault: &str, code: u8) -> ExitCode {
    say(fault);
    ExitCode::from(code)
}

impl RunError {
    /// The code with which a process ends for this: 2 wrong settings, 3 broker unreachable, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            RunError::Build(_) => 2,
            RunError::Connect(error) if error.is_misuse() => 2,
            RunError::Connect(_) => 3,
            RunError::Topology(error) if error.is_unreachable() => 3,
            #[cfg(feature = "telemetry")]
            RunError::Serve(gridloom_shared::telemetry::ServeError::InUse(_)) => 2,
            #[cfg(feature = "telemetry")]
            RunError::Serve(_) => 1,
            #[cfg(feature = "telemetry")]
            RunError::Traces(_) => 2,
            RunError::Topology(_) | RunError::Engine(_) => 1,
        }
    }
}

#[cfg(feature = "telemetry")]
fn begin_logs() -> Result<Log, String> {
    use gridloom_shared::telemetry::{self, LogError};
    let format = environment::parsed("LOG_FORMAT", |text| {
        text.parse()
            .map_err(|error: LogError| chain(&error).to_string())
    });
    let format = format.map_err(|error| chain(&error).to_string())?;
    match telemetry::logs(format.unwrap_or_default(), LOG_DEFAULT) {
        Ok(logs) => Ok(Some(logs)),
        // The program has its own.
        Err(LogError::Taken) => Ok(None),
        Err(error) => Err(chain(&error).to_string()),
    }
}

#[cfg(not(feature = "telemetry"))]
fn begin_logs() -> Result<Log, String> {
    for name in ["LOG", "LOG_FORMAT"] {
        let set = environment::setting(name).map_err(|error| chain(&error).to_string())?;
        if set.is_some() {
            let prefix = environment::PREFIX;
            warn(&format!(
                "{prefix}{name} does nothing: this worker was built without the feature telemetry of gridloom-worker"
            ));
        }
    }
    Ok(None)
}

fn take_environment(builder: &mut Builder) -> Result<(), EnvironmentError> {
    let text = environment::setting;
    if let Some(url) = environment::secret("NATS")? {
        builder.url = url.into();
    }
    let way = Settings::from_environment()?;
    builder.way = way.over(std::mem::take(&mut builder.way));
    if let Some(namespace) = text("NAMESPACE")? {
        builder.namespace = namespace;
    }
    builder.name = text("WORKER_NAME")?.or(builder.name.take());
    if let Some(queues) = environment::parsed("WORKER_QUEUES", queues)? {
        builder.queues = queues;
    }
    if let Some(tiles) = environment::parsed("WORKER_CONCURRENCY", concurrency)? {
        builder.concurrency = tiles;
    }
    if let Some(grace) = environment::parsed("WORKER_GRACE", span)? {
        builder.grace = grace;
    }
    let deadline = environment::parsed("QUEUE_ACK_DEADLINE", span)?;
    builder.ack_deadline = deadline.or(builder.ack_deadline);
    take_listen(builder)
}

#[cfg(feature = "telemetry")]
fn take_listen(builder: &mut Builder) -> Result<(), EnvironmentError> {
    let address = environment::parsed("LISTEN", gridloom_shared::address::listen)?;
    builder.listen = address.or(builder.listen);
    let collector = environment::parsed("OTLP_ENDPOINT", str::parse)?;
    builder.traces.collector = collector.or(builder.traces.collector.take());
    let share = environment::parsed("OTLP_SAMPLE", str::parse)?;
    builder.traces.share = share.or(builder.traces.share);
    Ok(())
}

/// Whoever sets it waits for answers that nobody would give.
#[cfg(not(feature = "telemetry"))]
fn take_listen(_builder: &mut Builder) -> Result<(), EnvironmentError> {
    for name in ["LISTEN", "OTLP_ENDPOINT"] {
        environment::parsed(name, |_| {
            Err::<(), _>(
                "this worker was built without the feature telemetry of gridloom-worker".to_owned(),
            )
        })?;
    }
    Ok(())
}

fn queues(text: &str) -> Result<Vec<String>, String> {
    let name = |name: &str| {
        let name = QueueName::new(name.trim()).map_err(|error| chain(&error).to_string())?;
        Ok(name.as_str().to_owned())
    };
    text.split(',').map(name).collect()
}

fn concurrency(text: &str) -> Result<u32, String> {
    let tiles = text.parse().ok();
    let tiles = tiles.filter(|tiles| (1..=CONCURRENCY_MAX).contains(tiles));
    tiles.ok_or_else(|| format!("{text:?} must be a whole number from 1 to {CONCURRENCY_MAX}"))
}

fn span(text: &str) -> Result<std::time::Duration, String> {
    match parse_duration(text) {
        Ok(0) => Err(format!("{text:?} must be longer than nothing")),
        Ok(ms) => Ok(std::time::Duration::from_millis(ms)),
        Err(error) => Err(format!("{text:?} {}", chain(&error))),
    }
}
