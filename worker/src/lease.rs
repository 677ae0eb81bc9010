//! Decides how long this worker may believe that it holds a tile.
//!
//! Knows no broker and reads no clock: the engine tells it when things happened, on the boot clock,
//! and carries out the [`Action`] it returns. It never prolongs a lease from the moment a message
//! was *read*: a worker frozen between delivery and read would then run beside its successor
//! (docs/PROTOCOL.md §3).
//!
//! | held under | renewal answered | takeover by another, newer | takeover by another, order unknown | end reached |
//! |---|---|---|---|---|
//! | the wave | later end | lost | lost: it can only be newer | lost |
//! | a takeover of one's own | later end | lost | ask the ledger | lost |
//! | (lost) | - | - | - | - |

use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::id::Fence;

/// What happened to a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The broker answered an in-progress signal that was sent at `sent`. It proves that the broker
    /// was reached, not that the tile is still ours.
    RenewalAnswered {
        /// When the signal was sent.
        sent: Boot,
    },
    /// The tile was delivered again to us who hold it, by a pull sent at `pulled`.
    Adopted {
        /// When the pull was sent.
        pulled: Boot,
    },
    /// Another session's takeover of this tile stands in the ledger.
    TakenOver {
        /// Where it stands.
        by: Fence,
    },
    /// Another session's takeover of this tile was heard; where it stands in the ledger is not known.
    Heard,
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Send an in-progress signal.
    Renew,
    /// Read the takeovers of the run: one was heard that may be newer than our own.
    Ask,
    /// Cancel the handler; append nothing, signal nothing for this tile any more.
    Abandon(Loss),
}

/// Why a lease ended before its tile did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    Expired,
    TakenOver,
}

impl Loss {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Loss::Expired => "expired",
            Loss::TakenOver => "taken_over",
        }
    }
}

/// Under what a tile is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Title {
    Wave(Fence),
    /// Our takeover is on its way: its place in the ledger is not known yet.
    Claimed,
    Takeover(Fence),
}

#[derive(Debug)]
pub(crate) struct Lease {
    title: Title,
    span: Duration,
    renewed: Boot,
    signalled: Option<Boot>,
    loss: Option<Loss>,
}

impl Lease {
    /// A lease under the tile's wave, whose pull was sent at `pulled`. `ack_deadline` is the
    /// consumer's; a tenth of it is kept as margin for the drift of two clocks.
    pub(crate) fn new(wave: Fence, pulled: Boot, ack_deadline: Duration) -> Lease {
        Lease {
            title: Title::Wave(wave),
            span: ack_deadline * 9 / 10,
            renewed: pulled,
            signalled: None,
            loss: None,
        }
    }

    /// Our own takeover of the tile is being written.
    pub(crate) fn claim(&mut self) {
        self.title = Title::Claimed;
    }

    /// Our own takeover stands at `fence`.
    pub(crate) fn confirm(&mut self, fence: Fence) {
        self.title = Title::Takeover(fence);
    }

    /// Under which fence the tile is held; `None` while our takeover is on its way.
    pub(crate) fn fence(&self) -> Option<Fence> {
        match self.title {
            Title::Wave(fence) | Title::Takeover(fence) => Some(fence),
            Title::Claimed => None,
        }
    }

    /// When the lease ends unless it is renewed.
    pub(crate) fn end(&self) -> Boot {
        self.renewed + self.span
    }

    /// Whether the tile is held at `now`. Past its end nothing may be done for it, whether or not the
    /// loss was noticed already.
    pub(crate) fn is_held(&self, now: Boot) -> bool {
        self.loss.is_none() && now < self.end()
    }

    /// Moves the lease on. `None` when there is nothing to do; after a loss there never is.
    pub(crate) fn step(&mut self, event: Event, now: Boot) -> Option<Action> {
        if self.loss.is_some() {
            return None;
        }
        match (event, self.title) {
            (Event::TakenOver { by }, Title::Wave(own) | Title::Takeover(own)) if by > own => {
                return self.lose(Loss::TakenOver);
            }
            // Every takeover of a tile stands after the wave that issued it.
            (Event::Heard, Title::Wave(_)) => return self.lose(Loss::TakenOver),
            (Event::Heard, Title::Takeover(_)) => return Some(Action::Ask),
            (Event::RenewalAnswered { sent: from } | Event::Adopted { pulled: from }, _)
                if from < self.end() =>
            {
                self.renewed = self.renewed.max(from);
            }
            // What is heard while our own takeover is on its way is found by reading up to it, and after it.
            (Event::Heard | Event::TakenOver { .. }, _) => {}
            (Event::RenewalAnswered { .. } | Event::Adopted { .. } | Event::Tick, _) => {}
        }
        if now >= self.end() {
            self.lose(Loss::Expired)
        } else if now >= self.next_signal() {
            self.signalled = Some(now);
            Some(Action::Renew)
        } else {
            None
        }
    }

