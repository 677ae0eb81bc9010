//! Hands back what a dead worker held, found by elimination (docs/PROTOCOL.md §6): what its queue has
//! delivered and still stores, less what the living say that they hold.
//!
//! The order matters. The last delivery is noted first, then the living are asked: a delivery that is
//! not noted may be on its way to one of them. Whatever goes wrong here costs time and nothing else: a
//! message that is NAKed although somebody holds it comes to another as a takeover, which its holder
//! hears; one that is forgotten comes back with the ack deadline.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use gridloom_shared::broker::api::ApiError;
use gridloom_shared::broker::log::ReadError;
use gridloom_shared::broker::subjects::ConsumerName;
use gridloom_shared::broker::topology::standing::Standing as Place;
use gridloom_shared::broker::topology::{TopologyError, consumers};
use gridloom_shared::broker::{Broker, PublishError, RequestError};
use gridloom_shared::chain;
use gridloom_shared::clock::Boot;
use gridloom_shared::holdings::{NAMED_MAX, Question};
use gridloom_shared::id::QueueName;
use gridloom_shared::presence::Presence;
use gridloom_shared::telemetry::names;

use super::ask::Asking;
use super::{Death, Envoy, Event, Life, Workers, echoed};

/// How long a worker that is held to be dead is listened for once more.
const LISTEN: Duration = Duration::from_millis(250);
/// How long the others are waited for before what the dead one itself had named is handed back.
const WAIT: Duration = Duration::from_millis(750);
/// NAKs between two looks at whether it is still dead.
const AT_ONCE: usize = 256;
/// Tries to free what a worker held while the broker does not answer.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(250);
/// A frozen worker is still connected: until its pulls end, five seconds after they were sent, the
/// broker goes on delivering to it, also what was just handed back. So it is looked again soon, as its
/// pulls fill up, and once more after they have ended.
const AGAIN_MS: [u64; 9] = [50, 100, 100, 200, 200, 400, 400, 500, 1_000];

/// Why not all was freed.
#[derive(Debug, thiserror::Error)]
enum FreeError {
    #[error(transparent)]
    Topology(#[from] TopologyError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error("a worker that lives does not say what it holds")]
    Unanswered,
    #[error("it cannot be told whether it is still dead")]
    Uncertain,
    #[error("it lives")]
    Lives,
}

struct Dead<'a> {
    envoy: &'a Envoy,
    broker: &'a Broker,
    workers: &'a Workers,
    presence: &'a Presence,
    freed: HashSet<u64>,
}

/// Frees what `presence` held on all its queues, and takes its registration away.
pub(super) async fn free(envoy: &Envoy, workers: &Workers, presence: &Presence, death: Death) {
    let mut dead = Dead {
        envoy,
        broker: &envoy.broker,
        workers,
        presence,
        freed: HashSet::new(),
    };
    let rounds: &[u64] = match death {
        Death::Gone => &[],
        Death::Frozen => &AGAIN_MS,
    };
    let mut pauses = rounds.iter();
    loop {
        let before = dead.freed.len();
        let ended = dead.free().await;
        let tiles = dead.freed.len() - before;
        metrics::counter!(names::TILES_FREED).increment(tiles as u64);
        if let Err(error) = ended {
            tracing::info!(worker = %presence.worker, tiles, error = %chain(&error), "no more is freed for it");
            return;
        }
        if tiles > 0 || before == 0 {
            tracing::info!(worker = %presence.worker, session = %presence.session, tiles, "freed what a dead worker held");
        }
        match pauses.next() {
            Some(pause) => tokio::time::sleep(Duration::from_millis(*pause)).await,
            None => break,
        }
    }
    dead.take_registration_away().await;
}

