//! What the engine tells the handlers of one tile: until when it is held, and that it is over.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};
use std::time::Duration;

use gridloom_shared::clock::Boot;
use tokio_util::sync::CancellationToken;

/// Why a hold ended before its work did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The lease ran out, or another worker took the tile over.
    LeaseLost,
    /// The worker is stopping, and its grace is over.
    Stopping,
    /// The run was cancelled.
    Cancelled,
}

impl End {
    pub(crate) fn text(self) -> &'static str {
        match self {
            End::LeaseLost => "lease lost",
            End::Stopping => "worker is stopping",
            End::Cancelled => "cancelled",
        }
    }
}

/// The lease of one tile as its handlers see it. Written by the engine alone.
#[derive(Debug)]
pub(crate) struct Hold {
    /// End of the lease on the boot clock, in microseconds.
    until_us: AtomicU64,
    /// 0: held; otherwise why it ended.
    ended: AtomicU8,
    /// Made when somebody asks for it: most handlers are done before that.
    stop: OnceLock<CancellationToken>,
}

impl Hold {
    pub(crate) fn new(until: Boot) -> Hold {
        Hold {
            until_us: AtomicU64::new(micros(until)),
            ended: AtomicU8::new(0),
            stop: OnceLock::new(),
        }
    }

    pub(crate) fn prolong(&self, until: Boot) {
        self.until_us.fetch_max(micros(until), Ordering::Relaxed);
    }

    pub(crate) fn end(&self, why: End) {
        let code = match why {
            End::LeaseLost => 1,
            End::Stopping => 2,
            End::Cancelled => 3,
        };
        let _ = self
            .ended
            .compare_exchange(0, code, Ordering::AcqRel, Ordering::Acquire);
        // Either this sees the token, or whoever makes it sees the end.
        fence(Ordering::SeqCst);
        if let Some(stop) = self.stop.get() {
            stop.cancel();
        }
    }

    /// Why it is over; by the clock as well, should the engine be late.
    pub(crate) fn ended(&self) -> Option<End> {
        self.ended_by(Boot::now())
    }

    /// As [`Hold::ended`], by a clock that was read just now.
    pub(crate) fn ended_by(&self, now: Boot) -> Option<End> {
        match self.ended.load(Ordering::Acquire) {
            0 if self.remaining_at(now).is_zero() => Some(End::LeaseLost),
            0 => None,
            2 => Some(End::Stopping),
            3 => Some(End::Cancelled),
            _ => Some(End::LeaseLost),
        }
    }

    pub(crate) fn remaining(&self) -> Duration {
        self.remaining_at(Boot::now())
    }

    fn remaining_at(&self, now: Boot) -> Duration {
        let until = self.until_us.load(Ordering::Relaxed);
        Duration::from_micros(until.saturating_sub(micros(now)))
    }

    pub(crate) fn token(&self) -> &CancellationToken {
        let stop = self.stop.get_or_init(CancellationToken::new);
        fence(Ordering::SeqCst);
        if self.ended.load(Ordering::Acquire) != 0 {
            stop.cancel();
        }
        stop
    }
}

fn micros(moment: Boot) -> u64 {
    u64::try_from(moment.0.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hold_ends_by_the_clock_even_if_nobody_says_so() {
        let hold = Hold::new(Boot(Duration::ZERO));
        assert_eq!(hold.ended(), Some(End::LeaseLost));
        hold.prolong(Boot::now() + Duration::from_secs(60));
        assert_eq!(hold.ended(), None);
    }

    #[test]
    fn cancelled_run_is_no_lost_lease() {
        let hold = Hold::new(Boot::now() + Duration::from_secs(60));
        hold.end(End::Cancelled);
        assert_eq!(hold.ended(), Some(End::Cancelled));
        assert_eq!(End::Cancelled.text(), "cancelled");
    }

    #[test]
    fn first_reason_stays() {
        let hold = Hold::new(Boot::now() + Duration::from_secs(60));
        hold.end(End::Stopping);
        hold.end(End::LeaseLost);
        assert_eq!(hold.ended(), Some(End::Stopping));
        assert!(hold.token().is_cancelled());
    }
}
