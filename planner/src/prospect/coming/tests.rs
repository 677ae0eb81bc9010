use gridloom_shared::job::parse::from_value;
use serde_json::json;

use super::*;

/// 2026-03-01 00:00 UTC, a Sunday.
const MARCH: UnixMs = UnixMs(1_772_323_200_000);

#[test]
fn times_that_wait_for_a_calendar_are_not_told_as_taken_out() {
    let schedule =
        json!({ "cron": "0 6 * * *", "except": ["office", "2026-03-02"], "max_fires": 2 });
    let job = json!({ "name": "nightly", "handler": "resize", "schedule": schedule });
    let job = from_value(job).unwrap();
    let coming = Coming::of(&job, &Calendars::new(), None).unwrap();
    let told = coming.told(MARCH, 5);
    let documents = serde_json::to_value(&told.next).unwrap();
    assert_eq!(
        documents.as_array().map(Vec::len),
        Some(2),
        "as many as max_fires says"
    );
    for (document, next) in documents.as_array().unwrap().iter().zip(&told.next) {
        assert_eq!(document["waits_for"], "office");
        assert_eq!(document["excluded"], json!(null));
        assert_eq!(next.note, "waits for calendar office, which is not there");
    }
}

#[test]
fn first_time_that_runs_is_told_where_all_that_come_are_taken_out() {
    let told = |schedule: serde_json::Value| {
        let job = json!({ "name": "nightly", "handler": "resize", "schedule": schedule });
        let job = from_value(job).unwrap();
        let coming = Coming::of(&job, &Calendars::new(), None).unwrap();
        coming.told(MARCH, 5).first
    };
    let out = json!({ "cron": "@hourly", "except": "2026-03-01" });
    assert_eq!(told(out).as_deref(), Some("Mon 2026-03-02 00:00:00 +00:00"));
    let one = json!({ "cron": "0 */6 * * *", "except": "2026-03-01" });
    assert_eq!(told(one), None);
    assert_eq!(told(json!({ "after": "1h" })), None);
}

#[test]
fn cadence_of_which_nothing_is_on_record_begins_when_its_job_was_applied() {
    let next = |said: serde_json::Value, state: Option<u64>| {
        let job = json!({ "name": "nightly", "handler": "resize", "schedule": said });
        let job = from_value(job).unwrap();
        let anchor = state.map(|anchor| UnixMs(MARCH.0 + anchor));
        let state = anchor.map(|at| State::new(Some(schedule(&job).unwrap()), at, at));
        let mut coming = Coming::of(&job, &Calendars::new(), state.as_ref()).unwrap();
        let since = UnixMs(MARCH.0 + 1_500);
        coming.begin(&job, &Calendars::new(), since).unwrap();
        let first = coming.fires(UnixMs(MARCH.0 + 3_000)).next().unwrap();
        first.at.0 - MARCH.0
    };
    assert_eq!(next(json!({ "every": "10s" }), None), 11_000);
    // It goes on as it was, or is counted from its start.
    assert_eq!(next(json!({ "every": "10s" }), Some(4_000)), 4_000);
    let start = json!({ "every": "10s", "start": "2026-03-01T00:00:07Z" });
    assert_eq!(next(start, None), 7_000);
    assert_eq!(next(json!({ "cron": "* * * * *" }), None), 60_000);
}

#[test]
fn fire_that_follows_from_the_end_of_a_run_is_told_where_it_is_known() {
    let job = json!({ "name": "nightly", "handler": "resize", "schedule": { "after": "1h" } });
    let job = from_value(job).unwrap();
    let spec = schedule(&job).unwrap();
    let mut state = State::new(Some(spec), MARCH, MARCH);
    state.last_end = Some(UnixMs(MARCH.0 + 60_000));
    let told = |open: Option<&RunId>| {
        let mut coming = Coming::of(&job, &Calendars::new(), Some(&state)).unwrap();
        coming.follow(Some(&state), open);
        coming.told(MARCH, 5)
    };
    let next = serde_json::to_value(&told(None).next).unwrap();
    assert_eq!(next.as_array().map(Vec::len), Some(1), "{next}");
    assert_eq!(next[0]["scheduled_at"], "2026-03-01T01:01:00.000Z");
    let run = RunId::new("nightly_s_1").unwrap();
    let told = told(Some(&run));
    assert!(told.next.is_empty());
    assert_eq!(
        told.follows.as_deref(),
        Some("the next fire follows from the end of run nightly_s_1")
    );
}

#[test]
fn times_that_a_pause_holds_back_say_so() {
    let job =
        json!({ "name": "nightly", "handler": "resize", "schedule": { "cron": "0 6 * * *" } });
    let mut coming = Coming::of(&from_value(job).unwrap(), &Calendars::new(), None).unwrap();
    let paused = gridloom_shared::reads::pauses::Paused {
        job: None,
        pause: gridloom_shared::schedule::pause::Pause {
            by: "ada".to_owned(),
            note: "moved".to_owned(),
            from: None,
            until: Some(UnixMs(MARCH.0 + 24 * 3_600_000)),
            resumed: None,
        },
        written: MARCH,
    };
    coming.obstacles.pauses = vec![Pausing::of(&paused)];
    let told = serde_json::to_value(coming.told(MARCH, 2).next).unwrap();
    assert_eq!(
        (&told[0]["paused"]["by"], &told[1]["paused"]),
        (&json!("ada"), &json!(null))
    );
}
