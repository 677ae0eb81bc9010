//! A definition is written over the one that was looked at, so that what is told of a change is what was changed.

use serde::Serialize;

use crate::broker::Broker;
use crate::broker::kv::WriteError;
use crate::broker::log::ReadError;
use crate::id::JobName;
use crate::job::JobSpec;
use crate::reads::jobs::{self, Seen};

/// So often somebody else may write first.
const ROUNDS: usize = 10;

/// What is done with a definition, or would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// There was none of that name.
    Created,
    /// It was another.
    Changed,
    /// It says so already.
    Unchanged,
}

/// Whether anything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// It is.
    Really,
    /// It is only said what would be.
    Dry,
}

/// What was written, and over what.
#[derive(Clone, Debug)]
pub struct Written {
    /// What was done, or would be.
    pub change: Change,
    /// What stood there.
    pub seen: Seen,
    /// The revision that stands there now.
    pub revision: u64,
}

/// Why a job was neither defined nor deleted.
#[derive(Debug, thiserror::Error)]
pub enum DefineError {
    /// Another revision stands there than was expected. Nothing was written.
    #[error("job {job} has another revision than the one that was expected")]
    Moved {
        /// The job.
        job: JobName,
        /// What stands there.
        seen: Box<Seen>,
    },
    /// Whenever it is looked at, it is another.
    #[error("write job {job}: others write it all the time; try again")]
    Busy {
        /// The job.
        job: JobName,
    },
    /// What stands there could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

fn check(job: &JobName, seen: Seen, expected: Option<u64>) -> Result<Seen, DefineError> {
    match expected {
        Some(expected) if expected != seen.revision() => Err(DefineError::Moved {
            job: job.clone(),
            seen: Box::new(seen),
        }),
        Some(_) | None => Ok(seen),
    }
}

/// Defines the job, or changes it; where a revision is `expected`, only if that stands there (0: none).
///
/// # Errors
/// When something else stands there than was expected, or the broker does not answer.
pub async fn job(
    broker: &Broker,
    spec: &JobSpec,
    expected: Option<u64>,
    how: Write,
) -> Result<Written, DefineError> {
    let name = &spec.name;
    for _ in 0..ROUNDS {
        let seen = check(name, jobs::see(broker, name).await?, expected)?;
        let change = match seen.job().map(|job| job.spec.as_ref()) {
            None => Change::Created,
            Some(there) if there == Ok(spec) => Change::Unchanged,
            Some(_) => Change::Changed,
        };
        if change == Change::Unchanged || how == Write::Dry {
            let revision = seen.revision();
            return Ok(Written {
                change,
                seen,
                revision,
            });
        }
        match jobs::define(broker, &seen, spec).await {
            Ok(revision) => {
                return Ok(Written {
                    change,
                    seen,
                    revision,
                });
            }
            // What is there now is looked at again: it may be what was expected no more.
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(DefineError::Busy { job: name.clone() })
}

/// Deletes the job, whether this build can read it or not; where a revision is `expected`, only if that stands there.
/// `false`: there is none.
///
/// # Errors
/// When something else stands there than was expected, or the broker does not answer.
pub async fn delete(
    broker: &Broker,
    name: &JobName,
    expected: Option<u64>,
) -> Result<bool, DefineError> {
    let seen = check(name, jobs::see(broker, name).await?, expected)?;
    if seen.job().is_none() {
        return Ok(false);
    }
    if expected.is_none() {
        broker.jobs().delete(name.as_str(), None).await?;
        return Ok(true);
    }
    if let Err(error) = jobs::delete(broker, name, &seen).await {
        check(name, jobs::see(broker, name).await?, expected)?;
        return Err(error.into());
    }
    Ok(true)
}
