//! What people and programs order of an installation, however they say it: one implementation for the command line and
//! the API.
//!
//! | room | what it does |
//! |------|--------------|
//! | [`callbacks`] | what a service says of its shard, to the worker that holds it |
//! | [`commands`] | orders to the leader: cancel and retry runs, retry and drop dead shards |
//! | [`define`] | defines and deletes jobs, each over what was seen |
//! | `empty` | ends what is open of a job that is gone (feature `schedules`) |
//! | [`submit`] | asks for a run |
//! | [`actions`] | who has ordered what: written, and read |
//!
//! What is written under compare-and-swap where it is read stands in [`crate::reads`], beside the reading: definitions,
//! calendars, pauses, backfills.

pub mod actions;
pub mod callbacks;
pub mod commands;
pub mod define;
#[cfg(feature = "schedules")]
pub mod empty;
pub mod submit;
