//! Who may name whom, as docs/ARCHITECTURE.md states by what is absent. That no crate depends on one that it must
//! not know stands in deny.toml.

use crate::{files, root};

#[test]
fn only_the_rooms_of_the_broker_name_its_client() {
    let told: Vec<String> = files(&[".rs"])
        .into_iter()
        .filter(|(path, _)| {
            let crates = ["shared/src/", "planner/", "worker/", "cli/"];
            let broker = path.starts_with("shared/src/broker");
            crates.iter().any(|part| path.starts_with(part)) && !broker
        })
        .filter(|(_, text)| code(text).any(|line| line.contains("async_nats::")))
        .map(|(path, _)| path)
        .collect();
    assert!(
        told.is_empty(),
        "these name the broker's client; say it in shared/src/broker: {told:?}"
    );
}

#[test]
fn only_one_room_of_the_planner_spawns() {
    let spawns = ["spawn(", "spawn_blocking(", "JoinSet"];
    let room = "planner/src/service/tasks.rs";
    let told: Vec<String> = files(&[".rs"])
        .into_iter()
        .filter(|(path, _)| path.starts_with("planner/src/") && path != room)
        .filter(|(_, text)| {
            code(text).any(|line| {
                let own = line
                    .replace("tasks.spawn(Task::", "")
                    .replace("self.tasks.spawn(task, ", "");
                spawns.iter().any(|word| own.contains(word))
            })
        })
        .map(|(path, _)| path)
        .collect();
    assert!(
        told.is_empty(),
        "these spawn what nobody looks after; say it to {room}: {told:?}"
    );
}

#[test]
fn only_tests_are_built_with_the_version_of_records_that_is_still_to_come() {
    let named = files(&[".toml"]).into_iter();
    let named = named.filter(|(_, text)| text.contains("wire-next"));
    let named: Vec<String> = named.map(|(path, _)| path).collect();
    assert_eq!(named, ["shared/Cargo.toml", "tests/Cargo.toml"]);
}

/// What only the broker's own rooms of names and of acknowledgements spell.
const SPELLED: &[&str] = &["$JS.", "$KV.", "+WPI", "+ACK", "-NAK", "+TERM"];
/// Those rooms.
const SPELLING: &[&str] = &[
    "shared/src/broker/ack.rs",
    "shared/src/broker/subjects.rs",
    "shared/src/broker/subjects/api.rs",
    "shared/src/broker/subjects/domain.rs",
];

#[test]
fn only_one_room_spells_the_subjects_of_the_broker_and_one_what_is_said_of_a_delivery() {
    let mut told = Vec::new();
    for (path, text) in files(&[".rs"]) {
        let crates = ["shared/src/", "planner/src/", "worker/src/", "cli/src/"];
        let decides = text.split("#[cfg(test)]").next().unwrap_or_default();
        let is_test = path.ends_with("tests.rs");
        let elsewhere = !is_test && !SPELLING.contains(&path.as_str());
        if elsewhere && crates.iter().any(|part| path.starts_with(part)) {
            let words = SPELLED
                .iter()
                .filter(|word| code(decides).any(|line| line.contains(**word)));
            told.extend(words.map(|word| format!("{path}: {word}")));
        }
    }
    assert!(
        told.is_empty(),
        "say it in one of {SPELLING:?}:\n{}",
        told.join("\n")
    );
}

