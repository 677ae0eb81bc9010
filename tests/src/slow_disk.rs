//! A disk that takes its time: strace holds each flush of a broker back before it begins, and writes down of which file it
//! was. Of all that a slow disk does this is what stands in the way of every record under `sync_interval: always`; what is
//! only written goes into the system's memory as ever.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use gridloom_cli::embedded::{Binary, Options};
use tempfile::TempDir;

use crate::server::{self, TestServer};

/// Whether strace is here and may do that; who asks says so if not, and in CI that is a failure.
///
/// # Panics
/// In CI, when it is not.
pub fn is_there() -> bool {
    let tried = std::process::Command::new("strace")
        .args(["-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null"])
        .args(["-e", "inject=fsync:delay_enter=1", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let works = tried.is_ok_and(|status| status.success());
    assert!(
        works || std::env::var_os("CI").is_none(),
        "no strace that may trace in CI: install it"
    );
    works
}

/// The disk. It must outlive the broker.
#[derive(Debug)]
pub struct SlowDisk {
    real: Binary,
    dir: TempDir,
}

impl SlowDisk {
    /// One that takes no time yet.
    ///
    /// # Errors
    /// When there is no nats-server, or no room for its orders.
    pub async fn new() -> anyhow::Result<SlowDisk> {
        let dir = tempfile::Builder::new()
            .prefix("gridloom-slow-")
            .tempdir()?;
        let real = server::binary().await?;
        let disk = SlowDisk { real, dir };
        disk.takes(Duration::ZERO)?;
        Ok(disk)
    }

    /// Starts a broker on it.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn broker(&self) -> anyhow::Result<TestServer> {
        let binary = Binary {
            path: self.program(),
            ..self.real.clone()
        };
        TestServer::start_with(Options {
            binary: Some(binary),
            ..Options::default()
        })
        .await
    }

    /// What a flush takes beyond its own time, from the broker's next start on.
    ///
    /// # Errors
    /// When that cannot be written down.
    pub fn takes(&self, time: Duration) -> anyhow::Result<()> {
        let path = self.program();
        let held = match time.as_micros() {
            0 => String::new(),
            micros => format!("-e inject=fsync,fdatasync:delay_enter={micros} "),
        };
        // The broker is the process that was started, and strace a child of it: signals go to the broker.
        let script = format!(
            "#!/bin/sh\nexec strace -D -f -A --seccomp-bpf -qq -y -o '{}' -e trace=fsync,fdatasync {held}'{}' \"$@\"\n",
            self.told().display(),
            self.real.path.display()
        );
        std::fs::write(&path, script)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// Flushes so far of files that have this in their path.
    pub fn flushed(&self, of: &str) -> usize {
        let told = std::fs::read_to_string(self.told()).unwrap_or_default();
        // One that another thread came between is told in two lines, of which the first has the file.
        let begun = told.lines().filter(|line| line.contains("sync("));
        begun.filter(|line| line.contains(of)).count()
    }

    fn program(&self) -> PathBuf {
        self.dir.path().join("nats-server")
    }

    fn told(&self) -> PathBuf {
        self.dir.path().join("flushes")
    }
}
