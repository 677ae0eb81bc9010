//! A cron expression in English, as `at 09:30, on Monday to Friday`. It says what was understood, also where that is
//! not what was meant: weekdays by name, since their numbers differ between dialects.

use super::cron::Cron;
use super::days::{Days, MonthDays, WeekDays};
use super::field::{DAY, Set, YEAR};

/// So many times of a day are told one by one.
const TIMES_MAX: u32 = 6;
pub(super) const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Cron {
    /// The expression in English, for people to see whether it is what they meant.
    pub fn words(&self) -> String {
        let mut parts = vec![times(self)];
        parts.extend(days(&self.days));
        if self.months.len() < 12 {
            let name = |month: u16| MONTHS[usize::from(month)].to_owned();
            parts.push(format!("in {}", listed(self.months, 12, name)));
        }
        if let Some(years) = self.years {
            let year = |year: u16| (year + YEAR.least).to_string();
            parts.push(format!(
                "in {}",
                listed(years, YEAR.most - YEAR.least + 1, year)
            ));
        }
        parts.join(", ")
    }
}

fn times(cron: &Cron) -> String {
    let (hours, minutes, seconds) = (cron.hours, cron.minutes, cron.seconds);
    let whole_minutes = seconds.len() == 1 && seconds.contains(0);
    let sizes = [hours, minutes, seconds].map(|set| u32::from(set.len()));
    if sizes.iter().product::<u32>() <= TIMES_MAX {
        let mut times = Vec::new();
        for hour in hours.iter() {
            for minute in minutes.iter() {
                for second in seconds.iter() {
                    let second = if whole_minutes {
                        String::new()
                    } else {
                        format!(":{second:02}")
                    };
                    times.push(format!("{hour:02}:{minute:02}{second}"));
                }
            }
        }
        return format!("at {}", joined(times, "and"));
    }
    let mut parts = Vec::new();
    if !whole_minutes {
        parts.push(unit(seconds, 60, "second", "the minute"));
    }
    if whole_minutes || minutes.len() < 60 {
        parts.push(unit(minutes, 60, "minute", "the hour"));
    }
    if hours.len() < 24 {
        let hours = unit(hours, 24, "hour", "the day");
        parts.push(hours.replacen("at ", "in ", 1));
    } else if minutes.len() == 1 && whole_minutes {
        parts.insert(0, "every hour".to_owned());
    }
    parts.join(", ")
}

/// `every 5 minutes`, `at minutes 5 and 20 of the hour`.
fn unit(set: Set, count: u16, name: &str, whole: &str) -> String {
    let values: Vec<u16> = set.iter().collect();
    let step = values.get(1).map_or(0, |second| second - values[0]);
    let even = values.windows(2).all(|pair| pair[1] - pair[0] == step);
    if values.len() == usize::from(count) {
        format!("every {name}")
    } else if even && step > 1 && values[0] == 0 && step * set.len() == count {
        format!("every {step} {name}s")
    } else {
        let plural = if values.len() == 1 { "" } else { "s" };
        let values = listed(set, count, |value| value.to_string());
        format!("at {name}{plural} {values} of {whole}")
    }
}

fn days(days: &Days) -> Option<String> {
    let in_month = days_of_month(&days.month);
    let in_week = days_of_week(&days.week);
    match (in_month, in_week) {
        (None, None) => None,
        (Some(days), None) | (None, Some(days)) => Some(format!("on {days}")),
        (Some(in_month), Some(in_week)) if days.either => {
            Some(format!("on {in_month}, and also on {in_week}"))
        }
        (Some(in_month), Some(in_week)) => Some(format!("on {in_month} if it is also {in_week}")),
    }
}

/// `None` for every day.
fn days_of_month(days: &MonthDays) -> Option<String> {
    let plain = bits(days.days);
    if plain.len() == DAY.most {
        return None;
    }
    let mut parts = Vec::new();
    if plain.len() > 0 {
        let plural = if plain.len() == 1 { "" } else { "s" };
        let days = listed(plain, 32, |day| day.to_string());
        parts.push(format!("day{plural} {days} of the month"));
    }
    let last = |before: u16| match before {
        0 => "the last day of the month".to_owned(),
        1 => "the day before the last of the month".to_owned(),
        _ => format!("the day {before} days before the last of the month"),
    };
    parts.extend(bits(days.before_last).iter().map(last));
    let nearest = |day: u16| format!("the weekday nearest to day {day} of the month");
    parts.extend(bits(days.nearest).iter().map(nearest));
    let nearest_last = |before: u16| match before {
        0 => "the last weekday of the month".to_owned(),
        _ => format!("the weekday nearest to {}", last(before)),
    };
    parts.extend(bits(days.nearest_before_last).iter().map(nearest_last));
    Some(joined(parts, "and"))
}

