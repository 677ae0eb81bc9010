//! Opens a run: writes its first record under compare-and-swap, or says what stands under its id. Whoever
//! has understood what is asked for comes here.

use bytes::Bytes;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::{AppendError, ReadError};
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::record::{Author, Opened, PlanRecord};
use gridloom_shared::submission::is_same_content;
use gridloom_shared::wire::{self, WireError};

pub(crate) const CONFLICT: &str = "conflict: this request id was used before with other params or another grid: choose another id";

/// What the clocks of two brokers may differ by.
const CLOCKS_DIFFER_MS: u64 = 60_000;

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

/// What came of opening a run.
#[derive(Debug)]
pub(crate) enum Opening {
    /// It is open.
    New(Box<NewRun>),
    /// It exists: the same was asked for before.
    Exists,
    /// It existed, is over and was purged.
    Purged,
    /// The run under this id is of a submission that stood in the same place before.
    Anothers,
    /// It cannot be opened, for this reason.
    Refused(String),
}

/// What tells whether a run is the one that is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Hash of what is asked for.
    pub(crate) content: u64,
    /// When the submission was stored of which the run is, if its id is made of its place in the stream. Places come
    /// again where the stream lost its last messages and the ledger did not: times do not.
    pub(crate) placed_at: Option<UnixMs>,
}

impl Asked {
    /// Of a submission with this content that was stored at `at`, in the place that is its id, or with an id of its own.
    pub(crate) fn of(run: &RunId, content: u64, at: UnixMs) -> Asked {
        Asked {
            content,
            placed_at: run.is_of_a_place().then_some(at),
        }
    }

    /// Whether what is meant for that time is of another submission, which had the place before.
    pub(crate) fn is_of_another(&self, meant_for: UnixMs) -> bool {
        self.placed_at.is_some_and(|at| at != meant_for)
    }

    /// Whether the run is surely of another submission than this.
    fn is_after(&self, earlier: &Earlier) -> bool {
        let Some(at) = self.placed_at else {
            return false;
        };
        match earlier {
            Earlier::Opened(_, first) => self.is_of_another(first.scheduled_at),
            // None is closed before it was asked for, by clocks that nearly agree.
            Earlier::Purged(_, Some(closed_at)) => {
                at.0.saturating_sub(closed_at.0) > CLOCKS_DIFFER_MS
            }
            Earlier::Purged(_, None) | Earlier::Free(_) | Earlier::Nonsense(_) => false,
        }
    }
}

impl Opening {
    fn new(run: RunId, sequence: u64, record: PlanRecord) -> Opening {
        Opening::New(Box::new(NewRun {
            run,
            sequence,
            record,
        }))
    }
}

/// Why it is not known what stands under the id: to be tried again.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Writing failed.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// Reading failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A newer build wrote what stands there.
    #[error("what stands under its id cannot be compared yet")]
    Newer(#[source] WireError),
    /// This planner leads no more.
    #[error("the leadership is over")]
    Over,
}

/// What there is of a run, whichever queue its job had then.
enum Earlier {
    /// Nothing that counts: the id is free. The last sequence of whatever else stands under it.
    Free(u64),
    /// Its first record, at this ledger sequence.
    Opened(u64, Box<Opened>),
    /// It was purged, and the id is remembered; with the hash of what was submitted, and when it was closed, where that
    /// is known.
    Purged(Option<u64>, Option<UnixMs>),
    /// What stands there begins with a record, at this sequence, that begins no run.
    Nonsense(u64),
}

