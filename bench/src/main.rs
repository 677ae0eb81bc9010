//! Paired measurements of the whole path, against a loop written by hand over the same broker.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`args`] | what may be typed |
//! | [`path`] | throughput: which ways are measured, in which order, and what counts |
//! | [`latency`] | how long a small run waits for its first shard |
//! | [`failover`] | how long what a worker ran stands still when it dies |
//! | [`durability`] | what durability costs |
//! | [`restart`] | how long commits pause when the broker is killed |
//! | [`flat`] | whether the broker's memory stays flat over a long run |
//! | [`crowd`] | whether anybody of many workers on busy cores is declared dead |
//! | [`work`] | whether slots are busy all the time with shards that take time |
//! | [`open_runs`] | what thousands of open runs cost, and how soon they are done |
//! | [`lanes`] | what many handlers on one queue cost, and whom a worker without one delays |
//! | [`lists`] | what a list over thousands of ledgers costs |
//! | [`fires`] | how late schedules open their runs, and what many of them cost |
//! | [`limits`] | whether limits, fairness and tile sizes do what they are for |
//! | [`memory`] | whether a planner's memory stays small whatever its runs do |
//! | [`small`] | what a run of one shard costs from its submission to its end |
//! | [`sizing`] | what a million shards take of processors, disk and memory |
//! | [`sql`] | what a shard in a database costs, beside a loop over the same server |
//! | [`sdk`] | what a shard costs whose handler is in another language, beside the worker's own |
//! | [`stack`] | the processes that are measured |
//! | [`hand`] | the loop written by hand: what the engine is compared with |
//! | [`engine`] | one run of the engine, from submission to its last record |
//! | [`records`] | what a run's ledger says of outcomes and takeovers |
//! | [`plans`] | what planners write of many runs, counted |
//! | [`usage`] | what processes and the machine have used, by the kernel |
//! | [`stats`] | medians and percentiles |
//!
//! The program runs itself again as each of the processes that it measures.

mod args;
mod crowd;
mod durability;
mod engine;
mod failover;
mod fires;
mod flat;
mod hand;
mod lanes;
mod latency;
mod limits;
mod lists;
mod memory;
mod open_runs;
mod path;
mod plans;
mod records;
mod restart;
mod sdk;
mod sizing;
mod small;
mod sql;
mod stack;
mod stats;
mod usage;
mod work;

use std::process::ExitCode;

use clap::Parser;
use gridloom_cli::output::{Form, Output};

use args::{Line, Order};

/// Commands of `gridloom` that the measured processes are, or that are asked of them.
const HANDED_OVER: &[&str] = &[
    "guard", "planner", "worker", "dead", "runs", "show", "doctor", "workers",
];

fn main() -> ExitCode {
    let first = std::env::args().nth(1).unwrap_or_default();
    if HANDED_OVER.contains(&first.as_str()) {
        return gridloom_cli::main();
    }
    let line = Line::parse();
    match run(line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            Output::new(Form::People).note(format!("gridloom-bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(line: Line) -> anyhow::Result<()> {
    let output = Output::new(if line.json {
        Form::Programs
    } else {
        Form::People
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match line.order {
            Order::Path(flags) => Box::pin(path::run(&output, &flags)).await,
            Order::Latency(flags) => Box::pin(latency::run(&output, &flags)).await,
            Order::Failover(flags) => Box::pin(failover::run(&output, &flags)).await,
            Order::Durability(flags) => Box::pin(durability::run(&output, &flags)).await,
            Order::Restart(flags) => Box::pin(restart::run(&output, &flags)).await,
            Order::Flat(flags) => Box::pin(flat::run(&output, &flags)).await,
            Order::Crowd(flags) => Box::pin(crowd::run(&output, &flags)).await,
            Order::Work(flags) => Box::pin(work::run(&output, &flags)).await,
            Order::OpenRuns(flags) => Box::pin(open_runs::run(&output, &flags)).await,
            Order::Lanes(flags) => Box::pin(lanes::run(&output, &flags)).await,
            Order::LaneWorkers(child) => lanes::worker::serve(&child).await,
            Order::Lists(flags) => Box::pin(lists::run(&output, &flags)).await,
            Order::Memory(flags) => Box::pin(memory::run(&output, &flags)).await,
            Order::MemoryChild(child) => memory::child(&output, &child),
            Order::Limits(flags) => Box::pin(limits::run(&output, &flags)).await,
            Order::Fires(flags) => Box::pin(fires::run(&output, &flags)).await,
            Order::Small(flags) => Box::pin(small::run(&output, &flags)).await,
            Order::Sizing(flags) => Box::pin(sizing::run(&output, &flags)).await,
            Order::Sdk(flags) => Box::pin(sdk::run(&output, &flags)).await,
            Order::Sql(flags) => Box::pin(sql::run(&output, &flags)).await,
            Order::HandPublisher(child) => hand::publisher::serve(&child.nats).await,
            Order::HandConsumer(child) => hand::consumer::serve(&child.nats).await,
            Order::StampWorker(child) => latency::worker::serve(&child.nats).await,
            Order::NapWorker(child) => failover::worker::serve(&child.nats).await,
            Order::LogWorker(child) => limits::worker::serve(&child).await,
            Order::WorkWorker(child) => work::worker::serve(&child).await,
            Order::BareLoops(child) => work::bare::serve(&child).await,
            Order::Burn(_) => crowd::burn(),
        }
    })
}
