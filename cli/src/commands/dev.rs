//! `gridloom dev`: the whole stack, empty, in one process beside an embedded broker, until Ctrl-C.

use std::pin::pin;
use std::time::Duration;

use anyhow::Context as _;
use gridloom_planner::{Planner, PlannerOptions};
use gridloom_shared::broker::Broker;
use gridloom_shared::chain;
use gridloom_shared::id::QueueName;
use gridloom_shared::process;
use gridloom_shared::telemetry::{self, Endpoints};

use super::service::{self, Running};
use crate::args::{Dev, RetentionFlags, ShareFlags};
use crate::config::{DEFAULT_NAMESPACE, DEFAULT_NATS};
use crate::context::Context;
use crate::embedded::{self, EmbeddedServer, Search};
use crate::fault::{Misuse, Verdict};

mod fires;

/// The port that every command tries where none is named.
const PORT: u16 = 4222;
/// A job that needs nothing, as `printf` takes it.
const FIRST_JOB: &str =
    r#"name = "hello"\nhandler = "noop"\ngrid = { slices = 4, pages = { count = 25 } }\n"#;
/// How long the stack waits for its own broker.
const WAIT: Duration = Duration::from_secs(10);

/// All that runs.
struct Stack {
    server: EmbeddedServer,
    link: Broker,
    planner: Planner,
    worker: Running,
    endpoints: Endpoints,
    queues: Vec<QueueName>,
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
    tokio::select! {
        () = &mut asked => {}
        // Programs ask for them.
        () = &mut fires, if !context.output.is_json() => {}
        ended = stack.planner.ended() => ended.context("the planner does not plan any more")?,
    }
    context.output.note("stopping");
    service::or_at_once(stack.stop()).await?;
    Ok(Verdict::Fine)
}

async fn start(context: &Context, flags: &Dev) -> anyhow::Result<Stack> {
    let config = context.config.worker(&flags.worker)?;
    let queues = config.queues.clone();
    let server = broker(context, flags).await?;
    let mut own = context.clone();
    own.config = own.config.with_own_broker(server.url());
    let link = own.connect("gridloom-dev planner", WAIT).await?;
    let topology = service::topology(&context.config.queue(&flags.queue));
    let options = PlannerOptions {
        name: process::name(),
        topology,
        retention: context.config.retention(&RetentionFlags::default()),
        shares: context.config.shares(&ShareFlags::default()),
        open_runs: context.config.open_runs(None),
        fault: None,
    };
    let planner = Planner::start(link.clone(), options).await?;
    let worker = Running::start(&own, config, &flags.queue).await?;
    let endpoints = telemetry::serve(([127, 0, 0, 1], 0).into(), planner.health()).await?;
    Ok(Stack {
        server,
        link,
        planner,
        worker,
        endpoints,
        queues,
    })
}

async fn broker(context: &Context, flags: &Dev) -> anyhow::Result<EmbeddedServer> {
    let say = |line: &str| context.output.note(line);
    // Looked for once, and told of once, also where a second port is tried.
    let own = std::env::current_exe().context("find the running program")?;
    let binary = Search::from_env().find(&own, &say).await;
    let binary = binary.map_err(embedded::Error::from)?;
    let options = |port| embedded::Options {
        port,
        binary: Some(binary.clone()),
        store: flags.store.clone(),
        ..embedded::Options::default()
    };
    match (
        EmbeddedServer::start(options(flags.port.or(Some(PORT))), &say).await,
        flags.port,
    ) {
        (Err(embedded::Error::PortInUse(port)), None) => {
            context.output.note(format!(
                "port {port} is in use (another broker?): taking a free one"
            ));
            Ok(EmbeddedServer::start(options(None), &say).await?)
        }
        (Err(error @ (embedded::Error::PortInUse(_) | embedded::Error::StoreInUse(_))), _) => {
            Err(Misuse::error(chain(&error).to_string()))
        }
        (started, _) => Ok(started?),
    }
}

impl Stack {
    fn document(&self, context: &Context) -> serde_json::Value {
        serde_json::json!({
            "nats": self.server.url(),
            "namespace": context.config.namespace,
            "store": self.server.store(),
            "metrics": format!("http://{}/metrics", self.endpoints.address()),
            "queues": self.queues,
            "handlers": self.worker.handlers(),
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
        output.say(format!("worker    queue {queues}, handlers {handlers}"));
        output.say("          (sql comes with --database NAME=URL, exec with --exec NAME=COMMAND)");
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
        self.endpoints.stop().await;
        self.link.drain().await?;
        self.server.stop().await?;
        Ok(())
    }
}
