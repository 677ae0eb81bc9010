//! What it costs that a queue has many handlers: hundreds of workers that wait for tiles of fifty of them, how
//! soon one gets a tile, and whether workers that lack a handler hold up those who have it.
//!
//! | room | what it is |
//! |------|------------|
//! | [`worker`] | the workers, many in one process |

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::StreamExt;
use gridloom_cli::output::{Align, Output, Table, grouped};
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::subjects::Author;
use gridloom_shared::clock::Boot;
use gridloom_shared::id::JobName;
use gridloom_shared::job::parse;
use gridloom_shared::ledger::record::Takeover;
use gridloom_shared::wire;
use serde::Serialize;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::args::LanesFlags;
use crate::plans::Plans;
use crate::stack::{self, Process, QUEUE, Stack};
use crate::stats::{Spread, median};
use crate::usage::{self, Hardware};

pub(crate) mod worker;

/// Shards of the job that only some can run, for each of their slots.
const SHARDS_A_SLOT: u32 = 20;
/// What one of them takes.
const SHARD: Duration = Duration::from_millis(50);
/// Until what follows a start is over.
const SETTLE: Duration = Duration::from_secs(10);
/// How long the last runs may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    machine: Hardware,
    broker: String,
    servers: usize,
    workers: u32,
    slots: u32,
    handlers: u32,
    /// From the start of the last workers until all were heard.
    started_s: f64,
    /// Parts of a core while nothing happens.
    idle: Load,
    /// Submission to first start of runs of one shard, of any handler, in milliseconds.
    first_start_ms: Spread,
    /// The same of a single handler.
    hot_start_ms: Spread,
    runs_a_second: u32,
    /// Makespans of a job whose handler some workers have.
    special: Special,
    /// Bytes by which the ledger grew in a second while nobody had the handler of the only run.
    grown_bytes_s: f64,
    /// By job and reason.
    takeovers: Takeovers,
    worker_mib: f64,
}

type Takeovers = BTreeMap<String, u64>;

/// Processor time, as parts of a core.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Load {
    brokers: f64,
    planner: f64,
    workers: f64,
}

#[derive(Debug, Serialize)]
struct Special {
    workers: u32,
    shards: u32,
    ideal_s: f64,
    alone_s: f64,
    beside_others_s: f64,
    ratio: f64,
}

/// Measures, and prints the report.
///
/// # Errors
/// When a process cannot be started, ends, or does not do what was asked of it.
pub(crate) async fn run(output: &Output, flags: &LanesFlags) -> anyhow::Result<()> {
    let stack = if flags.cluster {
        Stack::start_cluster(output, "").await?
    } else {
        Stack::start(output, "").await?
    };
    let report = Bench::measure(output, flags, &stack).await?;
    stack.stop().await?;
    report.show(output);
    Ok(())
}

/// Slots of the workers from number `from` on.
fn slots(from: u32, count: u32) -> u32 {
    (from..from + count).map(worker::slots).sum()
}

struct Bench<'a> {
    flags: &'a LanesFlags,
    stack: &'a Stack,
    broker: Broker,
    planner: Process,
    workers: Vec<Process>,
    plans: Plans,
    /// Runs that were submitted, and are to succeed.
    submitted: u64,
}

