use proptest::prelude::*;
use proptest::{collection, sample};
use serde_json::json;

use super::*;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

fn read(document: &Value) -> Calendar {
    Calendar::try_from(document.clone()).unwrap_or_else(|faults| panic!("{document}: {faults}"))
}

fn ms(text: &str) -> UnixMs {
    let at: jiff::Timestamp = text.parse().expect(text);
    UnixMs(u64::try_from(at.as_millisecond()).expect("after 1970"))
}

fn any_calendar() -> impl Strategy<Value = Calendar> {
    let dates = [
        "2026-03-29",
        "2026-04-03/2026-04-06",
        "12-24/01-06",
        "02-29",
        "2026-10-25",
    ];
    let weekdays = ["SAT", "MON-FRI", "sat-mon", "SUN"];
    let times = [
        "09:00-17:00",
        "22:00-06:00",
        "02:30-02:45",
        "00:00-24:00",
        "23:59:59-00:00",
    ];
    let some = |all: &[&'static str]| collection::vec(sample::select(all.to_vec()), 0..3);
    let zones = ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "-09:30"];
    let zones = sample::select(zones.to_vec());
    (zones, some(&dates), some(&weekdays), some(&times))
        .prop_filter("something", |(_, dates, weekdays, times)| {
            !(dates.is_empty() && weekdays.is_empty() && times.is_empty())
        })
        .prop_map(|(zone, dates, weekdays, times)| {
            let mut document = json!({ "name": "days", "timezone": zone });
            for (key, list) in [("dates", dates), ("weekdays", weekdays), ("times", times)] {
                if !list.is_empty() {
                    document[key] = json!(list);
                }
            }
            read(&document)
        })
}

proptest! {
    #[test]
    fn until_it_may_change_a_calendar_stays_as_it_is(
        calendar in any_calendar(), at in 0..730 * DAY, within in 0.0..1.0,
    ) {
        let at = UnixMs(ms("2026-01-01T00:00:00Z").0 + at);
        let until = calendar.same_until(at);
        let covers = calendar.covers(at);
        prop_assert!(until.is_none_or(|until| until > at));
        let end = until.unwrap_or(UnixMs(at.0 + 20 * 365 * DAY));
        let middle = at.0 + ((end.0 - at.0) as f64 * within) as u64;
        for other in [middle.min(end.0 - 1), end.0 - 1] {
            prop_assert_eq!(calendar.covers(UnixMs(other)), covers, "{}", other);
        }
    }

    #[test]
    fn a_calendar_is_read_back_as_it_was(calendar in any_calendar()) {
        let bytes = crate::wire::encode(&calendar);
        prop_assert_eq!(crate::wire::decode::<Calendar>(&bytes), Ok(calendar.clone()));
        let toml = toml::to_string(&calendar).expect("no nulls");
        prop_assert_eq!(Calendar::parse(&toml, crate::job::parse::Format::Toml), Ok(calendar));
    }
}

#[test]
fn a_calendar_covers_its_dates_and_weekdays_at_its_times() {
    let calendar = read(&json!({
        "name": "quiet", "timezone": "Europe/Berlin",
        "dates": ["2026-12-24/2026-12-26", "01-01"], "weekdays": ["SAT-SUN"], "times": ["20:00-24:00", "00:00-06:00"],
    }));
    for (at, covered) in [
        ("2026-12-24T18:59:59Z", false),
        ("2026-12-24T19:00:00Z", true),
        ("2026-12-24T22:59:59Z", true),
        ("2026-12-25T04:59:59.999Z", true),
        ("2026-12-25T05:00:00Z", false),
        ("2026-12-28T22:00:00Z", false),
        ("2027-12-31T22:59:59Z", false),
        ("2027-12-31T23:00:00Z", true),
        ("2026-12-06T19:30:00Z", true),
    ] {
        assert_eq!(calendar.covers(ms(at)), covered, "{at}");
    }
}

#[test]
fn times_over_midnight_belong_to_the_day_on_which_they_begin() {
    let friday = read(&json!({
        "name": "friday-night", "timezone": "UTC", "weekdays": ["FRI"], "times": ["22:00-06:00"],
    }));
    for (at, covered) in [
        ("2026-12-04T05:00:00Z", false),
        ("2026-12-04T22:00:00Z", true),
        ("2026-12-05T05:59:59Z", true),
        ("2026-12-05T06:00:00Z", false),
        ("2026-12-05T22:00:00Z", false),
    ] {
        assert_eq!(friday.covers(ms(at)), covered, "{at}");
    }
}

#[test]
fn what_never_changes_is_known_not_to() {
    let always =
        read(&json!({ "name": "all", "timezone": "Europe/Berlin", "weekdays": ["MON-SUN"] }));
    assert_eq!(always.same_until(ms("2026-12-01T00:00:00Z")), None);
    let over =
        read(&json!({ "name": "over", "timezone": "Europe/Berlin", "dates": ["2020-01-01"] }));
    assert_eq!(over.same_until(ms("2026-12-01T00:00:00Z")), None);
    // The turn of a century without a leap day.
    let leap = read(&json!({ "name": "leap", "timezone": "UTC", "dates": ["02-29"] }));
    let next = leap.same_until(ms("2096-03-01T00:00:00Z"));
    assert_eq!(next, Some(ms("2104-02-29T00:00:00Z")));
}

