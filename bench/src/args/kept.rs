//! Where a measurement keeps the queue.

use std::fmt::{self, Display, Formatter};

use clap::ValueEnum;
use serde::Serialize;

/// Where the queue is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kept {
    /// In the broker's memory
    Memory,
    /// On file
    File,
}

impl Kept {
    /// As the planner takes it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kept::Memory => "memory",
            Kept::File => "file",
        }
    }
}

impl Display for Kept {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
