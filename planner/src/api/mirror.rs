//! The buckets that are listed: followed from the first time that somebody lists them, so that a list of 100,000 runs
//! is looked up and not read. Of a run only what it is filtered and sorted by is kept; the rest of a page is read when
//! it is asked for.
//!
//! What a planner removes without a trace (retention) stays until it is asked for and not found, or until the mirror
//! is made anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use gridloom_shared::broker::kv::{Bucket, Entry, Watched};
use gridloom_shared::broker::log::FollowError;
use gridloom_shared::chain;
use gridloom_shared::clock::Boot;
use gridloom_shared::id::{QueueName, RunId};
use gridloom_shared::ledger::summary::{RunState, RunSummary};
use gridloom_shared::reads::calendars;
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
pub(super) struct Jobs {
    jobs: BTreeMap<String, Arc<StoredJob>>,
    /// How many of them name each queue.
    queues: BTreeMap<QueueName, usize>,
    /// Those that name each calendar.
    calendars: Naming,
}

/// The jobs that name a calendar, by its name.
pub(super) type Naming = BTreeMap<String, BTreeSet<String>>;

impl Table for Jobs {
    fn take(&mut self, entry: Entry) {
        let Entry {
            key,
            value,
            revision,
            at,
        } = entry;
        if let Some(before) = self.jobs.remove(&key) {
            self.unname(&before);
        }
        if let Some(value) = value {
            let job = StoredJob {
                name: key.clone(),
                spec: wire::decode(&value),
                revision,
                applied_at: at,
            };
            self.name(&job);
            self.jobs.insert(key, Arc::new(job));
        }
    }
}

impl Jobs {
    fn name(&mut self, job: &StoredJob) {
        let Ok(spec) = &job.spec else {
            return;
        };
        *self.queues.entry(spec.queue.clone()).or_default() += 1;
        for calendar in calendars::named(spec) {
            let naming = self.calendars.entry(calendar.to_string()).or_default();
            naming.insert(job.name.clone());
        }
    }

    fn unname(&mut self, job: &StoredJob) {
        let Ok(spec) = &job.spec else {
            return;
        };
        if let Some(naming) = self.queues.get_mut(&spec.queue) {
            *naming -= 1;
        }
        self.queues.retain(|_, naming| *naming > 0);
        for calendar in calendars::named(spec) {
            if let Some(naming) = self.calendars.get_mut(calendar.as_str()) {
                naming.remove(&job.name);
            }
        }
        self.calendars.retain(|_, naming| !naming.is_empty());
    }

    /// The queues that any of them names.
    pub(super) fn queues(&self) -> BTreeSet<QueueName> {
        self.queues.keys().cloned().collect()
    }

    /// Which of them name which calendar.
    pub(super) fn calendars(&self) -> &Naming {
        &self.calendars
    }

    /// The one of that name.
    pub(super) fn get(&self, name: &str) -> Option<&Arc<StoredJob>> {
        self.jobs.get(name)
    }

    /// Those behind `after`, by name.
    pub(super) fn behind(&self, after: Option<&String>) -> impl Iterator<Item = &Arc<StoredJob>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.jobs
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
    /// Those that are open.
    open: BTreeSet<Place>,
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
        let place = (opened, run);
        match row.state.ended() {
            true => self.open.remove(&place),
            false => self.open.insert(place.clone()),
        };
        let before = self.rows.insert(place, row);
        self.count(before, Some(row));
        if self.rows.len() > RUNS_MAX
            && let Some((place, row)) = self.rows.pop_first()
        {
            self.open.remove(&place);
            self.opened.remove(&place.1);
            self.count(Some(row), None);
        }
    }
}

impl Runs {
    /// It is not there any more.
    pub(super) fn forget(&mut self, run: &RunId) {
        if let Some(opened) = self.opened.remove(run) {
            let place = (opened, run.clone());
            self.open.remove(&place);
            let before = self.rows.remove(&place);
            self.count(before, None);
        }
    }

