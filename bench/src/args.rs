//! What may be typed.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod durable;
mod kept;
mod sdk;

pub(crate) use durable::{
    BareChild, CrowdFlags, DurabilityFlags, FlatFlags, RestartFlags, SizingFlags, WorkChild,
    WorkFlags,
};
pub(crate) use kept::Kept;
pub(crate) use sdk::{Language, SdkFlags};

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
    /// What durability costs: intervals of flushes, and where the queue is kept
    Durability(DurabilityFlags),
    /// How long commits pause when the broker is killed and restarted
    Restart(RestartFlags),
    /// Whether the broker's memory stays flat over a long run
    Flat(FlatFlags),
    /// Whether anybody of hundreds of workers on busy cores is declared dead
    Crowd(CrowdFlags),
    /// Whether slots are busy all the time with shards that take time
    Work(WorkFlags),
    /// What thousands of open runs cost, and how soon they are done
    OpenRuns(OpenRunsFlags),
    /// What many handlers on one queue cost
    Lanes(LanesFlags),
    /// How long a list takes that looks into thousands of ledgers
    Lists(ListsFlags),
    /// Whether a planner's memory stays small over a day, and over ten million shards that die
    Memory(MemoryFlags),
    /// Whether limits, fairness and tile sizes do what they are for
    Limits(LimitsFlags),
    /// How late schedules open their runs, and what many of them cost
    Fires(FiresFlags),
    /// What a million shards take of processors, disk and memory, in every setting
    Sizing(SizingFlags),
    /// What a shard in a database costs, beside a loop written by hand over the same server
    Sql(SqlFlags),
    /// What a shard costs whose handler is a program in Python, Java, TypeScript or Go
    Sdk(SdkFlags),
    /// What a run of one shard costs, how many a second there can be, and how soon one starts
    Small(SmallFlags),
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
    /// A story of `memory`
    #[command(hide = true)]
    MemoryChild(MemoryChild),
    /// Workers of `lanes`
    #[command(hide = true)]
    LaneWorkers(LaneChild),
    /// The worker of `limits`
    #[command(hide = true)]
    LogWorker(LogChild),
    /// The worker of `work`
    #[command(hide = true)]
    WorkWorker(WorkChild),
    /// Loops that sleep as the worker of `work` does
    #[command(hide = true)]
    BareLoops(BareChild),
    /// Keeps a core busy
    #[command(hide = true)]
    Burn(Child),
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
    /// Where the queue is kept
    #[arg(long, value_name = "WHERE", value_enum, default_value = "memory")]
    pub(crate) storage: Kept,
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
    /// Where the queue is kept
    #[arg(long, value_name = "WHERE", value_enum, default_value = "memory")]
    pub(crate) storage: Kept,
}

/// Flags of `small`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SmallFlags {
    /// Runs of a round
    #[arg(long, value_name = "N", default_value = "40000")]
    pub(crate) runs: NonZeroU32,
    /// Submissions on their way at once
    #[arg(long, value_name = "N", default_value = "512")]
    pub(crate) window: NonZeroU32,
    /// Rounds
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) rounds: u32,
    /// Submissions a second for which the wait is measured; several with commas
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        default_value = "100,1000"
    )]
    pub(crate) rates: Vec<NonZeroU32>,
    /// Seconds of each of these
    #[arg(long, value_name = "N", default_value = "10")]
    pub(crate) seconds: NonZeroU32,
    /// Further lines for the broker's `jetstream` block, such as `sync_interval: always`
    #[arg(long, value_name = "LINES", default_value = "")]
    pub(crate) jetstream: String,
}

/// Flags of `failover`.
#[derive(Args, Clone, Debug)]
pub(crate) struct FailoverFlags {
    /// Rounds of each kind of death
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) rounds: NonZeroU32,
}

