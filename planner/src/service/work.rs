//! What is said to the broker: each in a task of its own that reports back to the loop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use gridloom_shared::broker::batch::{Outgoing, Published};
use gridloom_shared::broker::log::{AppendError, Record};
use gridloom_shared::broker::term::{ClaimError, Register};
use gridloom_shared::broker::topology::{self, TopologyOptions};
use gridloom_shared::broker::{Broker, Subject};
use gridloom_shared::clock::Boot;
use gridloom_shared::command::Answer;
use gridloom_shared::id::{Fence, Nonce, QueueName, RunId, Session, Term};
use gridloom_shared::ledger::record::{Again, Author, Closed, PlanRecord, WAVE_TILES_MAX, Wave};
use gridloom_shared::telemetry::names;
use gridloom_shared::tile::Tile;
use gridloom_shared::wire;
use tokio::sync::mpsc;

use super::failover::{Workers, ask};
use super::lead::TakeError;
use super::{Event, LeadEvent};
use crate::broker_clock::BrokerClock;
use crate::failover::refill::{self, Listing};
use crate::leader::Validity;
use crate::submit::append_certainly;

/// Pause before the broker is asked again for something that it could not do.
const PAUSE: Duration = Duration::from_millis(100);
/// Pause before a full queue is tried again.
const PAUSE_FULL: Duration = Duration::from_secs(1);

/// So long the streams may be gone again and again, as they are looked at.
const SECURED: Duration = Duration::from_secs(10);

/// Tries of a queue that cannot answer, before it is looked at whether it is there at all: an election
/// lasts 5 to 7 s.
const BUSY_MOST: u32 = 80;

/// Memory that tiles share, in bytes.
const SPACE: usize = 32 * 1024;

/// What ended, and how.
#[derive(Debug)]
pub(super) enum Report {
    /// A wave is in the ledger and its tiles are being published. Sent before [`Report::Published`].
    Decided(RunId),
    /// A wave or closing record was not written: another planner's stands there. `tiles` were not
    /// issued.
    Outrun(RunId, usize),
    /// A wave was published, or not.
    Published(RunId, Outcome),
    /// What was missing was published, or not.
    Refilled(RunId, Outcome),
    /// The queue was listed for a refill, under this register.
    Listed(RunId, Listing, Register),
    /// The register was written anew, or is another's.
    Claimed(Result<Register, ClaimError>),
    /// An order was written, at this sequence; or another planner's record came first; or it can
    /// never be written, for a reason.
    Ordered(RunId, u64, Result<(u64, Answer), Option<String>>),
    /// The queue was emptied of a cancelled run, and its holders stopped.
    Halted(RunId),
    /// The ledger of a run was read.
    Loaded(RunId, Vec<Record>),
    /// A wave can never be written, for this reason; its tiles were not issued.
    Broken(RunId, usize, String),
}

/// What became of tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// They are on the queue.
    Stored,
    /// The register is not the one they expected, or nobody knows: to be claimed, then refilled.
    Lost(Register),
}

/// Speaks for one leadership.
#[derive(Clone, Debug)]
pub(super) struct Voice {
    pub(super) broker: Broker,
    pub(super) session: Session,
    pub(super) topology: TopologyOptions,
    /// Until when the leadership may be believed in.
    pub(super) validity: Validity,
    pub(super) clock: BrokerClock,
    number: u64,
    events: mpsc::Sender<Event>,
}

impl Voice {
    pub(super) fn new(
        broker: Broker,
        session: Session,
        topology: TopologyOptions,
        validity: Validity,
        clock: BrokerClock,
        number: u64,
        events: mpsc::Sender<Event>,
    ) -> Voice {
        Voice {
            broker,
            session,
            topology,
            validity,
            clock,
            number,
            events,
        }
    }

