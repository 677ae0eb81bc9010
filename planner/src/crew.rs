//! Which workers were heard lately, what they run, and what they have handlers for. Pure.
//!
//! Kept for two questions: how much a queue can use, and who may hold a tile of it. Who is dead is
//! not decided here, see [`crate::failover`].

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::id::{HandlerName, QueueName, Session};
use gridloom_shared::limits::{
    CONCURRENCY_MAX, CREW_MAX, QUEUES_MAX, WORKER_QUEUES_MAX, WORKERS_MAX,
};
use gridloom_shared::presence::Presence;

/// A worker that was not heard for so long has no free slots, and holds nothing that would have to
/// be waited for.
const SILENCE: Duration = Duration::from_secs(3);
/// Workers announce themselves each second: after this long all that live have been heard.
const ALL_HEARD: Duration = Duration::from_millis(1_200);

#[derive(Debug)]
struct Member {
    slots: usize,
    handlers: Arc<BTreeSet<HandlerName>>,
    at: Boot,
}

/// The workers of a queue that can run something, those with the same handlers as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Squad {
    /// What they have handlers for.
    pub handlers: Arc<BTreeSet<HandlerName>>,
    /// Tiles that they run at once.
    pub slots: usize,
}

/// What a queue's workers can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Muster {
    /// All of them.
    pub squads: Vec<Squad>,
    /// When one of them will have been silent for too long, unless it is heard again.
    pub until: Option<Boot>,
}

/// What a queue has for a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Help {
    /// No worker pulls from the queue.
    NoWorker,
    /// Workers do, and none has the handler.
    NoHandler,
    /// Somebody can run it.
    Somebody,
}

/// The workers, by queue.
#[derive(Debug)]
pub struct Crew {
    queues: HashMap<QueueName, HashMap<Session, Member>>,
    /// Since when they are listened to.
    since: Boot,
    /// How many members there are, of all queues.
    members: usize,
    /// How often anything has changed besides that somebody has become silent.
    changes: u64,
}

impl Crew {
    /// Nobody was heard yet.
    pub fn new(now: Boot) -> Crew {
        Crew {
            queues: HashMap::new(),
            since: now,
            members: 0,
            changes: 0,
        }
    }

    /// A worker announced itself.
    pub fn heard(&mut self, presence: &Presence, now: Boot) {
        let handlers: Arc<BTreeSet<_>> = Arc::new(presence.handlers.iter().cloned().collect());
        let mut changed = false;
        for queue in presence.queues.iter().take(WORKER_QUEUES_MAX) {
            if self.queues.len() >= QUEUES_MAX && !self.queues.contains_key(queue) {
                continue;
            }
            let members = self.queues.entry(queue.clone()).or_default();
            if presence.gone {
                let left = members.remove(&presence.session).is_some();
                self.members -= usize::from(left);
                changed |= left;
                continue;
            }
            let is_full = members.len() >= WORKERS_MAX || self.members >= CREW_MAX;
            if is_full && !members.contains_key(&presence.session) {
                continue;
            }
            let member = Member {
                slots: if presence.stopping {
                    0
                } else {
                    presence.capacity.min(CONCURRENCY_MAX) as usize
                },
                handlers: Arc::clone(&handlers),
                at: now,
            };
            let slots = member.slots;
            let before = members.insert(presence.session, member);
            self.members += usize::from(before.is_none());
            changed |= before.is_none_or(|before| {
                before.slots != slots
                    || before.handlers != handlers
                    || now.since(before.at) >= SILENCE
            });
        }
        self.changes += u64::from(changed);
    }

    /// A worker is dead: it has no slots any more, whatever it said last.
    pub fn died(&mut self, session: Session) {
        for members in self.queues.values_mut() {
            self.members -= usize::from(members.remove(&session).is_some());
        }
        self.changes += 1;
    }

    /// Forgets queues that no worker pulls from any more.
    pub fn forget(&mut self, now: Boot) {
        self.queues.retain(|_, members| {
            members.retain(|_, member| now.since(member.at) < SILENCE);
            !members.is_empty()
        });
        self.members = self.queues.values().map(HashMap::len).sum();
    }

