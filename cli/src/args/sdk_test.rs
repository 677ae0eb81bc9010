//! What may be typed to test a library that has handlers in some language.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use crate::setting::Span;

/// Flags of `sdk-test`.
#[derive(Args, Debug)]
pub struct SdkTest {
    /// Play this situation alone; several with commas
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Name the situations and the place in docs/CHILD-PROTOCOL.md that each is about, and play none
    #[arg(long, conflicts_with_all = ["attach", "junit", "within", "command"])]
    pub list: bool,
    /// Test COMMAND as a program that starts its worker itself: it finds a stand-in for it as `gridloom` in its PATH
    #[arg(long)]
    pub attach: bool,
    /// Write what came of them into this file, as test suites of JUnit are written
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// How long each thing that is awaited may take [default: 20s]
    #[arg(long, value_name = "TIME")]
    pub within: Option<Span>,
    /// A program with the handlers of docs/SDK-TEST.md, as in: gridloom sdk-test -- python conformance.py
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}
