//! What an ad-hoc message becomes: a run, or a record of why not. Either is written before the
//! message is acknowledged, so nothing is lost and nothing is redelivered for ever.

use std::collections::{BTreeSet, HashMap};

use futures_util::future::join_all;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::kv::WriteError;
use gridloom_shared::broker::log::{AppendError, ReadError};
use gridloom_shared::broker::pull::{Delivery, Headers};
use gridloom_shared::chain;
use gridloom_shared::id::{JobName, Nonce, QueueName, RunId, Term};
use gridloom_shared::job::JobSpec;
use gridloom_shared::ledger::record::Opened;
use gridloom_shared::submission::answer::REPLY;
use gridloom_shared::submission::{ByHand, Kept, Submission, Unreadable, is_same_content};
use gridloom_shared::trace::{TRACEPARENT, Traceparent};
use gridloom_shared::wire::{self, Versions, WireError};

use crate::open::{Asked, CONFLICT, NewRun, OpenError, Opening, there};

mod reply;

pub use reply::tell;
pub(crate) use reply::tell_kept;

/// What came of a message.
#[derive(Debug)]
pub enum Receipt {
    /// A run was opened.
    Opened(Box<NewRun>),
    /// The run exists: the same request was made before.
    Exists(RunId),
    /// The run existed, is over and was purged: the same request was made before.
    Purged(RunId),
    /// It has an overlap policy and is kept: whoever keeps the schedules answers it.
    Kept(RunId),
    /// The same request was made before, and is kept still.
    Waits(RunId),
    /// The message is on record as unreadable, with this reason; with the run that it asked for, if that is known.
    Refused(Option<RunId>, String),
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
    /// It could not be kept.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The run could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its job is not known.
    #[error(transparent)]
    Job(#[from] FindError),
    /// A newer build kept the same request.
    #[error("what was kept of it cannot be read here")]
    Newer(#[source] WireError),
}

impl SubmitError {
    /// Whether it waits for a planner of a newer build.
    pub fn is_newer(&self) -> bool {
        matches!(
            self,
            SubmitError::Newer(_)
                | SubmitError::Open(OpenError::Newer(_))
                | SubmitError::Job(FindError::Newer { .. })
        )
    }
}

/// Answers a message of the submit stream. It may be acknowledged after this.
///
/// Where `is_full` says so of the job's queue, nothing is opened.
pub(crate) async fn answer(
    broker: &Broker,
    delivery: &Delivery,
    job: Option<&Found>,
    term: Term,
    is_full: impl Fn(&QueueName) -> bool,
    open: impl AsyncFnOnce(RunId, Opened) -> Result<Opening, OpenError> + Clone,
) -> Result<Receipt, SubmitError> {
    let mut place = Place::First;
    let (asked, reason) = loop {
        let understood = understand(broker, delivery, (job, place))?;
        let asked = understood.as_ref().ok().map(|it| it.run.clone());
        let outcome = match understood {
            Ok(understood) if is_full(&understood.opened.job.queue) => return Ok(Receipt::Later),
            Ok(understood) if understood.overlap != ByHand::Allow => {
                keep(broker, delivery, understood).await?
            }
            Ok(Understood { run, opened, .. }) => {
                let opened = Opened { term, ..opened };
                receipt(run.clone(), open.clone()(run, opened).await?)
            }
            Err(reason) => Err(reason),
        };
        match outcome {
            Ok(Some(receipt)) => return Ok(receipt),
            Ok(None) => place = Place::Taken,
            Err(reason) => break (asked, reason),
        }
    };
    let (subject, sequence) = (delivery.subject.as_str(), delivery.stream_seq);
    let record = Unreadable::new(subject, sequence, reason.clone(), &delivery.payload);
    broker
        .append_patiently(broker.subjects().unreadable(), record.encode())
        .await?;
    Ok(Receipt::Refused(asked, reason))
}

/// Whose the run is that is named by a message's place in its stream.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// As far as is known, its own.
    First,
    /// Of a message that stood there before.
    Taken,
}

/// What is told; `None` where the run is of another message.
fn receipt(run: RunId, opening: Opening) -> Result<Option<Receipt>, String> {
    match opening {
        Opening::New(new) => Ok(Some(Receipt::Opened(new))),
        Opening::Exists => Ok(Some(Receipt::Exists(run))),
        Opening::Purged => Ok(Some(Receipt::Purged(run))),
        Opening::Anothers => Ok(None),
        Opening::Refused(reason) => Err(reason),
    }
}

/// Keeps a message until it is known what becomes of it beside other runs.
async fn keep(
    broker: &Broker,
    delivery: &Delivery,
    understood: Understood,
) -> Result<Result<Option<Receipt>, String>, SubmitError> {
    let Understood {
        run,
        opened,
        overlap,
    } = understood;
    let asked = Asked::of(&run, opened.content, delivery.stored_at);
    if let Some(there) = there(broker, &run, asked).await? {
        return Ok(receipt(run, there));
    }
    let header = |name: &str| {
        let headers = delivery.headers.as_ref()?;
        Some(headers.get(name)?.as_str().to_owned())
    };
    let kept = Kept {
        run: run.clone(),
        overlap,
        content: opened.content,
        subject: delivery.subject.to_string(),
        sequence: delivery.stream_seq,
        at: delivery.stored_at,
        content_type: header("Content-Type"),
        body: delivery.payload.clone(),
        reply: header(REPLY),
        withdrawn: None,
        traceparent: opened.traceparent,
    };
    let (bytes, most) = (wire::encode(&kept), broker.max_record());
    if bytes.len() > most {
        return Ok(Err(format!(
            "with an overlap policy the message has {} bytes, and {most} are the most: make params smaller",
            bytes.len()
        )));
    }
    let key = broker.subjects().asked_key(&run);
    match broker.state().create(&key, bytes).await {
        Ok(_) => {}
        Err(error) if error.is_conflict() => {
            let place = broker.state().place_of(&key).await?;
            let there = place
                .value()
                .map(|value| broker.decode::<Kept>(&key, value));
            // It is gone by now where it was answered meanwhile: delivered again, that is seen.
            return Ok(match there.ok_or(error)? {
                Ok(there) if asked.is_of_another(there.at) => Ok(None),
                Ok(there) if !is_same_content(there.content, kept.content) => {
                    Err(CONFLICT.to_owned())
                }
                // It is this one, whose taker died.
                Ok(there) if there.sequence == kept.sequence => Ok(Some(Receipt::Kept(run))),
                Ok(_) => Ok(Some(Receipt::Waits(run))),
                Err(error) if error.is_newer() => return Err(SubmitError::Newer(error)),
                Err(_) => Err(CONFLICT.to_owned()),
            });
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Ok(Some(Receipt::Kept(run))))
}

/// What a message asks for.
struct Understood {
    run: RunId,
    overlap: ByHand,
    /// The run's first record, if it becomes one; its term is the caller's to fill in.
    opened: Opened,
}

/// The definition of a job, as it stood after a message for it was delivered; or why there is none.
pub(crate) type Found = Result<Result<JobSpec, String>, FindError>;

/// Why it is not known yet what a job is.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FindError {
    /// Reading failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A newer build wrote it.
    #[error("the definition of job {job} cannot be read here")]
    Newer {
        /// Whose.
        job: JobName,
        /// Which version it has.
        source: WireError,
    },
}

/// The jobs that messages are for. Each is looked up once for all of them: a definition that was confirmed before a
/// message was published is there.
pub(crate) async fn jobs(broker: &Broker, deliveries: &[Delivery]) -> HashMap<JobName, Found> {
    let names = deliveries
        .iter()
        .filter_map(|delivery| name(broker, delivery).ok());
    let names: BTreeSet<JobName> = names.collect();
    let found = names.into_iter().map(async |name| {
        let found = find(broker, &name).await;
        (name, found)
    });
    join_all(found).await.into_iter().collect()
}

async fn find(broker: &Broker, name: &JobName) -> Found {
    // By the leader: a message is refused for good, or its run frozen, by what is found.
    let entry = broker.jobs().get_of_leader(name.as_str()).await?;
    let Some(value) = entry.and_then(|entry| entry.value) else {
        return Ok(Err(format!(
            "job {name} is unknown: apply it first (gridloom job apply FILE)"
        )));
    };
    let job = broker.decode::<JobSpec>(name.as_str(), &value);
    if let Err(source @ WireError::Newer { .. }) = job {
        let job = name.clone();
        return Err(FindError::Newer { job, source });
    }
    Ok(job.map_err(|error| {
        format!(
            "the definition of job {name} is {}: apply it again",
            chain(&error)
        )
    }))
}

/// The job that a message is for.
pub(crate) fn name(broker: &Broker, delivery: &Delivery) -> Result<JobName, String> {
    let token = broker.subjects().parse_submit(&delivery.subject);
    JobName::new(token.unwrap_or("")).map_err(|error| chain(&error).to_string())
}

fn understand(
    broker: &Broker,
    delivery: &Delivery,
    (job, place): (Option<&Found>, Place),
) -> Result<Result<Understood, String>, SubmitError> {
    let name = match name(broker, delivery) {
        Ok(name) => name,
        Err(reason) => return Ok(Err(reason)),
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
    let run = match (place, &submission.id) {
        (Place::Taken, None) => {
            RunId::from_later_submission(&name, delivery.stream_seq, delivery.stored_at)
        }
        _ => submission.run_id(&name, delivery.stream_seq),
    };
    let job = match job {
        Some(Ok(Ok(job))) => job,
        Some(Ok(Err(reason))) => return Ok(Err(reason.clone())),
        Some(Err(error)) => return Err(error.clone().into()),
        None => return Ok(Err(format!("job {name} is unknown"))),
    };
    let job = match submission.applied_to(job) {
        Ok(job) => job,
        Err(error) => return Ok(Err(chain(&error).to_string())),
    };
    let opened = Opened {
        nonce: Nonce::random(),
        job,
        scheduled_at: delivery.stored_at,
        content: submission.content(),
        term: Term(0),
        first: Vec::new(),
        traceparent: delivery.headers.as_ref().and_then(traceparent),
        reports: Versions::own().writes,
    };
    let overlap = submission.overlap;
    Ok(Ok(Understood {
        run,
        overlap,
        opened,
    }))
}

/// The place in a trace that a submitter names. What is malformed, or there twice, is as if nothing were there.
fn traceparent(headers: &Headers) -> Option<Traceparent> {
    let named = headers.iter();
    let named =
        named.filter(|(name, _)| AsRef::<str>::as_ref(name).eq_ignore_ascii_case(TRACEPARENT));
    let mut values = named.flat_map(|(_, values)| values);
    let first = values.next()?;
    match values.next() {
        None => Traceparent::parse(first.as_str()),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn place_in_a_trace_is_taken_over_if_there_is_one_and_it_is_one() {
        let of = |lines: &[(&str, &str)]| {
            let mut headers = Headers::new();
            lines
                .iter()
                .for_each(|(name, value)| headers.append(*name, *value));
            traceparent(&headers).map(|found| found.to_string())
        };
        assert_eq!(
            of(&[("traceparent", GIVEN), ("x", "y")]).as_deref(),
            Some(GIVEN)
        );
        assert_eq!(of(&[("Traceparent", GIVEN)]).as_deref(), Some(GIVEN));
        for lines in [
            &[("traceparent", "00-1-2-3")][..],
            &[("traceparent", GIVEN), ("traceparent", GIVEN)],
            &[("traceparent", GIVEN), ("Traceparent", GIVEN)],
            &[("tracestate", "a=b")],
        ] {
            assert_eq!(of(lines), None, "{lines:?}");
        }
    }
}
