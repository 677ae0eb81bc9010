//! How a length of time is written: `"500ms"`, `"90s"`, `"1h30m"`; and how it is told to people: `4.2 s`.

use std::time::Duration;

/// Why a text is no length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not of the form.
    #[error("must be a duration such as \"500ms\", \"30s\", \"10m\", \"2h\", \"1d\" or \"1h30m\"")]
    Malformed,
    /// More milliseconds than 64 bits hold.
    #[error("must be shorter than 500 million years")]
    TooLong,
}

/// Units, longest first: the order in which they may be combined.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The milliseconds that `text` says: whole numbers with the units `d`, `h`, `m`, `s` and `ms`,
/// longest first, each at most once.
///
/// # Errors
/// When the text is not of that form.
///
/// ```
/// use gridloom_shared::duration::parse_duration;
/// assert_eq!(parse_duration("1h30m"), Ok(5_400_000));
/// assert!(parse_duration("30").is_err());
/// ```
pub fn parse_duration(text: &str) -> Result<u64, DurationError> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut smaller = UNITS.as_slice();
    while !rest.is_empty() {
        let (number, after) = split_at_first(rest, |c| !c.is_ascii_digit());
        let (unit, after) = split_at_first(after, |c| c.is_ascii_digit());
        let place = smaller.iter().position(|(name, _)| *name == unit);
        let place = place.ok_or(DurationError::Malformed)?;
        if number.is_empty() {
            return Err(DurationError::Malformed);
        }
        let number: u64 = number.parse().map_err(|_| DurationError::TooLong)?;
        let part = number.checked_mul(smaller[place].1);
        total = part
            .and_then(|part| total.checked_add(part))
            .ok_or(DurationError::TooLong)?;
        smaller = &smaller[place + 1..];
        rest = after;
    }
    if text.is_empty() {
        return Err(DurationError::Malformed);
    }
    Ok(total)
}

fn split_at_first(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(stop).unwrap_or(text.len()))
}

/// The shortest text that [`parse_duration`] reads as `ms` milliseconds.
pub fn write_duration(ms: u64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut rest = ms;
    let mut text = String::new();
    for (unit, size) in UNITS {
        let whole = rest / size;
        rest %= size;
        if whole > 0 {
            text.push_str(&whole.to_string());
            text.push_str(unit);
        }
    }
    text
}

/// How other tools write units, and what they are here.
const SPELLINGS: [(&[&str], u64); 6] = [
    (&["weeks", "week", "wk", "w"], 7 * 86_400_000),
    (&["days", "day", "d"], 86_400_000),
    (&["hours", "hour", "hrs", "hr", "h"], 3_600_000),
    (&["minutes", "minute", "mins", "min", "m"], 60_000),
    (&["seconds", "second", "secs", "sec", "s"], 1_000),
    (&["milliseconds", "millis", "msec", "ms"], 1),
];

/// The duration that may be meant by a text that is none: `5min`, `1w`, `2 hours`.
pub fn meant_duration(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let (number, unit) = split_at_first(&text, |c| !c.is_ascii_digit());
    let unit = unit.trim_start();
    let known = SPELLINGS.iter().find(|(names, _)| names.contains(&unit));
    let number: u64 = number.parse().ok()?;
    number.checked_mul(known?.1).map(write_duration)
}

/// A duration as people say it: `850 ms`, `4.2 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_numbers_with_units_from_long_to_short() {
        for (text, ms) in [
            ("0s", 0),
            ("500ms", 500),
            ("1s", 1_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("1d2h3m4s5ms", 93_784_005),
        ] {
            assert_eq!(parse_duration(text), Ok(ms), "{text}");
        }
        for bad in [
            "", "5", "s", "1.5s", "-1s", "1m1h", "1s1s", "1 s", "1S", "1w", "1h30",
        ] {
            assert_eq!(parse_duration(bad), Err(DurationError::Malformed), "{bad}");
        }
        for long in ["99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(parse_duration(long), Err(DurationError::TooLong), "{long}");
        }
    }

    #[test]
    fn what_other_tools_write_is_told_as_it_is_written_here() {
        for (text, meant) in [
            ("5min", Some("5m")),
            ("1w", Some("7d")),
            ("2 Hours", Some("2h")),
            ("90 sec", Some("1m30s")),
            ("5", None),
            ("soon", None),
            ("5 moons", None),
            ("99999999999999999999w", None),
        ] {
            assert_eq!(meant_duration(text).as_deref(), meant, "{text}");
        }
    }

    #[test]
    fn what_was_written_is_read_back() {
        for ms in [0, 1, 999, 1_000, 61_001, 86_400_000, u64::MAX] {
            assert_eq!(parse_duration(&write_duration(ms)), Ok(ms));
        }
    }
}