impl Bench<'_> {
    async fn measure(output: &Output, flags: &LanesFlags, stack: &Stack) -> anyhow::Result<Report> {
        let replicas = ["--replicas".to_owned(), stack.pids()?.len().to_string()];
        let planner = stack.planner_with("planner", &replicas).await?;
        let broker = stack.connect().await?;
        for handler in 0..flags.handlers.get() {
            define(&broker, &worker::handler(handler), 1).await?;
        }
        let shards = SHARDS_A_SLOT * slots(0, flags.right.get());
        define(&broker, worker::SPECIAL, shards).await?;
        define(&broker, "nobodys", 1).await?;
        let takeovers = count_takeovers(&broker).await?;
        let plans = Plans::listen(&broker, &QUEUE.parse()?).await?;
        let mut bench = Bench {
            flags,
            stack,
            broker,
            planner,
            workers: Vec::new(),
            plans,
            submitted: 0,
        };
        let (right, all) = (flags.right.get(), flags.workers.get());
        output.note(format!("{right} workers that have the handler"));
        bench.start_workers(0, right).await?;
        // What was there before a lane's consumer is taken over by whoever is the first to pull it.
        bench.special().await?;
        lock(&takeovers).clear();
        let alone_s = bench.makespan().await?;
        output.note(format!("{} workers that lack it", all - right));
        let begun = Instant::now();
        bench.start_workers(right, all).await?;
        let started_s = begun.elapsed().as_secs_f64();
        let idle = bench.idle().await?;
        output.note(format!("{} runs a second", flags.rate));
        let all_handlers = flags.handlers.get();
        let waits = bench.latency(all_handlers).await?;
        let hot = bench.latency(1).await?;
        let beside_others_s = bench.makespan().await?;
        output.note("a run that nobody has the handler of");
        let grown_bytes_s = bench.growth().await?;
        let memory = bench
            .workers
            .iter()
            .map(|worker| usage::memory(worker.pid()));
        let memory: anyhow::Result<Vec<_>> = memory.collect();
        Ok(Report {
            machine: Hardware::here(),
            broker: stack.version(),
            servers: bench.stack.pids()?.len(),
            workers: all,
            slots: slots(0, all),
            handlers: flags.handlers.get(),
            started_s,
            idle,
            first_start_ms: Spread::of(&waits),
            hot_start_ms: Spread::of(&hot),
            runs_a_second: flags.rate.get(),
            special: Special {
                workers: right,
                shards,
                ideal_s: f64::from(SHARDS_A_SLOT) * SHARD.as_secs_f64(),
                alone_s,
                beside_others_s,
                ratio: beside_others_s / alone_s,
            },
            grown_bytes_s,
            takeovers: lock(&takeovers).clone(),
            worker_mib: memory?.iter().map(|memory| memory.resident_mib).sum(),
        })
    }

    /// Starts the workers from number `from` up to `to`, and waits until all are heard.
    async fn start_workers(&mut self, from: u32, to: u32) -> anyhow::Result<()> {
        let many = self.flags.per_process.get();
        let heard = tokio::spawn({
            let broker = self.broker.clone();
            async move { stack::workers_are_there(&broker, to).await }
        });
        for first in (from..to).step_by(many as usize) {
            let more = [
                ("--first", first),
                ("--count", many.min(to - first)),
                ("--handlers", self.flags.handlers.get()),
                ("--special", self.flags.right.get()),
            ];
            let more: Vec<String> = more
                .iter()
                .flat_map(|(flag, value)| [(*flag).to_owned(), value.to_string()])
                .collect();
            let name = format!("workers-{first}");
            let process = self.stack.child_with("lane-workers", &name, &more).await?;
            self.workers.push(process);
        }
        heard.await?
    }

    /// Seconds from the submission to the end of the job that only some can run; the median.
    async fn makespan(&mut self) -> anyhow::Result<f64> {
        let mut times = Vec::new();
        for _ in 0..self.flags.rounds.get() {
            times.push(self.special().await?);
        }
        Ok(median(times))
    }

    async fn special(&mut self) -> anyhow::Result<f64> {
        // Runs of another part may still be ending.
        let before = self.submitted;
        self.plans.until(|seen| seen.succeeded >= before).await?;
        let begun = Instant::now();
        let params = json!({ "params": { "sleep_ms": SHARD.as_millis() as u64 } });
        self.submit(worker::SPECIAL, params).await?;
        self.plans.until(|seen| seen.succeeded > before).await?;
        Ok(begun.elapsed().as_secs_f64())
    }

    async fn submit(&mut self, job: &str, body: serde_json::Value) -> anyhow::Result<()> {
        let subject = self.broker.subjects().submit_to(&JobName::new(job)?);
        self.broker
            .append(subject, body.to_string().into(), None)
            .await?;
        self.submitted += 1;
        Ok(())
    }

    /// What everybody takes while nothing happens.
    async fn idle(&self) -> anyhow::Result<Load> {
        tokio::time::sleep(SETTLE).await;
        let (before, begun) = (self.used()?, Instant::now());
        let seconds = Duration::from_secs(u64::from(self.flags.seconds.get()));
        tokio::time::sleep(seconds).await;
        let (after, passed) = (self.used()?, begun.elapsed().as_secs_f64());
        Ok(Load {
            brokers: (after.brokers - before.brokers) / passed,
            planner: (after.planner - before.planner) / passed,
            workers: (after.workers - before.workers) / passed,
        })
    }

    fn used(&self) -> anyhow::Result<Load> {
        let mut used = Load {
            planner: usage::cpu_seconds(self.planner.pid())?,
            ..Load::default()
        };
        for pid in self.stack.pids()? {
            used.brokers += usage::cpu_seconds(pid)?;
        }
        for worker in &self.workers {
            used.workers += usage::cpu_seconds(worker.pid())?;
        }
        Ok(used)
    }

    /// How long runs of one shard, of the first `handlers` in no order, wait for their start, in
    /// milliseconds, in ascending order.
    async fn latency(&mut self, handlers: u32) -> anyhow::Result<Vec<f64>> {
        let client = async_nats::connect(self.stack.first_url()).await?;
        let mut starts = client.subscribe(worker::STARTS).await?;
        let runs = u64::from(self.flags.rate.get()) * u64::from(self.flags.seconds.get());
        let heard = tokio::spawn(async move {
            let mut waits = BTreeMap::new();
            while (waits.len() as u64) < runs {
                let Ok(Some(start)) = timeout(PATIENCE, starts.next()).await else {
                    break;
                };
                if let Ok(start) = serde_json::from_slice::<worker::Start>(&start.payload) {
                    waits.entry(start.number).or_insert(start.waited_ns);
                }
            }
            waits
        });
        let mut ticks = interval(Duration::from_secs(1) / self.flags.rate.get());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for number in 0..runs {
            ticks.tick().await;
            let handler = scattered(number) % u64::from(handlers);
            let sent_ns = u64::try_from(Boot::now().0.as_nanos())?;
            let body = json!({ "params": { "number": number, "sent_ns": sent_ns } });
            self.submit(&worker::handler(handler as u32), body).await?;
        }
        let waits = heard.await?;
        ensure!(
            waits.len() as u64 == runs,
            "{} of {runs} runs have started a shard",
            waits.len()
        );
        let mut waits: Vec<f64> = waits.into_values().map(|ns| ns as f64 / 1e6).collect();
        waits.sort_by(f64::total_cmp);
        Ok(waits)
    }

    /// By how much the ledger grows in a second while a run waits that nobody can work at.
    async fn growth(&mut self) -> anyhow::Result<f64> {
        let ledger = self.broker.subjects().ledger();
        self.submit("nobodys", json!({})).await?;
        tokio::time::sleep(SETTLE).await;
        let before = self.broker.info(&ledger).await?;
        let seconds = u64::from(self.flags.seconds.get());
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let after = self.broker.info(&ledger).await?;
        ensure!(after.last_seq > 0, "the ledger is empty");
        Ok((after.bytes as f64 - before.bytes as f64) / seconds as f64)
    }
}

