//! Which time zone somebody may have meant: a slip of the pen, a city without its region, an offset from UTC.

use jiff::tz;

use crate::suggest;

/// So many names are told.
const TOLD: usize = 3;
/// Where some systems have the same zones once more.
const ELSEWHERE: [&str; 2] = ["posix/", "right/"];

/// `; did you mean "Europe/Berlin"?`, or nothing.
pub(super) fn hint(near: &[String]) -> String {
    let quoted: Vec<String> = near.iter().map(|name| format!("{name:?}")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => format!("; did you mean {only}?"),
        Some((last, others)) => format!("; did you mean {} or {last}?", others.join(", ")),
    }
}

/// What clocks are called for a part of the year, and a place whose clocks are called so: such a word says nothing of the
/// rest of the year.
const CLOCKS: &[(&str, &str)] = &[
    ("CEST", "Europe/Berlin"),
    ("EEST", "Europe/Athens"),
    ("WEST", "Europe/Lisbon"),
    ("BST", "Europe/London"),
    ("EDT", "America/New_York"),
    ("CDT", "America/Chicago"),
    ("MDT", "America/Denver"),
    ("PST", "America/Los_Angeles"),
    ("PDT", "America/Los_Angeles"),
    ("JST", "Asia/Tokyo"),
    ("AEST", "Australia/Sydney"),
    ("AEDT", "Australia/Sydney"),
];

/// What may have been meant by `text`, which is no zone: the nearest first.
pub(super) fn near(text: &str) -> Vec<String> {
    let clocks = text.trim().to_ascii_uppercase();
    if let Some((_, place)) = CLOCKS.iter().find(|(name, _)| *name == clocks) {
        return vec![(*place).to_owned()];
    }
    if let Some(offset) = offset_from_utc(text) {
        return vec![offset];
    }
    let word = spelled(text);
    let mut names: Vec<(String, String)> = tz::db()
        .available()
        .map(|name| (spelled(name.as_str()), name.as_str().to_owned()))
        .filter(|(_, name)| {
            name.contains('/') && !ELSEWHERE.iter().any(|dir| name.starts_with(dir))
        })
        .collect();
    // The database gives them in any order.
    names.sort();
    let mut found = nearest(
        &word,
        names.iter().map(|(spelled, name)| (&**spelled, name)),
    );
    if found.is_empty() && !word.contains('/') {
        let cities = names
            .iter()
            .map(|(spelled, name)| (spelled.rsplit('/').next().unwrap_or_default(), name));
        found = nearest(&word, cities);
    }
    found
}

/// The names whose words are so near to `word` that it can only be a slip of the pen.
fn nearest<'n>(word: &str, names: impl Iterator<Item = (&'n str, &'n String)>) -> Vec<String> {
    let mut left: Vec<(&str, &String)> = names.collect();
    let mut found = Vec::new();
    while found.len() < TOLD {
        let Some(near) = suggest::slip(word, left.iter().map(|(spelled, _)| *spelled)) else {
            break;
        };
        let exact = near == word;
        let Some(place) = left.iter().position(|(spelled, _)| *spelled == near) else {
            break;
        };
        found.push(left.swap_remove(place).1.clone());
        if exact {
            break;
        }
    }
    found
}

/// As names are compared: capitals and spaces are easily written otherwise.
fn spelled(name: &str) -> String {
    name.trim().to_lowercase().replace(' ', "_")
}

/// `UTC+2`, `GMT-3:30`: as an offset is written here.
fn offset_from_utc(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_uppercase();
    let rest = text
        .strip_prefix("UTC")
        .or_else(|| text.strip_prefix("GMT"))?;
    let sign = rest.chars().next().filter(|sign| "+-".contains(*sign))?;
    let (hours, minutes) = rest[1..].split_once(':').unwrap_or((&rest[1..], "0"));
    let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 14 && minutes < 60).then(|| format!("{sign}{hours:02}:{minutes:02}"))
}

#[cfg(test)]
mod tests {
    use super::super::Zone;
    use super::*;

    #[test]
    fn zone_that_may_be_meant_is_named() {
        for (text, meant) in [
            ("Europe/Berlon", "Europe/Berlin"),
            ("europe/berln", "Europe/Berlin"),
            ("Berlin", "Europe/Berlin"),
            ("America/New York", "America/New_York"),
            ("UTC+2", "+02:00"),
            ("gmt-3:30", "-03:30"),
            ("CEST", "Europe/Berlin"),
            ("pst", "America/Los_Angeles"),
        ] {
            let near = near(text);
            assert_eq!(
                near.first().map(String::as_str),
                Some(meant),
                "{text}: {near:?}"
            );
            assert!(Zone::new(&near[0]).is_ok(), "{near:?}");
        }
        for text in ["Mars", "", "UTC+99", "x/y"] {
            assert_eq!(near(text), [] as [String; 0], "{text}");
        }
    }

    #[test]
    fn names_are_told_as_a_question() {
        let said =
            |names: &[&str]| hint(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(said(&[]), "");
        assert_eq!(said(&["a"]), "; did you mean \"a\"?");
        assert_eq!(said(&["a", "b"]), "; did you mean \"a\" or \"b\"?");
    }
}
