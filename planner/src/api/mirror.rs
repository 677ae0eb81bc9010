//! The buckets that are listed: followed from the first time that somebody lists them, so that a list of 100,000 runs
//! is looked up and not read. Of a run only what it is filtered and sorted by is kept; the rest of a page is read when
//! it is asked for.
//!
//! What a planner removes without a trace (retention) stays until it is asked for and not found, or until the mirror
//! is made anew.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use gridloom_shared::broker::kv::{Bucket, Entry, Watched};
use gridloom_shared::broker::log::FollowError;
use gridloom_shared::chain;
use gridloom_shared::clock::Boot;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::summary::{RunState, RunSummary};
use gridloom_shared::reads::jobs::StoredJob;
use gridloom_shared::wire;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::problem::{Answer, Kind, Problem};

/// How long the first list waits for the mirror.
const FIRST: Duration = Duration::from_secs(20);
/// So old a mirror is made anew: what was removed without a trace is gone from it then.
const ANEW: Duration = Duration::from_secs(600);
/// Before a watch that failed is begun again.
const PAUSE: Duration = Duration::from_secs(1);
/// No more runs are kept: the oldest are left out of lists then.
pub(super) const RUNS_MAX: usize = 500_000;

/// What is kept of a bucket.
pub(super) trait Table: Default + Send + Sync {
    fn take(&mut self, entry: Entry);
}

/// A bucket, followed.
pub(super) struct Mirror<T> {
    table: RwLock<T>,
    ready: watch::Sender<bool>,
    wanted: Notify,
}

impl<T: Table> Default for Mirror<T> {
    fn default() -> Self {
        Mirror {
            table: RwLock::default(),
            ready: watch::Sender::new(false),
            wanted: Notify::new(),
        }
    }
}

impl<T: Table> Mirror<T> {
    /// Follows the bucket once somebody wants it. Never ends.
    pub(super) async fn keep(&self, bucket: Bucket) {
        self.wanted.notified().await;
        loop {
            if let Err(error) = self.follow(&bucket).await {
                tracing::debug!(stream = %bucket.name(), error = %chain(&error), "begins to follow anew");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn follow(&self, bucket: &Bucket) -> Result<(), FollowError> {
        let (mut watch, begun) = (bucket.watch_all(), Boot::now());
        // The one before is told of until this one is whole.
        let mut fresh = Some(T::default());
        loop {
            let watched = match timeout(ANEW, watch.next()).await {
                Ok(Err(error @ FollowError::Rewound { .. })) => return Err(error),
                // It goes on where it was.
                Ok(Err(FollowError::Unavailable { .. })) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Ok(Ok(watched)) => Some(watched),
                Err(_) => None,
            };
            match (watched, &mut fresh) {
                (Some(Watched::Entry(entry)), Some(fresh)) => fresh.take(entry),
                (Some(Watched::Entry(entry)), None) => self.change(|table| table.take(entry)),
                (Some(Watched::CaughtUp), _) => {
                    if let Some(fresh) = fresh.take() {
                        self.change(|table| *table = fresh);
                        let _ = self.ready.send_replace(true);
                    }
                }
                (None, _) => {}
            }
            if fresh.is_none() && Boot::now().since(begun) > ANEW {
                return Ok(());
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.table.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Takes out what was not found any more.
    pub(super) fn drop(&self, gone: impl FnOnce(&mut T)) {
        self.change(gone);
    }

    /// Looks something up.
    pub(super) async fn look<R>(&self, look: impl FnOnce(&T) -> R) -> Answer<R> {
        if !*self.ready.borrow() {
            self.wanted.notify_one();
            let mut ready = self.ready.subscribe();
            let waited = timeout(FIRST, ready.wait_for(|ready| *ready)).await;
            if !matches!(waited, Ok(Ok(_))) {
                let detail = "the list is being made and takes longer than usual";
                return Err(Problem::new(Kind::Unavailable, detail));
            }
        }
        Ok(look(
            &self.table.read().unwrap_or_else(PoisonError::into_inner),
        ))
    }
}

/// All jobs, by name.
#[derive(Default)]
pub(super) struct Jobs(BTreeMap<String, Arc<StoredJob>>);

impl Table for Jobs {
    fn take(&mut self, entry: Entry) {
        let Entry {
            key,
            value,
            revision,
            at,
        } = entry;
        match value {
            None => {
                self.0.remove(&key);
            }
            Some(value) => {
                let job = StoredJob {
                    name: key.clone(),
                    spec: wire::decode(&value),
                    revision,
                    applied_at: at,
                };
                self.0.insert(key, Arc::new(job));
            }
        }
    }
}

impl Jobs {
    /// The one of that name.
    pub(super) fn get(&self, name: &str) -> Option<&Arc<StoredJob>> {
        self.0.get(name)
    }

    /// Those behind `after`, by name.
    pub(super) fn behind(&self, after: Option<&String>) -> impl Iterator<Item = &Arc<StoredJob>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.0
            .range::<String, _>((from, Unbounded))
            .map(|(_, job)| job)
    }
}

/// What runs are filtered and sorted by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) state: RunState,
    /// Shards that are dead and nobody gave up, and questions.
    pub(super) dead: u64,
}

/// When a run was opened (RFC 3339: sorts as it stands), and which it is: the order of lists, from the end.
pub(super) type Place = (String, RunId);

/// All runs, by the time of their opening.
#[derive(Default)]
pub(super) struct Runs {
    rows: BTreeMap<Place, Row>,
    opened: HashMap<RunId, String>,
    /// Runs of which something is dead, and how much.
    dead: (u64, u64),
}

impl Table for Runs {
    fn take(&mut self, entry: Entry) {
        let Ok(run) = RunId::new(&entry.key) else {
            return;
        };
        let value = entry.value.as_deref();
        let Some(Ok(summary)) = value.map(wire::decode::<RunSummary>) else {
            return self.forget(&run);
        };
        let opened = summary.opened_at.clone().unwrap_or_default();
        if self.opened.get(&run) != Some(&opened) {
            self.forget(&run);
            self.opened.insert(run.clone(), opened.clone());
        }
        let row = Row {
            state: summary.state,
            dead: summary.shards.dead_kept(),
        };
        let before = self.rows.insert((opened, run), row);
        self.count(before, Some(row));
        if self.rows.len() > RUNS_MAX
            && let Some(((_, run), row)) = self.rows.pop_first()
        {
            self.opened.remove(&run);
            self.count(Some(row), None);
        }
    }
}

impl Runs {
    /// It is not there any more.
    pub(super) fn forget(&mut self, run: &RunId) {
        if let Some(opened) = self.opened.remove(run) {
            let before = self.rows.remove(&(opened, run.clone()));
            self.count(before, None);
        }
    }

    /// Runs of which something is dead that nobody gave up, and how much that is.
    pub(super) fn dead(&self) -> (u64, u64) {
        self.dead
    }

    fn count(&mut self, before: Option<Row>, after: Option<Row>) {
        let (runs, shards) = &mut self.dead;
        for Row { dead, .. } in before.into_iter().filter(|row| row.dead > 0) {
            (*runs, *shards) = (*runs - 1, *shards - dead);
        }
        for Row { dead, .. } in after.into_iter().filter(|row| row.dead > 0) {
            (*runs, *shards) = (*runs + 1, *shards + dead);
        }
    }

    /// Those behind `after`, the newest first.
    pub(super) fn behind(&self, after: Option<&Place>) -> impl Iterator<Item = (&Place, &Row)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let to = after.map_or(Unbounded, Excluded);
        self.rows.range::<Place, _>((Unbounded, to)).rev()
    }
}
