//! What a worker says of itself: ready, or what keeps it from working.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use gridloom_shared::telemetry::Health;

/// A worker's state, for a readiness endpoint. Clones show the same worker.
#[derive(Clone, Debug)]
pub struct WorkerHealth(Arc<Mutex<BTreeMap<Part, String>>>);

/// What can be in trouble.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// The worker as a whole: starting or stopping.
    Worker,
    Broker,
    Ledger,
    /// Handlers that do not end.
    Slots,
    Lane(String),
}

impl Default for WorkerHealth {
    fn default() -> Self {
        WorkerHealth(Arc::new(Mutex::new(BTreeMap::from([(
            Part::Worker,
            "starting".to_owned(),
        )]))))
    }
}

impl WorkerHealth {
    /// `part` cannot do its work now.
    pub(crate) fn trouble(&self, part: Part, why: impl Into<String>) {
        let why = why.into();
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if troubles.get(&part) != Some(&why) {
            tracing::warn!(?part, why, "cannot work");
            troubles.insert(part, why);
        }
    }

    /// The worker takes no more work.
    pub(crate) fn stopping(&self) {
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.insert(Part::Worker, "stopping".to_owned());
    }

    /// `part` works (again).
    pub(crate) fn fine(&self, part: &Part) {
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if troubles.remove(part).is_some() {
            tracing::info!(?part, "works");
        }
    }
}

impl Health for WorkerHealth {
    fn ready(&self) -> Result<(), String> {
        let troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if troubles.is_empty() {
            return Ok(());
        }
        Err(troubles.values().cloned().collect::<Vec<_>>().join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worker_is_ready_when_nothing_is_in_trouble() {
        let health = WorkerHealth::default();
        assert_eq!(health.ready(), Err("starting".to_owned()));
        health.fine(&Part::Worker);
        assert_eq!(health.ready(), Ok(()));
        health.trouble(
            Part::Lane("images/thumb".into()),
            "lane images/thumb: no consumer",
        );
        assert_eq!(
            health.ready(),
            Err("lane images/thumb: no consumer".to_owned())
        );
    }
}
