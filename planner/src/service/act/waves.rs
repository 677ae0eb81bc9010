//! Puts tiles on the queue: waves that were just decided, and what the queue lacks.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use gridloom_shared::broker::Subject;
use gridloom_shared::broker::batch::{BatchError, Outgoing, Published};
use gridloom_shared::broker::log::AppendError;
use gridloom_shared::broker::term::Register;
use gridloom_shared::chain;
use gridloom_shared::id::{Fence, RunId};
use gridloom_shared::lane::Lane;
use gridloom_shared::ledger::record::{Again, Author, PlanRecord, WAVE_TILES_MAX};
use gridloom_shared::tile::Tile;
use gridloom_shared::wire;

use super::super::envoy::Envoy;
use super::super::traced;
use super::{PAUSE, PAUSE_FULL};
use crate::lead::action::{Begun, Issue};
use crate::lead::event::{Event, Outcome, Report};
use crate::metrics::{TILES_REFILLED, WAVE_PUBLISH};
use crate::open::append_certainly;

/// Tries of a queue that cannot answer, before it is looked at whether it is there at all: an election
/// lasts 5 to 7 s.
const BUSY_MOST: u32 = 80;

/// Tries of a queue that has no room, each behind [`PAUSE_FULL`].
const REFUSED_MOST: u32 = 5;

/// Memory that tiles share, in bytes.
const SPACE: usize = 32 * 1024;

impl Envoy {
    /// Writes a wave to the ledger, then puts its tiles on the queue.
    pub(super) async fn issue(self, issue: Issue) {
        let Issue {
            run,
            lane,
            nonce,
            opened,
            wave,
            frozen,
            traceparent,
            expected,
            register,
        } = issue;
        let began = SystemTime::now();
        let subject = self
            .broker
            .subjects()
            .ledger_of(&lane.queue, &run, Author::Plan);
        let record = PlanRecord::Wave(Arc::unwrap_or_clone(wave));
        let fence =
            match append_certainly(&self.broker, &subject, wire::encode(&record), expected).await {
                Ok(sequence) => Fence(sequence),
                Err(AppendError::Conflict { .. }) => {
                    return self.report(Report::Outrun(run)).await;
                }
                Err(error) => {
                    let why = format!("its next wave cannot be written: {}", chain(&error));
                    return self.report(Report::Unwritable(run, why)).await;
                }
            };
        self.report(Report::Decided(run.clone())).await;
        let PlanRecord::Wave(wave) = record else {
            return;
        };
        let tiles = wave.expand(&run, nonce, fence, opened, Again::No);
        let tiles = carrying(frozen.as_ref(), tiles);
        let mut space = BytesMut::with_capacity(SPACE);
        let messages: Vec<Outgoing> = self.messages(&lane, &run, tiles, &mut space).collect();
        let outcome = self.publish(&run, &messages, register).await;
        let of = (&run, traceparent, nonce);
        traced::wave(&self.tracer, of, &wave, began, &outcome);
        self.report(Report::Published(run, outcome)).await;
    }

    /// Puts the first tiles of runs on the queue.
    pub(super) async fn issue_first(self, runs: Vec<Begun>, register: Register) {
        let began = SystemTime::now();
        // One for all of them: most have one small tile.
        let mut space = BytesMut::with_capacity(SPACE);
        let mut messages = Vec::new();
        for begun in &runs {
            let (fence, opened) = (Fence(begun.sequence), begun.sequence);
            let tiles = begun
                .wave
                .expand(&begun.run, begun.nonce, fence, opened, Again::No);
            let tiles = carrying(begun.frozen.as_ref(), tiles);
            messages.extend(self.messages(&begun.lane, &begun.run, tiles, &mut space));
        }
        let Some(first) = runs.first() else { return };
        let first = Envoy {
            life: first.life,
            ..self.clone()
        };
        let outcome = first.publish(&runs[0].run, &messages, register).await;
        for begun in runs {
            let of = (&begun.run, begun.traceparent, begun.nonce);
            traced::wave(&self.tracer, of, &begun.wave, began, &outcome);
            let Begun { run, life, .. } = begun;
            let report = Report::Published(run, outcome.clone());
            self.say(Event::Report(life, report)).await;
        }
    }

