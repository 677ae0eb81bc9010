//! Days by their dates: of one year, or of each.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;

use super::moment::date;

/// A date or several in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dates {
    /// `2026-12-24`, `2026-12-24/2026-12-26`.
    Once {
        /// The first.
        first: Date,
        /// The last, not before the first.
        last: Date,
    },
    /// `12-24`, `12-24/12-26`; `12-24/01-06` goes over the turn of the year.
    Yearly {
        /// The first.
        first: YearDay,
        /// The last.
        last: YearDay,
    },
}

/// A date of each year that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct YearDay {
    month: u8,
    day: u8,
}

/// Why a text names no days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatesError {
    /// Not of the form, or no such day.
    #[error(
        "must be a date as \"2026-12-24\", a range as \"2026-12-24/2026-12-26\", or such of each year as \"12-24\" and \"12-24/01-06\""
    )]
    Malformed,
    /// The last day is before the first.
    #[error("must begin with the earlier date")]
    Backwards,
}

impl FromStr for Dates {
    type Err = DatesError;

    fn from_str(text: &str) -> Result<Dates, DatesError> {
        let (first, last) = text.split_once('/').unwrap_or((text, text));
        if let (Some(first), Some(last)) = (date(first), date(last)) {
            return if first <= last {
                Ok(Dates::Once { first, last })
            } else {
                Err(DatesError::Backwards)
            };
        }
        match (YearDay::parse(first), YearDay::parse(last)) {
            (Some(first), Some(last)) => Ok(Dates::Yearly { first, last }),
            _ => Err(DatesError::Malformed),
        }
    }
}

impl Dates {
    /// What may be meant by a range of each year that has nearly all of it: it begins with its later date. With how many
    /// days it has.
    pub fn seems_backwards(&self) -> Option<(Dates, i32)> {
        let Dates::Yearly { first, last } = *self else {
            return None;
        };
        let (from, to) = (first.of_leap_year()?, last.of_leap_year()?);
        let days = 366 - i32::from(from.day_of_year()) + i32::from(to.day_of_year()) + 1;
        let meant = Dates::Yearly {
            first: last,
            last: first,
        };
        (from > to && days > SELDOM_MEANT).then_some((meant, days))
    }

    /// That it may be meant the other way around, as people are told.
    pub fn warning(&self) -> Option<String> {
        let (meant, days) = self.seems_backwards()?;
        Some(format!(
            "{self} goes over the turn of the year, {days} days: did you mean {meant}?"
        ))
    }
}

/// So many days of each year nobody takes for a holiday.
const SELDOM_MEANT: i32 = 300;

impl fmt::Display for Dates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dates::Once { first, last } if first == last => write!(f, "{first}"),
            Dates::Once { first, last } => write!(f, "{first}/{last}"),
            Dates::Yearly { first, last } if first == last => write!(f, "{first}"),
            Dates::Yearly { first, last } => write!(f, "{first}/{last}"),
        }
    }
}

/// A year that has each date.
const LEAP_YEAR: i16 = 2000;

impl YearDay {
    /// `12-24`.
    fn parse(text: &str) -> Option<YearDay> {
        if text.len() != 5 {
            return None;
        }
        date(&format!("{LEAP_YEAR}-{text}")).map(YearDay::of)
    }

    fn of_leap_year(self) -> Option<Date> {
        let (month, day) = (i8::try_from(self.month).ok()?, i8::try_from(self.day).ok()?);
        Date::new(LEAP_YEAR, month, day).ok()
    }

    /// The date of its year.
    pub(super) fn of(date: Date) -> YearDay {
        YearDay {
            month: date.month().unsigned_abs(),
            day: date.day().unsigned_abs(),
        }
    }
}

impl fmt::Display for YearDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}-{:02}", self.month, self.day)
    }
}

/// Days, joined: as quick to ask whatever they were made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DateSet {
    /// In order, and none touches another.
    once: Vec<(Date, Date)>,
    /// The days of each month, as bits.
    yearly: [u32; 13],
}

impl DateSet {
    pub(super) fn new(all: &[Dates]) -> DateSet {
        let mut set = DateSet::default();
        let mut ranges = Vec::new();
        for dates in all {
            match *dates {
                Dates::Once { first, last } => ranges.push((first, last)),
                Dates::Yearly { first, last } if first <= last => set.add_yearly(first, last),
                Dates::Yearly { first, last } => {
                    set.add_yearly(YearDay { month: 1, day: 1 }, last);
                    set.add_yearly(first, YearDay { month: 12, day: 31 });
                }
            }
        }
        ranges.sort_unstable();
        for (first, last) in ranges {
            match set.once.last_mut() {
                Some(before) if before.1.tomorrow().is_ok_and(|next| first <= next) => {
                    before.1 = before.1.max(last);
                }
                Some(_) | None => set.once.push((first, last)),
            }
        }
        set
    }

