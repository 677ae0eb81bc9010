//! `gridloom planner` and `gridloom worker`: services that run until they are told to stop.
//!
//! The first SIGTERM or SIGINT is a clean stop; a second one ends the process at once, without
//! anything that a crash would not survive.

use std::future::Future;
use std::time::Duration;

use anyhow::Context as _;
use gridloom_planner::PlannerOptions;
use gridloom_planner::api::Server;
use gridloom_planner::doctor::Expected;
use gridloom_planner::metrics::DESCRIBED;
use gridloom_shared::broker::topology::{self, TopologyOptions};
use gridloom_shared::telemetry::traces::{Traces, Wanted};
use gridloom_shared::wire::Versions;
use gridloom_shared::{chain, process, telemetry};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{PlannerArgs, QueueFlags, StreamFlags};
use crate::config::{Config, QueueConfig};
use crate::context::Context;
use crate::fault::{Misuse, Verdict};
use crate::output;
use crate::setting::Storage;

mod starting;
mod worker;

use starting::Starting;
pub use worker::{Running, worker};

/// How long a service waits for the broker when it starts. Both are often started together, and a broker that has too little of
/// a machine takes a while; whoever ends before it is there is started again by systemd two seconds later, and by Kubernetes
/// ever later. A probe of its life waits longer.
const WAIT: Duration = Duration::from_secs(30);

/// How streams are made where they are missing, and expected to be.
pub fn topology(queue: &QueueConfig) -> TopologyOptions {
    TopologyOptions {
        replicas: usize::from(queue.replicas),
        queue_storage: queue.storage.map(|storage| match storage {
            Storage::File => topology::Storage::File,
            Storage::Memory => topology::Storage::Memory,
        }),
        sizes: queue.sizes,
        ..TopologyOptions::default()
    }
}

/// The settings of queues where those of streams are all that was asked for.
pub fn of_streams(streams: &StreamFlags) -> QueueFlags {
    QueueFlags {
        streams: streams.clone(),
        ..QueueFlags::default()
    }
}

/// What an examination expects of them.
pub fn expected(config: &Config, streams: &StreamFlags) -> Expected {
    Expected {
        topology: topology(&config.queue(&of_streams(streams))),
        copies_are_said: config.replicas(streams).is_some(),
    }
}

/// Runs a planner until it is told to stop.
///
/// # Errors
/// When the broker cannot be reached or its streams will not do.
pub async fn planner(context: &Context, flags: &PlannerArgs) -> anyhow::Result<Verdict> {
    if flags.ack_deadline.is_some() {
        return Err(Misuse::error(
            "a planner has no ack deadline: it is a setting of a queue's consumer, which workers make: give it to gridloom worker, or to both as queue.ack_deadline in the configuration",
        ));
    }
    let mut asked = Box::pin(Stop::listen()?.asked());
    let name = process::name();
    let wanted = context.config.traces(&flags.traces)?;
    let mut api = context.config.api(&flags.api, &name)?;
    api.expected = expected(&context.config, &flags.streams);
    let broker = context
        .connect(&format!("gridloom-planner {name}"), WAIT)
        .await?;
    // What is recorded before is lost.
    telemetry::metrics(&[DESCRIBED])?;
    let traces = traces(&wanted, "gridloom-planner", &name)?;
    let to_broker = context
        .config
        .options(&format!("gridloom-api {name}"), WAIT)?;
    let options = PlannerOptions {
        name,
        topology: topology(&context.config.queue(&of_streams(&flags.streams))),
        retention: context.config.retention(&flags.retention),
        shares: context.config.shares(&flags.shares),
        open_runs: context.config.open_runs(flags.open_runs),
        tracer: traces.tracer(),
        fault: flags.fault,
    };
    let (listen, starting) = (context.config.listen(&flags.listen), Starting::default());
    let endpoints = telemetry::serve(listen, starting.clone(), &[DESCRIBED]).await?;
    let mut planner = tokio::select! {
        planner = starting::start(&broker, options, &starting) => planner?,
        () = &mut asked => return Ok(Verdict::Fine),
    };
    let api = Server::start(api, to_broker).await?;
    starting.started(api.health(planner.health()));
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        reads = Versions::own().reads,
        writes = Versions::own().writes,
        broker = broker.server_version(),
        namespace = %context.config.namespace,
        health = %format_args!("http://{}/ready", endpoints.address()),
        api = api.url(),
        "planner started"
    );
    tokio::select! {
        () = &mut asked => {}
        ended = planner.ended() => {
            api.stop().await;
            traces.stop().await;
            endpoints.stop().await;
            ended.context("the planner does not plan any more")?;
            return Ok(Verdict::Failed);
        }
    }
    tracing::info!("stopping; a second signal ends at once");
    or_at_once(planner.stop()).await;
    api.stop().await;
    traces.stop().await;
    endpoints.stop().await;
    broker.drain().await?;
    Ok(Verdict::Fine)
}

/// Begins to tell of traces, where that is wanted.
///
/// # Errors
/// When what is wanted cannot be.
pub fn traces(wanted: &Wanted, service: &str, instance: &str) -> anyhow::Result<Traces> {
    let begun = Traces::begin(wanted, service, instance);
    begun.map_err(|error| Misuse::error(chain(&error).to_string()))
}

/// Hears the signals that ask a service to stop.
#[derive(Debug)]
pub struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn listen() -> std::io::Result<Stop> {
        Ok(Stop {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Returns when one of them came.
    pub async fn asked(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for the end of a clean stop, or ends the process at the next signal.
pub async fn or_at_once<T>(stopping: impl Future<Output = T>) -> T {
    let again = async {
        match Stop::listen() {
            Ok(stop) => stop.asked().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        stopped = stopping => stopped,
        () = again => {
            output::error("told to stop a second time: ending at once");
            std::process::exit(130);
        }
    }
}
