//! What the engine asks of the broker and does not wait for: each errand ends with an event.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use gridloom_shared::broker::log::ReadError;
use gridloom_shared::broker::pull::Delivery;
use gridloom_shared::broker::{Broker, Subject};
use gridloom_shared::chain;
use gridloom_shared::id::{Fence, QueueName, RunId};
use gridloom_shared::ledger::record::{Author, Opened, PlanRecord, Takeover};
use gridloom_shared::reads::ledger::{self, Entry, Walked};
use gridloom_shared::submission::Unreadable;
use gridloom_shared::wire::{self, WireError};

use super::lanes::{AttachError, Attachment};
use super::ledger_writer::{Appended, Batch};
use super::standing::Standing;
use super::tiles::Holding;
use crate::takeover::reading::{Left, Reading};

/// All that are under way.
#[derive(Default)]
pub(super) struct Errands(FuturesUnordered<Pin<Box<dyn Future<Output = Event>>>>);

impl Errands {
    pub(super) fn add(&mut self, errand: impl Future<Output = Event> + 'static) {
        self.0.push(Box::pin(errand));
    }

    /// How the next one ended; never, while there is none.
    pub(super) async fn next(&mut self) -> Event {
        match self.0.next().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}

/// How an errand ended.
pub(super) enum Event {
    Attached {
        lane: usize,
        /// How often the queue had been made again when it was asked for.
        made: u64,
        result: Box<Result<Attachment, AttachError>>,
    },
    /// The run's first record was looked for.
    Loaded {
        opened: u64,
        result: Result<First, ReadError>,
    },
    Appended(Box<Appended>),
    /// A record's pause is over.
    Again(Box<Batch>),
    /// The ledger was read up to one's own takeover.
    Claimed {
        claim: Claim,
        result: Result<Found, ReadError>,
    },
    /// The takeovers of a run were read.
    Looked {
        run: u64,
        ask: Ask,
        result: Result<Seen, ReadError>,
    },
    /// Those of all runs, after a reconnect.
    CaughtUp {
        epoch: u64,
        result: Result<Vec<(u64, Seen)>, ReadError>,
    },
    /// The planner's last record of a run was read.
    Stood {
        run: RunId,
        result: Result<Standing, ReadError>,
    },
    /// What pulls that are no longer wanted had brought.
    Unread(Vec<Delivery>),
    /// A message that cannot be understood was recorded; `None`: it could not be.
    Refused {
        reply: Option<Subject>,
    },
    /// The leader was answered.
    Answered,
}

/// Takeovers of one run that were read, and up to where. One page of them: whoever may write takeovers may write
/// many.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) up_to: u64,
    pub(super) takeovers: Vec<(u64, Takeover)>,
    /// Whether more stand behind them.
    pub(super) more: bool,
}

/// Waits, where there is something to wait for: a timer takes a millisecond for nothing.
pub(super) async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

/// The run's first record; `None` when what stands at `opened` on `subject` is none.
pub(super) async fn load(broker: Broker, subject: String, opened: u64) -> Event {
    let read = broker
        .read(&broker.subjects().ledger(), subject, opened, Some(opened))
        .await;
    let result = read.map(|records| {
        let record = records.into_iter().find(|record| record.seq == opened);
        let Some(record) = record else {
            return First::None;
        };
        match first_record(&record.payload) {
            Ok(found) => found.map_or(First::None, First::Record),
            Err(error) => {
                broker.note_newer(&record.subject, &error);
                First::Newer
            }
        }
    });
    Event::Loaded { opened, result }
}

/// What stands in the place of a run's first record.
pub(super) enum First {
    Record(Box<Opened>),
    /// None of it.
    None,
    /// A newer build wrote it.
    Newer,
}

/// The run's first record, if `bytes` are one.
///
/// # Errors
/// When a newer build wrote it.
pub(super) fn first_record(bytes: &[u8]) -> Result<Option<Box<Opened>>, WireError> {
    match wire::decode(bytes) {
        Ok(PlanRecord::Opened(found)) => Ok(Some(found)),
        Err(error) if error.is_newer() => Err(error),
        Ok(_) | Err(_) => Ok(None),
    }
}

pub(super) async fn append(broker: Broker, batch: Batch) -> Event {
    Event::Appended(Box::new(batch.append(broker).await))
}

pub(super) async fn again(batch: Batch, after: Duration) -> Event {
    pause(after).await;
    Event::Again(Box::new(batch))
}

/// One takeover record whose tiles wait for what is left of them.
pub(super) struct Claim {
    pub(super) run: u64,
    /// Our number of the record.
    pub(super) number: u64,
    /// Where it stands; `None` reads on to the end of the ledger.
    pub(super) up_to: Option<u64>,
    pub(super) holdings: Vec<Holding>,
}

/// What a reading for a takeover found.
pub(super) enum Found {
    /// One's own takeover, and what was left of its tiles by then.
    Whole(Fence, Vec<Left>),
    /// Not all of it: a replica lags.
    Part,
    /// The run is over and was purged: nothing says what had been done.
    Purged,
}

