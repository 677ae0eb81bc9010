//! What may be typed: the tree of commands and their flags. Every key of the configuration file has
//! its flag and its environment variable here; `config` decides which of them counts.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use gridloom_shared::address::Address;
use gridloom_shared::id::{Namespace, QueueName, RunId, WorkerName};

mod listed;
pub mod meant;
mod nats;
mod number;
pub mod variables;

pub use nats::NatsFlags;

pub use listed::{LogArgs, Numbers, Runs, Show, Unreadable};

use number::whole;

use crate::setting::{Given, Listen, LogStyle, MaxBytes, Share, Span, Storage, check_ids};

mod api;
mod backup;
mod by_hand;
mod calendar;
mod child;
mod dead;
mod doctor;
mod health;
mod import;
mod job;
mod planner;
mod sdk_test;
mod site;
mod snapshot;
mod top;
mod traces;

pub use api::{ApiFlags, TokenArgs};
pub use backup::{BackupArgs, RestoreArgs};
pub use by_hand::{BackfillArgs, Overlap, RunArgs};
pub use calendar::{
    ApplyArgs as ApplyCalendars, Calendar as CalendarOrder, DeleteArgs as DeleteCalendar,
};
pub use child::{ChildFlags, OtherFlags};
pub use dead::{Chosen, Dead, DeadOf};
pub use doctor::Doctor;
pub use health::Health;
pub use import::{Import, ImportArgs, XxlJobArgs};
pub use job::{
    ApplyArgs, DeleteArgs, FiresArgs, Job, NextArgs, PauseArgs, ResumeArgs, WhichJobs, WhyArgs,
};
pub use planner::PlannerArgs;
pub use sdk_test::SdkTest;
pub use site::{MirrorArgs, PromoteArgs, Site};
pub use snapshot::{ShowSnapshot, Snapshot, SnapshotArgs};
pub use top::TopArgs;
pub use traces::TraceFlags;

const START: &str = "\
Start here:
  gridloom demo                 see the whole engine work on real data
  gridloom dev                  an empty stack to build against
  gridloom job apply job.toml   define a job, then: gridloom run NAME --wait

Every setting has a flag, an environment variable GRIDLOOM_... and a key in gridloom.toml;
a flag beats the environment, the environment beats the file. Beside those that the flags name:
GRIDLOOM_NATS_FILE, GRIDLOOM_WORKER_DATABASES_FILE, GRIDLOOM_WORKER_HTTP_SECRETS_FILE,
GRIDLOOM_API_TOKENS_FILE and GRIDLOOM_OTLP_HEADERS_FILE name files that hold the setting,
GRIDLOOM_NATS_PASSWORD, GRIDLOOM_NATS_TOKEN, GRIDLOOM_WORKER_HTTP_SECRETS and
GRIDLOOM_OTLP_HEADERS hold what no flag may show,
GRIDLOOM_NATS_SERVER names the nats-server that dev and demo start.

Exit codes: 0 success, 1 the thing asked about failed, 2 wrong usage or input,
3 broker unreachable, 4 something there was written by a newer build.";

/// Distributes work over workers, through NATS JetStream: every shard of a job is planned once and
/// committed once, whatever crashes.
#[derive(Debug, Parser)]
#[command(name = "gridloom", version, after_help = START, arg_required_else_help = true)]
#[command(disable_help_subcommand = true, max_term_width = 100)]
pub struct Line {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub order: Order,
}

