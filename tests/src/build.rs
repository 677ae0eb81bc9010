//! Decides of which build a process under test is: one of this source, or one of those that come after it and raise the
//! version of what is kept. They are this source with another number, and with records of another shape: whoever does not
//! read that version cannot read them.

use gridloom_shared::wire::{Versions, next};

use crate::process::Gridloom;

/// The variable that tells a process under test. No program that people run looks at it.
const VARIABLE: &str = "BUILD_UNDER_TEST";

/// A build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// Of this source: it reads and writes what it does.
    This,
    /// Of the release after it: it reads the next version too, and writes the same as this one.
    Next,
    /// Of the release after that: it writes the next version.
    Later,
}

impl Build {
    /// The versions that it reads and writes.
    pub fn versions(self) -> Versions {
        let built = Versions::BUILT;
        match self {
            Build::This => built,
            Build::Next => Versions {
                reads: next::VERSION,
                ..built
            },
            Build::Later => Versions {
                reads: next::VERSION,
                writes: next::VERSION,
            },
        }
    }

    /// This process is of it from now on.
    pub fn take_part(self) {
        next::take_part(self.versions());
    }

    /// The build that this process was told to be of.
    pub(crate) fn of_environment() -> Option<Build> {
        let told = std::env::var(VARIABLE).ok()?;
        let all = [Build::This, Build::Next, Build::Later];
        all.into_iter().find(|build| format!("{build:?}") == told)
    }

    /// `process`, of this build.
    pub(crate) fn starts(self, process: Gridloom) -> Gridloom {
        process.env(VARIABLE, format!("{self:?}"))
    }
}
