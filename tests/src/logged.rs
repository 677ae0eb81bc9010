//! Workers whose handlers write down when each execution began and how it ended: what the oracle
//! needs to find two executions of one shard at the same time. Several may share a process, each
//! with a connection, an engine and a lease of its own.
//!
//! Times are of the boot clock, so that the logs of all processes of this machine compare.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use gridloom_shared::broker::Options;
use gridloom_shared::clock::Boot;
use gridloom_shared::id::Namespace;
use gridloom_shared::telemetry::{self, LogFormat};
use gridloom_worker::handlers::noop::Noop;
use gridloom_worker::handlers::sql::SqlHandler;
use gridloom_worker::{Failure, Handler, Probe, ProbedPages, Shard, Worker};
use serde_json::json;
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::build::Build;

/// The word that makes the command under test such a worker.
pub const WORD: &str = "logged-worker";

/// The word that makes it a worker as a user writes one, with nothing but a handler.
pub const OWN_WORD: &str = "own-worker";

/// The command under test: `gridloom`, or a worker that logs its executions, or a user's own.
pub fn main() -> ExitCode {
    if let Some(build) = Build::of_environment() {
        build.take_part();
    }
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some(WORD) => {}
        Some(OWN_WORD) => return own(),
        _ => return gridloom_cli::main(),
    }
    let args: Vec<String> = args.collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            gridloom_cli::output::error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn own() -> ExitCode {
    let own = Worker::builder().handler("own", Noop);
    own.handler("speaks", speaks).main().await
}

/// Says something in the log, here and in a task of its own; of page 1 it panics.
async fn speaks(shard: Shard) -> Result<(), Failure> {
    let step = tracing::info_span!("step", step = "first");
    async { tracing::info!(bytes = 3, "a handler speaks") }
        .instrument(step)
        .await;
    tokio::task::yield_now().await;
    let task = tokio::spawn(shard.logged(async {
        tokio::task::yield_now().await;
        tracing::info!("a task of a handler speaks");
    }));
    task.await.map_err(Failure::retry)?;
    assert!(shard.page().number != 1, "on purpose");
    Ok(())
}

/// Runs until it is told to stop. `args` are pairs of `--name value`.
fn run(args: &[String]) -> anyhow::Result<()> {
    let _logs = telemetry::logs_exactly(LogFormat::default(), "info,async_nats=warn")?;
    let (mut given, mut databases) = (BTreeMap::new(), BTreeMap::new());
    for pair in args.chunks(2) {
        let [name, value] = pair else {
            bail!("{pair:?} is no pair of name and value")
        };
        match name.trim_start_matches('-') {
            "database" => {
                let (name, url) = value.split_once('=').context("a database NAME=URL")?;
                databases.insert(name.to_owned(), url.to_owned());
            }
            name => _ = given.insert(name, value.as_str()),
        }
    }
    let mut log = OpenOptions::new();
    let place = given.get("log").context("--log is missing")?;
    let log = Arc::new(log.create(true).append(true).open(place)?);
    let workers: usize = given.get("workers").map_or(Ok(1), |text| text.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut running = JoinSet::new();
        for n in 0..workers {
            running.spawn(build(&given, &databases, &log, n)?.run());
        }
        while let Some(ended) = running.join_next().await {
            ended??;
        }
        Ok(())
    })
}

/// The n-th worker of this process.
fn build(
    given: &BTreeMap<&str, &str>,
    databases: &BTreeMap<String, String>,
    log: &Arc<File>,
    n: usize,
) -> anyhow::Result<Worker> {
    let need = |name: &str| {
        given
            .get(name)
            .with_context(|| format!("--{name} is missing"))
    };
    let namespace = Namespace::new(*need("namespace")?)?;
    let mut options = Options::new(*need("nats")?, namespace, "logged-worker");
    options.wait = Duration::from_secs(30);
    let mut builder = Worker::builder()
        .connection(options)
        .name(format!("logged-{}-{n}", std::process::id()))
        .queue(given.get("queue").copied().unwrap_or("default"))
        .concurrency(need("concurrency")?.parse()?)
        .ack_deadline(Duration::from_millis(need("ack-deadline-ms")?.parse()?))
        .grace(Duration::from_secs(2))
        .handler("noop", Logged::new(Noop, log));
    if !databases.is_empty() {
        builder = builder.handler("sql", Logged::new(SqlHandler::new(databases.clone())?, log));
    }
    Ok(builder.build()?)
}

/// A handler that logs what another does.
#[derive(Debug)]
pub struct Logged<H> {
    inner: H,
    log: Arc<File>,
}

impl<H> Logged<H> {
    /// Logs what `inner` does, at the end of `log`.
    pub fn new(inner: H, log: &Arc<File>) -> Logged<H> {
        Logged {
            inner,
            log: Arc::clone(log),
        }
    }
}

impl<H: Handler> Handler for Logged<H> {
    async fn run(&self, shard: Shard) -> Result<(), Failure> {
        let mut noted = Noted::begin(&self.log, &shard);
        let result = self.inner.run(shard).await;
        noted.end(if result.is_ok() { "done" } else { "failed" });
        result
    }

    async fn probe(&self, probe: Probe) -> Result<ProbedPages, Failure> {
        self.inner.probe(probe).await
    }

    fn trouble(&self) -> Option<String> {
        self.inner.trouble()
    }
}

/// One execution: when it is dropped without an end, it was cancelled.
struct Noted<'a> {
    log: &'a File,
    number: u64,
    ended: bool,
}

impl<'a> Noted<'a> {
    fn begin(log: &'a File, shard: &Shard) -> Noted<'a> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let noted = Noted {
            log,
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            ended: false,
        };
        noted.write(&json!({
            "event": "start", "at_us": now_us(), "pid": std::process::id(), "number": noted.number,
            "run": shard.run().as_str(), "slice": shard.slice(), "page": shard.page().number,
            "attempt": shard.attempt(), "fence": shard.fence().0,
        }));
        noted
    }

    fn end(&mut self, how: &str) {
        self.ended = true;
        self.write(&json!({
            "event": how, "at_us": now_us(), "pid": std::process::id(), "number": self.number,
        }));
    }

    fn write(&self, line: &serde_json::Value) {
        // One call, so that lines of several threads do not mix. A log that cannot be written
        // shows itself: an execution without an end.
        let mut log = self.log;
        let _ = log.write_all(format!("{line}\n").as_bytes());
    }
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.end("cancelled");
        }
    }
}

/// Microseconds on the boot clock.
pub fn now_us() -> u64 {
    u64::try_from(Boot::now().0.as_micros()).unwrap_or(u64::MAX)
}
