//! `gridloom demo`: the whole engine on real data, before one's eyes.
//!
//! It starts a broker, a planner and three workers as processes of their own, has them add up
//! 336,776 flights with a statement that must not run twice, kills one worker on the way, and proves
//! that nothing was lost and nothing was counted twice. Whoever watches may kill any process by hand
//! at any moment. It decides the order of things; it uses nothing that a user could not.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | `data` | how the flights get into SQLite, and what one plain query says about them |
//! | `job` | what the job is and how a run is asked for |
//! | `stack` | which processes run, and that what died comes back |
//! | `child` | how one process is started and ended |
//! | `watch` | how the run is followed, and when a worker is killed |
//! | `proof` | what the result must be |

mod child;
mod data;
mod job;
mod proof;
mod stack;
mod watch;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use gridloom_shared::broker::Broker;
use gridloom_shared::chain;
use gridloom_shared::id::{Namespace, RunId};
use gridloom_shared::ledger::audit::Report;
use gridloom_shared::ledger::summary::RunState;
use gridloom_shared::reads::{runs, workers};
use tokio::task::JoinHandle;

use crate::args::Demo as Flags;
use crate::commands::service::{self, Stop};
use crate::context::Context;
use crate::fault::Verdict;
use crate::output::{Story, counted, grouped};

use data::{Carrier, Database, FLIGHTS};
use proof::Proof;
use stack::{Stack, WORKERS};
use watch::Ended;

/// How long each step is tried again while processes die and come back.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one connection attempt may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Plays the demo.
///
/// # Errors
/// When something cannot be started, or the run does not come to its end. A result that is wrong is
/// a verdict.
pub async fn run(context: &Context, flags: &Flags) -> anyhow::Result<Verdict> {
    let stop = Stop::listen()?;
    let dir = tempfile::Builder::new()
        .prefix("gridloom-demo-")
        .tempdir()
        .context("make the demo's directory")?;
    // As /proc says it.
    let place = dir
        .path()
        .canonicalize()
        .context("find the demo's directory")?;
    let mut story = context.output.story();
    let mut stack = Stack::within(&place);
    let played = tokio::select! {
        played = Box::pin(play(context, &place, &mut stack, &mut story)) => Some(played),
        () = stop.asked() => None,
    };
    story.progressed();
    let good = matches!(played, Some(Ok(Verdict::Fine)) | None);
    if flags.keep
        && let Some(Ok(_)) = played
    {
        keep(&place, &mut stack, &story).await?;
    }
    service::or_at_once(async {
        if let Err(error) = stack.stop().await {
            tracing::warn!(error = %chain(&*error), "the broker was not stopped in order");
        }
    })
    .await;
    if flags.keep || !good {
        let kept = dir.keep();
        story.line(&format!(
            "Logs, database and streams are kept in {}",
            kept.display()
        ));
    } else if played.is_some() {
        advise(&story);
    }
    played.unwrap_or(Ok(Verdict::Interrupted))
}

async fn play(
    context: &Context,
    dir: &Path,
    stack: &mut Stack,
    story: &mut Story,
) -> anyhow::Result<Verdict> {
    let database = Database::within(dir);
    std::fs::write(dir.join("carrier-delays.toml"), job::FILE).context("write the job's file")?;
    story.title(&format!(
        "Gridloom adds up {} real flights on {WORKERS} workers, one of which will not survive it.",
        grouped(FLIGHTS)
    ));
    story.line(&format!(
        "Kill any other of these processes yourself, at any moment. Logs: {}",
        dir.display()
    ));
    story.line("");
    story.step(
        "data",
        &format!(
            "{} flights that left New York City in 2013 go into SQLite",
            grouped(FLIGHTS)
        ),
    );
    let mut loading = Task(tokio::spawn({
        let database = database.clone();
        async move { database.load().await }
    }));
    stack.start_broker(story, &database).await?;
    stack.start_services(story).await?;
    let broker = connect(context, stack, story).await?;
    wait_for_workers(&broker, stack, story).await?;

    let loaded = stack.meanwhile(story, &mut loading.0).await???;
    story.step(
        "data",
        &format!(
            "{} are there: {}",
            counted(loaded, "flight"),
            database.path().display()
        ),
    );
    if loaded != FLIGHTS {
        bail!("load the flights: {loaded} came in, not {FLIGHTS}");
    }
    let mut plain = Task(tokio::spawn({
        let database = database.clone();
        async move { database.plain().await }
    }));

    if let Some(console) = stack.console() {
        story.step(
            "console",
            &format!("{console} shows all of it as it goes on"),
        );
    }
    let run = submit(&broker, stack, story).await?;
    let ended = watch::to_the_end(&broker, &run, stack, story).await?;
    tell_end(&ended, story);
    let plain = stack.meanwhile(story, &mut plain.0).await???;
    let audit = stack
        .insist(story, PATIENCE, async || {
            Ok(runs::audit(&broker, &run).await?)
        })
        .await?;
    let totals = database.totals().await?;
    Ok(prove(context, story, &ended, &totals, &plain, &audit))
}

