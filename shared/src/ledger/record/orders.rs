//! How a run ends, and what people, or a limit of the job, ordered of it: planner records beside its
//! waves, under the same compare-and-swap.
//!
//! A run that was `cancelled` issues nothing more and is then closed; `reopened` takes that back, also
//! after it was closed, and gives dead shards further attempts; `dropped` only says that somebody has
//! seen dead shards and gave them up.

use serde::{Deserialize, Serialize};

use crate::id::Term;
use crate::tile::Cell;

pub use crate::limits::CELLS_MAX;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum EndState {
    /// Every shard is committed.
    Succeeded,
    /// A shard is dead, or the run could not be planned.
    Failed,
    /// It was cancelled.
    Cancelled,
}

/// The last record of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    /// How it ended.
    pub state: EndState,
    /// Why, where it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Dead shards and questions that nobody gave up: so long as there are some, the run is kept as
    /// dead letters are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dead: u64,
    /// The decider's term.
    pub term: Term,
}

pub(super) fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Nothing more of the run is issued; what is queued or runs is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// Number of the request, so that one whose answer was lost is recognised.
    pub request: u64,
    /// Why the run aborts itself; `None`: somebody cancelled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aborted: Option<String>,
    /// The decider's term.
    pub term: Term,
}

/// Dead shards get as many attempts again as the job allows, and the run goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reopened {
    /// As in [`Cancelled`].
    pub request: u64,
    /// Which; those that are not dead by then are passed over.
    pub which: Which,
    /// The decider's term.
    pub term: Term,
}

/// Dead shards were given up: they are still dead, and listed no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// As in [`Cancelled`].
    pub request: u64,
    /// Which; those that are not dead by then are passed over.
    pub which: Which,
    /// Whether the run was closed before: it still is.
    pub closed: bool,
    /// Dead shards and questions that are not given up by then.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left: u64,
    /// The decider's term.
    pub term: Term,
}

/// Which dead shards of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    /// All that were not given up.
    All,
    /// These, given up or not.
    These(Vec<Cell>),
}
