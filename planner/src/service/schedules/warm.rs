//! What is known of schedules before anything is decided: the last record of each job, its definition, and what both
//! mean. A standby follows them all the time, so that whoever takes over has little left to read (docs/PROTOCOL.md §7).
//!
//! It decides nothing, and is no truth: whoever leads reads the records to their end first.

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::api::ApiError;
use gridloom_shared::broker::kv::{Entry, Watched};
use gridloom_shared::broker::log::{FollowError, Followed, ReadError, Record, Seen, Start};
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::JobName;
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

use super::job::{Defined, Job};
use crate::alive::Signs;
use crate::service::task::Task;
use crate::service::tasks::Tasks;

/// Pause after something failed.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a sign of life is given where nothing happens.
const SIGN: Duration = Duration::from_secs(1);

/// The definitions of all jobs, and their changes.
pub(super) type Definitions = Pin<Box<dyn Stream<Item = Result<Watched, FollowError>> + Send>>;
type Records = Pin<Box<dyn Stream<Item = Result<Followed, FollowError>> + Send>>;

/// Follows the definitions of all jobs.
pub(super) fn definitions(broker: &Broker) -> Definitions {
    // Whatever comes between must not break off a watch that is being attached.
    Box::pin(broker.jobs().watch_all().into_stream())
}

/// What is known, and what tells more of it.
pub(in crate::service) struct Warm {
    broker: Broker,
    jobs: HashMap<JobName, Job>,
    records: Records,
    /// The last record that was taken in.
    position: Seen,
    /// Whether the last record of each job was.
    is_read: bool,
    definitions: Definitions,
    /// Whether all definitions were.
    is_defined: bool,
    /// The last revision of a definition that was taken in.
    revision: Seen,
    /// Definitions that were passed by, as their jobs never fire and no record of them was known: of those that are gone,
    /// since when.
    passed: HashMap<JobName, Option<(UnixMs, u64)>>,
}

/// What a new leader begins with.
pub(super) struct Begin {
    pub(super) jobs: HashMap<JobName, Job>,
    pub(super) definitions: Definitions,
    /// The last revision of a definition that is among them.
    pub(super) revision: u64,
    /// Jobs whose definition is to be read: it was passed by, or there is none.
    pub(super) unread: BTreeSet<JobName>,
}

/// Why it is not known.
#[derive(Debug, thiserror::Error)]
enum WarmError {
    #[error(transparent)]
    Follow(#[from] FollowError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Ask(#[from] ApiError),
    #[error("what was read of schedules is gone")]
    Rewound,
}

impl WarmError {
    /// Whether what was read is to be read anew: it is not that of the broker any more.
    fn is_of_another(&self) -> bool {
        let rewound = matches!(self, WarmError::Follow(FollowError::Rewound { .. }));
        rewound || matches!(self, WarmError::Rewound)
    }
}

impl Warm {
    pub(super) fn new(broker: Broker) -> Warm {
        let subjects = broker.subjects();
        let (history, fires) = (subjects.history(), subjects.all_fires());
        let records = broker.follow(&history, fires, Start::LastPerSubject);
        Warm {
            jobs: HashMap::new(),
            records: Box::pin(records.into_stream()),
            position: Seen::default(),
            is_read: false,
            definitions: definitions(&broker),
            is_defined: false,
            revision: Seen::default(),
            passed: HashMap::new(),
            broker,
        }
    }

    /// Takes in what comes next, or nothing for a while.
    async fn step(&mut self) -> Result<(), WarmError> {
        tokio::select! {
            Some(followed) = self.records.next() => match followed? {
                Followed::Record(record) => self.take(&record),
                Followed::CaughtUp => self.is_read = true,
                Followed::Quiet => {}
            },
            Some(watched) = self.definitions.next() => match watched? {
                Watched::Entry(entry) => self.define(&entry),
                Watched::CaughtUp => self.is_defined = true,
            },
            () = tokio::time::sleep(SIGN) => {}
        }
        // Where much comes there is always something: other tasks are to have their turn.
        tokio::task::consume_budget().await;
        Ok(())
    }

    /// Whether all was read that was there when it was begun.
    fn is_known(&self) -> bool {
        self.is_read && self.is_defined
    }

    /// What is known once all was read. Where the broker does not answer, it is asked again: what was known stays known.
    pub(super) async fn into_begin(mut self, signs: &Signs) -> Begin {
        while let Err(error) = self.catch_up(signs).await {
            tracing::warn!(error = %chain(&error), "failed to read what was decided about fires; trying again");
            if error.is_of_another() {
                self = Warm::new(self.broker);
            }
            signs.give();
            tokio::time::sleep(PAUSE).await;
        }
        self.begin()
    }

