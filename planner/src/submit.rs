//! What an ad-hoc message becomes: a run, or a record of why not. Either is written before the
//! message is acknowledged, so nothing is lost and nothing is redelivered for ever.

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::{AppendError, ReadError};
use gridloom_shared::broker::pull::Delivery;
use gridloom_shared::chain;
use gridloom_shared::id::{JobName, Nonce, QueueName, RunId, Term};
use gridloom_shared::job::JobSpec;
use gridloom_shared::ledger::record::Opened;
use gridloom_shared::submission::{Submission, Unreadable};
use gridloom_shared::wire;

use crate::open::{NewRun, OpenError, Opening, open};

mod reply;

pub use reply::tell;

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

/// Why a message has no answer yet: it stays on the stream and is delivered again.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Writing failed.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// Reading failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The run could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
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
        Ok(Understood { run, opened }) => {
            let opened = Opened { term, ..opened };
            match open(broker, run.clone(), opened).await? {
                Opening::New(new) => Ok(Receipt::Opened(new)),
                Opening::Exists => Ok(Receipt::Exists(run)),
                Opening::Purged => Ok(Receipt::Purged(run)),
                Opening::Refused(reason) => Err(reason),
            }
        }
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