fn lock(takeovers: &Mutex<Takeovers>) -> MutexGuard<'_, Takeovers> {
    takeovers.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A job called as its handler.
async fn define(broker: &Broker, name: &str, shards: u32) -> anyhow::Result<()> {
    let spec = parse::from_value(json!({
        "name": name,
        "handler": name,
        "queue": QUEUE,
        "grid": { "slices": 1, "pages": { "count": shards }, "tile": 1 },
    }))?;
    stack::define(broker, &spec).await
}

/// Counts takeovers from now on.
async fn count_takeovers(broker: &Broker) -> anyhow::Result<Arc<Mutex<Takeovers>>> {
    let mut heard = broker
        .subscribe(broker.subjects().ledgers_by(Author::Takeover))
        .await
        .context("listen to takeovers")?;
    let count = Arc::<Mutex<Takeovers>>::default();
    let counter = Arc::clone(&count);
    let subjects = broker.subjects().clone();
    tokio::spawn(async move {
        while let Some(message) = heard.next().await {
            let of = subjects.parse_ledger(&message.subject);
            let record = wire::decode::<Takeover>(&message.payload);
            let (Some((_, run, _)), Ok(record)) = (of, record) else {
                continue;
            };
            let what = format!("{} {:?}", run.job(), record.reason);
            *lock(&counter).entry(what).or_default() += record.tiles.len() as u64;
        }
    });
    Ok(count)
}

