//! What a handler is told.

use serde_json::{Value, json};

use gridloom_shared::id::Fence;
use gridloom_shared::job::PagesSpec;
use gridloom_shared::tile::Key;

use super::{goes_on, of, usual, with};
use crate::bridge::conformance::Situation;
use crate::bridge::conformance::answer::{Answer, Fault, alike, ensure, fault, short};
use crate::bridge::conformance::engine::Engine;

/// Keys, and the slice of each among 7 and among 65,536, as docs/SLICING.md has them.
const VECTORS: &[(&str, [u32; 2])] = &[
    ("", [4, 36_057]),
    ("a", [1, 30_137]),
    ("gridloom", [3, 52_023]),
    ("N14228", [1, 7_169]),
    ("\u{e9}", [3, 52_631]),
    ("\u{65e5}\u{672c}", [1, 53_990]),
    ("a b", [2, 52_557]),
    ("A", [3, 25_200]),
];
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// The largest fence that the protocol allows.
const FENCE: u64 = (1 << 53) - 1;

pub(super) const ALL: &[Situation] = &[
    usual(
        "where-it-is",
        "§5 shards",
        "a shard knows its run, job, slice, page, attempt, fence, key and traceparent",
        where_it_is,
    ),
    usual(
        "params-of-all-kinds",
        "§5 params",
        "parameters may be any JSON",
        kinds,
    ),
    usual(
        "numbers-beyond",
        "§2 params",
        "what a language cannot hold ends no connection",
        beyond,
    ),
    usual(
        "many-params",
        "§5 params",
        "64 KiB of parameters, with a thousand keys to ask for",
        many,
    ),
    usual(
        "owns",
        "§5 owns",
        "`shard.owns` says what the vectors of SLICING.md say",
        owns,
    ),
    usual(
        "settings",
        "§5 settings",
        "the table of the job file that is called like the handler",
        settings,
    ),
    usual(
        "number-keys",
        "§5 from",
        "keys of pages are exact to the ends of 64 bits",
        number_keys,
    ),
    usual(
        "text-keys",
        "§5 from",
        "keys of pages may be texts",
        text_keys,
    ),
    usual(
        "offsets",
        "§5 offset",
        "rows before a page and in it, and a last page without an end",
        offsets,
    ),
    usual(
        "deadline",
        "§5 deadline",
        "the time of each shard of a tile is counted from its own begin",
        deadline,
    ),
];

fn where_it_is(engine: &mut Engine) -> Result<(), Fault> {
    let place = of("where")
        .slices(65_536)
        .slice(65_535)
        .page(7)
        .attempt(3, Fence(FENCE));
    for (trial, traced) in [
        (place.clone(), false),
        (place.traceparent(TRACEPARENT), true),
    ] {
        let given = engine.give(&trial, 2)?;
        for (at, answer) in engine.answers(&given)?.iter().enumerate() {
            let (tile, shard) = (&given.message, &given.message["shards"][at]);
            let run = tile["run"].as_str().unwrap_or_default();
            let trace = shard
                .get("traceparent")
                .and_then(Value::as_str)
                .unwrap_or("-");
            ensure(
                (trace != "-") == traced,
                "a traceparent where there is one",
                || short(shard),
            )?;
            let (key, page) = (&given.keys[at], 7 + at);
            answer.says(&format!(
                "{run} sizes where 65535 65536 {page} 3 {FENCE} {key} {trace}"
            ))?;
        }
    }
    Ok(())
}

/// The result is this value, as JSON.
fn says_json(answer: &Answer, wanted: &Value) -> Result<(), Fault> {
    let result = answer.result()?;
    let said: Value = serde_json::from_str(result)
        .map_err(|_| fault("done with a result that is JSON", answer))?;
    // A library may make an empty table of what is not there.
    let same = alike(&said, wanted) || wanted.is_null() && said == json!({});
    ensure(
        same,
        format!("done with the result {}", short(wanted)),
        || answer.to_string(),
    )
}

fn kinds(engine: &mut Engine) -> Result<(), Fault> {
    let deep = (0..30).fold(json!("deep"), |inner, _| json!([inner]));
    for params in [
        json!({"width": 200, "name": "\u{e9}\u{65e5}\u{672c}\u{1f600}", "": "empty name", "\u{e9} \"x\"\n": [true, false, null]}),
        json!({}),
        json!({"deep": deep}),
        json!({"least": -9_007_199_254_740_991_i64, "most": 9_007_199_254_740_991_i64, "half": 0.5, "small": 1e-300}),
        json!([1, "two", {"three": 3}]),
        json!("text"),
        json!(7),
        json!(true),
        Value::Null,
    ] {
        let answer = engine.run(&with("echo", params.clone()))?;
        says_json(&answer, &params)?;
    }
    Ok(())
}

fn beyond(engine: &mut Engine) -> Result<(), Fault> {
    let params = json!({"rows": 3, "vast": 1e308, "whole": u64::MAX, "least": i64::MIN});
    let answer = engine.run(&with("rows", params))?;
    ensure(
        matches!(answer, Answer::Done(_) | Answer::Failed(_)),
        "done, or fail",
        || answer.to_string(),
    )?;
    goes_on(engine)
}

