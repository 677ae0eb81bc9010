//! Whether the slots of two workers are busy all the time with shards that take time, and how close the end of a run whose
//! shards differ comes to what is possible.
//!
//! | room | what it is |
//! |------|------------|
//! | [`duration`] | how long each shard takes |
//! | [`worker`] | the workers: their shards sleep |
//! | [`nap`] | how they sleep |
//! | [`bare`] | the same sleeping without an engine |
//!
//! A busy machine wakes late: so what counts is how much of the slots' time handlers had (`busy`), beside the rate and that
//! of bare loops.

use std::time::Duration;

use anyhow::{Context, ensure};
use async_nats::Client;
use gridloom_cli::embedded::SYNC_ALWAYS;
use gridloom_cli::output::{Align, Output, Table, grouped};
use serde::Serialize;
use serde_json::json;

use crate::args::WorkFlags;
use crate::engine::Engine;
use crate::stack::{self, Process, QUEUE, Stack};
use crate::stats::median;
use crate::usage::{self, Hardware, Machine};

pub(crate) mod bare;
mod duration;
mod nap;
pub(crate) mod worker;

use duration::{Params, SLICES};
use worker::Done;

/// Worker processes.
const WORKERS: u32 = 2;
/// Median and spread of shards that differ, and how many times as long the slow slice takes.
const SKEWED_MS: u32 = 5;
const SIGMA: f64 = 1.0;
const LONGER: f64 = 10.0;
/// Runs that are not measured: the planner learns how long shards take.
const WARM_UP_S: f64 = 1.0;

#[derive(Debug, Serialize)]
struct Report {
    machine: Hardware,
    broker: String,
    /// Part of the machine that something else used, 0 to 1.
    others: f64,
    even: Vec<Even>,
    skewed: Vec<Skewed>,
}

/// Shards that take the same.
#[derive(Debug, Default, Serialize)]
struct Even {
    slots: u32,
    ms: u32,
    shards: u64,
    /// Round by round.
    rate: Vec<f64>,
    /// Part of the slots' time in which a handler ran, 0 to 1.
    busy: Vec<f64>,
    /// Turns a second of bare loops.
    bare: Vec<f64>,
    /// Processor seconds a second of broker, planner and workers.
    cores: Vec<f64>,
}

/// Shards that differ.
#[derive(Debug, Default, Serialize)]
struct Skewed {
    slots: u32,
    /// Which slice takes longer.
    slow: u32,
    shards: u64,
    bound_s: f64,
    makespan_s: Vec<f64>,
    /// The same bound from what handlers really took.
    to_bound: Vec<f64>,
}

/// Measures, and prints the report.
///
/// # Errors
/// When a process cannot be started, ends, or does not do what was asked of it.
pub(crate) async fn run(output: &Output, flags: &WorkFlags) -> anyhow::Result<()> {
    let (before, mut used) = (Machine::now()?, 0.0);
    let mut report = Report {
        machine: Hardware::here(),
        broker: String::new(),
        others: 0.0,
        even: Vec::new(),
        skewed: Vec::new(),
    };
    for slots in &flags.slots {
        let mut bench = Bench::start(output, slots.get()).await?;
        report.broker = bench.stack.version();
        for ms in &flags.durations {
            report.even.push(bench.even(output, flags, ms.get()).await?);
        }
        for slow in [0, SLICES - 1] {
            report.skewed.push(bench.skewed(output, flags, slow).await?);
        }
        used += bench.used()?;
        bench.stop().await?;
    }
    report.others = Machine::now()?.others(before, used);
    report.show(output);
    Ok(())
}

/// Broker, planner and two workers.
struct Bench {
    stack: Stack,
    planner: Process,
    workers: Vec<Process>,
    engine: Engine,
    client: Client,
    slots: u32,
    /// Numbers of the measurements.
    tag: u32,
}