/// Flags of `open-runs`.
#[derive(Args, Clone, Debug)]
pub(crate) struct OpenRunsFlags {
    /// Open runs whose workers are away
    #[arg(long, value_name = "N", default_value = "5000")]
    pub(crate) runs: NonZeroU32,
    /// Ids of runs that are gone, remembered before these are opened
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) ids: u32,
    /// Shards of each of them
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) shards: NonZeroU32,
    /// Seconds over which the planners' processor time is measured, and runs of another queue are submitted
    #[arg(long, value_name = "N", default_value = "10")]
    pub(crate) seconds: NonZeroU32,
    /// Submissions a second to the other queue
    #[arg(long, value_name = "N", default_value = "50")]
    pub(crate) rate: NonZeroU32,
    /// Runs that then drain on another installation
    #[arg(long, value_name = "N", default_value = "3000")]
    pub(crate) drained: NonZeroU32,
    /// Submissions that then wait on a third one, beyond its bound on open runs; 0 leaves it out
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) submissions: u32,
    /// Only those submissions
    #[arg(long)]
    pub(crate) submissions_only: bool,
    /// Most open runs of a queue there
    #[arg(long, value_name = "N", default_value = "1000")]
    pub(crate) bound: NonZeroU32,
}

/// Flags of `lanes`.
#[derive(Args, Clone, Debug)]
pub(crate) struct LanesFlags {
    /// Workers, of 1 to 4 slots each
    #[arg(long, value_name = "N", default_value = "200")]
    pub(crate) workers: NonZeroU32,
    /// Of these so many have a handler more than the others
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) right: NonZeroU32,
    /// Workers in one process
    #[arg(long, value_name = "N", default_value = "50")]
    pub(crate) per_process: NonZeroU32,
    /// Handlers that every worker has
    #[arg(long, value_name = "N", default_value = "50")]
    pub(crate) handlers: NonZeroU32,
    /// Three servers as one cluster, and three copies of each stream
    #[arg(long)]
    pub(crate) cluster: bool,
    /// Seconds of each part
    #[arg(long, value_name = "N", default_value = "10")]
    pub(crate) seconds: NonZeroU32,
    /// Runs of one shard a second
    #[arg(long, value_name = "N", default_value = "50")]
    pub(crate) rate: NonZeroU32,
    /// Rounds of the job that only some can run
    #[arg(long, value_name = "N", default_value = "3")]
    pub(crate) rounds: NonZeroU32,
}

/// Some of the workers of `lanes`.
#[derive(Args, Clone, Debug)]
pub(crate) struct LaneChild {
    /// The broker
    #[arg(long)]
    pub(crate) nats: String,
    /// Number of the first worker
    #[arg(long)]
    pub(crate) first: u32,
    /// How many
    #[arg(long)]
    pub(crate) count: u32,
    /// Handlers that all have
    #[arg(long)]
    pub(crate) handlers: u32,
    /// Workers below this number have one more
    #[arg(long)]
    pub(crate) special: u32,
}

/// Flags of `lists`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ListsFlags {
    /// Runs whose shards are all dead
    #[arg(long, value_name = "N", default_value = "5000")]
    pub(crate) runs: NonZeroU32,
    /// Shards of each of them
    #[arg(long, value_name = "N", default_value = "2")]
    pub(crate) shards: NonZeroU32,
    /// Rounds of each list
    #[arg(long, value_name = "N", default_value = "3")]
    pub(crate) rounds: NonZeroU32,
}

/// Flags of `memory`.
#[derive(Args, Clone, Debug)]
pub(crate) struct MemoryFlags {
    /// Minutes of the day
    #[arg(long, value_name = "N", default_value_t = 24 * 60)]
    pub(crate) minutes: u64,
    /// Shards that die
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    pub(crate) shards: u32,
}

/// Which story, and whether a standby folds it too.
#[derive(Args, Clone, Debug)]
pub(crate) struct MemoryChild {
    /// The story
    pub(crate) tale: Tale,
    /// A standby folds beside the leader
    #[arg(long)]
    pub(crate) standby: bool,
    /// Minutes of the day
    #[arg(long)]
    pub(crate) minutes: u64,
    /// Shards that die
    #[arg(long)]
    pub(crate) shards: u32,
}

/// A story of `memory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tale {
    /// A day of runs whose records interleave
    Day,
    /// Every shard of a run dies at once
    Deaths,
    /// Every shard of a run dies after several attempts
    Retries,
}

/// Flags of `limits`.
#[derive(Args, Clone, Debug)]
pub(crate) struct LimitsFlags {
    /// What is measured; several with commas
    #[arg(
        long,
        value_name = "PART",
        value_enum,
        value_delimiter = ',',
        default_value = "unbound,concurrency,rate,fair,small,auto,makespan"
    )]
    pub(crate) parts: Vec<Part>,
    /// Rounds of what is measured in pairs or more than once
    #[arg(long, value_name = "N", default_value = "3")]
    pub(crate) rounds: NonZeroU32,
    /// Seconds that a measurement lasts which has no end of its own
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) seconds: NonZeroU32,
}

