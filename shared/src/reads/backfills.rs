//! Which backfills of a job there are, and the order to begin or to end one.

use crate::broker::Broker;
use crate::broker::kv::{Place, WriteError};
use crate::broker::log::ReadError;
use crate::id::JobName;
use crate::limits::{BACKFILLS_KEPT_MAX, BACKFILLS_MAX};
use crate::schedule::{Backfill, BackfillName};

/// A backfill that is on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: BackfillName,
    /// What was asked for, and how far it has come.
    pub backfill: Backfill,
}

/// What came of the wish for a backfill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It begins.
    New,
    /// The same was asked for before, under the same name.
    Exists,
}

/// Why a backfill was neither begun nor ended.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// What is there could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Others are under way.
    #[error(
        "job {job} has {BACKFILLS_MAX} backfills under way, as many as it may have: wait for one, or cancel it"
    )]
    TooMany {
        /// The job.
        job: JobName,
    },
    /// Another one has that name.
    #[error("job {job} has another backfill {name}: choose another name")]
    Conflict {
        /// The job.
        job: JobName,
        /// The name.
        name: BackfillName,
    },
    /// There is none of that name.
    #[error(
        "job {job} has no backfill {name}; gridloom job backfills {job} lists those that it has"
    )]
    Absent {
        /// The job.
        job: JobName,
        /// The name.
        name: BackfillName,
    },
}

impl BackfillError {
    /// Whether the one who asked has to ask for something else.
    pub fn is_misuse(&self) -> bool {
        match self {
            BackfillError::Read(_) | BackfillError::Write(_) => false,
            BackfillError::TooMany { .. }
            | BackfillError::Conflict { .. }
            | BackfillError::Absent { .. } => true,
        }
    }
}

/// The backfills of `job` that are remembered, the oldest first.
///
/// # Errors
/// When the broker does not answer.
pub async fn list(broker: &Broker, job: &JobName) -> Result<Vec<Listed>, ReadError> {
    let subjects = broker.subjects();
    let entries = broker.state().entries(&subjects.backfills_of(job)).await?;
    let listed = entries.iter().filter_map(|entry| {
        Some(Listed {
            name: subjects.parse_backfill_key(&entry.key)?.1,
            backfill: serde_json::from_slice(entry.value.as_ref()?).ok()?,
        })
    });
    let mut all: Vec<Listed> = listed.collect();
    all.sort_by_key(|listed| listed.backfill.asked_at);
    Ok(all)
}

/// Asks for a backfill. The same name and the same wish is the same backfill, however often it is asked for.
///
/// # Errors
/// When the broker does not answer, another backfill has that name, or too many are under way.
pub async fn begin(
    broker: &Broker,
    job: &JobName,
    name: &BackfillName,
    backfill: &Backfill,
) -> Result<Begun, BackfillError> {
    let place = place(broker, job, name).await?;
    if let Some(there) = read(&place) {
        return exists(&there, (job, name, backfill));
    }
    let all = list(broker, job).await?;
    let (over, open): (Vec<_>, Vec<_>) = all
        .iter()
        .partition(|listed| listed.backfill.progress.ended.is_some());
    if open.len() >= BACKFILLS_MAX {
        return Err(BackfillError::TooMany { job: job.clone() });
    }
    let too_many = (all.len() + 1).saturating_sub(BACKFILLS_KEPT_MAX);
    for old in over.iter().take(too_many) {
        let key = broker.subjects().backfill_key(job, &old.name);
        broker.state().delete(&key, None).await?;
    }
    match write(broker, &place, backfill).await {
        // Somebody has asked for it at the same time: maybe for the same.
        Err(error) if error.is_conflict() => match read(&self::place(broker, job, name).await?) {
            Some(there) => exists(&there, (job, name, backfill)),
            None => Err(error.into()),
        },
        done => Ok(done.map(|()| Begun::New)?),
    }
}

/// What comes of the wish for a backfill where one of that name is there.
fn exists(
    there: &Backfill,
    (job, name, backfill): (&JobName, &BackfillName, &Backfill),
) -> Result<Begun, BackfillError> {
    match there.is_the_same(backfill) {
        true => Ok(Begun::Exists),
        false => Err(conflict(job, name)),
    }
}

/// Ends a backfill: nothing more of it is opened, and what is open goes on. `false`: it was over, or cancelled.
///
/// # Errors
/// When the broker does not answer, or there is none of that name.
pub async fn cancel(
    broker: &Broker,
    job: &JobName,
    name: &BackfillName,
    by: &str,
) -> Result<bool, BackfillError> {
    loop {
        let place = place(broker, job, name).await?;
        let Some(there) = read(&place) else {
            let (job, name) = (job.clone(), name.clone());
            return Err(BackfillError::Absent { job, name });
        };
        if there.progress.ended.is_some() || there.cancelled.is_some() {
            return Ok(false);
        }
        let cancelled = Backfill {
            cancelled: Some(by.to_owned()),
            ..there
        };
        match write(broker, &place, &cancelled).await {
            // The leader has come further meanwhile.
            Err(error) if error.is_conflict() => {}
            done => return Ok(done.map(|()| true)?),
        }
    }
}

fn conflict(job: &JobName, name: &BackfillName) -> BackfillError {
    let (job, name) = (job.clone(), name.clone());
    BackfillError::Conflict { job, name }
}

async fn place(broker: &Broker, job: &JobName, name: &BackfillName) -> Result<Place, ReadError> {
    let key = broker.subjects().backfill_key(job, name);
    broker.state().place_of(&key).await
}

fn read(place: &Place) -> Option<Backfill> {
    serde_json::from_slice(place.value()?).ok()
}

async fn write(broker: &Broker, place: &Place, backfill: &Backfill) -> Result<(), WriteError> {
    let text = serde_json::to_vec(backfill).unwrap_or_default();
    broker.state().replace(place, text.into(), None).await?;
    Ok(())
}
