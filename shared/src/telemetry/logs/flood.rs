//! Decides which warnings are one too many. Whoever may write to a subject may write there what cannot be read, as
//! often as the broker takes it, and each of these messages may be worth a line: a log that fills a disk helps nobody.
//!
//! It knows no kinds of trouble: what is counted is the place in the source that a line comes from. What people asked
//! for (`info` and below) is never left out, and neither is what handlers say.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tracing::callsite::Identifier;
use tracing::{Level, Metadata};

use crate::clock::Boot;

/// Lines of one place that may come at once.
pub(super) const AT_ONCE: u32 = 1_000;
/// Lines of one place that may come each second, for ever.
pub(super) const EACH_SECOND: u32 = 20;
/// What the targets of this project's own lines begin with.
const OURS: &str = "gridloom";

/// Lines of this process that were one too many.
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// Lines of this process that were one too many so far.
pub(in crate::telemetry) fn left_out() -> u64 {
    LEFT_OUT.load(Ordering::Relaxed)
}

/// What each place has written lately.
#[derive(Debug, Default)]
pub(super) struct Floods(Mutex<HashMap<Identifier, Place>>);

#[derive(Debug)]
struct Place {
    /// Lines that may come now, in thousandths.
    room: u64,
    at: Boot,
    left_out: u64,
}

impl Floods {
    /// Whether the line may be written; how many of its place were left out since the last one.
    pub(super) fn admit(&self, of: &Metadata<'_>, now: Boot) -> Option<u64> {
        if !of.target().starts_with(OURS) || *of.level() > Level::WARN {
            return Some(0);
        }
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places
            .entry(of.callsite())
            .or_insert_with(|| Place::new(now))
            .admit(now)
    }
}

impl Place {
    const FULL: u64 = AT_ONCE as u64 * 1_000;

    fn new(now: Boot) -> Place {
        Place {
            room: Place::FULL,
            at: now,
            left_out: 0,
        }
    }

    fn admit(&mut self, now: Boot) -> Option<u64> {
        let passed = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        if passed > 0 {
            let more = passed.saturating_mul(u64::from(EACH_SECOND));
            self.room = self.room.saturating_add(more).min(Place::FULL);
            self.at = self.at + Duration::from_millis(passed);
        }
        if self.room < 1_000 {
            self.left_out += 1;
            LEFT_OUT.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.room -= 1_000;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storm_of_one_place_is_cut_and_what_was_left_out_is_said_with_the_next_line() {
        let at = |ms| Boot(Duration::from_millis(ms));
        let (mut place, before) = (Place::new(at(0)), left_out());
        let told =
            |place: &mut Place, now| (0..5_000).filter(|_| place.admit(now).is_some()).count();
        assert_eq!(told(&mut place, at(0)), AT_ONCE as usize);
        assert_eq!(place.admit(at(49)), None);
        assert_eq!(place.admit(at(50)), Some(4_001));
        assert_eq!(told(&mut place, at(1_050)), EACH_SECOND as usize);
        assert_eq!(place.admit(at(3_600_000)), Some(4_980));
        assert_eq!(place.admit(at(3_600_000)), Some(0));
        // Other tests leave lines out, too.
        assert!(left_out() - before >= 4_001 + 4_980);
    }
}
