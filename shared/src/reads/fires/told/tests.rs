use serde_json::json;

use super::*;
use crate::id::{JobName, Term};
use crate::job::parse;
use crate::schedule::record::{Behind, State, Why};

const SECOND: u64 = 1_000;
/// 2026-03-01 06:00 UTC.
const SIX: UnixMs = UnixMs(1_772_344_800_000);

fn record(decided: UnixMs, decision: Decision) -> Record {
    let spec = parse::schedule(&json!({ "cron": "0 6 * * *", "spread": "10m" })).unwrap();
    Record {
        at: decided,
        term: Term(4),
        decision,
        state: State {
            accepted: 1,
            ..State::new(Some(spec), UnixMs(0), SIX)
        },
    }
}

fn told(decided: UnixMs, decision: Decision) -> Told {
    let record = record(decided, decision);
    let spec = record.state.spec.clone().unwrap();
    let plan = Plan::of_times(&spec, "nightly", UnixMs(0)).unwrap();
    Told::of(&record, false, Some(&plan))
}

fn run(at: UnixMs) -> RunId {
    RunId::from_fire(&JobName::new("nightly").unwrap(), at)
}

fn opened(decided: UnixMs, after: Option<Behind>) -> Told {
    let decision = Decision::Opened {
        at: SIX,
        run: run(SIX),
        moved_from: None,
        after,
        held: None,
    };
    told(decided, decision)
}

#[test]
fn what_a_schedule_delays_is_told_apart_from_what_is_late() {
    let opens_at = opened(SIX, None).opens_at.expect("it has a run");
    let later = UnixMs(SIX.0 + 10 * 60 * SECOND);
    let opening = (SIX.0..=later.0).find(|at| UnixMs(*at).rfc3339() == opens_at);
    let opening = UnixMs(opening.expect("within the spread"));
    let by = crate::duration::write_duration((opening.0 - SIX.0) / SECOND * SECOND);
    let on_time = format!("it was due, {by} after its time as jitter and spread say");
    assert_eq!(opened(UnixMs(opening.0 + 20), None).why, on_time);
    let late = UnixMs(opening.0 + 15 * SECOND + 400);
    assert_eq!(
        opened(late, None).why,
        format!("{on_time}, and opened 15s late")
    );
    // Where nobody knows when it was to open, all of it is late.
    let decision = Decision::Opened {
        at: SIX,
        run: run(SIX),
        moved_from: None,
        after: None,
        held: None,
    };
    let record = record(UnixMs(SIX.0 + 3 * SECOND), decision);
    let told = Told::of(&record, false, None);
    assert_eq!(told.why, "it was due, and opened 3s late");
    assert_eq!(told.opens_at, None);
}

#[test]
fn programs_get_each_reason_in_fields() {
    let behind = Behind {
        run: run(SIX),
        cancelled: false,
    };
    let queued = told(
        SIX,
        Decision::Queued {
            at: SIX,
            behind: behind.clone(),
        },
    );
    assert!(
        queued.why.ends_with("it opens once no run of the job is"),
        "{queued:?}"
    );
    let skipped = Why::Overlap { run: run(SIX) };
    let skipped = told(
        SIX,
        Decision::Passed {
            span: Span::one(SIX),
            why: skipped,
        },
    );
    let id = "nightly_20260301T060000Z";
    for (told, reason) in [
        (opened(SIX, None), json!({ "kind": "due" })),
        (
            opened(SIX, Some(behind)),
            json!({ "kind": "waited", "run": id }),
        ),
        (
            queued,
            json!({ "kind": "behind", "run": id, "cancels": false }),
        ),
        (skipped, json!({ "kind": "overlap", "run": id })),
    ] {
        let document = serde_json::to_value(&told).unwrap();
        assert_eq!(document["reason"], reason);
        assert_eq!(document["scheduled_at"], "2026-03-01T06:00:00.000Z");
        assert_eq!(
            (&document["term"], &document["count"]),
            (&json!(4), &json!(1))
        );
    }
}

#[test]
fn fire_that_a_pause_held_back_is_not_told_as_late() {
    let (by, note) = ("ada".to_owned(), "moved".to_owned());
    for (why, all) in [
        (
            Why::Paused {
                by: by.clone(),
                note: note.clone(),
            },
            false,
        ),
        (Why::Frozen { by, note }, true),
    ] {
        let decision = Decision::Opened {
            at: SIX,
            run: run(SIX),
            moved_from: None,
            after: None,
            held: Some(why),
        };
        let record = record(UnixMs(SIX.0 + 3_600 * SECOND), decision);
        let told = Told::of(&record, false, None);
        assert!(
            told.why
                .starts_with("it was due, and held back, as ada had paused"),
            "{}",
            told.why
        );
        assert!(!told.why.contains("late"), "{}", told.why);
        let reason = serde_json::to_value(&told.reason).unwrap();
        assert_eq!(
            (&reason["kind"], &reason["all"]),
            (&"held_back".into(), &all.into())
        );
    }
}