/// A part of `limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Throughput under limits that do not bind
    Unbound,
    /// A limit of tiles at once, over a leader's death too
    Concurrency,
    /// A limit of shards a second
    Rate,
    /// Two jobs of quick and slow shards share the worker-seconds
    Fair,
    /// A small run beside a long one
    Small,
    /// No-op shards in tiles that the planner sizes
    Auto,
    /// The last shard of slow ones
    Makespan,
}

/// Flags of `fires`.
#[derive(Args, Clone, Debug)]
pub(crate) struct FiresFlags {
    /// What is measured; several with commas
    #[arg(
        long,
        value_name = "PART",
        value_enum,
        value_delimiter = ',',
        default_value = "steady,burst,minute,many"
    )]
    pub(crate) parts: Vec<FiresPart>,
    /// Jobs that fire all the time
    #[arg(long, value_name = "N", default_value = "10000")]
    pub(crate) jobs: NonZeroU32,
    /// Fires a second of these; several with commas
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        default_value = "300,1000"
    )]
    pub(crate) rates: Vec<NonZeroU32>,
    /// With more fires a second than this nobody executes them: all processes share the machine's cores
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) worker_up_to: u32,
    /// Seconds that are measured, after three of warming up
    #[arg(long, value_name = "N", default_value = "30")]
    pub(crate) seconds: NonZeroU32,
    /// Further lines for the broker's `jetstream` block, such as `sync_interval: always`
    #[arg(long, value_name = "LINES", default_value = "")]
    pub(crate) jetstream: String,
    /// Jobs that are due together
    #[arg(long, value_name = "N", default_value = "20000")]
    pub(crate) due: NonZeroU32,
    /// Schedules of which most never fire, over a change of leaders
    #[arg(long, value_name = "N", default_value = "100000")]
    pub(crate) schedules: NonZeroU32,
}

/// A part of `fires`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FiresPart {
    /// Fires that come one after the other
    Steady,
    /// As many a second, all due with its first instant
    Burst,
    /// Many jobs that are due together, without and with `spread`
    Minute,
    /// Many schedules: loaded, idle, changed, and over a change of leaders
    Many,
}

/// Flags of `sql`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SqlFlags {
    /// The databases; several with commas. Where that is a server one is started
    #[arg(
        long,
        value_name = "KIND",
        value_enum,
        value_delimiter = ',',
        default_value = "postgres,maria-db,sqlite"
    )]
    pub(crate) databases: Vec<Kind>,
    /// Shards of each measurement, a row each
    #[arg(long, value_name = "N", default_value = "8000")]
    pub(crate) shards: NonZeroU32,
    /// Rounds; in each, every way is measured once
    #[arg(long, value_name = "N", default_value = "5")]
    pub(crate) rounds: NonZeroU32,
    /// Shards, and connections of the loops, at once
    #[arg(long, value_name = "N", default_value = "32")]
    pub(crate) slots: NonZeroU32,
    /// Rows that stand in the commit table before the rounds; several with commas, each larger
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        default_value = "1000,1000000"
    )]
    pub(crate) committed: Vec<u64>,
    /// Rows that are then moved, in pages by their key and beside that in one statement; 0 leaves it
    /// out
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub(crate) moved: u64,
    /// Rows of a page of these
    #[arg(long, value_name = "N", default_value = "10000")]
    pub(crate) page: NonZeroU32,
}

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// PostgreSQL
    Postgres,
    /// MariaDB
    #[value(alias = "mariadb")]
    MariaDb,
    /// SQLite
    Sqlite,
}

/// Flags of the worker that logs what it runs.
#[derive(Args, Clone, Debug)]
pub(crate) struct LogChild {
    /// The broker
    #[arg(long)]
    pub(crate) nats: String,
    /// Tiles at once
    #[arg(long)]
    pub(crate) concurrency: u32,
    /// Where the log goes
    #[arg(long)]
    pub(crate) log: PathBuf,
}

/// Flags of a measured process.
#[derive(Args, Clone, Debug)]
pub(crate) struct Child {
    /// The broker
    #[arg(long)]
    pub(crate) nats: String,
}
