//! What a cron expression means: the moments of civil time, which has neither zones nor clock changes, that it
//! names. The room of zones says at which instants these are.
//!
//! | dialect | fields | days of the week | both fields of days |
//! |---------|--------|------------------|---------------------|
//! | Unix | minute hour day month weekday | 0 and 7 are Sunday | either is enough, unless one begins with `*` |
//! | Quartz | second minute hour day month weekday \[year\] | 1 is Sunday | one says nothing (`?` or `*`) |
//! | Spring | second minute hour day month weekday | 0 and 7 are Sunday, steps are counted from Monday on | both have to fit |
//!
//! Names (`MON`, `JAN`), lists, steps, ranges that wrap around (`FRI-MON`, `22-2`) and `L`, `W` and `#` mean the same
//! in each; `@daily` and its like too. What crons do not agree on is refused: `5/15` in Unix.

use jiff::civil::{Date, DateTime, Time};

use super::days::{Days, MonthDays, WeekDays};
use super::field::{
    DAY, Fault, Field, HOUR, MINUTE, MONTH, OpenStep, SECOND, Set, WEEKDAY, WEEKDAY_OF_QUARTZ,
    WEEKDAY_OF_SPRING, YEAR,
};
use crate::limits::CRON_BYTES_MAX;

/// Whose rules an expression follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The crontab's: five fields.
    Unix,
    /// Quartz's: six or seven fields.
    Quartz,
    /// Spring's `@Scheduled`: six fields.
    Spring,
}

/// Why a text is no cron expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Longer than anybody writes.
    #[error(
        "cron expression has {0} bytes: at most {CRON_BYTES_MAX}; several expressions can stand in a list"
    )]
    TooLong(usize),
    /// Not as many fields as any dialect has, or as the one that was named.
    #[error(
        "cron expression {text:?} has {found} fields: write five (minute, hour, day of month, month, day of week), or for quartz and spring six, with the second before them; quartz takes a year behind them"
    )]
    Fields {
        /// The expression, cut to 64 characters.
        text: String,
        /// How many it has.
        found: usize,
    },
    /// Begins with `@`, and is none of those.
    #[error(
        "cron expression {0:?} is unknown: write @yearly, @monthly, @weekly, @daily or @hourly, or the fields"
    )]
    Nickname(String),
    /// A field is wrong.
    #[error("{field} {text:?} of the cron expression is not understood")]
    Field {
        /// What people call the field.
        field: &'static str,
        /// What stands there, cut to 64 characters.
        text: String,
        /// What is wrong, and what would be right.
        #[source]
        fault: Fault,
    },
    /// No date fits.
    #[error(
        "cron expression {0:?} never fires: no date fits its day of month, month, day of week and year"
    )]
    Never(String),
}

/// A cron expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    pub(super) seconds: Set,
    pub(super) minutes: Set,
    pub(super) hours: Set,
    pub(super) days: Days,
    pub(super) months: Set,
    /// All, where it names none.
    pub(super) years: Option<Set>,
}

/// Within so many years there is each of the fourteen kinds of year, also across a century without a leap day: what
/// fits none of them never fires.
const KINDS_OF_YEAR: i16 = 40;
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

