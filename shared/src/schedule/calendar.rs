//! Days and times of day that schedules are bound to or kept off: holidays, a week's end, business hours. It decides
//! which instants they are, in the calendar's own zone.
//!
//! A calendar covers the days that are in its `dates` or on its `weekdays` (all, where it has neither), and of those
//! the `times` (the whole day, where it has none). A time over midnight, as `22:00-06:00`, belongs to the day on which
//! it begins.

use std::fmt;
use std::sync::Arc;

use jiff::civil::{Date, DateTime, Time};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::dates::{DateSet, Dates};
use super::field::{self, OpenStep, Set};
use super::moment::{time, write_time};
use super::zone::Zone;
use crate::clock::UnixMs;
use crate::id::CalendarName;
use crate::job::Fault;

mod words;

/// Named days, and times of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct Calendar {
    /// `None`: it stands in a schedule.
    name: Option<CalendarName>,
    zone: Zone,
    weekdays: Set,
    // Each plan of a job that names it has one.
    dates: Arc<DateSet>,
    written: Arc<Written>,
}

/// What a calendar says, as it was written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Written {
    pub(crate) dates: Vec<Dates>,
    pub(crate) weekdays: Vec<Weekdays>,
    pub(crate) times: Vec<Window>,
}

/// A weekday or a range of them, by name: `SAT`, `MON-FRI`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weekdays {
    text: String,
    days: Set,
}

impl Weekdays {
    /// Numbers are not taken: which day is 1 differs.
    pub(crate) fn parse(text: &str) -> Option<Weekdays> {
        let plain = |byte: u8| byte.is_ascii_alphabetic() || byte == b'-';
        if text.len() > 7 || !text.bytes().all(plain) {
            return None;
        }
        let days = field::WEEKDAY.set(text, OpenStep::Refused).ok()?;
        let text = text.to_ascii_uppercase();
        Some(Weekdays { text, days })
    }
}

/// Times of a day, from one to before another; on the next day, where that is not later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    from: Time,
    until: Time,
}

impl Window {
    pub(crate) fn parse(text: &str) -> Option<Window> {
        let (from, until) = text.split_once('-')?;
        // People write the end of a day so.
        let at_end = until == "24:00";
        let until = if at_end {
            Time::midnight()
        } else {
            time(until)?
        };
        let from = time(from)?;
        (from != until || at_end).then_some(Window { from, until })
    }

    fn is_over_midnight(self) -> bool {
        self.until <= self.from
    }

    /// Whether it has the time, on the day on which it begins.
    fn has(self, time: Time) -> bool {
        self.from <= time && (self.is_over_midnight() || time < self.until)
    }

    /// Whether it has the time, on the day after that.
    fn has_next(self, time: Time) -> bool {
        self.is_over_midnight() && time < self.until
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until = if self.until == Time::midnight() {
            "24:00".to_owned()
        } else {
            write_time(self.until)
        };
        write!(f, "{}-{until}", write_time(self.from))
    }
}

/// What covers so many days in a row covers all that anybody foresees.
const LOOK_AHEAD_DAYS: u32 = 800;

impl Calendar {
    pub(crate) fn new(name: CalendarName, zone: Zone, written: Written) -> Calendar {
        Calendar::with(Some(name), zone, written)
    }

    /// The days that a schedule names itself.
    pub(super) fn of_dates(dates: Dates, zone: Zone) -> Calendar {
        let written = Written {
            dates: vec![dates],
            ..Written::default()
        };
        Calendar::with(None, zone, written)
    }

    /// What may well be said and is seldom meant.
    pub fn warnings(&self) -> Vec<Fault> {
        let dates = self.written.dates.iter();
        let told = dates.filter_map(Dates::warning);
        told.map(|message| Fault::new("dates", message)).collect()
    }

    fn with(name: Option<CalendarName>, zone: Zone, written: Written) -> Calendar {
        let mut weekdays = Set::default();
        let days = written.weekdays.iter().flat_map(|days| days.days.iter());
        days.for_each(|day| weekdays.insert(day));
        Calendar {
            name,
            zone,
            weekdays,
            dates: Arc::new(DateSet::new(&written.dates)),
            written: Arc::new(written),
        }
    }

    /// Its name. What stands in a schedule has none.
    pub fn name(&self) -> Option<&CalendarName> {
        self.name.as_ref()
    }

