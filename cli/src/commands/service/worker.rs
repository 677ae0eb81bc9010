//! `gridloom worker`: a worker with the built-in handlers. It has `noop` always, `sql` when its
//! configuration names a database, `exec` when it names a command, `http` when it names a service, and those of its
//! children or of the program that it is attached to: a job that needs more waits visibly for a worker that has it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use gridloom_shared::address::Address;
use gridloom_shared::chain;
use gridloom_shared::job::handlers::BUILT_IN;
use gridloom_shared::process;
use gridloom_shared::telemetry::traces::Wanted;
use gridloom_shared::telemetry::{self, Health};
use gridloom_shared::wire::Versions;
use gridloom_worker::bridge::{Bridge, Left, Plan};
use gridloom_worker::handlers::exec::{ExecCommand, ExecHandler};
use gridloom_worker::handlers::http::{HttpHandler, HttpService};
use gridloom_worker::handlers::noop::Noop;
use gridloom_worker::handlers::sql::SqlHandler;
use gridloom_worker::metrics::DESCRIBED;
use gridloom_worker::{Builder, RunError, Worker};
use tokio::task::JoinHandle;

use super::{Stop, WAIT, or_at_once};
use crate::args::{QueueFlags, WorkerArgs};
use crate::config::{Others, WorkerConfig};
use crate::context::Context;
use crate::fault::{Misuse, Verdict};

/// How long a worker of `dev` may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// Runs a worker until it is told to stop.
///
/// # Errors
/// When its configuration cannot be, the broker cannot be reached or will not do.
pub async fn worker(context: &Context, flags: &WorkerArgs) -> anyhow::Result<Verdict> {
    let mut asked = Box::pin(Stop::listen()?.asked());
    let mut config = context.config.worker(&flags.worker)?;
    let wanted = context.config.traces(&flags.traces)?;
    let name = config.name.take().map_or_else(process::name, String::from);
    config.name = Some(name.clone().try_into()?);
    let bridge = tokio::select! {
        bridge = bridge(context.config.others(&flags.others, &name)?) => bridge?,
        () = &mut asked => return Ok(Verdict::Fine),
    };
    let Built {
        worker,
        name,
        handlers,
    } = build(context, config, (&flags.queue, wanted), bridge.as_ref())?;
    let listen = context.config.listen(&flags.listen);
    let endpoints = telemetry::serve(listen, worker.health(), &[DESCRIBED]).await?;
    tracing::info!(
        worker = name,
        version = env!("CARGO_PKG_VERSION"),
        reads = Versions::own().reads,
        writes = Versions::own().writes,
        namespace = %context.config.namespace,
        handlers = handlers.join(","),
        health = %format_args!("http://{}/ready", endpoints.address()),
        "worker starts"
    );
    let handle = worker.stop_handle();
    let mut running = Box::pin(worker.run());
    let mut verdict = Verdict::Fine;
    let ended = tokio::select! {
        ended = &mut running => Some(ended),
        () = &mut asked => {
            tracing::info!(worker = name, "finishing what runs; a second signal ends at once");
            handle.stop();
            None
        }
        left = left(bridge.as_ref()) => {
            match left {
                Left::Bye => handle.stop(),
                Left::Gone => {
                    verdict = Verdict::Failed;
                    handle.hurry();
                }
            }
            None
        }
    };
    let ended = or_at_once(async {
        let ended = match ended {
            Some(ended) => ended,
            None => running.await,
        };
        if let Some(bridge) = bridge {
            bridge.stop().await;
        }
        ended
    });
    let ended = ended.await;
    endpoints.stop().await;
    ended.map_err(|error| match error {
        RunError::Connect(_) => context.config.at_broker(error.into()),
        RunError::Traces(error) => Misuse::error(chain(&error).to_string()),
        other => other.into(),
    })?;
    tracing::info!(worker = name, "worker ended");
    Ok(verdict)
}

/// Handlers in other languages, where there are any.
async fn bridge(others: Others) -> anyhow::Result<Option<Bridge>> {
    Ok(match others {
        Others::Nowhere => None,
        Others::Children(plan) => Some(Bridge::start(plan).await?),
        Others::Program(program) => Some(Bridge::attach(&program).await?),
    })
}

/// Waits until the program has left that the worker is attached to, if it is to one.
async fn left(bridge: Option<&Bridge>) -> Left {
    match bridge {
        Some(bridge) => bridge.left().await,
        None => std::future::pending().await,
    }
}

/// A worker beside other services of this process.
#[derive(Debug)]
pub struct Running {
    handlers: Vec<String>,
    handle: gridloom_worker::Stop,
    task: JoinHandle<Result<(), RunError>>,
    bridge: Option<Bridge>,
}

