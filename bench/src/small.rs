//! Runs of one shard that are submitted one by one: how many a second are done from end to end, what one of them costs
//! in processor time over all processes, and how long one waits for its start at a rate that is given.
//!
//! Every run is audited from the raw ledger afterwards: one that is not whole is no measurement.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures_util::{StreamExt, TryStreamExt};
use gridloom_cli::output::{Align, Output, Table, grouped};
use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::job::parse;
use gridloom_shared::ledger::audit::Audit;
use gridloom_shared::reads::ledger::{Span, walk};
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use crate::args::{Kept, LatencyFlags, SmallFlags};
use crate::latency;
use crate::stack::{self, Process, QUEUE, Stack};
use crate::stats::{Spread, median};
use crate::usage::{self, Hardware, Watch};

/// Tiles that the worker runs at once.
const SLOTS: u32 = 1_000;
/// Runs before those that are measured.
const WARM_UP: u32 = 2_000;
/// How long nothing may change before the last run is over.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at whether all is over.
const LOOK: Duration = Duration::from_millis(50);
/// Nothing has changed for so long where all is over.
pub(crate) const STOOD: Duration = Duration::from_millis(500);

#[derive(Debug, Serialize)]
struct Report {
    machine: Hardware,
    broker: String,
    jetstream: String,
    runs: u32,
    /// Submissions on their way at once.
    window: u32,
    /// Part of the machine that something else used, 0 to 1.
    others: f64,
    rounds: Vec<Round>,
    paced: Vec<Paced>,
}

/// As many as go.
#[derive(Clone, Copy, Debug, Serialize)]
struct Round {
    runs_per_second: f64,
    /// Processor time of one run, in milliseconds.
    cost_ms: Cost,
    /// Records of the ledger that one run has.
    records: f64,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Cost {
    planner: f64,
    worker: f64,
    broker: f64,
    /// This process, which submits.
    submitter: f64,
}

/// So many a second.
#[derive(Debug, Serialize)]
struct Paced {
    rate: u32,
    /// Submission to first line of the handler, in milliseconds.
    first_start_ms: Spread,
}

/// Measures, and prints the report.
///
/// # Errors
/// When a process cannot be started, or a run is not whole in the end.
pub(crate) async fn run(output: &Output, flags: &SmallFlags) -> anyhow::Result<()> {
    let watch = Watch::begin()?;
    let mut report = Report {
        machine: Hardware::here(),
        broker: String::new(),
        jetstream: flags.jetstream.clone(),
        runs: flags.runs.get(),
        window: flags.window.get(),
        others: 0.0,
        rounds: Vec::new(),
        paced: Vec::new(),
    };
    for number in 1..=flags.rounds {
        output.note(format!("round {number} of {}", flags.rounds));
        let stack = Stack::start(output, &flags.jetstream).await?;
        report.broker = stack.version();
        report.rounds.push(most(&stack, flags).await?);
        stack.stop().await?;
    }
    for rate in &flags.rates {
        let paced = LatencyFlags {
            rate: *rate,
            seconds: flags.seconds,
            shards: std::num::NonZeroU32::MIN,
            storage: Kept::Memory,
        };
        let first_start_ms = latency::first_starts(output, &paced, &flags.jetstream).await?;
        report.paced.push(Paced {
            rate: rate.get(),
            first_start_ms,
        });
    }
    report.others = watch.others()?;
    report.show(output);
    Ok(())
}

/// The processes whose time counts.
struct Parts {
    planner: Process,
    worker: Process,
}

impl Parts {
    fn used(&self, stack: &Stack) -> anyhow::Result<Cost> {
        Ok(Cost {
            planner: usage::cpu_seconds(self.planner.pid())?,
            worker: usage::cpu_seconds(self.worker.pid())?,
            broker: usage::cpu_seconds(stack.pid()?)?,
            submitter: usage::cpu_seconds(std::process::id())?,
        })
    }
}

impl Cost {
    fn of_each(self, before: Cost, runs: f64) -> Cost {
        let each = |after: f64, before: f64| (after - before) * 1_000.0 / runs;
        Cost {
            planner: each(self.planner, before.planner),
            worker: each(self.worker, before.worker),
            broker: each(self.broker, before.broker),
            submitter: each(self.submitter, before.submitter),
        }
    }