    /// Those that are open, the oldest first.
    pub(super) fn open(&self) -> &BTreeSet<Place> {
        &self.open
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use gridloom_shared::clock::UnixMs;
    use gridloom_shared::id::JobName;
    use gridloom_shared::job::parse::from_value;
    use gridloom_shared::ledger::summary::{GridSummary, ShardSummary};
    use serde_json::json;

    use super::*;

    fn summary(number: u64, state: RunState) -> RunSummary {
        let opened_at = Some(UnixMs(number * 1_000).rfc3339());
        RunSummary {
            run: RunId::new(format!("a_s_{number}")).unwrap(),
            job: JobName::new("a").unwrap(),
            queue: QueueName::new("default").unwrap(),
            state,
            scheduled_at: opened_at.clone(),
            closed_at: opened_at.clone().filter(|_| state.ended()),
            opened_at,
            grid: GridSummary {
                slices: 1,
                shards: 1,
            },
            shards: ShardSummary {
                planned: 1,
                done: 0,
                dead: 0,
                dead_probes: 0,
                given_up: 0,
                outstanding: 1,
                late: 0,
                retried: 0,
                taken_over: 0,
            },
            rows: 0,
            counters: BTreeMap::new(),
            more_counters: 0,
            error: None,
        }
    }

    fn entry(summary: &RunSummary, value: Option<Bytes>) -> Entry {
        Entry {
            key: summary.run.to_string(),
            value,
            revision: 1,
            at: UnixMs(0),
        }
    }

    #[test]
    fn what_jobs_name_is_known_as_they_come_change_and_go() {
        let mut jobs = Jobs::default();
        let mut take = |name: &str, names: Option<(&str, &str)>| {
            let value = names.map(|(queue, calendar)| {
                let schedule = json!({ "every": "1h", "except": calendar });
                let job = json!({ "name": name, "handler": "noop", "queue": queue, "schedule": schedule });
                wire::encode(&from_value(job).unwrap())
            });
            jobs.take(Entry {
                key: name.to_owned(),
                value,
                revision: 1,
                at: UnixMs(0),
            });
            let queues = jobs
                .queues()
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>();
            let naming = jobs.calendars().iter().map(|(calendar, naming)| {
                let naming = naming.iter().cloned().collect::<Vec<_>>().join("+");
                format!("{calendar}:{naming}")
            });
            (queues.join(","), naming.collect::<Vec<_>>().join(","))
        };
        let told = |queues: &str, naming: &str| (queues.to_owned(), naming.to_owned());
        let one = take("one", Some(("images", "office")));
        assert_eq!(one, told("images", "office:one"));
        let two = take("two", Some(("images", "office")));
        assert_eq!(two, told("images", "office:one+two"));
        let changed = take("one", Some(("reports", "holidays")));
        assert_eq!(changed, told("images,reports", "holidays:one,office:two"));
        // Applied again as it was.
        assert_eq!(take("two", Some(("images", "office"))), changed);
        assert_eq!(take("two", None), told("reports", "holidays:one"));
        assert_eq!(take("none", None), told("reports", "holidays:one"));
    }

    #[test]
    fn runs_are_open_until_they_are_over_or_gone_and_again_when_they_are_reopened() {
        let mut runs = Runs::default();
        let mut take = |number, state| {
            let summary = summary(number, state);
            runs.take(entry(&summary, Some(wire::encode(&summary))));
            let open = runs.open().iter();
            open.map(|(_, run)| run.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(take(2, RunState::Running), ["a_s_2"]);
        assert_eq!(take(1, RunState::Running), ["a_s_1", "a_s_2"]);
        assert_eq!(take(2, RunState::Failed), ["a_s_1"]);
        assert_eq!(take(2, RunState::Running), ["a_s_1", "a_s_2"]);
        let gone = summary(1, RunState::Running);
        runs.take(entry(&gone, None));
        assert_eq!(runs.open().len(), 1);
        runs.forget(&RunId::new("a_s_2").unwrap());
        assert!(runs.open().is_empty());
    }
}
