//! Which workers are known, and which of them are dead. Pure.
//!
//! A worker is known from its announcements and from its registration. It is forgotten when it says
//! goodbye, and some time after its death.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::id::{HandlerName, QueueName, Session};
use gridloom_shared::limits::{
    BELLS, CROWD_KINDS_MAX, CROWDS_MAX, ROSTER_BYTES, WORKER_HANDLERS_MAX, WORKERS_MAX,
};
use gridloom_shared::presence::Presence;

use super::pace::{self, Pace, Paces};
use super::probe::{ALL_ASKED, Death, Event, FRESH, Ground, LATELY, Probe};

/// A dead worker is remembered for so long: it may only be frozen.
const REMEMBERED: Duration = Duration::from_secs(120);

/// What is kept of an announcement: not what others need.
fn kept(presence: &Presence) -> Presence {
    Presence {
        tolls: Vec::new(),
        knows: Vec::new(),
        trouble: String::new(),
        ..presence.clone()
    }
}

/// About the bytes that it takes.
fn bytes_of(kept: &Presence) -> usize {
    /// Of a name beside its text.
    const NAME: usize = 24;
    let queues = kept.queues.iter().map(|name| NAME + name.as_str().len());
    let handlers = kept.handlers.iter().map(|name| NAME + name.as_str().len());
    let numbers = 8 * kept.ack_deadlines_ms.len();
    let names = kept.worker.as_str().len() + kept.version.len();
    size_of::<Worker>()
        + queues.chain(handlers).sum::<usize>()
        + numbers
        + names
        + kept.named.bytes()
}

/// How it is with a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It lives, or nothing else is known.
    Lives,
    /// It is held to be dead.
    Dead,
    /// It said goodbye, or was never there.
    Unknown,
}

#[derive(Debug)]
struct Worker {
    presence: Presence,
    probe: Probe,
    pace: Pace,
    /// When it answered or announced itself last, on this connection.
    heard: Option<Boot>,
    died: Option<Boot>,
}

/// All workers that one leadership knows.
#[derive(Debug)]
pub struct Roster {
    workers: BTreeMap<Session, Worker>,
    /// What is kept of them, in bytes.
    bytes: usize,
    epoch: u64,
    since: Boot,
    /// When most of many were silent at once. They come back one by one, and the last ones are not dead for that.
    hushed: Option<Boot>,
}

impl Roster {
    /// Nobody is known, on connection `epoch`, which is there since `since`.
    pub fn new(epoch: u64, since: Boot) -> Roster {
        Roster {
            workers: BTreeMap::new(),
            bytes: 0,
            epoch,
            since,
            hushed: None,
        }
    }

    /// A worker announced itself.
    pub fn heard(&mut self, presence: &Presence, now: Boot) {
        if presence.gone {
            self.remove(presence.session);
            return;
        }
        self.registered(presence);
        if let Some(worker) = self.workers.get_mut(&presence.session) {
            let kept = kept(presence);
            let others = self.bytes - bytes_of(&worker.presence);
            if others + bytes_of(&kept) <= ROSTER_BYTES {
                self.bytes = others + bytes_of(&kept);
                worker.presence = kept;
            }
        }
        self.learn(presence.session, Event::Heard, now);
    }

    /// A worker is registered: it may have been dead for long. Of more than [`WORKERS_MAX`], or [`ROSTER_BYTES`], the
    /// dead go.
    pub fn registered(&mut self, presence: &Presence) {
        if self.workers.contains_key(&presence.session) {
            return;
        }
        let kept = kept(presence);
        let bytes = bytes_of(&kept);
        if self.workers.len() >= WORKERS_MAX || self.bytes + bytes > ROSTER_BYTES {
            let mut workers = self.workers.iter();
            let dead = workers.find(|(_, worker)| worker.probe.is_dead());
            let Some(dead) = dead.map(|(session, _)| *session) else {
                return;
            };
            self.remove(dead);
        }
        if self.bytes + bytes > ROSTER_BYTES {
            return;
        }
        self.bytes += bytes;
        let worker = Worker {
            presence: kept,
            probe: Probe::unmet(),
            pace: Pace::default(),
            heard: None,
            died: None,
        };
        self.workers.insert(presence.session, worker);
    }

    fn remove(&mut self, session: Session) {
        if let Some(worker) = self.workers.remove(&session) {
            self.bytes -= bytes_of(&worker.presence);
        }
    }

    /// The leader's connection is `epoch` at `now`.
    pub fn connected(&mut self, epoch: u64, now: Boot) {
        if epoch != self.epoch {
            self.epoch = epoch;
            self.since = now;
            for worker in self.workers.values_mut() {
                worker.probe.step(Event::Reconnected);
                worker.heard = None;
            }
        }
    }

    /// How long the leader's connection has been there.
    pub fn ground(&self, now: Boot) -> Ground {
        if now.since(self.since) < FRESH {
            Ground::Fresh
        } else {
            Ground::Settled
        }
    }

