//! Which part of one lane's tiles the workers of another will run. Pure.
//!
//! A tile of handler `g` will be run by some worker that has `g`, and is taken to lie on all of them
//! evenly, by their slots. So the part `slots(g and h) / slots(g)` of what is outstanding of `g` keeps
//! workers busy that a tile of `h` may want. Where all workers have the same handlers that is all of
//! it; where none has both, nothing; and what was issued for workers that are all gone keeps nobody
//! busy. Where no worker is known at all, everything counts in full: whoever comes may have to run it.

use gridloom_shared::clock::Boot;
use gridloom_shared::id::{HandlerName, QueueName};

use crate::crew::Crew;
use crate::now::Now;

/// What the lanes of one queue share, in the order in which they were looked at.
#[derive(Debug, Default)]
pub(super) struct Overlap {
    /// The crew when it was worked out, and until when that holds by itself.
    known: Option<(u64, Option<Boot>)>,
    nobody: bool,
    slots: Vec<usize>,
    /// Slots of workers that have both handlers, a row for each lane.
    shared: Vec<usize>,
}

impl Overlap {
    /// The lanes are others than before.
    pub(super) fn forget(&mut self) {
        self.known = None;
    }

    /// Looks at the workers of a queue with these lanes, if they may be others than before.
    pub(super) fn look<'a>(
        &mut self,
        queue: &QueueName,
        lanes: impl Iterator<Item = &'a HandlerName>,
        crew: &Crew,
        now: Now,
    ) {
        if self.known.is_some_and(|(changes, until)| {
            changes == crew.changes() && until.is_none_or(|until| now.boot < until)
        }) {
            return;
        }
        let muster = crew.muster(queue, now.boot);
        let lanes: Vec<&HandlerName> = lanes.collect();
        self.nobody = muster.squads.is_empty();
        self.slots = vec![0; lanes.len()];
        self.shared = vec![0; lanes.len() * lanes.len()];
        for squad in &muster.squads {
            let has = |lane: &usize| squad.handlers.contains(lanes[*lane]);
            let able: Vec<usize> = (0..lanes.len()).filter(has).collect();
            for of in &able {
                self.slots[*of] += squad.slots;
                for on in &able {
                    self.shared[of * lanes.len() + on] += squad.slots;
                }
            }
        }
        self.known = Some((crew.changes(), muster.until));
    }

    /// Tiles that the workers of a lane run at once.
    pub(super) fn slots(&self, lane: usize) -> usize {
        self.slots[lane]
    }

    /// Whether somebody may run a tile of the lane: one of the known workers, or, where none is known,
    /// whoever comes.
    pub(super) fn is_open(&self, lane: usize) -> bool {
        self.nobody || self.slots[lane] > 0
    }

    /// Which part of a tile of the lane `of` counts on the lane `on`.
    pub(super) fn part(&self, of: usize, on: usize) -> f64 {
        if of == on || self.nobody {
            return 1.0;
        }
        let shared = self.shared[of * self.slots.len() + on];
        // Without a worker that has the one there is none that has both.
        shared as f64 / self.slots[of].max(1) as f64
    }

    /// How much `of_lane` comes to on a lane, over all lanes.
    pub(super) fn sum(&self, on: usize, of_lane: impl Fn(usize) -> f64) -> f64 {
        let parts = (0..self.slots.len()).map(|of| of_lane(of) * self.part(of, on));
        parts.sum()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gridloom_shared::clock::UnixMs;
    use gridloom_shared::presence::Presence;

    use super::*;
    use crate::made_up;

    fn at(ms: u64) -> Now {
        Now {
            boot: Boot(Duration::from_millis(ms)),
            broker: UnixMs(0),
        }
    }

    fn queue() -> QueueName {
        QueueName::new("images").unwrap()
    }

    fn handlers(names: &[&str]) -> Vec<HandlerName> {
        let names = names.iter().map(|name| HandlerName::new(*name).unwrap());
        names.collect()
    }

    fn crew(workers: &[(u32, &[&str])]) -> Crew {
        let mut crew = Crew::new(at(0).boot);
        for (session, (slots, names)) in (1..).zip(workers) {
            let presence = Presence {
                queues: vec![queue()],
                handlers: handlers(names),
                capacity: *slots,
                ..made_up::presence(session)
            };
            crew.heard(&presence, at(0).boot);
        }
        crew
    }

    fn overlap(workers: &[(u32, &[&str])]) -> Overlap {
        let mut overlap = Overlap::default();
        let lanes = handlers(&["a", "b"]);
        overlap.look(&queue(), lanes.iter(), &crew(workers), at(0));
        overlap
    }

    #[test]
    fn lanes_of_the_same_workers_are_one() {
        let both = overlap(&[(4, &["a", "b"]), (2, &["b", "a"])]);
        assert_eq!((both.part(0, 1), both.part(1, 0)), (1.0, 1.0));
        assert_eq!((both.slots(0), both.slots(1)), (6, 6));
    }

    #[test]
    fn lanes_of_other_workers_have_nothing_to_do_with_each_other() {
        let apart = overlap(&[(4, &["a"]), (2, &["b"])]);
        assert_eq!((apart.part(0, 1), apart.part(1, 0)), (0.0, 0.0));
        assert_eq!((apart.slots(0), apart.slots(1)), (4, 2));
    }

    #[test]
    fn tile_counts_by_the_slots_that_might_run_it() {
        let part = overlap(&[(6, &["a"]), (2, &["a", "b"])]);
        assert_eq!((part.part(0, 1), part.part(1, 0)), (0.25, 1.0));
        assert_eq!(part.sum(1, |lane| [8.0, 3.0][lane]), 5.0);
    }

    #[test]
    fn tiles_whose_workers_are_gone_count_nothing_and_all_while_nobody_is_known() {
        let gone = overlap(&[(2, &["b"])]);
        assert_eq!(gone.part(0, 1), 0.0);
        assert!(!gone.is_open(0) && gone.is_open(1));
        let nobody = overlap(&[]);
        assert_eq!((nobody.part(0, 1), nobody.slots(0)), (1.0, 0));
        assert!(nobody.is_open(0));
    }

    #[test]
    fn workers_that_are_silent_or_new_are_noticed() {
        let mut crew = crew(&[(4, &["a"]), (2, &["b"])]);
        let (mut overlap, lanes) = (Overlap::default(), handlers(&["a", "b"]));
        overlap.look(&queue(), lanes.iter(), &crew, at(0));
        overlap.look(&queue(), lanes.iter(), &crew, at(2_999));
        assert_eq!(overlap.slots(0), 4);
        let presence = Presence {
            queues: vec![queue()],
            handlers: lanes.clone(),
            ..made_up::presence(7)
        };
        crew.heard(&presence, at(2_999).boot);
        overlap.look(&queue(), lanes.iter(), &crew, at(2_999));
        assert_eq!((overlap.slots(0), overlap.slots(1)), (8, 6));
        overlap.look(&queue(), lanes.iter(), &crew, at(3_000));
        assert_eq!((overlap.slots(0), overlap.slots(1)), (4, 4));
    }
}
