//! Flags of what lists and shows: `gridloom runs`, `gridloom show`, `gridloom log`, `gridloom unreadable ...`

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::ledger::summary::RunState;
use gridloom_shared::tile::Cell;

use super::number::{from_one, whole};

/// What to do with messages that could not be understood or carried out.
#[derive(Debug, Subcommand)]
pub enum Unreadable {
    /// List refused submissions and other messages that were set aside, the newest first, with the reason
    List {
        /// At most so many
        #[arg(long, value_name = "N", default_value = "50", value_parser = from_one())]
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
    #[arg(value_name = "NUMBER", value_parser = whole::<u64>(1, u64::MAX))]
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
    /// Only those in this state
    #[arg(long, value_name = "STATE", value_parser = state_named())]
    pub state: Option<RunState>,
    /// At most so many
    #[arg(long, value_name = "N", default_value = "50", value_parser = from_one())]
    pub limit: usize,
}

/// Flags of `log`.
#[derive(Args, Debug)]
pub struct LogArgs {
    /// At most so many
    #[arg(long, value_name = "N", default_value = "50", value_parser = from_one())]
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

/// The states of a run, by the names that lists give them.
fn state_named() -> impl TypedValueParser<Value = RunState> {
    const ALL: [RunState; 4] = [
        RunState::Running,
        RunState::Succeeded,
        RunState::Failed,
        RunState::Cancelled,
    ];
    let named = PossibleValuesParser::new(ALL.map(RunState::as_str));
    named.map(|name| {
        let state = ALL.into_iter().find(|state| state.as_str() == name);
        state.unwrap_or(RunState::Running)
    })
}
