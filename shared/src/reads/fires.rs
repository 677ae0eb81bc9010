//! What was decided of a job's fires, for people and programs.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`told`] | how a decision is told: its times, its run, when it was made |
//! | [`reason`] | why, as a sentence and as fields |
//! | [`stopped`] | whether the last record makes no sense, and what to do about that |

use super::ListError;
use crate::broker::Broker;
use crate::broker::log::ReadError;
use crate::clock::UnixMs;
use crate::id::{JobName, RunId};
use crate::schedule::fired::nominal_of;
use crate::schedule::record::{Decision, Record, State};
use crate::schedule::{Plan, Spec};

pub mod reason;
pub mod stopped;
pub mod told;

pub use stopped::Stopped;
pub use told::Told;

/// All that is on record of a job's fires.
#[derive(Clone, Debug, Default)]
pub struct Fires {
    /// The decisions, in order.
    pub told: Vec<Told>,
    /// The state after the last one that can be read.
    pub state: Option<State>,
    /// Records that make no sense to this build.
    pub unreadable: u64,
    /// The last record is one of them.
    pub stopped: Option<Stopped>,
}

/// What is on record of the fires of `job`, the oldest first: the broker keeps the newest of a job.
///
/// # Errors
/// When the broker does not answer.
pub async fn list(broker: &Broker, job: &JobName) -> Result<Fires, ListError> {
    let subjects = broker.subjects();
    let history = subjects.history();
    let last = broker.info(&history).await?.last_seq;
    let mut reader = broker.reader(&history, subjects.fires(job), 1, Some(last));
    let mut fires = Fires::default();
    let mut openings = Openings::new(job);
    while let Some(page) = reader.next_page().await? {
        for raw in page {
            match broker.decode::<Record>(&raw.subject, &raw.payload) {
                Ok(record) => {
                    fires.stopped = None;
                    // What was opened is told where it was decided.
                    if record.decision != Decision::Confirmed {
                        let before = fires.state.as_ref();
                        let before = before.and_then(|state| state.spec.as_ref());
                        let plan = openings.of(&record);
                        fires.told.push(Told::of(&record, before.is_none(), plan));
                    }
                    fires.state = Some(record.state);
                }
                Err(error) => {
                    fires.unreadable += 1;
                    fires.stopped = Some(Stopped::new(broker, job, &raw, &error));
                }
            }
        }
    }
    Ok(fires)
}

/// The state of the schedule of `job`, as the last record has it.
///
/// # Errors
/// When the broker does not answer.
pub async fn state(broker: &Broker, job: &JobName) -> Result<Option<State>, ReadError> {
    let subjects = broker.subjects();
    let last = broker
        .last_of_leader(&subjects.history(), &subjects.fires(job))
        .await?;
    let record = last.and_then(|last| broker.decode::<Record>(&last.subject, &last.payload).ok());
    Ok(record.map(|record| record.state))
}

/// When `run` has to be over, as its job's schedule says it now. `None`: nobody said so.
///
/// # Errors
/// When the broker does not answer.
pub async fn due(broker: &Broker, run: &RunId) -> Result<Option<UnixMs>, ReadError> {
    let (Some(at), Ok(job)) = (nominal_of(run), JobName::new(run.job())) else {
        return Ok(None);
    };
    let spec = state(broker, &job).await?.and_then(|state| state.spec);
    let plan = spec.and_then(|spec| Plan::without_calendars(&spec).ok());
    Ok(plan.and_then(|plan| plan.due(at)))
}

/// By which plan the fires of a record open: of thousands of records few have another schedule than the one before.
struct Openings<'j> {
    job: &'j JobName,
    known: Option<(Spec, Option<Plan>)>,
}

impl<'j> Openings<'j> {
    fn new(job: &'j JobName) -> Openings<'j> {
        Openings { job, known: None }
    }

    fn of(&mut self, record: &Record) -> Option<&Plan> {
        let spec = record.state.spec.as_ref()?;
        if self.known.as_ref().is_none_or(|(known, _)| known != spec) {
            let plan = Plan::of_times(spec, self.job.as_str(), record.state.anchor);
            self.known = Some((spec.clone(), plan.ok()));
        }
        self.known.as_ref()?.1.as_ref()
    }
}
