use std::collections::HashSet;

use jiff::civil::{Date, date};
use jiff::tz::{AmbiguousOffset, db};

use super::*;

/// Half an hour of change; two hours; twice a year by the moon; at midnight; a day that was left out; across midnight.
const ODD: [&str; 6] = [
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Africa/Casablanca",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "America/Scoresbysund",
];
const FIRST_YEAR: Date = date(2020, 1, 1);
const LAST_YEAR: Date = date(2040, 12, 31);
/// Around a change: longer than the longest of these zones, but for Apia's.
const WINDOW_SECONDS: i64 = 3 * 3_600;

fn zone(name: &str) -> Zone {
    Zone::new(name).expect(name)
}

fn read(text: &str) -> Cron {
    Cron::parse(text, None).expect(text)
}

fn unix_ms(at: Timestamp) -> UnixMs {
    UnixMs(at.as_millisecond().try_into().expect("after 1970"))
}

fn instant(date: Date) -> Timestamp {
    let utc = Offset::UTC.to_timestamp(date.to_datetime(Time::midnight()));
    utc.expect("an instant")
}

fn changes(zone: &Zone, from: Date, to: Date) -> Vec<Timestamp> {
    let following = zone.rules.following(instant(from));
    let changes = following.map(|change| change.timestamp());
    changes.take_while(|at| *at < instant(to)).collect()
}

/// One of the zones whose clocks do the same in these years: most names are other names of others.
fn distinct() -> Vec<Zone> {
    let mut seen = HashSet::new();
    let zones = db().available().map(|name| zone(name.as_str()));
    let different = |zone: &Zone| {
        let changes = changes(zone, FIRST_YEAR, LAST_YEAR);
        let offset = |at: Timestamp| (at, zone.rules.to_offset(at).seconds());
        let changes: Vec<_> = changes.into_iter().map(offset).collect();
        seen.insert(changes) || ODD.contains(&zone.name())
    };
    zones.filter(different).collect()
}

fn fires(cron: &Cron, zone: &Zone, dst: Dst, after: Timestamp, until: Timestamp) -> Vec<Fire> {
    let next = |after| next_after(cron, zone, dst, after);
    let fires = std::iter::successors(next(unix_ms(after)), |fire| next(fire.at));
    fires.take_while(|fire| fire.at < unix_ms(until)).collect()
}

/// When a daily time fires on a day, by what jiff says of that moment. `None` on a day that is left out.
fn daily(zone: &Zone, day: Date, time: Time) -> Option<UnixMs> {
    let at = |moment: DateTime| zone.rules.to_ambiguous_timestamp(moment).offset();
    let offset = match at(day.to_datetime(time)) {
        AmbiguousOffset::Unambiguous { offset } => offset,
        AmbiguousOffset::Fold { before, .. } => before,
        AmbiguousOffset::Gap { before, .. } => {
            let in_gap = |time| matches!(at(day.to_datetime(time)), AmbiguousOffset::Gap { .. });
            if in_gap(Time::midnight()) && in_gap(Time::constant(23, 59, 59, 0)) {
                return None;
            }
            let late = before
                .to_timestamp(day.to_datetime(time))
                .expect("an instant");
            let next = Timestamp::from_second(late.as_second() + 1).expect("an instant");
            let change = zone.rules.preceding(next).next().expect("a change");
            return Some(unix_ms(change.timestamp()));
        }
    };
    let at = offset.to_timestamp(day.to_datetime(time));
    Some(unix_ms(at.expect("an instant")))
}

/// Checks a daily schedule on each day from one to another, both included.
fn fires_once_a_day(zone: &Zone, time: Time, from: Date, to: Date) {
    let cron = read(&format!("{} {} * * *", time.minute(), time.hour()));
    let days = from
        .series(jiff::Span::new().days(1))
        .take_while(|day| *day <= to);
    let mut after = UnixMs(unix_ms(instant(from)).0 - 2 * 86_400_000);
    let before = from.yesterday().and_then(Date::yesterday).expect("a day");
    for day in before
        .series(jiff::Span::new().days(1))
        .take_while(|day| *day < from)
    {
        after = daily(zone, day, time).unwrap_or(after);
    }
    for day in days {
        let Some(wanted) = daily(zone, day, time) else {
            continue;
        };
        let fire = next_after(&cron, zone, Dst::default(), after);
        let at = fire.map(|fire| fire.at);
        assert_eq!(
            at,
            Some(wanted),
            "{} {time} after {after:?}: {day}",
            zone.name()
        );
        assert!(wanted > after, "{} {time} {day}", zone.name());
        after = wanted;
    }
}

