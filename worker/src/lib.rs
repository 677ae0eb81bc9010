//! The worker SDK of Gridloom, and its built-in handlers.

mod crew;
mod lease;
mod outcomes;
mod slots;
mod takeover;

pub mod failure;
pub mod handler;
pub mod handlers;
pub mod shard;
pub mod trial;

pub use failure::Failure;
pub use handler::{Handler, ProbedPages};
pub use shard::{Page, Probe, Report, Shard};
pub use trial::Trial;
