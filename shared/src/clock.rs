//! Which clock is read for what: leases run on the boot clock, people see the wall clock.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment on the boot clock, which goes on while the machine is suspended. Only its own process
/// may compare it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Boot(pub Duration);

impl Boot {
    /// Now.
    pub fn now() -> Boot {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let clock = rustix::time::ClockId::Boottime;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let clock = rustix::time::ClockId::Monotonic;
        let now = rustix::time::clock_gettime(clock);
        Boot(Duration::new(
            u64::try_from(now.tv_sec).unwrap_or(0),
            u32::try_from(now.tv_nsec).unwrap_or(0),
        ))
    }

    /// Time that passed from `earlier` to this moment; zero if `earlier` is later.
    pub fn since(self, earlier: Boot) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl std::ops::Add<Duration> for Boot {
    type Output = Boot;
    fn add(self, later: Duration) -> Boot {
        Boot(self.0.saturating_add(later))
    }
}

/// Wall-clock time in milliseconds since 1970, UTC: for people, and for due times judged by the
/// broker's own stamp on a record.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct UnixMs(pub u64);

impl UnixMs {
    /// Now, by this machine.
    pub fn now() -> UnixMs {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// RFC 3339 in UTC with milliseconds, as `2013-01-01T05:00:00.000Z`.
    pub fn rfc3339(self) -> String {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .ok()
            .and_then(|at| at.format(&Rfc3339).ok())
            .unwrap_or_else(|| format!("{} ms", self.0))
    }
}

impl std::ops::Add<Duration> for UnixMs {
    type Output = UnixMs;
    fn add(self, later: Duration) -> UnixMs {
        UnixMs(
            self.0
                .saturating_add(u64::try_from(later.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wait_is_so_long_that_a_moment_overflows() {
        assert_eq!(UnixMs(5) + Duration::MAX, UnixMs(u64::MAX));
        assert_eq!(
            Boot(Duration::from_secs(5)) + Duration::MAX,
            Boot(Duration::MAX)
        );
    }

    #[test]
    fn wall_clock_reads_as_rfc_3339() {
        assert_eq!(UnixMs(1_357_016_400_000).rfc3339(), "2013-01-01T05:00:00Z");
    }
}
