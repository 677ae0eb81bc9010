//! How long a silence is a death (docs/PROTOCOL.md §6, docs/decisions/0034-silence-among-answers.md). Pure.
//!
//! A worker that does not answer is frozen, or the machine is slow. The answers of all tell which: where they come within
//! milliseconds, one that is missing for a second is missing; where the slowest takes a quarter of a second, three seconds
//! are but twelve times as long. Of many the slowest counts whichever it is, and for more: on busy cores now this one stands
//! still and now that one. Where most are slower than that, or silent all at once, it is the machine, the broker or its disk: then
//! a death takes ten seconds.

use std::time::Duration;

use gridloom_shared::clock::Boot;

use super::probe::EVERY;

/// Rounds without an answer that are a death whatever a worker did before: three seconds.
pub const SURE: u32 = 12;
/// And where most of many do the same: ten seconds.
pub const MOST: u32 = 40;
/// Of so many workers, or fewer, most may well be frozen at once: those of one machine, say.
const FEW: usize = 8;
/// Where there are more than [`FEW`], one of so many may be silent by itself; are it more, nobody knows why.
const SOME: usize = 16;
/// No fewer are: a second.
const LEAST: u32 = 4;
/// A silence has to be so many times as long as the slowest answer that counts.
const TIMES: u32 = 12;
/// And among many. Of 200 workers on two busy cores all answer within a tenth of a second, and every minute or two one of them
/// stands still for one to two seconds. Where nothing is busy all answer within milliseconds.
const TIMES_MANY: u32 = 60;
/// And so many times as long as that of half of all, beyond [`SURE`].
const TIMES_SLOW: u32 = 4;
/// An answer is remembered for so long at least, and for twice as long at most.
pub const REMEMBERED: Duration = Duration::from_secs(10);

/// The slowest answer of one worker lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// When the younger of both spans began.
    since: Option<Boot>,
    younger: Duration,
    older: Duration,
}

impl Pace {
    /// An answer came at `now` that had taken `took`.
    pub fn answered(&mut self, took: Duration, now: Boot) {
        match self.since {
            Some(since) if now.since(since) < REMEMBERED => self.younger = self.younger.max(took),
            before => {
                let is_next = before.is_some_and(|since| now.since(since) < 2 * REMEMBERED);
                self.older = if is_next {
                    self.younger
                } else {
                    Duration::ZERO
                };
                self.younger = took;
                self.since = Some(now);
            }
        }
    }

    /// The slowest that is remembered; `None` where it never answered.
    pub fn slowest(&self) -> Option<Duration> {
        self.since.map(|_| self.younger.max(self.older))
    }
}

/// How slow the answers of all that live were lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paces {
    /// The upper one of the middle: a machine that is slow is so for most of its workers, and one that is slow by itself slows
    /// none of the others.
    half: Duration,
    slowest: Duration,
}

impl Paces {
    /// Of the slowest answer of each.
    pub fn of(mut slowest: Vec<Duration>) -> Paces {
        slowest.sort_unstable();
        let middle = slowest.len() / 2;
        Paces {
            half: slowest.get(middle).copied().unwrap_or_default(),
            slowest: slowest.last().copied().unwrap_or_default(),
        }
    }
}

/// Whether so many are silent of all that live that they are not silent each for itself.
pub fn is_common(living: usize, silent: usize) -> bool {
    living > FEW && 2 * silent > living
}

/// After how many rounds of silence one of `living` workers is dead, `silent` of which are silent now, where `own` is its own
/// slowest answer, if it ever gave one, and `all` those of all: of one alone, or where more than half of a few or more than a
/// sixteenth of many are silent, nothing is known but that.
pub fn enough(living: usize, silent: usize, own: Option<Duration>, all: Paces) -> u32 {
    let (times, others, alone) = match living <= FEW {
        true => (TIMES, all.half, living / 2),
        false => (TIMES_MANY, all.slowest, (living / SOME).max(1)),
    };
    // Of whom no answer is known nobody can say how slow it is.
    let within = match own {
        Some(own) if silent <= alone => rounds(times, own.max(others)).clamp(LEAST, SURE),
        _ => SURE,
    };
    within.max(rounds(TIMES_SLOW, all.half).min(MOST))
}

