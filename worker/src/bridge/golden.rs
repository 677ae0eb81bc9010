//! The frames of `sdk/frames.json`, which libraries of every language read in their tests: what stands there is what this side reads and
//! writes.

use gridloom_shared::chain;
use gridloom_shared::tile::Key;
use serde_json::{Value, json};

use super::frame::{Decoder, frame};
use super::heard::Heard;
use super::said::{PROTOCOL, Said, Why};
use crate::{Trial, bridge::frame::FRAME_MAX};

const FRAMES: &str = include_str!("../../../sdk/frames.json");

fn golden() -> Value {
    serde_json::from_str(FRAMES).unwrap()
}

fn entries(of: &str) -> Vec<Value> {
    golden()[of].as_array().unwrap().clone()
}

fn bytes(entry: &Value) -> Vec<u8> {
    let hex = entry["hex"].as_str().unwrap();
    let pairs = (0..hex.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

/// The message of the only frame, or what is wrong with it.
fn read(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut decoder = Decoder::default();
    decoder.room().extend_from_slice(bytes);
    let frame = decoder.next().map_err(|error| chain(&error).to_string())?;
    Ok(frame.expect("it is whole").to_vec())
}

fn heard(bytes: &[u8]) -> Result<Heard, String> {
    Heard::read(&read(bytes)?).map_err(|error| chain(&error).to_string())
}

#[test]
fn every_frame_is_its_message() {
    assert_eq!(
        (
            golden()["protocol"].as_u64(),
            golden()["frame_max"].as_u64()
        ),
        (Some(1), Some(FRAME_MAX as u64))
    );
    for entry in entries("frames") {
        let message: Value = serde_json::from_slice(&read(&bytes(&entry)).unwrap()).unwrap();
        assert_eq!(message, entry["message"], "{}", entry["name"]);
    }
}

#[test]
fn every_message_of_a_child_is_heard() {
    for entry in entries("frames")
        .into_iter()
        .filter(|entry| entry["from"] == "child")
    {
        let heard =
            heard(&bytes(&entry)).unwrap_or_else(|fault| panic!("{}: {fault}", entry["name"]));
        let known = matches!(heard, Heard::Unknown);
        assert_eq!(
            known,
            entry["name"] == "a message of a later version",
            "{}",
            entry["name"]
        );
    }
}

#[test]
fn what_is_broken_or_wrong_is_a_fault() {
    for entry in entries("broken").into_iter().chain(entries("wrong")) {
        assert!(heard(&bytes(&entry)).is_err(), "{}", entry["name"]);
    }
}

/// The golden message with this name.
fn message(name: &str) -> Value {
    let all = entries("frames").into_iter();
    let mut found = all
        .filter(|entry| entry["name"] == name)
        .map(|entry| entry["message"].clone());
    found.next().unwrap_or_else(|| panic!("there is no {name}"))
}

fn written(said: &Said<'_>) -> Value {
    serde_json::from_slice(&read(&frame(said).unwrap()).unwrap()).unwrap()
}

#[test]
fn what_is_said_has_the_fields_of_the_golden_messages_and_no_others() {
    let welcome = Said::Welcome {
        protocol: 1,
        worker: "host-7-ab12",
        grace_ms: 2_000,
    };
    let token = "0123456789abcdef";
    let attach = Said::Attach {
        protocol: PROTOCOL,
        token,
        worker: "host-7-ab12",
    };
    let stop = Said::Stop {
        ids: &[17, 18],
        why: Why::Lease,
    };
    for (said, name) in [
        (welcome, "welcome"),
        (attach, "attach"),
        (stop, "stop"),
        (Said::Drain, "drain"),
    ] {
        assert_eq!(written(&said), message(name));
    }
}

/// Whether what is said is the golden message, save what follows from the run at hand.
fn same(said: &Said<'_>, name: &str) {
    let (mut ours, mut theirs) = (written(said), message(name));
    for field in [
        "run",
        "nonce",
        "fence",
        "attempt",
        "timeout_ms",
        "params",
        "settings",
    ] {
        let (ours, theirs) = (ours[field].take(), theirs[field].take());
        let alike = std::mem::discriminant(&ours) == std::mem::discriminant(&theirs);
        assert!(
            alike || ["timeout_ms", "settings", "params"].contains(&field),
            "{field}: {ours} and {theirs}"
        );
    }
    assert_eq!(ours, theirs, "{name}");
}

#[test]
fn tiles_are_said_as_the_golden_messages_say_them() {
    let trial = || {
        Trial::new("sizes", "resize")
            .params(json!({"width": 200, "name": "é"}))
            .slices(16)
            .slice(3)
            .page(7)
    };
    let tile = trial().page(0).tile(2).tile_context();
    same(&Said::shards(&tile, &[0, 1], 17), "a tile of two pages");
    let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let keys = trial()
        .bounds(Key::Text("a".into()), Key::Text("日本".into()))
        .traceparent(header)
        .tile_context();
    same(&Said::shards(&keys, &[7], 19), "a page with text keys");
    let ends = trial()
        .page(0)
        .bounds(Key::Int(i64::MIN), Key::Int(i64::MAX))
        .tile_context();
    same(
        &Said::shards(&ends, &[0], 20),
        "a page with keys at the ends of 64 bits",
    );
    let pages = gridloom_shared::job::PagesSpec::Rows {
        rows: vec![0, 0, 0, 1_500],
        page_size: 1_000,
    };
    let sized = trial().page(0).pages(pages).tile(2).tile_context();
    let sized = written(&Said::shards(&sized, &[0, 1], 21));
    assert_eq!(sized["shards"], message("pages by position")["shards"]);
    let probe = Trial::new("sizes", "count")
        .slices(16)
        .slice(3)
        .tile_context();
    same(&Said::probe(&probe, 0, 23), "the first question of a probe");
}