    /// Puts any number of tiles on the queue, marked as a refill.
    pub(super) async fn refill(self, run: RunId, lane: Lane, tiles: Vec<Tile>, register: Register) {
        TILES_REFILLED.counter(&[]).increment(tiles.len() as u64);
        let mut space = BytesMut::with_capacity(SPACE);
        let messages = self.messages(&lane, &run, tiles.into_iter(), &mut space);
        let messages: Vec<Outgoing> = messages.collect();
        let mut outcome = Outcome::Stored;
        for batch in messages.chunks(WAVE_TILES_MAX) {
            outcome = self.publish(&run, batch, register).await;
            if outcome != Outcome::Stored {
                break; // what is missing then is found by the next refill
            }
        }
        self.report(Report::Refilled(run, outcome)).await;
    }

    /// Tiles as messages, which share `space`.
    fn messages(
        &self,
        lane: &Lane,
        run: &RunId,
        tiles: impl Iterator<Item = Tile>,
        space: &mut BytesMut,
    ) -> impl Iterator<Item = Outgoing> {
        let subject = Subject::from(self.broker.subjects().shard(lane, run));
        tiles.map(move |tile| Outgoing {
            subject: subject.clone(),
            payload: wire::encode_in(space, &tile),
        })
    }

    /// Publishes one batch, again and again while the broker surely did not store it.
    async fn publish(&self, run: &RunId, messages: &[Outgoing], register: Register) -> Outcome {
        let started = Instant::now();
        let (mut busy, mut refused) = (0, 0);
        loop {
            match self.broker.publish_batch(messages, register).await {
                Published::Stored => {
                    let took = started.elapsed().as_secs_f64();
                    WAVE_PUBLISH.histogram(&[]).record(took);
                    return Outcome::Stored;
                }
                Published::Refused => return Outcome::Lost(register),
                Published::Unknown { cause } => {
                    tracing::warn!(%run, error = cause, "the answer to a wave was lost");
                    return Outcome::Lost(register);
                }
                Published::Busy { cause } if busy < BUSY_MOST => {
                    tracing::debug!(%run, error = cause, "publish again");
                    busy += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                Published::Busy { cause } => {
                    tracing::warn!(%run, error = cause, "the queue cannot be reached");
                    return Outcome::Lost(register);
                }
                Published::Failed(BatchError::Unsendable(why)) => return Outcome::Unsendable(why),
                // What is stored of it is found by the refill.
                Published::Part(error) => {
                    self.no_room(run, &error).await;
                    tokio::time::sleep(PAUSE_FULL).await;
                    return Outcome::NotTaken;
                }
                Published::Failed(error) => {
                    self.no_room(run, &error).await;
                    tokio::time::sleep(PAUSE_FULL).await;
                    refused += 1;
                    // Its run may have been cancelled meanwhile: it is looked at anew.
                    if refused == REFUSED_MOST {
                        return Outcome::NotTaken;
                    }
                }
            }
        }
    }

    /// Tells that the queue takes no tiles: while it is full nothing else need be tried.
    async fn no_room(&self, run: &RunId, error: &BatchError) {
        tracing::error!(%run, error = %chain(error), "the queue takes no tiles");
        if matches!(error, BatchError::Full(_)) {
            self.report(Report::NoRoom(run.clone())).await;
        }
    }
}

/// Tiles with what they carry of their run's first record.
fn carrying(
    frozen: Option<&Bytes>,
    tiles: impl Iterator<Item = Tile>,
) -> impl Iterator<Item = Tile> {
    tiles.map(move |tile| Tile {
        frozen: frozen.cloned(),
        ..tile
    })
}
