//! Hands back what a dead worker held, found by elimination (docs/PROTOCOL.md §6): what its lanes have
//! delivered and still store, less what the living say that they hold.
//!
//! The order matters. The last delivery of each lane is noted first, then the living are asked, once a queue: a
//! delivery that is not noted may be on its way to one of them. What takes its time, reading what is stored and
//! listening for the dead one once more, is done before they are asked: a message whose lease ends after they
//! answered goes to one of them, and a NAK takes it away again. So all are asked again where one took long to
//! answer. Lanes of which nothing is in flight cost nothing.
//! Whatever goes wrong here costs time and nothing else: a message that is NAKed although somebody holds it comes
//! to another as a takeover, which its holder hears; one that is forgotten comes back with the ack deadline.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use gridloom_shared::broker::api::ApiError;
use gridloom_shared::broker::log::ReadError;
use gridloom_shared::broker::subjects::ConsumerName;
use gridloom_shared::broker::topology::standing::Standing as Place;
use gridloom_shared::broker::{Broker, PublishError, RequestError};
use gridloom_shared::chain;
use gridloom_shared::clock::Boot;
use gridloom_shared::holdings::{NAMED_MAX, Question};
use gridloom_shared::id::QueueName;
use gridloom_shared::lane::Lane;
use gridloom_shared::presence::Presence;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::ask::Asking;
use super::{Death, Envoy, Event, Life, Workers, echoed};
use crate::metrics::TILES_FREED;

/// How long a worker that is held to be dead is listened for once more.
const LISTEN: Duration = Duration::from_millis(250);
/// And each time after that: whoever wakes up announces itself, too.
const LISTEN_AGAIN: Duration = Duration::from_millis(100);
/// How long the others are waited for before what the dead one itself had named is handed back.
const WAIT: Duration = Duration::from_millis(400);
/// Answers that came within so long are of one moment.
const TOGETHER: Duration = Duration::from_millis(100);
/// So often all are asked for answers of one moment. With those of the last time somebody may lose a tile: waste.
const ROUNDS: u32 = 3;
/// Tries to free what a worker held while the broker does not answer.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(250);
/// A frozen worker is still connected: until its pulls end, five seconds after they were sent, the
/// broker goes on delivering to it, also what was just handed back. So it is looked again soon, as its
/// pulls fill up, and once more after they have ended.
const AGAIN_MS: [u64; 12] = [0, 0, 50, 100, 100, 200, 200, 400, 500, 1_000, 1_000, 1_000];

/// Why not all was freed.
#[derive(Debug, thiserror::Error)]
enum FreeError {
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

/// A lane as it stood before anybody was asked.
struct Noted {
    lane: Lane,
    consumer: ConsumerName,
    place: Place,
}

fn asking<'a>(broker: &'a Broker, workers: &'a Workers, queue: &'a QueueName) -> Asking<'a> {
    Asking::new(broker, workers, queue, Question::Queue(queue.clone()))
}

struct Dead<'a> {
    envoy: &'a Envoy,
    broker: &'a Broker,
    workers: &'a Workers,
    presence: &'a Presence,
    listen: Duration,
    freed: HashSet<u64>,
}