/// Flags of every command.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// The broker; several addresses with commas. Other users see the flags of a process: a password belongs into
    /// the variable, or into a file that GRIDLOOM_NATS_FILE names [default: nats://127.0.0.1:4222]
    #[arg(
        long,
        global = true,
        env = "GRIDLOOM_NATS",
        value_name = "URL",
        hide_env_values = true
    )]
    pub nats: Option<Address>,
    /// The way to it.
    #[command(flatten)]
    pub connection: NatsFlags,
    /// The installation; several can share a broker [default: gridloom]
    #[arg(
        long,
        global = true,
        env = "GRIDLOOM_NAMESPACE",
        value_name = "NAME",
        hide_env_values = true
    )]
    pub namespace: Option<Namespace>,
    /// The configuration file [default: gridloom.toml, if it is there]
    #[arg(
        long,
        global = true,
        env = "GRIDLOOM_CONFIG",
        value_name = "FILE",
        hide_env_values = true
    )]
    pub config: Option<PathBuf>,
    /// Print JSON for programs
    #[arg(long, global = true)]
    pub json: bool,
    /// Log lines wanted, as "debug" or "warn,gridloom_worker=debug" [default: info for services, else warn]
    #[arg(
        long,
        global = true,
        env = "GRIDLOOM_LOG",
        value_name = "FILTER",
        hide_env_values = true
    )]
    pub log: Option<String>,
    /// How log lines look [default: text]
    #[arg(
        long,
        global = true,
        env = "GRIDLOOM_LOG_FORMAT",
        value_name = "FORMAT",
        hide_env_values = true
    )]
    pub log_format: Option<LogStyle>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Order {
    /// The whole engine on real data, before your eyes: a worker is killed, nothing is lost
    Demo(Demo),
    /// The whole stack, empty, to build against: broker, planner and a worker, with the handlers of a program in any
    /// language, if you like: gridloom dev -- python worker.py
    Dev(Dev),
    /// The planner: opens runs, issues their shards, closes them
    Planner(PlannerArgs),
    /// A worker with the built-in handlers sql, exec, http and noop, and with those of a program in any language:
    /// gridloom worker -- python worker.py
    Worker(WorkerArgs),
    /// Define, list, show and delete jobs
    #[command(subcommand, arg_required_else_help = true)]
    Job(Job),
    /// Define, list, show and delete calendars: days and times that schedules are bound to or kept off
    #[command(subcommand, arg_required_else_help = true, after_help = calendar::EXAMPLE)]
    Calendar(CalendarOrder),
    /// Start a run of a job
    Run(RunArgs),
    /// List runs, the newest first
    Runs(Runs),
    /// Show one run, or one shard of it, exactly, from its ledger
    Show(Show),
    /// Prove that every cell of a run's grid was committed exactly once
    Audit(OfRun),
    /// End a run: nothing more of it is started, what is queued or runs is stopped
    Cancel(OfRun),
    /// Try all dead shards of a run again, by the job as it was when the run was opened; one that was cancelled or
    /// aborted goes on. A job that was changed since takes a new run
    Retry(OfRun),
    /// Shards that used up their attempts
    #[command(subcommand, arg_required_else_help = true)]
    Dead(Dead),
    /// Messages that could not be understood or carried out, and why
    #[command(subcommand, arg_required_else_help = true)]
    Unreadable(Unreadable),
    /// Queues: what is pending, in flight, redelivered
    Queues,
    /// Workers that answer
    Workers,
    /// Watch queues, runs, workers and what happens, on one screen; cancel, retry and pause by keys
    #[command(after_help = top::KEYS)]
    Top(TopArgs),
    /// Check broker, streams, consumers, permissions and clocks
    Doctor(Doctor),
    /// Ask a planner or worker on this machine whether it can work: exit code 0 or 1, for health checks
    Health(Health),
    /// Copy definitions, schedules and ledgers into a directory, while all goes on
    Backup(BackupArgs),
    /// Put a backup into a broker that is empty
    Restore(RestoreArgs),
    /// A second site that follows this installation, and takes its place
    #[command(subcommand, arg_required_else_help = true)]
    Site(Site),
    /// Who has ordered what, over HTTP and by commands, the newest first
    Log(LogArgs),
    /// Job files from another scheduler's configuration, with a report of all that is otherwise here
    #[command(subcommand, arg_required_else_help = true)]
    Import(Import),
    /// Make a token for the HTTP API of planners
    Token(TokenArgs),
    /// Test a library that has handlers in some language: the worker's end of the protocol, and what may happen there
    SdkTest(SdkTest),
    /// Write all that a bug report needs into one file: no secrets, names of hosts masked
    Snapshot(SnapshotArgs),
}

/// Flags of `demo`.
#[derive(Args, Debug)]
pub struct Demo {
    /// Leave everything running at the end, until Ctrl-C
    #[arg(long)]
    pub keep: bool,
}

