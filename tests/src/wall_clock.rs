//! A wall clock of its own for a process under test, that can be set while it runs. The boot clock and
//! timers are as they are, and so is the broker's clock, which [`broker`] sets.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::process::Gridloom;

pub mod broker;

/// What a process loads before everything else.
const SHIFT: &str = include_str!("wall_clock/shift.c");

/// One wall clock, as it is wrong.
#[derive(Debug)]
pub struct WallClock {
    library: PathBuf,
    seconds: PathBuf,
    file: File,
    _dir: TempDir,
}

impl WallClock {
    /// Makes one that is right; `None` where there is no C compiler, or no way to load it first.
    ///
    /// # Errors
    /// When it is there and does not compile.
    pub fn make() -> anyhow::Result<Option<WallClock>> {
        let dir = tempfile::Builder::new()
            .prefix("gridloom-clock-")
            .tempdir()?;
        let (source, library) = (dir.path().join("shift.c"), dir.path().join("shift.so"));
        std::fs::write(&source, SHIFT)?;
        let compiler = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .output();
        let Some(compiled) = compiler.ok().filter(|_| cfg!(target_os = "linux")) else {
            return Ok(None);
        };
        ensure!(
            compiled.status.success(),
            "compile the wall clock: {}",
            String::from_utf8_lossy(&compiled.stderr)
        );
        let seconds = dir.path().join("seconds");
        let file = File::create(&seconds).context("create the wall clock's shift")?;
        let clock = WallClock {
            library,
            seconds,
            file,
            _dir: dir,
        };
        clock.shift(0)?;
        Ok(Some(clock))
    }

    /// From now on it shows so many seconds more than it should.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn shift(&self, seconds: i64) -> anyhow::Result<()> {
        let written = self.file.write_all_at(&seconds.to_ne_bytes(), 0);
        written.context("set the wall clock")
    }

    /// `command` by this clock.
    #[must_use]
    pub fn of(&self, command: Gridloom) -> Gridloom {
        command
            .env("LD_PRELOAD", &self.library)
            .env("WALL_CLOCK_SHIFT", &self.seconds)
    }
}
