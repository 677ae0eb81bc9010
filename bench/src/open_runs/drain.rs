//! Open runs whose worker comes.

use std::time::Instant;

use gridloom_cli::output::Output;
use gridloom_shared::job::parse;
use serde_json::json;

use super::{Drain, submit};
use crate::args::OpenRunsFlags;
use crate::plans::Plans;
use crate::stack::{self, QUEUE, Stack};
use crate::usage;

/// Slots of the worker.
const SLOTS: u32 = 1_000;

pub(super) async fn measure(output: &Output, flags: &OpenRunsFlags) -> anyhow::Result<Drain> {
    let stack = Stack::start(output, "").await?;
    let planner = stack.planner("memory").await?;
    let broker = stack.connect().await?;
    let shards = flags.shards.get();
    let spec = parse::from_value(json!({
        "name": "drained",
        "handler": "noop",
        "queue": QUEUE,
        "grid": { "slices": shards, "pages": { "count": 1 } },
    }))?;
    stack::define(&broker, &spec).await?;
    let mut plans = Plans::listen(&broker, &QUEUE.parse()?).await?;
    output.note(format!("{} runs to drain", flags.drained));
    submit(&broker, &spec.name, flags.drained.get()).await?;
    let runs = u64::from(flags.drained.get());
    plans.until(|seen| seen.opened >= runs).await?;

    let used = || usage::cpu_seconds(planner.pid());
    let (planner_before, broker_before) = (used()?, usage::cpu_seconds(stack.pid()?)?);
    let begun = Instant::now();
    let worker = stack.worker(0, SLOTS).await?;
    plans.until(|seen| seen.succeeded > 0).await?;
    let first = Instant::now();
    plans.until(|seen| seen.succeeded >= runs).await?;
    let ended = Instant::now();
    let found = Drain {
        runs: flags.drained.get(),
        shards_a_run: shards,
        seconds: (ended - begun).as_secs_f64(),
        from_the_first_s: (ended - first).as_secs_f64(),
        planner_cpu_s: used()? - planner_before,
        worker_cpu_s: usage::cpu_seconds(worker.pid())?,
        broker_cpu_s: usage::cpu_seconds(stack.pid()?)? - broker_before,
    };
    drop((planner, worker));
    stack.stop().await?;
    Ok(found)
}