/// Flags of `dev`.
#[derive(Args, Debug)]
pub struct Dev {
    /// The broker's port on 127.0.0.1; 0: any free one [default: 4222, or any free one where that is taken]
    #[arg(long, value_name = "PORT", value_parser = whole::<u16>(0, u16::MAX.into()))]
    pub port: Option<u16>,
    /// Keep jobs, runs and all else in this directory, over restarts [default: a directory that is removed at the end]
    #[arg(long = "data", visible_alias = "store", value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Settings of the worker.
    #[command(flatten)]
    pub worker: WorkerFlags,
    /// Handlers in other languages.
    #[command(flatten)]
    pub child: ChildFlags,
    /// Settings of queues.
    #[command(flatten)]
    pub queue: QueueFlags,
    /// The HTTP API.
    #[command(flatten)]
    pub api: ApiFlags,
    /// Who is told of traces.
    #[command(flatten)]
    pub traces: TraceFlags,
}

/// Flags of `worker`.
#[derive(Args, Debug)]
pub struct WorkerArgs {
    /// Settings of the worker.
    #[command(flatten)]
    pub worker: WorkerFlags,
    /// Handlers in other languages.
    #[command(flatten)]
    pub others: OtherFlags,
    /// Where metrics and health are.
    #[command(flatten)]
    pub listen: ListenFlag,
    /// Who is told of traces.
    #[command(flatten)]
    pub traces: TraceFlags,
    /// Settings of queues.
    #[command(flatten)]
    pub queue: QueueFlags,
}

/// Where a service listens.
#[derive(Args, Clone, Debug, Default)]
pub struct ListenFlag {
    /// Address of /metrics, /live and /ready [default: 127.0.0.1 and any free port, which the log names]
    #[arg(
        long,
        env = "GRIDLOOM_LISTEN",
        value_name = "ADDRESS",
        hide_env_values = true
    )]
    pub listen: Option<Listen>,
}

/// Settings of a worker.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Worker")]
pub struct WorkerFlags {
    /// The worker's name; no two workers should have the same one [default: host name, process id and a part by chance]
    #[arg(
        long,
        env = "GRIDLOOM_WORKER_NAME",
        value_name = "NAME",
        hide_env_values = true
    )]
    pub name: Option<WorkerName>,
    /// A queue to work for; several with commas [default: default]
    #[arg(
        long = "queue",
        env = "GRIDLOOM_WORKER_QUEUES",
        value_name = "QUEUE",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub queues: Option<Vec<QueueName>>,
    /// Tiles that run at once [default: 16]
    #[arg(
        long,
        env = "GRIDLOOM_WORKER_CONCURRENCY",
        value_name = "N",
        hide_env_values = true
    )]
    #[arg(value_parser = whole::<u32>(1, 20_000))]
    pub concurrency: Option<u32>,
    /// Time to finish what runs when told to stop [default: 20s]
    #[arg(
        long,
        env = "GRIDLOOM_WORKER_GRACE",
        value_name = "TIME",
        hide_env_values = true
    )]
    pub grace: Option<Span>,
    /// A database for the sql handler, as NAME=URL; one a line in the variable, or in the file that
    /// GRIDLOOM_WORKER_DATABASES_FILE names: the place for passwords
    #[arg(
        long = "database",
        env = "GRIDLOOM_WORKER_DATABASES",
        value_name = "NAME=URL"
    )]
    #[arg(hide_env_values = true)]
    pub databases: Option<Vec<Given>>,
    /// A command for the exec handler, as NAME="PROGRAM ARGS...", with quotes as in a shell but without one; one a line in the variable
    #[arg(
        long = "exec",
        env = "GRIDLOOM_WORKER_EXEC",
        value_name = "NAME=COMMAND"
    )]
    #[arg(hide_env_values = true)]
    pub exec: Option<Vec<Given>>,
    /// A service that the http handler may ask, as NAME=ORIGIN (scheme, host and port), or NAME=* for any
    #[arg(
        long = "http",
        env = "GRIDLOOM_WORKER_HTTP",
        value_name = "NAME=ORIGIN"
    )]
    #[arg(hide_env_values = true)]
    pub http: Option<Vec<Given>>,
}

