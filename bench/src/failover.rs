//! How long what a worker ran stands still when it dies: from SIGKILL, SIGSTOP or SIGTERM of one of
//! three workers to the restart elsewhere of the last of its shards, with an ack deadline of 30 s.
//!
//! Each round is a run of shards that sleep until the round is over; the worker that has most of them
//! gets the signal, at a moment that nobody chose. All moments are read on the boot clock of this
//! machine, which all processes share.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::StreamExt;
use gridloom_cli::output::{Align, Output, Table};
use gridloom_shared::broker::Broker;
use gridloom_shared::clock::Boot;
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::job::parse;
use gridloom_shared::ledger::record::{Author, PlanRecord};
use gridloom_shared::wire;
use rustix::process::Signal;
use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::args::FailoverFlags;
use crate::stack::{self, Process, QUEUE, Stack};
use crate::stats::Spread;
use crate::usage::{Hardware, Watch};

pub(crate) mod worker;

/// Workers that are there.
const WORKERS: u32 = 3;
/// Shards of each round.
pub(crate) const SHARDS: u32 = 24;
/// How long anything may take: longer than the ack deadline, which would do it too.
const PATIENCE: Duration = Duration::from_secs(60);
/// The signal comes so long after the last start at most: a round of probes and a bit.
const JITTER_MS: u64 = 400;

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    machine: Hardware,
    broker: String,
    rounds: u32,
    ack_deadline_s: u32,
    /// Part of the machine that something else used, 0 to 1.
    others: f64,
    /// Signal to the restart of the worker's last shard, in milliseconds.
    restart_ms: BTreeMap<&'static str, Spread>,
}

struct Bench {
    stack: Stack,
    broker: Broker,
    job: JobName,
    starts: async_nats::Subscriber,
    client: async_nats::Client,
    workers: Vec<Process>,
    born: u32,
    round: u64,
}

/// Measures, and prints the report.
///
/// # Errors
/// When a process cannot be started, or a shard never starts elsewhere.
pub(crate) async fn run(output: &Output, flags: &FailoverFlags) -> anyhow::Result<()> {
    let stack = Stack::start(output, "").await?;
    let planner = stack.planner("memory").await?;
    let mut bench = Bench::new(stack).await?;
    let (mut restart_ms, watch) = (BTreeMap::new(), Watch::begin()?);
    for (name, signal) in [
        ("SIGKILL", Signal::KILL),
        ("SIGSTOP", Signal::STOP),
        ("SIGTERM", Signal::TERM),
    ] {
        output.note(format!("{} rounds of {name}", flags.rounds));
        let mut took = Vec::new();
        for _ in 0..flags.rounds.get() {
            took.push(bench.round(signal).await?.as_secs_f64() * 1_000.0);
        }
        took.sort_by(f64::total_cmp);
        restart_ms.insert(name, Spread::of(&took));
    }
    let report = Report {
        machine: Hardware::here(),
        broker: bench.stack.version(),
        rounds: flags.rounds.get(),
        ack_deadline_s: 30,
        others: watch.others()?,
        restart_ms,
    };
    drop(bench.workers);
    drop(planner);
    bench.stack.stop().await?;
    report.show(output);
    Ok(())
}

impl Bench {
    async fn new(stack: Stack) -> anyhow::Result<Bench> {
        let broker = stack.connect().await?;
        let client = async_nats::connect(stack.url()).await?;
        let starts = client.subscribe(worker::STARTS).await?;
        let spec = parse::from_value(json!({
            "name": "nap",
            "handler": worker::HANDLER,
            "queue": QUEUE,
            "grid": { "slices": SHARDS, "pages": { "count": 1 }, "tile": 1 },
        }))?;
        stack::define(&broker, &spec).await?;
        let mut bench = Bench {
            job: spec.name,
            stack,
            broker,
            starts,
            client,
            workers: Vec::new(),
            born: 0,
            round: 0,
        };
        bench.fill_up().await?;
        Ok(bench)
    }

    /// Starts workers until all are there again.
    async fn fill_up(&mut self) -> anyhow::Result<()> {
        while self.workers.len() < WORKERS as usize {
            self.born += 1;
            let name = format!("nap-worker-{}", self.born);
            let worker = self.stack.child_named("nap-worker", &name).await?;
            self.workers.push(worker);
        }
        stack::workers_are_there(&self.broker, WORKERS).await
    }

