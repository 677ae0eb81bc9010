//! How long a small run waits for its first shard while many are submitted: from the moment in which
//! the submission is handed to the client to the first line of the handler.
//!
//! Both moments are read on the boot clock of this machine, which all processes share. Submissions
//! leave at fixed times, whether or not earlier ones were answered, so a stall is counted in full.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use gridloom_cli::output::{Align, Output, Table, grouped};
use gridloom_shared::broker::Broker;
use gridloom_shared::clock::Boot;
use gridloom_shared::id::JobName;
use gridloom_shared::job::parse;
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::args::LatencyFlags;
use crate::stack::{self, QUEUE, Stack};
use crate::stats::Spread;
use crate::usage::{self, Hardware, Watch};

pub(crate) mod worker;

/// Submissions before this moment are not counted.
const WARM_UP: Duration = Duration::from_secs(2);
/// How long the last runs may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    machine: Hardware,
    broker: String,
    submissions_per_second: u32,
    shards_a_run: u32,
    runs: usize,
    /// Part of the machine that something else used, 0 to 1.
    others: f64,
    /// Submission to first shard start, in milliseconds.
    first_start_ms: Spread,
    /// Processor seconds a second of planner, worker and broker.
    load: Load,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Load {
    planner: f64,
    worker: f64,
    broker: f64,
}

/// Measures, and prints the report.
///
/// # Errors
/// When a process cannot be started, or a submission has no run.
pub(crate) async fn run(output: &Output, flags: &LatencyFlags) -> anyhow::Result<()> {
    let stack = Stack::start(output, "").await?;
    let planner = stack.planner(flags.storage.word()).await?;
    let worker = stack.child("stamp-worker").await?;
    let broker = stack.connect().await?;
    stack::workers_are_there(&broker, 1).await?;
    let job = apply(&broker, flags.shards.get()).await?;

    let used = || -> anyhow::Result<Load> {
        Ok(Load {
            planner: usage::cpu_seconds(planner.pid())?,
            worker: usage::cpu_seconds(worker.pid())?,
            broker: usage::cpu_seconds(stack.pid()?)?,
        })
    };
    output.note(format!(
        "{} submissions a second for {} s",
        flags.rate, flags.seconds
    ));
    let (watch, before, begun) = (Watch::begin()?, used()?, Boot::now());
    let counted = submit(&broker, &job, flags).await?;
    let (after, seconds) = (used()?, Boot::now().since(begun).as_secs_f64());
    let others = watch.others()?;
    let starts = worker::starts(&stack.url(), counted.end, PATIENCE).await?;
    let waits = waits(&starts, counted)?;
    let report = Report {
        machine: Hardware::here(),
        broker: stack.version(),
        submissions_per_second: flags.rate.get(),
        shards_a_run: flags.shards.get(),
        runs: waits.len(),
        others,
        first_start_ms: Spread::of(&waits),
        load: Load {
            planner: (after.planner - before.planner) / seconds,
            worker: (after.worker - before.worker) / seconds,
            broker: (after.broker - before.broker) / seconds,
        },
    };
    stack.stop().await?;
    report.show(output);
    Ok(())
}

/// Milliseconds from submission to first start, by ones that are measured alone.
pub(crate) async fn first_starts(
    output: &Output,
    flags: &LatencyFlags,
    jetstream: &str,
) -> anyhow::Result<Spread> {
    let stack = Stack::start(output, jetstream).await?;
    let _planner = stack.planner(flags.storage.word()).await?;
    let _worker = stack.child("stamp-worker").await?;
    let broker = stack.connect().await?;
    stack::workers_are_there(&broker, 1).await?;
    let job = apply(&broker, flags.shards.get()).await?;
    let counted = submit(&broker, &job, flags).await?;
    let starts = worker::starts(&stack.url(), counted.end, PATIENCE).await?;
    let waits = waits(&starts, counted)?;
    stack.stop().await?;
    Ok(Spread::of(&waits))
}

