//! What an ad-hoc message becomes: a run, or a record of why not. Either is written before the
//! message is acknowledged, so nothing is lost and nothing is redelivered for ever.

use bytes::Bytes;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::{AppendError, ReadError};
use gridloom_shared::broker::pull::Delivery;
use gridloom_shared::chain;
use gridloom_shared::id::{JobName, Nonce, QueueName, RunId, Term};
use gridloom_shared::job::JobSpec;
use gridloom_shared::ledger::record::{Author, Opened, PlanRecord};
use gridloom_shared::submission::{Submission, Unreadable};
use gridloom_shared::wire;

mod reply;

pub use reply::tell;

const CONFLICT: &str = "conflict: this request id was used before with other params or another grid: choose another id";

/// What came of a message.
#[derive(Debug)]
pub enum Receipt {
    /// A run was opened.
    Opened(Box<NewRun>),
    /// The run exists: the same request was made before.
    Exists(RunId),
    /// The run existed, is over and was purged: the same request was made before.
    Purged(RunId),
    /// The message is on record as unreadable, with this reason.
    Refused(String),
    /// Nothing yet: its queue takes no new runs for now.
    Later,
}

/// A run that was just opened.
#[derive(Debug)]
pub struct NewRun {
    /// The run.
    pub run: RunId,
    /// Ledger sequence of its first record.
    pub sequence: u64,
    /// The record.
    pub record: PlanRecord,
}

/// Why a message has no answer yet: it stays on the stream and is delivered again.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Writing failed.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// Reading failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Answers a message of the submit stream. It may be acknowledged after this.
///
/// Where `is_full` says so of the job's queue, nothing is opened.
pub async fn answer(
    broker: &Broker,
    delivery: &Delivery,
    term: Term,
    is_full: impl Fn(&QueueName) -> bool,
) -> Result<Receipt, SubmitError> {
    let subject = delivery.subject.as_str();
    let outcome = match understand(broker, delivery).await? {
        Ok(understood) if is_full(&understood.opened.job.queue) => return Ok(Receipt::Later),
        Ok(understood) => open(broker, understood, term).await?,
        Err(reason) => Err(reason),
    };
    match outcome {
        Ok(answer) => Ok(answer),
        Err(reason) => {
            let record = Unreadable::new(
                subject,
                delivery.stream_seq,
                reason.clone(),
                &delivery.payload,
            );
            broker
                .append_patiently(broker.subjects().unreadable(), record.encode())
                .await?;
            Ok(Receipt::Refused(reason))
        }
    }
}

/// What a message asks for.
struct Understood {
    run: RunId,
    /// The run's first record, if it becomes one; its term is the caller's to fill in.
    opened: Opened,
}

/// What there is of a run, whichever queue its job had then.
enum Earlier {
    /// Nothing that counts: the id is free. The last sequence of whatever else stands under it.
    Free(u64),
    /// Its first record, at this ledger sequence.
    Opened(u64, Box<Opened>),
    /// It was purged, and the id is remembered; with the hash of what was submitted, where that is known.
    Purged(Option<u64>),
    /// What stands there begins with a record, at this sequence, that begins no run.
    Nonsense(u64),
}

async fn understand(
    broker: &Broker,
    delivery: &Delivery,
) -> Result<Result<Understood, String>, SubmitError> {
    let token = broker
        .subjects()
        .parse_submit(&delivery.subject)
        .unwrap_or("");
    let name = match JobName::new(token) {
        Ok(name) => name,
        Err(error) => return Ok(Err(chain(&error).to_string())),
    };
    if let Err(reason) = reply::place(broker, delivery) {
        return Ok(Err(reason));
    }
    let content_type = delivery
        .headers
        .as_ref()
        .and_then(|headers| headers.get("Content-Type"))
        .map(|value| value.as_str());
    let submission = match Submission::parse(&delivery.payload, content_type) {
        Ok(submission) => submission,
        Err(error) => return Ok(Err(chain(&error).to_string())),
    };
    let run = submission.run_id(&name, delivery.stream_seq);
    let entry = broker.jobs().get(name.as_str()).await?;
    let Some(value) = entry.and_then(|entry| entry.value) else {
        return Ok(Err(format!(
            "job {name} is unknown: apply it first (gridloom job apply FILE)"
        )));
    };
    let job = match wire::decode::<JobSpec>(&value) {
        Ok(job) => job,
        Err(error) => {
            return Ok(Err(format!(
                "the definition of job {name} is {}: apply it again",
                chain(&error)
            )));
        }
    };
    let job = match submission.applied_to(&job) {
        Ok(job) => job,
        Err(error) => return Ok(Err(chain(&error).to_string())),
    };
    let opened = Opened {
        nonce: Nonce::random(),
        job,
        scheduled_at: delivery.stored_at,
        content: submission.content(),
        term: Term(0),
    };
    Ok(Ok(Understood { run, opened }))
}

