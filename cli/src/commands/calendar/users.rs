//! Which jobs name a calendar, and which of them wait for one that is not there.

use gridloom_shared::broker::Broker;
use gridloom_shared::job::JobSpec;
use gridloom_shared::reads::calendars;
pub(crate) use gridloom_shared::reads::calendars::{ADVICE, waiting, waits_for};
use gridloom_shared::reads::jobs::StoredJob;
use gridloom_shared::schedule::{Calendars, Spec};

use crate::context::Context;

/// The names of the jobs that name it.
pub(crate) fn of(jobs: &[StoredJob], calendar: &str) -> Vec<String> {
    let mut names: Vec<String> = naming(jobs, calendar)
        .map(|job| job.name.to_string())
        .collect();
    names.sort_unstable();
    names
}

/// The jobs that name it.
pub(super) fn naming<'a>(
    jobs: &'a [StoredJob],
    calendar: &'a str,
) -> impl Iterator<Item = &'a JobSpec> {
    let jobs = jobs.iter().filter_map(|job| job.spec.as_ref().ok());
    jobs.filter(move |job| {
        let named = calendars::named(job);
        named.iter().any(|name| name.as_str() == calendar)
    })
}

/// Tells of jobs that wait for a calendar.
///
/// # Errors
/// When the broker does not answer.
pub(crate) async fn tell_waiting(
    context: &Context,
    broker: &Broker,
    jobs: &[StoredJob],
) -> anyhow::Result<()> {
    let jobs = jobs.iter().filter_map(|job| job.spec.as_ref().ok());
    let naming: Vec<&JobSpec> = jobs
        .filter(|job| !calendars::named(job).is_empty())
        .collect();
    if naming.is_empty() {
        return Ok(());
    }
    let known = calendars::known(broker).await?;
    for waiting in naming.iter().filter_map(|job| waiting(job, &known)) {
        context.output.note(format!("{waiting}: {ADVICE}"));
    }
    Ok(())
}

/// The calendars that a schedule names: none are asked for where it names none.
///
/// # Errors
/// When the broker does not answer.
pub(crate) async fn named_by(context: &Context, spec: &Spec) -> anyhow::Result<Calendars> {
    match spec.calendars().next() {
        None => Ok(Calendars::new()),
        Some(_) => known_to(&context.ask().await?, spec).await,
    }
}

/// The same, where there is a connection.
///
/// # Errors
/// When the broker does not answer.
pub(crate) async fn known_to(broker: &Broker, spec: &Spec) -> anyhow::Result<Calendars> {
    match spec.calendars().next() {
        None => Ok(Calendars::new()),
        Some(_) => Ok(calendars::known(broker).await?),
    }
}
