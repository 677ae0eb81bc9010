//! What one field of a cron expression may say, and the values that it takes in. What only days can say
//! (`L`, `W`, `#`) stands in the room of days.

/// What is wrong with what stands in a field, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Neither number nor name, or out of bounds.
    #[error("must be {least} to {most}{}", or_names(names))]
    NoValue {
        /// Least number.
        least: u16,
        /// Greatest number.
        most: u16,
        /// First and last name, where there are names.
        names: Option<(&'static &'static str, &'static &'static str)>,
    },
    /// A step that is none.
    #[error("must have a step of 1 to {most} behind its /")]
    Step {
        /// Greatest step.
        most: u16,
    },
    /// `5/15`, of which crons differ in what it means.
    #[error(
        "crons differ in what this means: write {first}-{last}/{step} for each {step}th from {first} on"
    )]
    OpenStep {
        /// Where it begins.
        first: u16,
        /// The field's last value.
        last: u16,
        /// Its step.
        step: u16,
    },
    /// A range of years from a later to an earlier one.
    #[error("must begin with the earlier year")]
    Backwards,
    /// `?` where it does not belong.
    #[error("must be * here: ? is for day of month or day of week, in quartz and spring")]
    Question,
    /// `?` twice.
    #[error("must be * if day of month is ?: only one of them can be left open")]
    BothOpen,
    /// Both fields of days say something, in Quartz.
    #[error(
        "must be ? if day of month is none of ? and *, or the other way round: quartz goes by one of them; unix takes either, spring both"
    )]
    BothDays,
    /// A `W` without a day.
    #[error("must have a day of 1 to 31 before its W, as 15W, or be LW or L-3W")]
    Nearest,
    /// An `L` with something wrong behind it.
    #[error("must be L, or L-1 to L-30 for so many days before the last")]
    BeforeLast,
    /// A `#` without a number.
    #[error("must have 1 to 5 behind its #: FRI#3 is the third Friday")]
    Nth,
    /// `L` without a weekday.
    #[error("must have a weekday before its L: FRIL is the last Friday of the month")]
    LastOfWeek,
}

fn or_names(names: &Option<(&&str, &&str)>) -> String {
    match names {
        Some((first, last)) => format!(", or {first} to {last}"),
        None => String::new(),
    }
}

/// Values of a field, counted from the field's least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Set([u64; 3]);

impl Set {
    pub(super) fn insert(&mut self, value: u16) {
        self.0[usize::from(value / 64)] |= 1 << (value % 64);
    }

    pub(super) fn contains(self, value: u16) -> bool {
        self.0
            .get(usize::from(value / 64))
            .is_some_and(|word| word & (1 << (value % 64)) != 0)
    }

    /// The least value that is not below `least`.
    pub(super) fn from(self, least: u16) -> Option<u16> {
        let first = usize::from(least / 64);
        (first..self.0.len()).find_map(|at| {
            let below = if at == first { least % 64 } else { 0 };
            let word = self.0[at] & (u64::MAX << below);
            (word != 0).then(|| u16::try_from(at).unwrap_or(0) * 64 + first_of(word))
        })
    }

    pub(super) fn iter(self) -> impl Iterator<Item = u16> {
        let next = move |value: &u16| self.from(value + 1);
        std::iter::successors(self.from(0), next)
    }

    pub(super) fn len(self) -> u16 {
        u16::try_from(self.0.iter().map(|word| word.count_ones()).sum::<u32>()).unwrap_or(0)
    }
}

fn first_of(word: u64) -> u16 {
    u16::try_from(word.trailing_zeros()).unwrap_or(0)
}

/// One field: how it is called, and its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// What people call it.
    pub(super) name: &'static str,
    /// Least value that may be written.
    pub(super) least: u16,
    /// Greatest value that may be written.
    pub(super) most: u16,
    /// Where `*` begins, and what its steps are counted from.
    first: u16,
    /// How many different values there are: Sunday may be both 0 and 7.
    count: u16,
    /// Names of the values, from the least on.
    pub(super) names: &'static [&'static str],
}

const MONTHS: &[&str] = &[
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const fn numbers(name: &'static str, least: u16, most: u16) -> Field {
    Field {
        name,
        least,
        most,
        first: least,
        count: most - least + 1,
        names: &[],
    }
}

pub(super) const SECOND: Field = numbers("second", 0, 59);
pub(super) const MINUTE: Field = numbers("minute", 0, 59);
pub(super) const HOUR: Field = numbers("hour", 0, 23);
pub(super) const DAY: Field = numbers("day of month", 1, 31);
pub(super) const MONTH: Field = Field {
    names: MONTHS,
    ..numbers("month", 1, 12)
};
/// 0 and 7 are Sunday.
pub(super) const WEEKDAY: Field = Field {
    count: 7,
    names: WEEKDAYS,
    ..numbers("day of week", 0, 7)
};
/// 1 is Sunday.
pub(super) const WEEKDAY_OF_QUARTZ: Field = Field {
    least: 1,
    first: 1,
    ..WEEKDAY
};
/// 0 and 7 are Sunday, and the week begins on Monday.
pub(super) const WEEKDAY_OF_SPRING: Field = Field {
    first: 1,
    ..WEEKDAY
};
pub(super) const YEAR: Field = numbers("year", 1970, 2099);

/// What `5/15` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenStep {
    /// From 5 on, each 15th.
    ToTheEnd,
    /// Crons do not agree, so it is refused.
    Refused,
}

impl Field {
    /// The values of a whole field: a list of what [`Field::add`] takes.
    pub(super) fn set(&self, text: &str, open: OpenStep) -> Result<Set, Fault> {
        let mut set = Set::default();
        for item in text.split(',') {
            self.add(item, open, &mut set)?;
        }
        Ok(set)
    }

