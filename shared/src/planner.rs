//! What a planner says of itself when somebody asks who plans: the leader, and whoever stands by. On plain NATS;
//! nothing is decided by it.

use serde::{Deserialize, Serialize};

use crate::clock::UnixMs;
use crate::id::{Session, Term};
use crate::wire::Versions;

/// One planner's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attendance {
    /// The planner, as people see it.
    pub name: String,
    /// Its life.
    pub session: Session,
    /// Version of its build.
    pub version: String,
    /// Which versions of records it reads and writes.
    #[serde(default, skip_serializing_if = "Versions::is_first")]
    pub wire: Versions,
    /// When it started.
    pub started_at: UnixMs,
    /// The term under which it leads; `None` for a standby.
    pub term: Option<Term>,
    /// Why it cannot work, in words for people; empty where nothing keeps it from that.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trouble: String,
    /// What is wrong with files that it looks at while it runs, in words for people; empty where nothing is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub files: String,
    /// What it has read of workers that makes no sense, since it started.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub odd: u64,
    /// The last of it, in words for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_odd: String,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

crate::wire::spoken!(Attendance);
