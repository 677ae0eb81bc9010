//! Decides until when a child's guard lets it live without hearing from this worker: so long as what it runs is surely held. A worker that stands
//! still renews nothing, and its children are dead before others run the same. A child that has nothing in hand does no harm, whatever becomes
//! of this worker: on a busy machine it is not killed because nobody had the time to renew its lease.

use std::time::Duration;

use gridloom_shared::clock::Boot;
use tokio::time::Instant;

/// Of a child that has nothing in hand: longer than any machine is too busy for. If this worker ends, its guard sees that by itself.
const SPAN_IDLE: Duration = Duration::from_secs(3_600);
/// At most so long, also where leases are longer: a worker that is frozen or starved for longer is no good to its children.
const SPAN_MAX: Duration = Duration::from_secs(5);
/// At least so long: a busy machine holds up a renewal for moments.
const SPAN_MIN: Duration = Duration::from_millis(300);
/// Until the next renewal, at most.
const RENEW_MAX: Duration = Duration::from_millis(200);

/// What a child has in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InHand {
    Nothing,
    /// Only what was told to stop, which has a limit of its own.
    Stopping,
    /// Shards whose first lease ends then.
    Until(Boot),
}

/// The lease of a child's process.
#[derive(Debug)]
pub(super) struct ChildLease {
    span: Duration,
    due: Instant,
    /// What its guard was told last.
    until: Boot,
}

impl ChildLease {
    /// Of a child that has come now.
    pub(super) fn new(now: Boot) -> ChildLease {
        ChildLease {
            span: SPAN_MAX,
            due: Instant::now(),
            until: ChildLease::first(now),
        }
    }

    /// The end of a process's first lease, before it has said who it is.
    pub(super) fn first(now: Boot) -> Boot {
        now + SPAN_IDLE
    }

    /// The child is about to get a tile that is held until `held`; `alone`: it has no other. What its guard is to be told before, if
    /// it would let the child live for longer than that.
    #[must_use]
    pub(super) fn given(&mut self, now: Boot, held: Boot, alone: bool) -> Option<Boot> {
        let span = held.since(now).clamp(SPAN_MIN, SPAN_MAX);
        self.span = if alone { span } else { self.span.min(span) };
        let most = held.min(now + self.span);
        (most < self.until).then(|| {
            self.until = most;
            most
        })
    }

    /// When it has to be renewed next.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Renews it: until when it is then.
    pub(super) fn renew(&mut self, now: Boot, at: Instant, in_hand: InHand) -> Boot {
        self.due = at + (self.span / 10).min(RENEW_MAX);
        let most = now + self.span;
        self.until = match in_hand {
            InHand::Nothing => now + SPAN_IDLE,
            InHand::Stopping => most,
            InHand::Until(first) => first.min(most),
        };
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Boot {
        Boot(Duration::from_millis(ms))
    }

    fn renewed(lease: &mut ChildLease, ms: u64, in_hand: InHand) -> Boot {
        lease.renew(at(ms), Instant::now(), in_hand)
    }

    #[tokio::test]
    async fn child_lives_no_longer_than_the_first_lease_of_what_it_runs() {
        let mut lease = ChildLease::new(at(0));
        assert_eq!(lease.given(at(200), at(2_000), true), Some(at(2_000)));
        assert_eq!(
            renewed(&mut lease, 1_000, InHand::Until(at(3_000))),
            at(2_800)
        );
        assert_eq!(
            renewed(&mut lease, 2_500, InHand::Until(at(3_000))),
            at(3_000)
        );
        assert_eq!(
            renewed(&mut lease, 2_600, InHand::Until(at(9_000))),
            at(4_400)
        );
    }

    #[tokio::test]
    async fn long_leases_do_not_let_it_outlive_a_frozen_worker_for_long() {
        let mut lease = ChildLease::new(at(0));
        assert_eq!(lease.given(at(0), at(27_000), true), Some(at(5_000)));
        assert_eq!(
            renewed(&mut lease, 1_000, InHand::Until(at(27_000))),
            at(6_000)
        );
        // A second tile whose lease is nearly over.
        assert_eq!(lease.given(at(1_000), at(1_010), false), Some(at(1_010)));
        assert_eq!(renewed(&mut lease, 5_000, InHand::Stopping), at(5_300));
    }

    #[tokio::test]
    async fn child_that_has_nothing_outlives_any_stall_and_is_bound_again_by_its_next_tile() {
        let mut lease = ChildLease::new(at(0));
        let idle = renewed(&mut lease, 0, InHand::Nothing);
        assert!(idle >= at(3_600_000), "{idle:?}");
        assert_eq!(lease.given(at(10), at(27_000), true), Some(at(5_010)));
        // Its guard knows that already.
        assert_eq!(lease.given(at(20), at(27_000), true), None);
        assert!(renewed(&mut lease, 100, InHand::Nothing) > at(3_600_000));
    }
}
