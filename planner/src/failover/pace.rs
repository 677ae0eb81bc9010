//! How long a silence is a death (docs/PROTOCOL.md §6, docs/decisions/0034-silence-among-answers.md). Pure.
//!
//! A worker that does not answer is frozen, or the machine is slow. The answers of all tell which: where they come within
//! milliseconds, one that is missing for a second is missing; where the slowest takes a quarter of a second, three seconds
//! are but twelve times as long.

use std::time::Duration;

use gridloom_shared::clock::Boot;

use super::probe::EVERY;

/// Rounds without an answer that are a death whatever the others do: three seconds.
pub const SURE: u32 = 12;
/// No fewer are: a second.
const LEAST: u32 = 4;
/// A silence has to be so many times as long as the slowest answer that counts.
const TIMES: u32 = 12;
/// An answer is remembered for so long at least, and for twice as long at most.
const REMEMBERED: Duration = Duration::from_secs(10);

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

/// The upper one of the middle: a machine that is slow is so for most of its workers, and one that is slow by itself slows none of
/// the others.
pub fn median(mut slowest: Vec<Duration>) -> Duration {
    let middle = slowest.len() / 2;
    slowest.sort_unstable();
    slowest.get(middle).copied().unwrap_or_default()
}

/// After how many rounds of silence one of `living` workers is dead, `silent` of which are silent now, where `slowest` is its own
/// slowest answer or the [`median`] of all, whichever took longer: of one alone, or where more than half are silent, nothing is
/// known but that.
pub fn enough(living: usize, silent: usize, slowest: Duration) -> u32 {
    if living < 2 || 2 * silent > living {
        return SURE;
    }
    let rounds = (TIMES * slowest).as_nanos().div_ceil(EVERY.as_nanos());
    u32::try_from(rounds).unwrap_or(SURE).clamp(LEAST, SURE)
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

    #[test]
    fn a_second_is_enough_where_all_answer_at_once_and_three_where_the_slowest_takes_a_round() {
        assert_eq!(enough(3, 1, ms(2)), 4);
        assert_eq!(enough(3, 1, ms(83)), 4);
        assert_eq!(enough(3, 1, ms(84)), 5);
        assert_eq!(enough(200, 1, ms(150)), 8);
        assert_eq!(enough(200, 1, ms(250)), SURE);
        assert_eq!(enough(200, 1, Duration::MAX / 100), SURE);
        assert_eq!(SURE * EVERY, Duration::from_secs(3));
        assert_eq!(LEAST * EVERY, Duration::from_secs(1));
    }

    #[test]
    fn half_of_all_have_to_be_slow() {
        assert_eq!(median(vec![]), ms(0));
        assert_eq!(median(vec![ms(900), ms(1), ms(2)]), ms(2));
        assert_eq!(median(vec![ms(900), ms(1), ms(2), ms(800)]), ms(800));
    }

    #[test]
    fn one_alone_and_one_of_most_have_three_seconds() {
        assert_eq!(enough(1, 1, ms(2)), SURE);
        assert_eq!(enough(3, 2, ms(2)), SURE);
        assert_eq!(enough(2, 1, ms(2)), 4);
        assert_eq!(enough(4, 2, ms(2)), 4);
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
