//! `gridloom dev`: the whole stack, empty, in one process beside an embedded broker, until Ctrl-C.

use std::pin::pin;
use std::time::Duration;

use anyhow::Context as _;
use gridloom_planner::api::Server;
use gridloom_planner::{Planner, PlannerOptions};
use gridloom_shared::broker::Broker;
use gridloom_shared::id::QueueName;
use gridloom_shared::process;
use gridloom_shared::telemetry::traces::Traces;
use gridloom_shared::telemetry::{self, Described, Endpoints};

use super::service::{self, Running};
use crate::args::{Dev, RetentionFlags, ShareFlags};
use crate::config::{DEFAULT_NAMESPACE, DEFAULT_NATS};
use crate::context::Context;
use crate::embedded::EmbeddedServer;
use crate::fault::Verdict;

mod broker;
mod fires;

/// A job that needs nothing, as `printf` takes it.
const FIRST_JOB: &str =
    r#"name = "hello"\nhandler = "noop"\ngrid = { slices = 4, pages = { count = 25 } }\n"#;
/// How long the stack waits for its own broker.
const WAIT: Duration = Duration::from_secs(10);

/// Both services.
const DESCRIBED: &[Described] = &[
    gridloom_planner::metrics::DESCRIBED,
    gridloom_worker::metrics::DESCRIBED,
];

/// All that runs.
struct Stack {
    server: EmbeddedServer,
    link: Broker,
    planner: Planner,
    worker: Running,
    traces: Traces,
    endpoints: Endpoints,
    api: Server,
    queues: Vec<QueueName>,
    /// What jobs may name.
    databases: Vec<String>,
    commands: Vec<String>,
    services: Vec<String>,
}

/// Runs the stack until it is told to stop.
///
/// # Errors
/// When the broker, the planner or the worker cannot be started.
pub async fn run(context: &Context, flags: &Dev) -> anyhow::Result<Verdict> {
    let stop = service::Stop::listen()?;
    let mut asked = pin!(stop.asked());
    // The first start may have to fetch nats-server: it must be possible to give up.
    let mut stack = tokio::select! {
        started = Box::pin(start(context, flags)) => started?,
        () = &mut asked => return Ok(Verdict::Interrupted),
    };
    if context.output.is_json() {
        context.output.line(&stack.document(context));
    } else {
        stack.welcome(context, flags);
    }
    let fires = fires::tell(context.output, stack.link.clone());
    let mut fires = pin!(fires);
    let mut keeper = broker::Keeper::new(context.output);
    tokio::select! {
        () = &mut asked => {}
        // Programs ask for them.
        () = &mut fires, if !context.output.is_json() => {}
        ended = stack.planner.ended() => ended.context("the planner does not plan any more")?,
        ended = stack.worker.ended() => ended.context("the worker does not work any more")?,
        given_up = keeper.keep(&mut stack.server) => given_up?,
    }
    context.output.note("stopping");
    service::or_at_once(stack.stop()).await?;
    Ok(Verdict::Fine)
}

