use gridloom_shared::id::Term;
use gridloom_shared::schedule::Spec;
use gridloom_shared::schedule::pause::Pause;
use gridloom_shared::schedule::record::{Behind, Carried, Decision, Record, State, Verdict, Why};
use serde_json::json;

use super::*;

/// 2026-03-01 06:00 UTC.
const SIX: UnixMs = UnixMs(1_772_344_800_000);
const HOUR: u64 = 3_600_000;

fn hours(hours: u64) -> UnixMs {
    UnixMs(SIX.0 + hours * HOUR)
}

fn case() -> (Fires, Plan) {
    let spec = json!({ "every": "1h", "except": "2026-03-02", "end": "2026-03-03" });
    let spec = Spec::try_from(spec).unwrap();
    let plan = plan(
        &spec,
        "nightly",
        &gridloom_shared::schedule::Calendars::new(),
        Some(SIX),
    )
    .unwrap();
    let state = State {
        carried: vec![Carried {
            at: UnixMs(SIX.0 + HOUR / 2),
            opens_at: hours(3),
            moved_from: None,
        }],
        ..State::new(Some(spec), SIX, hours(2))
    };
    let fires = Fires {
        state: Some(state),
        ..Fires::default()
    };
    (fires, plan)
}

#[test]
fn run_that_was_skipped_and_is_there_was_asked_for_again() {
    let run = RunId::new("nightly_r_1").unwrap();
    let behind = || Behind {
        run: run.clone(),
        cancelled: false,
    };
    let decided = |answer, run_state| {
        let record = Record {
            at: SIX,
            term: Term(1),
            decision: Decision::Asked {
                run: run.clone(),
                answer,
            },
            state: State::new(None, SIX, SIX),
        };
        let (told, leader, not_opened) = (Told::of(&record, false, None), None, None);
        let decided = Decided {
            told,
            leader,
            run_state,
            not_opened,
        };
        decided.sentence()
    };
    let skipped = || Verdict::Refused {
        why: Why::Overlap { run: run.clone() },
    };
    let is_there = decided(skipped(), Some(RunState::Running));
    let words = "skipped (asked for again since, and opened then: running)";
    assert!(is_there.starts_with(words), "{is_there}");
    let as_ever = decided(
        Verdict::Queued { behind: behind() },
        Some(RunState::Running),
    );
    assert!(as_ever.starts_with("queued (running)"), "{as_ever}");
    assert!(decided(skipped(), None).starts_with("skipped: "));
}

#[test]
fn each_time_without_a_decision_is_told_in_fields() {
    let (mut fires, plan) = case();
    let pause = Paused {
        job: None,
        pause: Pause {
            by: "ada".into(),
            note: "moved".into(),
            from: None,
            until: Some(hours(4)),
            resumed: None,
        },
        written: SIX,
    };
    let of = |fires: &Fires, at, now, pause| {
        serde_json::to_value(standing(fires, &plan, at, now, pause)).unwrap()
    };
    let open = json!({ "state": "undecided", "opens_at": hours(3).rfc3339(), "carried": false });
    assert_eq!(of(&fires, hours(3), hours(2), None), open);
    let overdue = json!({ "state": "overdue", "opens_at": hours(3).rfc3339() });
    assert_eq!(of(&fires, hours(3), hours(4), None), overdue);
    let held = json!({
        "state": "held_back", "by": "ada", "note": "moved", "all": true, "until": hours(4).rfc3339(),
    });
    assert_eq!(of(&fires, hours(3), hours(2), Some(&pause)), held);
    // When the pause is over by then.
    let open = json!({ "state": "undecided", "opens_at": hours(4).rfc3339(), "carried": false });
    assert_eq!(of(&fires, hours(4), hours(2), Some(&pause)), open);
    let carried = json!({ "state": "undecided", "opens_at": hours(3).rfc3339(), "carried": true });
    assert_eq!(
        of(&fires, UnixMs(SIX.0 + HOUR / 2), hours(2), None),
        carried
    );
    let excluded = json!({ "state": "excluded", "by": "2026-03-02" });
    assert_eq!(of(&fires, hours(20), hours(2), None), excluded);
    let none = json!({ "state": "no_fire", "next": hours(4).rfc3339() });
    assert_eq!(of(&fires, UnixMs(hours(3).0 + 1_000), hours(2), None), none);
    let none = json!({ "state": "no_fire", "next": null });
    assert_eq!(of(&fires, hours(100), hours(2), None), none);
    assert_eq!(
        of(&fires, hours(2), hours(2), None),
        json!({ "state": "unknown" })
    );
    if let Some(state) = &mut fires.state {
        state.ended = true;
    }
    assert_eq!(
        of(&fires, hours(3), hours(2), None),
        json!({ "state": "ended" })
    );
    fires.state = None;
    assert_eq!(
        of(&fires, hours(3), hours(2), None),
        json!({ "state": "no_schedule" })
    );
}

#[test]
fn time_that_waits_for_a_calendar_is_told_as_that() {
    let spec = Spec::try_from(json!({ "every": "1h", "only": "office" })).unwrap();
    let calendars = gridloom_shared::schedule::Calendars::new();
    let plan = plan(&spec, "nightly", &calendars, Some(SIX)).unwrap();
    let fires = Fires {
        state: Some(State::new(Some(spec), SIX, hours(2))),
        ..Fires::default()
    };
    for at in [3, 5] {
        let told = standing(&fires, &plan, hours(at), hours(4), None);
        let wanted = json!({ "state": "waits_for_calendar", "calendar": "office" });
        assert_eq!(serde_json::to_value(&told).unwrap(), wanted);
        assert!(told.is_an_answer());
    }
}

#[test]
fn moment_at_which_a_job_was_applied_is_not_told_as_its_next_fire() {
    let spec = Spec::try_from(json!({ "every": "1h" })).unwrap();
    let calendars = gridloom_shared::schedule::Calendars::new();
    let plan = plan(&spec, "nightly", &calendars, Some(SIX)).unwrap();
    let fires = Fires {
        state: Some(State::new(Some(spec), SIX, SIX)),
        ..Fires::default()
    };
    let told = standing(&fires, &plan, UnixMs(SIX.0 - 1_000), SIX, None);
    let next = Some(hours(1).rfc3339());
    assert_eq!(told, Prospect::NoFire { next });
}
