//! How a child ended, as the failure of what it ran tells it.

use std::fmt;

use crate::guarded::{Ending, end};

/// Most of its last lines that a failure's text repeats, in bytes; the ledger keeps 1 KiB of the whole.
const SAID_MAX: usize = 700;

/// Why a child is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Its process ended by itself.
    Ended,
    /// It closed the connection, and went on living.
    Closed,
    /// It broke the protocol; the text says how.
    Broke(String),
    /// What was told to stop did not.
    Deaf,
    /// The worker stops.
    Stopping,
    /// It never had what it was to run.
    Unreached,
}

/// The end of a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Death {
    /// Who it was.
    pub(super) who: String,
    pub(super) cause: Cause,
    /// How its process ended, where there was one of ours.
    pub(super) ending: Option<Ending>,
    /// The end of what it wrote.
    pub(super) said: String,
}

impl Death {
    /// Whether what it was to run may have begun.
    pub(super) fn may_have_run(&self) -> bool {
        self.cause != Cause::Unreached
    }
}

/// For people: a failure's text.
impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Death {
            who,
            cause,
            ending,
            said,
        } = self;
        match (cause, ending) {
            (Cause::Ended, Some(ending)) => write!(f, "{who}: {ending}")?,
            (Cause::Ended | Cause::Closed, None) => write!(f, "{who} closed the connection")?,
            (Cause::Closed, Some(_)) => write!(
                f,
                "{who} closed the connection without ending, and was killed"
            )?,
            (Cause::Broke(how), _) => write!(f, "{who} broke the protocol: {how}")?,
            (Cause::Deaf, _) => write!(
                f,
                "{who} was told to stop a shard, did not in time, and was killed"
            )?,
            (Cause::Stopping, _) => write!(f, "{who} was killed: the worker stops")?,
            (Cause::Unreached, _) => write!(f, "{who} was gone before")?,
        }
        if said.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", end(said, SAID_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_of_a_child_names_how_it_ended_and_its_last_lines() {
        let death = |cause, ending| Death {
            who: "child 0 (python3 worker.py)".to_owned(),
            cause,
            ending,
            said: format!("{}Traceback", "x".repeat(9_000)),
        };
        let text = death(Cause::Ended, Some(Ending::Signal(9))).to_string();
        assert!(text.starts_with("child 0 (python3 worker.py): ended by signal 9 (SIGKILL): x"));
        assert!(text.ends_with("xTraceback") && text.len() < 1_024);
        let broke = death(Cause::Broke("a frame of no bytes".to_owned()), None).to_string();
        assert!(
            broke.contains("broke the protocol: a frame of no bytes"),
            "{broke}"
        );
    }
}