/// `None` for every day.
fn days_of_week(days: &WeekDays) -> Option<String> {
    if days.days.len() == 7 {
        return None;
    }
    let name = |day: u16| WEEKDAYS[usize::from(day % 7)].to_owned();
    let mut parts = Vec::new();
    if days.days.len() > 0 {
        parts.push(listed(from_monday(days.days), 8, name));
    }
    let last = |day: u16| format!("the last {} of the month", name(day));
    parts.extend(days.last.iter().map(last));
    for (nth, set) in ["first", "second", "third", "fourth", "fifth"]
        .iter()
        .zip(days.nth)
    {
        let nth = |day: u16| format!("the {nth} {} of the month", name(day));
        parts.extend(set.iter().map(nth));
    }
    Some(joined(parts, "and"))
}

/// Sunday as the seventh day: a week's end is told as `Saturday and Sunday`.
fn from_monday(days: Set) -> Set {
    let mut moved = Set::default();
    days.iter()
        .for_each(|day| moved.insert(if day == 0 { 7 } else { day }));
    moved
}

fn bits(bits: u32) -> Set {
    let mut set = Set::default();
    (0..32)
        .filter(|bit| bits & (1 << bit) != 0)
        .for_each(|bit| set.insert(bit));
    set
}

/// The values below `count`: three or more in a row as a range.
fn listed(set: Set, count: u16, name: impl Fn(u16) -> String) -> String {
    let mut parts = Vec::new();
    let mut next = set.from(0);
    while let Some(first) = next {
        let after = (first..count)
            .find(|value| !set.contains(*value))
            .unwrap_or(count);
        match after - first {
            1 => parts.push(name(first)),
            2 => parts.extend([name(first), name(first + 1)]),
            _ => parts.push(format!("{} to {}", name(first), name(after - 1))),
        }
        next = set.from(after);
    }
    joined(parts, "and")
}

fn joined(mut parts: Vec<String>, word: &str) -> String {
    match parts.pop() {
        None => String::new(),
        Some(last) if parts.is_empty() => last,
        Some(last) => format!("{} {word} {last}", parts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::cron::Dialect;
    use super::*;

    #[test]
    fn an_expression_reads_as_people_would_say_it() {
        for (text, wanted) in [
            ("30 9 * * 1-5", "at 09:30, on Monday to Friday"),
            ("0 9,17 * * *", "at 09:00 and 17:00"),
            (
                "*/15 9-17 * * 6,0",
                "every 15 minutes, in hours 9 to 17 of the day, on Saturday and Sunday",
            ),
            ("* * * * *", "every minute"),
            ("0 * * * *", "every hour, at minute 0 of the hour"),
            (
                "*/7 * * * *",
                "at minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56 of the hour",
            ),
            ("0 */6 * * *", "at 00:00, 06:00, 12:00 and 18:00"),
            ("0 */2 * * *", "at minute 0 of the hour, every 2 hours"),
            ("* * * * * ?", "every second"),
            (
                "*/10 30 * * * ?",
                "every 10 seconds, at minute 30 of the hour",
            ),
            ("30 0 12 * * ?", "at 12:00:30"),
            (
                "0 0 0 13 * 5",
                "at 00:00, on day 13 of the month if it is also Friday",
            ),
            (
                "0 0 13 * 5",
                "at 00:00, on day 13 of the month, and also on Friday",
            ),
            (
                "0 0 1 1,6-8 *",
                "at 00:00, on day 1 of the month, in January and June to August",
            ),
            (
                "0 0 12 L-3 * ?",
                "at 12:00, on the day 3 days before the last of the month",
            ),
            (
                "0 0 12 15W,LW * ?",
                "at 12:00, on the weekday nearest to day 15 of the month and the last weekday of the month",
            ),
            (
                "0 0 12 ? * 6#3 2026",
                "at 12:00, on the third Friday of the month, in 2026",
            ),
            ("0 0 12 ? * 6L", "at 12:00, on the last Friday of the month"),
            (
                "0 0 12 ? * 1 2026-2030,2035",
                "at 12:00, on Sunday, in 2026 to 2030 and 2035",
            ),
        ] {
            let both = text == "0 0 0 13 * 5";
            let dialect = both.then_some(Dialect::Spring);
            let cron = Cron::parse(text, dialect).expect(text);
            assert_eq!(cron.words(), wanted, "{text}");
        }
    }
}
