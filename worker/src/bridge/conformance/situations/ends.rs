//! How a process ends.

use serde_json::json;

use super::{MORTAL, begun, goes_on, of, usual, with};
use crate::bridge::conformance::Situation;
use crate::bridge::conformance::answer::Fault;
use crate::bridge::conformance::engine::Engine;

pub(super) const ALL: &[Situation] = &[
    usual(
        "drain-idle",
        "§5 drain",
        "nothing more comes: it closes the connection and ends with 0",
        |engine| engine.drain(),
    ),
    usual(
        "drain-running",
        "§5 drain",
        "what it has is answered before it ends",
        drain_running,
    ),
    usual(
        "drain-and-stop",
        "§5 drain",
        "what is told to stop after drain is answered, too",
        drain_and_stop,
    ),
    usual(
        "bye",
        "§4 bye",
        "it wants nothing more, and runs what reaches it until drain",
        bye,
    ),
    begun(
        MORTAL,
        "gone-idle",
        "§7",
        "the connection ends without drain: the process ends with 70 within a second",
        gone_idle,
    ),
    begun(
        MORTAL,
        "gone-running",
        "§7",
        "so it does while shards run",
        gone_running,
    ),
    begun(
        MORTAL,
        "gone-deaf",
        "§7",
        "so it does while a shard runs that does not listen",
        gone_deaf,
    ),
    begun(
        MORTAL,
        "gone-in-a-frame",
        "§7",
        "so it does in the midst of a frame",
        gone_in_a_frame,
    ),
];

fn drain_running(engine: &mut Engine) -> Result<(), Fault> {
    let slow = engine.give(&with("ignore-stop", json!({"ms": 500})), 2)?;
    engine.wrote(&format!("begun {}", slow.keys[0]))?;
    let quick = engine.give(&of("ok"), 100)?;
    engine.drain()?;
    for answer in engine
        .answers(&quick)?
        .into_iter()
        .chain(engine.answers(&slow)?)
    {
        answer.done()?;
    }
    Ok(())
}

fn drain_and_stop(engine: &mut Engine) -> Result<(), Fault> {
    let given = engine.give(&of("until-stopped"), 2)?;
    engine.wrote(&format!("begun {}", given.keys[0]))?;
    engine.drain()?;
    engine.stop(&given.ids, "stopping")?;
    for answer in engine.answers(&given)? {
        answer.stopped()?;
    }
    Ok(())
}

fn bye(engine: &mut Engine) -> Result<(), Fault> {
    engine.run(&of("leave"))?.done()?;
    engine.until("bye", |engine| engine.said_bye().then_some(()))?;
    goes_on(engine)
}

fn gone_idle(engine: &mut Engine) -> Result<(), Fault> {
    goes_on(engine)?;
    engine.cut_off()
}

fn gone_running(engine: &mut Engine) -> Result<(), Fault> {
    let given = engine.give(&of("until-stopped"), 2)?;
    engine.wrote(&format!("begun {}", given.keys[0]))?;
    engine.cut_off()
}

fn gone_deaf(engine: &mut Engine) -> Result<(), Fault> {
    let given = engine.give(&with("ignore-stop", json!({"ms": 60_000})), 1)?;
    engine.wrote(&format!("begun {}", given.keys[0]))?;
    engine.cut_off()
}

fn gone_in_a_frame(engine: &mut Engine) -> Result<(), Fault> {
    goes_on(engine)?;
    engine.send(b"\0\0\x01\0{\"type\": \"dr")?;
    engine.cut_off()
}