    /// Adds what one item of a list says: `*`, `5`, `5-9`, and each with `/2` behind it. A range may wrap
    /// around, except one of years.
    pub(super) fn add(&self, item: &str, open: OpenStep, set: &mut Set) -> Result<(), Fault> {
        let (range, step) = match item.split_once('/') {
            None => (item, None),
            Some((range, step)) => (range, Some(self.step(step)?)),
        };
        let whole = (self.first, self.first + self.count - 1);
        let (first, mut last) = match (range, step) {
            ("*", _) => whole,
            // Quartz writes it so.
            ("", Some(_)) if open == OpenStep::ToTheEnd => whole,
            _ => match (range.split_once('-'), step) {
                (Some((first, last)), _) => (self.value(first)?, self.value(last)?),
                (None, None) => (self.value(range)?, self.value(range)?),
                (None, Some(step)) => {
                    let (first, last) = (self.value(range)?, whole.1);
                    if open == OpenStep::Refused {
                        return Err(Fault::OpenStep { first, last, step });
                    }
                    (first, last)
                }
            },
        };
        if last < first {
            if *self == YEAR {
                return Err(Fault::Backwards);
            }
            last += self.count;
        }
        for value in (first..=last).step_by(usize::from(step.unwrap_or(1))) {
            set.insert((value - self.least) % self.count);
        }
        Ok(())
    }

    /// A value, by number or name.
    pub(super) fn value(&self, text: &str) -> Result<u16, Fault> {
        let named = |name: &&str| name.eq_ignore_ascii_case(text);
        if let Some(at) = self.names.iter().position(named) {
            return Ok(self.least + u16::try_from(at).unwrap_or(0));
        }
        let wrong = || Fault::NoValue {
            least: self.least,
            most: self.most,
            names: self.names.first().zip(self.names.last()),
        };
        let value = number(text).ok_or_else(wrong)?;
        if (self.least..=self.most).contains(&value) {
            Ok(value)
        } else {
            Err(wrong())
        }
    }

    fn step(&self, text: &str) -> Result<u16, Fault> {
        let most = if *self == YEAR {
            self.count - 1
        } else {
            self.most
        };
        number(text)
            .filter(|step| (1..=most).contains(step))
            .ok_or(Fault::Step { most })
    }
}

/// A number of digits alone. What is too large for any field is none.
pub(super) fn number(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(field: Field, text: &str) -> Result<Vec<u16>, Fault> {
        let set = field.set(text, OpenStep::ToTheEnd)?;
        Ok(set.iter().map(|value| value + field.least).collect())
    }

    #[test]
    fn a_field_is_a_list_of_values_ranges_and_steps() {
        for (field, text, wanted) in [
            (MINUTE, "5", vec![5]),
            (MINUTE, "*/20", vec![0, 20, 40]),
            (MINUTE, "/20", vec![0, 20, 40]),
            (MINUTE, "50/4", vec![50, 54, 58]),
            (MINUTE, "1,3-5,3", vec![1, 3, 4, 5]),
            (HOUR, "22-1", vec![0, 1, 22, 23]),
            (HOUR, "20-4/3", vec![2, 20, 23]),
            (MONTH, "nov-Feb", vec![1, 2, 11, 12]),
            (DAY, "30-2", vec![1, 2, 30, 31]),
            (WEEKDAY, "7", vec![0]),
            (WEEKDAY, "5-7", vec![0, 5, 6]),
            (WEEKDAY, "sat-sun", vec![0, 6]),
            (WEEKDAY, "6-3/2", vec![1, 3, 6]),
            (WEEKDAY, "*/2", vec![0, 2, 4, 6]),
            (WEEKDAY, "5/2", vec![5]),
            (WEEKDAY_OF_SPRING, "*/2", vec![0, 1, 3, 5]),
            (WEEKDAY_OF_SPRING, "5/2", vec![0, 5]),
            (WEEKDAY_OF_SPRING, "0/3", vec![0, 3, 6]),
            (WEEKDAY_OF_SPRING, "*", vec![0, 1, 2, 3, 4, 5, 6]),
            (WEEKDAY_OF_QUARTZ, "*/3", vec![1, 4, 7]),
            (WEEKDAY_OF_QUARTZ, "1,7", vec![1, 7]),
            (WEEKDAY_OF_QUARTZ, "FRI-MON", vec![1, 2, 6, 7]),
            (YEAR, "2098-2099", vec![2098, 2099]),
            (YEAR, "1970/100", vec![1970, 2070]),
        ] {
            assert_eq!(values(field, text), Ok(wanted), "{} {text}", field.name);
        }
        let all: Vec<u16> = (1970..=2099).collect();
        assert_eq!(values(YEAR, "*"), Ok(all));
    }

    #[test]
    fn what_is_no_value_is_refused_however_large() {
        for text in [
            "",
            "60",
            "-1",
            "+1",
            "1-",
            "x",
            "99999999999999999999",
            "1 ",
            "é",
        ] {
            let refused = values(MINUTE, text);
            assert!(matches!(refused, Err(Fault::NoValue { .. })), "{text}");
        }
        for text in [
            "*/0",
            "*/60",
            "*/",
            "*/x",
            "1/2/3",
            "*/99999999999999999999",
        ] {
            assert_eq!(
                values(MINUTE, text),
                Err(Fault::Step { most: 59 }),
                "{text}"
            );
        }
        assert_eq!(values(YEAR, "2030-2029"), Err(Fault::Backwards));
        assert_eq!(
            MINUTE.set("5/15", OpenStep::Refused),
            Err(Fault::OpenStep {
                first: 5,
                last: 59,
                step: 15
            })
        );
    }
}