pub(crate) async fn apply(broker: &Broker, shards: u32) -> anyhow::Result<JobName> {
    let spec = parse::from_value(json!({
        "name": "stamp",
        "handler": worker::HANDLER,
        "queue": QUEUE,
        "grid": { "slices": shards, "pages": { "count": 1 } },
    }))?;
    stack::define(broker, &spec).await?;
    Ok(spec.name)
}

/// Submits at the wanted rate. Returns the numbers of those that count.
pub(crate) async fn submit(
    broker: &Broker,
    job: &JobName,
    flags: &LatencyFlags,
) -> anyhow::Result<std::ops::Range<u64>> {
    let rate = u64::from(flags.rate.get());
    let skipped = rate * WARM_UP.as_secs();
    let end = skipped + rate * u64::from(flags.seconds.get());
    let mut ticks = interval(Duration::from_secs(1) / flags.rate.get());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sent = JoinSet::new();
    for number in 0..end {
        ticks.tick().await;
        let (broker, subject) = (broker.clone(), broker.subjects().submit_to(job));
        sent.spawn(async move {
            let now = u64::try_from(Boot::now().0.as_nanos())?;
            let body = json!({ "params": { "number": number, "sent_ns": now } });
            broker
                .append(subject, body.to_string().into(), None)
                .await?;
            anyhow::Ok(())
        });
        while let Some(done) = sent.try_join_next() {
            done??;
        }
    }
    while let Some(done) = sent.join_next().await {
        done??;
    }
    Ok(skipped..end)
}

/// Milliseconds that each counted run waited for its first shard, in ascending order.
pub(crate) fn waits(
    starts: &[worker::Start],
    counted: std::ops::Range<u64>,
) -> anyhow::Result<Vec<f64>> {
    let mut first = BTreeMap::new();
    for start in starts
        .iter()
        .filter(|start| counted.contains(&start.number))
    {
        let at = first.entry(start.number).or_insert(start.waited_ns);
        *at = start.waited_ns.min(*at);
    }
    let wanted = usize::try_from(counted.end - counted.start).context("count the runs")?;
    ensure!(
        first.len() == wanted,
        "{} of {wanted} runs have started a shard",
        first.len()
    );
    let mut waits: Vec<f64> = first.into_values().map(|ns| ns as f64 / 1e6).collect();
    waits.sort_by(f64::total_cmp);
    Ok(waits)
}

impl Report {
    fn show(&self, output: &Output) {
        output.show(self, |output| {
            let machine = &self.machine;
            output.say(format!(
                "{}; nats-server {}; {} runs of {} shards, {} a second; others had {:.0} % of the machine",
                machine,
                self.broker,
                grouped(self.runs as u64),
                self.shards_a_run,
                self.submissions_per_second,
                self.others * 100.0,
            ));
            output.say("");
            let mut table = Table::new([
                ("submit to first start", Align::Left),
                ("p50", Align::Right),
                ("p90", Align::Right),
                ("p99", Align::Right),
                ("max", Align::Right),
            ]);
            let spread = &self.first_start_ms;
            let ms = |value: f64| format!("{value:.2}");
            table.row([
                "milliseconds".into(),
                ms(spread.p50),
                ms(spread.p90),
                ms(spread.p99),
                ms(spread.max),
            ]);
            output.table(&table, "nothing was measured");
            output.say("");
            let percent = |part: f64| format!("{:.0} %", part * 100.0);
            output.say(format!(
                "of a core: planner {}, worker {}, broker {}",
                percent(self.load.planner),
                percent(self.load.worker),
                percent(self.load.broker),
            ));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(number: u64, waited_ns: u64) -> worker::Start {
        worker::Start { number, waited_ns }
    }

    #[test]
    fn only_the_first_shard_of_each_counted_run_counts() {
        let starts = [
            start(0, 9_000_000),
            start(1, 2_000_000),
            start(1, 1_000_000),
            start(2, 3_000_000),
        ];
        assert_eq!(waits(&starts, 1..3).unwrap(), [1.0, 3.0]);
    }

    #[test]
    fn run_that_never_started_is_no_measurement() {
        assert!(waits(&[start(1, 1)], 1..3).is_err());
    }
}
