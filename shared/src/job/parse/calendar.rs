//! What a calendar's file may say. The type itself does not know how it is read.

use serde_json::Value;

use super::fault::Faults;
use super::node::{Fields, Node};
use super::{Format, syntax};
use crate::id::CalendarName;
use crate::limits::{CALENDAR_DATES_MAX, CALENDAR_WINDOWS_MAX};
use crate::schedule::Dates;
use crate::schedule::calendar::{Calendar, Weekdays, Window, Written};

const KEYS: &[&str] = &["name", "timezone", "dates", "weekdays", "times"];
/// More ranges of weekdays say nothing more.
const WEEKDAYS_MAX: usize = 7;

impl Calendar {
    /// The calendar that a file defines.
    ///
    /// # Errors
    /// Every fault of the text at once.
    pub fn parse(text: &str, format: Format) -> Result<Calendar, Faults> {
        Calendar::try_from(syntax::read(text, format)?)
    }

    /// As a file defines it, in TOML.
    #[cfg(feature = "files")]
    pub fn to_toml(&self) -> Option<String> {
        let table = toml::Table::try_from(Value::from(self.clone())).ok()?;
        toml::to_string_pretty(&table).ok()
    }
}

impl TryFrom<Value> for Calendar {
    type Error = Faults;

    fn try_from(document: Value) -> Result<Calendar, Faults> {
        let mut faults = Faults::default();
        let calendar = read(&Node::root(&document), &mut faults);
        faults.or(calendar)
    }
}

fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Calendar> {
    let fields = node.fields(KEYS, &[], faults)?;
    let name = fields.need("name", "schedules name a calendar by it", faults);
    let name = name.and_then(|node| name_of(&node, faults));
    let why = "say whose days they are, as \"Europe/Berlin\"";
    let zone = fields.need("timezone", why, faults);
    let zone = zone.and_then(|node| super::schedule::zone(&node, faults));
    let zone = zone.map(|(zone, _)| zone);
    let form = "a date as \"2026-12-24\", a range as \"2026-12-24/2026-12-26\", or such of each year as \"12-24\" and \"12-24/01-06\"";
    let read = |text: &str| text.parse::<Dates>().ok();
    let dates = list(&fields, "dates", CALENDAR_DATES_MAX, read, form, faults);
    let form = "a weekday as \"SAT\", or a range of them as \"MON-FRI\"";
    let weekdays = list(
        &fields,
        "weekdays",
        WEEKDAYS_MAX,
        Weekdays::parse,
        form,
        faults,
    );
    let form = "times of a day, from one to another, as \"09:00-17:00\" or \"22:00-06:00\"";
    let times = list(
        &fields,
        "times",
        CALENDAR_WINDOWS_MAX,
        Window::parse,
        form,
        faults,
    );
    if !["dates", "weekdays", "times"]
        .iter()
        .any(|key| fields.has(key))
    {
        faults.add(
            "",
            "must have one of dates, weekdays and times: without them it would cover everything",
        );
    }
    let written = Written {
        dates: dates?,
        weekdays: weekdays?,
        times: times?,
    };
    Some(Calendar::new(name?, zone?, written))
}

fn name_of(node: &Node<'_>, faults: &mut Faults) -> Option<CalendarName> {
    let name = node.name(CalendarName::new, faults)?;
    if name
        .as_str()
        .starts_with(|first: char| first.is_ascii_digit())
    {
        node.refuse("a name that begins with a letter: a schedule takes what begins with a digit for a date", faults);
        return None;
    }
    Some(name)
}

fn list<T>(
    fields: &Fields<'_>,
    key: &str,
    most: usize,
    read: impl Fn(&str) -> Option<T>,
    form: &str,
    faults: &mut Faults,
) -> Option<Vec<T>> {
    let Some(node) = fields.get(key) else {
        return Some(Vec::new());
    };
    let one = |item: &Node<'_>, faults: &mut Faults| {
        let found = item.value().as_str().and_then(&read);
        if found.is_none() {
            item.refuse(form, faults);
        }
        found
    };
    // One alone, as schedules say it.
    if node.value().is_string() {
        return Some(vec![one(&node, faults)?]);
    }
    let items = node.value().as_array().map(Vec::as_slice);
    let Some(items) = items.filter(|items| (1..=most).contains(&items.len())) else {
        node.refuse(format_args!("a list with 1 to {most} entries"), faults);
        return None;
    };
    let one = |(place, value)| one(&node.item(place, value), faults);
    let all: Vec<Option<T>> = items.iter().enumerate().map(one).collect();
    all.into_iter().collect()
}
