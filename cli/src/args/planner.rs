//! Flags of `gridloom planner`.

use std::num::NonZeroUsize;

use clap::Args;

use super::{ApiFlags, ListenFlag, RetentionFlags, ShareFlags, StreamFlags, TraceFlags};

/// Flags of `planner`.
#[derive(Args, Debug)]
pub struct PlannerArgs {
    /// Where metrics and health are.
    #[command(flatten)]
    pub listen: ListenFlag,
    /// The HTTP API.
    #[command(flatten)]
    pub api: ApiFlags,
    /// Who is told of traces.
    #[command(flatten)]
    pub traces: TraceFlags,
    /// What is kept of runs that are over.
    #[command(flatten)]
    pub retention: RetentionFlags,
    /// How worker-seconds are divided.
    #[command(flatten)]
    pub shares: ShareFlags,
    /// Most open runs of one queue; more submissions wait on the submit stream [default: 50000]
    #[arg(
        long = "open-runs",
        env = "GRIDLOOM_PLANNER_OPEN_RUNS",
        value_name = "N",
        hide_env_values = true
    )]
    pub open_runs: Option<NonZeroUsize>,
    /// Settings of streams.
    #[command(flatten)]
    pub streams: StreamFlags,
    /// Refused: it is a worker's.
    #[arg(long, value_name = "TIME", hide = true)]
    pub ack_deadline: Option<String>,
    /// A fault of one of its tasks, on purpose: for tests.
    #[arg(long, value_name = "TASK=HOW", hide = true)]
    pub fault: Option<gridloom_planner::Fault>,
}
