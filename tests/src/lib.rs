//! Starts what a test needs for real: nats-server, `gridloom` processes, and nothing pretended; and
//! judges what they left behind.
//!
//! Everything started here dies with the test, however the test ends.

pub mod accounts;
pub mod build;
pub mod certificates;
pub mod chaos;
pub mod chromium;
pub mod cluster;
pub mod collector;
pub mod database;
pub mod http;
pub mod island;
pub mod logged;
pub mod observer;
pub mod oracle;
pub mod power;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod pulse;
pub mod questions;
pub mod roles;
pub mod scenario;
pub mod seed;
pub mod server;
pub mod slow_disk;
pub mod small_disk;
pub mod soak;
pub mod tmux;
pub mod wait;
pub mod wall_clock;
pub mod web;

use std::path::PathBuf;

use anyhow::Context;

/// The `gridloom` command that was built with these tests.
///
/// # Errors
/// When it is not beside the test's own executable: it is built only by `cargo test` and
/// `cargo build` of this package.
pub fn gridloom() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("find the test's own executable")?;
    // These are both: they are built without the other.
    if own
        .file_name()
        .is_some_and(|name| name == "chaos" || name == "gridloom-bench")
    {
        return Ok(own);
    }
    let path = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join("gridloom-under-test"))
        .find(|path| path.is_file());
    path.with_context(|| format!("find `gridloom-under-test` beside `{}`", own.display()))
}
