//! One way of fetching nats-server: a program that is run once, under guard.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gridloom_shared::chain;
use tokio::time::timeout;

use super::binary::{self, PINNED};
use crate::guard::Launch;

/// What every way needs: the guard it runs under, and the PATH where its program is looked for.
pub(super) struct Means<'a> {
    pub(super) guard: &'a Path,
    pub(super) tools: Option<&'a OsStr>,
}

/// One way of fetching: a program that is run once.
#[derive(Debug)]
pub(super) struct Way {
    /// For people, after "fetching nats-server VERSION".
    pub(super) saying: &'static str,
    pub(super) program: &'static str,
    /// Arguments that come first in every call, such as `-m pip`.
    pub(super) before: &'static [&'static str],
    /// Arguments that show whether it is there at all.
    pub(super) probe: &'static str,
    pub(super) args: Vec<OsString>,
    pub(super) env: Vec<(&'static str, OsString)>,
    pub(super) env_remove: &'static [&'static str],
    /// Where it leaves the executable.
    pub(super) leaves: PathBuf,
    pub(super) within: Duration,
}

impl Way {
    pub(super) fn name(&self) -> String {
        [&[self.program][..], self.before].concat().join(" ")
    }

    pub(super) async fn is_there(&self, means: &Means<'_>) -> bool {
        let mut probe = tokio::process::Command::new(self.program);
        if let Some(path) = means.tools {
            probe.env("PATH", path);
        }
        let probe = probe
            .args(self.before)
            .arg(self.probe)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true)
            .status();
        matches!(timeout(Duration::from_secs(30), probe).await, Ok(Ok(status)) if status.success())
    }

    /// Runs it under guard, so that it ends with us, and has the result say its version.
    pub(super) async fn follow(&self, dir: &Path, means: &Means<'_>) -> Result<PathBuf, String> {
        let log = dir.join("log");
        let output = File::create(&log)
            .and_then(|file| Ok((file.try_clone()?, file)))
            .map_err(|error| chain(&error).to_string())?;
        let mut launch = Launch::new(means.guard, self.program)
            .args(self.before)
            .args(&self.args)
            .dir(dir)
            .stdout(output.0)
            .stderr(output.1);
        if let Some(path) = means.tools {
            launch = launch.env("PATH", path);
        }
        for name in self.env_remove {
            launch = launch.env_remove(name);
        }
        for (name, value) in &self.env {
            launch = launch.env(name, value);
        }
        let mut running = launch
            .spawn()
            .await
            .map_err(|error| chain(&error).to_string())?;
        match timeout(self.within, running.wait()).await {
            Err(_) => Err(format!("not done within {}s", self.within.as_secs())),
            Ok(Err(error)) => Err(chain(&error).to_string()),
            Ok(Ok(0)) => self.check().await,
            Ok(Ok(code)) => Err(format!("code {code}: {}", last_lines(&log))),
        }
    }

    async fn check(&self) -> Result<PathBuf, String> {
        let version = binary::ask(&self.leaves)
            .await
            .map_err(|why| format!("what it fetched is unusable: {why}"))?;
        if version == PINNED {
            Ok(self.leaves.clone())
        } else {
            Err(format!("it fetched version {version}"))
        }
    }
}

fn last_lines(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(3)..].join(" / ")
}
