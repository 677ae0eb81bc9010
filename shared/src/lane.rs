//! A lane: the tiles of one queue that want one handler. Whoever pulls from a lane can run what comes,
//! so a worker is never handed, nor holds up, what it cannot run (docs/PROTOCOL.md §1).

use std::fmt;

use serde::Serialize;

use crate::id::{HandlerName, QueueName};
use crate::job::JobSpec;

/// One queue and one handler.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Lane {
    /// The queue.
    pub queue: QueueName,
    /// The handler that its tiles want.
    pub handler: HandlerName,
}

impl Lane {
    /// The lane of `queue` for `handler`.
    pub fn new(queue: QueueName, handler: HandlerName) -> Lane {
        Lane { queue, handler }
    }

    /// The lane of the tiles of `job`.
    pub fn of(job: &JobSpec) -> Lane {
        Lane::new(job.queue.clone(), job.handler.clone())
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.queue, self.handler)
    }
}
