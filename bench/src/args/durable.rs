//! What may be typed of the measurements of durability, of restarts and of work that takes time.

use std::num::NonZeroU32;

use clap::Args;

use super::Kept;

/// Flags of `durability`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DurabilityFlags {
    /// Rounds: in each of them every setting is measured once
    #[arg(long, value_name = "N", default_value = "3")]
    pub(crate) rounds: NonZeroU32,
    /// Tiles of each run; a tenth of them where each costs flushes
    #[arg(long, value_name = "N", default_value = "50000")]
    pub(crate) shards: NonZeroU32,
    /// Submissions that are confirmed one after the other; of fewer than 1,000 the processor time says nothing, as the
    /// kernel counts it in hundredths of a second
    #[arg(long, value_name = "N", default_value = "1000")]
    pub(crate) submissions: NonZeroU32,
    /// Tiles that the worker runs at once
    #[arg(long, value_name = "N", default_value = "1000")]
    pub(crate) concurrency: NonZeroU32,
}

/// Flags of `sizing`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SizingFlags {
    /// Shards of a run with one page a tile; a tenth of them where each costs flushes
    #[arg(long, value_name = "N", default_value = "300000")]
    pub(crate) shards: NonZeroU32,
    /// Brokers: 1 alone, or 3 as a cluster with three copies of each stream; several with commas
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,3", value_parser = brokers)]
    pub(crate) brokers: Vec<usize>,
}

fn brokers(text: &str) -> Result<usize, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("1 or 3".to_owned()),
    }
}

/// Flags of `restart`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RestartFlags {
    /// How often the broker is killed
    #[arg(long, value_name = "N", default_value = "8")]
    pub(crate) rounds: NonZeroU32,
    /// Open runs of another queue, whose workers are away
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) runs: u32,
    /// Where the queue is kept
    #[arg(long, value_name = "WHERE", value_enum, default_value = "memory")]
    pub(crate) storage: Kept,
    /// Further lines for the broker's `jetstream` block
    #[arg(long, value_name = "LINES", default_value = "sync_interval: always")]
    pub(crate) jetstream: String,
    /// The longest pause that is not a failure, in milliseconds; 500 alone and 5,000 beside open runs where it is not said
    #[arg(long, value_name = "MS")]
    pub(crate) most: Option<u64>,
}

/// Flags of `flat`.
#[derive(Args, Clone, Debug)]
pub(crate) struct FlatFlags {
    /// Shards of the run, one a tile
    #[arg(long, value_name = "N", default_value = "9000000")]
    pub(crate) shards: NonZeroU32,
    /// Where the queue is kept
    #[arg(long, value_name = "WHERE", value_enum, default_value = "memory")]
    pub(crate) storage: Kept,
    /// Further lines for the broker's `jetstream` block
    #[arg(long, value_name = "LINES", default_value = "sync_interval: always")]
    pub(crate) jetstream: String,
}

/// Flags of `crowd`.
#[derive(Args, Clone, Debug)]
pub(crate) struct CrowdFlags {
    /// Worker processes
    #[arg(long, value_name = "N", default_value = "200")]
    pub(crate) workers: NonZeroU32,
    /// Tiles that each runs at once
    #[arg(long, value_name = "N", default_value = "2")]
    pub(crate) concurrency: NonZeroU32,
    /// What a shard takes, in milliseconds
    #[arg(long, value_name = "MS", default_value = "250")]
    pub(crate) shard_ms: NonZeroU32,
    /// Processes that do nothing but keep a core busy; one a core where it is not said
    #[arg(long, value_name = "N")]
    pub(crate) burners: Option<u32>,
    /// How long it is watched, in seconds
    #[arg(long, value_name = "N", default_value = "600")]
    pub(crate) seconds: NonZeroU32,
}

/// Flags of `work`.
#[derive(Args, Clone, Debug)]
pub(crate) struct WorkFlags {
    /// What shards take, in milliseconds; several with commas
    #[arg(
        long,
        value_name = "MS",
        value_delimiter = ',',
        default_value = "1,10,100"
    )]
    pub(crate) durations: Vec<NonZeroU32>,
    /// Slots of both workers together; several with commas
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        default_value = "16,256"
    )]
    pub(crate) slots: Vec<NonZeroU32>,
    /// How long each run would take if no slot were ever idle, in seconds
    #[arg(long, value_name = "N", default_value = "8")]
    pub(crate) seconds: NonZeroU32,
    /// The same for the runs whose shards differ
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) skewed_seconds: NonZeroU32,
    /// Rounds
    #[arg(long, value_name = "N", default_value = "3")]
    pub(crate) rounds: NonZeroU32,
}

/// Flags of a worker of `work`.
#[derive(Args, Clone, Debug)]
pub(crate) struct WorkChild {
    /// The broker
    #[arg(long)]
    pub(crate) nats: String,
    /// Tiles at once
    #[arg(long)]
    pub(crate) concurrency: u32,
}

/// Flags of the loops that sleep with no engine around them.
#[derive(Args, Clone, Debug)]
pub(crate) struct BareChild {
    /// The broker
    #[arg(long)]
    pub(crate) nats: String,
    /// Loops
    #[arg(long)]
    pub(crate) slots: u32,
    /// What each turn sleeps, in milliseconds
    #[arg(long)]
    pub(crate) ms: u64,
    /// For how long, in seconds
    #[arg(long)]
    pub(crate) seconds: u64,
}
