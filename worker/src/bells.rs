//! Decides whether a bell is laid on an idle lane: a pull that waits for its first tile. Pure.
//!
//! Whenever a pull comes to a lane, or ends, the broker looks at all that wait there: hundreds of workers that wait on
//! fifty lanes each kept it busy with nothing else. A lane needs a few bells, whoever's they are.
//!
//! | what is known of a lane | what is done |
//! |---|---|
//! | the leader counts no more workers with a free slot than [`BELLS`], or was not heard lately | each lays a bell |
//! | it counts more | each draws whether it lays one, so that [`BELLS`] wait there; again when the bell would have ended, and when they have become much fewer |
//! | a bell of one's own brought a tile, and one is free again soon | one lays it again: nobody else has taken its place |
//! | somebody's did, who is full now | each draws, so that [`REPLACED`] are laid in its place |
//! | somebody sees tiles wait | each lays a bell, once |

use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::limits::{BELLS, CROWD_MAX};

/// What the leader counted holds for so long: it counts each second.
const COUNTED: Duration = Duration::from_secs(3);
/// Bells that take the place of one whose worker is full: none of many draws it once in fifty times.
const REPLACED: u32 = 4;
/// So many tiles wait behind one that came before all are rung for: the other bells take fewer.
const WAITING: u64 = 4;
/// A lane is rung for so often at most, whoever rang last.
const RUNG: Duration = Duration::from_millis(100);
/// Whoever is not free within this does not lay what is due: others have meanwhile.
const DUE: Duration = Duration::from_secs(1);

/// For whom it is rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ring {
    /// Tiles wait: for all who have a slot free.
    All,
    /// A bell is used up: for some in its place.
    Some,
}

/// The bells of one lane, as one worker sees them.
#[derive(Debug, Default)]
pub(crate) struct Bells {
    /// Workers with a free slot, as the leader counted, and when that was heard.
    counted: Option<(u32, Boot)>,
    /// Of how many workers was drawn last.
    drawn_of: u32,
    /// Until when none is laid here.
    quiet: Option<Boot>,
    /// How many of all workers lay one now, and until when.
    due: Option<(u32, Boot)>,
    /// When somebody rang last.
    rung: Option<Boot>,
}

impl Bells {
    /// The leader counted `free` workers with a free slot.
    pub(crate) fn count(&mut self, free: u32, now: Boot) {
        self.counted = Some((free.min(CROWD_MAX), now));
        if u64::from(free) * 4 < u64::from(self.drawn_of) * 3 {
            self.quiet = None;
        }
    }

    /// Somebody rang for the lane.
    pub(crate) fn hear(&mut self, ring: Ring, now: Boot) {
        self.rung = Some(now);
        self.lay(
            match ring {
                Ring::All => u32::MAX,
                Ring::Some => REPLACED,
            },
            now,
        );
    }

    /// A bell of this worker brought a tile.
    pub(crate) fn used(&mut self, now: Boot) {
        self.lay(u32::MAX, now);
    }

    /// `wanted` of all workers are to lay a bell now.
    fn lay(&mut self, wanted: u32, now: Boot) {
        let before = self.due(now).unwrap_or_default();
        self.due = Some((wanted.max(before), now + DUE));
        self.quiet = None;
    }

    /// On a new connection nobody's bells wait any more.
    pub(crate) fn forget(&mut self) {
        (self.quiet, self.due) = (None, None);
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
        let wanted = self.due(now).unwrap_or(BELLS);
        let wins = wanted >= crowd || u64::from(lot) * u64::from(crowd) < u64::from(wanted) << 32;
        self.drawn_of = crowd;
        if !wins {
            (self.quiet, self.due) = (Some(now + pause), None);
        }
        wins
    }

    /// One was laid.
    pub(crate) fn laid(&mut self) {
        self.due = None;
    }

