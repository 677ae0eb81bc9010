//! What limits that do not bind cost, how fast no-op shards go in tiles that the planner sizes, and
//! whether slow shards keep all slots busy to the end.

use std::time::{Duration, Instant};

use gridloom_cli::output::{Output, grouped};
use serde_json::{Value, json};

use super::Figure;
use super::installation::{Installation, job, sleeping};
use crate::args::LimitsFlags;
use crate::engine::{Engine, Grid, Step};
use crate::stack::{self, Process, QUEUE, Stack};
use crate::stats::median;
use crate::usage;

/// Slots of the worker of no-op shards.
const SLOTS: u32 = 1_000;
/// Shards of each run under limits that do not bind.
const SHARDS: u32 = 160_000;
/// Shards of the run whose tiles are not said: some ten seconds of them.
const MANY: u32 = 24_000_000;
/// What is not counted of it: nothing is known of the shards at first.
const WARM_UP: Duration = Duration::from_secs(2);
/// Slots of the worker of slow shards, and how many each of them runs.
const SLOW_SLOTS: u32 = 32;
const EACH: u32 = 8;

struct Noop {
    stack: Stack,
    engine: Engine,
    processes: (Process, Process),
}

impl Noop {
    async fn start(output: &Output) -> anyhow::Result<Noop> {
        let stack = Stack::start(output, "").await?;
        let planner = stack.planner("memory").await?;
        let worker = stack.worker(0, SLOTS).await?;
        let broker = stack.connect().await?;
        stack::workers_are_there(&broker, 1).await?;
        Ok(Noop {
            stack,
            engine: Engine::new(broker).await?,
            processes: (planner, worker),
        })
    }

    /// Seconds that a run took, and processor seconds of planner, worker and broker.
    async fn measure(&mut self, grid: &Grid) -> anyhow::Result<(f64, f64)> {
        let pids = [
            self.processes.0.pid(),
            self.processes.1.pid(),
            self.stack.pid()?,
        ];
        let used = || {
            let each = pids.iter().map(|pid| usage::cpu_seconds(*pid));
            each.sum::<anyhow::Result<f64>>()
        };
        let before = used()?;
        // Before the ledger is read to prove the run.
        let mut after = None;
        let took = self.engine.measure(grid, |step| {
            if let Step::Over = step {
                after = Some(used());
            }
        });
        let took = took.await?.as_secs_f64();
        Ok((took, after.unwrap_or_else(used)? - before))
    }
}

fn noop(name: &str, shards: u32, tile: Option<u32>, limits: &Value) -> Value {
    let mut grid = json!({ "slices": 16, "pages": { "count": shards / 16 } });
    if let Some(tile) = tile {
        grid["tile"] = tile.into();
    }
    json!({ "name": name, "handler": "noop", "queue": QUEUE, "grid": grid, "limits": limits })
}

/// Throughput with limits that do not bind, to that without.
pub(super) async fn unbound(output: &Output, flags: &LimitsFlags) -> anyhow::Result<Vec<Figure>> {
    let mut all = Noop::start(output).await?;
    let wide = json!({ "concurrency": 20_000, "rate": "1000000/s" });
    let free = noop("free", SHARDS, Some(1), &json!({}));
    let free = all.engine.apply_job(free).await?;
    let wide = noop("wide", SHARDS, Some(1), &wide);
    let wide = all.engine.apply_job(wide).await?;
    all.engine.measure(&free, |_| {}).await?;
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for round in 0..flags.rounds.get() {
        // Who goes first alternates.
        let order = if round % 2 == 0 {
            [&free, &wide]
        } else {
            [&wide, &free]
        };
        let first = all.measure(order[0]).await?;
        let second = all.measure(order[1]).await?;
        let (free, wide) = if round % 2 == 0 {
            (first, second)
        } else {
            (second, first)
        };
        rates.push(free.0 / wide.0);
        costs.push(wide.1 / free.1);
    }
    all.stack.stop().await?;
    let said = |ratios: &[f64]| {
        let each: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
        let middle = median(ratios.iter().copied());
        format!("{middle:.3}, the median of {}", each.join(", "))
    };
    Ok(vec![
        Figure::new(
            "throughput under limits that do not bind, to that without",
            "0.97",
            said(&rates),
        ),
        Figure::new("… processor seconds of all processes", "", said(&costs)),
    ])
}

/// No-op shards in tiles that the planner sizes.
pub(super) async fn auto(output: &Output) -> anyhow::Result<Vec<Figure>> {
    let mut all = Noop::start(output).await?;
    let grid = noop("auto", MANY, None, &json!({}));
    let grid = all.engine.apply_job(grid).await?;
    let begun = Instant::now();
    let (mut warm, mut closed) = (None, begun);
    all.engine
        .measure(&grid, |step| match step {
            Step::Planned(planned) if begun.elapsed() >= WARM_UP => {
                warm.get_or_insert((Instant::now(), planned));
            }
            Step::Planned(_) => {}
            Step::Over => closed = Instant::now(),
        })
        .await?;
    all.stack.stop().await?;
    let whole = grid.shards as f64 / (closed - begun).as_secs_f64();
    let rate = warm.map_or(whole, |(at, planned)| {
        (grid.shards - planned) as f64 / (closed - at).as_secs_f64()
    });
    Ok(vec![Figure::new(
        "no-op shards/s without `tile`, after two seconds",
        "1,500,000",
        format!(
            "{} (all of the run: {})",
            grouped(rate as u64),
            grouped(whole as u64)
        ),
    )])
}

/// Shards of a second keep all slots busy.
pub(super) async fn makespan(output: &Output, flags: &LimitsFlags) -> anyhow::Result<Vec<Figure>> {
    let mut all = Installation::start(output, SLOW_SLOTS).await?;
    let shards = SLOW_SLOTS * EACH;
    let grid = all
        .engine
        .apply_job(job("slow", shards, &json!({})))
        .await?;
    let mut ratios = Vec::new();
    for _ in 0..flags.rounds.get() {
        let took = all
            .engine
            .measure_with(&grid, sleeping(1, 1_000), |_| {})
            .await?;
        ratios.push(took.as_secs_f64() / f64::from(EACH));
    }
    all.stop().await?;
    let most = ratios.iter().copied().fold(0.0, f64::max);
    Ok(vec![Figure::new(
        "shards of 1 s on 32 slots: to the ideal makespan",
        "1.05",
        format!("{:.3}, at most {most:.3}", median(ratios)),
    )])
}
