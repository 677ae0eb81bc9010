//! What the buckets and ledgers of an installation hold, read for a command: jobs by name, a run's
//! records in order. Decides what "is not there" means for people.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use gridloom_shared::broker::subjects::{self, Author};
use gridloom_shared::broker::{Broker, ConnectError, log};
use gridloom_shared::id::{JobName, QueueName, RunId};
use gridloom_shared::job::JobSpec;
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::record::{self, Record};
use gridloom_shared::presence::Presence;
use gridloom_shared::wire;

use super::Context;
use crate::fault::{MISUSE, Misuse, code_of};
use crate::suggest;

/// A job as it stands in its bucket.
#[derive(Clone, Debug)]
pub struct StoredJob {
    /// Its name.
    pub name: String,
    /// Its definition, or why this build cannot read it.
    pub spec: Result<JobSpec, wire::WireError>,
}

/// All jobs, by name.
///
/// # Errors
/// When the broker does not answer.
pub async fn jobs(broker: &Broker) -> anyhow::Result<Vec<StoredJob>> {
    let entries = broker.jobs().entries(">").await?;
    let job = |entry: gridloom_shared::broker::kv::Entry| {
        let spec = wire::decode(entry.value.as_deref().unwrap_or_default());
        StoredJob {
            name: entry.key,
            spec,
        }
    };
    Ok(entries.into_iter().map(job).collect())
}

/// The job called `name`.
///
/// # Errors
/// When there is none: the message suggests one.
pub async fn job(broker: &Broker, name: &JobName) -> anyhow::Result<JobSpec> {
    let entry = broker.jobs().get_of_leader(name.as_str()).await?;
    match entry.and_then(|entry| entry.value) {
        Some(value) => wire::decode(&value).with_context(|| format!("read job {name}")),
        None => Err(no_such_job(broker, name).await),
    }
}

/// The error that there is no job called `name`.
pub async fn no_such_job(broker: &Broker, name: &JobName) -> anyhow::Error {
    let known = jobs(broker).await.unwrap_or_default();
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

/// Runs that have a ledger, each with the number of its planner's records: a single one is the first of
/// a run that was just opened, or the last of one that was purged.
///
/// # Errors
/// When the broker does not answer.
pub async fn runs(broker: &Broker) -> anyhow::Result<BTreeMap<RunId, u64>> {
    let subjects = broker.subjects();
    let found = broker
        .subjects_of(&subjects.ledger(), &subjects.ledgers_by(Author::Plan))
        .await?;
    Ok(found
        .iter()
        .filter_map(|(subject, records)| Some((subjects.parse_ledger(subject)?.1, *records)))
        .collect())
}

/// Queues that jobs, runs, waiting tiles or `workers` name.
///
/// # Errors
/// When the broker does not answer.
pub async fn queues(broker: &Broker, workers: &[Presence]) -> anyhow::Result<BTreeSet<QueueName>> {
    let subjects = broker.subjects();
    let mut queues: BTreeSet<QueueName> = jobs(broker)
        .await?
        .into_iter()
        .filter_map(|job| job.spec.ok())
        .map(|spec| spec.queue)
        .collect();
    queues.extend(
        workers
            .iter()
            .flat_map(|worker| worker.queues.iter().cloned()),
    );
    let ledgers = broker
        .subjects_of(&subjects.ledger(), &subjects.ledgers_by(Author::Plan))
        .await?;
    queues.extend(
        ledgers
            .keys()
            .filter_map(|subject| subjects.parse_ledger(subject))
            .map(|(queue, ..)| queue),
    );
    let tiles = broker
        .subjects_of(&subjects.shards(), &subjects.all_shards())
        .await?;
    queues.extend(
        tiles
            .keys()
            .filter_map(|subject| subjects.parse_shard(subject))
            .map(|(queue, _)| queue),
    );
    Ok(queues)
}

/// Gives every record of `run`'s ledger to `take`, in order: its sequence, time, and content or
/// `None` where it cannot be read.
///
/// # Errors
/// When the broker does not answer, or there is no such run.
pub async fn read_ledger(
    broker: &Broker,
    run: &RunId,
    mut take: impl FnMut(&log::Record, Option<&Record>),
) -> anyhow::Result<()> {
    let subjects = broker.subjects();
    let stream = subjects.ledger();
    let state = broker.info(&stream).await?;
    let mut reader = broker.reader(
        &stream,
        subjects.ledger_of_run_anywhere(run),
        1,
        Some(state.last_seq),
    );
    let mut first = true;
    while let Some(page) = reader.next_page().await? {
        for record in &page {
            let decoded = decode(subjects, record);
            let begins = std::mem::take(&mut first);
            if let Some(Record::Plan(last)) = &decoded
                && begins
                && last.is_end()
            {
                return Err(Misuse::error(format!(
                    "run {run} is over and was purged: of a run that is over only the id is kept in the end (retention.runs and retention.most of the planner)"
                )));
            }
            take(record, decoded.as_ref());
        }
    }
    if first {
        let text = format!(
            "there is no run {run} in namespace {}; gridloom runs lists those that are there",
            subjects.namespace()
        );
        return Err(Misuse::error(text));
    }
    Ok(())
}

/// The content of a record of a ledger; `None` when this build cannot read it.
pub fn decode(subjects: &subjects::Subjects, record: &log::Record) -> Option<Record> {
    let (.., author) = subjects.parse_ledger(&record.subject)?;
    let author = match author {
        Author::Plan => record::Author::Plan,
        Author::Work => record::Author::Work,
        Author::Takeover => record::Author::Takeover,
    };
    Record::decode(author, &record.payload).ok()
}

/// What `run`'s ledger adds up to now.
///
/// # Errors
/// When the broker does not answer, or there is no such run.
pub async fn fold(broker: &Broker, run: &RunId) -> anyhow::Result<Fold> {
    let mut fold = Fold::new(run.clone());
    read_ledger(broker, run, |stored, record| match record {
        Some(record) => fold.apply(stored.seq, stored.at, record),
        None => fold.apply_unreadable(stored.seq),
    })
    .await?;
    Ok(fold)
}

/// The error, or a better one where the broker knows nothing of the namespace: then a read finds
/// nobody who answers, which says little to people.
pub async fn explained(context: &Context, error: anyhow::Error) -> anyhow::Error {
    if code_of(&error) == MISUSE || error.is::<ConnectError>() {
        return error;
    }
    let Ok(broker) = context.ask().await else {
        return error;
    };
    match broker.info(&broker.subjects().ledger()).await {
        Err(cause) if cause.is_stream_missing() => Misuse::error(format!(
            "namespace {} has no streams on this broker yet; start gridloom planner (or gridloom dev), or check --nats and --namespace",
            broker.subjects().namespace()
        )),
        Ok(_) | Err(_) => error,
    }
}
