//! Why a question has no answer, and whether what was asked for may be done all the same.

use std::time::Duration;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Nobody listens there: surely nothing was done.
    #[error("no responders on {subject}")]
    NoResponders {
        /// Where the request went.
        subject: String,
    },
    /// No answer in time: it may have been done. A missing permission looks like this to who does not want to know it at
    /// once.
    #[error("no answer on {subject} within {waited:?}")]
    TimedOut {
        /// Where the request went.
        subject: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The broker does not allow it. Surely nothing was done.
    #[error(
        "{who} may not ask {subject}, or not hear the answer: do it as a user that may (docs/PERMISSIONS.md)"
    )]
    Refused {
        /// Where the request went.
        subject: String,
        /// Who asked.
        who: String,
    },
    /// The connection was lost before an answer came: it may have been done.
    #[error("connection lost before an answer on {subject}")]
    Disconnected {
        /// Where the request went.
        subject: String,
    },
    /// The request cannot be sent: too large, or a bad subject. Surely nothing was done.
    #[error("send to {subject}: {cause}")]
    Unsendable {
        /// Where the request was to go.
        subject: String,
        /// What is wrong with it.
        cause: String,
    },
}

impl RequestError {
    /// Where the request went.
    pub fn subject(&self) -> &str {
        match self {
            RequestError::NoResponders { subject }
            | RequestError::TimedOut { subject, .. }
            | RequestError::Refused { subject, .. }
            | RequestError::Disconnected { subject }
            | RequestError::Unsendable { subject, .. } => subject,
        }
    }

    /// Whether it was refused for want of a permission.
    pub fn is_refused(&self) -> bool {
        matches!(self, RequestError::Refused { .. })
    }

    /// Whether the request may have had its effect although no answer came.
    pub fn may_be_done(&self) -> bool {
        matches!(
            self,
            RequestError::TimedOut { .. } | RequestError::Disconnected { .. }
        )
    }
}
