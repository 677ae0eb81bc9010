//! Whether a worker is dead (docs/PROTOCOL.md §6). Pure: what a probe brought goes in, a death comes out.
//!
//! Only rounds count in which the leader heard its own echo and its lease was valid: a leader that was
//! frozen or cut off would see everyone silent. The caller leaves the others out.
//!
//! | state | answered, announced | nobody listens there | no answer in a round | the leader's connection is another |
//! |-------|---------------------|----------------------|----------------------|------------------------------------|
//! | unmet | met | ground fresh: -; settled: the third in a row: dead | fresh: -; settled: the last of enough: dead | unmet, counted anew |
//! | met | met, counted anew | the third in a row: dead | the last of enough: dead | unmet, counted anew |
//! | dead | met | - | - | - |
//!
//! Unmet is who was not heard on this connection of the leader. After a restart of the broker all are,
//! and come back one by one: while the ground is fresh, nobody is missed who was not there yet.

use std::time::Duration;

/// How often it is looked whom to probe.
pub const EVERY: Duration = Duration::from_millis(250);
/// Where there are more workers, those are left out that were heard [lately](LATELY): probes and their answers would be
/// most of what brokers have to do (docs/decisions/0025-who-was-heard-lately-is-not-asked.md).
pub const ALL_ASKED: usize = 50;
/// Longer than a round, as an answer to the last one takes a moment; and shorter than two.
pub const LATELY: Duration = Duration::from_millis(300);
/// So many probes in a row that found nobody.
const NOBODY: u32 = 3;
/// Who was missed once is looked for again so soon, besides the rounds.
pub const AGAIN: Duration = Duration::from_millis(125);
/// How long a connection of the leader is fresh. Workers come back within a second of a restart, one
/// that is starved of its processor later.
pub const FRESH: Duration = Duration::from_secs(6);

/// How long the leader's connection has been there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// Less than [`FRESH`].
    Fresh,
    /// Longer.
    Settled,
}

/// What was learned of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It answered, or announced itself.
    Heard,
    /// The broker said that nobody listens where it should.
    Nobody(Ground),
    /// A round ended without an answer; so many of them are a death ([`super::pace::enough`]).
    Silent(Ground, u32),
    /// The leader has another connection.
    Reconnected,
}

/// Why it is held to be dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Its connection is gone.
    Gone,
    /// It does not answer; it may wake up.
    Frozen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unmet,
    Met,
    Dead,
}

/// What is known of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    state: State,
    nobody: u32,
    silent: u32,
}

impl Probe {
    /// A worker that is registered and was not heard.
    pub fn unmet() -> Probe {
        Probe {
            state: State::Unmet,
            nobody: 0,
            silent: 0,
        }
    }

    /// Whether it is held to be dead.
    pub fn is_dead(&self) -> bool {
        self.state == State::Dead
    }

    /// Takes in what was learned. A death is said once.
    pub fn step(&mut self, event: Event) -> Option<Death> {
        match event {
            Event::Heard => {
                *self = Probe {
                    state: State::Met,
                    ..Probe::unmet()
                };
                None
            }
            Event::Reconnected => {
                if !self.is_dead() {
                    *self = Probe::unmet();
                }
                None
            }
            Event::Nobody(ground) if self.counts(ground) => {
                self.nobody += 1;
                self.dies(self.nobody >= NOBODY, Death::Gone)
            }
            Event::Silent(ground, enough) if self.counts(ground) => {
                self.nobody = 0;
                self.silent += 1;
                self.dies(self.silent >= enough, Death::Frozen)
            }
            Event::Nobody(_) | Event::Silent(..) => None,
        }
    }

    fn counts(&self, ground: Ground) -> bool {
        match self.state {
            State::Met => true,
            State::Unmet => ground == Ground::Settled,
            State::Dead => false,
        }
    }

    fn dies(&mut self, dies: bool, death: Death) -> Option<Death> {
        dies.then(|| {
            self.state = State::Dead;
            death
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::pace::SURE;

    const NOBODY_THERE: Event = Event::Nobody(Ground::Settled);
    const NO_ANSWER: Event = Event::Silent(Ground::Settled, SURE);

    fn met() -> Probe {
        let mut probe = Probe::unmet();
        assert_eq!(probe.step(Event::Heard), None);
        probe
    }

    fn times(probe: &mut Probe, count: u32, event: Event) -> Option<Death> {
        let mut last = None;
        for n in 0..count {
            assert_eq!(last, None, "dead after {n}");
            last = probe.step(event);
        }
        last
    }

    #[test]
    fn third_probe_in_a_row_that_finds_nobody_tells_a_death_and_tells_it_once() {
        let mut probe = met();
        assert_eq!(times(&mut probe, 3, NOBODY_THERE), Some(Death::Gone));
        assert!(probe.is_dead());
        assert_eq!(times(&mut probe, 9, NOBODY_THERE), None);
    }

    #[test]
    fn answer_in_between_counts_anew() {
        let mut probe = met();
        times(&mut probe, 2, NOBODY_THERE);
        times(&mut probe, 11, NO_ANSWER);
        probe.step(Event::Heard);
        assert_eq!(times(&mut probe, 2, NOBODY_THERE), None);
        assert_eq!(times(&mut probe, 11, NO_ANSWER), None);
        assert!(!probe.is_dead());
    }

    #[test]
    fn as_many_rounds_of_silence_as_are_enough_are_a_death_though_they_were_more_before() {
        assert_eq!(times(&mut met(), 12, NO_ANSWER), Some(Death::Frozen));
        let mut probe = met();
        times(&mut probe, 5, NO_ANSWER);
        let enough = Event::Silent(Ground::Settled, 4);
        assert_eq!(probe.step(enough), Some(Death::Frozen));
    }

    #[test]
    fn new_connection_counts_anew_and_misses_nobody_who_was_not_heard_on_it() {
        let mut probe = met();
        times(&mut probe, 2, NOBODY_THERE);
        probe.step(Event::Reconnected);
        assert_eq!(times(&mut probe, 40, Event::Nobody(Ground::Fresh)), None);
        assert_eq!(times(&mut probe, 40, Event::Silent(Ground::Fresh, 4)), None);
        assert_eq!(times(&mut probe, 3, NOBODY_THERE), Some(Death::Gone));
    }

    #[test]
    fn worker_that_was_heard_on_a_fresh_connection_is_missed_at_once() {
        let mut probe = met();
        let nobody = Event::Nobody(Ground::Fresh);
        assert_eq!(times(&mut probe, 3, nobody), Some(Death::Gone));
    }

    #[test]
    fn dead_worker_stays_dead_over_a_reconnect_and_lives_when_it_is_heard() {
        let mut probe = met();
        times(&mut probe, 3, NOBODY_THERE);
        probe.step(Event::Reconnected);
        assert!(probe.is_dead());
        probe.step(Event::Heard);
        assert!(!probe.is_dead());
        assert_eq!(times(&mut probe, 3, NOBODY_THERE), Some(Death::Gone));
    }
}
