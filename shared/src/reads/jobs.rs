//! Which jobs are defined.

use crate::broker::Broker;
use crate::broker::log::ReadError;
use crate::id::JobName;
use crate::job::JobSpec;
use crate::wire::{self, WireError};

/// A job as it stands in its bucket.
#[derive(Clone, Debug)]
pub struct StoredJob {
    /// Its name.
    pub name: String,
    /// Its definition, or why this build cannot read it.
    pub spec: Result<JobSpec, WireError>,
}

/// All jobs, by name.
///
/// # Errors
/// When the broker does not answer.
pub async fn list(broker: &Broker) -> Result<Vec<StoredJob>, ReadError> {
    let entries = broker.jobs().entries(">").await?;
    let job = |entry: crate::broker::kv::Entry| {
        let spec = wire::decode(entry.value.as_deref().unwrap_or_default());
        StoredJob {
            name: entry.key,
            spec,
        }
    };
    Ok(entries.into_iter().map(job).collect())
}

/// The job called `name`, surely as it stands now; `None`: there is none.
///
/// # Errors
/// When the broker does not answer.
pub async fn get(
    broker: &Broker,
    name: &JobName,
) -> Result<Option<Result<JobSpec, WireError>>, ReadError> {
    let entry = broker.jobs().get_of_leader(name.as_str()).await?;
    let value = entry.and_then(|entry| entry.value);
    Ok(value.map(|value| wire::decode(&value)))
}