    /// Reads records and definitions to their end: all that other leaders have written by now, and what they knew then.
    async fn catch_up(&mut self, signs: &Signs) -> Result<(), WarmError> {
        while !self.is_known() {
            signs.give();
            self.step().await?;
        }
        let subjects = self.broker.subjects();
        let (history, fires) = (subjects.history(), subjects.all_fires());
        let now = self.broker.info(&history).await?;
        if !self.broker.goes_on(&history, self.position, &now).await? {
            return Err(WarmError::Rewound);
        }
        let from = self.position.seq + 1;
        let mut rest = self
            .broker
            .reader(&history, fires, from, Some(now.last_seq));
        while let Some(page) = rest.next_page().await? {
            signs.give();
            page.iter().for_each(|record| self.take(record));
        }
        self.catch_up_definitions().await
    }

    /// Whoever wrote the last record of a job may have known a definition that the watch has not told of yet.
    async fn catch_up_definitions(&mut self) -> Result<(), WarmError> {
        let bucket = self.broker.jobs();
        let stream = bucket.name().stream();
        let now = self.broker.info(&stream).await?;
        if !self.broker.goes_on(&stream, self.revision, &now).await? {
            return Err(WarmError::Rewound);
        }
        let (revision, end) = (self.revision.seq, now.last_seq);
        if end > revision {
            for entry in bucket.written_behind(revision, end).await? {
                self.define(&entry);
            }
        }
        Ok(())
    }

    fn begin(self) -> Begin {
        let unseen = self.jobs.iter().filter(|(_, job)| job.is_unseen());
        Begin {
            unread: unseen.map(|(name, _)| name.clone()).collect(),
            jobs: self.jobs,
            definitions: self.definitions,
            revision: self.revision.seq,
        }
    }

    fn take(&mut self, record: &Record) {
        self.position.note(record.seq, record.at);
        if let Some(name) = self.broker.subjects().parse_fires(&record.subject) {
            self.job(&name).catch_up(record.seq, &record.payload);
        }
    }

    fn define(&mut self, entry: &Entry) {
        self.revision.note(entry.revision, entry.at);
        let Ok(name) = JobName::new(entry.key.as_str()) else {
            return;
        };
        let defined = Defined::read(&self.broker, entry);
        if defined.may_fire() || self.jobs.contains_key(&name) {
            self.passed.remove(&name);
            self.job(&name).define(defined, entry.revision);
        } else {
            let gone = matches!(defined, Defined::Gone(_)).then_some((entry.at, entry.revision));
            self.passed.insert(name, gone);
        }
    }

    fn job(&mut self, name: &JobName) -> &mut Job {
        let Warm { jobs, passed, .. } = self;
        jobs.entry(name.clone()).or_insert_with(|| {
            let mut job = Job::new(name.clone());
            if let Some(Some((at, revision))) = passed.get(name) {
                job.define(Defined::Gone(*at), *revision);
            }
            job
        })
    }
}

/// What a standby knows, as long as it stands by.
#[derive(Clone, Default)]
struct Place(Arc<Mutex<Option<Warm>>>);

/// A standby that follows schedules.
pub(in crate::service) struct Following {
    place: Place,
    task: AbortHandle,
}

impl Following {
    /// Begins, as one of the service's `tasks`.
    pub(in crate::service) fn start(tasks: &mut Tasks, broker: Broker) -> Following {
        let place = Place::default();
        let known = place.clone();
        let task = tasks.keep(Task::Warmth, |signs| follow(broker, known, signs));
        Following { place, task }
    }

    /// Ends it. What is known, if it could be read.
    pub(in crate::service) async fn stop(&self) -> Option<Warm> {
        self.task.abort();
        // Whoever holds it is aborted.
        self.place.0.lock().await.take()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(broker: Broker, place: Place, signs: Signs) {
    loop {
        let mut known = place.0.lock().await;
        let warm = known.get_or_insert_with(|| Warm::new(broker.clone()));
        let error = loop {
            signs.give();
            let before = warm.is_known();
            if let Err(error) = warm.step().await {
                break error;
            }
            if warm.is_known() && !before {
                tracing::info!(jobs = warm.jobs.len(), "stands by and follows schedules");
            }
        };
        tracing::debug!(error = %chain(&error), "a standby cannot follow schedules; trying again");
        if error.is_of_another() {
            *known = None;
        }
        drop(known);
        tokio::time::sleep(PAUSE).await;
    }
}
