//! Whether a definition is still the one that somebody saw: what they change is that one and no other.

use std::fmt;

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::JobName;
use gridloom_shared::reads::jobs::Seen;
use serde::Serialize;

/// What stands there is not what was expected. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub(super) struct Conflict {
    job: JobName,
    change: &'static str,
    /// The revision that was to be changed; 0: there was to be no such job.
    expected: u64,
    /// The one that is there; 0: there is no such job.
    revision: u64,
    /// Since when it is there (RFC 3339).
    applied_at: Option<String>,
}

impl Conflict {
    fn new(job: &JobName, expected: u64, seen: &Seen) -> Conflict {
        let applied_at = seen.job().map(|job| job.applied_at);
        Conflict {
            job: job.clone(),
            change: "conflict",
            expected,
            revision: seen.revision(),
            applied_at: applied_at.map(UnixMs::rfc3339),
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Conflict {
            job,
            expected,
            revision,
            ..
        } = self;
        let Some(at) = &self.applied_at else {
            return write!(
                f,
                "there is no job {job} now, and revision {expected} was expected: somebody deleted it; nothing was \
                 written; to define it anew: gridloom job apply FILE --if-revision 0"
            );
        };
        let is = match expected {
            0 => format!("job {job} is there already: revision {revision}, applied {at}"),
            _ => format!(
                "job {job} has revision {revision}, applied {at}, and not {expected}: somebody changed it since"
            ),
        };
        write!(
            f,
            "{is}; nothing was written; see what it is now (gridloom job show {job}), then repeat with \
             --if-revision {revision}"
        )
    }
}

/// Whether the job that was `seen` has the revision that was `expected`, where one was.
pub(super) fn check(job: &JobName, expected: Option<u64>, seen: &Seen) -> Result<(), Conflict> {
    match expected {
        Some(expected) if expected != seen.revision() => Err(Conflict::new(job, expected, seen)),
        Some(_) | None => Ok(()),
    }
}
