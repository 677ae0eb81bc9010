//! Which jobs are defined, and how a definition is changed by whoever knows what stands there.

use crate::broker::Broker;
use crate::broker::kv::{Entry, Place, WriteError};
use crate::broker::log::ReadError;
use crate::clock::UnixMs;
use crate::id::JobName;
use crate::job::JobSpec;
use crate::turns::Turns;
use crate::wire::{self, WireError};

/// A job as it stands in its bucket.
#[derive(Clone, Debug)]
pub struct StoredJob {
    /// Its name.
    pub name: String,
    /// Its definition, or why this build cannot read it.
    pub spec: Result<JobSpec, WireError>,
    /// Which change of the bucket made it so: what a compare-and-swap expects.
    pub revision: u64,
    /// When that was, by the broker's clock.
    pub applied_at: UnixMs,
}

/// What stands under a job's name, as somebody saw it: what they write next is written over that and nothing else.
#[derive(Clone, Debug)]
pub struct Seen {
    place: Place,
    job: Option<StoredJob>,
}

impl Seen {
    /// The job; `None`: there is none, or none any more.
    pub fn job(&self) -> Option<&StoredJob> {
        self.job.as_ref()
    }

    /// The job's revision; 0: there is none.
    pub fn revision(&self) -> u64 {
        self.job.as_ref().map_or(0, |job| job.revision)
    }
}

/// All jobs, by name.
///
/// # Errors
/// When the broker does not answer.
pub async fn list(broker: &Broker) -> Result<Vec<StoredJob>, ReadError> {
    let entries = broker.jobs().entries(">").await?;
    let (mut jobs, mut turns) = (Vec::with_capacity(entries.len()), Turns::begin());
    for entry in entries {
        jobs.extend(stored(broker, entry));
        turns.pass().await;
    }
    Ok(jobs)
}

/// The job called `name`, surely as it stands now; `None`: there is none.
///
/// # Errors
/// When the broker does not answer.
pub async fn get(broker: &Broker, name: &JobName) -> Result<Option<StoredJob>, ReadError> {
    let entry = broker.jobs().get_of_leader(name.as_str()).await?;
    Ok(entry.and_then(|entry| stored(broker, entry)))
}

/// What stands under `name` now, for a change of it.
///
/// # Errors
/// When the broker does not answer.
pub async fn see(broker: &Broker, name: &JobName) -> Result<Seen, ReadError> {
    let place = broker.jobs().place_of(name.as_str()).await?;
    let job = place
        .entry()
        .cloned()
        .and_then(|entry| stored(broker, entry));
    Ok(Seen { place, job })
}

/// Defines the job over what was seen. Returns its revision.
///
/// # Errors
/// When somebody else has changed it since, or the broker does not answer.
pub async fn define(broker: &Broker, seen: &Seen, spec: &JobSpec) -> Result<u64, WriteError> {
    let bucket = broker.jobs();
    bucket.replace(&seen.place, wire::encode(spec), None).await
}

/// Deletes the job that was seen.
///
/// # Errors
/// When somebody else has changed it since, or the broker does not answer.
pub async fn delete(broker: &Broker, name: &JobName, seen: &Seen) -> Result<(), WriteError> {
    let bucket = broker.jobs();
    bucket.delete(name.as_str(), Some(seen.revision())).await
}

fn stored(broker: &Broker, entry: Entry) -> Option<StoredJob> {
    Some(StoredJob {
        spec: broker.decode(&entry.key, &entry.value?),
        name: entry.key,
        revision: entry.revision,
        applied_at: entry.at,
    })
}
