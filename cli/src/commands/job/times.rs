//! A job's schedule, and the times that people type, by the clocks of its zone.

use anyhow::Context as _;
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::job::JobSpec;
use gridloom_shared::schedule::{Calendars, Moment, Plan, Spec, When};

use crate::fault::Misuse;

/// A job's schedule.
pub(super) fn schedule(job: &JobSpec) -> anyhow::Result<Spec> {
    let Some(value) = job.schedule.clone() else {
        return Err(Misuse::error(format!(
            "job {} has no [schedule]: its runs are started by gridloom run and by submissions",
            job.name
        )));
    };
    Spec::try_from(value).with_context(|| format!("read the schedule of job {}", job.name))
}

/// What a schedule means; a cadence without a start begins at `anchor`, or now. Where a calendar is not there, each of its
/// times is taken out for that.
pub(super) fn plan(
    spec: &Spec,
    job: &str,
    calendars: &Calendars,
    anchor: Option<UnixMs>,
) -> anyhow::Result<Plan> {
    let anchor = anchor.unwrap_or_else(UnixMs::now);
    Ok(Plan::in_force(spec, job, calendars, anchor)?)
}

/// The clocks of a schedule's zone.
fn clocks(spec: &Spec) -> anyhow::Result<Plan> {
    plan(spec, "", &Calendars::new(), None)
}

/// The time that `text` says, by the clocks of the schedule's zone.
pub(super) fn moment(plan: &Plan, text: &str) -> anyhow::Result<UnixMs> {
    plan.instant(read_moment(text)?)
        .ok_or_else(|| Misuse::error(format!("{text:?} is no time of this schedule's zone")))
}

/// What people mean by a time, whichever zone that is in.
pub(super) fn read_moment(text: &str) -> anyhow::Result<Moment> {
    text.parse()
        .map_err(|error| Misuse::error(format!("{text:?} {}", chain(&error))))
}

/// A time by the clocks of a job's zone; of one without a schedule, in UTC.
pub(super) fn time_of(job: &JobSpec, text: &str) -> anyhow::Result<UnixMs> {
    match job.schedule {
        Some(_) => moment(&clocks(&schedule(job)?)?, text),
        None => time_in_utc(text),
    }
}

/// A time by the clocks of UTC.
pub(super) fn time_in_utc(text: &str) -> anyhow::Result<UnixMs> {
    moment(&clocks(&utc())?, text)
}

/// A schedule whose zone is UTC.
pub(super) fn utc() -> Spec {
    Spec::new(When::Every { period_ms: 1_000 })
}
