//! The planner: takes submissions, opens runs, issues waves, folds ledgers, closes runs.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`leader`] | who leads, and until when |
//! | [`submit`] | what an ad-hoc message becomes: a run, or a record of why not |
//! | [`run`] | what a run needs next: a wave, its end (pure) |
//! | [`window`] | how much of a queue may be outstanding (pure) |
//! | [`broker_clock`] | what time it is by the broker's clock |
//! | [`failover`] | who is dead (pure), and what the queue lacks (the refill) |
//! | [`retention`] | what of runs that are over is kept, and for how long (pure) |
//! | [`service`] | the one loop that takes in events and carries out what was decided |
//!
//! The planner holds no truth of its own: killed at any moment, it goes on from the ledger.

pub mod broker_clock;
pub mod failover;
pub mod leader;
pub mod retention;
pub mod run;
pub mod service;
pub mod submit;
pub mod window;

pub use service::{Health, Planner, PlannerOptions};