/// Settings of queues: how they are made where they are not there yet, and expected to be.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Queues")]
pub struct QueueFlags {
    /// How long a worker may be silent before its tiles go to another [default: as the queue has it; 30s for a new one]
    #[arg(
        long,
        env = "GRIDLOOM_QUEUE_ACK_DEADLINE",
        value_name = "TIME",
        hide_env_values = true
    )]
    pub ack_deadline: Option<Span>,
    /// How streams are made.
    #[command(flatten)]
    pub streams: StreamFlags,
}

/// How streams are made where they are not there yet, and expected to be.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Queues")]
pub struct StreamFlags {
    /// Where the queue is kept; the ledger is on disk always, and fills the queue again [default: memory]
    #[arg(
        long,
        env = "GRIDLOOM_QUEUE_STORAGE",
        value_name = "WHERE",
        hide_env_values = true
    )]
    pub storage: Option<Storage>,
    /// Copies of each stream: 1 on a single server, 3 on a cluster [default: 1]
    #[arg(
        long,
        env = "GRIDLOOM_QUEUE_REPLICAS",
        value_name = "N",
        hide_env_values = true
    )]
    #[arg(value_parser = whole::<u8>(1, 5))]
    pub replicas: Option<u8>,
    /// How large a stream or bucket may become, as ledger=10GiB; several with commas. NAME is shards, ledger, submit,
    /// history, alarm, jobs, runs, state or workers; SIZE may be "unlimited". A stream that is there and smaller grows to it
    /// [default: submit=256MiB, shards=256MiB in memory, the others unlimited]
    #[arg(
        long = "max-bytes",
        env = "GRIDLOOM_STREAMS_MAX_BYTES",
        value_name = "NAME=SIZE",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub max_bytes: Option<Vec<MaxBytes>>,
}

/// What is kept of runs that are over.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Retention")]
pub struct RetentionFlags {
    /// How long the records of a run that is over are kept [default: 7d]
    #[arg(
        long = "retention-runs",
        env = "GRIDLOOM_RETENTION_RUNS",
        value_name = "TIME",
        hide_env_values = true
    )]
    pub runs: Option<Span>,
    /// Of how many such runs they are kept at most; the oldest go first [default: 10000]
    #[arg(
        long = "retention-most",
        env = "GRIDLOOM_RETENTION_MOST",
        value_name = "N",
        value_parser = whole::<usize>(0, u64::MAX),
        hide_env_values = true
    )]
    pub most: Option<usize>,
    /// How long those of a run are kept with dead shards that nobody retried or dropped [default: 30d]
    #[arg(
        long = "retention-dead",
        env = "GRIDLOOM_RETENTION_DEAD",
        value_name = "TIME",
        hide_env_values = true
    )]
    pub dead: Option<Span>,
    /// Of how many such runs at most; what goes then is counted and told [default: 100000]
    #[arg(
        long = "retention-most-dead",
        env = "GRIDLOOM_RETENTION_MOST_DEAD",
        value_name = "N",
        value_parser = whole::<usize>(0, u64::MAX),
        hide_env_values = true
    )]
    pub most_dead: Option<usize>,
    /// How long the id of a run that is over is remembered, a day at least [default: 30d]
    #[arg(
        long = "retention-ids",
        env = "GRIDLOOM_RETENTION_IDS",
        value_name = "TIME",
        value_parser = remembered,
        hide_env_values = true
    )]
    pub ids: Option<Span>,
    /// How often it is looked for what is to go [default: 1m]
    #[arg(
        long = "retention-every",
        env = "GRIDLOOM_RETENTION_EVERY",
        value_name = "TIME",
        hide_env_values = true
    )]
    pub every: Option<Span>,
}

/// How worker-seconds are divided.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Shares")]
pub struct ShareFlags {
    /// The weight of a share, as NAME=WEIGHT; several with commas in the variable [default: 1 for each]
    #[arg(
        long = "share",
        env = "GRIDLOOM_PLANNER_SHARES",
        value_name = "NAME=WEIGHT",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub shares: Option<Vec<Share>>,
}

fn remembered(text: &str) -> Result<Span, String> {
    let ids: Span = text.parse()?;
    check_ids(&ids).map(|()| ids)
}

/// A command about one run.
#[derive(Args, Debug)]
pub struct OfRun {
    /// The run's id
    pub run: RunId,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn tree_of_commands_is_sound() {
        Line::command().debug_assert();
    }
}