async fn start(context: &Context, flags: &Dev) -> anyhow::Result<Stack> {
    let mut config = context.config.worker(&flags.worker)?;
    let worker = config.name.take().map_or_else(process::name, String::from);
    let children = context.config.children(&flags.child, &worker)?;
    config.name = Some(worker.try_into()?);
    let queues = config.queues.clone();
    let databases = config.databases.keys().cloned().collect();
    let commands = config.exec.keys().cloned().collect();
    let services = config.http.keys().cloned().collect();
    let server = broker::start(context, flags).await?;
    let mut own = context.clone();
    own.config = own.config.with_own_broker(server.url());
    let link = own.connect("gridloom-dev planner", WAIT).await?;
    let topology = service::topology(&context.config.queue(&flags.queue));
    // What is recorded before is lost.
    telemetry::metrics(DESCRIBED)?;
    let wanted = context.config.traces(&flags.traces)?;
    let name = process::name();
    let traces = service::traces(&wanted, "gridloom-planner", &name)?;
    let mut api = context.config.api(&flags.api, &name)?;
    api.expected = service::expected(&context.config, &flags.queue.streams);
    let to_broker = own.config.options("gridloom-dev api", WAIT)?;
    let options = PlannerOptions {
        name,
        topology,
        retention: context.config.retention(&RetentionFlags::default()),
        shares: context.config.shares(&ShareFlags::default()),
        open_runs: context.config.open_runs(None),
        tracer: traces.tracer(),
        fault: None,
    };
    let planner = Planner::start(link.clone(), options).await?;
    let worker = Running::start(&own, config, children, (&flags.queue, wanted)).await?;
    let api = Server::start(api, to_broker).await?;
    let health = api.health(planner.health());
    let endpoints = telemetry::serve(([127, 0, 0, 1], 0).into(), health, DESCRIBED).await?;
    Ok(Stack {
        server,
        link,
        planner,
        worker,
        traces,
        endpoints,
        api,
        queues,
        databases,
        commands,
        services,
    })
}

impl Stack {
    fn document(&self, context: &Context) -> serde_json::Value {
        serde_json::json!({
            "nats": self.server.url(),
            "namespace": context.config.namespace,
            "store": self.server.store(),
            "metrics": format!("http://{}/metrics", self.endpoints.address()),
            "api": self.api.url(),
            "console": self.api.console(),
            "queues": self.queues,
            "handlers": self.worker.handlers(),
            "databases": self.databases,
            "commands": self.commands,
            "services": self.services,
        })
    }

    fn welcome(&self, context: &Context, flags: &Dev) {
        let output = &context.output;
        let kept = match flags.store {
            Some(_) => "kept in",
            None => "until the end in",
        };
        let (url, store) = (self.server.url(), self.server.store().display());
        let queues: Vec<_> = self.queues.iter().map(QueueName::as_str).collect();
        let (queues, handlers) = (queues.join(", "), self.worker.handlers().join(", "));
        output.say(format!("broker    {url}, its streams {kept} {store}"));
        output.say(format!(
            "planner   metrics and health on http://{}",
            self.endpoints.address()
        ));
        output.say(format!("          HTTP API on {}", self.api.url()));
        output.say(format!("worker    queue {queues}, handlers {handlers}"));
        for (names, handler, kind, flag) in [
            (&self.databases, "sql", "databases", "--database NAME=URL"),
            (&self.commands, "exec", "commands", "--exec NAME=COMMAND"),
            (&self.services, "http", "services", "--http NAME=ORIGIN"),
        ] {
            output.say(match names.as_slice() {
                [] => format!("          ({handler} comes with {flag})"),
                names => format!("          {kind} {}", names.join(", ")),
            });
        }
        output.say("");
        output.say(format!("Open {} to see it all.", self.api.console()));
        output.say("");
        output.say("A first job, in another terminal:");
        output.say("");
        if url != DEFAULT_NATS {
            output.say(format!("  export GRIDLOOM_NATS={url}"));
        }
        if context.config.namespace.as_str() != DEFAULT_NAMESPACE {
            output.say(format!(
                "  export GRIDLOOM_NAMESPACE={}",
                context.config.namespace
            ));
        }
        output.say(format!("  printf '{FIRST_JOB}' > hello.toml"));
        output.say("  gridloom job apply hello.toml");
        output.say("  gridloom run hello --wait");
        output.say("");
        output.say("Ctrl-C ends it.");
    }

    /// The planner first: what it opened once the worker takes no more work would lie open for the next start, in the
    /// way of other fires. What runs is committed without it.
    async fn stop(self) -> anyhow::Result<()> {
        self.planner.stop().await;
        self.worker.stop().await;
        self.api.stop().await;
        self.traces.stop().await;
        self.endpoints.stop().await;
        self.link.drain().await?;
        self.server.stop().await?;
        Ok(())
    }
}