/// A number that looks random and is always the same.
fn scattered(number: u64) -> u64 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33
}

impl Report {
    fn show(&self, output: &Output) {
        output.show(self, |output| {
            let machine = &self.machine;
            output.say(format!(
                "{}; nats-server {}, {}; {} workers with {} slots, {} handlers each",
                machine,
                self.broker,
                if self.servers == 1 {
                    "alone"
                } else {
                    "three of them"
                },
                self.workers,
                self.slots,
                self.handlers,
            ));
            output.say("");
            output.table(&self.table(), "nothing was measured");
        });
    }

    fn taken_over(&self) -> String {
        let each = self.takeovers.iter();
        let each: Vec<String> = each
            .map(|(what, tiles)| format!("{what} {tiles}"))
            .collect();
        let all = grouped(self.takeovers.values().sum());
        if each.is_empty() {
            all
        } else {
            format!("{all}: {}", each.join(", "))
        }
    }

    fn table(&self) -> Table {
        let percent = |part: f64| format!("{:.0} %", part * 100.0);
        let (idle, special) = (&self.idle, &self.special);
        let starts = |spread: &Spread| {
            format!(
                "p50 {:.1}, p99 {:.1}, max {:.1} ms",
                spread.p50, spread.p99, spread.max
            )
        };
        let mut table = Table::new([
            ("", Align::Left),
            ("wanted", Align::Left),
            ("reached", Align::Left),
        ]);
        for (what, wanted, reached) in [
            (
                "of a core, while nothing happens".to_owned(),
                "",
                format!(
                    "brokers {}, workers {}, planner {}",
                    percent(idle.brokers),
                    percent(idle.workers),
                    percent(idle.planner)
                ),
            ),
            (
                "memory of all workers".to_owned(),
                "",
                format!("{:.0} MiB", self.worker_mib),
            ),
            (
                format!(
                    "runs of one shard, {} a second, to their start",
                    self.runs_a_second
                ),
                "",
                starts(&self.first_start_ms),
            ),
            (
                "the same, all of one handler".to_owned(),
                "",
                starts(&self.hot_start_ms),
            ),
            (
                format!(
                    "{} shards of {} ms for {} workers, beside the others and without",
                    grouped(special.shards.into()),
                    SHARD.as_millis(),
                    special.workers
                ),
                "1.1 times",
                format!(
                    "{:.2} and {:.2} s (ideal {:.2}): {:.2} times",
                    special.beside_others_s, special.alone_s, special.ideal_s, special.ratio
                ),
            ),
            ("tiles taken over".to_owned(), "0", self.taken_over()),
            (
                "growth of the ledger while nobody can work".to_owned(),
                "0",
                format!("{:.0} bytes a second", self.grown_bytes_s),
            ),
        ] {
            table.row([what, wanted.to_owned(), reached]);
        }
        table
    }
}
