//! Looks after the workers of one leadership: probes each, and frees what a dead one held
//! (docs/PROTOCOL.md §6). What is decided stands in [`crate::failover`]; here it is said to the broker.
//!
//! | room | what it does |
//! |------|--------------|
//! | [`ask`] | asks living workers what they hold |
//! | [`free`] | hands back what a dead worker held |
//!
//! It also counts, each second, where more workers wait than need to (docs/decisions/0021-a-few-bells-a-lane.md).
//!
//! Probes are plain NATS: a bucket stands still for seconds at an election of the broker's cluster.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use gridloom_shared::broker::{Broker, RequestError};
use gridloom_shared::chain;
use gridloom_shared::clock::Boot;
use gridloom_shared::command::Broadcast;
use gridloom_shared::id::{QueueName, Session};
use gridloom_shared::limits::DEATHS_MAX;
use gridloom_shared::presence::Presence;
use gridloom_shared::reads::workers::registrations;
use gridloom_shared::wire;

use super::envoy::Envoy;
use super::feeds;
use super::odd::Odd;
use super::task::Task;
use crate::alive::Signs;
use crate::failover::pace;
use crate::failover::probe::{self, Death, Event};
use crate::failover::roster::{Life, Roster};
use crate::lead::event::Event as LeadEvent;
use crate::metrics::WORKERS_DEAD;

pub(super) mod ask;
mod free;

/// How long an answer to a probe is waited for: one that comes after its round still tells that the
/// worker lives, and how slow it is.
const ANSWER: Duration = Duration::from_secs(4);
// What is a death after three seconds must not have been an answer that nobody waited for.
const _: () = assert!(ANSWER.as_millis() > (pace::SURE as u128 + 1) * probe::EVERY.as_millis());
/// A round that took longer than this was no round: the leader itself had no processor.
const ROUND_MAX: Duration = Duration::from_millis(500);
/// Deaths that are attended to at once: each lists a queue.
const DEATHS: usize = 2;
/// Crowds are counted in one of so many rounds.
const CROWDS_EACH: u64 = 4;
/// Questions that the leader answers itself between two rounds. It asks one; what others send there does not
/// keep it from its rounds.
const ECHOES: usize = 100;
/// Pause after something failed.
const PAUSE: Duration = Duration::from_millis(250);
/// How often it is read who is registered.
const REGISTRATIONS: Duration = Duration::from_secs(5);

/// The workers that one leadership knows, for its loop and its tasks.
#[derive(Clone, Debug)]
pub(super) struct Workers {
    roster: Arc<Mutex<Roster>>,
    odd: Odd,
}

impl Workers {
    /// Nobody is known yet; the connection `epoch` is there since `since`.
    pub(super) fn new(epoch: u64, since: Boot, odd: Odd) -> Workers {
        Workers {
            roster: Arc::new(Mutex::new(Roster::new(epoch, since))),
            odd,
        }
    }

