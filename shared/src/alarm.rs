//! What stands on `<ns>-alarm`: what the broker itself raises where no planner is left to. Whoever reads it must not
//! need to know what a schedule means.
//!
//! | what is watched | armed for | withdrawn by a planner |
//! |-----------------|-----------|------------------------|
//! | a job's next fire | a while after its opening ([`ALARM_AFTER`](crate::limits::ALARM_AFTER)) | replaced once the fire has its answer |
//! | a run that has to be over by a time | that time | once the run is over |

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::UnixMs;
use crate::id::{JobName, RunId};

/// What somebody would miss.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Watched {
    /// The next fire of a job.
    Fire(JobName),
    /// The end of a run.
    Run(RunId),
}

/// An alarm: armed until the broker raises it, or until a planner withdraws it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// What is missed when it is raised.
    pub watched: Watched,
    /// The nominal time of the fire, or of the run's.
    pub scheduled_at: UnixMs,
    /// When the fire was to open, or the run to be over.
    pub due: UnixMs,
    /// When the broker raises it.
    pub at: UnixMs,
}

impl Watched {
    /// The job that it is about.
    pub fn job(&self) -> &str {
        match self {
            Watched::Fire(job) => job.as_str(),
            Watched::Run(run) => run.job(),
        }
    }
}

/// What it says once it is raised.
impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let due = self.due.rfc3339();
        match &self.watched {
            Watched::Fire(job) => write!(
                f,
                "job {job}: the fire of {due}, or one since, has no answer"
            ),
            Watched::Run(run) => write!(f, "run {run} had to be over at {due}"),
        }
    }
}

crate::wire::coded!(Alarm);
