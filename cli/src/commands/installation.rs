//! What is not there, in words for people: a job, a planner that leads, or a whole namespace.

use anyhow::Context as _;
use gridloom_shared::broker::topology::TopologyError;
use gridloom_shared::broker::{Broker, ConnectError};
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::job::JobSpec;
use gridloom_shared::reads::jobs::StoredJob;
pub use gridloom_shared::reads::planners::nobody_leads;
use gridloom_shared::reads::{RunError, fires, jobs, refused, runs};
use gridloom_shared::suggest;

use crate::context::Context;
use crate::exit::MISUSE;
use crate::fault::{Misuse, code_of};

/// The job called `name`.
///
/// # Errors
/// When there is none: the message suggests one.
pub async fn job(broker: &Broker, name: &JobName) -> anyhow::Result<JobSpec> {
    let spec = stored(broker, name).await?.spec;
    spec.with_context(|| format!("read job {name}"))
}

/// The job called `name` as it is stored, whether this build can read it or not.
///
/// # Errors
/// When there is none: the message suggests one.
pub async fn stored(broker: &Broker, name: &JobName) -> anyhow::Result<StoredJob> {
    match jobs::get(broker, name).await? {
        Some(job) => Ok(job),
        None => Err(no_such_job(broker, name).await),
    }
}

/// The error that there is no job called `name`.
pub async fn no_such_job(broker: &Broker, name: &JobName) -> anyhow::Error {
    let known = jobs::list(broker).await.unwrap_or_default();
    let hint = suggest::hint(name.as_str(), known.iter().map(|job| job.name.as_str()));
    let advice = match (known.is_empty(), hint.is_empty()) {
        (true, _) => "; there are no jobs yet: define one with gridloom job apply FILE".to_owned(),
        (false, true) => "; gridloom job list shows those that are there".to_owned(),
        (false, false) => hint,
    };
    Misuse::error(format!(
        "there is no job {:?} in namespace {}{advice}",
        name.as_str(),
        broker.subjects().namespace()
    ))
}

/// An error if there is neither a job that is called `name` nor a run of one that was.
///
/// # Errors
/// Then, and when the broker does not answer.
pub async fn check_job(broker: &Broker, name: &JobName) -> anyhow::Result<()> {
    let is_known = jobs::get(broker, name).await?.is_some() || {
        let runs = runs::list(broker, (Some(name), None), 1).await?;
        !runs.runs.is_empty() || !runs.left_out.is_empty()
    };
    match is_known {
        true => Ok(()),
        false => Err(no_such_job(broker, name).await),
    }
}

/// The error, or a better one where the broker knows nothing of the namespace: then a read finds
/// nobody who answers, which says little to people.
pub async fn explained(context: &Context, error: anyhow::Error) -> anyhow::Error {
    let absent = error.chain().find_map(|cause| match cause.downcast_ref() {
        Some(RunError::Absent { run, .. }) => Some(run.clone()),
        _ => None,
    });
    if let Some(run) = absent
        && let Some(dropped) = dropped(context, &run).await
    {
        return dropped;
    }
    // Whoever makes the streams knows better why they are not there.
    let is_maker = |cause: &(dyn std::error::Error + 'static)| {
        let cause = cause.downcast_ref();
        matches!(
            cause,
            Some(
                TopologyError::Create { .. }
                    | TopologyError::TooFewReplicas { .. }
                    | TopologyError::Restoring { .. }
            )
        )
    };
    if code_of(&error) == MISUSE || error.is::<ConnectError>() || error.chain().any(is_maker) {
        return error;
    }
    let Ok(broker) = context.ask_whatever_is_there().await else {
        return error;
    };
    match broker.info(&broker.subjects().ledger()).await {
        Err(cause) if cause.is_stream_missing() => Misuse::error(format!(
            "namespace {} has no streams on this broker yet; start gridloom planner (or gridloom dev), or check --nats, --namespace, and the account that is logged in to (--nats-creds, --nats-user)",
            broker.subjects().namespace()
        )),
        Ok(_) | Err(_) => error,
    }
}

/// Why there is no such run, where it was decided that there is none, or it could not be opened.
async fn dropped(context: &Context, run: &RunId) -> Option<anyhow::Error> {
    let broker = context.ask().await.ok()?;
    let job = JobName::new(run.job()).ok()?;
    let told = fires::list(&broker, &job).await.ok()?.told;
    let last = told
        .iter()
        .rev()
        .find(|told| told.run.as_ref() == Some(run))?;
    let (why, decision) = match last.opens() {
        true => (refused::not_opened(&broker, run).await.ok()??, "decided"),
        false if last.decision == "queued" => return None,
        false => (last.why.clone(), last.decision),
    };
    Some(Misuse::error(format!(
        "run {run} was never opened: {why} ({decision}, {})",
        last.decided_at
    )))
}
