//! What time it is by the broker's clock, without asking each time. Due times are judged by the
//! broker's stamps on records, and a planner's own wall clock may be wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gridloom_shared::clock::{Boot, UnixMs};

/// The broker's clock as this process knows it: the last stamp that was seen fresh, and the time since
/// then by the boot clock. Before the first one, this machine's wall clock.
#[derive(Clone, Debug)]
pub struct BrokerClock(
    /// What it shows beyond the boot clock, in milliseconds.
    Arc<AtomicU64>,
);

impl BrokerClock {
    /// The broker was not seen yet.
    pub fn new() -> BrokerClock {
        BrokerClock(Arc::new(AtomicU64::new(beyond(UnixMs::now(), Boot::now()))))
    }

    /// The broker has stamped something with `at`, shortly before `seen`.
    pub fn set(&self, at: UnixMs, seen: Boot) {
        self.0.store(beyond(at, seen), Ordering::Relaxed);
    }

    /// The time at `boot`. Late by what passed between stamp and sight: nothing is due too early.
    pub fn at(&self, boot: Boot) -> UnixMs {
        UnixMs(self.0.load(Ordering::Relaxed).wrapping_add(millis(boot)))
    }

    /// The time now.
    pub fn now(&self) -> UnixMs {
        self.at(Boot::now())
    }
}

impl Default for BrokerClock {
    fn default() -> Self {
        BrokerClock::new()
    }
}

/// A machine may have run for longer than since 1970 by the broker's clock: the difference wraps, and
/// so does its sum.
fn beyond(at: UnixMs, boot: Boot) -> u64 {
    at.0.wrapping_sub(millis(boot))
}

fn millis(boot: Boot) -> u64 {
    u64::try_from(boot.0.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn broker_s_clock_goes_on_with_the_boot_clock_from_the_last_stamp() {
        let clock = BrokerClock::new();
        let boot = |ms| Boot(Duration::from_millis(ms));
        clock.set(UnixMs(1_000_000), boot(500));
        assert_eq!(clock.at(boot(750)), UnixMs(1_000_250));
        // Set back, even to before the machine was started.
        clock.set(UnixMs(100), boot(1_000));
        assert_eq!(clock.at(boot(1_005)), UnixMs(105));
    }
}