    /// How often anything has changed: while it is the same, a [`Crew::muster`] is too, until its own
    /// end.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// What a queue's workers can run.
    pub fn muster(&self, queue: &QueueName, now: Boot) -> Muster {
        let mut squads: BTreeMap<&Arc<BTreeSet<HandlerName>>, usize> = BTreeMap::new();
        let mut until: Option<Boot> = None;
        for (_, member) in self
            .members(queue, now)
            .filter(|(_, member)| member.slots > 0)
        {
            *squads.entry(&member.handlers).or_default() += member.slots;
            let silent = member.at + SILENCE;
            until = Some(until.map_or(silent, |until| until.min(silent)));
        }
        let squads = squads.into_iter().map(|(handlers, slots)| Squad {
            handlers: Arc::clone(handlers),
            slots,
        });
        Muster {
            squads: squads.collect(),
            until,
        }
    }

    /// The queues that workers were heard to pull from.
    pub fn queues(&self) -> impl Iterator<Item = &QueueName> {
        self.queues.keys()
    }

    /// How many workers take work from a queue, those with the same handlers as one.
    pub fn squads(&self, queue: &QueueName, now: Boot) -> Vec<(Arc<BTreeSet<HandlerName>>, usize)> {
        let mut squads: BTreeMap<&Arc<BTreeSet<HandlerName>>, usize> = BTreeMap::new();
        let members = self.members(queue, now);
        for (_, member) in members.filter(|(_, member)| member.slots > 0) {
            *squads.entry(&member.handlers).or_default() += 1;
        }
        let squads = squads.into_iter();
        squads
            .map(|(handlers, workers)| (Arc::clone(handlers), workers))
            .collect()
    }

    /// Workers of a queue that live, those too that are on their way out; `None` while that is not
    /// known.
    pub fn living(&self, queue: &QueueName, now: Boot) -> Option<HashSet<Session>> {
        if now.since(self.since) < ALL_HEARD {
            return None;
        }
        Some(
            self.members(queue, now)
                .map(|(session, _)| *session)
                .collect(),
        )
    }

    /// What there is in a queue for a handler.
    pub fn help(&self, queue: &QueueName, handler: &HandlerName, now: Boot) -> Help {
        let mut help = Help::NoWorker;
        for (_, member) in self.members(queue, now) {
            if member.slots == 0 {
                continue;
            }
            if member.handlers.contains(handler) {
                return Help::Somebody;
            }
            help = Help::NoHandler;
        }
        help
    }

