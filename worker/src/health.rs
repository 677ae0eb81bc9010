//! What a worker says of itself: ready, or what keeps it from working.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use gridloom_shared::lane::Lane;
use gridloom_shared::telemetry::Health;

use crate::handler::SharedHandler;

/// A worker's state, for a readiness endpoint. Clones show the same worker.
#[derive(Clone)]
pub struct WorkerHealth {
    troubles: Arc<Mutex<BTreeMap<Part, String>>>,
    /// They know best what they lack.
    handlers: Arc<[SharedHandler]>,
}

impl fmt::Debug for WorkerHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WorkerHealth").field(&self.ready()).finish()
    }
}

/// What can be in trouble.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// The worker as a whole: starting or stopping.
    Worker,
    Broker,
    /// There are none yet.
    Streams,
    Ledger,
    /// Handlers that do not end.
    Slots,
    Lane(Lane),
    /// Of a lane: it has tiles that a newer build issued.
    Newer(Lane),
}

impl Part {
    fn as_str(&self) -> &'static str {
        match self {
            Part::Worker => "worker",
            Part::Broker => "broker",
            Part::Streams => "streams",
            Part::Ledger => "ledger",
            Part::Slots => "slots",
            Part::Lane(_) => "lane",
            Part::Newer(_) => "newer tiles",
        }
    }

    /// Queue and handler, of a lane.
    fn lane(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Part::Lane(lane) | Part::Newer(lane) => {
                (Some(lane.queue.as_str()), Some(lane.handler.as_str()))
            }
            Part::Worker | Part::Broker | Part::Streams | Part::Ledger | Part::Slots => {
                (None, None)
            }
        }
    }
}

impl WorkerHealth {
    /// Of a worker with these handlers, which is starting.
    pub(crate) fn starting(handlers: impl IntoIterator<Item = SharedHandler>) -> Self {
        let troubles = BTreeMap::from([(Part::Worker, "starting".to_owned())]);
        WorkerHealth {
            troubles: Arc::new(Mutex::new(troubles)),
            handlers: handlers.into_iter().collect(),
        }
    }

    /// What keeps handlers from working.
    pub(crate) fn of_handlers(&self) -> Vec<String> {
        let handlers = self.handlers.iter();
        handlers.filter_map(|it| it.trouble_now()).collect()
    }

    /// `part` cannot do its work now.
    pub(crate) fn trouble(&self, part: Part, why: impl Into<String>) {
        let why = why.into();
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        if troubles.get(&part) != Some(&why) {
            let (queue, handler) = part.lane();
            tracing::warn!(
                part = part.as_str(),
                queue,
                handler,
                reason = why,
                "cannot work"
            );
            troubles.insert(part, why);
        }
    }

    /// The worker takes no more work.
    pub(crate) fn stopping(&self) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.insert(Part::Worker, "stopping".to_owned());
    }

    /// `part` works (again).
    pub(crate) fn fine(&self, part: &Part) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        if troubles.remove(part).is_some() {
            let (queue, handler) = part.lane();
            tracing::info!(part = part.as_str(), queue, handler, "works");
        }
    }
}

impl Health for WorkerHealth {
    fn ready(&self) -> Result<(), String> {
        let mut all = self.of_handlers();
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(troubles.values().cloned());
        if all.is_empty() {
            return Ok(());
        }
        Err(all.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worker_is_ready_when_nothing_is_in_trouble() {
        let health = WorkerHealth::starting([]);
        assert_eq!(health.ready(), Err("starting".to_owned()));
        health.fine(&Part::Worker);
        assert_eq!(health.ready(), Ok(()));
        let name = "images".parse().unwrap();
        let lane = Lane::new(name, "thumb".parse().unwrap());
        health.trouble(Part::Lane(lane), "lane images/thumb: no consumer");
        assert_eq!(
            health.ready(),
            Err("lane images/thumb: no consumer".to_owned())
        );
    }
}
