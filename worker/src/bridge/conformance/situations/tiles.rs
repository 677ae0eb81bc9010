//! Tiles: their order, and how many at once.

use std::collections::VecDeque;
use std::time::Instant;

use serde_json::json;

use super::{SLOTS, goes_on, of, usual, with};
use crate::bridge::conformance::Situation;
use crate::bridge::conformance::answer::{Answer, Fault, ensure, fault};
use crate::bridge::conformance::engine::{Engine, Given};

pub(super) const ALL: &[Situation] = &[
    usual(
        "tile-in-order",
        "§5 order",
        "the shards of a tile run one after another, in their order",
        in_order,
    ),
    usual(
        "tile-of-a-thousand",
        "§6",
        "each of a thousand shards is answered once",
        thousand,
    ),
    usual(
        "slots-at-once",
        "§6 slots",
        "it runs as many tiles at once as it has slots",
        at_once,
    ),
    usual(
        "slots-again",
        "§6 slots",
        "hundreds of tiles go through its slots, never more at once than it has",
        again,
    ),
    usual(
        "not-kept-back",
        "§6",
        "an outcome is told while the shard behind it runs",
        not_kept_back,
    ),
    usual(
        "unknown-handler",
        "§4 fail",
        "shards of a handler that it does not have fail",
        unknown_handler,
    ),
];

/// Both numbers of a `span`.
fn span(answer: &Answer) -> Result<(u64, u64), Fault> {
    let numbers = answer.result()?.split_once(' ');
    let numbers =
        numbers.and_then(|(first, second)| Some((first.parse().ok()?, second.parse().ok()?)));
    numbers.ok_or_else(|| fault("two whole numbers with a blank between", answer))
}

fn in_order(engine: &mut Engine) -> Result<(), Fault> {
    let given = engine.give(&with("span", json!({"ms": 2})), 50)?;
    let mut last = 0;
    for (at, answer) in engine.answers(&given)?.iter().enumerate() {
        let (first, second) = span(answer)?;
        ensure(
            last < first && first < second,
            format!("shard {at} of the tile begins after the one before it ended (at {last})"),
            || format!("it ran from {first} to {second}"),
        )?;
        last = second;
    }
    Ok(())
}

fn thousand(engine: &mut Engine) -> Result<(), Fault> {
    let (before, begun) = (engine.frames(), Instant::now());
    let given = engine.give(&of("ok"), 1_000)?;
    for answer in engine.answers(&given)? {
        answer.done()?;
    }
    let (frames, took) = (engine.frames() - before, begun.elapsed());
    engine.note(format!("{frames} frames, {} ms", took.as_millis()));
    Ok(())
}

fn at_once(engine: &mut Engine) -> Result<(), Fault> {
    let given: Result<Vec<Given>, Fault> = (0..SLOTS)
        .map(|slice| engine.give(&of("until-stopped").slices(SLOTS).slice(slice), 1))
        .collect();
    let given = given?;
    for tile in &given {
        engine.wrote(&format!("begun {}", tile.keys[0]))?;
    }
    for tile in &given {
        engine.stop(&tile.ids, "cancelled")?;
    }
    for tile in &given {
        engine.answer(tile.ids[0])?.stopped()?;
    }
    Ok(())
}

/// How many tiles go through all slots.
const TILES: usize = 300;

fn again(engine: &mut Engine) -> Result<(), Fault> {
    let mut given: VecDeque<Given> = VecDeque::new();
    let begun = Instant::now();
    for _ in 0..TILES {
        if given.len() == SLOTS as usize
            && let Some(first) = given.pop_front()
        {
            for answer in engine.answers(&first)? {
                answer.done()?;
            }
        }
        let tile = engine.give(&of("ok"), 2)?;
        given.push_back(tile);
    }
    for tile in given {
        engine.answers(&tile)?;
    }
    engine.note(format!(
        "{TILES} tiles in {} ms",
        begun.elapsed().as_millis()
    ));
    Ok(())
}

fn not_kept_back(engine: &mut Engine) -> Result<(), Fault> {
    let given = engine.give(&with("until-stopped", json!({"only": 1})), 3)?;
    engine.answer(given.ids[0])?.done()?;
    engine.wrote(&format!("begun {}", given.keys[1]))?;
    engine.stop(&given.ids[1..2], "cancelled")?;
    engine.answer(given.ids[1])?.stopped()?;
    engine.answer(given.ids[2])?.done().map(|_| ())
}

fn unknown_handler(engine: &mut Engine) -> Result<(), Fault> {
    let given = engine.give(&of("nobody-has-this"), 3)?;
    for answer in engine.answers(&given)? {
        let failed = matches!(&answer, Answer::Failed(said) if said["kind"] != "hold");
        ensure(failed, "fail of kind retry or permanent", || {
            answer.to_string()
        })?;
    }
    goes_on(engine)
}