impl Bench {
    async fn start(output: &Output, slots: u32) -> anyhow::Result<Bench> {
        ensure!(
            slots.is_multiple_of(WORKERS),
            "slots are of {WORKERS} workers"
        );
        let stack = Stack::start(output, SYNC_ALWAYS).await?;
        let planner = stack.planner("memory").await?;
        let broker = stack.connect().await?;
        let mut workers = Vec::new();
        for number in 0..WORKERS {
            let more = ["--concurrency".to_owned(), (slots / WORKERS).to_string()];
            let name = format!("worker-{number}");
            workers.push(stack.child_with("work-worker", &name, &more).await?);
        }
        stack::workers_are_there(&broker, WORKERS).await?;
        Ok(Bench {
            client: async_nats::connect(stack.url()).await?,
            engine: Engine::new(broker).await?,
            stack,
            planner,
            workers,
            slots,
            tag: 0,
        })
    }

    /// Processor seconds of all that is measured.
    fn used(&self) -> anyhow::Result<f64> {
        let workers = self.workers.iter().map(Process::pid);
        let pids = workers.chain([self.planner.pid(), self.stack.pid()?]);
        pids.map(usage::cpu_seconds).sum()
    }

    /// One run of `pages` a slice: how long it took, and what the workers did.
    async fn once(
        &mut self,
        name: &str,
        pages: u32,
        mut params: Params,
    ) -> anyhow::Result<(Duration, Done)> {
        self.tag += 1;
        params.tag = self.tag;
        let grid = self
            .engine
            .apply_job(json!({
                "name": name,
                "handler": worker::HANDLER,
                "queue": QUEUE,
                "grid": { "slices": SLICES, "pages": { "count": pages } },
            }))
            .await?;
        let body = json!({ "params": params });
        let took = self.engine.measure_with(&grid, body, |_| {}).await?;
        let done = self.done(params.tag).await?;
        ensure!(
            done.shards == grid.shards,
            "{} of {} shards were executed",
            done.shards,
            grid.shards
        );
        Ok((took, done))
    }

    /// What both workers did of a measurement.
    async fn done(&self, tag: u32) -> anyhow::Result<Done> {
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await?;
        let body = tag.to_string().into();
        self.client
            .publish_with_reply(worker::ASKED, inbox, body)
            .await?;
        let mut all = Done::default();
        for _ in 0..WORKERS {
            let next = futures_util::StreamExt::next(&mut answers);
            let answer = tokio::time::timeout(Duration::from_secs(10), next).await?;
            let answer = answer.context("hear what a worker did")?;
            all = all + serde_json::from_slice::<Done>(&answer.payload)?;
        }
        Ok(all)
    }

    async fn even(&mut self, output: &Output, flags: &WorkFlags, ms: u32) -> anyhow::Result<Even> {
        let params = Params {
            tag: 0,
            ms,
            sigma: 0.0,
            slow: None,
        };
        let pages = |seconds: f64| pages(self.slots, seconds, f64::from(ms));
        let (warm, pages) = (pages(WARM_UP_S), pages(f64::from(flags.seconds.get())));
        let mut even = Even {
            slots: self.slots,
            ms,
            shards: u64::from(pages * SLICES),
            ..Even::default()
        };
        let name = format!("even-{ms}");
        self.once(&format!("warm-{ms}"), warm, params).await?;
        for _ in 0..flags.rounds.get() {
            let bare = bare::measure(&self.stack, &self.client, self.slots, ms).await?;
            let before = self.used()?;
            let (took, done) = self.once(&name, pages, params).await?;
            let took = took.as_secs_f64();
            even.cores.push((self.used()? - before) / took);
            even.bare.push(bare);
            even.rate.push(even.shards as f64 / took);
            even.busy
                .push(done.busy.as_secs_f64() / (took * f64::from(self.slots)));
        }
        output.note(format!("{even:?}"));
        Ok(even)
    }

