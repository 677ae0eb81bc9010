//! What may be typed about snapshots.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use gridloom_shared::id::RunId;

/// Flags of `snapshot`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct SnapshotArgs {
    /// A file that is not there yet: JSON, packed by gzip
    #[arg(value_name = "FILE", required = true)]
    pub file: Option<PathBuf>,
    /// With all records of this run; repeat it for more
    #[arg(long = "run", value_name = "RUN")]
    pub runs: Vec<RunId>,
    /// Leave names of hosts and addresses as they are
    #[arg(long)]
    pub no_mask: bool,
    /// What else can be done with one.
    #[command(subcommand)]
    pub order: Option<Snapshot>,
}

/// What else can be done with a snapshot.
#[derive(Debug, Subcommand)]
pub enum Snapshot {
    /// Show what is in a snapshot; --json gives all of it
    Show(ShowSnapshot),
}

/// Flags of `snapshot show`.
#[derive(Args, Debug)]
pub struct ShowSnapshot {
    /// The file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}
