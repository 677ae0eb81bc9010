//! Decides how many tiles to ask for, and of which queue: exactly the free slots. Pure.
//!
//! A slot is free when its handler has finished; what is finished and not yet acknowledged is
//! bounded apart from that. With several queues, one that brought nothing lately may only keep a few
//! slots waiting, so that a busy one gets the rest.

use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::limits::{UNACKED_MORE, UNACKED_TIMES};

/// While fewer slots than a quarter are free, pulls are at least this far apart.
const PAUSE: Duration = Duration::from_millis(1);

/// One queue as the slots see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Whether it can be pulled from now.
    pub(crate) open: bool,
    /// Tiles that were asked for and have not come.
    pub(crate) waiting: u32,
    /// Whether its last pull brought something.
    pub(crate) busy: bool,
}

#[derive(Debug)]
pub(crate) struct Slots {
    concurrency: u32,
    last_pull: Boot,
    turn: usize,
}

/// What to pull now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// (queue, tiles)
    pub(crate) pulls: Vec<(usize, u32)>,
    /// When to look again, if something was put off.
    pub(crate) again: Option<Boot>,
}

impl Slots {
    pub(crate) fn new(concurrency: u32) -> Slots {
        Slots {
            concurrency,
            last_pull: Boot(Duration::ZERO),
            turn: 0,
        }
    }

    /// What to pull at `now`, when `occupied` slots hold a tile and `unacked` tiles are finished and
    /// not yet acknowledged.
    pub(crate) fn plan(
        &mut self,
        queues: &[Demand],
        occupied: u32,
        unacked: u32,
        now: Boot,
    ) -> Plan {
        let waiting: u32 = queues.iter().map(|queue| queue.waiting).sum();
        let free = self
            .concurrency
            .saturating_sub(occupied)
            .saturating_sub(waiting);
        let room = (self
            .concurrency
            .saturating_mul(UNACKED_TIMES)
            .saturating_add(UNACKED_MORE))
        .saturating_sub(unacked);
        let free = free.min(room);
        if free == 0 || !queues.iter().any(|queue| queue.open) {
            return Plan::default();
        }
        let soon = self.last_pull + PAUSE;
        if free < (self.concurrency / 4).max(1) && now < soon {
            return Plan {
                pulls: Vec::new(),
                again: Some(soon),
            };
        }
        let pulls = self.share(queues, free);
        if !pulls.is_empty() {
            self.last_pull = now;
        }
        Plan { pulls, again: None }
    }

    fn share(&mut self, queues: &[Demand], mut free: u32) -> Vec<(usize, u32)> {
        if let [queue] = queues {
            return if queue.open {
                vec![(0, free)]
            } else {
                Vec::new()
            };
        }
        let count = queues.len();
        self.turn = (self.turn + 1) % count.max(1);
        let idle_most = (self.concurrency / (4 * count as u32)).max(1);
        let mut asked = vec![0; count];
        let order = (0..count).map(|n| (n + self.turn) % count);
        for n in order.clone().filter(|n| queues[*n].open) {
            let want = idle_most.saturating_sub(queues[n].waiting).min(free);
            asked[n] += want;
            free -= want;
        }
        let busy: Vec<usize> = order
            .filter(|n| queues[*n].open && queues[*n].busy)
            .collect();
        for (place, n) in busy.iter().enumerate() {
            let part = free / (busy.len() - place) as u32;
            asked[*n] += part;
            free -= part;
        }
        asked
            .into_iter()
            .enumerate()
            .filter(|(_, tiles)| *tiles > 0)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Boot {
        Boot(Duration::from_millis(ms))
    }

    fn queue(waiting: u32, busy: bool) -> Demand {
        Demand {
            open: true,
            waiting,
            busy,
        }
    }

    #[test]
    fn all_free_slots_and_no_more_are_asked_for() {
        let mut slots = Slots::new(16);
        assert_eq!(slots.plan(&[queue(4, true)], 2, 0, at(5)).pulls, [(0, 10)]);
        assert_eq!(slots.plan(&[queue(14, true)], 2, 0, at(9)), Plan::default());
    }

    #[test]
    fn few_free_slots_wait_a_moment_for_more() {
        let mut slots = Slots::new(16);
        slots.plan(&[queue(0, true)], 0, 0, at(5));
        assert_eq!(
            slots.plan(&[queue(14, true)], 0, 0, at(5)),
            Plan {
                pulls: vec![],
                again: Some(at(6))
            }
        );
        assert_eq!(slots.plan(&[queue(12, true)], 0, 0, at(5)).pulls, [(0, 4)]);
        assert_eq!(slots.plan(&[queue(14, true)], 0, 0, at(6)).pulls, [(0, 2)]);
    }

    #[test]
    fn too_much_unacknowledged_holds_pulls_back() {
        let mut slots = Slots::new(10);
        assert_eq!(
            slots.plan(&[queue(0, true)], 0, 4_040, at(5)),
            Plan::default()
        );
        assert_eq!(
            slots.plan(&[queue(0, true)], 0, 4_035, at(5)).pulls,
            [(0, 5)]
        );
    }

    #[test]
    fn queue_that_cannot_be_pulled_from_gets_nothing() {
        let mut slots = Slots::new(10);
        assert_eq!(
            slots.plan(&[Demand::default()], 0, 0, at(5)),
            Plan::default()
        );
        let plan = slots.plan(&[Demand::default(), queue(0, true)], 0, 0, at(9));
        assert_eq!(plan.pulls, [(1, 10)]);
    }

    #[test]
    fn idle_queues_leave_most_slots_to_busy_ones() {
        let mut slots = Slots::new(16);
        let mut plan = slots
            .plan(&[queue(0, true), queue(0, false)], 0, 0, at(5))
            .pulls;
        plan.sort_unstable();
        assert_eq!(plan, [(0, 14), (1, 2)]);
        let both_idle = slots.plan(&[queue(2, false), queue(2, false)], 0, 0, at(9));
        assert_eq!(both_idle.pulls, []);
    }

    #[test]
    fn single_slot_goes_round_among_queues() {
        let mut slots = Slots::new(1);
        let queues = [queue(0, false), queue(0, false)];
        let first = slots.plan(&queues, 0, 0, at(5)).pulls;
        let second = slots.plan(&queues, 0, 0, at(9)).pulls;
        assert_ne!(first, second);
    }
}
