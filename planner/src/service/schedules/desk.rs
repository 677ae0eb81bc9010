//! Whose turn it is: the most urgent priority first, of one priority who has waited longest. One who is being settled
//! is away from the desk, and hears afterwards what has become known meanwhile. It settles nothing.
//!
//! | a job is | until |
//! |----------|-------|
//! | asleep | its time has come, or news of it are worth a look |
//! | ready | it is taken |
//! | away | it comes back, and says when it wants to be looked at again |

use std::collections::{BTreeSet, HashMap};

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::JobName;
use gridloom_shared::job::Priority;

/// What has become known of a job. It says whether that is worth a look.
type News<J> = Box<dyn FnOnce(&mut J) -> bool + Send>;

/// Jobs of the kind `J`, and their turns.
pub(super) struct Desk<J> {
    urgency: fn(&J) -> Priority,
    seats: HashMap<JobName, Seat<J>>,
    ready: BTreeSet<(Priority, UnixMs, JobName)>,
    asleep: BTreeSet<(UnixMs, JobName)>,
}

enum Seat<J> {
    Here(Box<J>, Turn),
    Away(Vec<News<J>>),
}

#[derive(Clone, Copy)]
enum Turn {
    Ready(Priority, UnixMs),
    At(UnixMs),
    Never,
}

impl<J> Desk<J> {
    /// Nobody; `urgency` says who goes first.
    pub(super) fn new(urgency: fn(&J) -> Priority) -> Desk<J> {
        Desk {
            urgency,
            seats: HashMap::new(),
            ready: BTreeSet::new(),
            asleep: BTreeSet::new(),
        }
    }

    /// Whether there is such a job, here or away.
    pub(super) fn knows(&self, name: &JobName) -> bool {
        self.seats.contains_key(name)
    }

    /// A job that was not known. It is never looked at until there are news of it, or it [wakes](Desk::wake).
    pub(super) fn sit(&mut self, name: JobName, job: J) {
        let seat = Seat::Here(Box::new(job), Turn::Never);
        self.seats.insert(name, seat);
    }

    /// News of one job at `now`.
    pub(super) fn tell(
        &mut self,
        name: &JobName,
        now: UnixMs,
        news: impl FnOnce(&mut J) -> bool + Send + 'static,
    ) {
        let worth = match self.seats.get_mut(name) {
            Some(Seat::Here(job, _)) => news(job),
            Some(Seat::Away(all)) => {
                all.push(Box::new(news));
                false
            }
            None => false,
        };
        if worth {
            self.call(name, now);
        }
    }

    /// News of all.
    pub(super) fn tell_all(
        &mut self,
        now: UnixMs,
        news: impl FnOnce(&mut J) -> bool + Clone + Send + 'static,
    ) {
        let mut worth = Vec::new();
        for (name, seat) in &mut self.seats {
            match seat {
                Seat::Here(job, _) => {
                    if news.clone()(job) {
                        worth.push(name.clone());
                    }
                }
                Seat::Away(all) => all.push(Box::new(news.clone())),
            }
        }
        for name in worth {
            self.call(&name, now);
        }
    }

    /// One that sleeps is to be looked at `at`, and not before unless there are news.
    pub(super) fn wake(&mut self, name: &JobName, at: Option<UnixMs>) {
        self.put(name, at.map_or(Turn::Never, Turn::At));
    }

    /// Takes whose turn it is at `now`.
    pub(super) fn next(&mut self, now: UnixMs) -> Option<Box<J>> {
        while let Some((at, name)) = self.asleep.first().cloned()
            && at <= now
        {
            self.call(&name, at);
        }
        let (_, _, name) = self.ready.pop_first()?;
        match self.seats.insert(name, Seat::Away(Vec::new())) {
            Some(Seat::Here(job, _)) => Some(job),
            Some(Seat::Away(_)) | None => None,
        }
    }

    /// One comes back that was taken, at `now`, and is to be looked at again when it says so.
    pub(super) fn back(
        &mut self,
        name: &JobName,
        mut job: Box<J>,
        again: Option<UnixMs>,
        now: UnixMs,
    ) {
        let news = match self.seats.remove(name) {
            Some(Seat::Away(news)) => news,
            Some(Seat::Here(..)) | None => Vec::new(),
        };
        let mut worth = false;
        for news in news {
            worth |= news(&mut job);
        }
        let seat = Seat::Here(job, Turn::Never);
        self.seats.insert(name.clone(), seat);
        // Who asks for its next turn at once has had this one.
        self.wake(name, again.map(|at| at.max(now)));
        if worth {
            self.call(name, now);
        }
    }

