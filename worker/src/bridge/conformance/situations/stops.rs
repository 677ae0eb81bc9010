//! What is told to stop.

use std::time::Duration;

use serde_json::json;

use super::{goes_on, of, usual, with};
use crate::bridge::conformance::Situation;
use crate::bridge::conformance::answer::{Answer, Fault, ensure};
use crate::bridge::conformance::engine::{Engine, GRACE, Given};

/// How long is listened for what should not come.
const QUIET: Duration = Duration::from_millis(300);

pub(super) const ALL: &[Situation] = &[
    usual(
        "stop-running",
        "§5 stop",
        "what runs is stopped, whatever the reason",
        running,
    ),
    usual(
        "stop-within-grace",
        "§5 grace",
        "what asks often is stopped within the grace, so nothing is killed",
        within_grace,
    ),
    usual(
        "stop-not-begun",
        "§5 begins none",
        "what has not begun never begins",
        not_begun,
    ),
    usual(
        "stop-one-of-a-tile",
        "§5 stop",
        "one shard of a tile is stopped, the others go on",
        one_of_a_tile,
    ),
    usual(
        "stop-one-of-several",
        "§5 stop",
        "one tile is stopped, another goes on",
        one_of_several,
    ),
    usual(
        "stop-answered",
        "§5 no fault",
        "what was answered already is not answered again",
        answered,
    ),
    usual(
        "stop-twice",
        "§8 once",
        "what is told to stop twice is answered once",
        twice,
    ),
    usual(
        "stop-deaf",
        "§5 stop",
        "what does not listen is answered once it ends, and holds up nobody",
        deaf,
    ),
];

/// A tile of one page that runs until it is stopped, and does.
fn begun(engine: &mut Engine, slice: u32) -> Result<Given, Fault> {
    let given = engine.give(&of("until-stopped").slices(9).slice(slice), 1)?;
    engine.wrote(&format!("begun {}", given.keys[0]))?;
    Ok(given)
}

fn running(engine: &mut Engine) -> Result<(), Fault> {
    for why in ["lease", "cancelled", "stopping", "weather"] {
        let given = begun(engine, 1)?;
        engine.stop(&given.ids, why)?;
        engine.answer(given.ids[0])?.stopped()?;
    }
    let given = begun(engine, 1)?;
    engine.stop(&given.ids, "time")?;
    // Its error may say how far it came.
    let answer = engine.answer(given.ids[0])?;
    ensure(
        matches!(answer, Answer::Stopped(_) | Answer::Failed(_)),
        "stopped, or fail",
        || answer.to_string(),
    )?;
    goes_on(engine)
}

fn within_grace(engine: &mut Engine) -> Result<(), Fault> {
    let given = begun(engine, 1)?;
    let told = std::time::Instant::now();
    engine.stop(&given.ids, "lease")?;
    engine.answer(given.ids[0])?.stopped()?;
    let took = told.elapsed();
    engine.note(format!("after {} ms", took.as_millis()));
    ensure(took < GRACE, format!("an answer within {GRACE:?}"), || {
        format!("{took:?}")
    })
}

fn not_begun(engine: &mut Engine) -> Result<(), Fault> {
    let given = engine.give(&of("until-stopped"), 4)?;
    engine.wrote(&format!("begun {}", given.keys[0]))?;
    engine.stop(&given.ids[1..], "cancelled")?;
    for id in &given.ids[1..] {
        engine.answer(*id)?.stopped()?;
    }
    engine.stop(&given.ids[..1], "cancelled")?;
    engine.answer(given.ids[0])?.stopped()?;
    goes_on(engine)?;
    for key in &given.keys[1..] {
        ensure(
            !engine.has_written(&format!("begun {key}")),
            "a shard that was stopped before does not begin",
            || format!("begun {key}"),
        )?;
    }
    Ok(())
}

fn one_of_a_tile(engine: &mut Engine) -> Result<(), Fault> {
    let given = engine.give(&with("until-stopped", json!({"only": 0})), 3)?;
    engine.wrote(&format!("begun {}", given.keys[0]))?;
    engine.stop(&given.ids[..1], "time")?;
    let answer = engine.answer(given.ids[0])?;
    ensure(
        matches!(answer, Answer::Stopped(_) | Answer::Failed(_)),
        "stopped, or fail",
        || answer.to_string(),
    )?;
    for id in &given.ids[1..] {
        engine.answer(*id)?.done()?;
    }
    Ok(())
}

fn one_of_several(engine: &mut Engine) -> Result<(), Fault> {
    let (first, second) = (begun(engine, 1)?, begun(engine, 2)?);
    engine.stop(&first.ids, "cancelled")?;
    engine.answer(first.ids[0])?.stopped()?;
    // The other one's answer would be one that nobody asked for yet.
    engine.quiet(QUIET)?;
    ensure(
        !engine.has_answered(second.ids[0]),
        "the other tile runs on",
        || "an answer for it".to_owned(),
    )?;
    engine.stop(&second.ids, "cancelled")?;
    engine.answer(second.ids[0])?.stopped()
}

fn answered(engine: &mut Engine) -> Result<(), Fault> {
    let given = engine.give(&of("ok"), 2)?;
    engine.answers(&given)?;
    engine.stop(&given.ids, "lease")?;
    engine.stop(&[4_000_000], "cancelled")?;
    goes_on(engine)?;
    engine.quiet(QUIET)
}

fn twice(engine: &mut Engine) -> Result<(), Fault> {
    let given = engine.give(&of("until-stopped"), 2)?;
    engine.wrote(&format!("begun {}", given.keys[0]))?;
    for why in ["time", "lease", "stopping"] {
        engine.stop(&given.ids, why)?;
    }
    for answer in engine.answers(&given)? {
        ensure(
            matches!(answer, Answer::Stopped(_) | Answer::Failed(_)),
            "stopped, or fail",
            || answer.to_string(),
        )?;
    }
    goes_on(engine)?;
    engine.quiet(QUIET)
}

fn deaf(engine: &mut Engine) -> Result<(), Fault> {
    let given = engine.give(&with("ignore-stop", json!({"ms": 1_500})), 1)?;
    engine.wrote(&format!("begun {}", given.keys[0]))?;
    engine.stop(&given.ids, "lease")?;
    goes_on(engine)?;
    let answer = engine.answer(given.ids[0])?;
    ensure(
        !matches!(answer, Answer::Pages(_)),
        "one answer, whichever",
        || answer.to_string(),
    )?;
    goes_on(engine)?;
    engine.quiet(QUIET)
}
