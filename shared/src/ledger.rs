//! What the records of a run mean.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`record`] | what may be written, and by whom; a room a kind of record, [`orders`] and [`retired`] among them |
//! | [`outcomes`] | the packed block of outcomes |
//! | [`fold`] | what the records add up to: the planner's view, small for a run of any size; a room a kind of change |
//! | [`crash`] | which shards kill their workers |
//! | [`summary`] | what people and programs are shown of a run |
//! | [`audit`] | the proof of coverage: a second, plain reading of the same records |

#[cfg(feature = "runs")]
pub mod audit;
pub mod crash;
#[cfg(feature = "runs")]
pub mod fold;
pub mod outcomes;
pub mod record;
#[cfg(feature = "runs")]
pub mod summary;

pub use record::{orders, retired};