    /// A worker announced itself.
    pub(super) fn hear(&self, presence: &Presence, now: Boot) {
        self.roster().heard(presence, now);
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn standing(&self, session: Session) -> Life {
        self.roster().standing(session)
    }

    fn name_of(&self, session: Session) -> Option<String> {
        self.roster().name_of(session)
    }

    fn of_queue(&self, queue: &QueueName) -> Vec<Session> {
        self.roster().of_queue(queue)
    }

    /// Takes in who is registered: a worker that died before this leadership began was never heard.
    async fn read_registrations(&self, broker: &Broker) -> bool {
        match registrations(broker).await {
            Ok(entries) => {
                let mut roster = self.roster();
                for entry in &entries {
                    match Presence::read(entry.value.as_deref().unwrap_or_default()) {
                        Ok(presence) => roster.registered(&presence),
                        Err(error) => {
                            self.odd.note("registration", &entry.key, chain(&error));
                        }
                    }
                }
                true
            }
            Err(error) => {
                tracing::debug!(error = %chain(&error), "cannot read who is registered");
                false
            }
        }
    }

    /// Reads it again and again: what a replica that lagged did not say yet, or a bucket that was gone.
    async fn follow_registrations(&self, broker: &Broker) {
        loop {
            let pause = if self.read_registrations(broker).await {
                REGISTRATIONS
            } else {
                PAUSE
            };
            tokio::time::sleep(pause).await;
        }
    }
}

/// One round of probes.
struct Round {
    number: u64,
    began: Boot,
    asked: HashSet<Session>,
    heard: HashSet<Session>,
    /// Who was not there; judged once the echo is back.
    nobody: Vec<Session>,
    /// Who is looked for once more in it.
    again: HashSet<Session>,
    echo: bool,
}

/// What came of a probe, and in which round it was sent.
#[derive(Clone, Copy)]
enum Heard {
    Echo(u64, bool),
    Worker(u64, Session, Came),
}

#[derive(Clone, Copy)]
enum Came {
    /// After so long.
    Answer(Duration),
    /// Nobody listens there.
    Nobody,
    Nothing,
}

struct Watch {
    envoy: Envoy,
    workers: Workers,
    round: Round,
    answers: FuturesUnordered<BoxFuture<'static, Heard>>,
    slots: Arc<tokio::sync::Semaphore>,
    /// Deaths that may be attended to or wait for that.
    deaths: Arc<tokio::sync::Semaphore>,
    /// Queues of which a crowd was told last.
    crowded: BTreeSet<QueueName>,
}

/// Looks after the workers until it is dropped.
pub(super) async fn watch(envoy: Envoy, workers: Workers, signs: Signs) {
    let broker = envoy.broker.clone();
    let mut echo = loop {
        signs.give();
        match broker
            .subscribe(broker.subjects().echo(envoy.session))
            .await
        {
            Ok(echo) => break echo,
            Err(error) => tracing::warn!(error = %chain(&error), "the leader cannot hear itself"),
        }
        tokio::time::sleep(PAUSE).await;
    };
    let known = workers.clone();
    let mut registrations = std::pin::pin!(known.follow_registrations(&broker));
    let mut watch = Watch {
        round: Round::new(0, Boot::now()),
        answers: FuturesUnordered::new(),
        slots: Arc::new(tokio::sync::Semaphore::new(DEATHS)),
        deaths: Arc::new(tokio::sync::Semaphore::new(DEATHS_MAX)),
        crowded: BTreeSet::new(),
        envoy,
        workers,
    };
    let mut rounds = tokio::time::interval(probe::EVERY);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut echoes = 0;
    loop {
        // What has come is heard before a round is judged. Answers are as many as were asked for.
        tokio::select! {
            biased;
            question = echo.next(), if echoes < ECHOES => {
                echoes += 1;
                // Who does not hear itself judges nobody: somebody else has to lead.
                let Some(question) = question else { return };
                if let Some(reply) = question.reply
                    && let Err(error) = broker.publish(reply, Bytes::new()).await
                {
                    tracing::debug!(error = %chain(&error), "cannot answer itself");
                }
            }
            Some(answer) = watch.answers.next(), if !watch.answers.is_empty() => watch.answered(answer),
            () = &mut registrations => return,
            _ = rounds.tick() => {
                signs.give();
                echoes = 0;
                watch.next_round();
            }
        }
    }
}

impl Round {
    fn new(number: u64, began: Boot) -> Round {
        Round {
            number,
            began,
            asked: HashSet::new(),
            heard: HashSet::new(),
            nobody: Vec::new(),
            again: HashSet::new(),
            echo: false,
        }
    }
}

impl Watch {
    /// Judges the round that is over, and begins the next one.
    fn next_round(&mut self) {
        let now = Boot::now();
        let over = std::mem::replace(&mut self.round, Round::new(0, now));
        if over.echo && now.since(over.began) < ROUND_MAX && self.envoy.validity.holds(now) {
            let silent: Vec<Session> = over.asked.difference(&over.heard).copied().collect();
            let died = self.workers.roster().silent(&silent, now);
            died.into_iter()
                .for_each(|(presence, death)| self.died(presence, death));
        }
        let broker = self.envoy.broker.clone();
        let sessions = {
            let mut roster = self.workers.roster();
            roster.connected(broker.connection_epoch(), now);
            roster.forget(now);
            roster.to_ask(now)
        };
        self.round.number = over.number + 1;
        if !broker.is_connected() {
            return;
        }
        let number = self.round.number;
        if number.is_multiple_of(CROWDS_EACH) {
            self.tell_crowds(&broker);
        }
        self.answers.push(Box::pin({
            let echo = echoed(broker.clone(), self.envoy.session);
            async move { Heard::Echo(number, echo.await) }
        }));
        for session in sessions {
            self.round.asked.insert(session);
            self.ask(session, Duration::ZERO);
        }
    }