    async fn skewed(
        &mut self,
        output: &Output,
        flags: &WorkFlags,
        slow: u32,
    ) -> anyhow::Result<Skewed> {
        let params = Params {
            tag: 0,
            ms: SKEWED_MS,
            sigma: SIGMA,
            slow: Some((slow, LONGER)),
        };
        let mean = f64::from(SKEWED_MS) * (SIGMA * SIGMA / 2.0).exp();
        let mean = mean * (f64::from(SLICES) - 1.0 + LONGER) / f64::from(SLICES);
        let pages = pages(self.slots, f64::from(flags.skewed_seconds.get()), mean);
        let (total, longest) = params.total(pages);
        let bound = |total: Duration| {
            let shared = total.as_secs_f64() / f64::from(self.slots);
            shared.max(longest.as_secs_f64())
        };
        let mut skewed = Skewed {
            slots: self.slots,
            slow,
            shards: u64::from(pages * SLICES),
            bound_s: bound(total),
            ..Skewed::default()
        };
        let slots = self.slots;
        for _ in 0..flags.rounds.get() {
            let name = format!("skewed-{slow}");
            let (took, done) = self.once(&name, pages, params).await?;
            let really = done.busy.as_secs_f64() / f64::from(slots);
            skewed.makespan_s.push(took.as_secs_f64());
            skewed
                .to_bound
                .push(took.as_secs_f64() / really.max(longest.as_secs_f64()));
        }
        output.note(format!("{skewed:?}"));
        Ok(skewed)
    }

    async fn stop(self) -> anyhow::Result<()> {
        drop((self.planner, self.workers));
        self.stack.stop().await
    }
}

/// Pages of a slice that keep `slots` busy for so many seconds.
fn pages(slots: u32, seconds: f64, ms: f64) -> u32 {
    (f64::from(slots) * seconds * 1_000.0 / ms / f64::from(SLICES)).ceil() as u32
}

impl Report {
    fn show(&self, output: &Output) {
        output.show(self, |output| {
            output.say(format!(
                "{}; nats-server {}; two workers; others had {:.0} % of the machine; medians of the rounds",
                self.machine,
                self.broker,
                self.others * 100.0,
            ));
            output.say("");
            output.table(&self.even(), "nothing was measured");
            output.say("");
            output.table(&self.skewed(), "nothing was measured");
        });
    }

    fn even(&self) -> Table {
        let right = Align::Right;
        let mut table = Table::new([
            ("slots", right),
            ("shards of", right),
            ("shards/s", right),
            ("of slots / duration", right),
            ("slots busy", right),
            ("bare loops/s", right),
            ("of these", right),
            ("cores", right),
        ]);
        for even in &self.even {
            let of = |all: &[f64]| median(all.iter().copied());
            let (rate, bare) = (of(&even.rate), of(&even.bare));
            let ideal = f64::from(even.slots) * 1_000.0 / f64::from(even.ms);
            table.row([
                even.slots.to_string(),
                format!("{} ms", even.ms),
                grouped(rate as u64),
                format!("{:.3}", rate / ideal),
                format!("{:.3}", of(&even.busy)),
                grouped(bare as u64),
                format!("{:.3}", rate / bare),
                format!("{:.2}", of(&even.cores)),
            ]);
        }
        table
    }

    fn skewed(&self) -> Table {
        let right = Align::Right;
        let mut table = Table::new([
            ("slots", right),
            ("slow slice", Align::Left),
            ("shards", right),
            ("bound s", right),
            ("makespan s", right),
            ("to the bound", right),
            ("to that of what handlers took", right),
        ]);
        for skewed in &self.skewed {
            let makespan = median(skewed.makespan_s.iter().copied());
            table.row([
                skewed.slots.to_string(),
                if skewed.slow == 0 {
                    "the first"
                } else {
                    "the last"
                }
                .to_owned(),
                grouped(skewed.shards),
                format!("{:.2}", skewed.bound_s),
                format!("{makespan:.2}"),
                format!("{:.3}", makespan / skewed.bound_s),
                format!("{:.3}", median(skewed.to_bound.iter().copied())),
            ]);
        }
        table
    }
}
