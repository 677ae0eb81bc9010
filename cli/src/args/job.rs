//! What may be typed about jobs.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use gridloom_shared::id::JobName;
use gridloom_shared::schedule::pause::Missed;

use super::by_hand::BackfillArgs;
use super::number::{from_one, whole};

/// What to do with jobs.
#[derive(Debug, Subcommand)]
pub enum Job {
    /// Define jobs, or change them, from TOML or JSON files
    Apply(ApplyArgs),
    /// List jobs
    List,
    /// Show the definition of a job, all defaults written out
    Show {
        /// The job
        job: JobName,
    },
    /// Say when a job fires next, by the clocks of its zone and in UTC
    Next(NextArgs),
    /// List what was decided of a job's fires
    Fires(FiresArgs),
    /// Say what was decided of one fire, and why
    Why(WhyArgs),
    /// Let a job's schedule fire nothing for a while
    Pause(PauseArgs),
    /// Let a job's schedule fire again
    Resume(ResumeArgs),
    /// Run the times of a job's schedule in a range again
    Backfill(BackfillArgs),
    /// List a job's backfills, and how far each has come
    Backfills {
        /// The job
        job: JobName,
    },
    /// Delete a job; its runs stay
    Delete(DeleteArgs),
}

/// Flags of `job apply`.
#[derive(Args, Debug)]
pub struct ApplyArgs {
    /// Job files, "-" for standard input; all are checked before any is applied
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Apply nothing: say what would change, and which fires would fall away or be new
    #[arg(long)]
    pub dry_run: bool,
    /// Only if this is the job's revision (gridloom job show says it); 0: only if there is no such job. Else exit code 1
    #[arg(long, value_name = "N", value_parser = whole::<u64>(0, u64::MAX))]
    pub if_revision: Option<u64>,
    /// Paused from the start, with this note: nothing fires before gridloom job resume
    #[arg(long, value_name = "NOTE", conflicts_with_all = ["if_revision", "dry_run"])]
    pub paused: Option<String>,
}

/// Flags of `job delete`.
#[derive(Args, Debug)]
pub struct DeleteArgs {
    /// The job
    pub job: JobName,
    /// Cancel its open runs, too
    #[arg(long)]
    pub cancel: bool,
    /// Only if this is the job's revision (gridloom job show says it). Else exit code 1
    #[arg(long, value_name = "N", value_parser = whole::<u64>(1, u64::MAX))]
    pub if_revision: Option<u64>,
}

/// More times of a schedule nobody reads.
const COUNT_MAX: u64 = 10_000;

/// Flags of `job next`.
#[derive(Args, Debug)]
pub struct NextArgs {
    /// A job, or a job file that need not be applied
    #[arg(value_name = "JOB|FILE")]
    pub job: String,
    /// How many fires, at most 10000
    #[arg(long, value_name = "N", default_value = "5", value_parser = whole::<usize>(1, COUNT_MAX))]
    pub count: usize,
    /// From this time on, by the clocks of the job's zone or with an offset [default: now]
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
}

/// Flags of `job fires`.
#[derive(Args, Debug)]
pub struct FiresArgs {
    /// The job
    pub job: JobName,
    /// Only fires from this time on, by the clocks of the job's zone or with an offset
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Only fires up to this time
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Only those of which this was decided
    #[arg(long, value_name = "WORD", value_parser = [
        "opened", "queued", "skipped", "cancelled_previous", "expired", "coalesced", "paused", "frozen", "excluded",
        "dropped", "adopted", "halted", "ended",
    ])]
    pub decision: Option<String>,
    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value = "50", value_parser = from_one())]
    pub limit: usize,
}

/// Flags of `job why`.
#[derive(Args, Debug)]
pub struct WhyArgs {
    /// The job
    pub job: JobName,
    /// The nominal time, by the clocks of the job's zone or with an offset; or a run's id
    #[arg(value_name = "TIME|RUN")]
    pub time: String,
}

/// One job or all.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct WhichJobs {
    /// The job
    pub job: Option<JobName>,
    /// All jobs of the namespace
    #[arg(long)]
    pub all: bool,
}

/// Flags of `job pause`.
#[derive(Args, Debug)]
pub struct PauseArgs {
    /// Which.
    #[command(flatten)]
    pub which: WhichJobs,
    /// Until then, by the clocks of the job's zone or with an offset [default: until it is resumed]
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Why; shown to everybody, and on record of each fire that is held back
    #[arg(long, value_name = "TEXT")]
    pub note: String,
}

/// Flags of `job resume`.
#[derive(Args, Debug)]
pub struct ResumeArgs {
    /// Which.
    #[command(flatten)]
    pub which: WhichJobs,
    /// What becomes of the fires that were held back [default: what misfire of the job says]
    #[arg(long, value_name = "WHICH")]
    pub missed: Option<MissedFires>,
}

/// What becomes of fires that a pause held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MissedFires {
    /// None gets a run
    Skip,
    /// The newest gets a run
    Once,
    /// Each gets a run, the newest 200 at most
    All,
}

impl From<MissedFires> for Missed {
    fn from(missed: MissedFires) -> Missed {
        match missed {
            MissedFires::Skip => Missed::Skip,
            MissedFires::Once => Missed::Once,
            MissedFires::All => Missed::All,
        }
    }
}