    /// A tile came, and `waiting` more are there; `used_up` when a bell brought it and no slot is left here: for whom
    /// to ring.
    pub(crate) fn rings(&mut self, waiting: u64, used_up: bool, now: Boot) -> Option<Ring> {
        let lately = self.rung.is_some_and(|rung| now.since(rung) < RUNG);
        let ring = match waiting {
            WAITING.. => Ring::All,
            _ if used_up => Ring::Some,
            _ => return None,
        };
        if lately || self.crowd(now).is_none() {
            return None;
        }
        self.rung = Some(now);
        Some(ring)
    }

    fn due(&self, now: Boot) -> Option<u32> {
        let (wanted, until) = self.due?;
        (now < until).then_some(wanted)
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
        for crowd in [17, 40, 200, CROWD_MAX] {
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
    fn who_hears_that_tiles_wait_lays_one_without_a_lot_once() {
        let mut bells = of(100);
        assert!(!bells.draw(MIDDLE, PAUSE, at(1)));
        bells.hear(Ring::All, at(2));
        assert!(!bells.is_quiet(at(2)));
        assert!(bells.draw(u32::MAX, PAUSE, at(2)));
        assert!(
            bells.draw(u32::MAX, PAUSE, at(3)),
            "what could not be laid is still due"
        );
        bells.laid();
        assert!(!bells.draw(MIDDLE, PAUSE, at(4)));
        bells.hear(Ring::All, at(5));
        assert!(
            !bells.draw(MIDDLE, PAUSE, at(1_005)),
            "a ring of long ago is forgotten"
        );
    }

    #[test]
    fn bell_that_brought_a_tile_is_laid_again_by_who_is_free_soon() {
        let mut bells = of(100);
        bells.laid();
        bells.used(at(1));
        assert!(bells.draw(u32::MAX, PAUSE, at(900)));
        bells.laid();
        bells.used(at(1_000));
        bells.count(100, at(2_000));
        assert!(!bells.draw(MIDDLE, PAUSE, at(2_000)));
    }

    #[test]
    fn bell_that_is_used_up_is_replaced_by_a_few() {
        let lots = (0..100_000_u32).map(|n| n.wrapping_mul(0x9E37_79B9));
        let laid = lots.filter(|lot| {
            let mut bells = of(200);
            assert!(!bells.draw(MIDDLE, PAUSE, at(1)));
            bells.hear(Ring::Some, at(2));
            assert!(!bells.is_quiet(at(2)));
            bells.draw(*lot, PAUSE, at(2))
        });
        let bells = laid.count() as f64 / 100_000.0 * 200.0;
        assert!((bells / f64::from(REPLACED) - 1.0).abs() < 0.05, "{bells}");
    }

    #[test]
    fn nobody_is_quiet_on_a_new_connection() {
        let mut bells = of(100);
        assert!(!bells.draw(MIDDLE, PAUSE, at(1)));
        bells.forget();
        assert!(!bells.is_quiet(at(1)));
    }

    #[test]
    fn crowd_that_cannot_be_leaves_bells() {
        let lots = (0..100_000_u32).map(|n| n.wrapping_mul(0x9E37_79B9));
        let laid = lots
            .filter(|lot| of(u32::MAX).draw(*lot, PAUSE, at(1)))
            .count();
        assert!(laid > 600, "{laid} of 100,000");
    }

    #[test]
    fn it_is_rung_where_many_are_free_and_not_all_the_time() {
        assert_eq!(of(BELLS).rings(1_000, true, at(1)), None, "each has a bell");
        let mut bells = of(100);
        assert_eq!(bells.rings(WAITING - 1, false, at(1)), None);
        assert_eq!(bells.rings(WAITING - 1, true, at(1)), Some(Ring::Some));
        assert_eq!(bells.rings(1_000, false, at(100)), None);
        assert_eq!(bells.rings(WAITING, false, at(101)), Some(Ring::All));
        bells.hear(Ring::Some, at(250));
        assert_eq!(bells.rings(1_000, true, at(349)), None, "another rang");
    }
}
