//! What durability costs: the broker's interval of flushes, and where the queue is kept, all in one go. In each round
//! every setting is measured once, on a broker of its own, so that a machine that is busy is so for all of them.
//!
//! Submissions are measured before a planner is there: what counts is the time until the broker confirmed one, and what
//! that took of its processor.

use std::num::NonZeroU32;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::try_join_all;
use gridloom_cli::embedded::SYNC_ALWAYS;
use gridloom_cli::output::{Align, Output, Table, grouped};
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::topology::{self, Storage, TopologyOptions};
use gridloom_shared::id::JobName;
use serde::Serialize;

use crate::args::DurabilityFlags;
use crate::engine::Engine;
use crate::open_runs;
use crate::stack::{self, Stack};
use crate::stats::{Spread, median};
use crate::usage::{self, Hardware, Machine};

/// What a run that is not measured has: connections are made, windows have grown.
const WARM_UP: u64 = 10_000;
/// Pages a tile.
const TILES: [u32; 2] = [1, 64];

/// Streams that flush side by side.
const SIDE_BY_SIDE: usize = 4;

/// A setting: what the broker is told, where the queue is, and by how much its runs are smaller.
const SETTINGS: [(&str, &str, Storage, u64); 5] = [
    ("always", SYNC_ALWAYS, Storage::Memory, 1),
    ("always", SYNC_ALWAYS, Storage::File, 10),
    ("a second", "sync_interval: \"1s\"", Storage::Memory, 1),
    ("two minutes", "", Storage::Memory, 1),
    ("two minutes", "", Storage::File, 1),
];

#[derive(Debug, Serialize)]
struct Report {
    machine: Hardware,
    broker: String,
    rounds: u32,
    settings: Vec<Setting>,
}

/// What was found of one setting, round by round.
#[derive(Debug, Serialize)]
struct Setting {
    sync_interval: &'static str,
    queue: &'static str,
    /// From a submission's first byte until the broker has confirmed it, in milliseconds, each alone.
    submission_ms: Vec<Spread>,
    /// What one of them took of the broker's processor, in milliseconds.
    submission_cpu_ms: Vec<f64>,
    /// Confirmed submissions a second, many at once.
    submissions_per_second: Vec<f64>,
    /// The same to [`SIDE_BY_SIDE`] streams of as many namespaces.
    side_by_side_per_second: Vec<f64>,
    /// For each of [`TILES`].
    shards_per_second: [Vec<f64>; TILES.len()],
    /// Most memory that the broker had, in MiB.
    broker_peak_mib: Vec<f64>,
    /// Part of the machine that something else used, 0 to 1.
    others: Vec<f64>,
}

/// Measures, and prints the report.
///
/// # Errors
/// When a process cannot be started, ends, or does not do what was asked of it.
pub(crate) async fn run(output: &Output, flags: &DurabilityFlags) -> anyhow::Result<()> {
    let settings = SETTINGS.map(|(interval, _, storage, _)| Setting::new(interval, storage));
    let mut report = Report {
        machine: Hardware::here(),
        broker: String::new(),
        rounds: flags.rounds.get(),
        settings: settings.into(),
    };
    for round in 1..=flags.rounds.get() {
        for (setting, (_, lines, storage, smaller)) in report.settings.iter_mut().zip(SETTINGS) {
            let stack = Stack::start(output, lines).await?;
            report.broker = stack.version();
            setting.measure(flags, &stack, storage, smaller).await?;
            stack.stop().await?;
            output.note(format!("round {round}: {}", setting.last()));
        }
    }
    report.show(output);
    Ok(())
}

impl Setting {
    fn new(sync_interval: &'static str, storage: Storage) -> Setting {
        Setting {
            sync_interval,
            queue: match storage {
                Storage::Memory => "memory",
                Storage::File => "file",
            },
            submission_ms: Vec::new(),
            submission_cpu_ms: Vec::new(),
            submissions_per_second: Vec::new(),
            side_by_side_per_second: Vec::new(),
            shards_per_second: [Vec::new(), Vec::new()],
            broker_peak_mib: Vec::new(),
            others: Vec::new(),
        }
    }

    async fn measure(
        &mut self,
        flags: &DurabilityFlags,
        stack: &Stack,
        storage: Storage,
        smaller: u64,
    ) -> anyhow::Result<()> {
        let broker = stack.connect().await?;
        let options = TopologyOptions {
            queue_storage: Some(storage),
            ..TopologyOptions::default()
        };
        topology::ensure(&broker, &options).await?;
        self.submissions(stack, &broker, flags.submissions).await?;

        let before = Machine::now()?;
        let mut planner = stack.planner(self.queue).await?;
        let mut worker = stack.worker(0, flags.concurrency.get()).await?;
        stack::workers_are_there(&broker, 1).await?;
        let broker_before = usage::cpu_seconds(stack.pid()?)?;
        let mut engine = Engine::new(broker).await?;
        let warm = engine.apply(WARM_UP / smaller, 1).await?;
        engine.measure(&warm, |_| {}).await?;
        usage::forget_peak(stack.pid()?);
        for (tile, rates) in TILES.iter().zip(&mut self.shards_per_second) {
            let shards = u64::from(flags.shards.get()) * u64::from(*tile) / smaller;
            let grid = engine.apply(shards, *tile).await?;
            let took = engine.measure(&grid, |_| {}).await?;
            rates.push(grid.shards as f64 / took.as_secs_f64());
        }
        let used = usage::cpu_seconds(planner.pid())?
            + usage::cpu_seconds(worker.pid())?
            + usage::cpu_seconds(stack.pid()?)?
            - broker_before;
        self.others.push(Machine::now()?.others(before, used));
        let peak = usage::memory(stack.pid()?)?.peak_mib;
        self.broker_peak_mib.push(peak);
        planner.check()?;
        worker.check()
    }

