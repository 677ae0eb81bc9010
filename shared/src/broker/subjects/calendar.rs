//! Keys of calendars, in the `state` bucket.

use super::Subjects;
use crate::id::CalendarName;

impl Subjects {
    /// What a calendar says.
    pub fn calendar_key(&self, name: &CalendarName) -> String {
        format!("calendar.{name}")
    }

    /// The calendar whose [`Subjects::calendar_key`] `key` is.
    pub fn parse_calendar_key(&self, key: &str) -> Option<CalendarName> {
        CalendarName::new(key.strip_prefix("calendar.")?).ok()
    }

    /// All calendars, as a filter of keys.
    pub fn all_calendars(&self) -> &'static str {
        "calendar.>"
    }
}
