//! A time as people write it: an instant, a time of a place's clocks, or a day; and at which instant that is.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::AmbiguousOffset;

use super::Fire;
use super::zone::{Dst, Gap, Overlap, Zone};
use crate::clock::UnixMs;

/// A time, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// `2026-12-01T02:00:00Z`, or with an offset.
    Instant(UnixMs),
    /// `2026-12-01T02:00:00`, by the clocks of the schedule's zone.
    Civil(DateTime),
    /// `2026-12-01`, all of it.
    Day(Date),
}

/// Why a text is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a time of 1970 to 9998 to the second, as \"2026-12-01T02:00:00Z\", or \"2026-12-01T02:00:00\" by the clocks of `timezone`"
)]
pub struct MomentError;

/// Longer texts are none.
const LONGEST: usize = 40;

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Moment, MomentError> {
        // What stands in brackets would be passed over.
        if text.len() > LONGEST || text.contains('[') {
            return Err(MomentError);
        }
        if let Some(date) = date(text) {
            return Ok(Moment::Day(date));
        }
        if let Ok(at) = text.parse::<Timestamp>() {
            let ms = u64::try_from(at.as_millisecond()).map_err(|_| MomentError)?;
            let fine = at.subsec_nanosecond() == 0 && at.as_second() < LAST_SECOND;
            return if fine {
                Ok(Moment::Instant(UnixMs(ms)))
            } else {
                Err(MomentError)
            };
        }
        let civil: DateTime = text.parse().map_err(|_| MomentError)?;
        let fine = civil.subsec_nanosecond() == 0 && is_near(civil.date());
        fine.then_some(Moment::Civil(civil)).ok_or(MomentError)
    }
}

/// The beginning of the year 9999, in UTC.
const LAST_SECOND: i64 = 253_370_764_800;

fn is_near(date: Date) -> bool {
    (1970..9999).contains(&date.year())
}

/// `2026-12-01`, and nothing else.
pub(super) fn date(text: &str) -> Option<Date> {
    let plain = |byte: u8| byte.is_ascii_digit() || byte == b'-';
    if text.len() != 10 || !text.bytes().all(plain) {
        return None;
    }
    text.parse().ok().filter(|date| is_near(*date))
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Moment::Instant(at) => f.write_str(&at.to_the_second()),
            Moment::Civil(civil) => civil.fmt(f),
            Moment::Day(date) => date.fmt(f),
        }
    }
}

impl Moment {
    /// The first instant of it.
    pub(super) fn first(self, zone: &Zone) -> Option<UnixMs> {
        match self {
            Moment::Instant(at) => Some(at),
            Moment::Civil(civil) => Some(Instants::of(zone, civil)?.first()),
            Moment::Day(date) => Moment::Civil(date.to_datetime(Time::midnight())).first(zone),
        }
    }

    /// The last instant of it.
    pub(super) fn last(self, zone: &Zone) -> Option<UnixMs> {
        match self {
            Moment::Instant(at) => Some(at),
            Moment::Civil(civil) => Some(Instants::of(zone, civil)?.last()),
            Moment::Day(date) => {
                let next = Moment::Day(date.tomorrow().ok()?).first(zone)?;
                Some(UnixMs(next.0.saturating_sub(1)))
            }
        }
    }

    /// Its fires: none, one or two, where clocks change.
    pub(super) fn fires(self, zone: &Zone, dst: Dst) -> Vec<Fire> {
        let plain = |at| Fire {
            at,
            moved_from: None,
        };
        let Moment::Civil(civil) = self else {
            return self.first(zone).map(plain).into_iter().collect();
        };
        let Some(instants) = Instants::of(zone, civil) else {
            return Vec::new();
        };
        match (instants, dst.gap, dst.overlap) {
            (Instants::One(at), ..) => vec![plain(at)],
            (Instants::None { .. }, Some(Gap::Skip), _) => Vec::new(),
            (Instants::None { next }, Some(Gap::After) | None, _) => vec![Fire {
                at: next,
                moved_from: Some(civil),
            }],
            (Instants::Two(first, _), _, Some(Overlap::First) | None) => vec![plain(first)],
            (Instants::Two(_, second), _, Some(Overlap::Second)) => vec![plain(second)],
            (Instants::Two(first, second), _, Some(Overlap::Both)) => {
                vec![plain(first), plain(second)]
            }
        }
    }
}

/// When clocks show a time.
#[derive(Clone, Copy)]
enum Instants {
    One(UnixMs),
    /// Never: they leave it out, and go on at `next`.
    None {
        next: UnixMs,
    },
    Two(UnixMs, UnixMs),
}

impl Instants {
    fn of(zone: &Zone, civil: DateTime) -> Option<Instants> {
        let rules = zone.rules();
        let at = |at: Timestamp| u64::try_from(at.as_millisecond()).ok().map(UnixMs);
        let found = match rules.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => {
                Instants::One(at(offset.to_timestamp(civil).ok()?)?)
            }
            AmbiguousOffset::Gap { after, .. } => {
                // By the clocks behind the gap it is before it.
                let before = after.to_timestamp(civil).ok()?;
                let change = rules.following(before).next()?;
                Instants::None {
                    next: at(change.timestamp())?,
                }
            }
            AmbiguousOffset::Fold { before, after } => Instants::Two(
                at(before.to_timestamp(civil).ok()?)?,
                at(after.to_timestamp(civil).ok()?)?,
            ),
        };
        Some(found)
    }

    fn first(self) -> UnixMs {
        match self {
            Instants::One(at) | Instants::None { next: at } | Instants::Two(at, _) => at,
        }
    }

    fn last(self) -> UnixMs {
        match self {
            Instants::One(at) | Instants::None { next: at } | Instants::Two(_, at) => at,
        }
    }
}