impl Running {
    /// Starts a worker, with children where there is a plan for them, and waits until it is ready.
    ///
    /// # Errors
    /// As [`worker`].
    pub async fn start(
        context: &Context,
        config: WorkerConfig,
        children: Option<Plan>,
        (queue, traces): (&QueueFlags, Wanted),
    ) -> anyhow::Result<Running> {
        let bridge = bridge(children.map_or(Others::Nowhere, Others::Children)).await?;
        let Built {
            worker, handlers, ..
        } = build(context, config, (queue, traces), bridge.as_ref())?;
        let (handle, health) = (worker.stop_handle(), worker.health());
        let mut task = tokio::spawn(worker.run());
        let ready = async {
            while health.ready().is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            ended = &mut task => {
                ended??;
                anyhow::bail!("start a worker: it ended at once");
            }
            () = ready => {}
            () = tokio::time::sleep(READY_WITHIN) => {
                let why = health.ready().err().unwrap_or_default();
                anyhow::bail!("start a worker: {why}");
            }
        }
        Ok(Running {
            handlers,
            handle,
            task,
            bridge,
        })
    }

    /// The handlers that it has.
    pub fn handlers(&self) -> &[String] {
        &self.handlers
    }

    /// Returns when it has ended, though nobody told it to.
    ///
    /// # Errors
    /// Always: why, as far as it is known.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        (&mut self.task).await??;
        anyhow::bail!("it ended by itself")
    }

    /// Lets it finish or hand back what it runs.
    pub async fn stop(self) {
        self.handle.stop();
        match self.task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = %chain(&error), "the worker ended"),
            Err(error) => tracing::warn!(error = %chain(&error), "the worker ended"),
        }
        if let Some(bridge) = self.bridge {
            bridge.stop().await;
        }
    }
}

/// A worker that is ready to run.
struct Built {
    worker: Worker,
    name: String,
    handlers: Vec<String>,
}

/// What the built-in handlers may be told to use.
type Called = (
    BTreeMap<String, Address>,
    BTreeMap<String, ExecCommand>,
    BTreeMap<String, HttpService>,
);

/// The handlers of the worker itself: `noop`, and those that something is configured for.
fn built_in(
    builder: Builder,
    (databases, commands, services): Called,
    handlers: &mut Vec<String>,
) -> anyhow::Result<Builder> {
    let mut builder = builder.handler("noop", Noop);
    handlers.push("noop".to_owned());
    if !databases.is_empty() {
        let exact = |(name, url): (String, Address)| (name, url.exact().to_owned());
        let databases = databases.into_iter().map(exact).collect();
        let sql =
            SqlHandler::new(databases).map_err(|error| Misuse::error(chain(&error).to_string()))?;
        builder = builder.handler("sql", sql);
        handlers.push("sql".to_owned());
    }
    if !commands.is_empty() {
        let guard =
            std::env::current_exe().context("find the running program, to guard commands with")?;
        let exec = ExecHandler::new(guard, commands)
            .map_err(|error| Misuse::error(chain(&error).to_string()))?;
        builder = builder.handler("exec", exec);
        handlers.push("exec".to_owned());
    }
    if !services.is_empty() {
        let http =
            HttpHandler::new(services).map_err(|error| Misuse::error(chain(&error).to_string()))?;
        builder = builder.handler("http", http);
        handlers.push("http".to_owned());
    }
    Ok(builder)
}

/// The handler of the program that has the name of a built-in one: jobs mean the other with it, and check its settings.
fn built_in_of(bridge: &Bridge) -> Option<String> {
    let mut names = bridge.handlers().into_iter();
    names.find(|name| BUILT_IN.contains(&name.as_str()))
}

fn build(
    context: &Context,
    config: WorkerConfig,
    (queue, traces): (&QueueFlags, Wanted),
    bridge: Option<&Bridge>,
) -> anyhow::Result<Built> {
    let name = config.name.map_or_else(process::name, String::from);
    let client = format!("gridloom-worker {name}");
    let options = context.config.options(&client, WAIT)?;
    let mut handlers = Vec::new();
    let builder = Worker::builder()
        .connection(options)
        .name(name.clone())
        .traces(traces)
        .ignore_signals();
    let called = (config.databases, config.exec, config.http);
    let mut builder = built_in(builder, called, &mut handlers)?;
    if let Some(bridge) = bridge {
        if let Some(name) = built_in_of(bridge) {
            anyhow::bail!(
                "use handler {name:?} of the program: that is the name of a built-in handler, also where this worker has none; give it another"
            );
        }
        handlers.extend(bridge.handlers());
        builder = bridge.register(builder);
    }
    for queue in config.queues {
        builder = builder.queue(queue);
    }
    if let Some(tiles) = config.concurrency.or(bridge.map(Bridge::capacity)) {
        builder = builder.concurrency(tiles);
    }
    if let Some(grace) = config.grace {
        builder = builder.grace(grace);
    }
    if let Some(deadline) = context.config.queue(queue).ack_deadline {
        builder = builder.ack_deadline(deadline);
    }
    let worker = builder
        .build()
        .map_err(|error| Misuse::error(chain(&error).to_string()))?;
    Ok(Built {
        worker,
        name,
        handlers,
    })
}
