//! Which child runs the next tile: the one with most free slots; where there is none, whoever waits longest is next.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};

use super::answers::Answers;
use super::death::{Cause, Death};
use super::said::Why;
use crate::shard::TileContext;

/// What a child is to do with a tile.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// Run these of its pages, one after another.
    Pages(Vec<u32>),
    /// Answer a question, which has this number.
    Probe(u32),
}

impl What {
    pub(super) fn count(&self) -> usize {
        match self {
            What::Pages(pages) => pages.len(),
            What::Probe(_) => 1,
        }
    }
}

/// What is said to whoever speaks with a child.
#[derive(Debug)]
pub(super) enum Order {
    Give {
        first: u64,
        tile: Arc<TileContext>,
        what: What,
        answers: Arc<Answers>,
    },
    Stop {
        first: u64,
        only: Option<u64>,
        why: Why,
    },
}

/// The way to one child.
#[derive(Clone, Debug)]
pub(super) struct Way {
    who: Arc<str>,
    orders: mpsc::UnboundedSender<Order>,
    /// The id that the next shard has. Ids rise in the order in which they are sent.
    next: Arc<Mutex<u64>>,
}

impl Way {
    pub(super) fn new(who: Arc<str>, orders: mpsc::UnboundedSender<Order>) -> Way {
        Way {
            who,
            orders,
            next: Arc::new(Mutex::new(1)),
        }
    }

    fn give(&self, tile: Arc<TileContext>, what: What) -> (u64, Arc<Answers>) {
        let count = what.count();
        let answers = Arc::new(Answers::new(count));
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let first = *next;
        *next += count as u64;
        let order = Order::Give {
            first,
            tile,
            what,
            answers: Arc::clone(&answers),
        };
        if self.orders.send(order).is_err() {
            unreached(&self.who, &answers);
        }
        (first, answers)
    }

    /// A child that is gone has stopped.
    pub(super) fn stop(&self, first: u64, only: Option<u64>, why: Why) {
        let _ = self.orders.send(Order::Stop { first, only, why });
    }
}

/// The child was gone before it could be told.
pub(super) fn unreached(who: &str, answers: &Answers) {
    answers.end(Arc::new(Death {
        who: who.to_owned(),
        cause: Cause::Unreached,
        ending: None,
        said: String::new(),
    }));
}

#[derive(Debug)]
struct Member {
    number: u64,
    way: Way,
    free: u32,
}

#[derive(Debug, Default)]
struct State {
    members: Vec<Member>,
    waiting: VecDeque<oneshot::Sender<Place>>,
    members_ever: u64,
    /// Why there is no child, where there is none.
    trouble: Option<String>,
}

/// The children that run tiles.
#[derive(Debug, Default)]
pub(super) struct Pool {
    state: Mutex<State>,
    running: AtomicU32,
}

/// A slot of a child. One that is not used is free again.
#[derive(Debug)]
pub(super) struct Place {
    pool: Option<Arc<Pool>>,
    member: u64,
    way: Way,
}

impl Place {
    /// Gives the child something to do.
    pub(super) fn give(mut self, tile: Arc<TileContext>, what: What) -> (Way, u64, Arc<Answers>) {
        self.pool = None;
        let (first, answers) = self.way.give(tile, what);
        (self.way.clone(), first, answers)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.free(self.member, 1);
        }
    }
}

impl Pool {
    /// A child has come. The number is its own from now on.
    pub(super) fn join(self: &Arc<Pool>, way: Way, slots: u32) -> u64 {
        let number = {
            let mut state = self.state();
            let number = state.members_ever;
            state.members_ever += 1;
            state.trouble = None;
            let free = 0;
            state.members.push(Member { number, way, free });
            number
        };
        self.running.fetch_add(1, Ordering::Relaxed);
        self.free(number, slots);
        number
    }

