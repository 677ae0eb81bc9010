//! Frames, however they are cut and whatever stands in them.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{goes_on, of, usual, with};
use crate::bridge::conformance::Situation;
use crate::bridge::conformance::answer::{Fault, ensure, fault};
use crate::bridge::conformance::engine::Engine;
use crate::bridge::frame::{FRAME_MAX, frame};
use crate::guarded::Ending;

pub(super) const ALL: &[Situation] = &[
    usual(
        "unknown-fields",
        "§2",
        "fields that it does not know are passed over",
        unknown_fields,
    ),
    usual(
        "unknown-message",
        "§2",
        "messages that it does not know are passed over",
        unknown_message,
    ),
    usual(
        "nulls",
        "§2",
        "a field that is null is as one that is not there",
        nulls,
    ),
    usual(
        "another-hand",
        "§2",
        "JSON is read as it may be written: order, blanks, escapes",
        another_hand,
    ),
    usual(
        "slow-frame",
        "§2",
        "a frame that comes byte by byte is a frame",
        slow,
    ),
    usual(
        "frames-in-one-piece",
        "§2",
        "three frames in one piece are three",
        in_one_piece,
    ),
    usual("largest-frame", "§2", "a frame of 8 MiB is read", largest),
    usual(
        "empty-frame",
        "§2",
        "a length of 0 ends the connection, and the process",
        |engine| breaks(engine, &[0, 0, 0, 0]),
    ),
    usual(
        "vast-frame",
        "§2",
        "a length above 8 MiB does, before a byte of it has come",
        |engine| breaks(engine, &[0x40, 0, 0, 0]),
    ),
    usual("garbage", "§2", "what is no JSON does", |engine| {
        breaks(engine, b"\0\0\0\x05hello")
    }),
];

/// A message with a field more, in all that it has.
fn more(message: &mut Value) {
    let fields = message.as_object_mut();
    let Some(fields) = fields else { return };
    for value in fields.values_mut() {
        value.as_array_mut().into_iter().flatten().for_each(more);
    }
    fields.insert("x_later".to_owned(), json!({"type": "drain", "ids": [1]}));
}

fn unknown_fields(engine: &mut Engine) -> Result<(), Fault> {
    let mut given = engine.tile(&with("result", json!({"text": "a"})), 2);
    more(&mut given.message);
    engine.say(&given.message)?;
    for answer in engine.answers(&given)? {
        answer.says("a")?;
    }
    engine.say(&json!({"type": "stop", "ids": [1], "why": "lease", "x_later": [null]}))?;
    goes_on(engine)
}

fn unknown_message(engine: &mut Engine) -> Result<(), Fault> {
    engine.say(&json!({"type": "applause", "ids": [1], "shards": [{"id": 1}]}))?;
    engine.say(&json!({"type": "Drain"}))?;
    goes_on(engine)
}

fn nulls(engine: &mut Engine) -> Result<(), Fault> {
    let mut given = engine.tile(&of("bounds"), 1);
    for field in ["from", "to", "offset", "limit", "traceparent"] {
        given.message["shards"][0][field] = Value::Null;
    }
    given.message["settings"] = Value::Null;
    given.message["timeout_ms"] = Value::Null;
    engine.say(&given.message)?;
    engine.answer(given.ids[0])?.says("- - - -")
}

/// The same message as somebody else writes it: its fields the other way round, so `type` is the last, and blanks.
fn another_hand(engine: &mut Engine) -> Result<(), Fault> {
    let params = json!({"text": "a/b \"c\" \u{e9}\u{1f600}\\"});
    let given = engine.tile(&with("result", params), 1);
    let Value::Object(fields) = &given.message else {
        return Err(fault("a message", "none"));
    };
    let text = |value: &Value| ascii(&value.to_string()).replace('/', "\\/");
    let turned: Vec<String> = fields
        .iter()
        .rev()
        .map(|(name, value)| format!("\t\"{}\" :\r\n {} ", escaped(name), text(value)))
        .collect();
    let body = format!(" {{\n{}}}\n", turned.join(","));
    let mut bytes = u32::try_from(body.len())
        .unwrap_or_default()
        .to_be_bytes()
        .to_vec();
    bytes.extend_from_slice(body.as_bytes());
    engine.send(&bytes)?;
    engine
        .answer(given.ids[0])?
        .says("a/b \"c\" \u{e9}\u{1f600}\\")
}

/// The first letter of a name as an escape.
fn escaped(name: &str) -> String {
    let first = name.bytes().next().unwrap_or_default();
    format!("\\u{first:04x}{}", name.get(1..).unwrap_or_default())
}

/// JSON without a sign beyond ASCII.
fn ascii(json: &str) -> String {
    let mut units = [0; 2];
    let mut out = String::new();
    for sign in json.chars() {
        match sign.is_ascii() {
            true => out.push(sign),
            false => {
                for unit in sign.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04X}"));
                }
            }
        }
    }
    out
}

fn slow(engine: &mut Engine) -> Result<(), Fault> {
    let given = engine.tile(&with("result", json!({"text": "\u{65e5}\u{672c}"})), 1);
    let frame = frame(&given.message).ok_or_else(|| fault("a frame", "none"))?;
    for (at, byte) in frame.iter().enumerate() {
        engine.send(&[*byte])?;
        // Between the bytes of the length, and within the body: whoever polls has read what there is.
        if at < 6 || at % 50 == 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    engine.answer(given.ids[0])?.says("\u{65e5}\u{672c}")
}

fn in_one_piece(engine: &mut Engine) -> Result<(), Fault> {
    let mut bytes = Vec::new();
    let mut all = Vec::new();
    for text in ["a", "b", "c"] {
        let given = engine.tile(&with("result", json!({"text": text})), 1);
        bytes.extend_from_slice(&frame(&given.message).ok_or_else(|| fault("a frame", "none"))?);
        all.push((given, text));
    }
    engine.send(&bytes)?;
    for (given, text) in all {
        engine.answer(given.ids[0])?.says(text)?;
    }
    Ok(())
}

fn largest(engine: &mut Engine) -> Result<(), Fault> {
    let mut given = engine.tile(&with("result", json!({"text": "large"})), 1);
    let plain = given.message.to_string().len();
    let mut more = Map::new();
    more.insert("x_later".to_owned(), Value::String(String::new()));
    let around = Value::Object(more).to_string().len() - 1;
    given.message["x_later"] = Value::String("x".repeat(FRAME_MAX - plain - around));
    let frame = frame(&given.message).ok_or_else(|| fault("a frame", "none"))?;
    ensure(
        frame.len() == FRAME_MAX + 4,
        "a frame of the largest size",
        || frame.len().to_string(),
    )?;
    engine.send(&frame)?;
    engine.answer(given.ids[0])?.says("large")
}

/// What a worker never sends: whoever hears it knows that nothing that follows can be read.
fn breaks(engine: &mut Engine, bytes: &[u8]) -> Result<(), Fault> {
    goes_on(engine)?;
    engine.send(bytes)?;
    let within = engine.within();
    let ending = engine.ended(within)?;
    ensure(
        ending != Ending::Code(0),
        "another exit code than 0",
        || ending.to_string(),
    )
}
