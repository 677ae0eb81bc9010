//! Which runs were opened and which are over: what the loop tells the keeper of schedules.

use std::sync::{Arc, Mutex, PoisonError};

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::record::EndState;
use tokio::sync::Notify;

use crate::lead::Change;

/// What happened to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::service) enum Fact {
    /// It is open.
    Open(RunId),
    /// It is over, since then; how it ended, where that is known.
    Over(RunId, UnixMs, Option<EndState>),
}

impl Fact {
    pub(super) fn run(&self) -> &RunId {
        match self {
            Fact::Open(run) | Fact::Over(run, ..) => run,
        }
    }
}

/// Facts in order, until they are taken.
#[derive(Clone, Debug, Default)]
pub(in crate::service) struct Roll(Arc<Told>);

#[derive(Debug, Default)]
struct Told {
    facts: Mutex<Vec<Fact>>,
    more: Notify,
}

impl Roll {
    /// Tells of what has changed in a leadership.
    pub(in crate::service) fn tell(&self, changes: &[Change], now: UnixMs) {
        let facts = changes.iter().filter_map(|change| match change {
            Change::Opened(run) => Some(Fact::Open(run.clone())),
            Change::Closed(run) | Change::Lost(run) => {
                let fold = run.fold();
                let closing = fold.closing();
                let at = closing.map_or(now, |(at, _)| *at);
                let end = closing.map(|(_, closed)| closed.state);
                Some(Fact::Over(fold.run().clone(), at, end))
            }
            Change::Moved(_) => None,
        });
        let mut all = self.0.facts.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.len();
        all.extend(facts);
        if all.len() > before {
            self.0.more.notify_one();
        }
    }

    pub(super) fn take(&self) -> Vec<Fact> {
        std::mem::take(&mut *self.0.facts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns once there is something to take.
    pub(super) async fn told(&self) {
        self.0.more.notified().await;
    }
}