    fn add_yearly(&mut self, first: YearDay, last: YearDay) {
        for month in first.month..=last.month {
            let from = if month == first.month { first.day } else { 1 };
            let until = if month == last.month { last.day } else { 31 };
            let days = (u32::MAX << from) & (u32::MAX >> (31 - until));
            self.yearly[usize::from(month)] |= days;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.once.is_empty() && self.yearly.iter().all(|days| *days == 0)
    }

    pub(super) fn contains(&self, date: Date) -> bool {
        let YearDay { month, day } = YearDay::of(date);
        let yearly = self.yearly[usize::from(month)] & (1 << day) != 0;
        yearly || self.last_with(date).is_some()
    }

    /// The last day of the range of dates of one year that `date` is in.
    pub(super) fn last_with(&self, date: Date) -> Option<Date> {
        let after = self.once.partition_point(|(first, _)| *first <= date);
        let (_, last) = self.once.get(after.checked_sub(1)?)?;
        Some(*last).filter(|last| date <= *last)
    }

    /// The first day of the next of its ranges, from `date` on, where `date` is in none.
    pub(super) fn first_from(&self, date: Date) -> Option<Date> {
        let next = self.once.partition_point(|(first, _)| *first < date);
        let once = self.once.get(next).map(|(first, _)| *first);
        once.into_iter().chain(self.yearly_from(date)).min()
    }

    fn yearly_from(&self, date: Date) -> Option<Date> {
        let (mut year, mut month) = (date.year(), date.month());
        let mut from = u32::MAX << date.day();
        for _ in 0..LEAP_MONTHS {
            let mut days = self.yearly[usize::from(month.unsigned_abs())] & from;
            while days != 0 {
                let day = i8::try_from(days.trailing_zeros()).ok()?;
                if let Ok(found) = Date::new(year, month, day) {
                    return Some(found);
                }
                days &= days - 1;
            }
            from = u32::MAX;
            month += 1;
            if month > 12 {
                (year, month) = (year.checked_add(1)?, 1);
            }
        }
        None
    }
}

/// From one 29 February to the next there are at most eight years: the turn of a century may have none.
const LEAP_MONTHS: u32 = 8 * 12 + 1;

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn days_are_read_as_they_are_written() {
        for text in [
            "2026-12-24",
            "2026-12-24/2026-12-26",
            "12-24",
            "12-24/12-26",
            "12-24/01-06",
            "02-29",
        ] {
            let dates: Dates = text.parse().expect(text);
            assert_eq!(dates.to_string(), text);
        }
        for (text, error) in [
            ("", DatesError::Malformed),
            ("2026-12", DatesError::Malformed),
            ("2026-02-29", DatesError::Malformed),
            ("02-30", DatesError::Malformed),
            ("2026-12-24/", DatesError::Malformed),
            ("2026-12-24/12-26", DatesError::Malformed),
            ("2026-12-24/2026-12-25/2026-12-26", DatesError::Malformed),
            ("2026-12-26/2026-12-24", DatesError::Backwards),
        ] {
            assert_eq!(text.parse::<Dates>(), Err(error), "{text}");
        }
    }

    #[test]
    fn days_of_a_set_are_those_of_any_of_its_ranges() {
        let read = |text: &&str| text.parse::<Dates>().expect(text);
        let all = [
            "2026-05-03/2026-05-10",
            "2026-05-01",
            "2026-05-02/2026-05-04",
            "12-24/01-06",
        ];
        let set = DateSet::new(&all.iter().map(read).collect::<Vec<_>>());
        assert_eq!(set.once, [(date(2026, 5, 1), date(2026, 5, 10))]);
        for day in [(2026, 5, 1), (2026, 5, 10), (2030, 12, 31), (1999, 1, 6)] {
            assert!(set.contains(date(day.0, day.1, day.2)), "{day:?}");
        }
        for day in [(2026, 4, 30), (2026, 5, 11), (2030, 12, 23), (1999, 1, 7)] {
            assert!(!set.contains(date(day.0, day.1, day.2)), "{day:?}");
        }
        assert_eq!(set.last_with(date(2026, 5, 2)), Some(date(2026, 5, 10)));
        assert_eq!(set.first_from(date(2026, 4, 1)), Some(date(2026, 5, 1)));
        assert_eq!(set.first_from(date(2026, 5, 11)), Some(date(2026, 12, 24)));
        assert_eq!(set.first_from(date(2027, 2, 1)), Some(date(2027, 12, 24)));
    }
}