    /// Those that sleep, and when each wakes, in order.
    pub(super) fn asleep(&self) -> impl Iterator<Item = (UnixMs, &J)> {
        self.asleep
            .iter()
            .filter_map(|(at, name)| match self.seats.get(name)? {
                Seat::Here(job, _) => Some((*at, &**job)),
                Seat::Away(_) => None,
            })
    }

    /// When the first of those that sleep wakes.
    pub(super) fn next_wake(&self) -> Option<UnixMs> {
        self.asleep.first().map(|(at, _)| *at)
    }

    /// It is ready, since `now` or since it should have been.
    fn call(&mut self, name: &JobName, now: UnixMs) {
        let Some(Seat::Here(job, turn)) = self.seats.get(name) else {
            return;
        };
        let since = match turn {
            Turn::Ready(_, at) => *at,
            Turn::At(at) => now.min(*at),
            Turn::Never => now,
        };
        self.put(name, Turn::Ready((self.urgency)(job), since));
    }

    fn put(&mut self, name: &JobName, next: Turn) {
        let Some(Seat::Here(_, turn)) = self.seats.get_mut(name) else {
            return;
        };
        match std::mem::replace(turn, next) {
            Turn::Ready(priority, at) => self.ready.remove(&(priority, at, name.clone())),
            Turn::At(at) => self.asleep.remove(&(at, name.clone())),
            Turn::Never => false,
        };
        match next {
            Turn::Ready(priority, at) => self.ready.insert((priority, at, name.clone())),
            Turn::At(at) => self.asleep.insert((at, name.clone())),
            Turn::Never => false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> JobName {
        JobName::new(text).unwrap()
    }

    /// Of a priority, and with a note.
    type Seated = (u8, &'static str);

    fn desk(jobs: &[(&str, u8)]) -> Desk<Seated> {
        let mut desk = Desk::new(|job: &Seated| Priority::new(job.0).unwrap());
        for (job, priority) in jobs {
            desk.sit(name(job), (*priority, ""));
        }
        desk
    }

    /// The priorities of those whose turn it is, in order.
    fn taken(desk: &mut Desk<Seated>, now: u64) -> Vec<u8> {
        std::iter::from_fn(|| desk.next(UnixMs(now)).map(|job| job.0)).collect()
    }

    #[test]
    fn most_urgent_goes_first_and_then_who_has_waited_longest() {
        let mut desk = desk(&[("a", 5), ("b", 4), ("c", 0), ("d", 3), ("e", 3), ("f", 1)]);
        for (job, at) in [("a", 1), ("b", 2), ("c", 9), ("d", 8), ("e", 7), ("f", 20)] {
            desk.wake(&name(job), Some(UnixMs(at)));
        }
        assert_eq!(desk.next_wake(), Some(UnixMs(1)));
        let first = desk.next(UnixMs(10)).unwrap();
        assert_eq!(first.0, 0, "it came last, and is the most urgent");
        desk.tell(&name("e"), UnixMs(10), |job| {
            job.1 = "waited";
            true
        });
        let second = desk.next(UnixMs(10)).unwrap();
        assert_eq!(*second, (3, "waited"));
        assert_eq!(taken(&mut desk, 10), [3, 4, 5]);
        // The last has not come yet.
        assert_eq!(taken(&mut desk, 20), [1]);
    }

    #[test]
    fn one_that_is_away_hears_the_news_when_it_is_back_and_is_taken_by_nobody_else() {
        let mut desk = desk(&[("a", 5)]);
        let a = name("a");
        desk.tell(&a, UnixMs(1), |_| true);
        let job = desk.next(UnixMs(1)).unwrap();
        desk.tell(&a, UnixMs(2), |job| {
            job.1 = "first";
            false
        });
        desk.tell(&a, UnixMs(2), |job| {
            assert_eq!(job.1, "first", "in order");
            job.1 = "second";
            true
        });
        assert!(desk.next(UnixMs(u64::MAX)).is_none());
        desk.back(&a, job, Some(UnixMs(100)), UnixMs(3));
        let job = desk.next(UnixMs(3)).unwrap();
        assert_eq!(job.1, "second");
        // No news: it sleeps until its time has come.
        desk.back(&a, job, Some(UnixMs(100)), UnixMs(4));
        assert!(desk.next(UnixMs(99)).is_none());
        assert!(desk.next(UnixMs(100)).is_some());
    }

    #[test]
    fn what_is_not_worth_a_look_wakes_nobody() {
        let mut desk = desk(&[("a", 5), ("b", 5)]);
        desk.tell_all(UnixMs(1), |_| false);
        desk.tell(&name("nobody"), UnixMs(1), |_| true);
        assert!(desk.next(UnixMs(u64::MAX)).is_none());
        desk.tell_all(UnixMs(1), |_| true);
        assert_eq!(taken(&mut desk, 1), [5, 5]);
    }
}
