use std::time::Duration;

use jiff::civil::date;

use super::*;

fn clock(crons: &[&str], zone: &str) -> Schedule {
    let read = |text: &&str| Cron::parse(text, None).expect(text);
    let crons = crons.iter().map(read).collect();
    let zone = Zone::new(zone).expect(zone);
    Schedule::Clock(Clock::new(crons, zone, Dst::default()).expect("a schedule"))
}

/// Midnight of 2026-03-28, the day before Berlin's clocks leave out 02:00 to 03:00: 23:00 in UTC.
const BEFORE: UnixMs = UnixMs(1_774_652_400_000);
const HOUR: u64 = 3_600_000;

#[test]
fn an_instant_of_two_expressions_is_one_fire() {
    let schedule = clock(&["0 */6 * * *", "0 12,13 * * *"], "UTC");
    let hours: Vec<u64> = schedule
        .fires_after(UnixMs(0))
        .take(6)
        .map(|fire| fire.at.0 / HOUR)
        .collect();
    assert_eq!(hours, [6, 12, 13, 18, 24, 30]);
}

#[test]
fn what_stands_at_an_instant_was_not_moved_there() {
    let at = UnixMs(BEFORE.0 + 26 * HOUR);
    let moved = clock(&["30 2 * * *"], "Europe/Berlin");
    let fire = moved.fires_after(BEFORE).nth(1);
    let moved_from = Some(date(2026, 3, 29).at(2, 30, 0, 0));
    assert_eq!(fire, Some(Fire { at, moved_from }));
    for crons in [&["30 2 * * *", "0 3 * * *"][..], &["0,30 2-3 * * *"]] {
        let both = clock(crons, "Europe/Berlin");
        let mut fires = both.fires_after(UnixMs(at.0 - 1));
        assert_eq!(
            fires.next(),
            Some(Fire {
                at,
                moved_from: None
            })
        );
        assert_ne!(fires.next().map(|fire| fire.at), Some(at));
    }
}

#[test]
fn a_cadence_takes_no_notice_of_clocks() {
    let every = Every::new(UnixMs(1), Duration::from_secs(3_600)).expect("a cadence");
    let schedule = Schedule::Every(every);
    for (at, fire) in (1..).zip(schedule.fires_after(BEFORE).take(40)) {
        let at = UnixMs(BEFORE.0 - HOUR + at * HOUR + 1);
        assert_eq!(
            fire,
            Fire {
                at,
                moved_from: None
            }
        );
    }
}

#[test]
fn a_list_is_bounded() {
    let zone = Zone::new("UTC").expect("a zone");
    let make = |count| {
        let cron = Cron::parse("@daily", None).expect("a cron");
        Clock::new(vec![cron; count], zone.clone(), Dst::default())
    };
    assert_eq!(make(0), Err(ClockError::Empty));
    assert!(make(CRON_LIST_MAX).is_ok());
    assert_eq!(
        make(CRON_LIST_MAX + 1),
        Err(ClockError::TooMany(CRON_LIST_MAX + 1))
    );
}

#[test]
fn schedules_end_where_time_does() {
    let schedule = clock(&["0 0 0 1 1 ? 2020-2030"], "Europe/Berlin");
    assert_eq!(schedule.fires_after(UnixMs(1_577_836_800_000)).count(), 10);
    for zone in ["UTC", "Europe/Berlin"] {
        let daily = clock(&["@daily"], zone);
        for end in [u64::MAX, u64::MAX / 1_000, 253_402_207_200_000] {
            assert_eq!(daily.next_after(UnixMs(end)), None, "{zone} {end}");
        }
    }
}