/// A task that ends with whoever waits for it.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn connect(context: &Context, stack: &mut Stack, story: &Story) -> anyhow::Result<Broker> {
    let mut own = context.clone();
    own.config = own.config.with_own_broker(stack.url());
    own.config.namespace = Namespace::new("gridloom")?;
    stack
        .insist(story, PATIENCE, async || {
            own.connect("gridloom-demo", CONNECT).await
        })
        .await
}

/// Waits until all workers answer, so that all take part from the beginning.
async fn wait_for_workers(broker: &Broker, stack: &mut Stack, story: &Story) -> anyhow::Result<()> {
    stack
        .insist(story, PATIENCE, async || {
            let there = workers::roll_call(broker).await?.len();
            anyhow::ensure!(
                there >= WORKERS,
                "wait for {WORKERS} workers: {there} answer"
            );
            Ok(())
        })
        .await
}

async fn submit(broker: &Broker, stack: &mut Stack, story: &Story) -> anyhow::Result<RunId> {
    let spec = job::spec()?;
    stack
        .insist(story, PATIENCE, async || job::define(broker, &spec).await)
        .await?;
    let text = "carrier-delays: 16 slices, pages of 1,000 flights; each page does flights = flights + \
                its own, so a page that ran twice would show";
    story.step("job", text);
    let id = uuid::Uuid::new_v4().to_string();
    let run = stack
        .insist(story, PATIENCE, async || {
            job::submit(broker, &spec, &id).await
        })
        .await?;
    story.step("run", run.as_str());
    Ok(run)
}

fn tell_end(ended: &Ended, story: &Story) {
    let summary = &ended.summary;
    let shards = counted(summary.grid.shards, "shard");
    let workers: Vec<_> = ended
        .workers
        .iter()
        .map(|(name, done)| format!("{name} {}", grouped(*done)))
        .collect();
    let text = format!(
        "{}: {} of {shards} done ({})",
        summary.state.as_str(),
        grouped(summary.shards.done),
        workers.join(", ")
    );
    story.check("run", &text, summary.state == RunState::Succeeded);
    if let Some(error) = &summary.error {
        story.alarm("run", error);
    }
}

fn prove(
    context: &Context,
    story: &Story,
    ended: &Ended,
    totals: &[Carrier],
    plain: &[Carrier],
    audit: &Report,
) -> Verdict {
    let proof = Proof {
        ended,
        totals,
        plain,
        audit,
    };
    proof.tell(story, &context.output);
    story.result(&proof.document());
    let good = proof.holds() && ended.summary.state == RunState::Succeeded;
    if good { Verdict::Fine } else { Verdict::Failed }
}

/// Leaves everything running until it is told to stop.
async fn keep(dir: &Path, stack: &mut Stack, story: &Story) -> anyhow::Result<()> {
    story.line("");
    story.title("All of it runs on until Ctrl-C.");
    for process in stack.processes() {
        story.line(&format!("  {process}"));
    }
    story.line("");
    if let Some(console) = stack.console() {
        story.line(&format!("Look around: {console}"));
        story.line("");
    }
    story.line("In another terminal:");
    story.line(&format!("  export GRIDLOOM_NATS={}", stack.url()));
    story.line("  gridloom runs");
    story.line("  gridloom workers");
    story.line(&format!(
        "  gridloom job show carrier-delays   # or {}/carrier-delays.toml",
        dir.display()
    ));
    story.line("  gridloom run carrier-delays --wait   # once more: every total doubles");
    stack.meanwhile(story, Stop::listen()?.asked()).await
}

fn advise(story: &Story) {
    story.line("");
    story.line(
        "Try next: gridloom dev (an empty stack to build against), or gridloom demo --keep (to look around in this one).",
    );
}
