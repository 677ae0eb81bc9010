//! A job's schedule, and the times that people type, by the clocks of its zone.

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::ReadError;
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::JobName;
use gridloom_shared::job::JobSpec;
use gridloom_shared::job::parse::Faults;
use gridloom_shared::reads::{ListError, calendars};
use gridloom_shared::schedule::{Calendars, Moment, Plan, Spec, SpecError, When};
use gridloom_shared::wire::WireError;

/// Why it cannot be said when a job fires, or what is the case with one of its times.
#[derive(Debug, thiserror::Error)]
pub enum TimeError {
    /// It fires by no clock.
    #[error("job {job} has no [schedule]: its runs are started by gridloom run and by submissions")]
    NoSchedule {
        /// The job.
        job: JobName,
    },
    /// This build cannot read its schedule.
    #[error("read the schedule of job {job}")]
    Schedule {
        /// The job.
        job: JobName,
        /// Why not.
        #[source]
        cause: Faults,
    },
    /// Nor its definition.
    #[error(transparent)]
    Unreadable(#[from] WireError),
    /// What its schedule says cannot be.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A text is no time.
    #[error("{text:?} {why}")]
    Unread {
        /// The text.
        text: String,
        /// What it should be.
        why: String,
    },
    /// It says one that the clocks of the schedule's zone leave out.
    #[error("{text:?} is no time of this schedule's zone")]
    NoTime {
        /// The text.
        text: String,
    },
    /// What is on record cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Likewise.
    #[error(transparent)]
    List(#[from] ListError),
}

impl TimeError {
    /// Whether the one who asks has to ask for something else.
    pub fn is_misuse(&self) -> bool {
        match self {
            TimeError::NoSchedule { .. } | TimeError::Unread { .. } | TimeError::NoTime { .. } => {
                true
            }
            TimeError::Schedule { .. }
            | TimeError::Unreadable(_)
            | TimeError::Spec(_)
            | TimeError::Read(_)
            | TimeError::List(_) => false,
        }
    }
}

/// A job's schedule.
///
/// # Errors
/// When it has none that can be read.
pub fn schedule(job: &JobSpec) -> Result<Spec, TimeError> {
    let name = || job.name.clone();
    let Some(value) = job.schedule.clone() else {
        return Err(TimeError::NoSchedule { job: name() });
    };
    Spec::try_from(value).map_err(|cause| TimeError::Schedule { job: name(), cause })
}

/// What a schedule means; a cadence without a start begins at `anchor`, or now. Where a calendar is not there, each of its
/// times is taken out for that.
///
/// # Errors
/// When what it says cannot be.
pub fn plan(
    spec: &Spec,
    job: &str,
    calendars: &Calendars,
    anchor: Option<UnixMs>,
) -> Result<Plan, TimeError> {
    let anchor = anchor.unwrap_or_else(UnixMs::now);
    Ok(Plan::in_force(spec, job, calendars, anchor)?)
}

/// The clocks of a schedule's zone.
fn clocks(spec: &Spec) -> Result<Plan, TimeError> {
    plan(spec, "", &Calendars::new(), None)
}

/// The time that `text` says, by the clocks of the schedule's zone.
///
/// # Errors
/// When it says none.
pub fn moment(plan: &Plan, text: &str) -> Result<UnixMs, TimeError> {
    let no_time = || TimeError::NoTime {
        text: text.to_owned(),
    };
    plan.instant(read_moment(text)?).ok_or_else(no_time)
}

/// What people mean by a time, whichever zone that is in.
///
/// # Errors
/// When it is none.
pub fn read_moment(text: &str) -> Result<Moment, TimeError> {
    text.parse().map_err(|error| TimeError::Unread {
        text: text.to_owned(),
        why: chain(&error).to_string(),
    })
}

/// A time by the clocks of a job's zone; of one without a schedule, in UTC.
///
/// # Errors
/// When it says none.
pub fn time_of(job: &JobSpec, text: &str) -> Result<UnixMs, TimeError> {
    match job.schedule {
        Some(_) => moment(&clocks(&schedule(job)?)?, text),
        None => time_in_utc(text),
    }
}

/// A time by the clocks of UTC.
///
/// # Errors
/// When it says none.
pub fn time_in_utc(text: &str) -> Result<UnixMs, TimeError> {
    moment(&clocks(&utc())?, text)
}

/// A schedule whose zone is UTC.
pub fn utc() -> Spec {
    Spec::new(When::Every { period_ms: 1_000 })
}

/// The calendars that a schedule names: none are asked for where it names none.
///
/// # Errors
/// When the broker does not answer.
pub async fn calendars_of(broker: &Broker, spec: &Spec) -> Result<Calendars, ReadError> {
    match spec.calendars().next() {
        None => Ok(Calendars::new()),
        Some(_) => calendars::known(broker).await,
    }
}
