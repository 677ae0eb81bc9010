//! What may be typed of handlers in other languages: the children of a worker, or the program that it is attached to.

use std::ffi::OsString;

use clap::Args;

use super::number::whole;
use crate::setting::Span;

/// Settings of a worker's children.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Handlers in other languages")]
pub struct ChildFlags {
    /// How many children run COMMAND [default: 1]
    #[arg(
        long,
        env = "GRIDLOOM_WORKER_PROCESSES",
        value_name = "N",
        hide_env_values = true
    )]
    #[arg(value_parser = whole::<u32>(1, 256))]
    pub processes: Option<u32>,
    /// Tiles that each child is to run at once [default: what the child says]
    #[arg(
        long,
        env = "GRIDLOOM_WORKER_SLOTS",
        value_name = "N",
        hide_env_values = true
    )]
    #[arg(value_parser = whole::<u32>(1, 10_000))]
    pub slots: Option<u32>,
    /// How long a shard of a child may take to end when it is told to stop; then the child is killed [default: 2s]
    #[arg(
        long,
        env = "GRIDLOOM_WORKER_CHILD_GRACE",
        value_name = "TIME",
        hide_env_values = true
    )]
    pub child_grace: Option<Span>,
    /// How long a child may take until it has said which handlers it has [default: 30s]
    #[arg(
        long,
        env = "GRIDLOOM_WORKER_HELLO_WITHIN",
        value_name = "TIME",
        hide_env_values = true
    )]
    pub hello_within: Option<Span>,
    /// Let children connect over loopback TCP: for languages without Unix sockets
    #[arg(
        long,
        env = "GRIDLOOM_WORKER_CHILD_TCP",
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true",
        hide_env_values = true
    )]
    pub child_tcp: Option<bool>,
    /// A program that has handlers, with its arguments, as in: -- python worker.py
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// How a worker comes by handlers in other languages.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Handlers in other languages")]
pub struct OtherFlags {
    /// Its children.
    #[command(flatten)]
    pub child: ChildFlags,
    /// Serve the handlers of the program that started this worker; it says where it listens by GRIDLOOM_SOCKET and
    /// GRIDLOOM_TOKEN, and the worker ends with it
    #[arg(long, conflicts_with_all = ["command", "processes", "slots", "child_tcp"])]
    pub attach: bool,
}