    /// Tells the loop. `false` once nobody listens.
    pub(super) async fn say(&self, event: LeadEvent) -> bool {
        self.events
            .send(Event::Lead(self.number, event))
            .await
            .is_ok()
    }

    pub(super) async fn report(&self, report: Report) {
        self.say(LeadEvent::Report(report)).await;
    }

    /// Writes a wave to the ledger, then puts its tiles on the queue.
    pub(super) async fn issue(self, issue: Issue) {
        let Issue {
            run,
            queue,
            nonce,
            opened,
            wave,
            frozen,
            expected,
            register,
        } = issue;
        let subject = self.broker.subjects().ledger_of(&queue, &run, Author::Plan);
        let tiles = wave.len();
        let record = PlanRecord::Wave(Arc::unwrap_or_clone(wave));
        let fence =
            match append_certainly(&self.broker, &subject, wire::encode(&record), expected).await {
                Ok(sequence) => Fence(sequence),
                Err(AppendError::Conflict { .. }) => {
                    return self.report(Report::Outrun(run, tiles)).await;
                }
                Err(error) => {
                    let why = format!("its next wave cannot be written: {error}");
                    return self.report(Report::Broken(run, tiles, why)).await;
                }
            };
        self.report(Report::Decided(run.clone())).await;
        let PlanRecord::Wave(wave) = record else {
            return;
        };
        let tiles = wave.expand(&run, nonce, fence, opened, Again::No);
        let tiles = tiles.map(|tile| Tile {
            frozen: frozen.clone(),
            ..tile
        });
        let messages = self.messages(&queue, &run, tiles);
        let outcome = self.publish(&messages, register).await;
        self.report(Report::Published(run, outcome)).await;
    }

    /// Puts any number of tiles on the queue, marked as a refill.
    pub(super) async fn refill(
        self,
        run: RunId,
        queue: QueueName,
        tiles: Vec<Tile>,
        register: Register,
    ) {
        metrics::counter!(names::TILES_REFILLED).increment(tiles.len() as u64);
        let messages = self.messages(&queue, &run, tiles.into_iter());
        let mut outcome = Outcome::Stored;
        for batch in messages.chunks(WAVE_TILES_MAX) {
            outcome = self.publish(batch, register).await;
            if outcome != Outcome::Stored {
                break; // what is missing then is found by the next refill
            }
        }
        self.report(Report::Refilled(run, outcome)).await;
    }

