//! What a shard costs whose handler is a program in another language, beside the worker's own `noop`, over one broker in one
//! go: in each round every way is measured once. Shards do nothing, so what is measured is the bridge, the child protocol and
//! the SDK of the language.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`language`] | how the program of each language is made and started |
//! | [`report`] | medians over the rounds, as a table and as JSON |

use std::time::Instant;

use anyhow::{Context, ensure};
use gridloom_cli::output::Output;
use serde_json::json;

use crate::args::SdkFlags;
use crate::engine::{Engine, Grid, SLICES};
use crate::stack::{self, Process, Stack};
use crate::usage::{self, Hardware, Machine};

mod language;
mod report;

use language::Program;
use report::{Report, Sample, Way};

/// Shards of the first run of each way: how long it took says how many the next shall have.
const FIRST: u64 = 20_000;
/// How many runs at most tell how many shards there are to be, and which part of the time one has to take to be the last of them.
const TRIES: u32 = 6;
const LONG_ENOUGH: f64 = 0.5;
/// The most shards of a run.
const MOST: u64 = 24_000_000;

/// A worker with the children of one language.
struct Served {
    queue: &'static str,
    program: Program,
    worker: Process,
}

struct Bench {
    stack: Stack,
    planner: Process,
    served: Vec<Served>,
    engine: Engine,
}

/// Measures, and prints the report.
///
/// # Errors
/// When a process cannot be started, ends, or does not do what was asked of it.
pub(crate) async fn run(output: &Output, flags: &SdkFlags) -> anyhow::Result<()> {
    let (mut bench, missing) = Bench::start(output, flags).await?;
    let mut ways = bench.ways();
    let mut grids = Vec::new();
    for way in &ways {
        grids.push(bench.sized(way, f64::from(flags.seconds.get())).await?);
    }
    for round in 1..=flags.rounds.get() {
        for (way, grid) in ways.iter_mut().zip(&grids) {
            let sample = bench.measure(way.worker, grid).await?;
            output.note(format!(
                "round {round}: {}: {}",
                way.spoken(),
                sample.spoken()
            ));
            way.samples.push(sample);
        }
    }
    let spoken = bench.served.iter();
    let spoken = spoken.map(|served| served.program.spoken.clone());
    let report = Report {
        machine: Hardware::here(),
        broker: bench.stack.version(),
        languages: spoken.collect(),
        rounds: flags.rounds.get(),
        processes: flags.processes.get(),
        slots: flags.slots.get(),
        jetstream: flags.jetstream.clone(),
        ways,
        missing,
    };
    bench.stop().await?;
    report.show(output);
    Ok(())
}

impl Bench {
    async fn start(output: &Output, flags: &SdkFlags) -> anyhow::Result<(Bench, Vec<String>)> {
        let stack = Stack::start(output, &flags.jetstream).await?;
        let (mut programs, mut missing) = (Vec::new(), Vec::new());
        for language in &flags.languages {
            let queue = language.word();
            match language.program(&stack.path("sdk")).await {
                Ok(program) => programs.push((queue, program)),
                Err(error) => {
                    let left = format!("{queue}: {error:#}");
                    output.note(format!("left out: {left}"));
                    missing.push(left);
                }
            }
        }
        ensure!(
            !programs.is_empty(),
            "none of the languages can be measured here"
        );
        let planner = stack.planner("memory").await?;
        let mut served = Vec::new();
        for (queue, program) in programs {
            let mut more = [
                ("--queue", queue.to_owned()),
                ("--processes", flags.processes.to_string()),
                ("--slots", flags.slots.to_string()),
            ]
            .map(|(flag, value)| [flag.to_owned(), value])
            .concat();
            more.push("--".to_owned());
            more.extend(program.command.iter().cloned());
            let worker = stack.worker_with(queue, &more).await?;
            served.push(Served {
                queue,
                program,
                worker,
            });
        }
        let broker = stack.connect().await?;
        let engine = Engine::new(stack.connect().await?).await?;
        let count = u32::try_from(served.len())?;
        let mut bench = Bench {
            stack,
            planner,
            served,
            engine,
        };
        if let Err(error) = stack::workers_are_there(&broker, count).await {
            bench.check()?;
            return Err(error);
        }
        Ok((bench, missing))
    }

