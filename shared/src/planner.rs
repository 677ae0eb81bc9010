//! What a planner says of itself when somebody asks who plans: the leader, and whoever stands by. On plain NATS;
//! nothing is decided by it.

use serde::{Deserialize, Serialize};

use crate::clock::UnixMs;
use crate::id::{Session, Term};

/// One planner's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attendance {
    /// The planner, as people see it.
    pub name: String,
    /// Its life.
    pub session: Session,
    /// Version of its build.
    pub version: String,
    /// When it started.
    pub started_at: UnixMs,
    /// The term under which it leads; `None` for a standby.
    pub term: Option<Term>,
    /// Why it cannot work, in words for people; empty where nothing keeps it from that.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trouble: String,
}

crate::wire::coded!(Attendance);
