//! What stands in `deploy/`, for those who run it: each file is started or checked here, or by the tests that know it
//! better. None is decoration.
//!
//! Containers, pods and units are not run: no engine, cluster or init system is here. What is run are the processes that
//! they declare, with their arguments and variables, as real ones against a real broker; only places are replaced
//! (`/etc/gridloom`, host names, ports).
//!
//! | room | what it holds fast |
//! |------|--------------------|
//! | `files` | each file of deploy/ is named by a test |
//! | `broker` | the broker that the others need, as deploy/nats configures it |
//! | `declared` | how a process that a file declares is started here |
//! | `image` | the Dockerfile: what it copies is there, what it builds is built so, what it makes needs nothing more |
//! | `units` | the units of systemd |
//! | `compose` | compose.yaml |
//! | `chart` | the Helm chart |
//! | `grafana` | the dashboards, by Grafana's schema |
//! | `walk` | the walk of docs/OPERATIONS.md |

#[path = "deploy/broker.rs"]
mod broker;
#[path = "deploy/chart.rs"]
mod chart;
#[path = "deploy/compose.rs"]
mod compose;
#[path = "deploy/declared.rs"]
mod declared;
#[path = "deploy/files.rs"]
mod files;
#[path = "deploy/grafana.rs"]
mod grafana;
#[path = "deploy/image.rs"]
mod image;
#[path = "deploy/units.rs"]
mod units;
#[path = "deploy/walk.rs"]
mod walk;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::Value;

/// The root of the repository.
fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().expect("the repository is there")
}

/// The text of a file, its path from the root of the repository.
fn text(path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(root().join(path)).with_context(|| format!("read {path}"))
}

/// The documents of a text of YAML, aliases and merged keys put in their places.
fn documents(text: &str) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        let mut value = serde_yaml_ng::Value::deserialize(document)?;
        value.apply_merge()?;
        if !value.is_null() {
            all.push(serde_json::to_value(value)?);
        }
    }
    Ok(all)
}

/// A program that is on this machine and answers to `asked`; or else it is told loudly what did not run without it.
fn tool(name: &str, asked: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut places = std::env::split_paths(&path).chain(more);
    let found = places.find_map(|place| Some(place.join(name)).filter(|path| path.is_file()));
    let found = found.filter(|path| {
        let answered = Command::new(path).arg(asked).output();
        answered.is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        not_run(&format!("what needs {name}, which is not on this machine"));
    }
    found
}

#[allow(
    clippy::print_stderr,
    reason = "a test that did not run must not look like one that passed"
)]
fn not_run(what: &str) {
    eprintln!("\n*** NOT RUN: {what} ***\n");
}

/// What a program wrote that must have succeeded.
fn succeeded(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        said(&output)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// All that a program wrote.
fn said(output: &Output) -> String {
    let both = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    both.concat()
}

/// The texts in a list of YAML.
fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items
        .map(|item| {
            item.as_str()
                .map_or_else(|| item.to_string(), str::to_owned)
        })
        .collect()
}
