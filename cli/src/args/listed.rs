//! Flags of what lists and shows: `gridloom runs`, `gridloom show`, `gridloom unreadable ...`

use clap::{Args, Subcommand};
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::tile::Cell;

/// What to do with messages that could not be understood or carried out.
#[derive(Debug, Subcommand)]
pub enum Unreadable {
    /// List refused submissions and other messages that were set aside, the newest first, with the reason
    List {
        /// At most so many
        #[arg(long, value_name = "N", default_value = "50", value_parser = at_least_one())]
        limit: usize,
    },
    /// Remove their records
    Drop(Numbers),
}

/// Which records.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct Numbers {
    /// Those with these numbers
    #[arg(value_name = "NUMBER")]
    pub numbers: Vec<u64>,
    /// All of them
    #[arg(long)]
    pub all: bool,
}

/// Flags of `runs`.
#[derive(Args, Debug)]
pub struct Runs {
    /// Only those of this job
    pub job: Option<JobName>,
    /// At most so many
    #[arg(long, value_name = "N", default_value = "50", value_parser = at_least_one())]
    pub limit: usize,
}

/// Flags of `show`.
#[derive(Args, Debug)]
pub struct Show {
    /// The run's id
    pub run: RunId,
    /// Show every attempt of one shard, as 3/7 for page 7 of slice 3
    #[arg(long, value_name = "SLICE/PAGE")]
    pub shard: Option<Cell>,
}

/// How many: a list of none answers nothing.
fn at_least_one() -> clap::builder::RangedU64ValueParser<usize> {
    clap::builder::RangedU64ValueParser::new().range(1..)
}
