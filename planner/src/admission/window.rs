//! How much of a lane may be outstanding. Pure.
//!
//! What is queued and not yet pulled is kept to the larger of the workers' free slots and a quarter
//! of a second of the measured rate (decision 8): so memory is
//! flat for a run of any size, a cancelled run stops at once, and one giant run cannot delay a small
//! one.

use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::limits::{IN_FLIGHT_MAX, QUEUED_MAX};

/// Tiles that may be queued where no worker has been heard and nothing was measured: a worker that
/// starts finds work at once.
const FLOOR: usize = 64;
/// How long the measured rate is to last.
const AHEAD: Duration = Duration::from_millis(250);
/// The rate is measured over pieces of this length.
const PIECE: Duration = Duration::from_millis(100);

/// How fast a lane was lately.
#[derive(Debug)]
pub(super) struct Window {
    rate: f64,
    since: Boot,
    closed: u64,
}

impl Window {
    /// A lane of which nothing is known at `now`.
    pub(super) fn new(now: Boot) -> Window {
        Window {
            rate: 0.0,
            since: now,
            closed: 0,
        }
    }

    /// `tiles` more have every outcome.
    pub(super) fn closed(&mut self, tiles: u64, now: Boot) {
        self.closed += tiles;
        let passed = now.since(self.since);
        if passed < PIECE {
            return;
        }
        let measured = self.closed as f64 / passed.as_secs_f64();
        // Up at once, down slowly: a pause between two waves is no slower queue.
        self.rate = self.rate(now).max(measured);
        self.since = now;
        self.closed = 0;
    }

    /// The rate at `now`, in tiles a second: less by a fifth for each piece that brought nothing.
    pub(super) fn rate(&self, now: Boot) -> f64 {
        let pieces = now.since(self.since).as_secs_f64() / PIECE.as_secs_f64();
        self.rate * 0.8_f64.powf(pieces.floor())
    }
}

/// Most tiles of a lane whose workers have `slots` and finish `rate` tiles a second.
///
/// Of those that are outstanding the workers hold as many as they have slots for; the rest is queued.
pub(super) fn most(slots: usize, rate: f64) -> usize {
    // More than these a consumer does not hand out, whatever slots there are.
    let slots = slots.min(IN_FLIGHT_MAX);
    let ahead = (rate * AHEAD.as_secs_f64()) as usize;
    slots + slots.max(ahead).clamp(FLOOR, QUEUED_MAX)
}

/// How many more may be issued while `load` of at most `most` lack an outcome.
pub(super) fn room(most: usize, load: f64, slots: usize) -> f64 {
    let room = most as f64 - load;
    let slots = slots.min(IN_FLIGHT_MAX);
    // Much is queued already: wait until a wave is worth its records.
    if room * 4.0 < most as f64 && load > slots as f64 {
        0.0
    } else {
        room.max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use gridloom_shared::limits::OUTSTANDING_MAX;

    use super::*;

    fn at(ms: u64) -> Boot {
        Boot(Duration::from_millis(ms))
    }

    /// Of a lane whose workers nobody else uses.
    fn room(window: &Window, outstanding: usize, slots: usize, now: Boot) -> usize {
        let most = most(slots, window.rate(now));
        super::room(most, outstanding as f64, slots) as usize
    }

    #[test]
    fn queue_without_workers_gets_a_little_so_that_the_first_worker_finds_work() {
        let window = Window::new(at(0));
        assert_eq!(room(&window, 0, 0, at(0)), FLOOR);
        assert_eq!(room(&window, FLOOR, 0, at(0)), 0);
    }

    #[test]
    fn room_follows_the_slots_and_then_the_rate() {
        let mut window = Window::new(at(0));
        assert_eq!(room(&window, 0, 500, at(1)), 1_000);
        window.closed(2_000, at(100)); // 20,000/s
        assert_eq!(room(&window, 0, 500, at(101)), 500 + 5_000);
        assert_eq!(room(&window, 5_400, 500, at(101)), 0);
    }

    #[test]
    fn slots_beyond_what_a_consumer_hands_out_get_nothing() {
        let mut window = Window::new(at(0));
        assert_eq!(room(&window, 0, 100_000, at(1)), OUTSTANDING_MAX);
        window.closed(1_000_000, at(100)); // 10,000,000/s
        assert_eq!(room(&window, 0, 100_000, at(101)), OUTSTANDING_MAX);
    }

    #[test]
    fn rate_falls_also_when_nothing_is_closed_any_more() {
        let mut window = Window::new(at(0));
        window.closed(2_000, at(100)); // 20,000/s
        assert_eq!(room(&window, 0, 0, at(199)), 5_000);
        assert_eq!(room(&window, 0, 0, at(300)), 3_200);
        assert_eq!(room(&window, 0, 0, at(60_000)), FLOOR);
    }
}
