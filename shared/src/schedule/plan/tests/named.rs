//! Schedules that name calendars.

use super::*;

#[test]
fn what_calendars_take_out_is_told_with_its_calendar() {
    let holidays = json!({
        "cron": "0 6 * * *", "timezone": "Europe/Berlin",
        "except": ["holidays", "2026-12-31"], "start": "2026-12-23",
    });
    let plan_of_holidays = plan(&holidays);
    let all = plan_of_holidays.nominals_after(UnixMs(0)).take(10);
    let told: Vec<Option<String>> = all.map(|next| next.excluded).collect();
    let named = |name: &str| Some(name.to_owned());
    let holiday = || named("holidays");
    assert_eq!(told[..4], [None, holiday(), holiday(), holiday()]);
    assert_eq!(
        told[4..],
        [None, None, None, None, named("2026-12-31"), None]
    );
    let next = plan_of_holidays.next_fire_after(ms("2026-12-24T00:00:00Z"));
    assert_eq!(next.map(|next| next.at), Some(ms("2026-12-27T05:00:00Z")));

    let office = json!({ "cron": "0 */6 * * *", "timezone": "Europe/Berlin", "only": ["office", "night", "12-24", "12-25"] });
    let at_six = plan(&office).next_after(ms("2026-12-01T16:59:59Z"));
    let told = at_six.and_then(|next| next.excluded);
    assert_eq!(
        told.as_deref(),
        Some("only office, night, 12-24 and 1 more")
    );
}

#[test]
fn a_schedule_after_the_last_run_waits_for_its_calendars() {
    let spec = json!({ "after": "1h", "only": "office", "except": "2026-03-02" });
    // A Friday, a little before office hours are over in Berlin; the Monday is taken out.
    let next = plan(&spec).following(Some(ms("2026-02-27T15:30:00Z")));
    let next = next.expect("a Tuesday");
    assert_eq!(next.at, ms("2026-03-03T08:00:00Z"));
    assert_eq!(next.excluded, None);
}

#[test]
fn a_schedule_whose_calendar_is_not_there_fires_nowhere_and_says_why() {
    let read = |document: &Value| {
        let spec = spec(document);
        let refused = Plan::new(&spec, "nightly", &BTreeMap::new(), MARCH);
        let plan = Plan::in_force(&spec, "nightly", &BTreeMap::new(), MARCH);
        (refused, plan.expect("a plan"))
    };
    let (refused, plan) =
        read(&json!({ "every": "15m", "only": "2026-03-01", "except": "office" }));
    let missing = SpecError::Calendar {
        key: "except",
        name: "office".to_owned(),
        near: None,
    };
    assert_eq!(refused, Err(missing));
    assert_eq!(plan.waits_for().map(CalendarName::as_str), Some("office"));
    let next = plan.next_after(MARCH).expect("a nominal time");
    let (at, by) = (next.at, next.excluded.expect("taken out"));
    assert_eq!(
        (at, by.as_str()),
        (
            MARCH + Duration::from_secs(900),
            "the missing calendar office"
        )
    );
    assert_eq!(plan.next_fire_after(MARCH), None);
    let tally = plan.tally(MARCH, MARCH + Duration::from_secs(3_600), 100);
    assert_eq!((tally.count, tally.excluded), (0, 4));
    let (_, plan) = read(&json!({ "after": "1h", "only": "office" }));
    assert_eq!(plan.following(None), None);
    assert!(plan.may_follow(None, MARCH));
}

#[test]
fn a_calendar_that_is_not_there_is_told_with_its_key() {
    let error = plan_of(&json!({ "every": "1h", "except": ["2026-12-24", "sundays"] }));
    let error = error.expect_err("not there");
    let name = "sundays".to_owned();
    assert_eq!(
        error,
        SpecError::Calendar {
            key: "except",
            name,
            near: None,
        }
    );
    assert_eq!(
        error.to_string(),
        "schedule.except: calendar \"sundays\" is not known: apply it first (`gridloom calendar apply FILE`), or leave it out"
    );
}

#[test]
fn calendars_that_leave_nothing_are_refused_in_moments() {
    let windows: Vec<String> = (0..24)
        .map(|hour| format!("{hour:02}:00-{hour:02}:59:59"))
        .collect();
    let seams = json!({ "name": "seams", "timezone": "Europe/Berlin", "times": windows });
    let dates: Vec<String> = (0..1_000)
        .map(|at| {
            format!(
                "{}-{:02}-{:02}",
                2026 + at / 300,
                1 + at / 25 % 12,
                1 + at % 25
            )
        })
        .collect();
    let dates = json!({ "name": "dates", "timezone": "Europe/Berlin", "dates": dates });
    let mut calendars = BTreeMap::new();
    let leap = json!({ "name": "leap", "timezone": "UTC", "dates": ["02-29"] });
    let winter = json!({ "name": "winter", "timezone": "UTC", "dates": ["03-02/03-01"] });
    for document in [seams, dates, leap, winter] {
        let calendar = Calendar::try_from(document).expect("a calendar");
        let name = calendar.name().expect("a name").to_string();
        calendars.insert(name, Arc::new(Kept::always(calendar)));
    }
    for document in [
        json!({ "cron": "* * * * *", "except": "seams" }),
        json!({ "cron": "0 0 0 29 2 ?", "only": "dates" }),
        json!({ "cron": "* * * * * ?", "only": "leap", "except": "winter" }),
        json!({ "cron": "0 0 0 29 2 ?", "except": "winter" }),
    ] {
        let spec = spec(&document);
        let quick = (0..20).any(|_| {
            let began = Instant::now();
            let refused = Plan::new(&spec, "nightly", &calendars, MARCH);
            assert_eq!(refused, Err(SpecError::Barred), "{document}");
            began.elapsed().as_millis() < IN_MOMENTS_MS
        });
        assert!(quick, "{document}");
    }
}