    /// Something was learned of a worker. Returns it with its death.
    pub fn learn(
        &mut self,
        session: Session,
        event: Event,
        now: Boot,
    ) -> Option<(Presence, Death)> {
        let worker = self.workers.get_mut(&session)?;
        if event == Event::Heard {
            worker.heard = Some(now);
        }
        let death = worker.probe.step(event);
        if death.is_some() {
            worker.died = Some(now);
        } else if !worker.probe.is_dead() {
            worker.died = None;
        }
        death.map(|death| (worker.presence.clone(), death))
    }

    /// A worker answered at `now`, which took it `took`.
    pub fn answered(&mut self, session: Session, took: Duration, now: Boot) {
        if let Some(worker) = self.workers.get_mut(&session) {
            worker.pace.answered(took, now);
        }
        self.learn(session, Event::Heard, now);
    }

    /// A round was over at `now` in which `silent` did not answer. Returns who died of it.
    pub fn silent(&mut self, silent: &[Session], now: Boot) -> Vec<(Presence, Death)> {
        let living = self.workers.iter().filter(|(_, w)| !w.probe.is_dead());
        let living: HashMap<Session, Option<Duration>> = living
            .map(|(session, w)| (*session, w.pace.slowest()))
            .collect();
        let paces = Paces::of(living.values().flatten().copied().collect());
        let silent_ones = silent
            .iter()
            .filter(|session| living.contains_key(session))
            .count();
        if pace::is_common(living.len(), silent_ones) {
            self.hushed = Some(now);
        }
        let hushed = self.hushed;
        let is_hushed = hushed.is_some_and(|at| now.since(at) < pace::REMEMBERED);
        let ground = self.ground(now);
        let mut died = Vec::new();
        for session in silent {
            let own = living.get(session).copied().flatten();
            let enough = match is_hushed {
                true => pace::MOST,
                false => pace::enough(living.len(), silent_ones, own, paces),
            };
            died.extend(self.learn(*session, Event::Silent(ground, enough), now));
        }
        died
    }

    /// Forgets who is dead for long.
    pub fn forget(&mut self, now: Boot) {
        let known = self.workers.len();
        self.workers
            .retain(|_, worker| worker.died.is_none_or(|died| now.since(died) < REMEMBERED));
        if self.workers.len() < known {
            let kept = self.workers.values();
            self.bytes = kept.map(|worker| bytes_of(&worker.presence)).sum();
        }
    }

    /// Who is to be probed at `now`: the dead too, who may wake up. Of many not those who were just heard; whoever
    /// is missed is asked each time.
    pub fn to_ask(&self, now: Boot) -> Vec<Session> {
        let many = self.workers.len() > ALL_ASKED;
        let lately = |worker: &Worker| worker.heard.is_some_and(|at| now.since(at) < LATELY);
        let asked = self.workers.iter();
        let asked = asked.filter(|(_, worker)| !(many && lately(worker)));
        asked.map(|(session, _)| *session).collect()
    }

    /// How it is with a worker.
    pub fn standing(&self, session: Session) -> Life {
        match self.workers.get(&session) {
            Some(worker) if worker.probe.is_dead() => Life::Dead,
            Some(_) => Life::Lives,
            None => Life::Unknown,
        }
    }

    /// What a worker is called.
    pub fn name_of(&self, session: Session) -> Option<String> {
        let worker = self.workers.get(&session)?;
        Some(worker.presence.worker.to_string())
    }

    /// Who lives and pulls from `queue`.
    pub fn of_queue(&self, queue: &QueueName) -> Vec<Session> {
        let living = self.workers.iter().filter(|(_, worker)| {
            !worker.probe.is_dead() && worker.presence.queues.contains(queue)
        });
        living.map(|(session, _)| *session).collect()
    }

    /// How many living workers have a slot free for a handler, by queue: those of which there are more than
    /// need to wait for a first tile ([`BELLS`]).
    pub fn crowds(&self) -> BTreeMap<QueueName, BTreeMap<HandlerName, u32>> {
        let mut kinds: HashMap<(&[QueueName], &[HandlerName]), u32> = HashMap::new();
        for worker in self.workers.values() {
            let presence = &worker.presence;
            let is_free = !presence.stopping && presence.in_flight < presence.capacity;
            let kind = (presence.queues.as_slice(), presence.handlers.as_slice());
            let is_counted = kinds.len() < CROWD_KINDS_MAX || kinds.contains_key(&kind);
            if is_free && is_counted && !worker.probe.is_dead() {
                *kinds.entry(kind).or_default() += 1;
            }
        }
        let mut free: BTreeMap<(&QueueName, &HandlerName), u32> = BTreeMap::new();
        for ((queues, handlers), workers) in kinds {
            for queue in queues {
                for handler in handlers {
                    *free.entry((queue, handler)).or_default() += workers;
                }
            }
        }
        let mut crowds: BTreeMap<QueueName, BTreeMap<HandlerName, u32>> = BTreeMap::new();
        for ((queue, handler), workers) in free.into_iter().filter(|(_, workers)| *workers > BELLS)
        {
            if crowds.len() >= CROWDS_MAX && !crowds.contains_key(queue) {
                break;
            }
            let crowd = crowds.entry(queue.clone()).or_default();
            if crowd.len() < WORKER_HANDLERS_MAX {
                crowd.insert(handler.clone(), workers);
            }
        }
        crowds
    }
}

#[cfg(test)]
mod tests;
