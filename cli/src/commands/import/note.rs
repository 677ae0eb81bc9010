//! What is said of a field that does not mean the same here.

use serde::Serialize;

/// What is otherwise for every job of ElasticJob, whatever its fields say.
pub(super) const ALWAYS: &[&str] = &[
    "a shard whose instance dies is taken over at once, whatever failover says; shards that were done are not repeated",
    "a shard that fails is tried again, 3 times in all; retry.max_attempts = 1 for never, as there",
    "any worker takes any shard; there is no assignment, and no resharding",
    "what came of each shard is on record: gridloom show RUN, gridloom audit RUN",
];

/// How grave it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// It has another meaning, or another name.
    Changed,
    /// It is not needed here.
    Dropped,
    /// Somebody has to say what is to be.
    Open,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Kind::Changed => "changed",
            Kind::Dropped => "dropped",
            Kind::Open => "ANSWER",
        }
    }
}

/// What is said of a field.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Note {
    pub(super) kind: Kind,
    pub(super) field: String,
    pub(super) text: String,
}

impl Note {
    pub(super) fn of(kind: Kind, field: &str, text: impl Into<String>) -> Note {
        Note {
            kind,
            field: field.to_owned(),
            text: text.into(),
        }
    }
}
