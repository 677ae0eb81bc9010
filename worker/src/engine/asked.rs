//! Answers the leader, which asks what this worker holds before it acts for a dead one or publishes a
//! tile again (docs/PROTOCOL.md §6).
//!
//! The answer must know of every delivery that the connection brought before the question: whatever is
//! missing in it may be taken from this worker. The client hands messages out in the order in which
//! they came, so a question is taken in only when nothing waits in the pulls; and it is answered only
//! when what was decided about messages is said, since an answer must not be overtaken by it.

use std::time::Duration;

use futures_util::FutureExt;
use gridloom_shared::broker::{Broker, Message, PublishError, Subscription};
use gridloom_shared::chain;
use gridloom_shared::clock::Boot;
use gridloom_shared::holdings::{AGES_MAX, Age, Holdings, NAMED_MAX, Packed, Question, number_of};
use gridloom_shared::id::{QueueName, RunId, Session};
use gridloom_shared::limits;
use gridloom_shared::wire;

use super::Engine;
use crate::callbacks::Callbacks;

/// Questions that may wait. An older one is asked again by whoever still wants to know.
const WAITING_MAX: usize = 64;
/// How long an answer waits for tiles that are just being handed back: they would be taken from
/// whoever got them by then, which is waste and no more.
const RETURNS: Duration = Duration::from_millis(200);

/// Questions, and what keeps them waiting.
pub(super) struct Questions {
    questions: Subscription,
    waiting: Vec<(Message, Boot)>,
}

impl Questions {
    pub(super) async fn new(broker: &Broker, session: Session) -> Result<Questions, PublishError> {
        Ok(Questions {
            questions: broker
                .subscribe(broker.subjects().holdings(session))
                .await?,
            waiting: Vec::new(),
        })
    }

    pub(super) async fn next(&mut self) -> Option<Message> {
        self.questions.next().await
    }
}

/// Where callbacks come in that planners bring.
pub(super) fn callbacks(broker: &Broker, session: Session) -> Callbacks {
    Callbacks::new(broker.subjects().namespace(), session)
}

fn age(tile: u64, held: Duration) -> Age {
    let ms = u64::try_from(held.as_millis()).unwrap_or(u64::MAX);
    Age { tile, ms }
}

impl Engine {
    /// A question was read, and nothing waits in the pulls.
    pub(super) fn asked(&mut self, question: Message) {
        if self.asked.waiting.len() >= WAITING_MAX {
            self.asked.waiting.remove(0);
        }
        self.asked.waiting.push((question, self.now));
    }

    /// Answers what can be answered, after signals were sent.
    pub(super) fn answer(&mut self) {
        if self.asked.waiting.is_empty() {
            return;
        }
        // What the last pulls brought is not read yet.
        let unread = self
            .draining
            .as_ref()
            .is_some_and(|draining| draining.reads());
        if unread || !self.signals.is_empty() {
            return;
        }
        let now = Boot::now();
        for (question, since) in std::mem::take(&mut self.asked.waiting) {
            let patient = now.since(since) < RETURNS;
            if self.ledger.is_returning() && patient {
                self.asked.waiting.push((question, since));
                self.wake_at(since + RETURNS);
                continue;
            }
            let Some(reply) = question.reply.clone() else {
                continue;
            };
            let answer = match wire::decode::<Question>(&question.payload) {
                Ok(Question::Queue(queue)) => wire::encode(&self.held_of_queue(&queue, now)),
                Ok(Question::Run(run)) => wire::encode(&self.held_of_run(&run, now)),
                // Answered as often as it is asked: whoever was given it says the same again.
                Ok(Question::Callback(call)) => wire::encode(&self.runs.callbacks().hear(&call)),
                Err(error) => {
                    tracing::debug!(error = %chain(&error), "a question that cannot be understood");
                    continue;
                }
            };
            let sent = self.broker.publish(reply, answer).now_or_never();
            if sent.is_none() {
                self.asked.waiting.push((question, since));
                self.wake_at(now + Duration::from_millis(1));
            }
        }
    }

    fn held_of_queue(&self, name: &QueueName, now: Boot) -> Holdings {
        let (sequences, whole) = Packed::pack(self.sequences(Some(name), now), self.packed());
        Holdings {
            session: self.session,
            sequences,
            tiles: Packed::default(),
            whole,
            ages: Vec::new(),
        }
    }

    fn held_of_run(&self, run: &RunId, now: Boot) -> Holdings {
        let held = self
            .tiles
            .iter()
            .filter(|(_, held)| held.tile().run == *run && held.is_held(now));
        let mut since: Vec<(Boot, u64)> = held
            .map(|(key, held)| (held.since(), number_of(key.place)))
            .collect();
        let places = since.iter().map(|(_, place)| *place).collect();
        let (tiles, whole) = Packed::pack(places, self.packed());
        since.sort_unstable();
        let longest = since.into_iter().take(AGES_MAX);
        Holdings {
            session: self.session,
            sequences: Packed::default(),
            tiles,
            whole,
            ages: longest
                .map(|(since, tile)| age(tile, now.since(since)))
                .collect(),
        }
    }

    /// Most bytes of a set: an answer has to fit into a message.
    fn packed(&self) -> usize {
        limits::packed(self.broker.max_record())
    }

    /// Sequences of all messages held, of one queue or of all. A lease that has ended holds nothing.
    fn sequences(&self, of: Option<&QueueName>, now: Boot) -> Vec<u64> {
        let wanted =
            |lane: usize| of.is_none_or(|queue| self.lanes.get(lane).lane().queue == *queue);
        let mut all = Vec::new();
        for (_, held) in self.tiles.iter() {
            if wanted(held.lane()) && held.is_held(now) {
                all.push(held.receipt().stream_seq);
                all.extend(held.copies().iter().map(|copy| copy.stream_seq));
            }
        }
        all
    }

    /// Has the worker announced where that is due, with what it holds now: what is not named yet when it dies may
    /// have to wait for a worker that does not answer.
    pub(super) fn announce(&mut self) {
        if self.announcer.due_in(self.now).is_zero() {
            let (named, _) = Packed::pack(self.sequences(None, self.now), NAMED_MAX);
            let costs = self.runs.tolls();
            self.announcer.announce(named, costs, self.now);
        }
    }

    /// Takes in a question that is there already, if nothing waits in the pulls.
    pub(super) fn take_question(&mut self) {
        while let Some(Some(question)) = self.asked.next().now_or_never() {
            self.asked(question);
        }
    }
}
