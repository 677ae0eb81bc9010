//! `gridloom dev`: the whole stack, empty, in one process beside an embedded broker, until Ctrl-C.

use std::time::Duration;

use gridloom_planner::{Planner, PlannerOptions};
use gridloom_shared::telemetry;

use super::{Context, service};
use crate::args::Dev;
use crate::config::DEFAULT_NATS;
use crate::embedded::{self, EmbeddedServer};
use crate::fault::{Misuse, Verdict};

/// The port that every command tries where none is named.
const PORT: u16 = 4222;
/// How long the stack waits for its own broker.
const WAIT: Duration = Duration::from_secs(10);

/// Runs the stack until it is told to stop.
///
/// # Errors
/// When the broker, the planner or the worker cannot be started.
pub async fn run(context: &Context, flags: &Dev) -> anyhow::Result<Verdict> {
    let stop = service::Stop::listen()?;
    let config = context.config.worker(&flags.worker)?;
    let server = broker(context, flags).await?;
    let mut own = context.clone();
    own.config.nats = server.url();
    let link = own.connect("gridloom-dev planner", WAIT).await?;
    let topology = service::topology(&context.config.queue(&flags.queue));
    let options = PlannerOptions {
        name: service::process_name(),
        topology,
    };
    let planner = Planner::start(link.clone(), options).await?;
    let worker = service::Running::start(&own, config, &flags.queue).await?;
    let endpoints = telemetry::serve(([127, 0, 0, 1], 0).into(), planner.health()).await?;

    let there = serde_json::json!({
        "nats": server.url(),
        "namespace": context.config.namespace,
        "store": server.store(),
        "metrics": format!("http://{}/metrics", endpoints.address()),
        "handlers": worker.handlers(),
    });
    if context.output.is_json() {
        context.output.line(&there);
    } else {
        welcome(
            context,
            flags,
            &server,
            &worker.handlers().join(", "),
            &endpoints.address().to_string(),
        );
    }
    stop.asked().await;
    context.output.note("stopping");
    service::or_at_once(async {
        worker.stop().await;
        planner.stop().await;
    })
    .await;
    endpoints.stop().await;
    server.stop().await?;
    Ok(Verdict::Fine)
}

async fn broker(context: &Context, flags: &Dev) -> anyhow::Result<EmbeddedServer> {
    let say = |line: &str| context.output.note(line);
    let options = |port| embedded::Options {
        port,
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
            Err(Misuse::error(error.to_string()))
        }
        (started, _) => Ok(started?),
    }
}

fn welcome(context: &Context, flags: &Dev, server: &EmbeddedServer, handlers: &str, metrics: &str) {
    let output = &context.output;
    let kept = if flags.store.is_some() {
        "kept in"
    } else {
        "gone at the end, in"
    };
    output.say(format!(
        "broker    {}, its streams {kept} {}",
        server.url(),
        server.store().display()
    ));
    output.say(format!("planner   http://{metrics}/metrics"));
    output.say(format!("worker    queue default, handlers {handlers}"));
    output.say("");
    output.say("A first job, in another terminal:");
    output.say("");
    if server.url() != DEFAULT_NATS {
        output.say(format!("  export GRIDLOOM_NATS={}", server.url()));
    }
    output.say(r#"  printf 'name = "hello"\nhandler = "noop"\ngrid = { slices = 4, pages = { count = 25 } }\n' > hello.toml"#);
    output.say("  gridloom job apply hello.toml");
    output.say("  gridloom run hello --wait");
    output.say("");
    output.say("Ctrl-C ends it.");
}