    /// Lists the queue of a run.
    pub(super) async fn list(self, run: RunId, queue: QueueName, register: Register) {
        loop {
            match refill::list(&self.broker, &queue, &run).await {
                Ok(listing) => return self.report(Report::Listed(run, listing, register)).await,
                // It is made again by whoever claims the register.
                Err(error) if error.is_stream_missing() => {
                    tracing::warn!(%run, "the queue is gone");
                    let lost = Report::Refilled(run, Outcome::Lost(register));
                    return self.report(lost).await;
                }
                Err(error) => tracing::warn!(%run, %error, "failed to list the queue"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Asks the workers which tiles of a run they hold, where its listing lacks some.
    pub(super) async fn ask(
        self,
        run: RunId,
        queue: QueueName,
        listing: Listing,
        register: Register,
        workers: Workers,
    ) {
        let held = loop {
            match ask::tiles_of(&self.broker, &workers, &queue, &run).await {
                Some(held) => break held,
                None => tracing::warn!(%run, "not all workers say what they hold"),
            }
            tokio::time::sleep(PAUSE_FULL).await;
        };
        let ledger = loop {
            match self.broker.info(&self.broker.subjects().ledger()).await {
                Ok(info) => break info.last_seq,
                Err(error) => tracing::warn!(%run, %error, "failed to look at the ledger"),
            }
            tokio::time::sleep(PAUSE).await;
        };
        let listing = Listing {
            ledger,
            held: Some(held),
            ..listing
        };
        self.report(Report::Listed(run, listing, register)).await;
    }

    /// Writes the run's last record.
    pub(super) async fn close(self, run: RunId, queue: QueueName, closed: Closed, expected: u64) {
        let subject = self.broker.subjects().ledger_of(&queue, &run, Author::Plan);
        let bytes = wire::encode(&PlanRecord::Closed(closed));
        match append_certainly(&self.broker, &subject, bytes, expected).await {
            Ok(_) => {}
            Err(AppendError::Conflict { .. }) => self.report(Report::Outrun(run, 0)).await,
            Err(error) => {
                tracing::error!(%run, %error, "the run cannot be closed; trying again");
                tokio::time::sleep(PAUSE_FULL).await;
                self.report(Report::Outrun(run, 0)).await;
            }
        }
    }

    /// Writes the term register anew. A queue that is gone is made again first.
    pub(super) async fn claim(self, term: Term) {
        let claimed = loop {
            match self.secure(term).await {
                Ok(register) => break Ok(register),
                Err(TakeError::Claim(error @ ClaimError::Deposed { .. })) => break Err(error),
                Err(error) => {
                    tracing::warn!(%error, "the term register is not written; trying again");
                    tokio::time::sleep(PAUSE_FULL).await;
                }
            }
        };
        self.report(Report::Claimed(claimed)).await;
    }

    /// Makes what is missing of the streams, and writes the register. A queue that is deleted meanwhile is
    /// made again.
    pub(super) async fn secure(&self, term: Term) -> Result<Register, TakeError> {
        let give_up = Boot::now() + SECURED;
        loop {
            topology::ensure(&self.broker, &self.topology).await?;
            match self.broker.claim_term(term, self.session).await {
                Err(error) if error.is_stream_missing() && Boot::now() < give_up => {
                    tracing::warn!(%error, "the queue is gone");
                }
                claimed => return Ok(claimed?),
            }
        }
    }

    fn messages(
        &self,
        queue: &QueueName,
        run: &RunId,
        tiles: impl Iterator<Item = Tile>,
    ) -> Vec<Outgoing> {
        let subject = Subject::from(self.broker.subjects().shard(queue, run));
        let mut space = BytesMut::with_capacity(SPACE);
        tiles
            .map(|tile| Outgoing {
                subject: subject.clone(),
                payload: wire::encode_in(&mut space, &tile),
            })
            .collect()
    }

    /// Publishes one batch, again and again while the broker surely did not store it.
    async fn publish(&self, messages: &[Outgoing], register: Register) -> Outcome {
        let started = Instant::now();
        let mut busy = 0;
        loop {
            match self.broker.publish_batch(messages, register).await {
                Published::Stored => {
                    metrics::histogram!(names::WAVE_PUBLISH)
                        .record(started.elapsed().as_secs_f64());
                    return Outcome::Stored;
                }
                Published::Refused => return Outcome::Lost(register),
                Published::Unknown { cause } => {
                    tracing::warn!(%cause, "the answer to a wave was lost");
                    return Outcome::Lost(register);
                }
                Published::Busy { cause } if busy < BUSY_MOST => {
                    tracing::debug!(cause, "publish again");
                    busy += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                Published::Busy { cause } => {
                    tracing::warn!(cause, "the queue cannot be reached");
                    return Outcome::Lost(register);
                }
                Published::Failed(error) => {
                    tracing::error!(%error, "the queue takes no tiles");
                    tokio::time::sleep(PAUSE_FULL).await;
                }
            }
        }
    }
}

/// A wave to be decided and published.
#[derive(Debug)]
pub(super) struct Issue {
    pub(super) run: RunId,
    pub(super) queue: QueueName,
    pub(super) nonce: Nonce,
    pub(super) opened: u64,
    pub(super) wave: Arc<Wave>,
    /// What its tiles carry of the run's first record.
    pub(super) frozen: Option<Bytes>,
    pub(super) expected: u64,
    pub(super) register: Register,
}