fn rounds(times: u32, slowest: Duration) -> u32 {
    let rounds = (times * slowest).as_nanos().div_ceil(EVERY.as_nanos());
    u32::try_from(rounds).unwrap_or(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn at(seconds: u64) -> Boot {
        Boot(Duration::from_secs(seconds))
    }

    /// Half of all answer so slowly, and the slowest so.
    fn paces(half: u64, slowest: u64) -> Paces {
        Paces::of(vec![ms(0), ms(half), ms(slowest)])
    }

    #[test]
    fn a_second_is_enough_where_all_answer_at_once_and_three_where_the_slowest_takes_a_round() {
        for (slowest, rounds) in [
            (ms(2), 4),
            (ms(83), 4),
            (ms(84), 5),
            (ms(150), 8),
            (ms(250), SURE),
            (Duration::MAX / 100, SURE),
        ] {
            assert_eq!(enough(3, 1, Some(slowest), paces(1, 1)), rounds);
        }
        assert_eq!(
            enough(8, 1, Some(ms(1)), paces(150, 150)),
            8,
            "most are as slow"
        );
        assert_eq!(enough(200, 1, None, paces(1, 1)), SURE, "it never answered");
        assert_eq!(SURE * EVERY, Duration::from_secs(3));
        assert_eq!(LEAST * EVERY, Duration::from_secs(1));
    }

    #[test]
    fn among_many_a_second_is_enough_where_nobody_takes_a_sixtieth_of_it() {
        for (slowest, rounds) in [
            (2, 4),
            (16, 4),
            (17, 5),
            (30, 8),
            (50, SURE),
            (99_000, SURE),
        ] {
            assert_eq!(enough(200, 1, Some(ms(slowest)), paces(1, 1)), rounds);
            assert_eq!(enough(200, 1, Some(ms(1)), paces(1, slowest)), rounds);
        }
    }

    #[test]
    fn of_many_the_slowest_counts_and_of_a_few_half() {
        let enough = |living| enough(living, 1, Some(ms(1)), paces(1, 250));
        assert_eq!((enough(8), enough(9), enough(200)), (LEAST, SURE, SURE));
    }

    #[test]
    fn where_most_are_slow_a_silence_is_four_times_as_long_as_they_take_or_ten_seconds() {
        assert_eq!(enough(200, 1, Some(ms(1)), paces(750, 750)), SURE);
        assert_eq!(enough(200, 1, Some(ms(1)), paces(750, 9_000)), SURE);
        assert_eq!(enough(200, 1, Some(ms(1)), paces(1_500, 1_500)), 24);
        assert_eq!(enough(200, 1, None, paces(1_500, 1_500)), 24);
        assert_eq!(enough(200, 1, Some(ms(9_000)), paces(99_000, 99_000)), MOST);
        assert_eq!(MOST * EVERY, Duration::from_secs(10));
    }

    #[test]
    fn half_of_all_have_to_be_slow() {
        let half = |slowest: Vec<u64>| Paces::of(slowest.into_iter().map(ms).collect()).half;
        assert_eq!(half(vec![]), ms(0));
        assert_eq!(half(vec![900, 1, 2]), ms(2));
        assert_eq!(half(vec![900, 1, 2, 800]), ms(800));
        assert_eq!(Paces::of(vec![ms(900), ms(1), ms(2)]).slowest, ms(900));
    }

    #[test]
    fn one_alone_and_one_of_those_that_are_silent_together_have_three_seconds() {
        let enough = |living, silent| enough(living, silent, Some(ms(2)), paces(2, 2));
        assert_eq!(
            (enough(1, 1), enough(3, 2), enough(8, 5)),
            (SURE, SURE, SURE)
        );
        assert_eq!((enough(2, 1), enough(4, 2), enough(9, 1)), (4, 4, 4));
        assert_eq!((enough(9, 2), enough(200, 12)), (SURE, 4));
        assert_eq!(enough(200, 13), SURE);
    }

    #[test]
    fn most_of_a_few_may_be_frozen_together_and_most_of_many_are_slow_together() {
        assert!(!is_common(8, 8) && !is_common(200, 100));
        assert!(is_common(9, 5) && is_common(200, 101));
    }

    #[test]
    fn slow_answer_is_remembered_for_ten_seconds_at_least_and_for_twenty_at_most() {
        let mut pace = Pace::default();
        assert_eq!(pace.slowest(), None);
        pace.answered(ms(900), at(100));
        pace.answered(ms(2), at(109));
        assert_eq!(pace.slowest(), Some(ms(900)));
        pace.answered(ms(3), at(110));
        assert_eq!(pace.slowest(), Some(ms(900)));
        pace.answered(ms(2), at(119));
        pace.answered(ms(1), at(120));
        assert_eq!(pace.slowest(), Some(ms(3)));
        pace.answered(ms(1), at(150));
        assert_eq!(pace.slowest(), Some(ms(1)));
    }
}
