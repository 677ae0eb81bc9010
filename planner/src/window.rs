//! How much of a queue may be outstanding. Pure.
//!
//! What is queued and not yet pulled is kept to the larger of the workers' free slots and a quarter
//! of a second of the measured rate (decision 8): so memory is
//! flat for a run of any size, a cancelled run stops at once, and one giant run cannot delay a small
//! one.

use std::collections::BTreeMap;
use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::id::Session;
use gridloom_shared::limits::{IN_FLIGHT_MAX, QUEUED_MAX};

/// Tiles that may be queued where no worker has been heard and nothing was measured: a worker that
/// starts finds work at once.
const FLOOR: usize = 64;
/// How long the measured rate is to last.
const AHEAD: Duration = Duration::from_millis(250);
/// A worker that was not heard for this long has no free slots.
const SILENCE: Duration = Duration::from_secs(3);
/// The rate is measured over pieces of this length.
const PIECE: Duration = Duration::from_millis(100);

/// What is known of one queue.
#[derive(Debug)]
pub struct Window {
    workers: BTreeMap<Session, Seen>,
    rate: f64,
    since: Boot,
    closed: u64,
}

#[derive(Debug)]
struct Seen {
    capacity: usize,
    at: Boot,
}

impl Window {
    /// A queue of which nothing is known at `now`.
    pub fn new(now: Boot) -> Window {
        Window {
            workers: BTreeMap::new(),
            rate: 0.0,
            since: now,
            closed: 0,
        }
    }

    /// A worker announced itself. `capacity` is how many tiles it runs at once; 0 takes it out.
    pub fn heard(&mut self, session: Session, capacity: usize, now: Boot) {
        if capacity == 0 {
            self.workers.remove(&session);
        } else {
            self.workers.insert(session, Seen { capacity, at: now });
        }
    }

    /// `tiles` more have every outcome.
    pub fn closed(&mut self, tiles: u64, now: Boot) {
        self.closed += tiles;
        let passed = now.since(self.since);
        if passed >= PIECE {
            let measured = self.closed as f64 / passed.as_secs_f64();
            // Up at once, down slowly: a pause between two waves is no slower queue.
            self.rate = if measured > self.rate {
                measured
            } else {
                self.rate * 0.8 + measured * 0.2
            };
            self.since = now;
            self.closed = 0;
        }
    }

    /// Tiles that all workers together run at once.
    pub fn capacity(&self, now: Boot) -> usize {
        let heard = self
            .workers
            .values()
            .filter(|seen| now.since(seen.at) < SILENCE);
        heard.map(|seen| seen.capacity).sum()
    }

    /// How many more tiles may be issued while `outstanding` lack an outcome.
    ///
    /// Of those that are outstanding the workers hold as many as they have slots for; the rest is
    /// queued.
    pub fn room(&self, outstanding: usize, now: Boot) -> usize {
        // More than these the queue's consumer does not hand out, whatever slots there are.
        let slots = self.capacity(now).min(IN_FLIGHT_MAX);
        let free = slots.saturating_sub(outstanding);
        let ahead = (self.rate * AHEAD.as_secs_f64()) as usize;
        let most = slots + slots.max(free).max(ahead).clamp(FLOOR, QUEUED_MAX);
        let room = most.saturating_sub(outstanding);
        // Much is queued already: wait until a wave is worth its records.
        if room * 4 < most && outstanding > slots {
            0
        } else {
            room
        }
    }
}

#[cfg(test)]
mod tests {
    use gridloom_shared::limits::OUTSTANDING_MAX;

    use super::*;

    fn at(ms: u64) -> Boot {
        Boot(Duration::from_millis(ms))
    }

    #[test]
    fn queue_without_workers_gets_a_little_so_that_the_first_worker_finds_work() {
        let window = Window::new(at(0));
        assert_eq!(window.room(0, at(0)), FLOOR);
        assert_eq!(window.room(FLOOR, at(0)), 0);
    }

    #[test]
    fn room_follows_the_slots_and_then_the_rate() {
        let mut window = Window::new(at(0));
        window.heard(Session(1), 500, at(0));
        assert_eq!(window.room(0, at(1)), 1_000);
        window.closed(2_000, at(100)); // 20,000/s
        assert_eq!(window.room(0, at(101)), 500 + 5_000);
        assert_eq!(window.room(5_400, at(101)), 0);
    }

    #[test]
    fn slots_beyond_what_a_consumer_hands_out_get_nothing() {
        let mut window = Window::new(at(0));
        (0..5).for_each(|n| window.heard(Session(n), 20_000, at(0)));
        assert_eq!(window.room(0, at(1)), OUTSTANDING_MAX);
        window.closed(1_000_000, at(100)); // 10,000,000/s
        assert_eq!(window.room(0, at(101)), OUTSTANDING_MAX);
    }

    #[test]
    fn silent_worker_has_no_slots() {
        let mut window = Window::new(at(0));
        window.heard(Session(1), 500, at(0));
        assert_eq!(window.capacity(at(2_999)), 500);
        assert_eq!(window.capacity(at(3_000)), 0);
    }
}