impl Cron {
    /// Reads an expression. Without a dialect five fields are Unix, six and seven Quartz.
    ///
    /// # Errors
    /// When it is none, or when no date fits it.
    ///
    /// ```
    /// use gridloom_shared::schedule::Cron;
    /// let cron = Cron::parse("30 9 * * MON-FRI", None).expect("an expression");
    /// assert_eq!(cron.words(), "at 09:30, on Monday to Friday");
    /// assert!(Cron::parse("0 0 0 31 2 ?", None).is_err());
    /// ```
    pub fn parse(text: &str, dialect: Option<Dialect>) -> Result<Cron, CronError> {
        if text.len() > CRON_BYTES_MAX {
            return Err(CronError::TooLong(text.len()));
        }
        let written: Vec<&str> = text.split_ascii_whitespace().collect();
        let (fields, dialect) = match written.as_slice() {
            [nickname] if nickname.starts_with('@') => {
                let unix = nicknamed(nickname);
                let unix = unix.ok_or_else(|| CronError::Nickname(shortened(nickname)))?;
                (unix.split(' ').collect(), Dialect::Unix)
            }
            fields => {
                let found = fields.len();
                let dialect = dialect.unwrap_or(if found == 5 {
                    Dialect::Unix
                } else {
                    Dialect::Quartz
                });
                if !dialect.takes(found) {
                    let text = shortened(text);
                    return Err(CronError::Fields { text, found });
                }
                (written, dialect)
            }
        };
        let cron = Reader { fields, dialect }.cron()?;
        match cron.first_from(EPOCH) {
            Some(_) => Ok(cron),
            None => Err(CronError::Never(shortened(text))),
        }
    }

    /// Fires in every hour of the day: a cadence rather than a time of day.
    pub(super) fn is_interval(&self) -> bool {
        self.hours.len() == HOUR.most + 1
    }

    /// The first moment that fits and is not before `from`, which is a whole second.
    pub(super) fn first_from(&self, from: DateTime) -> Option<DateTime> {
        let mut date = from.date();
        let mut days = self.days_of(date) & (u32::MAX << date.day());
        if days & (1 << date.day()) != 0 {
            if let Some(time) = self.time_from(from.time()) {
                return Some(date.to_datetime(time));
            }
            days &= !(1 << date.day());
        }
        let last = match self.years {
            None => date.year().saturating_add(KINDS_OF_YEAR),
            Some(_) => i16::MAX,
        };
        while days == 0 {
            date = self.next_month(date).filter(|next| next.year() <= last)?;
            days = self.days_of(date);
        }
        let day = i8::try_from(days.trailing_zeros()).ok()?;
        let date = Date::new(date.year(), date.month(), day).ok()?;
        Some(date.to_datetime(self.time_from(Time::midnight())?))
    }

    /// The days that fit in the month of `date`, as bits.
    fn days_of(&self, date: Date) -> u32 {
        let month = u16::from(date.month().unsigned_abs());
        if self.has_year(date.year()) && self.months.contains(month - MONTH.least) {
            self.days.of(date.year(), date.month())
        } else {
            0
        }
    }

    fn has_year(&self, year: i16) -> bool {
        let Some(years) = self.years else { return true };
        let year = u16::try_from(year).ok();
        year.and_then(|year| year.checked_sub(YEAR.least))
            .is_some_and(|year| years.contains(year))
    }

    /// The first day of the next month that may fit: months of other years are not looked at one by one.
    fn next_month(&self, date: Date) -> Option<Date> {
        if date.month() < 12 && self.has_year(date.year()) {
            return Date::new(date.year(), date.month() + 1, 1).ok();
        }
        let next = date.year().checked_add(1)?;
        let year = match self.years {
            None => next,
            Some(years) => {
                let least = u16::try_from(next).ok()?.saturating_sub(YEAR.least);
                i16::try_from(years.from(least)? + YEAR.least).ok()?
            }
        };
        Date::new(year, 1, 1).ok()
    }

    /// The first time of a day that fits and is not before `from`.
    fn time_from(&self, from: Time) -> Option<Time> {
        let part = |value: i8| u16::from(value.unsigned_abs());
        let (hour, minute, second) = (part(from.hour()), part(from.minute()), part(from.second()));
        let first = (self.minutes.from(0)?, self.seconds.from(0)?);
        let within = || {
            let same = || Some((minute, self.seconds.from(second)?));
            let later = || Some((self.minutes.from(minute + 1)?, first.1));
            let same = same().filter(|_| self.minutes.contains(minute));
            same.or_else(later)
                .map(|(minute, second)| (hour, minute, second))
        };
        let later = || Some((self.hours.from(hour + 1)?, first.0, first.1));
        let within = self.hours.contains(hour).then(within).flatten();
        let (hour, minute, second) = within.or_else(later)?;
        let part = |value: u16| i8::try_from(value).ok();
        Time::new(part(hour)?, part(minute)?, part(second)?, 0).ok()
    }
}

