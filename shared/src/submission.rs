//! What an ad-hoc job message may say, and how it is answered when it cannot be understood.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | `request` | what the message may say (feature `runs`) |
//! | `by_hand` | what becomes of it while another run of its job is open |
//! | `kept` | one that waits, or may be refused, for that |
//! | [`answer`] | what the submitter is told, if it asked for it |
//! | `unreadable` | what is recorded of one that cannot be understood |

pub mod answer;
mod by_hand;
mod kept;
#[cfg(feature = "runs")]
mod request;
mod unreadable;

pub use crate::limits::EXCERPT_MAX;
pub use by_hand::ByHand;
pub use kept::{Kept, Stored};
#[cfg(feature = "runs")]
pub use request::*;
pub use unreadable::Unreadable;