    /// Probes a worker after `pause`.
    fn ask(&mut self, session: Session, pause: Duration) {
        let (broker, number) = (self.envoy.broker.clone(), self.round.number);
        self.answers.push(Box::pin(async move {
            tokio::time::sleep(pause).await;
            let sent = Boot::now();
            let subject = broker.subjects().probe(session);
            let answer = broker.request(subject, Bytes::new(), ANSWER).await;
            let came = match answer {
                Ok(_) => Came::Answer(Boot::now().since(sent)),
                Err(RequestError::NoResponders { .. }) => Came::Nobody,
                Err(_) => Came::Nothing,
            };
            Heard::Worker(number, session, came)
        }));
    }

    /// Tells workers where more of them wait than need to, and once where no more do.
    fn tell_crowds(&mut self, broker: &Broker) {
        let crowds = self.workers.roster().crowds();
        let told = crowds.keys().cloned().collect();
        let mut over = std::mem::replace(&mut self.crowded, told);
        over.retain(|queue| !crowds.contains_key(queue));
        let over = over.into_iter().map(|queue| (queue, BTreeMap::new()));
        for (queue, free) in over.chain(crowds) {
            let crowd = wire::encode(&Broadcast::Crowd { queue, free });
            // What the client has no room for is said again in a second.
            let _ = broker
                .publish(broker.subjects().broadcast(), crowd)
                .now_or_never();
        }
    }

    fn answered(&mut self, answer: Heard) {
        let now = Boot::now();
        match answer {
            Heard::Echo(number, came) => {
                if number == self.round.number && came {
                    self.round.echo = true;
                    for session in std::mem::take(&mut self.round.nobody) {
                        self.missed(session, now);
                    }
                }
            }
            Heard::Worker(number, session, Came::Answer(took)) => {
                if number == self.round.number {
                    self.round.heard.insert(session);
                }
                let woke = self.workers.standing(session) == Life::Dead;
                self.workers.roster().answered(session, took, now);
                if woke {
                    self.call();
                }
            }
            Heard::Worker(number, session, Came::Nobody) => {
                if number != self.round.number {
                    return;
                }
                // Not silent: said to be away.
                self.round.heard.insert(session);
                if self.round.echo {
                    self.missed(session, now);
                } else {
                    self.round.nobody.push(session);
                }
            }
            Heard::Worker(_, _, Came::Nothing) => {}
        }
    }

    /// The registration of whoever wakes up was taken away: the next leader has to know of it again.
    fn call(&mut self) {
        let broker = self.envoy.broker.clone();
        self.envoy.errands.send(
            Task::Call,
            async move { feeds::call_workers(&broker).await },
        );
    }

    fn missed(&mut self, session: Session, now: Boot) {
        // What was lost with a connection says nothing of the worker.
        let epoch = self.envoy.broker.connection_epoch();
        self.workers.roster().connected(epoch, now);
        if !self.envoy.validity.holds(now) {
            return;
        }
        let (died, lives) = {
            let mut roster = self.workers.roster();
            let ground = roster.ground(now);
            let died = roster.learn(session, Event::Nobody(ground), now);
            (died, roster.standing(session) == Life::Lives)
        };
        if let Some((presence, death)) = died {
            self.died(presence, death);
        } else if lives && self.round.again.insert(session) {
            self.ask(session, probe::AGAIN);
        }
    }

    fn died(&mut self, presence: Presence, death: Death) {
        tracing::info!(worker = %presence.worker, session = %presence.session, ?death, "a worker is dead");
        let worker = presence.worker.as_str();
        WORKERS_DEAD.counter(&[worker]).increment(1);
        let (envoy, workers, slots) = (
            self.envoy.clone(),
            self.workers.clone(),
            Arc::clone(&self.slots),
        );
        let Ok(place) = Arc::clone(&self.deaths).try_acquire_owned() else {
            return tracing::debug!(worker = %presence.worker, session = %presence.session,
                "too many are dead: what it held comes back with its deadline");
        };
        self.envoy.errands.send(Task::Death, async move {
            let _place = place;
            let told = LeadEvent::Died(Box::new(presence.clone()));
            if !envoy.say(told).await {
                return;
            }
            free::free(&envoy, &workers, &slots, &presence, death).await;
        });
    }
}

/// Whether the leader hears itself now.
async fn echoed(broker: Broker, session: Session) -> bool {
    let subject = broker.subjects().echo(session);
    broker.request(subject, Bytes::new(), ANSWER).await.is_ok()
}
