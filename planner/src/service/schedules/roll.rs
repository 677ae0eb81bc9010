//! Which runs were opened and which are over: what the loop tells the keeper of schedules.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::ReadError;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::record::{Author, EndState};
use tokio::sync::{Notify, watch};

use crate::lead::Change;

/// So long it is waited for a record of the ledger before it is looked whether that is there still: it may have been removed
/// before the loop read it.
const CAUGHT_UP: Duration = Duration::from_secs(2);

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
    /// Up to which sequence of the ledger of runs all of it was told.
    read: watch::Sender<u64>,
}

impl Roll {
    /// Tells of what has changed in a leadership that has read the ledger of runs up to `read`.
    pub(in crate::service) fn tell(&self, changes: &[Change], now: UnixMs, read: u64) {
        let facts = changes.iter().filter_map(|change| match change {
            Change::Opened(run) => Some(Fact::Open(run.clone())),
            Change::Closed(run) | Change::Lost(run) => {
                let fold = run.fold();
                let closing = fold.closing();
                let at = closing.map_or(now, |(at, _)| *at);
                let end = closing.map(|(_, closed)| closed.state);
                Some(Fact::Over(fold.run().clone(), at, end))
            }
            Change::Moved(_) | Change::GivenUp(_) => None,
        });
        let mut all = self.0.facts.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.len();
        all.extend(facts);
        if all.len() > before {
            self.0.more.notify_one();
        }
        drop(all);
        self.0.read.send_replace(read);
    }

    /// Returns once the loop has told of all that stands in the ledger of runs now. Whoever wrote the last record of a
    /// job's fires names no run there that it knew to be open: what it knew has to be known before the next decision,
    /// or that opens a run beside it.
    pub(super) async fn catch_up(&self, broker: &Broker) -> Result<(), ReadError> {
        let subjects = broker.subjects();
        let plans = subjects.ledgers_by(Author::Plan);
        let mut read = self.0.read.subscribe();
        loop {
            let last = broker.last_of_leader(&subjects.ledger(), &plans).await?;
            let last = last.map_or(0, |last| last.seq);
            let told = read.wait_for(|read| *read >= last);
            if tokio::time::timeout(CAUGHT_UP, told).await.is_ok() {
                return Ok(());
            }
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
