//! Whether something still goes round that is to: it says so now and then, and whoever wants to know looks how long ago that was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gridloom_shared::clock::Boot;

/// When something was last seen to live, in milliseconds of the boot clock; 0 before the first time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// Now.
    pub(crate) fn beat(&self) {
        self.beat_at(Boot::now());
    }

    /// At that moment.
    pub(crate) fn beat_at(&self, at: Boot) {
        self.0.store(millis(at).max(1), Ordering::Relaxed);
    }

    /// It does not live any more, or not yet.
    pub(crate) fn still(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// How long ago it beat; `None` if it did not.
    pub(crate) fn age(&self, now: Boot) -> Option<Duration> {
        let last = self.0.load(Ordering::Relaxed);
        (last > 0).then(|| Duration::from_millis(millis(now).saturating_sub(last)))
    }
}

fn millis(at: Boot) -> u64 {
    u64::try_from(at.0.as_millis()).unwrap_or(u64::MAX)
}
