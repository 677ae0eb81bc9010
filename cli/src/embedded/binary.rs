//! Decides which nats-server is run: the one that was named, the one on PATH if it is new enough,
//! the one in the user's cache, or one fetched now.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use gridloom_shared::broker::SERVER_MIN;
use gridloom_shared::chain;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::{FetchError, Say, cache, fetch};

/// The version that is fetched, and the one recommended.
pub const PINNED: Version = Version(2, 15, 1);
/// The oldest version that is used when it is there already.
pub const MINIMUM: Version = Version(SERVER_MIN.0, SERVER_MIN.1, SERVER_MIN.2);

/// Names the executable to use.
const NAMED_BY: &str = "GRIDLOOM_NATS_SERVER";
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// A version of nats-server: major, minor, patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// Reads `nats-server: v2.15.1`; what follows a dash or plus is left out.
    fn parse(answer: &str) -> Option<Version> {
        let number = answer.trim().rsplit(['v', ' ']).next()?;
        let number = number.split(['-', '+']).next()?;
        let mut parts = number.split('.').map(str::parse);
        let version = Version(
            parts.next()?.ok()?,
            parts.next()?.ok()?,
            parts.next()?.ok()?,
        );
        parts.next().is_none().then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Where a binary came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The environment variable `GRIDLOOM_NATS_SERVER`.
    Named,
    /// The PATH.
    Path,
    /// The user's cache directory, from an earlier fetch.
    Cache,
    /// Fetched just now.
    Fetched,
}

/// A nats-server that answered with its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary {
    /// The executable, absolute.
    pub path: PathBuf,
    /// What it says it is.
    pub version: Version,
    /// Where it came from.
    pub source: Source,
}

impl fmt::Display for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whence = match self.source {
            Source::Named => "named by GRIDLOOM_NATS_SERVER",
            Source::Path => "on the PATH",
            Source::Cache => "in the cache",
            Source::Fetched => "fetched",
        };
        let path = self.path.display();
        write!(f, "nats-server {}, {whence}: {path}", self.version)?;
        if self.version < PINNED {
            write!(f, " ({PINNED} is recommended)")?;
        }
        Ok(())
    }
}

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

/// Has the executable say its version; the error says why it did not.
pub(super) async fn ask(path: &Path) -> Result<Version, String> {
    let asked = async {
        loop {
            let mut command = Command::new(path);
            command.arg("--version").stdin(Stdio::null());
            match command.kill_on_drop(true).output().await {
                // Just written, and a child that another thread is starting still has it open.
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
                    sleep(Duration::from_millis(10)).await;
                }
                answered => return answered,
            }
        }
    };
    let output = timeout(ANSWER_WITHIN, asked)
        .await
        .map_err(|_| "it does not answer `--version`".to_owned())?
        .map_err(|error| chain(&error).to_string())?;
    let answer = String::from_utf8_lossy(&output.stdout);
    Version::parse(&answer).ok_or_else(|| "it does not tell its version".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read_from_what_the_server_says() {
        let read = Version::parse("nats-server: v2.15.1\n");
        assert_eq!(read, Some(Version(2, 15, 1)));
        let candidate = Version::parse("nats-server: v2.16.0-RC.1");
        assert_eq!(candidate, Some(Version(2, 16, 0)));
        for wrong in ["", "nats-server", "nats-server: v2.15", "v2.15.1.3", "vv"] {
            assert_eq!(Version::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(Version(2, 9, 10) < MINIMUM);
        assert!(Version(2, 14, 10) > MINIMUM);
        assert!(PINNED > MINIMUM);
    }
}