impl Dialect {
    fn takes(self, fields: usize) -> bool {
        match self {
            Dialect::Unix => fields == 5,
            Dialect::Quartz => fields == 6 || fields == 7,
            Dialect::Spring => fields == 6,
        }
    }
}

/// Reads fields, as many as the dialect takes.
struct Reader<'a> {
    fields: Vec<&'a str>,
    dialect: Dialect,
}

impl Reader<'_> {
    fn cron(&self) -> Result<Cron, CronError> {
        // The fields as Quartz counts them.
        let less = usize::from(self.dialect == Dialect::Unix);
        let text = |at: usize| at.checked_sub(less).and_then(|at| self.fields.get(at));
        let set = |at: usize, field: Field| match text(at) {
            None => Ok(None),
            Some(&"?") => Err(wrong(field, "?", Fault::Question)),
            Some(text) => match field.set(text, self.open_step()) {
                Ok(set) => Ok(Some(set)),
                Err(fault) => Err(wrong(field, text, fault)),
            },
        };
        let mut at_zero = Set::default();
        at_zero.insert(0);
        Ok(Cron {
            seconds: set(0, SECOND)?.unwrap_or(at_zero),
            minutes: set(1, MINUTE)?.unwrap_or_default(),
            hours: set(2, HOUR)?.unwrap_or_default(),
            days: self.days(self.fields[3 - less], self.fields[5 - less])?,
            months: set(4, MONTH)?.unwrap_or_default(),
            years: set(6, YEAR)?.filter(|years| years.len() <= YEAR.most - YEAR.least),
        })
    }

    fn days(&self, month: &str, week: &str) -> Result<Days, CronError> {
        let weekday = match self.dialect {
            Dialect::Quartz => WEEKDAY_OF_QUARTZ,
            Dialect::Spring => WEEKDAY_OF_SPRING,
            Dialect::Unix => WEEKDAY,
        };
        let free = |text: &str| text == "?" || text == "*";
        match self.dialect {
            Dialect::Unix if month == "?" => return Err(wrong(DAY, month, Fault::Question)),
            Dialect::Unix if week == "?" => return Err(wrong(weekday, week, Fault::Question)),
            Dialect::Quartz if month == "?" && week == "?" => {
                return Err(wrong(weekday, week, Fault::BothOpen));
            }
            Dialect::Quartz if !free(month) && !free(week) => {
                return Err(wrong(weekday, week, Fault::BothDays));
            }
            Dialect::Unix | Dialect::Quartz | Dialect::Spring => {}
        }
        // In Quartz this is the week's last day.
        let saturday = self.dialect == Dialect::Quartz && week.eq_ignore_ascii_case("L");
        let in_month = match month {
            "?" => Ok(MonthDays::every()),
            _ => MonthDays::parse(month, self.open_step()),
        };
        let in_week = match week {
            "?" => Ok(WeekDays::every()),
            _ if saturday => WeekDays::parse(weekday, "SAT", self.open_step()),
            _ => WeekDays::parse(weekday, week, self.open_step()),
        };
        Ok(Days {
            month: in_month.map_err(|fault| wrong(DAY, month, fault))?,
            week: in_week.map_err(|fault| wrong(weekday, week, fault))?,
            either: self.dialect == Dialect::Unix
                && !month.starts_with('*')
                && !week.starts_with('*'),
        })
    }

    fn open_step(&self) -> OpenStep {
        match self.dialect {
            Dialect::Unix => OpenStep::Refused,
            Dialect::Quartz | Dialect::Spring => OpenStep::ToTheEnd,
        }
    }
}

fn wrong(field: Field, text: &str, fault: Fault) -> CronError {
    CronError::Field {
        field: field.name,
        text: shortened(text),
        fault,
    }
}

fn nicknamed(text: &str) -> Option<&'static str> {
    let fields = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => return None,
    };
    Some(fields)
}

fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests;
