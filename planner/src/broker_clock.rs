//! What time it is by the broker's clock, without asking each time, and whether it can be gone by. Due
//! times are judged by the broker's stamps on records, and a planner's own wall clock may be wrong.
//!
//! | state | stamp within 5 s of what is known | stamp further off | steady for 10 s |
//! |-------|-----------------------------------|-------------------|-----------------|
//! | unknown | steady | - | - |
//! | steady | steady | doubtful | - |
//! | doubtful | doubtful | doubtful, from anew | steady |

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gridloom_shared::clock::{Boot, UnixMs};
use gridloom_shared::job::parse::write_duration;

/// By so much the broker's clock may differ from what the boot clock says.
const JUMP: Duration = Duration::from_secs(5);
/// For so long it has to be steady after that.
const STEADY: Duration = Duration::from_secs(10);

/// The broker's clock as this process knows it: the last stamp that was seen fresh, and the time since
/// then by the boot clock. Known to nobody while it is in doubt: then nothing is due and nothing is removed.
#[derive(Clone, Debug, Default)]
pub struct BrokerClock(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    /// What it shows beyond the boot clock, in milliseconds: at least and at most. `None` before the first
    /// stamp.
    beyond: Option<(i128, i128)>,
    doubt: Option<Doubt>,
}

/// It jumped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// By how many milliseconds; backwards below zero.
    pub by_ms: i64,
    /// When it was seen, by the boot clock.
    pub since: Boot,
}

/// A jump for people, in whole seconds.
pub fn spoken(by_ms: i64) -> String {
    let by = write_duration(by_ms.unsigned_abs().saturating_add(500) / 1_000 * 1_000);
    let way = if by_ms < 0 { "back" } else { "ahead" };
    format!("jumped {by} {way}")
}

impl BrokerClock {
    /// The broker has stamped something with `at`, between `sent` and `seen`. Returns by how many milliseconds
    /// it jumped, if it did.
    pub fn set(&self, at: UnixMs, sent: Boot, seen: Boot) -> Option<i64> {
        let mut clock = self.lock();
        let (least, most) = (
            i128::from(at.0) - millis(seen),
            i128::from(at.0) - millis(sent),
        );
        let jump = JUMP.as_millis() as i128;
        let (low, high) = clock.beyond.unwrap_or((least, most));
        let by = if high + jump < least {
            least - high
        } else if low > most + jump {
            most - low
        } else {
            0
        };
        // What was seen late says less than what was known before.
        let (low, high) = (low.max(least), high.min(most));
        let narrowed = by == 0 && low <= high;
        clock.beyond = Some(if narrowed { (low, high) } else { (least, most) });
        if by != 0 {
            let by_ms = i64::try_from(by).unwrap_or(if by > 0 { i64::MAX } else { i64::MIN });
            clock.doubt = Some(Doubt { by_ms, since: seen });
            return Some(by_ms);
        }
        // Only a stamp can say that it was steady.
        if clock
            .doubt
            .is_some_and(|doubt| seen.since(doubt.since) >= STEADY)
        {
            clock.doubt = None;
        }
        None
    }

    /// The time at `boot`, late by what passed between stamp and sight; `None` before the first stamp, and
    /// while it is in doubt.
    pub fn at(&self, boot: Boot) -> Option<UnixMs> {
        let clock = self.lock();
        let (beyond, _) = clock.beyond.filter(|_| clock.doubt.is_none())?;
        u64::try_from(beyond + millis(boot)).ok().map(UnixMs)
    }

    /// The time now; `None` as with [`BrokerClock::at`].
    pub fn now(&self) -> Option<UnixMs> {
        self.at(Boot::now())
    }

    /// Why it is in doubt, if it is.
    pub fn doubt(&self) -> Option<Doubt> {
        self.lock().doubt
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(boot: Boot) -> i128 {
    boot.0.as_millis() as i128
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORTY_DAYS: u64 = 40 * 24 * 3_600_000;

    fn boot(ms: u64) -> Boot {
        Boot(Duration::from_millis(ms))
    }

    fn stamped(clock: &BrokerClock, at: u64, seen: u64) -> Option<i64> {
        clock.set(UnixMs(at), boot(seen), boot(seen))
    }

    #[test]
    fn broker_s_clock_goes_on_with_the_boot_clock_from_the_last_stamp() {
        let clock = BrokerClock::default();
        assert_eq!(clock.at(boot(500)), None);
        stamped(&clock, 1_000_000, 500);
        assert_eq!(clock.at(boot(750)), Some(UnixMs(1_000_250)));
        // A drift is followed.
        stamped(&clock, 1_001_003, 1_500);
        assert_eq!(clock.at(boot(1_500)), Some(UnixMs(1_001_003)));
    }

    #[test]
    fn jump_is_believed_only_once_it_was_steady_for_ten_seconds() {
        for jump in [FORTY_DAYS as i64, -3_600_000] {
            let clock = BrokerClock::default();
            let base = 10 * FORTY_DAYS;
            let then = |seen: u64| base.wrapping_add_signed(jump) + seen;
            stamped(&clock, base, 0);
            assert_eq!(stamped(&clock, then(1_000), 1_000), Some(jump));
            assert_eq!(clock.doubt().map(|doubt| doubt.by_ms), Some(jump));
            for seen in (2_000..11_000).step_by(1_000) {
                assert_eq!(stamped(&clock, then(seen), seen), None);
                assert_eq!(clock.at(boot(seen)), None, "{seen}");
            }
            // Time alone does not make it steady.
            assert_eq!(clock.at(boot(60_000)), None);
            stamped(&clock, then(11_000), 11_000);
            assert_eq!(clock.at(boot(11_000)), Some(UnixMs(then(11_000))));
        }
    }

    #[test]
    fn jump_is_told_in_whole_seconds() {
        assert_eq!(spoken(FORTY_DAYS as i64 - 1), "jumped 40d ahead");
        assert_eq!(spoken(-5_001), "jumped 5s back");
        assert!(spoken(i64::MIN).ends_with("back"));
    }

    #[test]
    fn late_answer_is_no_jump() {
        let clock = BrokerClock::default();
        stamped(&clock, 1_000_000, 0);
        // Stamped at once, seen after the process was frozen for twenty seconds.
        let jump = clock.set(UnixMs(1_001_000), boot(1_000), boot(21_000));
        assert_eq!((jump, clock.doubt()), (None, None));
        // The next is punctual again.
        assert_eq!(clock.at(boot(21_000)), Some(UnixMs(1_021_000)));
        assert_eq!(stamped(&clock, 1_022_000, 22_000), None);
    }
}
