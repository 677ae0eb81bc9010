//! What comes of a job's schedule, and what is the case with its fires: told alike by the command line and the API.
//!
//! | room | what it tells |
//! |------|---------------|
//! | [`times`] | the times that people write, by the clocks of a schedule's zone |
//! | [`coming`] | when a job fires next |
//! | [`obstacles`] | what stands in the way of its fires |
//! | [`mod@why`] | what became of one nominal time, or will |
//! | [`again`] | which nominal times a backfill would run again |

pub mod again;
pub mod coming;
pub mod obstacles;
pub mod times;
pub mod why;
