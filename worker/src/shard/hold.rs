//! What engine and crew tell each other of one tile: until when it is held, that it is over, and how far
//! its execution is. The last is what the engine needs when a handler blocks its thread: then nobody else can
//! say that the attempt is out of time.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::ledger::outcomes::Entry;
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
    /// The attempt's time is over, and the engine has said so to the ledger.
    OutOfTime,
}

impl End {
    pub(crate) fn text(self) -> &'static str {
        match self {
            End::LeaseLost => "lease lost",
            End::Stopping => "worker is stopping",
            End::Cancelled => "cancelled",
            End::OutOfTime => "out of time",
        }
    }
}

/// An attempt that is under way and has a time limit, with what came out of the tile before it. Whoever
/// takes it first says how it ended: the crew when the handler is done, the engine when it is not in time.
#[derive(Debug)]
pub(crate) struct Lent {
    pub(crate) page: u32,
    pub(crate) since: Boot,
    pub(crate) limit: Duration,
    /// How much longer it may take to end by itself.
    pub(crate) grace: Duration,
    pub(crate) entries: Vec<Entry>,
}

/// The lease of one tile as its handlers see it.
#[derive(Debug)]
pub(crate) struct Hold {
    /// End of the lease on the boot clock, in microseconds.
    until_us: AtomicU64,
    /// 0: held; otherwise why it ended.
    ended: AtomicU8,
    /// Made when somebody asks for it: most handlers are done before that.
    stop: OnceLock<CancellationToken>,
    /// When it was told that it is over, in microseconds; 0: it was not.
    told_us: AtomicU64,
    /// When it was handed to the crew.
    handed: Boot,
    /// Whether the crew has taken it up.
    begun: AtomicBool,
    lent: Mutex<Option<Lent>>,
}

impl Hold {
    /// Of a tile that is handed to the crew at `now`.
    pub(crate) fn new(until: Boot, now: Boot) -> Hold {
        Hold {
            until_us: AtomicU64::new(micros(until)),
            ended: AtomicU8::new(0),
            stop: OnceLock::new(),
            told_us: AtomicU64::new(0),
            handed: now,
            begun: AtomicBool::new(false),
            lent: Mutex::new(None),
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
            End::OutOfTime => 4,
        };
        self.told_us
            .fetch_max(micros(Boot::now()), Ordering::Relaxed);
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
            4 => Some(End::OutOfTime),
            _ => Some(End::LeaseLost),
        }
    }

    /// The crew takes the tile up, unless it is over by then: either the crew sees the end, or the
    /// engine that it has begun.
    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    pub(crate) fn has_begun(&self) -> bool {
        fence(Ordering::SeqCst);
        self.begun.load(Ordering::Relaxed)
    }

    /// Since when the crew should have taken it up and has not.
    pub(crate) fn waits_since(&self) -> Option<Boot> {
        (!self.begun.load(Ordering::Relaxed)).then_some(self.handed)
    }

    /// Whether it was told at least `grace` ago that it is over.
    pub(crate) fn ignores(&self, now: Boot, grace: Duration) -> bool {
        let told = self.told_us.load(Ordering::Relaxed);
        told != 0 && micros(now).saturating_sub(told) >= grace.as_micros() as u64
    }

    /// An attempt with a time limit begins.
    pub(crate) fn lend(&self, lent: Lent) {
        *self.lent() = Some(lent);
    }

    /// It has ended; `None`: the engine was faster, and has said that it did not in time.
    pub(crate) fn take_back(&self) -> Option<Vec<Entry>> {
        Some(self.lent().take()?.entries)
    }

    /// Takes an attempt that should have ended `slack` ago.
    pub(crate) fn take_overdue(&self, now: Boot, slack: Duration) -> Option<Lent> {
        let late = |lent: &mut Lent| {
            let most = lent.limit.saturating_add(lent.grace);
            now.since(lent.since) >= most.saturating_add(slack)
        };
        self.lent().take_if(late)
    }

    fn lent(&self) -> MutexGuard<'_, Option<Lent>> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(any(feature = "exec", feature = "bridge"))]
    pub(crate) fn until(&self) -> Boot {
        Boot(Duration::from_micros(self.until_us.load(Ordering::Relaxed)))
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
        let hold = Hold::new(Boot(Duration::ZERO), Boot::now());
        assert_eq!(hold.ended(), Some(End::LeaseLost));
        hold.prolong(Boot::now() + Duration::from_secs(60));
        assert_eq!(hold.ended(), None);
    }

    #[test]
    fn cancelled_run_is_no_lost_lease() {
        let hold = Hold::new(Boot::now() + Duration::from_secs(60), Boot::now());
        hold.end(End::Cancelled);
        assert_eq!(hold.ended(), Some(End::Cancelled));
        assert_eq!(End::Cancelled.text(), "cancelled");
    }

    #[test]
    fn first_reason_stays() {
        let hold = Hold::new(Boot::now() + Duration::from_secs(60), Boot::now());
        hold.end(End::Stopping);
        hold.end(End::LeaseLost);
        assert_eq!(hold.ended(), Some(End::Stopping));
        assert!(hold.token().is_cancelled());
    }

    #[test]
    fn attempt_out_of_time_is_ended_by_whoever_takes_it_first() {
        let (now, limit) = (Boot(Duration::from_secs(9)), Duration::from_secs(1));
        let hold = Hold::new(now + limit, now);
        let lend = || {
            hold.lend(Lent {
                page: 3,
                since: now,
                limit,
                grace: limit,
                entries: Vec::new(),
            });
        };
        lend();
        assert!(hold.take_overdue(now + limit * 2, limit).is_none());
        assert!(hold.take_back().is_some());
        assert!(hold.take_overdue(now + limit * 3, limit).is_none());
        lend();
        let taken = hold.take_overdue(now + limit * 3, limit);
        assert_eq!(taken.map(|lent| lent.page), Some(3));
        assert!(hold.take_back().is_none());
    }
}
