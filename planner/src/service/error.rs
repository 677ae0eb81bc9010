//! Why a leadership could not be taken.

use gridloom_shared::broker::api::ApiError;
use gridloom_shared::broker::log::ReadError;
use gridloom_shared::broker::term::ClaimError;
use gridloom_shared::broker::topology::TopologyError;
use gridloom_shared::id::Term;

/// Why a leadership could not be taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum TakeError {
    #[error(transparent)]
    Topology(#[from] TopologyError),
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl TakeError {
    /// The term that somebody else holds.
    pub(super) fn holder(&self) -> Option<Term> {
        match self {
            TakeError::Claim(ClaimError::Deposed { holder, .. }) => Some(holder.term),
            TakeError::Topology(_)
            | TakeError::Claim(_)
            | TakeError::Read(_)
            | TakeError::Api(_) => None,
        }
    }
}
