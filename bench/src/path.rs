//! Throughput of the whole path beside the hand-written loop, over one broker in one go: in each
//! round every way is measured once, so that a machine that is busy with something else is so for
//! all of them. What counts are the medians over the rounds.

use std::time::Duration;

use gridloom_cli::output::Output;

use crate::args::PathFlags;
use crate::engine::{Engine, Grid, Step};
use crate::hand::Hand;
use crate::stack::{self, Process, Stack};
use crate::usage::{self, Hardware, Machine};

mod report;

use report::{LongRun, Report, Sample};

/// A run that is not measured: connections are made, windows have grown.
const WARM_UP: u64 = 20_000;

/// Everything that is measured.
struct Bench {
    stack: Stack,
    hand: Hand,
    publisher: Process,
    consumer: Process,
    planner: Process,
    workers: Vec<Process>,
    engine: Engine,
}

/// Who does the work of one way.
struct Actors {
    planner: u32,
    workers: Vec<u32>,
    broker: u32,
}

/// Measures, and prints the report.
///
/// # Errors
/// When a process cannot be started, ends, or does not do what was asked of it.
pub(crate) async fn run(output: &Output, flags: &PathFlags) -> anyhow::Result<()> {
    let mut bench = Bench::start(output, flags).await?;
    let mut report = Report::new(Hardware::here(), bench.stack.version(), flags);
    let mut grids = Vec::new();
    for tile in &flags.tiles {
        let shards = u64::from(flags.shards.get()) * u64::from(tile.get());
        let shards = if tile.get() > 1 { shards / 2 } else { shards };
        grids.push((tile.get(), bench.engine.apply(shards, tile.get()).await?));
    }
    bench.warm_up().await?;
    for round in 1..=flags.rounds.get() {
        let hand = bench.by_hand(u64::from(flags.shards.get())).await?;
        output.note(format!("round {round}: by hand {}", hand.spoken()));
        report.add(None, hand);
        for (tile, grid) in &grids {
            let sample = bench.by_engine(grid).await?;
            output.note(format!(
                "round {round}: {tile} pages a tile {}",
                sample.spoken()
            ));
            report.add(Some(*tile), sample);
        }
    }
    if flags.long_run > 0 {
        output.note(format!(
            "one run of {} shards, one page a tile",
            flags.long_run
        ));
        report.long_run = Some(bench.long_run(u64::from(flags.long_run)).await?);
    }
    bench.stack.stop().await?;
    report.show(output);
    Ok(())
}

impl Bench {
    async fn start(output: &Output, flags: &PathFlags) -> anyhow::Result<Bench> {
        let stack = Stack::start(output, &flags.stack.jetstream).await?;
        let hand = Hand::new(&stack.url(), flags.stack.storage).await?;
        let publisher = stack.child("hand-publisher").await?;
        let consumer = stack.child("hand-consumer").await?;
        hand.ready().await?;
        let planner = stack.planner(flags.stack.storage.word()).await?;
        let mut workers = Vec::new();
        for number in 0..flags.stack.workers.get() {
            workers.push(stack.worker(number, flags.stack.concurrency.get()).await?);
        }
        let broker = stack.connect().await?;
        stack::workers_are_there(&broker, flags.stack.workers.get()).await?;
        let engine = Engine::new(broker).await?;
        Ok(Bench {
            stack,
            hand,
            publisher,
            consumer,
            planner,
            workers,
            engine,
        })
    }

    async fn warm_up(&mut self) -> anyhow::Result<()> {
        self.hand.measure(WARM_UP).await?;
        let grid = self.engine.apply(WARM_UP, 1).await?;
        self.engine.measure(&grid, |_| {}).await?;
        Ok(())
    }

    async fn by_hand(&mut self, messages: u64) -> anyhow::Result<Sample> {
        let actors = Actors {
            planner: self.publisher.pid(),
            workers: vec![self.consumer.pid()],
            broker: self.stack.pid()?,
        };
        let before = actors.before()?;
        let took = self.hand.measure(messages).await?;
        before.after(&actors, messages, took)
    }