    fn members(&self, queue: &QueueName, now: Boot) -> impl Iterator<Item = (&Session, &Member)> {
        let members = self.queues.get(queue).into_iter().flatten();
        members.filter(move |(_, member)| now.since(member.at) < SILENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_up;

    fn at(ms: u64) -> Boot {
        Boot(Duration::from_millis(ms))
    }

    fn queue() -> QueueName {
        QueueName::new("images").unwrap()
    }

    fn handler(name: &str) -> HandlerName {
        HandlerName::new(name).unwrap()
    }

    fn presence(session: u64, handlers: &[&str]) -> Presence {
        Presence {
            queues: vec![queue()],
            handlers: handlers.iter().map(|name| handler(name)).collect(),
            ..made_up::presence(session)
        }
    }

    fn slots(crew: &Crew, now: Boot) -> usize {
        let squads = crew.muster(&queue(), now).squads;
        squads.iter().map(|squad| squad.slots).sum()
    }

    #[test]
    fn silent_worker_has_no_slots_and_is_forgotten() {
        let mut crew = Crew::new(at(0));
        crew.heard(&presence(1, &["resize"]), at(0));
        assert_eq!(slots(&crew, at(2_999)), 4);
        assert_eq!(crew.muster(&queue(), at(0)).until, Some(at(3_000)));
        assert_eq!(slots(&crew, at(3_000)), 0);
        crew.forget(at(3_000));
        assert!(crew.queues.is_empty());
    }

    #[test]
    fn worker_on_its_way_out_may_hold_tiles_and_has_no_slots() {
        let mut crew = Crew::new(at(0));
        let mut stopping = presence(1, &["resize"]);
        stopping.stopping = true;
        crew.heard(&stopping, at(0));
        assert_eq!(slots(&crew, at(1)), 0);
        assert_eq!(crew.living(&queue(), at(1)), None, "not all were heard yet");
        assert_eq!(
            crew.living(&queue(), at(1_200)),
            Some(HashSet::from([Session(1)]))
        );
        stopping.gone = true;
        crew.heard(&stopping, at(1_300));
        assert_eq!(crew.living(&queue(), at(1_300)), Some(HashSet::new()));
    }

    #[test]
    fn handler_that_nobody_has_is_told_from_a_queue_without_workers() {
        let mut crew = Crew::new(at(0));
        let help = |crew: &Crew| crew.help(&queue(), &handler("resize"), at(1));
        assert_eq!(help(&crew), Help::NoWorker);
        crew.heard(&presence(1, &["words"]), at(0));
        assert_eq!(help(&crew), Help::NoHandler);
        crew.heard(&presence(2, &["resize"]), at(0));
        assert_eq!(help(&crew), Help::Somebody);
        crew.died(Session(2));
        assert_eq!(help(&crew), Help::NoHandler);
    }

    #[test]
    fn workers_with_the_same_handlers_are_one_squad() {
        let mut crew = Crew::new(at(0));
        crew.heard(&presence(1, &["words", "resize"]), at(0));
        crew.heard(&presence(2, &["resize", "words"]), at(5));
        crew.heard(&presence(3, &["resize"]), at(9));
        let muster = crew.muster(&queue(), at(10));
        let mut slots: Vec<_> = muster.squads.iter().map(|squad| squad.slots).collect();
        slots.sort_unstable();
        assert_eq!((slots, muster.until), (vec![4, 8], Some(at(3_000))));
    }

    #[test]
    fn what_changes_is_counted_and_an_announcement_as_before_is_no_change() {
        let mut crew = Crew::new(at(0));
        crew.heard(&presence(1, &["resize"]), at(0));
        let first = crew.changes();
        crew.heard(&presence(1, &["resize"]), at(1_000));
        assert_eq!(crew.changes(), first);
        let mut count = first;
        let mut changed =
            |crew: &Crew| crew.changes() > std::mem::replace(&mut count, crew.changes());
        crew.heard(&presence(1, &["words"]), at(1_000));
        assert!(changed(&crew), "other handlers");
        let mut fewer = presence(1, &["words"]);
        fewer.capacity = 3;
        crew.heard(&fewer, at(1_000));
        assert!(changed(&crew), "fewer slots");
        crew.heard(&fewer, at(4_000));
        assert!(changed(&crew), "it was silent for too long");
        crew.died(Session(1));
        assert!(changed(&crew), "it is dead");
        crew.heard(&fewer, at(4_000));
        assert!(changed(&crew), "it lives");
        fewer.gone = true;
        crew.heard(&fewer, at(4_000));
        assert!(changed(&crew), "it is gone");
    }

    #[test]
    fn announcements_make_no_queues_without_bound() {
        let mut crew = Crew::new(at(0));
        let mut liar = presence(1, &[]);
        liar.queues = (0..5_000)
            .map(|n| QueueName::new(format!("q{n}")).unwrap())
            .collect();
        liar.capacity = u32::MAX;
        crew.heard(&liar, at(0));
        assert_eq!(crew.queues.len(), WORKER_QUEUES_MAX);
        let muster = crew.muster(&liar.queues[0], at(1));
        assert_eq!(muster.squads[0].slots, CONCURRENCY_MAX as usize);
    }
    #[test]
    fn announcements_make_no_members_without_bound_and_all_are_forgotten() {
        let mut crew = Crew::new(at(0));
        let queues: Vec<_> = (0..WORKER_QUEUES_MAX)
            .map(|n| QueueName::new(format!("q{n}")).unwrap())
            .collect();
        let count = |crew: &Crew| crew.queues.values().map(HashMap::len).sum::<usize>();
        for session in 0..CREW_MAX / WORKER_QUEUES_MAX + 100 {
            let mut liar = presence(session as u64, &[]);
            liar.queues.clone_from(&queues);
            crew.heard(&liar, at(0));
        }
        assert!(count(&crew) <= CREW_MAX + WORKER_QUEUES_MAX && crew.members == count(&crew));
        crew.died(Session(1));
        assert_eq!(crew.members, count(&crew));
        crew.forget(at(3_000));
        assert_eq!((crew.members, count(&crew)), (0, 0));
    }
}
