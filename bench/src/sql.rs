//! What a shard in a database costs: one row each, over one server in alternating rounds. A run of the
//! engine with one worker stands beside loops that somebody would write, with the same transaction (key,
//! statement, outcome, commit) on as many connections as the worker has slots; on commit tables of
//! several sizes. And rows that are moved in pages by their key, beside one `INSERT ... SELECT`.
//!
//! Servers are started for it, with commits on the disk.

use gridloom_cli::output::{Align, Output, Table, grouped};
use serde::Serialize;
use serde_json::json;

use crate::args::{Kind, SqlFlags};
use crate::engine::{Engine, Grid};
use crate::stack::{self, Process, QUEUE, Stack};
use crate::stats::median;
use crate::usage::{self, Hardware, Machine};

mod hand;
mod moved;
mod store;

use hand::Loop;
use store::Store;

/// What the worker calls the database.
const NAME: &str = "main";
const SLICES: u32 = 16;

/// A way to do the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Way {
    /// A loop that asks one thing after the other, with prepared statements.
    Steps,
    /// One that asks as the engine does.
    Questions,
    Engine,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::Steps => "by hand, step by step",
            Way::Questions => "by hand, two questions",
            Way::Engine => "engine",
        }
    }
}

/// One measurement.
#[derive(Clone, Copy, Debug, Serialize)]
struct Sample {
    shards_per_second: f64,
    /// Processor milliseconds a shard: the server's, and that of whoever asks it.
    server_ms: f64,
    client_ms: f64,
    /// Part of the machine that something else used.
    others: f64,
}

/// A way on one commit table.
#[derive(Debug, Serialize)]
struct Line {
    database: &'static str,
    committed: u64,
    way: Way,
    samples: Vec<Sample>,
    /// Of the rounds, beside the loop that asks step by step.
    ratio: f64,
    /// That are open after it.
    connections: Option<i64>,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    machine: Hardware,
    slots: u32,
    shards: u64,
    lines: Vec<Line>,
    moved: Vec<moved::Moved>,
}

/// Measures, and prints the report.
///
/// # Errors
/// When a server cannot be had or a process does not do what was asked of it.
pub(crate) async fn run(output: &Output, flags: &SqlFlags) -> anyhow::Result<()> {
    let mut report = Report {
        machine: Hardware::here(),
        slots: flags.slots.get(),
        shards: u64::from(flags.shards.get().next_multiple_of(SLICES)),
        lines: Vec::new(),
        moved: Vec::new(),
    };
    for kind in &flags.databases {
        let mut bench = Bench::start(output, flags, *kind).await?;
        for committed in &flags.committed {
            bench.store.fill(*committed).await?;
            let lines = bench.rounds(output, flags, *committed).await?;
            report.lines.extend(lines);
        }
        if flags.moved > 0 {
            report.moved.push(moved::measure(&mut bench, flags).await?);
        }
        bench.stop().await?;
    }
    report.show(output);
    Ok(())
}

/// A database, and the processes that use it.
struct Bench {
    store: Store,
    by_hand: Loop,
    stack: Stack,
    worker: Process,
    _planner: Process,
    engine: Engine,
    grid: Grid,
}

impl Bench {
    async fn start(output: &Output, flags: &SqlFlags, kind: Kind) -> anyhow::Result<Bench> {
        output.note(store::name(kind));
        let store = Store::start(kind).await?;
        let by_hand = Loop::connect(&store, flags.slots.get()).await?;
        let stack = Stack::start(output, "").await?;
        let planner = stack.planner("memory").await?;
        let more = [
            "--concurrency".to_owned(),
            flags.slots.to_string(),
            "--database".to_owned(),
            format!("{NAME}={}", store.url()),
        ];
        let worker = stack.worker_with("worker", &more).await?;
        let broker = stack.connect().await?;
        stack::workers_are_there(&broker, 1).await?;
        let engine = Engine::new(broker).await?;
        let pages = flags.shards.get().div_ceil(SLICES);
        let grid = engine
            .apply_job(json!({
                "name": "rows",
                "handler": "sql",
                "queue": QUEUE,
                "grid": { "slices": SLICES, "pages": { "count": pages }, "tile": 1 },
                "sql": { "database": NAME, "statement": store::ROW },
            }))
            .await?;
        let mut bench = Bench {
            store,
            by_hand,
            stack,
            worker,
            _planner: planner,
            engine,
            grid,
        };
        // Connections are made, and the table of commits.
        bench.engine.measure(&bench.grid, |_| {}).await?;
        bench.worker.check()?;
        Ok(bench)
    }