#[test]
fn each_fault_of_a_calendar_is_told_with_its_key() {
    for (document, wanted) in [
        (
            json!({ "name": "2026-holidays", "timezone": "UTC", "dates": ["12-24"] }),
            "name: must be a name that begins with a letter: a schedule takes what begins with a digit for a date, found \"2026-holidays\"",
        ),
        (
            json!({ "name": "a", "dates": ["12-24"] }),
            "timezone: is missing: say whose days they are, as \"Europe/Berlin\"",
        ),
        (
            json!({ "name": "a", "timezone": "Mars", "dates": ["12-24"] }),
            "timezone: time zone \"Mars\" is unknown: write a name of the IANA database as \"Europe/Berlin\", \"UTC\", or an offset of up to 14 hours as \"+02:00\"",
        ),
        (
            json!({ "name": "a", "timezone": "Berlin", "dates": ["12-24"] }),
            "timezone: time zone \"Berlin\" is unknown: write a name of the IANA database as \"Europe/Berlin\", \"UTC\", or an offset of up to 14 hours as \"+02:00\"; did you mean \"Europe/Berlin\"?",
        ),
        (
            json!({ "name": "a", "timezone": "UTC", "weekdays": "1-5" }),
            "weekdays: must be a weekday as \"SAT\", or a range of them as \"MON-FRI\", found \"1-5\"",
        ),
        (
            json!({ "name": "a", "timezone": "UTC" }),
            "must have one of dates, weekdays and times: without them it would cover everything",
        ),
        (
            json!({ "name": "a", "timezone": "UTC", "dates": [] }),
            "dates: must be a list with 1 to 1000 entries, found a list of 0",
        ),
        (
            json!({ "name": "a", "timezone": "UTC", "dates": ["12-24", "02-30"] }),
            "dates[1]: must be a date as \"2026-12-24\", a range as \"2026-12-24/2026-12-26\", or such of each year as \"12-24\" and \"12-24/01-06\", found \"02-30\"",
        ),
        (
            json!({ "name": "a", "timezone": "UTC", "weekdays": ["1-5"] }),
            "weekdays[0]: must be a weekday as \"SAT\", or a range of them as \"MON-FRI\", found \"1-5\"",
        ),
        (
            json!({ "name": "a", "timezone": "UTC", "times": ["00:00-24:00", "00:00-00:00"] }),
            "times[1]: must be times of a day, from one to another, as \"09:00-17:00\" or \"22:00-06:00\", found \"00:00-00:00\"",
        ),
        (
            json!({ "name": "a", "timezone": "UTC", "times": ["9-17"] }),
            "times[0]: must be times of a day, from one to another, as \"09:00-17:00\" or \"22:00-06:00\", found \"9-17\"",
        ),
        (
            json!({ "name": "a", "timezone": "UTC", "times": ["09:00-17:00"], "week_days": ["SAT"] }),
            "week_days: is no known key; did you mean `weekdays`?",
        ),
    ] {
        let faults = Calendar::try_from(document).expect_err(wanted);
        assert_eq!(faults.to_string(), wanted);
    }
    let hostile = vec!["12-24"; crate::limits::CALENDAR_DATES_MAX + 1];
    let hostile = json!({ "name": "a", "timezone": "UTC", "dates": hostile });
    assert!(Calendar::try_from(hostile).is_err());
}

#[test]
fn one_entry_alone_needs_no_list() {
    let with = |form: fn(&str) -> Value| {
        read(&json!({
            "name": "c", "timezone": "UTC", "weekdays": form("MON-FRI"), "dates": form("12-24"), "times": form("09:00-12:00"),
        }))
    };
    assert_eq!(with(|text| json!(text)), with(|text| json!([text])));
}

#[test]
fn range_that_seems_backwards_is_told_and_one_over_the_turn_of_the_year_is_not() {
    let told = |dates: &str| {
        let calendar = read(&json!({ "name": "c", "timezone": "UTC", "dates": [dates] }));
        calendar
            .warnings()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    for usual in [
        "12-24/12-26",
        "12-24/01-06",
        "12-26",
        "2026-12-24/2026-12-26",
        "10-01/03-31",
    ] {
        assert_eq!(told(usual), [] as [String; 0], "{usual}");
    }
    assert_eq!(
        told("12-26/12-24"),
        ["dates: 12-26/12-24 goes over the turn of the year, 365 days: did you mean 12-24/12-26?"]
    );
}

#[test]
fn calendar_is_told_in_words() {
    for (document, words) in [
        (
            json!({ "weekdays": ["MON-FRI"], "times": ["09:00-12:00", "13:00-17:00"] }),
            "Monday to Friday, 09:00-12:00 and 13:00-17:00 (Europe/Berlin)",
        ),
        (
            json!({ "weekdays": ["SAT", "SUN"], "dates": ["12-24/12-26"] }),
            "Saturday, Sunday and 12-24/12-26 (Europe/Berlin)",
        ),
        (
            json!({ "times": ["22:00-24:00"] }),
            "every day, 22:00-24:00 (Europe/Berlin)",
        ),
        (
            json!({ "dates": ["01-01", "01-02", "01-03", "01-04", "01-05", "01-06", "01-07", "01-08"] }),
            "01-01, 01-02, 01-03, 01-04, 01-05, 01-06 and 2 more (Europe/Berlin)",
        ),
    ] {
        let mut document = document;
        document["name"] = "c".into();
        document["timezone"] = "Europe/Berlin".into();
        assert_eq!(read(&document).words(), words);
    }
}
