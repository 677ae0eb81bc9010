//! Which schedules are paused, and the order to pause or resume them.

use crate::broker::Broker;
use crate::broker::kv::{Place, WriteError};
use crate::broker::log::ReadError;
use crate::clock::UnixMs;
use crate::id::JobName;
use crate::schedule::pause::{Missed, Pause, Resumed};

/// So often somebody else may write first.
const ROUNDS: usize = 20;

/// A pause that is on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paused {
    /// The job; `None`: all.
    pub job: Option<JobName>,
    /// What was said.
    pub pause: Pause,
    /// When that was written, by the broker's clock.
    pub written: UnixMs,
}

/// Why a pause was not written.
#[derive(Debug, thiserror::Error)]
pub enum PauseError {
    /// What is there could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Whenever it is looked at, it is another.
    #[error("pause or resume {}: others do so all the time; look how it stands, and try again", .job.as_ref().map_or_else(|| "all jobs".to_owned(), |job| format!("job {job}")))]
    Busy {
        /// The job; `None`: all.
        job: Option<JobName>,
    },
}

impl Paused {
    /// Whether it lasts.
    pub fn lasts(&self) -> bool {
        self.pause.lasts(self.written, UnixMs::now())
    }

    /// Since when.
    pub fn since(&self) -> UnixMs {
        self.pause.span(self.written).0
    }
}

/// All pauses that last, of all jobs first.
///
/// # Errors
/// When the broker does not answer.
pub async fn list(broker: &Broker) -> Result<Vec<Paused>, ReadError> {
    let subjects = broker.subjects();
    let entries = broker.state().entries(subjects.all_pauses()).await?;
    let paused = entries.iter().filter_map(|entry| {
        let paused = Paused {
            job: subjects.parse_pause_key(&entry.key)?,
            pause: serde_json::from_slice(entry.value.as_ref()?).ok()?,
            written: entry.at,
        };
        paused.lasts().then_some(paused)
    });
    let mut all: Vec<Paused> = paused.collect();
    all.sort_by(|one, other| one.job.cmp(&other.job));
    Ok(all)
}

/// Pauses the schedule of `job`, or of all jobs. `false`: it is paused already, and what was said then stands.
///
/// # Errors
/// When the broker does not answer, or others write all the time.
pub async fn pause(
    broker: &Broker,
    job: Option<&JobName>,
    pause: &Pause,
) -> Result<bool, PauseError> {
    let wanted = |lasts: Option<(Pause, UnixMs)>| lasts.is_none().then(|| pause.clone());
    change(broker, job, wanted).await
}

/// Ends a pause. `false`: there is none.
///
/// # Errors
/// When the broker does not answer, or others write all the time.
pub async fn resume(
    broker: &Broker,
    job: Option<&JobName>,
    by: String,
    missed: Option<Missed>,
) -> Result<bool, PauseError> {
    let wanted = |lasts: Option<(Pause, UnixMs)>| {
        let (pause, written) = lasts?;
        let by = by.clone();
        Some(Pause {
            from: Some(pause.span(written).0),
            resumed: Some(Resumed { by, missed }),
            ..pause
        })
    };
    change(broker, job, wanted).await
}

/// Writes what is `wanted` of the pause that lasts, if there is one. `false`: nothing is. Who finds that somebody else wrote
/// first looks again: what is wanted may be so by now.
async fn change(
    broker: &Broker,
    job: Option<&JobName>,
    wanted: impl Fn(Option<(Pause, UnixMs)>) -> Option<Pause>,
) -> Result<bool, PauseError> {
    for _ in 0..ROUNDS {
        let place = place(broker, job).await?;
        let Some(pause) = wanted(lasting(&place)) else {
            return Ok(false);
        };
        match write(broker, &place, &pause).await {
            Ok(()) => return Ok(true),
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(PauseError::Busy { job: job.cloned() })
}

async fn place(broker: &Broker, job: Option<&JobName>) -> Result<Place, ReadError> {
    let key = broker.subjects().pause_key(job);
    broker.state().place_of(&key).await
}

/// What was said of a pause that lasts, and when it was written.
fn lasting(place: &Place) -> Option<(Pause, UnixMs)> {
    let pause: Pause = serde_json::from_slice(place.value()?).ok()?;
    let written = place.at()?;
    pause
        .lasts(written, UnixMs::now())
        .then_some((pause, written))
}

async fn write(broker: &Broker, place: &Place, pause: &Pause) -> Result<(), WriteError> {
    let text = serde_json::to_vec(pause).unwrap_or_default();
    broker.state().replace(place, text.into(), None).await?;
    Ok(())
}
