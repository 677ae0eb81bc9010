//! Decides until when a child's guard lets it live without hearing from this worker: so long as what it runs is surely held. A worker that stands
//! still renews nothing, and its children are dead before others run the same.

use std::time::Duration;

use gridloom_shared::clock::Boot;
use tokio::time::Instant;

/// At most so long, also where leases are longer: a worker that is frozen or starved for longer is no good to its children.
const SPAN_MAX: Duration = Duration::from_secs(5);
/// Until the length of leases is known.
const SPAN_FIRST: Duration = Duration::from_secs(2);
/// At least so long: a busy machine holds up a renewal for moments.
const SPAN_MIN: Duration = Duration::from_millis(300);

/// The lease of a child's process.
#[derive(Debug)]
pub(super) struct ChildLease {
    span: Duration,
    due: Instant,
    until: Boot,
}

impl ChildLease {
    /// Of a child that has come now.
    pub(super) fn new(now: Boot) -> ChildLease {
        ChildLease {
            span: SPAN_FIRST,
            due: Instant::now(),
            until: now,
        }
    }

    /// The end of a process's first lease, before it has said who it is.
    pub(super) fn first(now: Boot) -> Boot {
        now + SPAN_FIRST
    }

    /// The child has got a tile whose lease has so much left; `alone`: it has no other.
    pub(super) fn given(&mut self, left: Duration, alone: bool) {
        let span = left.clamp(SPAN_MIN, SPAN_MAX);
        self.span = if alone { span } else { self.span.min(span) };
    }

    /// When it has to be renewed next.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Renews it: until when it is then. `first`: the end of the first lease of what it runs.
    pub(super) fn renew(&mut self, now: Boot, at: Instant, first: Option<Boot>) -> Boot {
        self.due = at + (self.span / 10).min(SPAN_FIRST / 10);
        let most = now + self.span;
        // A guard cannot be told that it is shorter.
        self.until = self.until.max(first.map_or(most, |first| first.min(most)));
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Boot {
        Boot(Duration::from_millis(ms))
    }

    #[tokio::test]
    async fn child_lives_no_longer_than_the_first_lease_of_what_it_runs() {
        let mut lease = ChildLease::new(at(0));
        assert_eq!(lease.renew(at(100), Instant::now(), None), at(2_100));
        lease.given(Duration::from_millis(1_800), true);
        assert_eq!(
            lease.renew(at(2_000), Instant::now(), Some(at(3_000))),
            at(3_000)
        );
        assert_eq!(
            lease.renew(at(2_500), Instant::now(), Some(at(9_000))),
            at(4_300)
        );
    }

    #[tokio::test]
    async fn long_leases_do_not_let_it_outlive_a_frozen_worker_for_long() {
        let mut lease = ChildLease::new(at(0));
        lease.given(Duration::from_secs(27), true);
        assert_eq!(
            lease.renew(at(0), Instant::now(), Some(at(27_000))),
            at(5_000)
        );
        lease.given(Duration::from_millis(10), false);
        assert_eq!(lease.renew(at(5_000), Instant::now(), None), at(5_300));
    }
}