    /// Plays one round. Returns how long the last shard of the worker that was hit stood still.
    async fn round(&mut self, signal: Signal) -> anyhow::Result<Duration> {
        self.round += 1;
        let run = self.submit().await?;
        let mut ran = BTreeMap::<u32, BTreeSet<u32>>::new();
        for _ in 0..SHARDS {
            let start = self.next_start().await?;
            ran.entry(start.process).or_default().insert(start.slice);
        }
        let (victim, mut held) = ran
            .into_iter()
            .max_by_key(|(_, slices)| slices.len())
            .context("no shard was started")?;
        let place = self
            .workers
            .iter()
            .position(|worker| worker.pid() == victim)
            .context("an unknown worker")?;
        tokio::time::sleep(Duration::from_millis(jitter())).await;

        let hit = Boot::now();
        self.workers[place].signal(signal)?;
        let mut last = hit;
        while !held.is_empty() {
            let start = self.next_start().await?;
            if start.process != victim && held.remove(&start.slice) {
                last = last.max(Boot(Duration::from_nanos(start.at_ns)));
            }
        }
        if signal == Signal::STOP {
            // One that wakes answers what it was asked long ago, and is slow for a while.
            self.workers[place].signal(Signal::KILL)?;
        }
        self.workers.remove(place).wait().await?;
        self.end(&run).await?;
        self.fill_up().await?;
        Ok(last.since(hit))
    }

    async fn submit(&self) -> anyhow::Result<RunId> {
        let id = format!("{:016x}", self.round);
        let body = json!({ "id": id, "params": { "round": self.round } });
        let subject = self.broker.subjects().submit_to(&self.job);
        self.broker
            .append(subject, body.to_string().into(), None)
            .await?;
        Ok(RunId::from_request(&self.job, &id))
    }

    /// The next start of a shard of this round.
    async fn next_start(&mut self) -> anyhow::Result<worker::Start> {
        let next = async {
            loop {
                let message = self.starts.next().await.context("the connection is gone")?;
                let start: worker::Start = serde_json::from_slice(&message.payload)?;
                if start.round == self.round {
                    return anyhow::Ok(start);
                }
            }
        };
        timeout(PATIENCE, next)
            .await
            .context("a shard starts nowhere")?
    }

    /// Lets all shards of the round end, and waits for the end of their run.
    async fn end(&self, run: &RunId) -> anyhow::Result<()> {
        let subjects = self.broker.subjects();
        let plan = subjects.ledger_of(&QUEUE.parse()?, run, Author::Plan);
        let give_up = Instant::now() + PATIENCE;
        loop {
            self.client
                .publish(worker::OVER, self.round.to_string().into())
                .await?;
            let last = self
                .broker
                .last_of_leader(&subjects.ledger(), &plan)
                .await?;
            if let Some(last) = last
                && matches!(wire::decode(&last.payload), Ok(PlanRecord::Closed(_)))
            {
                return Ok(());
            }
            if Instant::now() > give_up {
                bail!("run {run} does not end");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A moment that nobody chose.
fn jitter() -> u64 {
    let now = Boot::now().0;
    u64::from(now.subsec_micros()) * 7_919 % JITTER_MS
}

impl Report {
    fn show(&self, output: &Output) {
        output.show(self, |output| {
            let machine = &self.machine;
            output.say(format!(
                "{}; nats-server {}; {} rounds each, {WORKERS} workers, {SHARDS} shards, ack deadline {} s; others had {:.0} % of the machine",
                machine,
                self.broker,
                self.rounds,
                self.ack_deadline_s,
                self.others * 100.0,
            ));
            output.say("");
            let mut table = Table::new([
                ("to the last restart, ms", Align::Left),
                ("p50", Align::Right),
                ("p90", Align::Right),
                ("p99", Align::Right),
                ("max", Align::Right),
            ]);
            let ms = |value: f64| format!("{value:.0}");
            for (name, spread) in &self.restart_ms {
                table.row([
                    (*name).into(),
                    ms(spread.p50),
                    ms(spread.p90),
                    ms(spread.p99),
                    ms(spread.max),
                ]);
            }
            output.table(&table, "nothing was measured");
        });
    }
}
