//! What time it is by the broker's clock, without asking each time. Due times are judged by the
//! broker's stamps on records, and a planner's own wall clock may be wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gridloom_shared::clock::{Boot, UnixMs};

/// The broker's clock as this process knows it: the last stamp that was seen fresh, and the time since
/// then by the boot clock.
#[derive(Clone, Debug, Default)]
pub struct BrokerClock(
    /// What it shows beyond the boot clock, in milliseconds; 0 before the first stamp.
    Arc<AtomicU64>,
);

impl BrokerClock {
    /// The broker has stamped something with `at`, shortly before `seen`.
    pub fn set(&self, at: UnixMs, seen: Boot) {
        let beyond = at.0.wrapping_sub(millis(seen));
        self.0.store(beyond, Ordering::Relaxed);
    }

    /// The time at `boot`, late by what passed between stamp and sight; `None` before the first stamp.
    pub fn at(&self, boot: Boot) -> Option<UnixMs> {
        let beyond = self.0.load(Ordering::Relaxed);
        (beyond != 0).then(|| UnixMs(beyond.wrapping_add(millis(boot))))
    }

    /// The time now; `None` before the first stamp.
    pub fn now(&self) -> Option<UnixMs> {
        self.at(Boot::now())
    }
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
        let clock = BrokerClock::default();
        let boot = |ms| Boot(Duration::from_millis(ms));
        assert_eq!(clock.at(boot(500)), None);
        clock.set(UnixMs(1_000_000), boot(500));
        assert_eq!(clock.at(boot(750)), Some(UnixMs(1_000_250)));
        // Set back, even to before the machine was started.
        clock.set(UnixMs(100), boot(1_000));
        assert_eq!(clock.at(boot(1_005)), Some(UnixMs(105)));
    }
}
