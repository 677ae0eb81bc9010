//! What may be typed about dead shards.

use clap::{Args, Subcommand};
use gridloom_shared::id::{JobName, RunId};

use super::number::{ENDLESS, whole};

/// What to do with dead shards.
#[derive(Debug, Subcommand)]
pub enum Dead {
    /// List dead shards, with their last error
    List(Chosen),
    /// Give dead shards as many attempts again as their job allows; their runs go on, by the job as it was when they
    /// were opened
    Retry(DeadOf),
    /// Give dead shards up: they are listed no more, and stay dead
    Drop(DeadOf),
}

/// Which dead shards.
#[derive(Args, Clone, Debug, Default)]
pub struct Chosen {
    /// Those of this run
    #[arg(value_name = "RUN")]
    pub run: Option<RunId>,
    /// Those of all runs of this job
    #[arg(long, value_name = "JOB", conflicts_with = "run")]
    pub job: Option<JobName>,
    /// Only those of this slice
    #[arg(long, value_name = "N", value_parser = whole::<u32>(0, ENDLESS))]
    pub slice: Option<u32>,
    /// Only this page of the slice
    #[arg(long, value_name = "N", requires = "slice", value_parser = whole::<u32>(0, ENDLESS))]
    pub page: Option<u32>,
    /// Only those whose last error holds this text
    #[arg(long, value_name = "TEXT")]
    pub error_like: Option<String>,
}

impl Chosen {
    /// What is wrong with it: slices of several jobs have nothing in common.
    pub fn fault(&self) -> Option<&'static str> {
        let alone = self.slice.is_some() && self.run.is_none() && self.job.is_none();
        alone.then_some("--slice N: is one of a run, or of a job's runs: name RUN or --job too")
    }
}

/// Which dead shards an order is for, and whether to ask first.
#[derive(Args, Clone, Debug, Default)]
pub struct DeadOf {
    /// Which dead shards.
    #[command(flatten)]
    pub chosen: Chosen,
    /// All dead shards of all runs
    #[arg(long, conflicts_with_all = ["run", "job", "slice", "error_like"])]
    pub all: bool,
    /// Do it without asking
    #[arg(long)]
    pub yes: bool,
}

impl DeadOf {
    /// Whether something was chosen: nobody gives up everything by leaving words out.
    pub fn is_choice(&self) -> bool {
        let Chosen {
            run,
            job,
            slice: _,
            page: _,
            error_like,
        } = &self.chosen;
        self.all || run.is_some() || job.is_some() || error_like.is_some()
    }
}
