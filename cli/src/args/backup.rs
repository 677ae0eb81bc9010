//! What may be typed about backups.

use std::path::PathBuf;

use clap::Args;

use super::StreamFlags;

/// Flags of `backup`.
#[derive(Args, Debug)]
pub struct BackupArgs {
    /// A directory that is not there yet
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Then remove all backups of this namespace beside it but the N newest
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: Option<u32>,
}

/// Flags of `restore`.
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// A directory that gridloom backup made
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// How streams are made: copies as in the backup where nobody names another number.
    #[command(flatten)]
    pub streams: StreamFlags,
}
