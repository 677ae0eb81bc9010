//! At which instants the moments of civil time are that a cron expression names, in a time zone whose clocks change.
//!
//! The line of instants is cut at the zone's transitions into stretches of one offset each. In a stretch civil time
//! and instants go alike, so what is found there is strictly later than what was found before, whatever the clocks do.
//!
//! | | where clocks go forward (gap) | where they go back (overlap) |
//! |-|-------------------------------|------------------------------|
//! | *clock* schedule: not in every hour | fires once at the first instant after it, however many times it swallowed | at the first occurrence |
//! | *interval* schedule: in every hour | nothing | in both passes |
//!
//! A day that a place left out altogether (Apia's 30 December 2011) has no fires, so none are made up for.
//!
//! The zone's rules are those of the moment when it was read. A later database changes nothing in a [`Zone`] at hand.

use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::tz::{Offset, TimeZone};

mod meant;

use super::Fire;
use super::cron::Cron;
use crate::clock::UnixMs;

/// A time zone: a place's, or an offset that never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    rules: TimeZone,
    name: String,
}

/// Why a text is no time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "time zone {text:?} is unknown: write a name of the IANA database as \"Europe/Berlin\", \"UTC\", or an offset of up to 14 hours as \"+02:00\"{}",
    meant::hint(near)
)]
pub struct ZoneError {
    /// What was written, cut to 64 characters.
    text: String,
    /// What may have been meant, the nearest first.
    near: Vec<String>,
}

/// The longest offset that any clock on earth had lately.
const OFFSET_MAX: i32 = 14 * 3_600;

impl Zone {
    /// Looks a zone up: in the system's database, or where there is none in the one that is built in.
    ///
    /// # Errors
    /// When neither knows it and it is no offset.
    pub fn new(text: &str) -> Result<Zone, ZoneError> {
        let unknown = || {
            let text: String = text.chars().take(64).collect();
            let near = meant::near(&text);
            ZoneError { text, near }
        };
        let rules = match offset(text) {
            Some(offset) => TimeZone::fixed(offset),
            None if text.len() <= 64 => TimeZone::get(text).map_err(|_| unknown())?,
            None => return Err(unknown()),
        };
        let name = rules.iana_name().unwrap_or(text).to_owned();
        Ok(Zone { rules, name })
    }

    /// Its name as the database spells it, or the offset.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn rules(&self) -> &TimeZone {
        &self.rules
    }

    /// When clocks change next, if they ever do.
    pub fn change_after(&self, at: UnixMs) -> Option<UnixMs> {
        let at = Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()?;
        let change = self.rules.following(at).next()?.timestamp();
        u64::try_from(change.as_millisecond()).ok().map(UnixMs)
    }

    /// What the clocks of the place show at an instant.
    pub fn civil(&self, at: UnixMs) -> Option<DateTime> {
        let at = Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()?;
        Some(self.rules.to_datetime(at))
    }
}

/// `+02:00`, `-09:30`.
fn offset(text: &str) -> Option<Offset> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let two = |part: &str| (part.len() == 2).then(|| super::field::number(part))?;
    let (hours, minutes) = (two(hours)?, two(minutes).filter(|part| *part < 60)?);
    let seconds = i32::from(hours) * 3_600 + i32::from(minutes) * 60;
    let seconds = Some(seconds).filter(|seconds| *seconds <= OFFSET_MAX)?;
    Offset::from_seconds(sign * seconds).ok()
}

/// What becomes of a time that clocks leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// It does not fire.
    Skip,
    /// It fires at the first instant after the gap.
    After,
}

/// What becomes of a time that comes twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// It fires the first time.
    First,
    /// It fires the second time.
    Second,
    /// It fires both times.
    Both,
}

/// What is wanted where clocks change; what is not said follows from the class of the schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dst {
    /// Where clocks go forward.
    pub gap: Option<Gap>,
    /// Where they go back.
    pub overlap: Option<Overlap>,
}

impl Dst {
    fn gap(self, cron: &Cron) -> Gap {
        let usual = if cron.is_interval() {
            Gap::Skip
        } else {
            Gap::After
        };
        self.gap.unwrap_or(usual)
    }

    fn overlap(self, cron: &Cron) -> Overlap {
        let usual = if cron.is_interval() {
            Overlap::Both
        } else {
            Overlap::First
        };
        self.overlap.unwrap_or(usual)
    }
}

