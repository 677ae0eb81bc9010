//! Asks the living workers of a queue what they hold, and waits for each until it answers or is dead.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use gridloom_shared::broker::{Broker, RequestError};
use gridloom_shared::chain;
use gridloom_shared::holdings::{Holdings, Question, place_of};
use gridloom_shared::id::{QueueName, RunId, Session};
use gridloom_shared::limits::{ALL_HELD_MAX, HELD_MAX};
use gridloom_shared::tile::TileRef;
use gridloom_shared::wire;
use tokio::time::Instant;

use super::{Life, Workers};

/// How long one question waits before it is asked again.
const ANSWER: Duration = Duration::from_secs(1);
/// Pause before a worker that lives and cannot answer is asked again.
const PAUSE: Duration = Duration::from_millis(50);
/// How long all are waited for: whoever is silent for three seconds is dead by then at the latest, and one that lives
/// and does not answer is not waited for for ever.
const PATIENCE: Duration = Duration::from_secs(10);

/// What living workers hold, as far as they have answered.
pub(super) struct Asking<'a> {
    broker: &'a Broker,
    workers: &'a Workers,
    queue: &'a QueueName,
    question: Question,
    asked: HashSet<Session>,
    give_up: Instant,
    /// Stream sequences, or places as numbers.
    pub(super) held: HashSet<u64>,
}

impl<'a> Asking<'a> {
    pub(super) fn new(
        broker: &'a Broker,
        workers: &'a Workers,
        queue: &'a QueueName,
        question: Question,
    ) -> Asking<'a> {
        Asking {
            broker,
            workers,
            queue,
            question,
            asked: HashSet::new(),
            give_up: Instant::now() + PATIENCE,
            held: HashSet::new(),
        }
    }

    /// Waits for all, those too who come meanwhile. `false` when somebody who lives does not answer.
    pub(super) async fn everybody(&mut self) -> bool {
        let mut waiting = FuturesUnordered::new();
        let question = wire::encode(&self.question);
        let (broker, workers, give_up) = (self.broker, self.workers, self.give_up);
        loop {
            for session in workers.of_queue(self.queue) {
                if !self.asked.contains(&session) {
                    self.asked.insert(session);
                    let question = question.clone();
                    waiting.push(async move {
                        let answer = one(broker, workers, session, question, give_up).await;
                        (session, answer)
                    });
                }
            }
            match waiting.next().await {
                Some((_, Some(held))) => {
                    self.held.extend(held);
                    if self.held.len() > ALL_HELD_MAX {
                        workers.odd.note(
                            "answer",
                            self.queue.as_str(),
                            "its workers hold more than there can be",
                        );
                        return false;
                    }
                }
                // Asked again should it live after all.
                Some((session, None)) if workers.standing(session) != Life::Lives => {
                    self.asked.remove(&session);
                }
                Some((session, None)) => {
                    let worker = workers.name_of(session);
                    tracing::warn!(worker, %session, queue = %self.queue, "a worker that lives does not say what it holds");
                    return false;
                }
                None => return true,
            }
        }
    }
}

/// What one worker holds; `None` when it is dead, or does not answer.
async fn one(
    broker: &Broker,
    workers: &Workers,
    session: Session,
    question: bytes::Bytes,
    give_up: Instant,
) -> Option<Vec<u64>> {
    let subject = broker.subjects().holdings(session);
    while workers.standing(session) == Life::Lives && Instant::now() < give_up {
        match broker
            .request(subject.clone(), question.clone(), ANSWER)
            .await
        {
            Ok(message) => match wire::decode::<Holdings>(&message.payload) {
                Ok(answer) if answer.whole => {
                    let packed = if answer.tiles.is_empty() {
                        &answer.sequences
                    } else {
                        &answer.tiles
                    };
                    if let Some(held) = packed.unpack(HELD_MAX) {
                        return Some(held);
                    }
                    workers
                        .odd
                        .note("answer", &subject, "no set of what it holds");
                }
                Ok(_) => workers
                    .odd
                    .note("answer", &subject, "it holds more than it can say"),
                Err(error) => workers.odd.note("answer", &subject, chain(&error)),
            },
            // Its death is noticed by the probes.
            Err(RequestError::TimedOut { .. }) => continue,
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
    None
}

/// The tiles of `run` that somebody holds; `None` when somebody who lives does not answer.
pub(in crate::service) async fn tiles_of(
    broker: &Broker,
    workers: &Workers,
    queue: &QueueName,
    run: &RunId,
) -> Option<HashSet<TileRef>> {
    let mut asking = Asking::new(broker, workers, queue, Question::Run(run.clone()));
    let all = asking.everybody().await;
    all.then(|| asking.held.into_iter().map(place_of).collect())
}
