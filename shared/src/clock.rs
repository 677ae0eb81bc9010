//! Which clock is read for what: leases run on the boot clock, people see the wall clock.

use std::time::Duration;

use time::OffsetDateTime;

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

    /// RFC 3339 in UTC with all of its milliseconds, as `2013-01-01T05:00:00.000Z`: texts of moments are in the order
    /// of the moments.
    pub fn rfc3339(self) -> String {
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000);
        let Ok(at) = at else {
            return format!("{} ms", self.0);
        };
        let (date, time) = (at.date(), at.time());
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            date.year(),
            u8::from(date.month()),
            date.day(),
            time.hour(),
            time.minute(),
            time.second(),
            time.millisecond()
        )
    }
}

impl UnixMs {
    /// The moment that a text in RFC 3339 says, whatever its zone; `None`: it says none, or one before 1970.
    pub fn from_rfc3339(text: &str) -> Option<UnixMs> {
        let at =
            OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()?;
        let ms = u64::try_from(at.unix_timestamp_nanos() / 1_000_000);
        ms.ok().map(UnixMs)
    }

    /// RFC 3339 in UTC to the second, as people write the times of a schedule: `2013-01-01T05:00:00Z`.
    pub fn to_the_second(self) -> String {
        let text = self.rfc3339();
        match text.rsplit_once('.') {
            Some((second, _)) => format!("{second}Z"),
            None => text,
        }
    }
}

/// A moment that programs read as [`UnixMs::rfc3339`] in JSON, as everywhere there, and that is a number on the wire:
/// `#[serde(with = "crate::clock::in_json")]`.
pub(crate) mod in_json {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::UnixMs;

    pub(crate) fn serialize<S: Serializer>(at: &UnixMs, to: S) -> Result<S::Ok, S::Error> {
        match to.is_human_readable() {
            true => to.serialize_str(&at.rfc3339()),
            false => at.serialize(to),
        }
    }

    /// Nobody here reads it out of JSON.
    pub(crate) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<UnixMs, D::Error> {
        UnixMs::deserialize(from)
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
    fn wall_clock_reads_as_rfc_3339_and_texts_are_in_the_order_of_the_moments() {
        let at = |ms: u64| UnixMs(1_357_016_400_000 + ms).rfc3339();
        assert_eq!(at(0), "2013-01-01T05:00:00.000Z");
        assert_eq!(at(1_050), "2013-01-01T05:00:01.050Z");
        for ms in [0, 1_050] {
            assert_eq!(
                UnixMs::from_rfc3339(&at(ms)),
                Some(UnixMs(1_357_016_400_000 + ms))
            );
        }
        let elsewhere = UnixMs::from_rfc3339("2013-01-01T06:00:00+01:00");
        assert_eq!(elsewhere, Some(UnixMs(1_357_016_400_000)));
        assert_eq!(UnixMs::from_rfc3339("2013-01-01"), None);
        let second = UnixMs(1_357_016_401_050).to_the_second();
        assert_eq!(second, "2013-01-01T05:00:01Z");
        let texts: Vec<String> = [0, 1, 10, 100, 120, 999, 1_000, 60_000].map(at).into();
        assert!(texts.is_sorted(), "{texts:?}");
        assert_eq!(UnixMs(u64::MAX).rfc3339(), format!("{} ms", u64::MAX));
    }
}