    async fn by_engine(&mut self, grid: &Grid) -> anyhow::Result<Sample> {
        let actors = self.actors()?;
        let before = actors.before()?;
        // Processor time is read when the run is over, before the ledger is read to prove it.
        let mut after = None;
        let took = self.engine.measure(grid, |step| {
            if let Step::Over = step {
                after = Some(actors.used());
            }
        });
        let took = match took.await {
            Ok(took) => took,
            Err(error) => {
                self.planner.check()?;
                self.workers.iter_mut().try_for_each(Process::check)?;
                return Err(error);
            }
        };
        let used = after.unwrap_or_else(|| actors.used())?;
        before.with(&used, &actors, grid.shards, took)
    }

    /// Watches the planner's and the worker's memory over one long run.
    async fn long_run(&mut self, shards: u64) -> anyhow::Result<LongRun> {
        let grid = self.engine.apply(shards, 1).await?;
        let (planner, worker) = (self.planner.pid(), self.workers[0].pid());
        usage::forget_peak(planner);
        usage::forget_peak(worker);
        let mut due = [10, 50, 100]
            .map(|percent| (percent, grid.shards * percent / 100))
            .into_iter()
            .peekable();
        let mut seen = Vec::new();
        let took = self
            .engine
            .measure(&grid, |step| {
                if let Step::Planned(planned) = step {
                    while let Some((percent, _)) = due.next_if(|(_, at)| planned >= *at) {
                        seen.push((percent, usage::memory(planner), usage::memory(worker)));
                    }
                }
            })
            .await?;
        LongRun::new(
            grid.shards,
            took,
            seen,
            usage::memory(planner)?,
            usage::memory(worker)?,
        )
    }

    fn actors(&self) -> anyhow::Result<Actors> {
        Ok(Actors {
            planner: self.planner.pid(),
            workers: self.workers.iter().map(Process::pid).collect(),
            broker: self.stack.pid()?,
        })
    }
}

/// Processor time used up to some moment.
struct Used {
    planner: f64,
    workers: f64,
    broker: f64,
    machine: Machine,
}

impl Actors {
    fn before(&self) -> anyhow::Result<Used> {
        self.workers
            .iter()
            .chain([&self.planner, &self.broker])
            .for_each(|pid| usage::forget_peak(*pid));
        self.used()
    }

    fn used(&self) -> anyhow::Result<Used> {
        let mut workers = 0.0;
        for pid in &self.workers {
            workers += usage::cpu_seconds(*pid)?;
        }
        Ok(Used {
            planner: usage::cpu_seconds(self.planner)?,
            workers,
            broker: usage::cpu_seconds(self.broker)?,
            machine: Machine::now()?,
        })
    }
}

impl Used {
    fn after(&self, actors: &Actors, shards: u64, took: Duration) -> anyhow::Result<Sample> {
        self.with(&actors.used()?, actors, shards, took)
    }

    fn with(
        &self,
        used: &Used,
        actors: &Actors,
        shards: u64,
        took: Duration,
    ) -> anyhow::Result<Sample> {
        let mut worker_peak: f64 = 0.0;
        for pid in &actors.workers {
            worker_peak = worker_peak.max(usage::memory(*pid)?.peak_mib);
        }
        let (planner_cpu, worker_cpu) = (used.planner - self.planner, used.workers - self.workers);
        let broker_cpu = used.broker - self.broker;
        Ok(Sample {
            shards,
            seconds: took.as_secs_f64(),
            planner_cpu,
            worker_cpu,
            broker_cpu,
            planner_peak_mib: usage::memory(actors.planner)?.peak_mib,
            worker_peak_mib: worker_peak,
            broker_peak_mib: usage::memory(actors.broker)?.peak_mib,
            others: used
                .machine
                .others(self.machine, planner_cpu + worker_cpu + broker_cpu),
        })
    }
}
