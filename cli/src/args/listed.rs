//! Flags of lists: `gridloom runs`, `gridloom unreadable ...`

use clap::{Args, Subcommand};
use gridloom_shared::id::JobName;

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

/// How many: a list of none answers nothing.
fn at_least_one() -> clap::builder::RangedU64ValueParser<usize> {
    clap::builder::RangedU64ValueParser::new().range(1..)
}
