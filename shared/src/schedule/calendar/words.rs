//! A calendar in English, as `Monday to Friday, from 09:00 to 17:00 (Europe/Berlin)`.

use super::{Calendar, Dates, Window};
use crate::schedule::words::WEEKDAYS;

/// So many dates are told.
const TOLD: usize = 6;

impl Calendar {
    /// What it covers, in English.
    pub fn words(&self) -> String {
        let written = &self.written;
        let weekdays = written.weekdays.iter().map(|days| weekdays(&days.text));
        let mut days: Vec<String> = weekdays.collect();
        let dates = written.dates.iter().take(TOLD).map(Dates::to_string);
        days.extend(dates);
        match written.dates.len().saturating_sub(TOLD) {
            0 => {}
            more => days.push(format!("{more} more")),
        }
        let mut parts = vec![match days.is_empty() {
            true => "every day".to_owned(),
            false => joined(days),
        }];
        if !written.times.is_empty() {
            let times = written.times.iter().map(Window::to_string);
            parts.push(joined(times.collect()));
        }
        format!("{} ({})", parts.join(", "), self.zone.name())
    }
}

fn weekdays(text: &str) -> String {
    let name = |short: &str| {
        let mut all = WEEKDAYS.iter();
        let found = all.find(|name| name.to_ascii_uppercase().starts_with(short));
        found.map_or(short.to_owned(), ToString::to_string)
    };
    let names: Vec<String> = text.split('-').map(name).collect();
    names.join(" to ")
}

fn joined(mut all: Vec<String>) -> String {
    match all.pop() {
        Some(last) if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        last => last.unwrap_or_default(),
    }
}
