//! Decides whether a bell is laid on an idle lane: a pull that waits for its first tile. Pure.
//!
//! Whenever a pull comes to a lane, or ends, the broker looks at all that wait there: hundreds of workers that wait on
//! fifty lanes each kept it busy with nothing else. A lane needs a few bells, whoever's they are.
//!
//! | what is known of a lane | what is done |
//! |---|---|
//! | the leader counts no more workers with a free slot than [`BELLS`], or was not heard lately | each lays a bell |
//! | it counts more | each draws whether it lays one, so that [`BELLS`] wait there; again when the bell would have ended, and when they have become much fewer |
//! | somebody rang: more is there than its own slots take | each lays a bell, once |

use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::limits::BELLS;

/// What the leader counted holds for so long: it counts each second.
const COUNTED: Duration = Duration::from_secs(3);
/// So many tiles wait behind one that came before the others are rung for: bells that wait get fewer.
const WAITING: u64 = 4;
/// A lane is rung for so often at most, whoever rang last.
const RUNG: Duration = Duration::from_millis(100);

/// The bells of one lane, as one worker sees them.
#[derive(Debug, Default)]
pub(crate) struct Bells {
    /// Workers with a free slot, as the leader counted, and when that was heard.
    counted: Option<(u32, Boot)>,
    /// Of how many workers was drawn last.
    drawn_of: u32,
    /// Until when none is laid here.
    quiet: Option<Boot>,
    /// Whether somebody rang since the last one was laid.
    is_rung: bool,
    /// When somebody rang last.
    rung: Option<Boot>,
}

impl Bells {
    /// The leader counted `free` workers with a free slot.
    pub(crate) fn count(&mut self, free: u32, now: Boot) {
        self.counted = Some((free, now));
        if u64::from(free) * 4 < u64::from(self.drawn_of) * 3 {
            self.quiet = None;
        }
    }

    /// Somebody rang for the lane.
    pub(crate) fn hear(&mut self, now: Boot) {
        (self.is_rung, self.rung, self.quiet) = (true, Some(now), None);
    }

    /// Whether others lay the bells now.
    pub(crate) fn is_quiet(&self, now: Boot) -> bool {
        self.crowd(now).is_some() && self.quiet.is_some_and(|until| now < until)
    }

    /// Whether a bell is laid here. `lot` is drawn evenly from all numbers; who loses is quiet for `pause`.
    pub(crate) fn draw(&mut self, lot: u32, pause: Duration, now: Boot) -> bool {
        let Some(crowd) = self.crowd(now) else {
            return true;
        };
        if std::mem::take(&mut self.is_rung) {
            return true;
        }
        self.drawn_of = crowd;
        let wins = u64::from(lot) * u64::from(crowd) < u64::from(BELLS) << u32::BITS;
        self.quiet = (!wins).then_some(now + pause);
        wins
    }

    /// A tile came, and `waiting` more are there: whether to ring for the lane.
    pub(crate) fn rings(&mut self, waiting: u64, now: Boot) -> bool {
        let lately = self.rung.is_some_and(|rung| now.since(rung) < RUNG);
        if waiting < WAITING || lately || self.crowd(now).is_none() {
            return false;
        }
        self.rung = Some(now);
        true
    }

    /// How many workers have a free slot, where that is known and more than there are to be bells.
    fn crowd(&self, now: Boot) -> Option<u32> {
        let (free, at) = self.counted?;
        (free > BELLS && now.since(at) < COUNTED).then_some(free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);
    /// Loses where there are more than twice as many workers as bells.
    const MIDDLE: u32 = 1 << 31;

    fn at(ms: u64) -> Boot {
        Boot(Duration::from_millis(ms))
    }

    fn of(free: u32) -> Bells {
        let mut bells = Bells::default();
        bells.count(free, at(0));
        bells
    }

    #[test]
    fn each_lays_a_bell_where_few_are_free_or_nothing_is_known() {
        for mut bells in [Bells::default(), of(0), of(BELLS)] {
            assert!(bells.draw(u32::MAX, PAUSE, at(1)));
            assert!(!bells.is_quiet(at(1)));
        }
    }

    #[test]
    fn of_many_so_many_lay_one_as_are_needed() {
        for crowd in [17, 40, 200, 10_000] {
            let lots = (0..100_000_u32).map(|n| n.wrapping_mul(0x9E37_79B9));
            let laid = lots
                .filter(|lot| of(crowd).draw(*lot, PAUSE, at(1)))
                .count();
            let bells = laid as f64 / 100_000.0 * f64::from(crowd);
            assert!(
                (bells / f64::from(BELLS) - 1.0).abs() < 0.05,
                "{bells} of {crowd}"
            );
        }
    }

    #[test]
    fn who_lost_is_quiet_until_a_bell_would_have_ended() {
        let mut bells = of(100);
        assert!(!bells.draw(MIDDLE, PAUSE, at(1)));
        assert!(bells.is_quiet(at(2_900)));
        bells.count(100, at(2_900));
        assert!(bells.is_quiet(at(5_000)));
        assert!(!bells.is_quiet(at(5_001)));
    }

    #[test]
    fn nobody_is_quiet_once_the_leader_was_not_heard_lately() {
        let mut bells = of(100);
        assert!(!bells.draw(MIDDLE, PAUSE, at(1)));
        assert!(!bells.is_quiet(at(3_000)));
        assert!(bells.draw(MIDDLE, PAUSE, at(3_000)));
    }

    #[test]
    fn it_is_drawn_again_when_much_fewer_are_free_and_not_for_a_few() {
        let mut bells = of(100);
        assert!(!bells.draw(MIDDLE, PAUSE, at(1)));
        bells.count(75, at(1_000));
        assert!(bells.is_quiet(at(1_000)));
        bells.count(74, at(1_000));
        assert!(!bells.is_quiet(at(1_000)));
    }

    #[test]
    fn who_hears_a_ring_lays_one_without_a_lot_once() {
        let mut bells = of(100);
        assert!(!bells.draw(MIDDLE, PAUSE, at(1)));
        bells.hear(at(2));
        assert!(!bells.is_quiet(at(2)));
        assert!(bells.draw(MIDDLE, PAUSE, at(2)));
        assert!(!bells.draw(MIDDLE, PAUSE, at(3)));
    }

    #[test]
    fn it_is_rung_where_many_are_free_and_more_waits_than_bells_take_and_not_all_the_time() {
        assert!(!of(BELLS).rings(1_000, at(1)), "each has a bell there");
        let mut bells = of(100);
        assert!(!bells.rings(WAITING - 1, at(1)));
        assert!(bells.rings(WAITING, at(1)));
        assert!(!bells.rings(1_000, at(100)));
        assert!(bells.rings(1_000, at(101)));
        bells.hear(at(150));
        assert!(!bells.rings(1_000, at(249)), "another rang");
    }
}