/// What is to be read for it.
pub(super) struct Search {
    pub(super) claim: Claim,
    /// Whose ledger.
    pub(super) place: (QueueName, RunId),
    /// From where on.
    pub(super) from: u64,
    pub(super) reading: Reading,
}

/// Reads the ledger for a takeover.
pub(super) async fn read_claim(broker: Broker, search: Search, after: Duration) -> Event {
    pause(after).await;
    let Search {
        claim,
        place: (queue, run),
        from,
        mut reading,
    } = search;
    let take = |entry: Entry| {
        // A record that cannot be read changes nothing: the planner's fold says the same. What a newer planner decided is
        // none of a tile's, and workers report in no version that who reads the run's first record does not read.
        if let Ok(record) = &entry.record {
            reading.apply(entry.sequence, record);
        }
    };
    // What planners decide says nothing of what is left.
    let authors = [Author::Work, Author::Takeover];
    let part = (from, claim.up_to);
    let walked = ledger::walk_apart(&broker, (&queue, &run), &authors, part, take).await;
    let result = match walked {
        Ok(Walked::Gone) => Ok(Found::Purged),
        Ok(walked) => match reading.finish().filter(|_| walked == Walked::Whole) {
            Some((fence, left)) => Ok(Found::Whole(fence, left)),
            None => look_for_claim(&broker, (&queue, &run), claim.up_to).await,
        },
        Err(error) => Err(error),
    };
    Event::Claimed { claim, result }
}

/// Whether one's own takeover, which stood at `at` or before it, is still in the ledger: a part of it is read again for as
/// long as it is.
async fn look_for_claim(
    broker: &Broker,
    (queue, run): (&QueueName, &RunId),
    at: Option<u64>,
) -> Result<Found, ReadError> {
    let subjects = broker.subjects();
    let takeovers = subjects.ledger_of(queue, run, Author::Takeover);
    let last = broker
        .last_of_leader(&subjects.ledger(), &takeovers)
        .await?;
    Ok(match last {
        Some(last) if last.seq >= at.unwrap_or(0) => Found::Part,
        Some(_) | None => Found::Purged,
    })
}

/// Whom to ask for the last takeover of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Any replica: asked again soon.
    Anybody,
    /// The stream's leader: nothing that was confirmed is missing.
    Leader,
    /// The same, in place of a consumer that has gone.
    Instead,
}

/// Reads the takeovers on `subject` that stand after `known`, the first page of them.
pub(super) async fn look(
    broker: &Broker,
    subject: &Subject,
    known: u64,
    ask: Ask,
) -> Result<Seen, ReadError> {
    let ledger = broker.subjects().ledger();
    let last = match ask {
        Ask::Anybody => broker.last(&ledger, subject).await?,
        Ask::Leader | Ask::Instead => broker.last_of_leader(&ledger, subject).await?,
    };
    let Some(last) = last.filter(|last| last.seq > known) else {
        return Ok(Seen {
            up_to: known,
            ..Seen::default()
        });
    };
    let mut reader = broker.reader(&ledger, subject.as_str(), known + 1, Some(last.seq));
    let page = reader.next_page().await?.unwrap_or_default();
    let takeovers = page
        .iter()
        .filter_map(|record| Some((record.seq, wire::decode(&record.payload).ok()?)));
    // Nothing is left of them where their records have gone.
    let up_to = page.last().map_or(last.seq, |record| record.seq);
    Ok(Seen {
        up_to,
        takeovers: takeovers.collect(),
        more: up_to < last.seq,
    })
}

/// [`look`] for many runs, one after the other, up to the first of which more stand.
pub(super) async fn catch_up(
    broker: Broker,
    epoch: u64,
    runs: Vec<(u64, Subject, u64)>,
    after: Duration,
) -> Event {
    pause(after).await;
    let mut all = Vec::new();
    for (run, subject, known) in runs {
        match look(&broker, &subject, known, Ask::Leader).await {
            Ok(seen) => {
                let more = seen.more;
                all.push((run, seen));
                if more {
                    break;
                }
            }
            Err(error) => {
                return Event::CaughtUp {
                    epoch,
                    result: Err(error),
                };
            }
        }
    }
    Event::CaughtUp {
        epoch,
        result: Ok(all),
    }
}

/// Records a message that cannot be understood.
pub(super) async fn record(broker: Broker, unreadable: Unreadable, reply: Subject) -> Event {
    let recorded = broker
        .append_patiently(broker.subjects().unreadable(), unreadable.encode())
        .await;
    if let Err(error) = &recorded {
        let (run, subject) = (
            broker.subjects().run_in(&unreadable.subject),
            &unreadable.subject,
        );
        tracing::warn!(run, subject, error = %chain(&error), "cannot record a message that cannot be understood");
    }
    Event::Refused {
        reply: recorded.is_ok().then_some(reply),
    }
}