/// Rooms that decide and do nothing else: files, and all below the folders of that name.
const PURE: &[&str] = &[
    "bench/src/limits/log",
    "cli/src/commands/job/compare",
    "cli/src/commands/sdk_test/junit",
    "cli/src/commands/snapshot/mask",
    "cli/src/commands/top/cells",
    "cli/src/commands/top/frame",
    "cli/src/commands/top/happen",
    "cli/src/commands/top/look",
    "cli/src/commands/top/order",
    "cli/src/commands/top/rates",
    "cli/src/commands/top/read/turns",
    "cli/src/commands/top/state",
    "planner/src/admission",
    "planner/src/alarms",
    "planner/src/api/access",
    "planner/src/api/cursor",
    "planner/src/api/events/frame",
    "planner/src/api/events/recent",
    "planner/src/api/events/since",
    "planner/src/api/events/topic",
    "planner/src/book",
    "planner/src/census",
    "planner/src/crew",
    "planner/src/failover/pace",
    "planner/src/failover/probe",
    "planner/src/failover/roster",
    "planner/src/lead",
    "planner/src/orders",
    "planner/src/register",
    "planner/src/retention",
    "planner/src/run",
    "planner/src/schedule",
    "planner/src/service/feeds/look",
    "planner/src/toll",
    "shared/src/broker/log/pages",
    "shared/src/grid",
    "shared/src/job",
    "shared/src/ledger",
    "shared/src/limits",
    "shared/src/ranges",
    "shared/src/reads/attempts/history",
    "shared/src/reads/changes",
    "shared/src/reads/failures",
    "shared/src/reads/grid",
    "shared/src/reads/worked",
    "shared/src/schedule",
    "shared/src/slicing",
    "shared/src/tile",
    "shared/src/trace",
    "shared/src/wire",
    "worker/src/bells",
    "worker/src/bridge/death",
    "worker/src/bridge/desk",
    "worker/src/bridge/frame",
    "worker/src/bridge/heard",
    "worker/src/bridge/said",
    "worker/src/engine/runs",
    "worker/src/engine/tiles",
    "worker/src/engine/turns",
    "worker/src/handlers/http/address",
    "worker/src/handlers/http/answer",
    "worker/src/handlers/http/escapes",
    "worker/src/handlers/sql/literal",
    "worker/src/lease",
    "worker/src/outcomes",
    "worker/src/put_off",
    "worker/src/slots",
    "worker/src/takeover",
];
/// What would make their answer depend on more than what they are given.
const IMPURE: &[&str] = &[
    "tokio::",
    "async fn",
    "std::fs",
    "Instant::now",
    "SystemTime::now",
    "Boot::now",
    "UnixMs::now",
    "Timestamp::now",
    "Zoned::now",
    "TimeZone::system",
    "::random()",
    "::new_v4()",
    "broker::Broker",
    ": Broker",
    "&Broker",
];

#[test]
fn whoever_is_called_pure_is_held_to_it() {
    let is_listed = |path: &str| {
        let inside = |room: &&str| {
            path.strip_prefix(*room)
                .is_some_and(|rest| rest.starts_with(['.', '/']))
        };
        PURE.iter().any(inside)
    };
    let says_so = |text: &str| {
        let mut head = text.lines().take_while(|line| line.starts_with("//!"));
        head.any(|line| line.contains(" Pure"))
    };
    let told: Vec<String> = files(&[".rs"])
        .into_iter()
        .filter(|(path, text)| path.contains("/src/") && says_so(text) && !is_listed(path))
        .map(|(path, _)| path)
        .collect();
    assert!(told.is_empty(), "name them in the list: {told:?}");
}

#[test]
fn pure_rooms_read_no_clock_draw_no_lot_and_speak_to_nobody() {
    let all = files(&[".rs"]);
    let mut told = Vec::new();
    for room in PURE {
        let inside = |path: &str| {
            path.strip_prefix(room)
                .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        let mut files = all.iter().filter(|(path, _)| inside(path)).peekable();
        assert!(
            files.peek().is_some(),
            "{room} is gone: take it out of the list, or say where it went"
        );
        let is_test = |path: &str| path.ends_with("tests.rs") || path.contains("/tests/");
        for (path, text) in files.filter(|(path, _)| !is_test(path)) {
            let decides = text.split("#[cfg(test)]").next().unwrap_or_default();
            let words = IMPURE
                .iter()
                .filter(|word| code(decides).any(|line| line.contains(**word)));
            told.extend(words.map(|word| format!("{path}: {word}")));
        }
    }
    assert!(
        told.is_empty(),
        "these were to be given it as a value:\n{}",
        told.join("\n")
    );
}

/// The lines that are no comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines();
    lines.filter(|line| !line.trim_start().starts_with("//"))
}

/// All of .ci/run is done with the pinned toolchain: so that is the oldest that is known to do.
#[test]
fn toolchain_is_the_oldest_that_is_promised() {
    let value = |file: &str, key: &str| {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let line = text.lines().find(|line| line.starts_with(key));
        let quoted = line.and_then(|line| line.split('"').nth(1));
        quoted.unwrap_or_default().to_owned()
    };
    let pinned = value("rust-toolchain.toml", "channel");
    let promised = value("Cargo.toml", "rust-version");
    assert!(!promised.is_empty(), "Cargo.toml names a rust-version");
    assert_eq!(pinned, format!("{promised}.0"));
}
