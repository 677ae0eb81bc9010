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