impl Dead<'_> {
    /// Frees what is to be freed now, again and again while the broker does not answer.
    async fn free(&mut self) -> Result<(), FreeError> {
        let mut tries = 0;
        loop {
            match self.free_queues().await {
                Ok(()) => return Ok(()),
                Err(FreeError::Lives) => return Err(FreeError::Lives),
                Err(error) if tries >= TRIES => return Err(error),
                Err(error) => {
                    tracing::debug!(error = %chain(&error), "failed to free what a dead worker held")
                }
            }
            tries += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn free_queues(&mut self) -> Result<(), FreeError> {
        // Somebody may have come who was not heard yet: unasked, it would lose what it holds.
        self.workers.read_registrations(self.broker).await;
        for queue in &self.presence.queues {
            self.free_queue(queue).await?;
        }
        Ok(())
    }

    async fn free_queue(&mut self, queue: &QueueName) -> Result<(), FreeError> {
        let stream = self.broker.subjects().shards();
        // Of an earlier consumer nothing is in flight any more: the current one delivers it again.
        let Some(consumer) = consumers::current(self.broker, queue).await? else {
            return Ok(());
        };
        let Some(noted) = self.broker.standing(&stream, &consumer.name).await? else {
            return Ok(());
        };
        if noted.in_flight == 0 {
            return Ok(());
        }
        let question = Question::Queue(queue.clone());
        let mut asking = Asking::new(self.broker, self.workers, queue, question);
        let all = match tokio::time::timeout(WAIT, asking.everybody()).await {
            Ok(all) => all,
            Err(_) => {
                let named = self.presence.named.unpack(NAMED_MAX).unwrap_or_default();
                let named = named
                    .into_iter()
                    .filter(|seq| *seq <= noted.delivered && !asking.held.contains(seq));
                self.hand_back(&consumer.name, noted, named.collect())
                    .await?;
                asking = Asking::new(
                    self.broker,
                    self.workers,
                    queue,
                    Question::Queue(queue.clone()),
                );
                asking.everybody().await
            }
        };
        if !all {
            return Err(FreeError::Unanswered);
        }
        let from = noted.acknowledged + 1;
        let filter = self.broker.subjects().shards_of_queue(queue);
        let mut stored = self
            .broker
            .reader(&stream, filter, from, Some(noted.delivered));
        while let Some(page) = stored.next_page().await? {
            let left = page.iter().map(|record| record.seq);
            let left = left.filter(|seq| !asking.held.contains(seq)).collect();
            self.hand_back(&consumer.name, noted, left).await?;
        }
        self.broker.flush().await?;
        Ok(())
    }

    /// NAKs on its behalf, if it is still dead.
    async fn hand_back(
        &mut self,
        consumer: &ConsumerName,
        noted: Place,
        sequences: Vec<u64>,
    ) -> Result<(), FreeError> {
        let stream = self.broker.subjects().shards();
        for some in sequences.chunks(AT_ONCE) {
            self.still_dead().await?;
            for seq in some {
                self.broker
                    .nak_on_behalf(&stream, consumer, *seq, noted.delivery)
                    .await?;
                self.freed.insert(*seq);
            }
        }
        Ok(())
    }

    /// Looks once more: it may have come back, or this leader be the one that is cut off.
    async fn still_dead(&self) -> Result<(), FreeError> {
        let session = self.presence.session;
        let subject = self.broker.subjects().probe(session);
        let epoch = self.broker.connection_epoch();
        let (echo, answer) = tokio::join!(
            echoed(self.broker.clone(), self.envoy.session),
            self.broker.request(subject, Bytes::new(), LISTEN),
        );
        if answer.is_ok() {
            let mut roster = self.workers.roster();
            roster.learn(session, Event::Heard, Boot::now());
        }
        if self.workers.standing(session) == Life::Lives {
            return Err(FreeError::Lives);
        }
        let told = matches!(
            answer,
            Err(RequestError::NoResponders { .. } | RequestError::TimedOut { .. })
        );
        let sure = echo && epoch == self.broker.connection_epoch();
        if told && sure && self.envoy.validity.holds(Boot::now()) {
            Ok(())
        } else {
            Err(FreeError::Uncertain)
        }
    }

    async fn take_registration_away(&self) {
        if self.still_dead().await.is_err() {
            return;
        }
        let key = self.presence.session.to_string();
        if let Err(error) = self.broker.workers().forget(&key).await {
            tracing::debug!(error = %chain(&error), "cannot take the registration of a dead worker away");
        }
    }
}