    /// Whether it covers an instant.
    pub fn covers(&self, at: UnixMs) -> bool {
        self.zone
            .civil(at)
            .is_some_and(|civil| self.has(civil.date(), civil.time()))
    }

    fn has(&self, date: Date, time: Time) -> bool {
        let times = &self.written.times;
        let on_day = times.is_empty() || times.iter().any(|window| window.has(time));
        if on_day && self.has_day(date) {
            return true;
        }
        let before = || date.yesterday().is_ok_and(|before| self.has_day(before));
        times.iter().any(|window| window.has_next(time)) && before()
    }

    fn has_day(&self, date: Date) -> bool {
        let weekday = date.weekday().to_sunday_zero_offset();
        let any = self.weekdays.len() == 0 && self.dates.is_empty();
        any || self.weekdays.contains(u16::from(weekday.unsigned_abs()))
            || self.dates.contains(date)
    }

    /// A later instant before which it covers all or nothing, as it does at `at`. `None`: it stays so for ever, as far
    /// as can be foreseen.
    pub fn same_until(&self, at: UnixMs) -> Option<UnixMs> {
        let civil = self.zone.civil(at)?;
        let change = self.change_after(civil)?;
        let ahead = civil.duration_until(change).as_millis();
        let ahead = u64::try_from(ahead).ok()?;
        // Until clocks change, they go as time does.
        let by_clock = UnixMs(at.0.saturating_add(ahead));
        Some(
            self.zone
                .change_after(at)
                .map_or(by_clock, |other| other.min(by_clock)),
        )
    }

    /// The first time after `civil` at which it may be otherwise.
    fn change_after(&self, civil: DateTime) -> Option<DateTime> {
        let (date, now) = (civil.date(), civil.time());
        let tomorrow = date.tomorrow().ok()?;
        let midnight = |date: Date| date.to_datetime(Time::midnight());
        let times = &self.written.times;
        if times.is_empty() {
            return self.day_from(tomorrow, !self.has_day(date)).map(midnight);
        }
        let over_midnight = || date.yesterday().is_ok_and(|before| self.has_day(before));
        if !self.has_day(date) && !over_midnight() {
            return self.day_from(tomorrow, true).map(midnight);
        }
        let bounds = times.iter().flat_map(|window| [window.from, window.until]);
        let next = bounds.filter(|bound| *bound > now).min();
        Some(next.map_or(midnight(tomorrow), |next| date.to_datetime(next)))
    }

    /// The first day from `date` on that is covered, or is not.
    fn day_from(&self, date: Date, covered: bool) -> Option<Date> {
        if covered {
            return self.covered_from(date);
        }
        let mut day = date;
        for _ in 0..LOOK_AHEAD_DAYS {
            if !self.has_day(day) {
                return Some(day);
            }
            let last = self.dates.last_with(day).unwrap_or(day);
            day = last.tomorrow().ok()?;
        }
        None
    }

    fn covered_from(&self, date: Date) -> Option<Date> {
        if self.has_day(date) {
            return Some(date);
        }
        let week = || std::iter::successors(Some(date), |day| day.tomorrow().ok()).take(7);
        let on_weekday = (self.weekdays.len() > 0)
            .then(|| week().find(|day| self.has_day(*day)))
            .flatten();
        on_weekday
            .into_iter()
            .chain(self.dates.first_from(date))
            .min()
    }

    fn document(&self) -> Value {
        let mut document = Map::new();
        if let Some(name) = &self.name {
            document.insert("name".to_owned(), name.as_str().into());
        }
        document.insert("timezone".to_owned(), self.zone.name().into());
        let Written {
            dates,
            weekdays,
            times,
        } = &*self.written;
        let dates: Vec<String> = dates.iter().map(Dates::to_string).collect();
        let weekdays: Vec<String> = weekdays.iter().map(|days| days.text.clone()).collect();
        let times: Vec<String> = times.iter().map(Window::to_string).collect();
        for (key, list) in [("dates", dates), ("weekdays", weekdays), ("times", times)] {
            if !list.is_empty() {
                document.insert(key.to_owned(), list.into());
            }
        }
        Value::Object(document)
    }
}

impl From<Calendar> for Value {
    fn from(calendar: Calendar) -> Value {
        calendar.document()
    }
}

crate::wire::coded!(Calendar);

#[cfg(test)]
mod tests;