/// A time of day: `06:00`, `06:00:30`.
pub(crate) fn time(text: &str) -> Option<Time> {
    let mut parts = text.split(':').map(|part| {
        (part.len() == 2)
            .then(|| super::field::number(part))
            .flatten()
    });
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().map_or(Some(0), |part| part)?;
    let part = |value: u16| i8::try_from(value).ok();
    if parts.next().is_some() {
        return None;
    }
    Time::new(part(hour)?, part(minute)?, part(second)?, 0).ok()
}

/// The text that [`time()`] reads.
pub(crate) fn write_time(time: Time) -> String {
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    if second == 0 {
        format!("{hour:02}:{minute:02}")
    } else {
        format!("{hour:02}:{minute:02}:{second:02}")
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn ms(text: &str) -> UnixMs {
        let at: Timestamp = text.parse().expect(text);
        UnixMs(u64::try_from(at.as_millisecond()).expect("after 1970"))
    }

    #[test]
    fn a_time_is_an_instant_or_what_clocks_show_or_a_day() {
        for (text, moment, written) in [
            (
                "2026-12-01T02:00:00+01:00",
                Moment::Instant(ms("2026-12-01T01:00:00Z")),
                "2026-12-01T01:00:00Z",
            ),
            (
                "2026-12-01T02:00Z",
                Moment::Instant(ms("2026-12-01T02:00:00Z")),
                "2026-12-01T02:00:00Z",
            ),
            (
                "2026-12-01 02:30",
                Moment::Civil(date(2026, 12, 1).at(2, 30, 0, 0)),
                "2026-12-01T02:30:00",
            ),
            ("2026-12-01", Moment::Day(date(2026, 12, 1)), "2026-12-01"),
        ] {
            assert_eq!(text.parse(), Ok(moment), "{text}");
            assert_eq!(moment.to_string(), written);
            assert_eq!(written.parse(), Ok(moment), "{written}");
        }
    }

    #[test]
    fn what_is_no_time_or_not_whole_seconds_or_out_of_reach_is_refused() {
        for text in [
            "",
            "tomorrow",
            "12:00",
            "2026-13-01",
            "2026-02-30T00:00:00Z",
            "2026-12-01T02:00:00.5Z",
            "2026-12-01T02:00:00.5",
            "1969-12-31T23:59:59Z",
            "1969-12-31",
            "9999-01-01",
            "9999-01-01T00:00:00Z",
            "9999-12-30T00:00:00",
            "2026-12-01T02:00:00[Europe/Paris]",
            "2026-12-01T02:00:00+01:00[Europe/Paris]",
            "-000001-12-01T02:00:00Z",
        ] {
            assert_eq!(text.parse::<Moment>(), Err(MomentError), "{text}");
        }
        assert_eq!("2".repeat(1 << 20).parse::<Moment>(), Err(MomentError));
    }

    #[test]
    fn a_day_has_all_of_its_instants_also_where_clocks_change() {
        let berlin = Zone::new("Europe/Berlin").expect("a zone");
        let day = Moment::Day(date(2026, 3, 29));
        assert_eq!(day.first(&berlin), Some(ms("2026-03-28T23:00:00Z")));
        assert_eq!(day.last(&berlin), Some(ms("2026-03-29T21:59:59.999Z")));
    }

    #[test]
    fn a_time_where_clocks_change_fires_as_it_is_wanted() {
        let berlin = Zone::new("Europe/Berlin").expect("a zone");
        let plain = |text| Fire {
            at: ms(text),
            moved_from: None,
        };
        let gap = date(2026, 3, 29).at(2, 30, 0, 0);
        let moved = Fire {
            at: ms("2026-03-29T01:00:00Z"),
            moved_from: Some(gap),
        };
        let twice = date(2026, 10, 25).at(2, 30, 0, 0);
        let (first, second) = (plain("2026-10-25T00:30:00Z"), plain("2026-10-25T01:30:00Z"));
        for (civil, dst, fires) in [
            (gap, Dst::default(), vec![moved]),
            (twice, Dst::default(), vec![first]),
            (
                gap,
                Dst {
                    gap: Some(Gap::Skip),
                    overlap: None,
                },
                vec![],
            ),
            (
                twice,
                Dst {
                    gap: None,
                    overlap: Some(Overlap::Second),
                },
                vec![second],
            ),
            (
                twice,
                Dst {
                    gap: None,
                    overlap: Some(Overlap::Both),
                },
                vec![first, second],
            ),
        ] {
            assert_eq!(Moment::Civil(civil).fires(&berlin, dst), fires, "{civil}");
        }
        assert_eq!(Moment::Civil(twice).first(&berlin), Some(first.at));
        assert_eq!(Moment::Civil(twice).last(&berlin), Some(second.at));
    }

    #[test]
    fn a_time_of_day_has_two_digits_each() {
        for (text, written) in [
            ("06:00", "06:00"),
            ("23:59:59", "23:59:59"),
            ("06:00:00", "06:00"),
        ] {
            assert_eq!(time(text).map(write_time).as_deref(), Some(written));
        }
        for text in [
            "",
            "6:00",
            "24:00",
            "06",
            "06:60",
            "06:00:60",
            "06:00:00:00",
            "+6:00",
            "06:00:",
        ] {
            assert_eq!(time(text), None, "{text}");
        }
    }
}
