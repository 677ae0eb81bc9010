//! The worker SDK of Gridloom, and its built-in handlers.

mod crew;
mod engine;
mod lease;
mod outcomes;
mod presence;
mod slots;
mod takeover;

pub mod builder;
pub mod failure;
pub mod handler;
pub mod handlers;
pub mod health;
pub mod shard;
pub mod trial;

pub use builder::{BuildError, Builder, RunError, Stop, Worker};
pub use failure::Failure;
pub use handler::{Handler, ProbedPages};
pub use health::WorkerHealth;
pub use shard::{Page, Probe, Report, Shard};
pub use trial::Trial;
