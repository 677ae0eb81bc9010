//! docs/HANDLERS.md and docs/CONFIG.md say what jobs may name, what services are, and what answers mean.

use gridloom_shared::chain;
use gridloom_shared::job::handlers::http::GIVEN;
use gridloom_shared::job::handlers::http::order::TIMEOUT_DEFAULT;

use super::answer::{MOVES_MAX, WAIT_MAX};
use super::connection::ANSWER_MAX;
use super::*;
use crate::handlers::documented::{keys, says};

const CONFIG: &str = include_str!("../../../../docs/CONFIG.md");

#[test]
fn page_has_each_key_of_a_service() {
    let (_, table) = CONFIG
        .split_once("| key of `[worker.http.NAME]` |")
        .unwrap();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let said: Vec<&str> = rows.map(|row| row.split('`').nth(1).unwrap()).collect();
    let other = r#"{"origin": "*", "other": 1}"#;
    let error = serde_json::from_str::<HttpService>(other).unwrap_err();
    let error = chain(&error).to_string();
    let known: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
    assert_eq!(said, known);
}

#[test]
fn page_has_each_word_that_the_engine_gives() {
    let cells = keys("| placeholder |").join(", ");
    let said = cells.split(", ").filter_map(|word| {
        let name = word.strip_prefix('{')?.strip_suffix('}')?;
        (name == name.to_lowercase()).then_some(name)
    });
    let said: std::collections::BTreeSet<&str> = said.collect();
    assert_eq!(said, GIVEN.iter().copied().collect());
}

#[test]
fn page_says_the_bounds() {
    assert_eq!(
        (WAIT_MAX.as_secs(), MOVES_MAX, HOLDS_MAX),
        (3_600, 5, 1_000)
    );
    assert!(says(
        "an hour at most, then it is asked again. After 1,000 attempts"
    ));
    assert!(says("asked there, five times at most"));
    assert_eq!(ANSWER_MAX, 64 << 10);
    assert!(says("behind the first 64 KiB of the answer"));
    assert!(says(&format!("the first {SAID_MAX} bytes of the answer")));
    assert_eq!(TIMEOUT_DEFAULT.as_secs(), 30);
}
