//! docs/HANDLERS.md says what commands are told, how they are configured, and what their end means.

use gridloom_shared::ledger::outcomes::{COUNTER_NAME_MAX, COUNTERS_MAX};
use gridloom_shared::tile::Key;
use serde_json::json;

use super::*;
use crate::Trial;
use crate::handlers::documented::{expected, keys, rows, says};

#[test]
fn page_has_each_key_of_a_command() {
    let none = r#"{"program": "p", "other": 1}"#;
    let error = serde_json::from_str::<ExecCommand>(none).unwrap_err();
    let heading = "| key of `[worker.exec.NAME]` |";
    assert_eq!(keys(heading), expected(&error));
    let write = |span: Duration| {
        gridloom_shared::duration::write_duration(u64::try_from(span.as_millis()).unwrap())
    };
    let grace = format!("{}, at most {}", write(GRACE_DEFAULT), write(GRACE_MAX));
    assert_eq!(rows(heading)[4][..2], ["grace".to_owned(), grace]);
}

#[test]
fn page_has_each_key_and_variable_that_a_command_is_told() {
    let told = Trial::new("sizes", "exec").bounds(Key::Int(1), Key::Int(2));
    let line = String::from_utf8(Task::of(&told.shard()).input()).unwrap();
    let task: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line).unwrap();
    let mut told: Vec<(String, String)> = task
        .keys()
        .map(|key| (key.clone(), format!("GRIDLOOM_{}", key.to_uppercase())))
        .collect();
    let said = rows("| key | variable |").into_iter();
    let mut said: Vec<(String, String)> =
        said.map(|row| (row[0].clone(), row[1].clone())).collect();
    told.sort();
    said.sort();
    assert_eq!(said, told);
    let named: std::collections::BTreeSet<String> =
        said.into_iter().map(|(_, name)| name).collect();
    let windows = Trial::new("sizes", "exec").shard();
    for shard in [
        windows,
        Trial::new("sizes", "exec").params(json!({"a": 1})).shard(),
    ] {
        for (name, _) in Task::of(&shard).variables() {
            assert!(named.contains(&name), "{name}");
        }
    }
}

#[test]
fn page_says_what_an_end_means_and_how_much_may_be_counted() {
    let codes = keys("| it ends with |");
    let never = NEVER_AGAIN.map(|code| code.to_string()).join(", ");
    assert_eq!(codes[..2], ["0".to_owned(), never]);
    let counters = format!(
        "at most {} names\nof at most {COUNTER_NAME_MAX} bytes",
        COUNTERS_MAX - 1
    );
    assert!(says(&counters), "{counters}");
}
