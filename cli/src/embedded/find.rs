//! Decides which nats-server is run: the one that was named, the one on PATH if it is new enough,
//! the one in the user's cache, or one fetched now.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use gridloom_shared::chain;

use super::binary::{Binary, MINIMUM, Source, ask};
use super::{FetchError, Say, cache, fetch};

/// Names the executable to use.
const NAMED_BY: &str = "GRIDLOOM_NATS_SERVER";

/// Where to look. [`Search::from_env`] for programs; tests name their own places.
#[derive(Clone, Debug)]
pub struct Search {
    /// An executable that must be used.
    pub named: Option<PathBuf>,
    /// Directories to look in, as in PATH.
    pub path: Option<OsString>,
    /// Gridloom's directory in the user's cache; `None` where the user has no home.
    pub cache: Option<PathBuf>,
    /// Directories where pip and Go are looked for; this process's PATH when `None`.
    pub tools: Option<OsString>,
}

impl Search {
    /// The places that the environment names.
    pub fn from_env() -> Search {
        Search {
            named: env::var_os(NAMED_BY)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from),
            path: env::var_os("PATH"),
            cache: cache::of_user(),
            tools: None,
        }
    }

    /// Finds or fetches a nats-server. `guard` is the `gridloom` executable under whose guard a
    /// fetch runs.
    ///
    /// # Errors
    /// When the named one is unusable, or there is none and none could be fetched.
    pub async fn find(&self, guard: &Path, say: Say<'_>) -> Result<Binary, FetchError> {
        let found = self.find_or_fetch(guard, say).await?;
        say(&format!("using {found}"));
        Ok(found)
    }

    async fn find_or_fetch(&self, guard: &Path, say: Say<'_>) -> Result<Binary, FetchError> {
        if let Some(path) = &self.named {
            return named(path).await;
        }
        if let Some(binary) = self.on_path(say).await {
            return Ok(binary);
        }
        let cache = self.cache.as_deref().ok_or(FetchError::NoCache)?;
        if let Some(binary) = cache::look(cache).await {
            return Ok(binary);
        }
        fetch::into_cache(cache, guard, self.tools.as_deref(), say).await
    }

    async fn on_path(&self, say: Say<'_>) -> Option<Binary> {
        let path = look_in(self.path.as_deref()?)?;
        let version = ask(&path).await.ok()?;
        if version < MINIMUM {
            say(&format!(
                "nats-server {version} ({}) is too old: {MINIMUM} is needed; looking further",
                path.display()
            ));
            return None;
        }
        Some(Binary {
            path,
            version,
            source: Source::Path,
        })
    }
}

async fn named(path: &Path) -> Result<Binary, FetchError> {
    let unusable = |why: String| FetchError::NamedUnusable {
        path: path.to_path_buf(),
        why,
    };
    let path = std::path::absolute(path).map_err(|error| unusable(chain(&error).to_string()))?;
    let version = ask(&path).await.map_err(unusable)?;
    if version < MINIMUM {
        return Err(unusable(format!(
            "it is version {version}, and {MINIMUM} is needed"
        )));
    }
    Ok(Binary {
        path,
        version,
        source: Source::Named,
    })
}

fn look_in(path: &OsStr) -> Option<PathBuf> {
    env::split_paths(path)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join("nats-server"))
        .find(|file| file.is_file())
}