/// Writes a run's first record.
///
/// A request names its run: the id is free only if no queue has it. So it is the whole run that must have
/// no record, not the one subject; of two planners that read different definitions of a job, one opens it.
pub(crate) async fn open(
    broker: &Broker,
    run: RunId,
    opened: Opened,
) -> Result<Opening, OpenError> {
    let nonce = opened.nonce;
    let asked = Asked::of(&run, opened.content, opened.scheduled_at);
    let subjects = broker.subjects();
    let subject = subjects.ledger_of(&opened.job.queue, &run, Author::Plan);
    let anywhere = subjects.ledger_of_run_anywhere(&run);
    let most = broker.max_record();
    let (record, bytes) = first_record(opened, most);
    if bytes.len() > most {
        return Ok(Opening::Refused(format!(
            "the job has {} bytes, and {most} are the most that the broker takes: raise its max_payload, or make params smaller",
            bytes.len()
        )));
    }
    let mut behind = 0;
    loop {
        let place = (subject.as_str(), anywhere.as_str());
        match certainly(broker, place, bytes.clone(), behind).await {
            Ok(sequence) => return Ok(Opening::new(run, sequence, record)),
            Err(AppendError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        match find(broker, &run).await? {
            Earlier::Free(last) => behind = last,
            Earlier::Opened(sequence, first) if first.nonce == nonce => {
                return Ok(Opening::new(run, sequence, record));
            }
            earlier => return Ok(found(&run, &earlier, asked)),
        }
    }
}

/// The record as it is written: its first tiles go in waves of their own where it has no room for them.
fn first_record(opened: Opened, most: usize) -> (PlanRecord, Bytes) {
    let record = PlanRecord::Opened(Box::new(opened));
    let bytes = wire::encode(&record);
    match record {
        PlanRecord::Opened(opened) if bytes.len() > most && !opened.first.is_empty() => {
            let without = Opened {
                first: Vec::new(),
                ..*opened
            };
            first_record(without, most)
        }
        record => (record, bytes),
    }
}

/// What stands under an id, of whoever asks for it so. `None`: nothing that counts.
pub(crate) async fn there(
    broker: &Broker,
    run: &RunId,
    asked: Asked,
) -> Result<Option<Opening>, OpenError> {
    Ok(match find(broker, run).await? {
        Earlier::Free(_) => None,
        earlier => Some(found(run, &earlier, asked)),
    })
}

fn found(run: &RunId, earlier: &Earlier, asked: Asked) -> Opening {
    let content = asked.content;
    match earlier {
        earlier if asked.is_after(earlier) => Opening::Anothers,
        Earlier::Opened(_, first) if !is_same_content(first.content, content) => {
            Opening::Refused(CONFLICT.into())
        }
        Earlier::Free(_) | Earlier::Opened(..) => Opening::Exists,
        Earlier::Purged(was, _) if was.is_some_and(|was| !is_same_content(was, content)) => {
            Opening::Refused(CONFLICT.into())
        }
        Earlier::Purged(..) => Opening::Purged,
        Earlier::Nonsense(sequence) => Opening::Refused(format!(
            "the ledger of run {run} does not begin as one (record {sequence}): choose another id"
        )),
    }
}

/// What there is of a run, in whichever queue it is, by the stream's leader: it came first, so it must be
/// seen.
async fn find(broker: &Broker, run: &RunId) -> Result<Earlier, OpenError> {
    let subjects = broker.subjects();
    let ledger = subjects.ledger();
    let anywhere = subjects.ledger_of_run_anywhere(run);
    // Before the rest: what comes later is seen by the next compare-and-swap.
    let last = broker.last_of_leader(&ledger, &anywhere).await?;
    let plan = subjects.plan_of_run_anywhere(run);
    if let Some(first) = broker.first_of_leader(&ledger, &plan, 1).await? {
        return Ok(match broker.decode(&first.subject, &first.payload) {
            Ok(PlanRecord::Opened(opened)) => Earlier::Opened(first.seq, opened),
            Ok(PlanRecord::Retired(retired)) => {
                Earlier::Purged(retired.content, Some(retired.closed_at))
            }
            Ok(record) if record.is_end() => Earlier::Purged(None, None),
            Err(error) if error.is_newer() => return Err(OpenError::Newer(error)),
            Ok(_) | Err(_) => Earlier::Nonsense(first.seq),
        });
    }
    let id = subjects.id_of_anywhere(run);
    let id = broker.last_of_leader(&ledger, &id).await?;
    let id = id.map(|id| (id.seq, broker.decode(&id.subject, &id.payload)));
    Ok(match id {
        None | Some((_, Ok(PlanRecord::Forgotten(_)))) => {
            Earlier::Free(last.map_or(0, |last| last.seq))
        }
        Some((_, Ok(PlanRecord::Retired(retired)))) => {
            Earlier::Purged(retired.content, Some(retired.closed_at))
        }
        Some((_, Err(error))) if error.is_newer() => return Err(OpenError::Newer(error)),
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
async fn certainly(
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
                        let run = broker.subjects().run_in(subject);
                        tracing::debug!(run, subject, error = %chain(&read), "failed to read what came first");
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
                let run = broker.subjects().run_in(subject);
                tracing::warn!(run, subject, error = %chain(&error), "append again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(std::time::Duration::from_secs(1));
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests;
