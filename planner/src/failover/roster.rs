//! Which workers are known, and which of them are dead. Pure.
//!
//! A worker is known from its announcements and from its registration. It is forgotten when it says
//! goodbye, and some time after its death.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::id::{HandlerName, QueueName, Session};
use gridloom_shared::limits::{
    BELLS, CROWD_KINDS_MAX, CROWDS_MAX, WORKER_HANDLERS_MAX, WORKERS_MAX,
};
use gridloom_shared::presence::Presence;

use super::pace::{self, Pace};
use super::probe::{ALL_ASKED, Death, Event, FRESH, Ground, LATELY, Probe};

/// A dead worker is remembered for so long: it may only be frozen.
const REMEMBERED: Duration = Duration::from_secs(120);

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
            epoch,
            since,
            hushed: None,
        }
    }

    /// A worker announced itself.
    pub fn heard(&mut self, presence: &Presence, now: Boot) {
        if presence.gone {
            self.workers.remove(&presence.session);
            return;
        }
        self.registered(presence);
        if let Some(worker) = self.workers.get_mut(&presence.session) {
            worker.presence = presence.clone();
        }
        self.learn(presence.session, Event::Heard, now);
    }

    /// A worker is registered: it may have been dead for long. Of more than [`WORKERS_MAX`] the dead go.
    pub fn registered(&mut self, presence: &Presence) {
        if self.workers.len() >= WORKERS_MAX && !self.workers.contains_key(&presence.session) {
            let dead = self
                .workers
                .iter()
                .find(|(_, worker)| worker.probe.is_dead());
            let Some(dead) = dead.map(|(session, _)| *session) else {
                return;
            };
            self.workers.remove(&dead);
        }
        self.workers
            .entry(presence.session)
            .or_insert_with(|| Worker {
                presence: presence.clone(),
                probe: Probe::unmet(),
                pace: Pace::default(),
                heard: None,
                died: None,
            });
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
        let of_all = pace::median(living.values().flatten().copied().collect());
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
                false => pace::enough(living.len(), silent_ones, own, of_all),
            };
            died.extend(self.learn(*session, Event::Silent(ground, enough), now));
        }
        died
    }

    /// Forgets who is dead for long.
    pub fn forget(&mut self, now: Boot) {
        self.workers
            .retain(|_, worker| worker.died.is_none_or(|died| now.since(died) < REMEMBERED));
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
mod tests {
    use super::*;
    use crate::made_up;

    const NOBODY: Event = Event::Nobody(Ground::Settled);

    fn at(seconds: u64) -> Boot {
        Boot(Duration::from_secs(seconds))
    }

    fn presence(session: u64) -> Presence {
        Presence {
            queues: vec![queue()],
            ..made_up::presence(session)
        }
    }

    fn queue() -> QueueName {
        QueueName::new("images").unwrap()
    }

    fn dies(roster: &mut Roster, session: u64) {
        let deaths: Vec<_> = (0..3)
            .filter_map(|_| roster.learn(Session(session), NOBODY, at(10)))
            .collect();
        assert_eq!(deaths.len(), 1);
    }

    #[test]
    fn worker_that_died_while_stopping_is_dead_and_one_that_said_goodbye_is_not() {
        let mut roster = Roster::new(1, at(0));
        for session in [1, 2] {
            let mut stopping = presence(session);
            stopping.stopping = true;
            roster.heard(&stopping, at(1));
        }
        let mut goodbye = presence(2);
        goodbye.gone = true;
        roster.heard(&goodbye, at(1));
        dies(&mut roster, 1);
        assert_eq!(roster.standing(Session(1)), Life::Dead);
        assert_eq!(roster.standing(Session(2)), Life::Unknown);
        assert_eq!(roster.learn(Session(2), NOBODY, at(10)), None);
    }

    #[test]
    fn only_the_living_are_asked_and_whoever_wakes_up_is_asked_again() {
        let mut roster = Roster::new(1, at(0));
        roster.heard(&presence(1), at(1));
        roster.heard(&presence(2), at(1));
        dies(&mut roster, 1);
        assert_eq!(roster.of_queue(&queue()), [Session(2)]);
        roster.registered(&presence(1));
        assert_eq!(roster.of_queue(&queue()), [Session(2)]);
        roster.heard(&presence(1), at(1));
        assert_eq!(roster.of_queue(&queue()), [Session(1), Session(2)]);
    }

    #[test]
    fn dead_are_forgotten_after_a_while_and_the_living_never() {
        let mut roster = Roster::new(1, at(0));
        roster.heard(&presence(1), at(1));
        roster.heard(&presence(2), at(1));
        dies(&mut roster, 1);
        roster.forget(at(129));
        assert_eq!(roster.standing(Session(1)), Life::Dead);
        roster.forget(at(1_000));
        assert_eq!(roster.to_ask(at(1_000)), [Session(2)]);
    }

    #[test]
    fn so_many_are_kept_and_no_more_and_the_dead_make_room() {
        let mut roster = Roster::new(1, at(0));
        for session in 0..WORKERS_MAX as u64 {
            roster.heard(&presence(session), at(1));
        }
        roster.heard(&presence(1_000_000), at(1));
        assert_eq!(roster.standing(Session(1_000_000)), Life::Unknown);
        dies(&mut roster, 7);
        roster.heard(&presence(1_000_000), at(1));
        assert_eq!(roster.standing(Session(1_000_000)), Life::Lives);
        assert_eq!(roster.standing(Session(7)), Life::Unknown);
        assert_eq!(roster.to_ask(at(10)).len(), WORKERS_MAX);
    }

    #[test]
    fn ground_is_fresh_after_a_new_connection() {
        let mut roster = Roster::new(1, at(0));
        assert_eq!(roster.ground(at(100)), Ground::Settled);
        roster.connected(1, at(100));
        assert_eq!(roster.ground(at(101)), Ground::Settled);
        roster.connected(2, at(200));
        assert_eq!(roster.ground(at(201)), Ground::Fresh);
        assert_eq!(roster.ground(at(206)), Ground::Settled);
    }

    #[test]
    fn crowd_is_who_lives_and_has_a_slot_free_where_they_are_more_than_need_to_wait() {
        let name = |name: &str| HandlerName::new(name).unwrap();
        let mut roster = Roster::new(1, at(0));
        let mut says = |session: u64, handlers: &[&str], change: fn(&mut Presence)| {
            let mut presence = presence(session);
            presence.handlers = handlers.iter().map(|handler| name(handler)).collect();
            change(&mut presence);
            roster.heard(&presence, at(1));
        };
        let few = u64::from(BELLS);
        (0..few).for_each(|session| says(session, &["resize", "words"], |_| ()));
        says(few, &["resize"], |_| ());
        says(few + 1, &["words"], |presence| presence.in_flight = 4);
        says(few + 2, &["words"], |presence| presence.stopping = true);
        says(few + 3, &["words"], |_| ());
        dies(&mut roster, few + 3);
        let crowd = BTreeMap::from([(name("resize"), BELLS + 1)]);
        assert_eq!(roster.crowds(), BTreeMap::from([(queue(), crowd)]));
    }

    /// After how many silent rounds the last of `workers` was dead, where each had answered within `took`.
    fn rounds(workers: u64, took: Duration, silent: &[Session]) -> usize {
        let mut roster = Roster::new(1, at(0));
        for session in (0..workers).map(Session) {
            roster.heard(&presence(session.0), at(99));
            roster.answered(session, took, at(99));
        }
        let mut died = (1..).map(|round| roster.silent(silent, ms(round * 250)).len());
        1 + died.position(|died| died == silent.len()).unwrap()
    }

    #[test]
    fn silence_among_quick_answers_is_a_death_after_a_second_and_among_slow_ones_after_three() {
        let quick = Duration::from_millis(3);
        let one = [Session(0)];
        assert_eq!(rounds(3, quick, &one), 4);
        assert_eq!(rounds(2, quick, &one), 4);
        assert_eq!(rounds(3, Duration::from_millis(150), &one), 8);
        assert_eq!(rounds(3, Duration::from_millis(300), &one), 12);
        assert_eq!(rounds(1, quick, &one), 12, "alone");
        assert_eq!(rounds(3, quick, &[Session(0), Session(1)]), 12, "most");
    }

    #[test]
    fn worker_that_never_answered_and_one_that_is_slow_itself_have_three_seconds() {
        let mut roster = Roster::new(1, at(0));
        (0..5).for_each(|session| roster.heard(&presence(session), at(99)));
        let (slow, quick) = (Duration::from_millis(400), Duration::from_millis(2));
        (1..5).for_each(|session| roster.answered(Session(session), quick, at(99)));
        let died = |roster: &mut Roster, session, rounds| {
            (0..rounds).any(|_| !roster.silent(&[Session(session)], at(100)).is_empty())
        };
        assert!(!died(&mut roster, 0, 11) && died(&mut roster, 0, 1));
        // One slow one makes none of the others slow.
        roster.answered(Session(1), slow, at(101));
        assert!(!died(&mut roster, 2, 3) && died(&mut roster, 2, 1));
        assert!(!died(&mut roster, 1, 11) && died(&mut roster, 1, 1));
    }

    #[test]
    fn where_most_of_many_fall_silent_together_the_last_to_come_back_are_not_dead_for_that() {
        let mut roster = Roster::new(1, at(0));
        let all: Vec<Session> = (0..20).map(Session).collect();
        for session in &all {
            roster.heard(&presence(session.0), at(99));
            roster.answered(*session, Duration::from_millis(3), at(99));
        }
        let mut silent = |silent: &[Session], rounds: std::ops::Range<u64>| -> usize {
            let each = rounds.map(|round| ms(100_000 + round * 250));
            each.map(|now| roster.silent(silent, now).len()).sum()
        };
        assert_eq!(silent(&all, 0..20), 0, "five seconds");
        assert_eq!(silent(&all[..3], 20..39), 0, "these were heard last");
        assert_eq!(silent(&all[..3], 39..40), 3, "and these are dead after ten");
        // Ten seconds after the silence of all one is judged as ever.
        assert_eq!(silent(&all[4..5], 60..63), 1);
    }

    const DIES: Session = Session(0);

    fn ms(ms: u64) -> Boot {
        Boot(Duration::from_secs(100) + Duration::from_millis(ms))
    }

    /// How long after its death, in milliseconds, one of `workers` is found dead which had announced itself each
    /// second, `phase` after each round, and how often it was asked before.
    fn found(workers: u64, phase: u64, dies: u64) -> (u64, u64) {
        let mut roster = Roster::new(1, at(0));
        (0..workers).for_each(|session| roster.heard(&presence(session), ms(phase)));
        let (mut asked, mut said) = (0, phase);
        for round in 1.. {
            let now = round * 250;
            while said + 1_000 <= now && said + 1_000 < dies {
                said += 1_000;
                roster.heard(&presence(DIES.0), ms(said));
            }
            if !roster.to_ask(ms(now)).contains(&DIES) {
                continue;
            }
            let event = if now < dies { Event::Heard } else { NOBODY };
            asked += u64::from(now < dies);
            if roster.learn(DIES, event, ms(now)).is_some() {
                return (now - dies, asked);
            }
        }
        unreachable!("rounds go on")
    }

    #[test]
    fn of_many_workers_who_was_just_heard_is_not_asked_and_a_dead_one_is_found_within_a_second_all_the_same()
     {
        let stories = |workers: u64| {
            let phases = (0..250).step_by(31);
            phases.flat_map(move |phase| {
                let deaths = (10_001..11_000).step_by(37);
                deaths.map(move |dies| found(workers, phase, dies))
            })
        };
        let worst = |workers| stories(workers).map(|(found, _)| found).max();
        let mean = |workers| {
            let (sum, count) = stories(workers).fold((0, 0), |(sum, n), (ms, _)| (sum + ms, n + 1));
            sum / count
        };
        let few = ALL_ASKED as u64;
        assert!(worst(few) <= Some(750) && mean(few) <= 640, "{}", mean(few));
        assert!(stories(few).all(|(_, asked)| asked >= 40), "each round");
        assert!(worst(few + 1) <= Some(1_050), "{:?}", worst(few + 1));
        assert!(mean(few + 1) <= 800, "{}", mean(few + 1));
        assert!(
            stories(few + 1).all(|(_, asked)| asked <= 22),
            "every other one"
        );
    }

    #[test]
    fn of_many_workers_those_are_asked_each_time_who_are_missed_or_dead_or_were_never_heard() {
        let mut roster = Roster::new(1, at(0));
        (0..=ALL_ASKED as u64).for_each(|session| roster.registered(&presence(session)));
        let everybody = roster.to_ask(ms(0)).len();
        assert_eq!(everybody, ALL_ASKED + 1);
        for session in 2..=ALL_ASKED as u64 {
            roster.heard(&presence(session), ms(0));
        }
        dies(&mut roster, 1);
        assert_eq!(roster.to_ask(ms(250)), [Session(0), Session(1)]);
        roster.learn(Session(7), NOBODY, ms(300));
        for round in [500, 750, 1_000] {
            assert!(roster.to_ask(ms(round)).contains(&Session(7)));
        }
        roster.heard(&presence(3), ms(1_000));
        assert!(!roster.to_ask(ms(1_001)).contains(&Session(3)));
        roster.connected(2, ms(1_002));
        assert_eq!(roster.to_ask(ms(1_003)).len(), everybody);
    }
}
