//! Whether a definition is still the one that somebody saw: what they change is that one and no other. Of jobs and of
//! calendars alike.

use std::collections::BTreeMap;
use std::fmt;

use gridloom_shared::clock::UnixMs;
use gridloom_shared::reads::{calendars, jobs};
use serde::Serialize;

use crate::context::Context;

/// What is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Job,
    Calendar,
}

/// What stands under a name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stands<'a> {
    kind: Kind,
    name: &'a str,
    /// 0: nothing.
    revision: u64,
    /// Since when.
    since: Option<UnixMs>,
}

/// What stands there is not what was expected. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub(crate) struct Conflict {
    #[serde(skip)]
    kind: Kind,
    #[serde(skip)]
    name: String,
    /// Its name, under what it is: `job`, `calendar`.
    #[serde(flatten)]
    named: BTreeMap<&'static str, String>,
    change: &'static str,
    /// The revision that was to be changed; 0: there was to be none of that name.
    expected: u64,
    /// The one that is there; 0: there is none.
    revision: u64,
    /// Since when it is there (RFC 3339).
    applied_at: Option<String>,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Job => "job",
            Kind::Calendar => "calendar",
        }
    }
}

impl<'a> Stands<'a> {
    /// What was seen of a job.
    pub(super) fn job(name: &'a str, seen: &jobs::Seen) -> Stands<'a> {
        Stands {
            kind: Kind::Job,
            name,
            revision: seen.revision(),
            since: seen.job().map(|job| job.applied_at),
        }
    }

    /// What was seen of a calendar.
    pub(super) fn calendar(name: &'a str, seen: &calendars::Seen) -> Stands<'a> {
        Stands {
            kind: Kind::Calendar,
            name,
            revision: seen.revision(),
            since: seen.stored.as_ref().map(|stored| stored.applied_at),
        }
    }

    /// Whether it has the revision that was `expected`, where one was.
    pub(super) fn check(&self, expected: Option<u64>) -> Result<(), Conflict> {
        match expected {
            Some(expected) if expected != self.revision => Err(self.conflict(expected)),
            Some(_) | None => Ok(()),
        }
    }

    fn conflict(&self, expected: u64) -> Conflict {
        Conflict {
            kind: self.kind,
            name: self.name.to_owned(),
            named: BTreeMap::from([(self.kind.as_str(), self.name.to_owned())]),
            change: "conflict",
            expected,
            revision: self.revision,
            applied_at: self.since.map(UnixMs::rfc3339),
        }
    }
}

/// How programs are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// One document.
    Alone,
    /// A list of them.
    Listed,
}

/// The error, after programs were told of it in the form that they expect, where it is a conflict.
pub(super) fn told(context: &Context, answer: Answer, error: anyhow::Error) -> anyhow::Error {
    if let Some(conflict) = error.downcast_ref::<Conflict>()
        && context.output.is_json()
    {
        match answer {
            Answer::Alone => context.output.document(conflict),
            Answer::Listed => context.output.document(&[conflict]),
        }
    }
    error
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Conflict {
            name,
            expected,
            revision,
            ..
        } = self;
        let kind = self.kind.as_str();
        let Some(at) = &self.applied_at else {
            return write!(
                f,
                "there is no {kind} {name} now, and revision {expected} was expected: somebody deleted it; nothing was \
                 written; to define it anew: gridloom {kind} apply FILE --if-revision 0"
            );
        };
        let is = match expected {
            0 => format!("{kind} {name} is there already: revision {revision}, applied {at}"),
            _ => format!(
                "{kind} {name} has revision {revision}, applied {at}, and not {expected}: somebody changed it since"
            ),
        };
        write!(
            f,
            "{is}; nothing was written; see what it is now (gridloom {kind} show {name}), then repeat with \
             --if-revision {revision}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflict_says_what_is_there_and_what_was_expected_of_jobs_and_calendars_alike() {
        for (kind, word) in [(Kind::Job, "job"), (Kind::Calendar, "calendar")] {
            let stands = |revision, since| Stands {
                kind,
                name: "office",
                revision,
                since,
            };
            let there = stands(7, Some(UnixMs(0)));
            assert_eq!(there.check(None), Ok(()));
            assert_eq!(there.check(Some(7)), Ok(()));
            let conflict = there.check(Some(5)).unwrap_err();
            let wanted = serde_json::json!({
                word: "office", "change": "conflict", "expected": 5, "revision": 7, "applied_at": "1970-01-01T00:00:00.000Z",
            });
            assert_eq!(serde_json::to_value(&conflict).unwrap(), wanted);
            assert!(
                conflict.to_string().contains("--if-revision 7"),
                "{conflict}"
            );
            let made = there.check(Some(0)).unwrap_err().to_string();
            assert!(
                made.starts_with(&format!("{word} office is there already")),
                "{made}"
            );
            let gone = stands(0, None);
            assert_eq!(
                gone.check(Some(0)),
                Ok(()),
                "there is none, or none any more"
            );
            let gone = gone.check(Some(7)).unwrap_err().to_string();
            assert!(
                gone.starts_with(&format!("there is no {word} office now")),
                "{gone}"
            );
        }
    }
}
