//! What a nats-server says that it is, and which versions will do.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use gridloom_shared::broker::SERVER_MIN;
use gridloom_shared::chain;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

/// The version that is fetched, and the one recommended.
pub const PINNED: Version = Version(2, 15, 1);
/// The oldest version that is used when it is there already.
pub const MINIMUM: Version = Version(SERVER_MIN.0, SERVER_MIN.1, SERVER_MIN.2);

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
