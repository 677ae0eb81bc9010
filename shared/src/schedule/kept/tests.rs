use proptest::prelude::*;
use serde_json::json;

use super::*;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

fn calendar(keys: &[&str]) -> Calendar {
    let document = json!({ "name": "office", "timezone": "UTC", "times": keys });
    Calendar::try_from(document).expect("a calendar")
}

/// As its key has it, written at `since`.
fn written(kept: &Kept, since: u64) -> Kept {
    Kept::read("office", &wire::encode(kept), UnixMs(since)).expect("it is read back")
}

fn changed(kept: &Kept, to: &Calendar, since: u64) -> Kept {
    written(&kept.then(to.clone(), UnixMs(0)), since)
}

#[test]
fn each_instant_is_judged_by_what_the_calendar_said_then() {
    let (morning, evening) = (calendar(&["06:00-12:00"]), calendar(&["18:00-20:00"]));
    let first = written(&Kept::always(morning.clone()), DAY);
    // Before the first there is nothing else to go by.
    assert!(first.covers(UnixMs(7 * HOUR)) && first.covers(UnixMs(DAY + 7 * HOUR)));
    let second = changed(&first, &evening, 3 * DAY);
    let third = changed(&second, &morning, 5 * DAY + 7 * HOUR);
    for (day, hour, covered) in [
        (0, 7, true),
        (2, 7, true),
        (2, 19, false),
        (3, 7, false),
        (3, 19, true),
        (5, 6, false),
        (5, 7, true),
        (9, 19, false),
    ] {
        let at = UnixMs(day * DAY + hour * HOUR);
        assert_eq!(third.covers(at), covered, "day {day}, {hour}:00");
    }
    assert_eq!(third.calendar(), &morning);
    assert_eq!(third.before().len(), 2);
    // It is the same until the next change, though what was said then stays so for longer.
    let until = third.same_until(UnixMs(2 * DAY + 13 * HOUR));
    assert_eq!(until, Some(UnixMs(3 * DAY)));
}

#[test]
fn clock_that_was_ahead_holds_no_change_back() {
    let first = written(&Kept::always(calendar(&["06:00-12:00"])), DAY);
    let ahead = changed(&first, &calendar(&["18:00-20:00"]), 40 * DAY);
    assert!(ahead.covers(UnixMs(2 * DAY + 7 * HOUR)));
    let known = ahead.clone().known_at(UnixMs(2 * DAY));
    assert!(!known.covers(UnixMs(2 * DAY + 7 * HOUR)));
    // And the next change, written by the clock that was set right, is the one that counts.
    let set_right = changed(&ahead, &calendar(&["01:00-02:00"]), 3 * DAY);
    assert!(set_right.covers(UnixMs(3 * DAY + HOUR)) && set_right.covers(UnixMs(50 * DAY + HOUR)));
    assert!(set_right.covers(UnixMs(2 * DAY + 7 * HOUR)));
}

#[test]
fn the_oldest_goes_first_and_what_is_kept_fits_into_a_message() {
    let small = |hour: u64| calendar(&[&format!("{hour:02}:00-{hour:02}:30")]);
    let mut kept = written(&Kept::always(small(0)), 1);
    for hour in 1..20 {
        kept = changed(&kept, &small(hour), hour * DAY);
    }
    assert_eq!(kept.before().len(), CALENDAR_EARLIER_MAX);
    assert_eq!(kept.before()[0].calendar, small(18));
    assert_eq!(kept.before()[0].since, UnixMs(18 * DAY));
    let dates: Vec<String> = (0..1_000_u32)
        .map(|at| format!("{}-{:02}-01/{0}-{1:02}-03", 2000 + at / 12, 1 + at % 12))
        .collect();
    let large =
        json!({ "name": "office", "timezone": "America/Argentina/ComodRivadavia", "dates": dates });
    let large = Calendar::try_from(large).expect("a calendar");
    for at in 20..24 {
        kept = changed(&kept, &large, at * DAY);
        let bytes = wire::encode(&kept).len();
        assert!(bytes <= CALENDAR_KEPT_BYTES_MAX, "{bytes}");
    }
    assert_eq!(kept.calendar(), &large);
}

#[test]
fn what_is_of_another_calendar_or_names_too_many_is_refused() {
    let kept = Kept::always(calendar(&["06:00-12:00"]));
    let other = Kept::read("holidays", &wire::encode(&kept), UnixMs(1));
    assert!(
        matches!(other, Err(WireError::Malformed { .. })),
        "{other:?}"
    );
    let earlier = Earlier {
        since: UnixMs(1),
        calendar: calendar(&["06:00-12:00"]),
    };
    let many = Kept {
        before: vec![earlier; CALENDAR_EARLIER_MAX + 1],
        ..kept
    };
    let many = Kept::read("office", &wire::encode(&many), UnixMs(1));
    assert!(matches!(many, Err(WireError::Malformed { .. })), "{many:?}");
    assert!(Kept::read("office", b"nonsense", UnixMs(1)).is_err());
}

proptest! {
    /// The search for fires passes over whole stretches by this.
    #[test]
    fn it_is_the_same_until_it_says_so(changes in prop::collection::vec((0..3_usize, 0..10 * DAY), 1..6), at in 0..12 * DAY) {
        let all = [calendar(&["06:00-12:00"]), calendar(&["18:00-20:00", "22:00-02:00"]), calendar(&["00:00-24:00"])];
        let mut kept = Kept::always(all[0].clone());
        for (which, since) in changes {
            kept = changed(&kept, &all[which], since);
        }
        let (covered, until) = (kept.covers(UnixMs(at)), kept.same_until(UnixMs(at)));
        let until = until.map_or(at + 2 * DAY, |until| until.0);
        prop_assert!(until > at);
        for step in 0..200 {
            let between = at + (until - at) * step / 200;
            prop_assert_eq!(kept.covers(UnixMs(between)), covered);
        }
    }
}
