//! Which days a cron expression fires on: the fields day of month and day of week, and how they go together.
//!
//! | written | the day | |
//! |---------|---------|-|
//! | `L` | the last of the month | `L-3`: the third before it |
//! | `15W` | the weekday (Monday to Friday) nearest to the 15th, in the same month | `LW`: the last weekday |
//! | `6L` | the last Friday of the month (by Quartz's numbers; `FRIL`) | |
//! | `6#3` | the third Friday of the month (`FRI#3`) | |
//!
//! A month without such a day has none: `31W` does not fire in April.

use jiff::civil::Date;

use super::field::{DAY, Fault, Field, OpenStep, Set, number};

/// The bits of the days 1 to 31, by their number.
const EVERY_DAY: u32 = !1;

/// Both fields of days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Days {
    pub(super) month: MonthDays,
    pub(super) week: WeekDays,
    /// Either field is enough, as in Unix where both say something. Else both have to fit.
    pub(super) either: bool,
}

/// What the field day of month says. Bits are days, from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MonthDays {
    pub(super) days: u32,
    /// Bit n: n days before the last.
    pub(super) before_last: u32,
    /// Weekdays nearest to these days.
    pub(super) nearest: u32,
    /// Bit n: weekdays nearest to n days before the last.
    pub(super) nearest_before_last: u32,
}

/// What the field day of week says. Values are days from Sunday.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WeekDays {
    pub(super) days: Set,
    /// The last such day of the month.
    pub(super) last: Set,
    /// The first, second, ... such day of the month.
    pub(super) nth: [Set; 5],
}

impl Days {
    /// The days of a month that fit, as bits; none where there is no such month.
    pub(super) fn of(&self, year: i16, month: i8) -> u32 {
        let Ok(first) = Date::new(year, month, 1) else {
            return 0;
        };
        let month = Month {
            length: first.days_in_month().unsigned_abs().into(),
            first: first
                .weekday()
                .to_sunday_zero_offset()
                .unsigned_abs()
                .into(),
        };
        let (by_month, by_week) = (self.month.of(month), self.week.of(month));
        if self.either {
            by_month | by_week
        } else {
            by_month & by_week
        }
    }
}

impl MonthDays {
    /// Every day of the month.
    pub(super) fn every() -> MonthDays {
        MonthDays {
            days: EVERY_DAY,
            ..MonthDays::default()
        }
    }

    pub(super) fn parse(text: &str, open: OpenStep) -> Result<MonthDays, Fault> {
        let mut days = MonthDays::default();
        let mut plain = Set::default();
        for item in text.split(',') {
            let upper = item.to_ascii_uppercase();
            let (day, nearest) = match upper.strip_suffix('W') {
                Some(day) => (day, true),
                None => (upper.as_str(), false),
            };
            if let Some(offset) = day.strip_prefix('L') {
                let bit = 1 << before_last(offset)?;
                if nearest {
                    days.nearest_before_last |= bit;
                } else {
                    days.before_last |= bit;
                }
            } else if nearest {
                days.nearest |= 1 << DAY.value(day).map_err(|_| Fault::Nearest)?;
            } else {
                DAY.add(item, open, &mut plain)?;
            }
        }
        for day in plain.iter() {
            days.days |= 2 << day;
        }
        Ok(days)
    }

    fn of(&self, month: Month) -> u32 {
        let mut days = self.days & month.days();
        for day in 1..=month.length {
            let left = month.length - day;
            if self.before_last & (1 << left) != 0 {
                days |= 1 << day;
            }
            if self.nearest & (1 << day) != 0 || self.nearest_before_last & (1 << left) != 0 {
                days |= 1 << month.nearest_weekday(day);
            }
        }
        days
    }
}

/// What stands behind an `L`: nothing, or `-3`.
fn before_last(text: &str) -> Result<u16, Fault> {
    if text.is_empty() {
        return Ok(0);
    }
    text.strip_prefix('-')
        .and_then(number)
        .filter(|offset| *offset <= 30)
        .ok_or(Fault::BeforeLast)
}

impl WeekDays {
    /// Every day of the week.
    pub(super) fn every() -> WeekDays {
        let mut days = WeekDays::default();
        (0..7).for_each(|day| days.days.insert(day));
        days
    }

    pub(super) fn parse(field: Field, text: &str, open: OpenStep) -> Result<WeekDays, Fault> {
        let mut days = WeekDays::default();
        let day = |text: &str| Ok((field.value(text)? - field.least) % 7);
        for item in text.split(',') {
            if let Some((weekday, nth)) = item.split_once('#') {
                let nth = number(nth).filter(|nth| (1..=5).contains(nth));
                let nth = nth.ok_or(Fault::Nth)?;
                days.nth[usize::from(nth - 1)].insert(day(weekday)?);
            } else if let Some(weekday) = item.strip_suffix(['L', 'l']) {
                if weekday.is_empty() {
                    return Err(Fault::LastOfWeek);
                }
                days.last.insert(day(weekday)?);
            } else {
                field.add(item, open, &mut days.days)?;
            }
        }
        Ok(days)
    }

