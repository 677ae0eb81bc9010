//! Which handlers are so quick that a task of their own would cost more than they do.
//!
//! A handler that blocks its thread must not hold up the tiles of others: so a handler counts as slow
//! until it was seen to be quick, and again as soon as it is not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A tile that takes less than this is quick.
const QUICK_NS: u64 = 50_000;
/// Of a handler of which nothing is known.
const UNKNOWN: u64 = u64::MAX;
/// The share that a new value has in the mean: one in so many.
const SHARE: u64 = 8;

/// How long the tiles of one handler took lately. A mean over about [`SHARE`] tiles; updates that
/// race may be lost.
#[derive(Debug)]
pub(crate) struct Pace {
    mean_ns: AtomicU64,
    /// All shards so far, and the time of slots that they took.
    shards: AtomicU64,
    busy_ns: AtomicU64,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            mean_ns: AtomicU64::new(UNKNOWN),
            shards: AtomicU64::new(0),
            busy_ns: AtomicU64::new(0),
        }
    }
}

impl Pace {
    pub(super) fn is_quick(&self) -> bool {
        self.mean_ns.load(Ordering::Relaxed) < QUICK_NS
    }

    /// Shards that were executed so far, and the microseconds that slots were busy with them.
    pub(crate) fn sums(&self) -> (u64, u64) {
        let busy_ns = self.busy_ns.load(Ordering::Relaxed);
        (self.shards.load(Ordering::Relaxed), busy_ns / 1_000)
    }

    /// A tile of so many shards took so long.
    pub(super) fn note(&self, took: Duration, shards: u64) {
        let took = u64::try_from(took.as_nanos())
            .unwrap_or(UNKNOWN - 1)
            .min(1 << 40);
        self.shards.fetch_add(shards, Ordering::Relaxed);
        self.busy_ns.fetch_add(took, Ordering::Relaxed);
        let mean = match self.mean_ns.load(Ordering::Relaxed) {
            UNKNOWN => took,
            mean => (mean * (SHARE - 1) + took) / SHARE,
        };
        self.mean_ns.store(mean, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handler_is_slow_until_it_was_seen_to_be_quick_and_after_one_slow_tile() {
        let pace = Pace::default();
        assert!(!pace.is_quick());
        pace.note(Duration::from_micros(5), 1);
        assert!(pace.is_quick());
        pace.note(Duration::from_millis(1), 1);
        assert!(!pace.is_quick());
        (0..64).for_each(|_| pace.note(Duration::from_micros(5), 1));
        assert!(pace.is_quick());
        assert_eq!(pace.sums(), (66, 1_325));
    }
}