/// The first fire after `after`.
pub(super) fn next_after(cron: &Cron, zone: &Zone, dst: Dst, after: UnixMs) -> Option<Fire> {
    let second = i64::try_from(after.0 / 1_000 + 1).ok()?;
    let mut search = Search { cron, known: None };
    let mut from = Timestamp::from_second(second).ok()?;
    let mut misses = 0;
    loop {
        let stretch = Stretch::of(zone, from);
        if let Some((at, moved_from)) = stretch.first_from(&mut search, dst, from) {
            let at = UnixMs(u64::try_from(at.as_millisecond()).ok()?);
            return Some(Fire { at, moved_from });
        }
        // An overlap may bring civil time back to before the last moment that fits; the one after it cannot.
        misses = if search.is_over() { misses + 1 } else { 0 };
        from = stretch.end.filter(|_| misses < 2)?.at;
    }
}

/// A change of a zone's offset.
#[derive(Clone, Copy)]
struct Change {
    at: Timestamp,
    /// The offset on the other side of it.
    offset: Offset,
}

/// A stretch of instants, from a change to the next, that has one offset.
struct Stretch {
    start: Option<Change>,
    offset: Offset,
    end: Option<Change>,
}

impl Stretch {
    /// The stretch that `at` is in.
    fn of(zone: &Zone, at: Timestamp) -> Stretch {
        let rules = &zone.rules;
        let second = |at: Timestamp, by: i64| Timestamp::from_second(at.as_second() + by).ok();
        // Changes are at whole seconds: what is before the next second is not after this one.
        let start = second(at, 1).and_then(|next| rules.preceding(next).next());
        let start = start.and_then(|change| {
            let at = change.timestamp();
            let offset = rules.to_offset(second(at, -1)?);
            Some(Change { at, offset })
        });
        let end = rules.following(at).next().map(|change| Change {
            at: change.timestamp(),
            offset: change.offset(),
        });
        let offset = rules.to_offset(at);
        Stretch { start, offset, end }
    }

    /// The first fire in this stretch that is not before `from`, and what it was moved from.
    fn first_from(
        &self,
        search: &mut Search<'_>,
        dst: Dst,
        from: Timestamp,
    ) -> Option<(Timestamp, Option<DateTime>)> {
        let mut civil = self.offset.to_datetime(from);
        if let Some(start) = self.start {
            let before = start.offset.to_datetime(start.at);
            let now = self.offset.to_datetime(start.at);
            if start.at == from
                && dst.gap(search.cron) == Gap::After
                && let Some(swallowed) = search.swallowed(before, now)
                // What fires there by itself was not moved.
                && search.first_from(now) != Some(now)
            {
                return Some((from, Some(swallowed)));
            }
            if dst.overlap(search.cron) == Overlap::First {
                civil = civil.max(before);
            }
        }
        let found = search.first_from(civil)?;
        if let Some(end) = self.end {
            let until = match dst.overlap(search.cron) {
                Overlap::Second => self.offset.min(end.offset),
                Overlap::First | Overlap::Both => self.offset,
            };
            if found >= until.to_datetime(end.at) {
                return None;
            }
        }
        Some((self.offset.to_timestamp(found).ok()?, None))
    }
}

/// An expression and what was found of it last: many stretches can pass before the next moment that fits.
struct Search<'a> {
    cron: &'a Cron,
    known: Option<(DateTime, Option<DateTime>)>,
}

impl Search<'_> {
    fn first_from(&mut self, from: DateTime) -> Option<DateTime> {
        if let Some((asked, found)) = self.known
            && asked <= from
            && found.is_none_or(|found| from <= found)
        {
            return found;
        }
        let found = self.cron.first_from(from);
        self.known = Some((from, found));
        found
    }

    /// Nothing was found, last.
    fn is_over(&self) -> bool {
        self.known.is_some_and(|(_, found)| found.is_none())
    }

    /// The first moment that a gap swallows, on a day of which something is left.
    fn swallowed(&mut self, gap: DateTime, end: DateTime) -> Option<DateTime> {
        let mut from = gap;
        loop {
            let found = self.first_from(from).filter(|found| *found < end)?;
            let day = found.date().to_datetime(Time::midnight());
            let next = found.date().tomorrow().ok()?.to_datetime(Time::midnight());
            if day < gap || end < next {
                return Some(found);
            }
            from = next;
        }
    }
}

#[cfg(test)]
mod tests;
