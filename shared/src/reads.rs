//! What the command line, an API and a console read of an installation: the same answers for all of them.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`ledger`] | how a run's ledger is read: page by page, by everybody |
//! | [`runs`] | which runs there are, and how each stands |
//! | [`live`] | how the open runs stand, kept up to date by what is new |
//! | [`failures`] | why attempts of a run failed, and what waits for another |
//! | [`attempts`] | what became of one shard, attempt by attempt |
//! | [`grid`] | how the cells of a run stand, all of them in few bytes |
//! | [`changes`] | which cells of a run have changed lately |
//! | [`reported`] | which shards a worker has reported on |
//! | [`worked`] | who has worked on a run when |
//! | [`held`] | which shards are held longest, and by whom |
//! | [`lost`] | which runs were lost while they were open |
//! | [`dead`] | which shards have used up their attempts |
//! | [`refused`] | which messages were refused or set aside |
//! | [`jobs`] | which jobs are defined |
//! | `calendars` | which calendars there are, and which jobs name them (feature `schedules`) |
//! | `pauses` | which schedules are paused (feature `schedules`) |
//! | `by_hand` | which runs were asked for by hand and are not open yet (feature `schedules`) |
//! | `backfills` | which nominal times are run again (feature `schedules`) |
//! | `alarms` | which alarms stand (feature `schedules`) |
//! | `fires` | what was decided of a job's fires (feature `schedules`) |
//! | [`queues`] | what waits, and where |
//! | [`waits`] | what a run waits for |
//! | [`workers`] | who is there to do it |
//! | [`unknown`] | what a job names that some of them do not know |
//! | [`planners`] | who plans |
//!
//! All but the first are there with the feature `runs`: a worker reads ledgers alone.
//!
//! Nothing here prints, orders or changes anything. One run, job, queue or worker that is gone, or that
//! makes no sense, never spoils a list of others: it is left out, and the list says so ([`LeftOut`]).

use std::fmt;

use serde::Serialize;

use crate::broker::PublishError;
use crate::broker::api::ApiError;
use crate::broker::log::ReadError;
use crate::broker::topology::TopologyError;
#[cfg(feature = "runs")]
use crate::chain;
use crate::id::{Namespace, RunId};
use crate::submission::ByHand;

#[cfg(feature = "schedules")]
pub mod alarms;
#[cfg(feature = "runs")]
pub mod attempts;
#[cfg(feature = "schedules")]
pub mod backfills;
#[cfg(feature = "schedules")]
pub mod by_hand;
#[cfg(feature = "schedules")]
pub mod calendars;
#[cfg(feature = "runs")]
pub mod changes;
#[cfg(feature = "runs")]
pub mod dead;
#[cfg(feature = "runs")]
pub mod failures;
#[cfg(feature = "schedules")]
pub mod fires;
#[cfg(feature = "runs")]
pub mod grid;
#[cfg(feature = "runs")]
pub mod held;
#[cfg(feature = "runs")]
pub mod jobs;
pub mod ledger;
#[cfg(feature = "runs")]
pub mod live;
#[cfg(feature = "runs")]
pub mod lost;
#[cfg(feature = "runs")]
#[cfg(test)]
mod made_up;
#[cfg(feature = "schedules")]
pub mod pauses;
#[cfg(feature = "runs")]
pub mod planners;
pub mod purged;
#[cfg(feature = "runs")]
pub mod queued;
#[cfg(feature = "runs")]
pub mod queues;
#[cfg(feature = "runs")]
pub mod refused;
#[cfg(feature = "runs")]
pub mod reported;
#[cfg(feature = "runs")]
mod roll_call;
#[cfg(feature = "runs")]
pub mod runs;
#[cfg(feature = "runs")]
pub mod unknown;
#[cfg(feature = "runs")]
pub mod waits;
#[cfg(feature = "runs")]
pub mod worked;
#[cfg(feature = "runs")]
pub mod workers;

/// Why a run cannot be told of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// Nothing stands in the ledger under this id.
    #[error(
        "there is no run {run} in namespace {namespace}; gridloom runs lists those that are there"
    )]
    Absent {
        /// What was asked for.
        run: RunId,
        /// Where.
        namespace: Namespace,
    },
    /// Its records were kept long enough.
    #[error(
        "run {run} is over and was purged: of a run that is over only the id is kept in the end (retention.runs and retention.most of the planner)"
    )]
    Purged {
        /// What was asked for.
        run: RunId,
    },
    /// Records stand under this id, but not the first one of a run.
    #[error("run {run} cannot be told of: its ledger does not begin with its opening")]
    Headless {
        /// What was asked for.
        run: RunId,
    },
    /// It was asked for, and is not open yet.
    #[error(
        "run {run} is not open yet: it waits until other runs of its job are over (overlap = {})",
        .overlap.as_str()
    )]
    Waiting {
        /// What was asked for.
        run: RunId,
        /// Its overlap policy.
        overlap: ByHand,
    },
    /// It was open, and its records are not there any more.
    #[error("run {run} is lost: {how}")]
    Lost {
        /// Its id.
        run: RunId,
        /// How, and when that was seen.
        how: String,
    },
    /// The broker does not answer.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The broker does not say how far the ledger reaches.
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl RunError {
    /// Whether it is the matter of this run alone: others can be told of.
    pub fn is_of_the_run(&self) -> bool {
        match self {
            RunError::Absent { .. }
            | RunError::Purged { .. }
            | RunError::Headless { .. }
            | RunError::Waiting { .. }
            | RunError::Lost { .. } => true,
            RunError::Read(_) | RunError::Api(_) => false,
        }
    }

    /// Whether the run is not there any more, as happens to every run in the end.
    pub fn is_gone(&self) -> bool {
        match self {
            RunError::Absent { .. } | RunError::Purged { .. } => true,
            RunError::Headless { .. }
            | RunError::Waiting { .. }
            | RunError::Lost { .. }
            | RunError::Read(_)
            | RunError::Api(_) => false,
        }
    }
}

/// Why a list cannot be told at all.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// A stream cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A question was not answered.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A consumer cannot be looked at.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// Workers cannot be asked.
    #[error(transparent)]
    Ask(#[from] PublishError),
}

/// What a list does not tell of, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeftOut {
    /// Its name.
    pub name: String,
    /// Why, for people.
    pub reason: String,
}

#[cfg(feature = "runs")]
impl LeftOut {
    fn new(name: impl Into<String>, reason: &dyn std::error::Error) -> LeftOut {
        LeftOut {
            name: name.into(),
            reason: chain(reason).to_string(),
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is left out: {}", self.name, self.reason)
    }
}