    /// One after the other, then many at once; no planner is there yet.
    async fn submissions(
        &mut self,
        stack: &Stack,
        broker: &Broker,
        count: NonZeroU32,
    ) -> anyhow::Result<()> {
        let job = JobName::new("nobody")?;
        let to_nobody = broker.subjects().submit_to(&job);
        let mut took = Vec::new();
        let before = usage::cpu_seconds(stack.pid()?)?;
        for _ in 0..count.get() {
            let begun = Instant::now();
            let body = Bytes::from_static(b"{}");
            broker.append(to_nobody.clone(), body, None).await?;
            took.push(begun.elapsed().as_secs_f64() * 1_000.0);
        }
        let used = usage::cpu_seconds(stack.pid()?)? - before;
        self.submission_cpu_ms
            .push(used * 1_000.0 / f64::from(count.get()));
        took.sort_by(f64::total_cmp);
        self.submission_ms.push(Spread::of(&took));
        let begun = Instant::now();
        open_runs::submit(broker, &job, count.get()).await?;
        self.submissions_per_second
            .push(f64::from(count.get()) / begun.elapsed().as_secs_f64());
        self.side_by_side(stack, &job, count).await?;
        let submit = broker.subjects().submit();
        broker.purge(&submit, &to_nobody, 0).await?;
        Ok(())
    }

    /// As many to each of several streams, all at once: whether the disk is what one of them waits for.
    async fn side_by_side(
        &mut self,
        stack: &Stack,
        job: &JobName,
        count: NonZeroU32,
    ) -> anyhow::Result<()> {
        let mut brokers = Vec::new();
        for number in 0..SIDE_BY_SIDE {
            let broker = stack.connect_to(&format!("beside-{number}")).await?;
            topology::ensure(&broker, &TopologyOptions::default()).await?;
            brokers.push(broker);
        }
        let begun = Instant::now();
        let all = brokers
            .iter()
            .map(|broker| open_runs::submit(broker, job, count.get()));
        try_join_all(all).await?;
        let sent = f64::from(count.get()) * SIDE_BY_SIDE as f64;
        self.side_by_side_per_second
            .push(sent / begun.elapsed().as_secs_f64());
        Ok(())
    }

    /// What the last round found.
    fn last(&self) -> String {
        let rates = self.shards_per_second.iter().filter_map(|all| all.last());
        let rates: Vec<String> = rates.map(|rate| grouped(*rate as u64)).collect();
        let submission = self.submission_ms.last().map_or(0.0, |all| all.p50);
        format!(
            "{}, queue in {}: {} shards/s; a submission {submission:.2} ms",
            self.sync_interval,
            self.queue,
            rates.join(" and "),
        )
    }
}

impl Report {
    fn show(&self, output: &Output) {
        output.show(self, |output| {
            output.say(format!(
                "{}; nats-server {}; medians of {} rounds",
                self.machine, self.broker, self.rounds,
            ));
            output.say("");
            output.table(&self.table(), "nothing was measured");
        });
    }

    fn table(&self) -> Table {
        let right = Align::Right;
        let mut table = Table::new([
            ("sync_interval", Align::Left),
            ("queue", Align::Left),
            ("submission ms: p50", right),
            ("p99", right),
            ("processor", right),
            ("many at once /s", right),
            ("to four streams /s", right),
            ("shards/s: 1 a tile", right),
            ("64", right),
            ("broker mib", right),
            ("others", right),
        ]);
        for setting in &self.settings {
            let middle = |all: &[f64]| median(all.iter().copied());
            let of = |get: fn(&Spread) -> f64| median(setting.submission_ms.iter().map(get));
            let whole = |all: &[f64]| grouped(middle(all) as u64);
            table.row([
                setting.sync_interval.to_owned(),
                setting.queue.to_owned(),
                format!("{:.2}", of(|spread| spread.p50)),
                format!("{:.2}", of(|spread| spread.p99)),
                format!("{:.3}", middle(&setting.submission_cpu_ms)),
                whole(&setting.submissions_per_second),
                whole(&setting.side_by_side_per_second),
                whole(&setting.shards_per_second[0]),
                whole(&setting.shards_per_second[1]),
                format!("{:.0}", middle(&setting.broker_peak_mib)),
                format!("{:.0} %", middle(&setting.others) * 100.0),
            ]);
        }
        table
    }
}