    /// It gets nothing more.
    pub(super) fn leave(&self, number: u64) {
        let mut state = self.state();
        let before = state.members.len();
        state.members.retain(|member| member.number != number);
        if state.members.len() < before {
            self.running.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How many children there are.
    pub(super) fn running(&self) -> u32 {
        self.running.load(Ordering::Relaxed)
    }

    /// Slots of a child are free again.
    pub(super) fn free(self: &Arc<Pool>, number: u64, slots: u32) {
        for _ in 0..slots {
            let handed = {
                let mut state = self.state();
                let State {
                    members, waiting, ..
                } = &mut *state;
                let Some(member) = members.iter_mut().find(|member| member.number == number) else {
                    return;
                };
                // Not to those who gave up.
                let next =
                    std::iter::from_fn(|| waiting.pop_front()).find(|next| !next.is_closed());
                if next.is_none() {
                    member.free += 1;
                }
                next.map(|next| (next, self.place(member)))
            };
            if let Some((next, place)) = handed {
                // Whoever gave up just now gives it back.
                drop(next.send(place));
            }
        }
    }

    fn place(self: &Arc<Pool>, member: &Member) -> Place {
        Place {
            pool: Some(Arc::clone(self)),
            member: member.number,
            way: member.way.clone(),
        }
    }

    /// A slot, as soon as there is one.
    pub(super) async fn slot(self: &Arc<Pool>) -> Place {
        loop {
            let waits = {
                let mut state = self.state();
                let free = state.members.iter_mut().filter(|member| member.free > 0);
                if let Some(member) = free.max_by_key(|member| member.free) {
                    member.free -= 1;
                    return self.place(member);
                }
                let (next, waits) = oneshot::channel();
                state.waiting.push_back(next);
                waits
            };
            if let Ok(place) = waits.await {
                return place;
            }
        }
    }

    /// What keeps all children from running.
    pub(super) fn trouble(&self) -> Option<String> {
        let state = self.state();
        state.members.is_empty().then(|| {
            let why = state.trouble.as_deref();
            format!("no child runs: {}", why.unwrap_or("it was not started yet"))
        })
    }

    /// Why there may be none soon.
    pub(super) fn note(&self, why: String) {
        self.state().trouble = Some(why);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn way() -> Way {
        Way::new("a child".into(), mpsc::unbounded_channel().0)
    }

    fn slot(pool: &Arc<Pool>) -> Option<Place> {
        Box::pin(pool.slot()).now_or_never()
    }

    #[test]
    fn child_with_most_free_slots_is_next_and_slots_come_back() {
        let pool = Arc::new(Pool::default());
        let few = pool.join(way(), 1);
        let many = pool.join(way(), 2);
        let taken: Vec<Place> = std::iter::from_fn(|| slot(&pool)).collect();
        assert_eq!(taken[0].member, many);
        assert_eq!(taken.len(), 3);
        drop(taken);
        let again: Vec<Place> = std::iter::from_fn(|| slot(&pool)).collect();
        assert_eq!(again.len(), 3);
        pool.leave(few);
        assert_eq!(pool.running(), 1);
    }

    #[test]
    fn whoever_waits_gets_the_next_slot_and_who_gave_up_does_not() {
        let pool = Arc::new(Pool::default());
        let mut gave_up = Box::pin(pool.slot());
        let mut waits = Box::pin(pool.slot());
        assert!((&mut gave_up).now_or_never().is_none() && (&mut waits).now_or_never().is_none());
        drop(gave_up);
        pool.join(way(), 1);
        assert!((&mut waits).now_or_never().is_some());
    }

    #[test]
    fn trouble_is_told_while_there_is_no_child() {
        let pool = Arc::new(Pool::default());
        pool.note("child 0 ended".to_owned());
        assert_eq!(
            pool.trouble().as_deref(),
            Some("no child runs: child 0 ended")
        );
        let child = pool.join(way(), 1);
        assert_eq!(pool.trouble(), None);
        pool.leave(child);
        assert!(pool.trouble().is_some());
    }
}
