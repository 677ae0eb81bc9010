//! Questions for pages.

use gridloom_shared::tile::Key;
use serde_json::{Value, json};

use super::{goes_on, of, usual, with};
use crate::Trial;
use crate::bridge::conformance::Situation;
use crate::bridge::conformance::answer::{Answer, Fault, ensure, fault};
use crate::bridge::conformance::engine::Engine;

pub(super) const ALL: &[Situation] = &[
    usual(
        "pages",
        "§4 pages",
        "first and last key of each page",
        pages,
    ),
    usual(
        "pages-cut",
        "§4 pages_max",
        "no more pages than there is room for, and a cursor for the rest",
        cut,
    ),
    usual(
        "pages-of-texts",
        "§4 pages",
        "pages may have texts for keys",
        texts,
    ),
    usual(
        "pages-none",
        "§4 cursor",
        "a slice without pages, and one that is known to its end",
        none,
    ),
    usual("pages-failed", "§4 pages", "a probe that fails", failed),
    usual(
        "pages-beside-shards",
        "§5 probe",
        "a handler with a probe runs shards as well",
        beside,
    ),
];

/// Pages of numbers, and the cursor.
type Numbered = (Vec<(i64, i64)>, Option<i64>);

/// What an answer says of such pages.
fn numbers(answer: &Answer) -> Result<Numbered, Fault> {
    let Answer::Pages(said) = answer else {
        return Err(fault("pages", answer));
    };
    let pages = serde_json::from_value(said["pages"].clone());
    let pages = pages.map_err(|_| fault("pages of whole numbers", answer))?;
    Ok((pages, said.get("cursor").and_then(Value::as_i64)))
}

fn pages(engine: &mut Engine) -> Result<(), Fault> {
    let answer = engine.ask(&with("pages", json!({"last": 25, "size": 10})))?;
    let found = numbers(&answer)?;
    ensure(
        found.0 == [(1, 10), (11, 20), (21, 25)],
        "the pages 1 10, 11 20, 21 25",
        || answer.to_string(),
    )?;
    match found.1 {
        None => Ok(()),
        // It did not know that this was all: the next answer says so.
        Some(cursor) => at_the_end(engine, cursor, 25),
    }
}

/// Nothing is behind this cursor.
fn at_the_end(engine: &mut Engine, cursor: i64, last: i64) -> Result<(), Fault> {
    ensure(cursor == last, format!("no cursor, or {last}"), || {
        cursor.to_string()
    })?;
    let answer =
        engine.ask(&with("pages", json!({"last": last, "size": 10})).after(Key::Int(cursor)))?;
    ensure(
        numbers(&answer)? == (Vec::new(), None),
        "no pages and no cursor",
        || answer.to_string(),
    )
}

/// Asks until the slice is known to its end; all its pages.
fn all_of(
    engine: &mut Engine,
    trial: &Trial,
    most: usize,
    room: usize,
) -> Result<Vec<(i64, i64)>, Fault> {
    let (mut all, mut asked) = (Vec::new(), trial.clone().room(room));
    loop {
        let (id, mut message) = engine.probe(&asked);
        message["pages_max"] = json!(most);
        engine.say(&message)?;
        let answer = engine.answer(id)?;
        let (pages, cursor) = numbers(&answer)?;
        // A page costs 1, and each of its two keys 9.
        ensure(
            pages.len() <= most && pages.len() * 19 <= room,
            format!("at most {most} pages, of {room} bytes"),
            || format!("{} pages", pages.len()),
        )?;
        all.extend(&pages);
        match cursor {
            None => return Ok(all),
            Some(_) if pages.is_empty() => return Err(fault("pages, or no cursor", answer)),
            Some(cursor) => asked = trial.clone().room(room).after(Key::Int(cursor)),
        }
    }
}

fn cut(engine: &mut Engine) -> Result<(), Fault> {
    let wanted: Vec<(i64, i64)> = (0..10).map(|n| (n * 10 + 1, n * 10 + 10)).collect();
    let trial = with("pages", json!({"last": 100, "size": 10}));
    for (most, room) in [(4_096, 60), (4, 786_432), (4_096, 786_432)] {
        let all = all_of(engine, &trial, most, room)?;
        ensure(all == wanted, format!("{wanted:?}, each page once"), || {
            format!("{all:?}")
        })?;
    }
    Ok(())
}

fn texts(engine: &mut Engine) -> Result<(), Fault> {
    let answer = engine.ask(&of("pages-text"))?;
    let wanted = json!([
        ["a", "b"],
        ["c", "\u{e9}"],
        ["\u{65e5}\u{672c}", "\u{65e5}\u{672c}\u{8a9e}"]
    ]);
    let all = |answer: &Answer| matches!(answer, Answer::Pages(said) if said["pages"] == wanted);
    ensure(all(&answer), format!("the pages {wanted}"), || {
        answer.to_string()
    })?;
    let answer = engine.ask(&of("pages-text").after(Key::Text("b".to_owned())))?;
    let rest = matches!(&answer, Answer::Pages(said) if said["pages"][0] == wanted[1] && said["pages"][1] == wanted[2]);
    ensure(rest, "the two pages behind b", || answer.to_string())
}

fn none(engine: &mut Engine) -> Result<(), Fault> {
    let answer = engine.ask(&with("pages", json!({"last": 0, "size": 10})))?;
    ensure(
        numbers(&answer)? == (Vec::new(), None),
        "no pages and no cursor",
        || answer.to_string(),
    )?;
    at_the_end(engine, 25, 25)
}

fn failed(engine: &mut Engine) -> Result<(), Fault> {
    let answer = engine.ask(&of("pages-fail"))?;
    let error = answer.failed("permanent")?;
    ensure(
        error.contains("no such table"),
        "fail with \"no such table\" in its error",
        || answer.to_string(),
    )?;
    goes_on(engine)
}

fn beside(engine: &mut Engine) -> Result<(), Fault> {
    let given = engine.give(&of("pages").bounds(Key::Int(1), Key::Int(10)), 1)?;
    let answer = engine.ask(&with("pages", json!({"last": 5, "size": 5})))?;
    ensure(numbers(&answer)?.0 == [(1, 5)], "the page 1 5", || {
        answer.to_string()
    })?;
    engine.answer(given.ids[0])?.done().map(|_| ())
}