    /// A third of the span after the last renewal; while that is not answered, again each twelfth.
    fn next_signal(&self) -> Boot {
        let due = self.renewed + self.span / 3;
        match self.signalled {
            Some(last) if last >= due => last + self.span / 12,
            Some(_) | None => due,
        }
    }

    fn lose(&mut self, loss: Loss) -> Option<Action> {
        self.loss = Some(loss);
        Some(Action::Abandon(loss))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Boot {
        Boot(Duration::from_secs(seconds))
    }

    fn lease() -> Lease {
        Lease::new(Fence(7), at(0), DEADLINE)
    }

    const EXPIRED: Option<Action> = Some(Action::Abandon(Loss::Expired));
    const TAKEN: Option<Action> = Some(Action::Abandon(Loss::TakenOver));

    #[test]
    fn worker_frozen_before_it_read_the_tile_does_not_start_it() {
        let mut lease = lease();
        assert!(!lease.is_held(at(40)));
        assert_eq!(lease.step(Event::Tick, at(40)), EXPIRED);
    }

    #[test]
    fn answer_to_a_late_renewal_counts_from_when_it_was_sent() {
        let mut lease = lease();
        assert_eq!(
            lease.step(Event::RenewalAnswered { sent: at(10) }, at(26)),
            Some(Action::Renew)
        );
        assert_eq!(lease.step(Event::Tick, at(37)), EXPIRED);
    }

    #[test]
    fn renewal_sent_after_the_end_saves_nothing() {
        let mut lease = lease();
        assert_eq!(
            lease.step(Event::RenewalAnswered { sent: at(28) }, at(28)),
            EXPIRED
        );
    }

    #[test]
    fn unanswered_signals_are_repeated_but_not_at_each_tick() {
        let mut lease = lease();
        assert_eq!(lease.step(Event::Tick, at(8)), None);
        assert_eq!(lease.step(Event::Tick, at(9)), Some(Action::Renew));
        assert_eq!(lease.step(Event::Tick, at(10)), None);
        assert_eq!(lease.step(Event::Tick, at(12)), Some(Action::Renew));
        assert_eq!(
            lease.step(Event::RenewalAnswered { sent: at(12) }, at(12)),
            None
        );
        assert_eq!(lease.step(Event::Tick, at(20)), None);
        assert_eq!(lease.step(Event::Tick, at(21)), Some(Action::Renew));
    }

    #[test]
    fn takeover_by_another_ends_the_lease_at_once_and_for_good() {
        let mut lease = lease();
        assert_eq!(lease.step(Event::TakenOver { by: Fence(9) }, at(1)), TAKEN);
        assert_eq!(
            lease.step(Event::RenewalAnswered { sent: at(1) }, at(2)),
            None
        );
        assert!(!lease.is_held(at(2)));
    }

    #[test]
    fn takeover_heard_without_its_place_is_newer_than_any_wave() {
        assert_eq!(lease().step(Event::Heard, at(1)), TAKEN);
    }

    #[test]
    fn takeover_heard_beside_our_own_is_looked_up_and_only_a_newer_one_ends_the_lease() {
        let mut lease = lease();
        lease.claim();
        assert_eq!(lease.step(Event::Heard, at(1)), None);
        lease.confirm(Fence(9));
        assert_eq!(lease.step(Event::Heard, at(1)), Some(Action::Ask));
        assert_eq!(lease.step(Event::TakenOver { by: Fence(8) }, at(1)), None);
        assert_eq!(lease.step(Event::TakenOver { by: Fence(10) }, at(1)), TAKEN);
    }

    #[test]
    fn tile_delivered_again_to_its_holder_prolongs_the_lease() {
        let mut lease = lease();
        assert_eq!(lease.step(Event::Adopted { pulled: at(20) }, at(21)), None);
        assert!(lease.is_held(at(40)));
    }
}
