//! How a nominal time is told to people: by the clocks of the schedule's zone, and in UTC.

use jiff::civil::DateTime;

use super::Nominal;
use crate::clock::UnixMs;
use crate::id::CalendarName;
use crate::schedule::zone::Zone;

/// A nominal time for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wording {
    /// By the clocks of the zone, with the offset that tells the two passes of an overlap apart:
    /// `Tue 2026-12-01 06:00:00 +01:00`.
    pub local: String,
    /// In UTC: `2026-12-01T05:00:00Z`.
    pub utc: String,
    /// When it opens by the clocks of the zone, where `jitter` or `spread` move that: `06:03:12`.
    pub opens: Option<String>,
    /// What is to be said of it beyond its time: that it was moved, is taken out, or waits for a calendar.
    pub note: Option<String>,
}

/// `waits_for`: a calendar that is not there, without which nobody knows whether it is taken out.
pub(super) fn of(zone: &Zone, nominal: &Nominal, waits_for: Option<&CalendarName>) -> Wording {
    let utc = nominal.at.to_the_second();
    let moved = |from: DateTime| format!("moved from {}: clocks leave it out", from.time());
    let excluded = |name: &String| match waits_for {
        Some(calendar) => format!("waits for calendar {calendar}, which is not there"),
        None => format!("taken out: {name}"),
    };
    let notes = nominal.moved_from.map(moved).into_iter();
    let notes: Vec<String> = notes
        .chain(nominal.excluded.as_ref().map(excluded))
        .collect();
    Wording {
        local: local(zone, nominal.at),
        opens: (nominal.opens_at != nominal.at).then(|| time(zone, nominal)),
        utc,
        note: (!notes.is_empty()).then(|| notes.join("; ")),
    }
}

/// `Tue 2026-12-01 06:00:00 +01:00`.
pub(super) fn local(zone: &Zone, at: UnixMs) -> String {
    written(zone, at, "%a %Y-%m-%d %H:%M:%S %:z").unwrap_or_else(|| at.to_the_second())
}

/// `Tue 06:00:00 +01:00`: beside the time in UTC, which says the date.
pub(super) fn short(zone: &Zone, at: UnixMs) -> String {
    written(zone, at, "%a %H:%M:%S %:z").unwrap_or_else(|| at.to_the_second())
}

/// When a fire opens: the time, and the day where it is another.
fn time(zone: &Zone, nominal: &Nominal) -> String {
    let day = |at| zone.civil(at).map(|civil| civil.date());
    let form = match day(nominal.at) == day(nominal.opens_at) {
        true => "%H:%M:%S",
        false => "%a %H:%M:%S",
    };
    written(zone, nominal.opens_at, form).unwrap_or_else(|| nominal.opens_at.to_the_second())
}

fn written(zone: &Zone, at: UnixMs, form: &str) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()?;
    let zoned = at.to_zoned_datetime(zone.rules().clone());
    Some(zoned.strftime(form).to_string())
}