    /// The worker's own handler first: what the others are compared with.
    fn ways(&self) -> Vec<Way> {
        let own = [(0, "noop", "the worker's own noop")];
        let others = self.served.iter().enumerate().flat_map(|(worker, served)| {
            let handlers = served.program.handlers.iter();
            handlers.map(move |(handler, name)| (worker, *handler, *name))
        });
        let mut ways = Vec::new();
        for (worker, handler, name) in own.into_iter().chain(others) {
            for tile in [None, Some(1)] {
                ways.push(Way::new(name, handler, worker, tile));
            }
        }
        ways
    }

    /// A grid that takes so long, roughly: runs before it tell how fast the way is, and the planner how long its shards take.
    async fn sized(&mut self, way: &Way, seconds: f64) -> anyhow::Result<Grid> {
        let mut shards = FIRST;
        for attempt in 0..TRIES {
            let grid = self.grid(way, shards).await?;
            let seen = self.measure(way.worker, &grid).await?;
            shards = ((seen.rate() * seconds) as u64).clamp(FIRST, MOST);
            // The first begins with a page a tile and a cold program: it says little.
            if attempt > 0 && seen.seconds > seconds * LONG_ENOUGH {
                break;
            }
        }
        self.grid(way, shards).await
    }

    async fn grid(&self, way: &Way, shards: u64) -> anyhow::Result<Grid> {
        let queue = self.served[way.worker].queue;
        let mut grid = json!({
            "slices": SLICES,
            "pages": { "count": (shards / u64::from(SLICES)).max(1) },
        });
        let mut name = format!("{queue}-{}", way.handler);
        if let Some(tile) = way.tile {
            grid["tile"] = tile.into();
            name = format!("{name}-{tile}");
        }
        let job = json!({ "name": name, "handler": way.handler, "queue": queue, "grid": grid });
        self.engine.apply_job(job).await
    }

    /// Processor seconds so far: planner, broker, worker, its children.
    fn used(&self, worker: u32) -> anyhow::Result<[f64; 4]> {
        let own = usage::cpu_seconds(worker)?;
        Ok([
            usage::cpu_seconds(self.planner.pid())?,
            usage::cpu_seconds(self.stack.pid()?)?,
            own,
            usage::tree_seconds(worker)? - own,
        ])
    }

    async fn measure(&mut self, worker: usize, grid: &Grid) -> anyhow::Result<Sample> {
        let worker = self.served[worker].worker.pid();
        let children = usage::programs_below(worker)?;
        children.iter().for_each(|pid| usage::forget_peak(*pid));
        let (before, machine) = (self.used(worker)?, Machine::now()?);
        let begun = Instant::now();
        let run = self.engine.submit(grid, json!({})).await?;
        if let Err(error) = self.engine.until_closed(&run, |_| {}).await {
            self.check()?;
            return Err(error);
        }
        let took = begun.elapsed().as_secs_f64();
        // Before the ledger is read to prove the run.
        let after = self.used(worker)?;
        let later = Machine::now()?;
        let memory: anyhow::Result<Vec<f64>> = children
            .iter()
            .map(|pid| Ok(usage::memory(*pid)?.peak_mib))
            .collect();
        self.engine.prove(&run, grid).await?;
        let used = [0, 1, 2, 3].map(|at| after[at] - before[at]);
        let memory = memory.context("a child ended while it was measured")?;
        Ok(Sample {
            shards: grid.shards,
            seconds: took,
            planner_cpu: used[0],
            broker_cpu: used[1],
            worker_cpu: used[2],
            children_cpu: used[3],
            child_peak_mib: memory.into_iter().fold(0.0, f64::max),
            others: later.others(machine, used.iter().sum()),
        })
    }

    /// Whether all of them run.
    fn check(&mut self) -> anyhow::Result<()> {
        self.planner.check()?;
        self.served
            .iter_mut()
            .try_for_each(|served| served.worker.check())
    }

    async fn stop(self) -> anyhow::Result<()> {
        drop((self.planner, self.served));
        self.stack.stop().await
    }
}
