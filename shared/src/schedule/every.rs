//! A fixed cadence: each so and so long, counted from an anchor, in instants. No zone and no clock change touches it.

use std::time::Duration;

use crate::clock::UnixMs;
use crate::limits::EVERY_MIN;

/// Fires at the anchor and each period after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Every {
    anchor: UnixMs,
    period_ms: u64,
}

/// Why there is no such cadence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EveryError {
    /// Too quick.
    #[error(
        "must be at least {}",
        crate::duration::write_duration(millis(EVERY_MIN))
    )]
    TooShort,
}

impl Every {
    /// A cadence that begins at `anchor`.
    ///
    /// # Errors
    /// When the period is shorter than [`EVERY_MIN`].
    pub fn new(anchor: UnixMs, period: Duration) -> Result<Every, EveryError> {
        if period < EVERY_MIN {
            return Err(EveryError::TooShort);
        }
        let period_ms = millis(period);
        Ok(Every { anchor, period_ms })
    }

    /// The first fire after `after`; `None` where time ends.
    pub(super) fn next_after(&self, after: UnixMs) -> Option<UnixMs> {
        let Some(since) = after.0.checked_sub(self.anchor.0) else {
            return Some(self.anchor);
        };
        let count = since / self.period_ms + 1;
        let at = count
            .checked_mul(self.period_ms)?
            .checked_add(self.anchor.0)?;
        Some(UnixMs(at))
    }
}

fn millis(period: Duration) -> u64 {
    u64::try_from(period.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(anchor: u64, seconds: u64) -> Every {
        Every::new(UnixMs(anchor), Duration::from_secs(seconds)).expect("a cadence")
    }

    #[test]
    fn a_cadence_counts_from_its_anchor() {
        let every = every(1_500, 60);
        for (after, next) in [
            (0, 1_500),
            (1_499, 1_500),
            (1_500, 61_500),
            (61_499, 61_500),
            (61_500, 121_500),
        ] {
            assert_eq!(
                every.next_after(UnixMs(after)),
                Some(UnixMs(next)),
                "{after}"
            );
        }
    }

    #[test]
    fn a_cadence_has_a_least_period_and_ends_with_time() {
        let short = Every::new(UnixMs(0), EVERY_MIN - Duration::from_millis(1));
        assert_eq!(short, Err(EveryError::TooShort));
        assert_eq!(every(5, 1).next_after(UnixMs(u64::MAX)), None);
        let endless = Every::new(UnixMs(5), Duration::MAX).expect("a cadence");
        assert_eq!(endless.next_after(UnixMs(4)), Some(UnixMs(5)));
        assert_eq!(endless.next_after(UnixMs(5)), None);
    }
}
