//! What an ad-hoc job message may say, and how it is answered when it cannot be understood.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | `request` | what the message may say (feature `runs`) |
//! | [`answer`] | what the submitter is told, if it asked for it |
//! | `unreadable` | what is recorded of one that cannot be understood |

pub mod answer;
#[cfg(feature = "runs")]
mod request;
mod unreadable;

pub use crate::limits::EXCERPT_MAX;
#[cfg(feature = "runs")]
pub use request::*;
pub use unreadable::Unreadable;
