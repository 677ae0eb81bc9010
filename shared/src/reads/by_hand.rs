//! Runs that were asked for by hand and are not open yet, and the order to open one no more.

use serde::Serialize;

use super::fires;
use crate::broker::Broker;
use crate::broker::kv::{Entry, WriteError};
use crate::broker::log::ReadError;
use crate::id::{JobName, RunId};
use crate::submission::Kept;
use crate::wire::{self, WireError};

/// Somebody else may write so often meanwhile: a leader does, once.
const ROUNDS: usize = 10;

/// A run that waits until others of its job are over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WaitingRun {
    /// The run that it becomes.
    pub run: RunId,
    /// Its job.
    pub job: JobName,
    /// Always `waiting`: other runs have other states.
    pub state: &'static str,
    /// Its overlap policy.
    pub overlap: &'static str,
    /// When it was asked for (RFC 3339).
    pub asked_at: String,
    /// The run that was open when it came, or one of several; `None`: nothing is decided of it yet.
    pub waits_for: Option<RunId>,
    /// Who has cancelled it, where that is not on record yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelled_by: Option<String>,
}

impl WaitingRun {
    /// What it waits for, in words.
    pub fn words(&self) -> String {
        match (&self.cancelled_by, &self.waits_for) {
            (Some(by), _) => format!("cancelled by {by}, until a planner has that on record"),
            (None, Some(run)) => format!("for {run} to be over"),
            (None, None) => "for a planner to decide".to_owned(),
        }
    }
}

/// Why a run that waits was not cancelled.
#[derive(Debug, thiserror::Error)]
pub enum WithdrawError {
    /// What is there could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// It is not known what is there.
    #[error("read what was kept of it")]
    Newer(#[source] WireError),
}

/// Those of `job`, or of all jobs, the newest first.
///
/// # Errors
/// When the broker does not answer.
pub async fn list(broker: &Broker, job: Option<&JobName>) -> Result<Vec<WaitingRun>, ReadError> {
    let subjects = broker.subjects();
    let mut entries = broker.state().entries(subjects.all_asked_runs()).await?;
    entries.retain(|entry| {
        let run = subjects.parse_asked_key(&entry.key);
        run.is_some_and(|run| job.is_none_or(|job| job.as_str() == run.job()))
    });
    let mut waiting = Vec::new();
    for entry in entries {
        waiting.extend(waits(broker, &entry).await?);
    }
    waiting.sort_by(|one, other| other.asked_at.cmp(&one.asked_at));
    Ok(waiting)
}

/// Runs that would be opened later of what is known by now: fires that wait for runs to be over, and what was asked for by
/// hand and waits. Where the job is deleted they are dropped.
///
/// # Errors
/// When the broker does not answer.
pub async fn with_fires(broker: &Broker, job: &JobName) -> Result<Vec<RunId>, ReadError> {
    let queued = fires::state(broker, job).await?.map(|state| state.queued);
    let queued = queued.iter().flatten();
    let mut runs: Vec<RunId> = queued.map(|fire| RunId::from_fire(job, fire.at)).collect();
    let asked = list(broker, Some(job)).await?;
    runs.extend(asked.into_iter().map(|asked| asked.run));
    Ok(runs)
}

/// The run, if it waits.
///
/// # Errors
/// When the broker does not answer.
pub async fn of(broker: &Broker, run: &RunId) -> Result<Option<WaitingRun>, ReadError> {
    let key = broker.subjects().asked_key(run);
    match broker.state().place_of(&key).await?.entry() {
        Some(entry) => waits(broker, entry).await,
        None => Ok(None),
    }
}

/// What a key says, where its run is not open: it stands there for a moment after that.
async fn waits(broker: &Broker, entry: &Entry) -> Result<Option<WaitingRun>, ReadError> {
    let kept = entry.value.as_deref();
    let kept = kept.map(|kept| broker.decode::<Kept>(&entry.key, kept));
    let Some(Ok(kept)) = kept else {
        return Ok(None);
    };
    let Ok(job) = JobName::new(kept.run.job()) else {
        return Ok(None);
    };
    if is_open(broker, &kept.run).await? {
        return Ok(None);
    }
    let state = fires::state(broker, &job).await?;
    let asked = state.into_iter().flat_map(|state| state.asked);
    let mut asked = asked.filter(|asked| asked.run == kept.run && asked.refused.is_none());
    Ok(Some(WaitingRun {
        waits_for: asked.next().map(|asked| asked.behind.run),
        run: kept.run,
        job,
        state: "waiting",
        overlap: kept.overlap.as_str(),
        asked_at: kept.at.rfc3339(),
        cancelled_by: kept.withdrawn,
    }))
}

/// Whether a run has records.
///
/// # Errors
/// When the broker does not answer.
pub async fn is_open(broker: &Broker, run: &RunId) -> Result<bool, ReadError> {
    let subjects = broker.subjects();
    let plan = subjects.plan_of_run_anywhere(run);
    let last = broker.last_of_leader(&subjects.ledger(), &plan).await?;
    Ok(last.is_some())
}

/// Cancels a run that waits: whoever leads has that on record, and opens it no more; where it was opened meanwhile, it ends
/// it. `false`: none waits under this id.
///
/// # Errors
/// When the broker does not answer.
pub async fn withdraw(broker: &Broker, run: &RunId, by: &str) -> Result<bool, WithdrawError> {
    let (state, key) = (broker.state(), broker.subjects().asked_key(run));
    let mut last = None;
    for _ in 0..ROUNDS {
        let place = state.place_of(&key).await?;
        let kept = place
            .value()
            .map(|value| broker.decode::<Kept>(&key, value));
        let kept = match kept {
            Some(Ok(kept)) => kept,
            Some(Err(error)) if error.is_newer() => return Err(WithdrawError::Newer(error)),
            Some(Err(_)) | None => return Ok(false),
        };
        if kept.withdrawn.is_some() {
            return Ok(true);
        }
        let withdrawn = Kept {
            withdrawn: Some(by.to_owned()),
            ..kept
        };
        match state.replace(&place, wire::encode(&withdrawn), None).await {
            Ok(_) => return Ok(true),
            // It was opened or refused meanwhile.
            Err(error) if error.is_conflict() => last = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    last.map_or(Ok(false), |error| Err(error.into()))
}

/// Whether what was asked for under this id is answered for good.
///
/// # Errors
/// When the broker does not answer.
pub async fn is_answered(broker: &Broker, run: &RunId) -> Result<bool, ReadError> {
    let key = broker.subjects().asked_key(run);
    Ok(broker.state().place_of(&key).await?.value().is_none())
}
