//! What may be typed.

use std::num::NonZeroU32;

use clap::{Args, Parser, Subcommand};

/// Measures Gridloom on this machine.
#[derive(Debug, Parser)]
#[command(name = "gridloom-bench", version, disable_help_subcommand = true)]
pub(crate) struct Line {
    /// Print JSON for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// What to measure.
    #[command(subcommand)]
    pub(crate) order: Order,
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Order {
    /// Throughput of the whole path, beside a loop written by hand
    Path(PathFlags),
    /// Time from submission to the first shard's start
    Latency(LatencyFlags),
    /// Time from a worker's death to the restart of its shards elsewhere
    Failover(FailoverFlags),
    /// The publishing process of the hand-written loop
    #[command(hide = true)]
    HandPublisher(Child),
    /// The consuming process of the hand-written loop
    #[command(hide = true)]
    HandConsumer(Child),
    /// The worker of `latency`
    #[command(hide = true)]
    StampWorker(Child),
    /// The worker of `failover`
    #[command(hide = true)]
    NapWorker(Child),
}

/// Flags of `path`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PathFlags {
    /// Shards of a run with one page a tile, and messages of the hand-written loop; a run with n
    /// pages a tile has n / 2 times as many shards
    #[arg(long, value_name = "N", default_value = "160000")]
    pub(crate) shards: NonZeroU32,
    /// Rounds; in each, every way is measured once
    #[arg(long, value_name = "N", default_value = "5")]
    pub(crate) rounds: NonZeroU32,
    /// Pages a tile of the runs; several with commas
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        default_value = "1,16,64"
    )]
    pub(crate) tiles: Vec<NonZeroU32>,
    /// Shards of the run over which the planner's memory is watched; 0 leaves it out
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub(crate) long_run: u32,
    /// What is measured
    #[command(flatten)]
    pub(crate) stack: StackFlags,
}

/// Which processes are measured.
#[derive(Args, Clone, Debug)]
pub(crate) struct StackFlags {
    /// Worker processes
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) workers: NonZeroU32,
    /// Tiles that a worker runs at once
    #[arg(long, value_name = "N", default_value = "1000")]
    pub(crate) concurrency: NonZeroU32,
    /// Where the queue is kept: file or memory
    #[arg(long, value_name = "WHERE", default_value = "file")]
    pub(crate) storage: String,
    /// Further lines for the broker's `jetstream` block, such as `sync_interval: always`
    #[arg(long, value_name = "LINES", default_value = "")]
    pub(crate) jetstream: String,
}

/// Flags of `latency`.
#[derive(Args, Clone, Debug)]
pub(crate) struct LatencyFlags {
    /// Submissions a second
    #[arg(long, value_name = "N", default_value = "100")]
    pub(crate) rate: NonZeroU32,
    /// Seconds that are measured, after two of warming up
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) seconds: NonZeroU32,
    /// Shards of each run
    #[arg(long, value_name = "N", default_value = "4")]
    pub(crate) shards: NonZeroU32,
    /// Where the queue is kept: file or memory
    #[arg(long, value_name = "WHERE", default_value = "file")]
    pub(crate) storage: String,
}

/// Flags of `failover`.
#[derive(Args, Clone, Debug)]
pub(crate) struct FailoverFlags {
    /// Rounds of each kind of death
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) rounds: NonZeroU32,
}

/// Flags of a measured process.
#[derive(Args, Clone, Debug)]
pub(crate) struct Child {
    /// The broker
    #[arg(long)]
    pub(crate) nats: String,
}