/// Frees what `presence` held on all its queues, and takes its registration away. Each look takes one of `slots`.
pub(super) async fn free(
    envoy: &Envoy,
    workers: &Workers,
    slots: &Semaphore,
    presence: &Presence,
    death: Death,
) {
    let mut dead = Dead {
        envoy,
        broker: &envoy.broker,
        workers,
        presence,
        listen: LISTEN,
        freed: HashSet::new(),
    };
    let rounds: &[u64] = match death {
        Death::Gone => &[],
        Death::Frozen => &AGAIN_MS,
    };
    let mut pauses = rounds.iter();
    loop {
        let before = dead.freed.len();
        let ended = {
            let Ok(_slot) = slots.acquire().await else {
                return;
            };
            dead.free().await
        };
        dead.listen = LISTEN_AGAIN;
        let tiles = dead.freed.len() - before;
        TILES_FREED.counter(&[]).increment(tiles as u64);
        if let Err(error) = ended {
            tracing::info!(worker = %presence.worker, session = %presence.session, tiles, error = %chain(&error), "no more is freed for it");
            return;
        }
        if tiles > 0 {
            tracing::info!(worker = %presence.worker, session = %presence.session, tiles, "freed what a dead worker held");
        }
        match pauses.next() {
            Some(pause) => tokio::time::sleep(Duration::from_millis(*pause)).await,
            None => break,
        }
    }
    if dead.freed.is_empty() {
        tracing::info!(worker = %presence.worker, session = %presence.session, "a dead worker held nothing");
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
                    tracing::debug!(worker = %self.presence.worker, session = %self.presence.session, error = %chain(&error),
                        "failed to free what a dead worker held")
                }
            }
            tries += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn free_queues(&mut self) -> Result<(), FreeError> {
        // Somebody may have come who was not heard yet: unasked, it would lose what it holds.
        self.workers.read_registrations(self.broker).await;
        let mut noted = self.note().await?;
        for queue in &self.presence.queues {
            let of_queue: Vec<Noted> = noted
                .extract_if(.., |noted| noted.lane.queue == *queue)
                .collect();
            if !of_queue.is_empty() {
                self.free_queue(queue, &of_queue).await?;
            }
        }
        Ok(())
    }

    /// Where the lanes that it may have pulled from stand, those of which something is in flight. Of an
    /// earlier consumer nothing is any more: the current one delivers it again.
    async fn note(&self) -> Result<Vec<Noted>, FreeError> {
        let lanes = self.broker.lanes().await?.into_iter();
        let its = lanes.filter(|(lane, found)| {
            found.standing.in_flight > 0 && self.presence.serves(&lane.queue, &lane.handler)
        });
        let noted = its.map(|(lane, found)| Noted {
            lane,
            consumer: found.consumer,
            place: found.standing,
        });
        Ok(noted.collect())
    }

    async fn free_queue(&mut self, queue: &QueueName, noted: &[Noted]) -> Result<(), FreeError> {
        let stored = self.stored(noted).await?;
        if stored.is_empty() {
            return Ok(());
        }
        let epoch = self.still_dead().await?;
        let (mut asking, begun) = (asking(self.broker, self.workers, queue), Instant::now());
        let held = match tokio::time::timeout(WAIT, asking.everybody()).await {
            Ok(true) if begun.elapsed() <= TOGETHER => asking.held,
            Ok(true) => self.held_together(queue).await?,
            Ok(false) => return Err(FreeError::Unanswered),
            Err(_) => {
                let named = self.presence.named.unpack(NAMED_MAX).unwrap_or_default();
                let named: HashSet<u64> = named.into_iter().collect();
                let unheld = |seq: u64| named.contains(&seq) && !asking.held.contains(&seq);
                self.hand_back(&stored, unheld, epoch).await?;
                self.held_together(queue).await?
            }
        };
        let unheld = |seq: u64| !held.contains(&seq);
        self.hand_back(&stored, unheld, epoch).await?;
        self.broker.flush().await?;
        Ok(())
    }

    /// What all say that they hold, each at about the same time: whoever answered long before the last one may have
    /// been given since what nobody held then, what was just handed back too, and would lose it.
    async fn held_together(&self, queue: &QueueName) -> Result<HashSet<u64>, FreeError> {
        let mut rounds = 0;
        loop {
            let (mut asking, begun) = (asking(self.broker, self.workers, queue), Instant::now());
            if !asking.everybody().await {
                return Err(FreeError::Unanswered);
            }
            rounds += 1;
            if begun.elapsed() <= TOGETHER || rounds == ROUNDS {
                return Ok(asking.held);
            }
        }
    }

    /// What lanes had delivered and still store.
    async fn stored<'n>(&self, noted: &'n [Noted]) -> Result<Vec<(&'n Noted, u64)>, FreeError> {
        let subjects = self.broker.subjects();
        let stream = subjects.shards();
        let mut stored = Vec::new();
        for lane in noted {
            let filter = subjects.shards_of_lane(&lane.lane);
            let (from, to) = (lane.place.acknowledged + 1, lane.place.delivered);
            let mut reader = self.broker.reader(&stream, filter, from, Some(to));
            while let Some(page) = reader.next_page().await? {
                stored.extend(page.iter().map(|record| (lane, record.seq)));
            }
        }
        Ok(stored)
    }

    /// NAKs on its behalf what is `unheld`, as long as nothing says that it lives.
    async fn hand_back(
        &mut self,
        stored: &[(&Noted, u64)],
        unheld: impl Fn(u64) -> bool,
        epoch: u64,
    ) -> Result<(), FreeError> {
        let stream = self.broker.subjects().shards();
        for (lane, seq) in stored.iter().filter(|(_, seq)| unheld(*seq)) {
            self.nothing_changed(epoch)?;
            self.broker
                .nak_on_behalf(&stream, &lane.consumer, *seq, lane.place.delivery)
                .await?;
            self.freed.insert(*seq);
        }
        Ok(())
    }

    /// Listens for it once more: it may have come back, or this leader be the one that is cut off. On which
    /// connection that was heard.
    async fn still_dead(&self) -> Result<u64, FreeError> {
        let session = self.presence.session;
        let subject = self.broker.subjects().probe(session);
        let epoch = self.broker.connection_epoch();
        let (echo, answer) = tokio::join!(
            echoed(self.broker.clone(), self.envoy.session),
            self.broker.request(subject, Bytes::new(), self.listen),
        );
        if answer.is_ok() {
            let mut roster = self.workers.roster();
            roster.learn(session, Event::Heard, Boot::now());
        }
        self.nothing_changed(epoch)?;
        let told = matches!(
            answer,
            Err(RequestError::NoResponders { .. } | RequestError::TimedOut { .. })
        );
        (told && echo).then_some(epoch).ok_or(FreeError::Uncertain)
    }

    /// What can be seen without a question: whether it was heard meanwhile, and whether this leader leads and is
    /// connected as it was at `epoch`.
    fn nothing_changed(&self, epoch: u64) -> Result<(), FreeError> {
        if self.workers.standing(self.presence.session) == Life::Lives {
            return Err(FreeError::Lives);
        }
        let leads = self.envoy.validity.holds(Boot::now());
        let connected = epoch == self.broker.connection_epoch();
        (leads && connected)
            .then_some(())
            .ok_or(FreeError::Uncertain)
    }

    async fn take_registration_away(&self) {
        if self.still_dead().await.is_err() {
            return;
        }
        let key = self.presence.session.to_string();
        if let Err(error) = self.broker.workers().forget(&key).await {
            tracing::debug!(worker = %self.presence.worker, session = %self.presence.session, error = %chain(&error),
                "cannot take the registration of a dead worker away");
        }
    }
}