fn many(engine: &mut Engine) -> Result<(), Fault> {
    let keys: Vec<String> = (0..1_000)
        .map(|n| format!("key number {n} \u{e9}{}", "x".repeat(40)))
        .collect();
    let (slices, slice) = (7, 3);
    let own = |key: &String| gridloom_shared::slicing::slice_of(key, slices) == slice;
    let wanted: String = keys
        .iter()
        .map(|key| if own(key) { '1' } else { '0' })
        .collect();
    let trial = with("owns", json!({"keys": keys}))
        .slices(slices)
        .slice(slice);
    engine.run(&trial)?.says(&wanted)
}

fn owns(engine: &mut Engine) -> Result<(), Fault> {
    let keys: Vec<&str> = VECTORS.iter().map(|(key, _)| *key).collect();
    for (at, slices) in [7, 65_536].into_iter().enumerate() {
        for (key, of) in VECTORS {
            let slice = of[at];
            let own = VECTORS.iter().map(|(_, of)| of[at] == slice);
            let wanted: String = own.map(|own| if own { '1' } else { '0' }).collect();
            let trial = with("owns", json!({"keys": keys}))
                .slices(slices)
                .slice(slice);
            let answer = engine.run(&trial)?;
            let expected =
                format!("key {key:?} in slice {slice} of {slices}, so of {keys:?}: {wanted}");
            ensure(answer.result()? == wanted, expected, || answer.to_string())?;
        }
    }
    Ok(())
}

fn settings(engine: &mut Engine) -> Result<(), Fault> {
    for settings in [
        json!({"level": 9, "names": ["\u{e9}"]}),
        json!({}),
        Value::Null,
    ] {
        let trial = with("settings", json!({"level": 1})).settings(settings.clone());
        says_json(&engine.run(&trial)?, &settings)?;
    }
    Ok(())
}

fn number_keys(engine: &mut Engine) -> Result<(), Fault> {
    for (from, to) in [
        (i64::MIN, i64::MAX),
        (-5, 9),
        (9_007_199_254_740_993, 9_007_199_254_740_995),
    ] {
        let trial = of("bounds").bounds(Key::Int(from), Key::Int(to));
        engine.run(&trial)?.says(&format!("{from} {to} - -"))?;
    }
    Ok(())
}

fn text_keys(engine: &mut Engine) -> Result<(), Fault> {
    let long = "\u{e9}".repeat(128);
    for (from, to) in [
        ("a", "\u{65e5}\u{672c}"),
        ("7", "07"),
        ("\u{1f600}", long.as_str()),
    ] {
        let trial = of("bounds").bounds(Key::Text(from.to_owned()), Key::Text(to.to_owned()));
        engine.run(&trial)?.says(&format!("{from} {to} - -"))?;
    }
    Ok(())
}

fn offsets(engine: &mut Engine) -> Result<(), Fault> {
    let pages = PagesSpec::Rows {
        rows: vec![2_500],
        page_size: 1_000,
    };
    let given = engine.give(&of("bounds").pages(pages), 3)?;
    let answers = engine.answers(&given)?;
    for (shard, answer) in given.message["shards"]
        .as_array()
        .into_iter()
        .flatten()
        .zip(&answers)
    {
        let of = |field: &str| {
            shard
                .get(field)
                .and_then(Value::as_u64)
                .map_or("-".to_owned(), |n| n.to_string())
        };
        ensure(shard.get("offset").is_some(), "an offset", || short(shard))?;
        answer.says(&format!("- - {} {}", of("offset"), of("limit")))?;
    }
    let open = given.message["shards"][2].get("limit").is_none();
    ensure(open, "a last page without a limit", || {
        short(&given.message)
    })
}

/// How long the handler waits after it has looked at its deadline.
const WAITS_MS: u64 = 1_000;
/// The time of an attempt.
const TIMEOUT_MS: u64 = 600_000;

fn deadline(engine: &mut Engine) -> Result<(), Fault> {
    engine.run(&of("deadline"))?.says("-")?;
    let trial = with("deadline", json!({"ms": WAITS_MS}));
    let given = engine.give(
        &trial.timeout(std::time::Duration::from_millis(TIMEOUT_MS)),
        2,
    )?;
    for (at, answer) in engine.answers(&given)?.iter().enumerate() {
        let left: u64 = answer
            .result()?
            .parse()
            .map_err(|_| fault("a whole number of milliseconds", answer))?;
        // The second one's time begins when the first is answered.
        let soon = TIMEOUT_MS - WAITS_MS / 2;
        ensure(
            (soon..=TIMEOUT_MS).contains(&left),
            format!("{soon} to {TIMEOUT_MS} ms left for shard {at} of the tile"),
            || format!("{left} ms"),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../../../docs/SLICING.md");

    #[test]
    fn vectors_are_those_of_the_page() {
        let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `"));
        let rows: Vec<(String, [u32; 2])> = rows
            .map(|row| {
                let cells: Vec<&str> = row.split('|').map(str::trim).collect();
                let key = serde_json::from_str(cells[0].trim_end_matches('`')).unwrap();
                (key, [cells[2].parse().unwrap(), cells[3].parse().unwrap()])
            })
            .collect();
        let own = VECTORS.iter().map(|(key, of)| ((*key).to_owned(), *of));
        assert_eq!(rows, own.collect::<Vec<_>>());
    }
}
