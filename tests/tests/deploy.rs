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
//! | `image` | the Dockerfile: what it copies is there, what it builds is built so, what it makes needs nothing more |

#[path = "deploy/files.rs"]
mod files;
#[path = "deploy/image.rs"]
mod image;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, ensure};

/// The root of the repository.
fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().expect("the repository is there")
}

/// The text of a file, its path from the root of the repository.
fn text(path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(root().join(path)).with_context(|| format!("read {path}"))
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