    async fn rounds(
        &mut self,
        output: &Output,
        flags: &SqlFlags,
        committed: u64,
    ) -> anyhow::Result<Vec<Line>> {
        let kind = self.store.kind();
        let ways: &[Way] = match kind {
            Kind::Postgres | Kind::Sqlite => &[Way::Steps, Way::Questions, Way::Engine],
            Kind::MariaDb => &[Way::Steps, Way::Engine],
        };
        let mut lines: Vec<Line> = ways
            .iter()
            .map(|way| Line {
                database: store::name(kind),
                committed,
                way: *way,
                samples: Vec::new(),
                ratio: 0.0,
                connections: None,
            })
            .collect();
        for round in 1..=flags.rounds.get() {
            for line in &mut lines {
                let sample = self.measure(line.way).await?;
                output.note(format!(
                    "{}, {committed} rows, round {round}: {} {:.0}/s",
                    line.database,
                    line.way.name(),
                    sample.shards_per_second
                ));
                line.samples.push(sample);
            }
        }
        let first: Vec<Sample> = lines[0].samples.clone();
        for line in &mut lines {
            let pairs = line.samples.iter().zip(&first);
            line.ratio =
                median(pairs.map(|(own, hand)| own.shards_per_second / hand.shards_per_second));
            if line.way == Way::Engine {
                line.connections = self.store.connections().await?;
            }
        }
        Ok(lines)
    }

    async fn measure(&mut self, way: Way) -> anyhow::Result<Sample> {
        let shards = self.grid.shards;
        let client = match way {
            Way::Steps | Way::Questions => std::process::id(),
            Way::Engine => self.worker.pid(),
        };
        let before = (self.store.cpu_seconds()?, usage::cpu_seconds(client)?);
        let (rows, machine) = (self.store.rows().await?, Machine::now()?);
        let took = match way {
            Way::Steps => self.by_hand.steps(shards).await?,
            Way::Questions => self.by_hand.questions(shards).await?,
            Way::Engine => self.engine.measure(&self.grid, |_| {}).await?,
        };
        let later = Machine::now()?;
        let server = self.store.cpu_seconds()? - before.0;
        let asking = usage::cpu_seconds(client)? - before.1;
        let added = self.store.rows().await? - rows;
        anyhow::ensure!(added == i64::try_from(shards)?, "{added} rows of {shards}");
        let ms = |seconds: f64| seconds * 1e3 / shards as f64;
        Ok(Sample {
            shards_per_second: shards as f64 / took.as_secs_f64(),
            server_ms: ms(server),
            client_ms: ms(asking),
            others: later.others(machine, server + asking),
        })
    }

    async fn stop(self) -> anyhow::Result<()> {
        drop((self.worker, self._planner));
        self.stack.stop().await
    }
}

impl Report {
    fn show(&self, output: &Output) {
        output.show(self, |output| {
            output.say(format!(
                "{}; {} shards at once; medians of rounds of {} shards",
                self.machine,
                self.slots,
                grouped(self.shards)
            ));
            output.say("");
            output.table(&self.table(), "nothing was measured");
            for moved in &self.moved {
                output.say("");
                output.say(moved.spoken());
            }
        });
    }

    fn table(&self) -> Table {
        let right = Align::Right;
        let mut table = Table::new([
            ("database", Align::Left),
            ("rows of commits", right),
            ("way", Align::Left),
            ("shards/s", right),
            ("least", right),
            ("most", right),
            ("ratio", right),
            ("cpu ms a shard: server", right),
            ("worker or loop", right),
            ("others", right),
            ("connections", right),
        ]);
        for line in &self.lines {
            let of = |get: fn(&Sample) -> f64| median(line.samples.iter().map(get));
            let mut rates: Vec<f64> = line.samples.iter().map(|it| it.shards_per_second).collect();
            rates.sort_by(f64::total_cmp);
            let rate = |rate: Option<&f64>| grouped(rate.copied().unwrap_or_default() as u64);
            table.row([
                line.database.to_owned(),
                grouped(line.committed),
                line.way.name().to_owned(),
                grouped(of(|it| it.shards_per_second) as u64),
                rate(rates.first()),
                rate(rates.last()),
                format!("{:.2}", line.ratio),
                format!("{:.3}", of(|it| it.server_ms)),
                format!("{:.3}", of(|it| it.client_ms)),
                format!("{:.0} %", of(|it| it.others) * 100.0),
                line.connections.map(|n| n.to_string()).unwrap_or_default(),
            ]);
        }
        table
    }
}
