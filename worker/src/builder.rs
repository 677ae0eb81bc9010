//! How a worker is put together: its name, its queues, its handlers, its broker.

use std::collections::HashMap;
#[cfg(feature = "telemetry")]
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gridloom_shared::address::Address;
use gridloom_shared::broker::topology::AckDeadline;
use gridloom_shared::broker::{Options, Settings as Way};
use gridloom_shared::environment::EnvironmentError;
use gridloom_shared::id::{HandlerName, Namespace, QueueName, WorkerName};
use gridloom_shared::process;
use gridloom_shared::telemetry::spans::Tracer;
#[cfg(feature = "telemetry")]
use gridloom_shared::telemetry::traces::Wanted;

use crate::error::{BuildError, RunError};
use crate::handler::{Handler, SharedHandler};
use crate::health::WorkerHealth;
use crate::settings::Settings;
use crate::stop::Stop;
use crate::worker::Worker;

mod connection;

/// Where the broker is looked for unless something else is said.
pub const NATS_DEFAULT: &str = "nats://127.0.0.1:4222";
/// The installation unless something else is said.
pub const NAMESPACE_DEFAULT: &str = "gridloom";
/// The queue of a worker that names none.
pub const QUEUE_DEFAULT: &str = "default";
/// Tiles at once unless something else is said.
pub const CONCURRENCY_DEFAULT: u32 = 16;
pub use gridloom_shared::limits::CONCURRENCY_MAX;
use gridloom_shared::limits::{WORKER_HANDLERS_MAX, WORKER_LANES_MAX, WORKER_QUEUES_MAX};
/// How long a worker that is told to stop lets its tiles finish, unless something else is said.
pub const GRACE_DEFAULT: Duration = Duration::from_secs(20);

/// Collects what a worker needs. Faults are told by [`Builder::build`].
pub struct Builder {
    pub(crate) url: Address,
    /// The way to it.
    pub(crate) way: Way,
    options: Option<Options>,
    pub(crate) namespace: String,
    pub(crate) name: Option<String>,
    pub(crate) queues: Vec<String>,
    pub(crate) concurrency: u32,
    pub(crate) ack_deadline: Option<Duration>,
    pub(crate) grace: Duration,
    handlers: Vec<(String, SharedHandler)>,
    signals: bool,
    #[cfg(feature = "telemetry")]
    pub(crate) listen: Option<SocketAddr>,
    #[cfg(feature = "telemetry")]
    pub(crate) traces: Wanted,
    /// What is wrong with the environment.
    pub(crate) fault: Option<EnvironmentError>,
}

impl Worker {
    /// Begins a worker.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Default for Builder {
    fn default() -> Self {
        Builder {
            url: NATS_DEFAULT.into(),
            way: Way::default(),
            options: None,
            namespace: NAMESPACE_DEFAULT.into(),
            name: None,
            queues: Vec::new(),
            concurrency: CONCURRENCY_DEFAULT,
            ack_deadline: None,
            grace: GRACE_DEFAULT,
            handlers: Vec::new(),
            signals: true,
            #[cfg(feature = "telemetry")]
            listen: None,
            #[cfg(feature = "telemetry")]
            traces: Wanted::default(),
            fault: None,
        }
    }
}

impl Builder {
    /// The broker: one URL or several with commas. [`NATS_DEFAULT`] if left out.
    #[must_use]
    pub fn nats(mut self, url: impl Into<Address>) -> Builder {
        self.url = url.into();
        self
    }

    /// All about the connection: credentials, certificates, how long the first one may take. It takes the place of
    /// [`Builder::nats`], [`Builder::namespace`] and all that is said of the way to the broker.
    #[must_use]
    pub fn connection(mut self, options: Options) -> Builder {
        self.options = Some(options);
        self
    }