#[test]
fn a_daily_schedule_fires_once_on_each_day_of_twenty_years() {
    for name in ODD
        .into_iter()
        .chain(["UTC", "Europe/Berlin", "Asia/Gaza", "+05:45"])
    {
        fires_once_a_day(
            &zone(name),
            Time::constant(2, 30, 0, 0),
            FIRST_YEAR,
            LAST_YEAR,
        );
    }
}

#[test]
fn a_daily_schedule_fires_once_a_day_around_each_change_of_each_zone() {
    let times = [
        (0, 0),
        (0, 30),
        (1, 30),
        (2, 0),
        (2, 30),
        (3, 0),
        (22, 30),
        (23, 30),
    ];
    let mut seen = 0;
    for (index, zone) in distinct().into_iter().enumerate() {
        let all = ODD.contains(&zone.name());
        for (number, change) in changes(&zone, FIRST_YEAR, LAST_YEAR)
            .into_iter()
            .enumerate()
        {
            let day = Offset::UTC.to_datetime(change).date();
            let from = Offset::UTC.to_datetime(change - jiff::SignedDuration::from_hours(72));
            let to = Offset::UTC.to_datetime(change + jiff::SignedDuration::from_hours(72));
            assert!(from.date() < day && day < to.date());
            for (at, (hour, minute)) in times.into_iter().enumerate() {
                if all || at == (index + number) % times.len() {
                    let time = Time::constant(hour, minute, 0, 0);
                    fires_once_a_day(&zone, time, from.date(), to.date());
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 1_000, "{seen} changes of clocks");
}

#[test]
fn a_day_that_a_place_left_out_has_no_fires() {
    let apia = zone("Pacific/Apia");
    let (from, to) = (instant(date(2011, 12, 29)), instant(date(2012, 1, 2)));
    for time in ["0 0", "30 12", "59 23"] {
        let cron = read(&format!("{time} * * *"));
        let found = fires(&cron, &apia, Dst::default(), from, to);
        assert!(found.iter().all(|fire| fire.moved_from.is_none()), "{time}");
        let days: Vec<i8> = found
            .iter()
            .map(|fire| apia.civil(fire.at).expect("a moment").day())
            .collect();
        assert!(!days.contains(&30), "{time}: {days:?}");
        assert!(
            days.windows(2).all(|pair| pair[0] != pair[1]),
            "{time}: {days:?}"
        );
        assert!(days.contains(&29) && days.contains(&31), "{time}: {days:?}");
    }
    fires_once_a_day(
        &apia,
        Time::constant(12, 0, 0, 0),
        date(2011, 12, 20),
        date(2012, 1, 5),
    );
}

#[test]
fn an_interval_keeps_its_cadence_through_every_change() {
    let cron = read("*/30 * * * *");
    let mut seen = 0;
    for zone in distinct() {
        for change in changes(&zone, FIRST_YEAR, LAST_YEAR) {
            let hours = |hours| change + jiff::SignedDuration::from_hours(hours);
            let found = fires(&cron, &zone, Dst::default(), hours(-4), hours(4));
            let even = |pair: &[Fire]| pair[1].at.0 - pair[0].at.0 == 1_800_000;
            assert!(
                found.windows(2).all(even),
                "{} {change}: {found:?}",
                zone.name()
            );
            assert!(found.len() >= 15);
            seen += 1;
        }
    }
    assert!(seen > 1_000, "{seen} changes of clocks");
}

/// A second, plain reading of the rules: every minute is asked whether it fires.
fn minute_by_minute(cron: &Cron, zone: &Zone, dst: Dst, from: i64, to: i64) -> Vec<UnixMs> {
    let fits = |civil: DateTime| cron.first_from(civil) == Some(civil);
    let minute = |second| Timestamp::from_second(second).expect("an instant");
    let fires = |second: i64| {
        let now = minute(second);
        let (offset, before) = (
            zone.rules.to_offset(now),
            zone.rules.to_offset(minute(second - 60)),
        );
        let civil = offset.to_datetime(now);
        if let AmbiguousOffset::Fold { before, .. } =
            zone.rules.to_ambiguous_timestamp(civil).offset()
        {
            let passes = [
                Overlap::Both,
                if offset == before {
                    Overlap::First
                } else {
                    Overlap::Second
                },
            ];
            return fits(civil) && passes.contains(&dst.overlap(cron));
        }
        let mut swallowed = before.to_datetime(now);
        while dst.gap(cron) == Gap::After && swallowed < civil {
            if fits(swallowed) {
                return true;
            }
            swallowed += jiff::SignedDuration::from_mins(1);
        }
        fits(civil)
    };
    let minutes = (from + 60..to).step_by(60);
    minutes
        .filter(|second| fires(*second))
        .map(|second| unix_ms(minute(second)))
        .collect()
}

#[test]
fn fires_around_changes_are_those_that_a_plain_reading_finds() {
    let crons = [
        "30 2 * * *",
        "0 3 * * *",
        "*/20 0-4 * * *",
        "*/45 * * * *",
        "15 * * * *",
        "* 1-3 * * *",
        "59 23 * * *",
        "0 0 * * SUN",
    ];
    let gaps = [None, Some(Gap::Skip), Some(Gap::After)];
    let overlaps = [
        None,
        Some(Overlap::First),
        Some(Overlap::Second),
        Some(Overlap::Both),
    ];
    let mut seen = 0;
    for name in ODD.into_iter().chain(["Europe/Berlin", "America/New_York"]) {
        let zone = zone(name);
        for change in changes(&zone, date(2018, 10, 1), date(2020, 1, 1)) {
            let (from, to) = (
                change.as_second() - WINDOW_SECONDS,
                change.as_second() + WINDOW_SECONDS,
            );
            let instant = |second| Timestamp::from_second(second).expect("an instant");
            for text in crons {
                let cron = read(text);
                for (gap, overlap) in gaps
                    .iter()
                    .flat_map(|gap| overlaps.map(|overlap| (*gap, overlap)))
                {
                    let dst = Dst { gap, overlap };
                    let found = fires(&cron, &zone, dst, instant(from), instant(to));
                    let found: Vec<UnixMs> = found.iter().map(|fire| fire.at).collect();
                    let wanted = minute_by_minute(&cron, &zone, dst, from, to);
                    assert_eq!(found, wanted, "{name} {change} {text} {dst:?}");
                    assert!(found.windows(2).all(|pair| pair[0] < pair[1]));
                    seen += found.len();
                }
            }
        }
    }
    assert!(seen > 10_000, "{seen} fires");
}

#[test]
fn what_a_gap_swallowed_fires_once_and_says_from_where() {
    let berlin = zone("Europe/Berlin");
    let gap = Timestamp::from_second(1_774_746_000).expect("2026-03-29 01:00 UTC");
    let hours = |hours| gap + jiff::SignedDuration::from_hours(hours);
    let several = read("10,20,30 2,4 * * *");
    let found = fires(&several, &berlin, Dst::default(), hours(-1), hours(1));
    let moved_from = Some(date(2026, 3, 29).at(2, 10, 0, 0));
    assert_eq!(
        found,
        [Fire {
            at: unix_ms(gap),
            moved_from
        }]
    );
    let skip = Dst {
        gap: Some(Gap::Skip),
        overlap: None,
    };
    assert_eq!(fires(&several, &berlin, skip, hours(-1), hours(1)), []);
}

#[test]
fn an_overlap_brings_back_what_came_last() {
    let berlin = zone("Europe/Berlin");
    let both = Dst {
        gap: None,
        overlap: Some(Overlap::Both),
    };
    let last = read("0 30 2 25 10 ? 2026");
    let (from, to) = (instant(date(2026, 1, 1)), instant(date(2030, 1, 1)));
    let found = fires(&last, &berlin, both, from, to);
    let [first, second] = found.as_slice() else {
        panic!("not two fires: {found:?}")
    };
    assert_eq!(second.at.0 - first.at.0, 3_600_000);
}

#[test]
fn zones_are_names_of_the_database_or_offsets() {
    let at = UnixMs(1_774_652_400_000);
    for (text, name, hour, minute) in [
        ("Europe/Berlin", "Europe/Berlin", 0, 0),
        ("europe/berlin", "Europe/Berlin", 0, 0),
        ("UTC", "UTC", 23, 0),
        ("+05:45", "+05:45", 4, 45),
        ("-09:30", "-09:30", 13, 30),
        ("+14:00", "+14:00", 13, 0),
    ] {
        let zone = zone(text);
        assert_eq!(zone.name(), name);
        let civil = zone.civil(at).expect("a moment");
        assert_eq!((civil.hour(), civil.minute()), (hour, minute), "{text}");
    }
    let long = "A/".repeat(30_000);
    for bad in [
        "",
        "Berlin",
        "CEST",
        "../../etc/passwd",
        "+14:01",
        "+2:00",
        "+02:60",
        "02:00",
        "+0200",
        "+é1:00",
        "+02:00:00",
        &long,
    ] {
        let refused = Zone::new(bad).expect_err(bad);
        assert!(refused.text.len() <= 64);
    }
}
