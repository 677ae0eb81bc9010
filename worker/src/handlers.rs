//! The built-in handlers.
//!
//! | room | what it does |
//! |------|--------------|
//! | [`exec`] | runs commands that the worker's configuration names |
//! | [`noop`] | nothing, slowly or wrongly if asked: for trying things out |
//! | [`sql`] | runs SQL statements, each shard's effect exactly once |

pub mod exec;
pub mod noop;
pub mod sql;
