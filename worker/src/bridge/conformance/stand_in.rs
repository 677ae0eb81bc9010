//! What a program finds as `gridloom` that is its own main process and starts its worker: a script that tells where the program
//! listens, and with which token, and lives as long as the worker would.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Duration;

/// What the folder is called, before a part by chance.
const FOLDER: &str = "gridloom-sdk-test-";
/// What is told, and by what it is told that it is over.
const CALLED: &str = "called";
const OVER: &str = "over";
/// How often is looked for it.
const LOOK: Duration = Duration::from_millis(10);
const SCRIPT: &str = r#"#!/bin/sh
here=${0%/*}
printf '%s\n%s\n%s\n' "$*" "$GRIDLOOM_SOCKET" "$GRIDLOOM_TOKEN" > "$here/called.new"
mv "$here/called.new" "$here/called"
while [ -d "$here" ] && [ ! -e "$here/over" ]; do sleep 0.05; done
read -r code < "$here/over"
exit "${code:-1}"
"#;

/// The folder that it is in. It is removed at the end.
#[derive(Debug)]
pub(super) struct StandIn {
    folder: PathBuf,
}

/// How it was called.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Called {
    /// Its arguments, with blanks between.
    pub(super) args: String,
    /// What `GRIDLOOM_SOCKET` and `GRIDLOOM_TOKEN` said.
    pub(super) socket: String,
    pub(super) token: String,
}

impl StandIn {
    /// Puts it where nobody else can enter.
    pub(super) fn make() -> io::Result<StandIn> {
        let chance = uuid::Uuid::new_v4().simple();
        let folder = std::env::temp_dir().join(format!("{FOLDER}{chance}"));
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let stand_in = StandIn { folder };
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o700);
        let mut file = options.open(stand_in.folder.join("gridloom"))?;
        io::Write::write_all(&mut file, SCRIPT.as_bytes())?;
        Ok(stand_in)
    }

    /// The variable `PATH` by which it is found before any other.
    pub(super) fn path(&self) -> OsString {
        let mut path = self.folder.clone().into_os_string();
        if let Some(others) = std::env::var_os("PATH") {
            path.push(":");
            path.push(others);
        }
        path
    }

    /// Waits until it was called.
    pub(super) async fn called(&self) -> Called {
        loop {
            if let Ok(told) = fs::read_to_string(self.folder.join(CALLED)) {
                let mut lines = told.lines().map(str::to_owned);
                let mut next = || lines.next().unwrap_or_default();
                return Called {
                    args: next(),
                    socket: next(),
                    token: next(),
                };
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Tells it to end, with this exit code.
    pub(super) fn end(&self, code: u8) -> io::Result<()> {
        let fresh = self.folder.join("over.new");
        fs::write(&fresh, format!("{code}\n"))?;
        fs::rename(fresh, self.folder.join(OVER))
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_starts_it_is_found_and_it_ends_as_it_is_told() {
        let stand_in = StandIn::make().unwrap();
        let mut worker = tokio::process::Command::new("gridloom");
        worker
            .args(["worker", "--attach"])
            .env("PATH", stand_in.path());
        worker
            .env("GRIDLOOM_SOCKET", "/a socket")
            .env("GRIDLOOM_TOKEN", "c0ffee");
        let mut worker = worker.kill_on_drop(true).spawn().unwrap();
        let called = stand_in.called().await;
        assert_eq!(
            [called.args, called.socket, called.token],
            ["worker --attach", "/a socket", "c0ffee"]
        );
        assert_eq!(worker.try_wait().unwrap(), None);
        stand_in.end(7).unwrap();
        assert_eq!(worker.wait().await.unwrap().code(), Some(7));
        let folder = stand_in.folder.clone();
        drop(stand_in);
        assert!(!folder.exists());
    }
}
