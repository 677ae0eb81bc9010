//! What a million shards take of the broker, the planner and the workers, in every setting that there is: what a machine
//! for them has to have. Processor time, bytes and memory are counted by the kernel and the broker, and depend little on
//! what else runs; shards a second do.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`taken`] | what counts as taken |
//! | [`report`] | how it is shown |

use std::time::Instant;

use gridloom_cli::embedded::SYNC_ALWAYS;
use gridloom_cli::output::Output;
use gridloom_shared::broker::Broker;
use gridloom_shared::id::JobName;
use gridloom_shared::job::parse;
use serde_json::json;

use crate::args::SizingFlags;
use crate::engine::Engine;
use crate::small;
use crate::stack::{self, QUEUE, Stack};
use crate::usage::{Hardware, Machine};

mod report;
mod taken;

use report::{Cell, Report};
use taken::Taken;

/// What a run that is not measured has: connections are made, windows have grown.
const WARM_UP: u64 = 10_000;
/// Pages of a tile that holds many.
const MANY: u32 = 64;
/// A tile of many pages is one of so many times fewer: else the run would be over in no time.
const FEWER: u64 = 4;
/// Where each tile costs flushes, there are so many times fewer.
const SMALLER: u64 = 10;
/// So many times fewer runs of one shard than shards; where each costs flushes a tenth of that, but not fewer than.
const RUNS: u64 = 30;
const RUNS_LEAST: u64 = 2_000;
/// Submissions that are on their way at once.
const WINDOW: u32 = 512;
/// Tiles that the worker runs at once.
const SLOTS: u32 = 1_000;

/// How the shards come.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// One run, so many pages a tile.
    Tiles(u32),
    /// A run each.
    Runs,
}

/// A setting of the broker and its queue.
#[derive(Clone, Copy, Debug)]
struct Setting {
    brokers: usize,
    queue: &'static str,
    always: bool,
}

/// Measures, and prints the report.
///
/// # Errors
/// When a process cannot be started, ends, or does not do what was asked of it.
pub(crate) async fn run(output: &Output, flags: &SizingFlags) -> anyhow::Result<()> {
    let mut report = Report {
        machine: Hardware::here(),
        broker: String::new(),
        cells: Vec::new(),
    };
    for setting in settings(&flags.brokers) {
        let lines = if setting.always { SYNC_ALWAYS } else { "" };
        let stack = match setting.brokers {
            1 => Stack::start(output, lines).await?,
            _ => Stack::start_cluster(output, lines).await?,
        };
        report.broker = stack.version();
        for cell in setting.measure(flags, &stack).await? {
            output.note(cell.told());
            report.cells.push(cell);
        }
        stack.stop().await?;
    }
    report.show(output);
    Ok(())
}

fn settings(brokers: &[usize]) -> Vec<Setting> {
    let mut settings = Vec::new();
    for brokers in brokers.iter().copied() {
        for queue in ["memory", "file"] {
            for always in [false, true] {
                settings.push(Setting {
                    brokers,
                    queue,
                    always,
                });
            }
        }
    }
    settings
}

impl Setting {
    async fn measure(self, flags: &SizingFlags, stack: &Stack) -> anyhow::Result<Vec<Cell>> {
        let more = [
            ("--storage", self.queue.to_owned()),
            ("--replicas", self.brokers.to_string()),
        ];
        let more = more.map(|(flag, value)| [flag.to_owned(), value]).concat();
        let mut planner = stack.planner_with("planner", &more).await?;
        let mut worker = stack.worker(0, SLOTS).await?;
        let broker = stack.connect().await?;
        stack::workers_are_there(&broker, 1).await?;
        let mut engine = Engine::new(broker.clone()).await?;
        let smaller = match (self.queue, self.always) {
            ("file", true) => SMALLER,
            _ => 1,
        };
        let warm = engine.apply(WARM_UP / smaller, 1).await?;
        engine.measure(&warm, |_| {}).await?;
        let mut cells = Vec::new();
        for shape in [Shape::Tiles(1), Shape::Tiles(MANY), Shape::Runs] {
            let shards = u64::from(flags.shards.get()) / smaller;
            let pids = [planner.pid(), worker.pid()];
            let machine = Machine::now()?;
            let before = Taken::now(stack, &broker, pids).await?;
            before.forget_peaks();
            let begun = Instant::now();
            let (shards, after) = match shape {
                Shape::Tiles(tile) => {
                    let shards = shards * u64::from(tile) / if tile > 1 { FEWER } else { 1 };
                    let grid = engine.apply(shards, tile).await?;
                    let run = engine.submit(&grid, json!({})).await?;
                    engine.until_closed(&run, |_| {}).await?;
                    let took = begun.elapsed();
                    let after = Taken::now(stack, &broker, pids).await?;
                    engine.prove(&run, &grid).await?;
                    (grid.shards, (took, after))
                }
                Shape::Runs => {
                    let runs = (shards / RUNS).max(RUNS_LEAST);
                    one_by_one(&broker, runs as u32).await?;
                    // The look whether all is over takes half a second itself.
                    let took = begun.elapsed().saturating_sub(small::STOOD);
                    (runs, (took, Taken::now(stack, &broker, pids).await?))
                }
            };
            let (took, after) = after;
            let others = Machine::now()?.others(machine, after.cpu_since(&before));
            cells.push(Cell::of(
                self,
                shape,
                shards,
                took,
                (&before, &after),
                others,
            ));
            planner.check()?;
            worker.check()?;
        }
        Ok(cells)
    }
}

/// As many runs of one shard.
async fn one_by_one(broker: &Broker, runs: u32) -> anyhow::Result<()> {
    let spec = parse::from_value(json!({
        "name": "one-by-one",
        "handler": "noop",
        "queue": QUEUE,
        "grid": { "slices": 1, "pages": { "count": 1 } },
    }))?;
    stack::define(broker, &spec).await?;
    let name: &JobName = &spec.name;
    small::submit(broker, name, runs, WINDOW).await?;
    small::over(broker).await
}
