//! Names and identifiers: which are well formed, and how a run's id follows from its source.
//!
//! Whatever arrives from outside becomes one of these types before it is used in a subject, a key
//! or a filter: a run called `*` in a purge filter would empty every run (docs/PROTOCOL.md §1).

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::UnixMs;
pub use crate::limits::{NAME_MAX, RUN_ID_MAX};

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is no name: see the message for the rule.
    #[error(
        "{what} {text:?} must be 1 to {NAME_MAX} of a-z, 0-9 and '-', and begin with a letter or digit"
    )]
    Malformed {
        /// What the text was to name: "job", "queue", ...
        what: &'static str,
        /// The text, cut to 64 characters.
        text: String,
    },
    /// The text is no run id.
    #[error(
        "run id {text:?} must look like <job>_<time>, <job>_r_<hash>, <job>_s_<sequence> or <job>_b_<backfill>_<time>"
    )]
    MalformedRun {
        /// The text, cut to 64 characters.
        text: String,
    },
}

fn well_formed(text: &str) -> bool {
    let bytes = text.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    !bytes.is_empty()
        && bytes.len() <= NAME_MAX
        && plain(&bytes[0])
        && bytes.iter().all(|byte| plain(byte) || *byte == b'-')
}

fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $type(String);

        impl $type {
            /// The name, if `text` is one.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                if well_formed(&text) {
                    Ok($type(text))
                } else {
                    Err(NameError::Malformed { what: $what, text: shortened(&text) })
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                $type::new(text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl std::str::FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                $type::new(text)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// An installation: several can share a cluster.
    Namespace, "namespace"
);
name!(
    /// A job.
    JobName, "job"
);
name!(
    /// A named pool of workers.
    QueueName, "queue"
);
name!(
    /// The code that executes a shard, found by name.
    HandlerName, "handler"
);
name!(
    /// Whom worker-seconds are counted for: jobs of one share divide what it gets.
    ShareName, "share"
);
name!(
    /// What several jobs use, and a hold of one of them stops for all.
    ResourceName, "resource"
);
name!(
    /// Days that schedules are bound to or kept off. Begins with a letter: what begins with a digit is a date.
    CalendarName, "calendar"
);
name!(
    /// A worker process, as people see it: what its configuration says, or a name made up of its host and process.
    WorkerName, "worker"
);

impl From<JobName> for ShareName {
    /// A job that names no share has its own.
    fn from(job: JobName) -> ShareName {
        ShareName(job.0)
    }
}

/// One firing of a job: one subject token and a KV key. A pure function of what caused it, so two
/// planners can only ever create the same run (docs/PROTOCOL.md §1). Clones share the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(Arc<str>);

impl RunId {
    /// The run of a submission that named its request.
    pub fn from_request(job: &JobName, request_id: &str) -> RunId {
        let hash = Sha256::digest(request_id.as_bytes());
        let hex: String = hash[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        RunId(format!("{job}_r_{hex}").into())
    }

    /// The run of a submission without a request id: `sequence` is its place in the submit stream.
    pub fn from_submission(job: &JobName, sequence: u64) -> RunId {
        RunId(format!("{job}_s_{sequence}").into())
    }

    /// The run of such a submission where the run of that place is of another one: of a submission that stood there before the
    /// submit stream lost its last messages. `at` is when the broker stored it.
    pub fn from_later_submission(job: &JobName, sequence: u64, at: UnixMs) -> RunId {
        RunId(format!("{job}_s_{sequence}_{}", at.0).into())
    }

    /// The run of a fire of the job's schedule, by its nominal time: `nightly_20260301T060000Z`, with the milliseconds
    /// before the `Z` where it has some.
    pub fn from_fire(job: &JobName, nominal: UnixMs) -> RunId {
        RunId(format!("{job}_{}", compact(nominal)).into())
    }

    /// The run of a nominal time that a backfill runs again: `nightly_b_7f3a_20260301T060000Z`.
    #[cfg(feature = "schedules")]
    pub fn from_backfill(
        job: &JobName,
        backfill: &crate::schedule::BackfillName,
        nominal: UnixMs,
    ) -> RunId {
        RunId(format!("{job}_b_{backfill}_{}", compact(nominal)).into())
    }

    /// The run id, if `text` is one.
    pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
        let text = text.as_ref();
        let fine = text.len() <= RUN_ID_MAX
            && text.split_once('_').is_some_and(|(job, rest)| {
                well_formed(job)
                    && !rest.is_empty()
                    && rest
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            });
        if fine {
            Ok(RunId(text.into()))
        } else {
            Err(NameError::MalformedRun {
                text: shortened(text),
            })
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is made of nothing but the place that a submission had in its stream.
    pub fn is_of_a_place(&self) -> bool {
        let parts: Vec<&str> = self.0.split('_').collect();
        matches!(parts[..], [_, "s", _])
    }

    /// The name of the job that this run is of.
    pub fn job(&self) -> &str {
        self.0.split_once('_').map_or("", |(job, _)| job)
    }
}

/// A time as a part of an id.
fn compact(time: UnixMs) -> String {
    let digits = |part: &char| part.is_ascii_alphanumeric();
    let seconds = time.rfc3339();
    let seconds: String = seconds.chars().take(19).filter(digits).collect();
    match time.0 % 1_000 {
        0 => format!("{seconds}Z"),
        millis => format!("{seconds}{millis:03}Z"),
    }
}

impl TryFrom<String> for RunId {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        RunId::new(text)
    }
}

impl From<RunId> for String {
    fn from(run: RunId) -> String {
        (*run.0).to_owned()
    }
}

impl std::str::FromStr for RunId {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        RunId::new(text)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A random number that tells two runs with the same id apart (a run that was purged and made again).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(pub u64);

impl Nonce {
    /// A new random nonce. Never zero.
    pub fn random() -> Nonce {
        Nonce(random_u64())
    }
}

/// One life of a worker process: random, chosen at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Session(pub u64);

impl Session {
    /// A new random session. Never zero.
    pub fn random() -> Session {
        Session(random_u64())
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A sequence of the ledger stream under which a tile is held; a later holder's is higher.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Fence(pub u64);

/// A leadership of the planner, counted from 1; written to the term register.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Term(pub u64);

impl Term {
    /// What is above is no term: the leadership would have had to change each microsecond for centuries.
    /// Whoever finds one overwrites it instead of giving way to it for ever.
    pub const MAX: Term = Term(1 << 53);

    /// The term of the leadership that follows this one.
    pub fn next(self) -> Term {
        Term(self.0.saturating_add(1))
    }

    /// Whether some leadership can have this term.
    pub fn is_possible(self) -> bool {
        self <= Term::MAX
    }
}

fn random_u64() -> u64 {
    // A version-4 UUID has 122 random bits; the lower half carries 62 of them.
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    (high.rotate_left(17) ^ low).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_nominal_time_has_a_run_of_its_own() {
        let job = JobName::new("nightly").unwrap();
        let of = |at| RunId::from_fire(&job, UnixMs(at)).to_string();
        assert_eq!(of(1_357_016_400_000), "nightly_20130101T050000Z");
        assert_eq!(of(1_357_016_400_010), "nightly_20130101T050000010Z");
        assert_eq!(of(1_357_016_400_100), "nightly_20130101T050000100Z");
        assert!(RunId::new(of(1_357_016_400_100)).is_ok());
    }

    #[test]
    fn names_that_could_act_as_wildcards_or_tokens_are_refused() {
        for bad in [
            "",
            "*",
            ">",
            "a.b",
            "A",
            "-a",
            "a_b",
            "a b",
            "é",
            &"a".repeat(49),
        ] {
            assert!(JobName::new(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "0-9", "carrier-delays", &"a".repeat(48)] {
            assert!(JobName::new(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn run_ids_of_different_kinds_cannot_collide() {
        let job = JobName::new("sum").unwrap();
        let request = RunId::from_request(&job, "7");
        let submission = RunId::from_submission(&job, 7);
        let later = RunId::from_later_submission(&job, 7, UnixMs(1_764_482_000_123));
        assert_eq!(later.as_str(), format!("{job}_s_7_1764482000123"));
        assert_eq!(RunId::new(later.as_str()).as_ref(), Ok(&later));
        assert!(submission.is_of_a_place() && !later.is_of_a_place() && !request.is_of_a_place());
        assert_ne!(request, submission);
        assert_eq!(request.as_str().len(), "sum_r_".len() + 32);
        assert_eq!(RunId::new(request.as_str()).unwrap(), request);
        assert_eq!(request.job(), "sum");
        for bad in ["*", "sum", "sum_", "sum_*", "sum_a.b", "_r_1", "sum_>"] {
            assert!(RunId::new(bad).is_err(), "{bad:?}");
        }
    }
}
