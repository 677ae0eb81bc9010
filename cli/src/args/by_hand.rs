//! What may be typed about runs by hand and backfills.

use clap::{Args, ValueEnum};
use gridloom_shared::id::JobName;
use gridloom_shared::limits::BACKFILL_OPEN_MAX;
use gridloom_shared::schedule::{BackfillName, ByHand};
use gridloom_shared::trace::Traceparent;

use super::number::whole;

/// Flags of `run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The job
    pub job: JobName,
    /// A parameter for this run, over the job's own; dots nest, and JSON is read as JSON
    #[arg(long = "param", value_name = "KEY=VALUE")]
    pub params: Vec<String>,
    /// A request id: the same one never makes a second run [default: a random one]
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// While another run of the job is open [default: allow]
    #[arg(long, value_name = "POLICY")]
    pub overlap: Option<Overlap>,
    /// The place in a trace that the run goes on from, as W3C Trace Context writes it [default: the variable
    /// TRACEPARENT, if it holds one]
    #[arg(long, value_name = "PLACE", value_parser = place)]
    pub traceparent: Option<Traceparent>,
    /// Stay until the run is over; the exit code tells how it ended
    #[arg(long)]
    pub wait: bool,
}

fn place(text: &str) -> Result<Traceparent, String> {
    Traceparent::parse(text).ok_or_else(|| {
        "must look like 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 (W3C Trace Context)".to_owned()
    })
}

/// Flags of `job backfill`.
#[derive(Args, Debug)]
pub struct BackfillArgs {
    /// The job
    pub job: JobName,
    /// The first time, by the clocks of the job's zone or with an offset
    #[arg(long, value_name = "TIME", required_unless_present = "cancel")]
    pub from: Option<String>,
    /// The last time; of a day, all of it
    #[arg(long, value_name = "TIME", required_unless_present = "cancel")]
    pub to: Option<String>,
    /// While another run of the job is open [default: allow, and no fire waits for a run of the backfill]
    #[arg(long, value_name = "POLICY")]
    pub overlap: Option<Overlap>,
    /// At most so many of its runs are open at once
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = whole::<u32>(1, BACKFILL_OPEN_MAX.into()))]
    pub concurrency: u32,
    /// Its name, of a-z and 0-9: the same one never makes a second backfill [default: a random one]
    #[arg(long, value_name = "NAME")]
    pub name: Option<BackfillName>,
    /// Only say which times it would run again
    #[arg(long)]
    pub dry_run: bool,
    /// Do it without asking
    #[arg(long)]
    pub yes: bool,
    /// End this backfill: nothing more of it is opened, and what is open goes on
    #[arg(long, value_name = "NAME")]
    #[arg(conflicts_with_all = ["from", "to", "overlap", "concurrency", "name", "dry_run", "yes"])]
    pub cancel: Option<BackfillName>,
}

/// What becomes of a run that is asked for while another run of the job is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Overlap {
    /// It is not opened
    Skip,
    /// It waits, and the newest takes the place of those that wait
    QueueOne,
    /// It waits behind those that wait
    QueueAll,
    /// The open run is cancelled, and it opens after that
    CancelRunning,
    /// It opens beside the open run
    Allow,
}

impl From<Overlap> for ByHand {
    fn from(overlap: Overlap) -> ByHand {
        match overlap {
            Overlap::Skip => ByHand::Skip,
            Overlap::QueueOne => ByHand::QueueOne,
            Overlap::QueueAll => ByHand::QueueAll,
            Overlap::CancelRunning => ByHand::CancelRunning,
            Overlap::Allow => ByHand::Allow,
        }
    }
}