    /// The installation. [`NAMESPACE_DEFAULT`] if left out.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Builder {
        self.namespace = namespace.into();
        self
    }

    /// The worker's name, as people see it, one of its own. Host, process id and a part by chance if left out.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// A queue to take work from; may be said several times. [`QUEUE_DEFAULT`] if left out.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Builder {
        self.queues.push(queue.into());
        self
    }

    /// How many tiles run at once, over all queues.
    #[must_use]
    pub fn concurrency(mut self, tiles: u32) -> Builder {
        self.concurrency = tiles;
        self
    }

    /// How long the queues' consumers let a worker hold a tile without a sign of life. It belongs to
    /// the queue, not to the worker: an existing one is changed. Left out, it stays what it is.
    #[must_use]
    pub fn ack_deadline(mut self, deadline: Duration) -> Builder {
        self.ack_deadline = Some(deadline);
        self
    }

    /// How long a worker that is told to stop lets its tiles finish; the rest is handed back.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Builder {
        self.grace = grace;
        self
    }

    /// Registers the code that runs shards of jobs whose `handler` is `name`.
    #[must_use]
    pub fn handler(mut self, name: impl Into<String>, handler: impl Handler) -> Builder {
        self.handlers.push((name.into(), Arc::new(handler)));
        self
    }

    /// The same for one whose type is forgotten already.
    #[cfg(feature = "bridge")]
    pub(crate) fn shared(mut self, name: &str, handler: SharedHandler) -> Builder {
        self.handlers.push((name.to_owned(), handler));
        self
    }

    /// Serves `/metrics`, `/live` and `/ready` there while the worker runs; port 0 takes any free one, which the
    /// log names.
    #[cfg(feature = "telemetry")]
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Builder {
        self.listen = Some(address);
        self
    }

    /// Tells of traces while the worker runs: to which collector, with the feature `otlp`. What is not said here the
    /// standard variables of OpenTelemetry say (`OTEL_EXPORTER_OTLP_ENDPOINT` and so on).
    #[cfg(feature = "telemetry")]
    #[must_use]
    pub fn traces(mut self, wanted: Wanted) -> Builder {
        self.traces = wanted;
        self
    }

    /// Leaves signals alone: only [`Stop::stop`] stops the worker.
    #[must_use]
    pub fn ignore_signals(mut self) -> Builder {
        self.signals = false;
        self
    }

    /// The worker.
    ///
    /// # Errors
    /// When something in it is wrong; the text says what to change.
    pub fn build(self) -> Result<Worker, BuildError> {
        if let Some(fault) = self.fault {
            return Err(fault.into());
        }
        if self.concurrency == 0 || self.concurrency > CONCURRENCY_MAX {
            return Err(BuildError::Concurrency(self.concurrency));
        }
        let sensible = Duration::from_millis(500)..=Duration::from_secs(3_600);
        if let Some(deadline) = self
            .ack_deadline
            .filter(|deadline| !sensible.contains(deadline))
        {
            return Err(BuildError::AckDeadline(deadline));
        }
        let name = WorkerName::new(self.name.unwrap_or_else(process::name))?;
        let options = match self.options {
            Some(options) => options,
            None => {
                let namespace = Namespace::new(self.namespace)?;
                let mut options = Options::new(self.url, namespace, name.as_str());
                self.way.apply(&mut options)?;
                options
            }
        };
        let settings = Settings {
            options,
            name,
            queues: queues(self.queues)?,
            concurrency: self.concurrency,
            ack_deadline: self
                .ack_deadline
                .map_or(AckDeadline::AsIs, AckDeadline::Exactly),
            grace: self.grace,
            handlers: handlers(self.handlers)?,
            tracer: Tracer::default(),
        };
        let lanes = settings.queues.len() * settings.handlers.len();
        at_most(
            "lanes (its queues times its handlers)",
            lanes,
            WORKER_LANES_MAX,
        )?;
        let health = WorkerHealth::starting(settings.handlers.values().cloned());
        Ok(Worker {
            settings,
            stop: Stop::default(),
            health,
            signals: self.signals,
            #[cfg(feature = "telemetry")]
            listen: self.listen,
            #[cfg(feature = "telemetry")]
            traces: self.traces,
        })
    }

    /// Builds the worker and runs it: see [`Worker::run`].
    ///
    /// # Errors
    /// As [`Builder::build`] and [`Worker::run`].
    pub async fn run(self) -> Result<(), RunError> {
        self.build()?.run().await
    }
}

fn queues(named: Vec<String>) -> Result<Vec<QueueName>, BuildError> {
    let mut queues = Vec::new();
    for name in if named.is_empty() {
        vec![QUEUE_DEFAULT.to_owned()]
    } else {
        named
    } {
        let queue = QueueName::new(name)?;
        if !queues.contains(&queue) {
            queues.push(queue);
        }
    }
    at_most("queues", queues.len(), WORKER_QUEUES_MAX)?;
    Ok(queues)
}

/// A planner believes in no worker of more.
fn at_most(what: &'static str, count: usize, most: usize) -> Result<(), BuildError> {
    if count > most {
        Err(BuildError::TooMany { what, count, most })
    } else {
        Ok(())
    }
}

fn handlers(
    named: Vec<(String, SharedHandler)>,
) -> Result<HashMap<HandlerName, SharedHandler>, BuildError> {
    let mut handlers = HashMap::new();
    for (name, handler) in named {
        if handlers
            .insert(HandlerName::new(name.clone())?, handler)
            .is_some()
        {
            return Err(BuildError::HandlerTwice(name));
        }
    }
    at_most("handlers", handlers.len(), WORKER_HANDLERS_MAX)?;
    if handlers.is_empty() {
        Err(BuildError::NoHandler)
    } else {
        Ok(handlers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::noop::Noop;

    fn refused(builder: Builder) -> BuildError {
        match builder.build() {
            Err(error) => error,
            Ok(_) => panic!("built"),
        }
    }

    #[test]
    fn worker_with_a_handler_and_nothing_else_is_complete() {
        let worker = Worker::builder().handler("noop", Noop).build().unwrap();
        assert_eq!(worker.settings.queues[0].as_str(), QUEUE_DEFAULT);
        assert!(
            worker
                .settings
                .name
                .as_str()
                .contains(&format!("-{}-", std::process::id()))
        );
    }

    #[test]
    fn faults_are_told_with_what_to_change() {
        let one = || Worker::builder().handler("noop", Noop);
        assert_eq!(refused(Worker::builder()), BuildError::NoHandler);
        assert_eq!(
            refused(one().handler("noop", Noop)),
            BuildError::HandlerTwice("noop".into())
        );
        assert_eq!(refused(one().concurrency(0)), BuildError::Concurrency(0));
        let many = (0..=WORKER_QUEUES_MAX).fold(one(), |one, n| one.queue(format!("q{n}")));
        assert!(matches!(refused(many), BuildError::TooMany { .. }));
        let handlers = |count| {
            let two = Worker::builder().queue("a").queue("b");
            (0..count).fold(two, |two, n| two.handler(format!("h{n}"), Noop))
        };
        assert!(handlers(WORKER_LANES_MAX / 2).build().is_ok());
        let text = refused(handlers(WORKER_LANES_MAX / 2 + 1)).to_string();
        assert!(
            text.contains("202 lanes") && text.contains("200 at most"),
            "{text}"
        );
        assert!(matches!(
            refused(one().queue("no such.name")),
            BuildError::Name(_)
        ));
        assert!(matches!(
            refused(one().handler("*", Noop)),
            BuildError::Name(_)
        ));
        assert!(matches!(
            refused(one().ack_deadline(Duration::ZERO)),
            BuildError::AckDeadline(_)
        ));
    }
}