/// Writes a run's first record. `Err` holds the reason why the request is refused.
///
/// A request names its run: the id is free only if no queue has it. So it is the whole run that must have
/// no record, not the one subject; of two planners that read different definitions of a job, one opens it.
async fn open(
    broker: &Broker,
    understood: Understood,
    term: Term,
) -> Result<Result<Receipt, String>, SubmitError> {
    let Understood { run, opened } = understood;
    let (content, nonce) = (opened.content, opened.nonce);
    let subjects = broker.subjects();
    let subject = subjects.ledger_of(&opened.job.queue, &run, Author::Plan);
    let anywhere = subjects.ledger_of_run_anywhere(&run);
    let record = PlanRecord::Opened(Box::new(Opened { term, ..opened }));
    let bytes = wire::encode(&record);
    let most = broker.max_record();
    if bytes.len() > most {
        return Ok(Err(format!(
            "the job has {} bytes, and {most} are the most that the broker takes: raise its max_payload, or make params smaller",
            bytes.len()
        )));
    }
    let mut behind = 0;
    loop {
        let place = (subject.as_str(), anywhere.as_str());
        match certainly(broker, place, bytes.clone(), behind).await {
            Ok(sequence) => {
                return Ok(Ok(Receipt::Opened(Box::new(NewRun {
                    run,
                    sequence,
                    record,
                }))));
            }
            Err(AppendError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        match find(broker, &run).await? {
            Earlier::Free(last) => behind = last,
            Earlier::Opened(sequence, first) => {
                return Ok(same_request(&first, content, nonce).map(|mine| match mine {
                    Mine::Yes => Receipt::Opened(Box::new(NewRun {
                        run,
                        sequence,
                        record,
                    })),
                    Mine::No => Receipt::Exists(run),
                }));
            }
            Earlier::Purged(was) if was.is_some_and(|was| was != content) => {
                return Ok(Err(CONFLICT.into()));
            }
            Earlier::Purged(_) => {
                return Ok(Ok(Receipt::Purged(run)));
            }
            Earlier::Nonsense(sequence) => {
                return Ok(Err(format!(
                    "the ledger of run {run} does not begin as one (record {sequence}): choose another id"
                )));
            }
        }
    }
}

enum Mine {
    Yes,
    No,
}

fn same_request(first: &Opened, content: u64, nonce: Nonce) -> Result<Mine, String> {
    if first.nonce == nonce {
        Ok(Mine::Yes)
    } else if first.content == content {
        Ok(Mine::No)
    } else {
        Err(CONFLICT.into())
    }
}

/// What there is of a run, in whichever queue it is, by the stream's leader: it came first, so it must be
/// seen.
async fn find(broker: &Broker, run: &RunId) -> Result<Earlier, ReadError> {
    let subjects = broker.subjects();
    let ledger = subjects.ledger();
    let anywhere = subjects.ledger_of_run_anywhere(run);
    // Before the rest: what comes later is seen by the next compare-and-swap.
    let last = broker.last_of_leader(&ledger, &anywhere).await?;
    let plan = subjects.plan_of_run_anywhere(run);
    if let Some(first) = broker.first_of_leader(&ledger, &plan, 1).await? {
        return Ok(match wire::decode(&first.payload) {
            Ok(PlanRecord::Opened(opened)) => Earlier::Opened(first.seq, opened),
            Ok(PlanRecord::Retired(retired)) => Earlier::Purged(retired.content),
            Ok(record) if record.is_end() => Earlier::Purged(None),
            Ok(_) | Err(_) => Earlier::Nonsense(first.seq),
        });
    }
    let id = subjects.id_of_anywhere(run);
    let id = broker.last_of_leader(&ledger, &id).await?;
    Ok(match id.map(|id| (id.seq, wire::decode(&id.payload))) {
        None | Some((_, Ok(PlanRecord::Forgotten(_)))) => {
            Earlier::Free(last.map_or(0, |last| last.seq))
        }
        Some((_, Ok(PlanRecord::Retired(retired)))) => Earlier::Purged(retired.content),
        Some((sequence, Ok(_) | Err(_))) => Earlier::Nonsense(sequence),
    })
}

/// Appends under compare-and-swap until the answer is known: an own earlier try whose answer was
/// lost is recognised by its bytes.
pub(crate) async fn append_certainly(
    broker: &Broker,
    subject: &str,
    bytes: Bytes,
    expected: u64,
) -> Result<u64, AppendError> {
    certainly(broker, (subject, subject), bytes, expected).await
}

/// As [`append_certainly`], where `expected` is the last sequence on any subject that `on` matches.
pub(crate) async fn certainly(
    broker: &Broker,
    (subject, on): (&str, &str),
    bytes: Bytes,
    expected: u64,
) -> Result<u64, AppendError> {
    let mut pause = std::time::Duration::from_millis(20);
    loop {
        match broker
            .append_on(subject.to_owned(), bytes.clone(), (on, expected))
            .await
        {
            Err(error @ AppendError::Conflict { .. }) => {
                return match broker
                    .last_of_leader(&broker.subjects().ledger(), subject)
                    .await
                {
                    Ok(Some(last)) if last.payload == bytes => Ok(last.seq),
                    Ok(_) => Err(error),
                    Err(read) => {
                        tracing::debug!(error = %read, subject, "failed to read what came first");
                        tokio::time::sleep(pause).await;
                        continue;
                    }
                };
            }
            Err(
                error @ (AppendError::Unknown { .. }
                | AppendError::Unavailable { .. }
                | AppendError::Full { .. }),
            ) => {
                tracing::warn!(error = %chain(&error), "append again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(std::time::Duration::from_secs(1));
            }
            done => return done,
        }
    }
}