    fn sum(self) -> f64 {
        self.planner + self.worker + self.broker + self.submitter
    }
}

async fn most(stack: &Stack, flags: &SmallFlags) -> anyhow::Result<Round> {
    let parts = Parts {
        planner: stack.planner("memory").await?,
        worker: stack.worker(0, SLOTS).await?,
    };
    let broker = stack.connect().await?;
    stack::workers_are_there(&broker, 1).await?;
    let spec = parse::from_value(json!({
        "name": "small",
        "handler": "noop",
        "queue": QUEUE,
        "grid": { "slices": 1, "pages": { "count": 1 } },
    }))?;
    stack::define(&broker, &spec).await?;

    submit(&broker, &spec.name, WARM_UP, flags.window.get()).await?;
    over(&broker).await?;
    let (from, before) = (
        broker.info(&broker.subjects().ledger()).await?.last_seq,
        parts.used(stack)?,
    );
    let (begun, runs) = (UnixMs::now(), flags.runs.get());
    submit(&broker, &spec.name, runs, flags.window.get()).await?;
    over(&broker).await?;
    let after = parts.used(stack)?;
    let (records, last) = audited(&broker, from, runs).await?;
    Ok(Round {
        runs_per_second: f64::from(runs) / (last.0.saturating_sub(begun.0) as f64 / 1e3),
        cost_ms: after.of_each(before, f64::from(runs)),
        records: records as f64 / f64::from(runs),
    })
}

/// Submits runs of `job`, `window` on their way at once.
pub(crate) async fn submit(
    broker: &Broker,
    job: &JobName,
    runs: u32,
    window: u32,
) -> anyhow::Result<()> {
    let subject = broker.subjects().submit_to(job);
    let all = futures_util::stream::iter(0..runs).map(|_| {
        let subject = subject.clone();
        async move {
            let stored = broker.append(subject, "{}".into(), None).await;
            stored.map(drop).context("submit")
        }
    });
    all.buffer_unordered(window as usize).try_collect().await
}

/// Waits until nothing of any run is left to do.
pub(crate) async fn over(broker: &Broker) -> anyhow::Result<()> {
    let (ledger, submit, shards) = {
        let subjects = broker.subjects();
        (subjects.ledger(), subjects.submit(), subjects.shards())
    };
    let give_up = Instant::now() + PATIENCE;
    let (mut stood, mut since) = (0, Instant::now());
    loop {
        tokio::time::sleep(LOOK).await;
        let waiting = broker.info(&submit).await?.messages;
        // The register stays.
        let queued = broker.info(&shards).await?.messages;
        let last = broker.info(&ledger).await?.last_seq;
        if waiting > 0 || queued > 1 || last != stood {
            (stood, since) = (last, Instant::now());
        } else if since.elapsed() > STOOD {
            return Ok(());
        }
        if Instant::now() > give_up + Duration::from_secs(120) {
            bail!("{waiting} submissions and {queued} tiles are left");
        }
    }
}

/// How many records there are behind `from`, and when the last was written.
async fn audited(broker: &Broker, from: u64, runs: u32) -> anyhow::Result<(u64, UnixMs)> {
    let mut audits: HashMap<RunId, Audit> = HashMap::new();
    let (mut records, mut last) = (0, UnixMs(0));
    let span = Span::of_all(broker.subjects()).starting_at(from + 1);
    walk(broker, span, |entry| {
        (records, last) = (records + 1, last.max(entry.at));
        let audit = audits.entry(entry.run.clone());
        let audit = audit.or_insert_with(|| Audit::new(entry.run.clone()));
        audit.read(entry.sequence, entry.record.as_ref().ok());
    })
    .await?;
    ensure!(
        audits.len() == runs as usize,
        "{} runs of {runs}",
        audits.len()
    );
    for (run, audit) in audits {
        let report = audit.report();
        ensure!(
            report.ok && report.ended.is_some(),
            "run {run} is not whole: {report:?}"
        );
    }
    Ok((records, last))
}

impl Report {
    fn show(&self, output: &Output) {
        output.show(self, |output| {
            let machine = &self.machine;
            let lines = match self.jetstream.as_str() {
                "" => "nats-server's own interval of flushes",
                lines => lines,
            };
            output.say(format!(
                "{machine}; nats-server {}; {lines}; others had {:.0} % of the machine",
                self.broker,
                self.others * 100.0
            ));
            output.say("");
            self.show_most(output);
            let mut table = Table::new([
                ("submit to first start, ms", Align::Left),
                ("p50", Align::Right),
                ("p90", Align::Right),
                ("p99", Align::Right),
                ("max", Align::Right),
            ]);
            for Paced {
                rate,
                first_start_ms: spread,
            } in &self.paced
            {
                let ms = |value: f64| format!("{value:.2}");
                let of = format!("{} runs/s", grouped(u64::from(*rate)));
                table.row([
                    of,
                    ms(spread.p50),
                    ms(spread.p90),
                    ms(spread.p99),
                    ms(spread.max),
                ]);
            }
            output.table(&table, "no rate was measured");
        });
    }

    fn show_most(&self, output: &Output) {
        let of = |value: &dyn Fn(&Round) -> f64| median(self.rounds.iter().map(value));
        let mut table = Table::new([("runs of one shard", Align::Left), ("median", Align::Right)]);
        let ms = |name: &str, value: f64| {
            [
                format!("ms of processor a run: {name}"),
                format!("{value:.3}"),
            ]
        };
        table.row([
            format!(
                "a second ({} of them, {} submissions at once)",
                grouped(u64::from(self.runs)),
                self.window
            ),
            grouped(of(&|round| round.runs_per_second) as u64),
        ]);
        table.row(ms("all", of(&|round| round.cost_ms.sum())));
        table.row(ms("planner", of(&|round| round.cost_ms.planner)));
        table.row(ms("worker", of(&|round| round.cost_ms.worker)));
        table.row(ms("broker", of(&|round| round.cost_ms.broker)));
        table.row(ms("submitter", of(&|round| round.cost_ms.submitter)));
        table.row([
            "records of the ledger a run".into(),
            format!("{:.2}", of(&|round| round.records)),
        ]);
        output.table(&table, "nothing was measured");
        output.say("");
    }
}