    fn of(&self, month: Month) -> u32 {
        let mut days = 0;
        for day in 1..=month.length {
            let weekday = month.weekday(day);
            let nth = self.nth.get(usize::from((day - 1) / 7));
            if self.days.contains(weekday)
                || day + 7 > month.length && self.last.contains(weekday)
                || nth.is_some_and(|nth| nth.contains(weekday))
            {
                days |= 1 << day;
            }
        }
        days
    }
}

/// A month of a year, as far as its days are concerned.
#[derive(Clone, Copy)]
struct Month {
    length: u16,
    /// The weekday of the first, from Sunday.
    first: u16,
}

impl Month {
    fn days(self) -> u32 {
        EVERY_DAY & (u32::MAX >> (31 - self.length))
    }

    fn weekday(self, day: u16) -> u16 {
        (self.first + day - 1) % 7
    }

    /// The day from Monday to Friday that is nearest to `day`, without leaving the month.
    fn nearest_weekday(self, day: u16) -> u16 {
        match self.weekday(day) {
            6 if day == 1 => 3,
            6 => day - 1,
            0 if day == self.length => day - 2,
            0 => day + 1,
            _ => day,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::field::WEEKDAY;
    use super::*;

    fn days(month: &str, week: &str, year: i16, number: i8) -> Vec<u32> {
        let month = MonthDays::parse(month, OpenStep::ToTheEnd).expect("days of month");
        let week = WeekDays::parse(WEEKDAY, week, OpenStep::ToTheEnd).expect("days of week");
        let either = false;
        let bits = Days {
            month,
            week,
            either,
        }
        .of(year, number);
        (0..32).filter(|day| bits & (1 << day) != 0).collect()
    }

    #[test]
    fn days_from_the_end_of_the_month_follow_its_length() {
        for (text, year, month, wanted) in [
            ("L", 2024, 2, vec![29]),
            ("L", 2025, 2, vec![28]),
            ("l-3", 2026, 4, vec![27]),
            ("L-30", 2026, 1, vec![1]),
            ("L-30", 2026, 2, vec![]),
            ("31,L", 2026, 4, vec![30]),
            ("1,L-1,15", 2026, 1, vec![1, 15, 30]),
        ] {
            assert_eq!(days(text, "*", year, month), wanted, "{text}");
        }
    }

    #[test]
    fn nearest_weekday_stays_in_its_month() {
        // August 2026 begins on a Saturday and ends on a Monday; May 2026 ends on a Sunday.
        for (text, month, wanted) in [
            ("1W", 8, vec![3]),
            ("2W", 8, vec![3]),
            ("15W", 8, vec![14]),
            ("12w", 8, vec![12]),
            ("31W", 5, vec![29]),
            ("30W", 5, vec![29]),
            ("LW", 5, vec![29]),
            ("LW", 8, vec![31]),
            ("L-1W", 5, vec![29]),
            ("31W", 4, vec![]),
        ] {
            assert_eq!(days(text, "*", 2026, month), wanted, "{text} of {month}");
        }
    }

    #[test]
    fn weekdays_are_counted_from_both_ends_of_the_month() {
        for (text, wanted) in [
            ("5L", vec![28]),
            ("monL", vec![31]),
            ("6#5", vec![29]),
            ("SAT#1,0#1", vec![1, 2]),
            ("5#5", vec![]),
            ("5L,1#1", vec![3, 28]),
        ] {
            assert_eq!(days("*", text, 2026, 8), wanted, "{text}");
        }
    }

    #[test]
    fn days_that_nobody_can_mean_are_refused() {
        let month = |text| MonthDays::parse(text, OpenStep::ToTheEnd);
        for text in ["0W", "32W", "W", "1-5W", "*W"] {
            assert_eq!(month(text), Err(Fault::Nearest), "{text}");
        }
        for text in ["L-", "L-31", "L3", "L--1", "L-99999999999"] {
            assert_eq!(month(text), Err(Fault::BeforeLast), "{text}");
        }
        let week = |text| WeekDays::parse(WEEKDAY, text, OpenStep::ToTheEnd);
        for text in ["5#0", "5#6", "5#", "5#x"] {
            assert_eq!(week(text), Err(Fault::Nth), "{text}");
        }
        assert_eq!(week("L"), Err(Fault::LastOfWeek));
        assert!(matches!(week("8L"), Err(Fault::NoValue { .. })));
    }
}
