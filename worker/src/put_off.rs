//! Decides for how long a tile is put off that a newer build issued, and how its lane is pulled from after it. Pure.
//!
//! The broker hands what comes again to whichever pull waits there, and a worker that cannot read it would get it as often
//! as one that can, or more often, where there are many. So who met one waits with no pull for a while: it looks
//! now and then at what is there, and what comes again is with who waits for it by then.
//!
//! Redelivered tiles come before all others. So what stands behind many of them is reached only where more are put off at
//! a time than come back: each is put off for twice as long as the time before, and the lane rests for half as long
//! after one that came again, twice as long after one that is new. Who reads them comes first while they are new.

use std::time::Duration;

use gridloom_shared::clock::Boot;

/// When a tile is delivered again that was put off once; at the latest after twice that.
const PUT_OFF: Duration = Duration::from_secs(5);
/// How often that is doubled: whoever can read it at last waits for no longer than forty seconds.
const DOUBLED: u32 = 2;
/// How long nothing of a lane is pulled after a tile, at most and at least.
const REST: Duration = Duration::from_secs(1);
const REST_LEAST: Duration = Duration::from_millis(50);
/// No pull waits on the lane for so long after a tile: longer than any is put off.
const LOOKS: Duration = Duration::from_secs(60);
/// How often is looked instead, while nothing is there.
const LOOK: Duration = Duration::from_millis(250);

/// What a lane has brought that a newer build issued.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PutOff {
    rest: Duration,
    /// When the last of it came.
    last: Option<Boot>,
    /// Whether something else came since then, a while later.
    is_over: bool,
    /// Until when nothing is pulled.
    rests: Option<Boot>,
}

impl Default for PutOff {
    fn default() -> PutOff {
        PutOff {
            rest: REST,
            last: None,
            is_over: false,
            rests: None,
        }
    }
}

impl PutOff {
    /// One came at `now`, delivered so many times. For how long it is put off, at least; at most for twice that.
    pub(crate) fn met(&mut self, delivered: u64, now: Boot) -> Duration {
        let again = delivered.saturating_sub(1);
        self.rest = match again {
            0 => (self.rest * 2).min(REST),
            _ => (self.rest / 2).max(REST_LEAST),
        };
        (self.last, self.is_over) = (Some(now), false);
        self.rests = Some(now + self.rest);
        PUT_OFF * 2_u32.pow(u32::try_from(again).unwrap_or(DOUBLED).min(DOUBLED))
    }

    /// Until when nothing is pulled, if anything is not.
    pub(crate) fn rests(&self, now: Boot) -> Option<Boot> {
        self.rests.filter(|until| now < *until)
    }

    /// Whether no pull is to wait for what comes, since others may be able to read it.
    pub(crate) fn only_looks(&self, now: Boot) -> bool {
        self.last.is_some_and(|last| now < last + LOOKS)
    }

    /// A pull brought less than it asked for.
    pub(crate) fn found_no_more(&mut self, now: Boot) {
        if self.only_looks(now) {
            self.rests = self.rests.max(Some(now + LOOK));
        }
    }

    /// Something came that can be read. Whether that is told as the end of it, once: nothing else came for a while.
    pub(crate) fn is_over(&mut self, now: Boot) -> bool {
        let over = !self.is_over && self.last.is_some_and(|last| now >= last + REST);
        if over {
            (self.is_over, self.rest) = (true, REST);
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn at(ms: u64) -> Boot {
        Boot(Duration::from_millis(ms))
    }

    /// When a worker of `slots` slots is handed the first tile that it can read, behind so many that it cannot.
    fn reached(newer: u64, slots: usize) -> Option<u64> {
        let (mut lane, mut fresh, mut now) = (PutOff::default(), 0..newer, 0);
        // When each comes again, how often it came.
        let mut back: BTreeSet<(u64, u64, u64)> = BTreeSet::new();
        while now < 600_000 {
            for _ in 0..slots {
                let due = back.first().copied().filter(|(due, ..)| *due <= now);
                let (tile, delivered) = match due {
                    Some(first) => {
                        back.remove(&first);
                        (first.1, first.2 + 1)
                    }
                    None => match fresh.next() {
                        Some(tile) => (tile, 1),
                        None => return Some(now / 1_000),
                    },
                };
                let off = lane.met(delivered, at(now)).as_millis() as u64;
                // As uneven as it really is.
                back.insert((now + off + off * (tile * 7 % 10) / 10, tile, delivered));
            }
            now = lane
                .rests(at(now))
                .map_or(now, |until| until.0.as_millis() as u64);
        }
        None
    }

    #[test]
    fn hundreds_of_newer_tiles_hold_up_none_behind_them_however_few_slots_there_are() {
        for (slots, within) in [(1, 180), (4, 120), (16, 60)] {
            let reached = reached(200, slots);
            assert!(
                reached.is_some_and(|at| at < within),
                "{slots}: {reached:?}"
            );
        }
        assert!(reached(2_000, 16).is_some());
    }

    #[test]
    fn new_ones_are_left_to_others_for_a_second_and_none_is_put_off_for_longer_than_forty() {
        let mut lane = PutOff::default();
        let off = [1, 2, 3, 4, 1_000].map(|delivered| lane.met(delivered, at(5)).as_secs());
        assert_eq!(off, [5, 10, 20, 20, 20]);
        let mut lane = PutOff::default();
        lane.met(1, at(5));
        assert_eq!(lane.rests(at(1_004)), Some(at(1_005)));
        assert_eq!(lane.rests(at(1_005)), None);
    }

    #[test]
    fn no_pull_waits_until_all_that_was_put_off_has_come_again_and_what_is_there_is_looked_for_meanwhile()
     {
        let mut lane = PutOff::default();
        lane.found_no_more(at(1));
        assert!(!lane.only_looks(at(1)));
        assert_eq!(lane.rests(at(1)), None, "nothing of a newer build came");
        let off = lane.met(7, at(5));
        assert!(
            lane.only_looks(at(5) + off * 2),
            "put off for twice that at most"
        );
        lane.found_no_more(at(2_000));
        assert_eq!(lane.rests(at(2_000)), Some(at(2_250)));
        lane.met(1, at(3_000));
        lane.found_no_more(at(3_000));
        assert_eq!(lane.rests(at(3_000)), Some(at(4_000)), "the longer one");
        // Something else that came does not end it: what is put off comes again all the same.
        assert!(lane.is_over(at(4_500)));
        assert!(lane.only_looks(at(62_999)));
        assert!(!lane.only_looks(at(63_000)));
    }

    #[test]
    fn it_is_over_once_nothing_but_what_can_be_read_came_for_a_second() {
        let mut lane = PutOff::default();
        assert!(!lane.is_over(at(9_000)));
        lane.met(7, at(9_000));
        assert!(!lane.is_over(at(9_900)));
        assert!(lane.is_over(at(10_000)));
        assert!(!lane.is_over(at(20_000)));
    }
}
