//! Decides how a test runs the `gridloom` command: as a real process under guard, with an
//! environment, a directory and output files of its own.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use gridloom_cli::guard::{Guarded, Launch};
use rustix::process::{Pid, Signal, test_kill_process};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use crate::wait::eventually_some;

/// Time between order and pid of a process that is started.
const STARTED_WITHIN: Duration = Duration::from_secs(20);

/// A `gridloom` process to be started.
#[derive(Debug)]
pub struct Gridloom {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    dir: Option<PathBuf>,
    input: Vec<u8>,
    stderr: Option<File>,
}

impl Gridloom {
    /// `gridloom ARGS...` with no setting from `GRIDLOOM_...` variables of the test's own
    /// environment, in a new directory.
    ///
    /// # Errors
    /// When the command under test is not there.
    pub fn new<A: Into<OsString>>(args: impl IntoIterator<Item = A>) -> anyhow::Result<Self> {
        Ok(Self::program(crate::gridloom()?, args))
    }

    /// Any other program, handled in the same way.
    pub fn program<A: Into<OsString>>(
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        Gridloom {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            dir: None,
            input: Vec::new(),
            stderr: None,
        }
    }

    /// Has another program start it, which gets it and its arguments behind its own.
    #[must_use]
    pub fn behind<A: Into<OsString>>(mut self, starter: impl IntoIterator<Item = A>) -> Self {
        let mut all: Vec<OsString> = starter.into_iter().map(Into::into).collect();
        all.push(std::mem::take(&mut self.program).into());
        all.append(&mut self.args);
        self.program = all.remove(0).into();
        self.args = all;
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the process's environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// What it reads on standard input.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Where its standard error goes instead of a file of its own.
    #[must_use]
    pub fn stderr(mut self, to: File) -> Self {
        self.stderr = Some(to);
        self
    }

    /// Starts it and waits until it has a process id.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start(self) -> anyhow::Result<Process> {
        let files = tempfile::Builder::new()
            .prefix("gridloom-test-")
            .tempdir()?;
        let place = files.path();
        let home = place.join("home");
        std::fs::create_dir(&home)?;
        let mut launch = Launch::new(&crate::gridloom()?, &self.program)
            .args(self.args)
            .dir(self.dir.as_ref().unwrap_or(&home))
            .stdout(File::create(place.join("stdout"))?)
            .stderr(match self.stderr {
                Some(file) => file,
                None => File::create(place.join("stderr"))?,
            })
            .pid_file(place.join("pid"))
            .payload(self.input);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let of_traces = text.starts_with("OTEL_") || text == "TRACEPARENT";
            // Which nats-server to run is the machine's affair, not the test's.
            let own = text.starts_with("GRIDLOOM_") && text != "GRIDLOOM_NATS_SERVER";
            if own || of_traces {
                launch = launch.env_remove(name);
            }
        }
        for (name, value) in self.env {
            launch = launch.env(name, value);
        }
        let mut guarded = launch.spawn().await.context("start a guard")?;
        let pid = pid_of(&mut guarded, place).await?;
        Ok(Process {
            guarded,
            pid,
            files,
        })
    }
}

/// Runs `gridloom ARGS...` to its end.
///
/// # Errors
/// When it cannot be started or does not end in time.
pub async fn run_cli<A: Into<OsString>>(
    args: impl IntoIterator<Item = A>,
    deadline: Duration,
) -> anyhow::Result<Output> {
    Gridloom::new(args)?.start().await?.finish(deadline).await
}

/// What a process that has ended left.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its exit code; 128 + n when signal n ended it.
    pub code: u8,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Output {
    /// The output of a process that must have succeeded.
    ///
    /// # Errors
    /// When the exit code is not 0; shows what the process wrote.
    pub fn succeeded(self) -> anyhow::Result<Output> {
        if self.code != 0 {
            bail!(
                "process ended with code {}\nstdout:\n{}\nstderr:\n{}",
                self.code,
                self.stdout,
                self.stderr
            );
        }
        Ok(self)
    }

    /// Standard output as JSON.
    ///
    /// # Errors
    /// When it is not one JSON document.
    pub fn json(&self) -> anyhow::Result<serde_json::Value> {
        serde_json::from_str(&self.stdout)
            .with_context(|| format!("read as JSON: {}\nstderr:\n{}", self.stdout, self.stderr))
    }
}

/// A running process. It is killed when dropped, and when the test dies.
#[derive(Debug)]
pub struct Process {
    guarded: Guarded,
    pid: Pid,
    files: TempDir,
}

impl Process {
    /// Its own process id (not the guard's).
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The most memory that it has taken so far, in bytes; `None` once it has ended.
    pub fn peak(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kib * 1024)
    }

    /// Ends it with SIGKILL, and what is left of its process group, and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.guarded.signal(self.pid, Signal::KILL)?;
        self.wait(Duration::from_secs(10)).await?;
        Ok(())
    }

    /// Asks it to end with SIGTERM; does not wait.
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub fn terminate(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Stops it where it stands with SIGSTOP.
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub fn freeze(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on with SIGCONT.
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub fn thaw(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Sends any signal to the process; nothing once it has ended.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        Ok(self.guarded.signal(self.pid, signal)?)
    }

    /// Whether it has not ended yet.
    ///
    /// # Errors
    /// When its guard cannot be asked.
    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.guarded.try_wait()?.is_none())
    }

    /// Waits for the end and gives the exit code.
    ///
    /// # Errors
    /// When it has not ended by then; shows what it wrote.
    pub async fn wait(&mut self, deadline: Duration) -> anyhow::Result<u8> {
        match timeout(deadline, self.guarded.wait()).await {
            Ok(code) => Ok(code?),
            Err(_) => bail!(
                "process did not end within {deadline:?}\nstdout:\n{}\nstderr:\n{}",
                self.stdout(),
                self.stderr()
            ),
        }
    }

    /// Waits for the end and gives everything it left.
    ///
    /// # Errors
    /// As [`Process::wait`].
    pub async fn finish(mut self, deadline: Duration) -> anyhow::Result<Output> {
        Ok(Output {
            code: self.wait(deadline).await?,
            stdout: self.stdout(),
            stderr: self.stderr(),
        })
    }

    /// What it has written to standard output so far.
    pub fn stdout(&self) -> String {
        read(&self.files.path().join("stdout"))
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        read(&self.files.path().join("stderr"))
    }
}

/// A shell, not itself under guard, that holds the lifeline of `gridloom guard GUARDED` run in
/// `dir`: a parent that can be killed. `guarded` is written as in a shell.
///
/// # Errors
/// When the shell cannot be started.
pub fn shell_with_guard(dir: &Path, guarded: &str) -> anyhow::Result<tokio::process::Child> {
    // The guard opens the pipe for reading before the shell holds its writing end, so that the
    // shell alone holds that.
    let script = format!(
        "mkfifo line; '{}' guard {guarded} < line & exec 9> line; printf '0\\n' >&9; wait",
        crate::gridloom()?.display()
    );
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &script]).current_dir(dir);
    let started = shell.stdin(Stdio::null()).kill_on_drop(true).spawn();
    started.context("start a shell")
}

/// Whether a process of this id runs; one that ended and is not reaped yet does not.
pub fn is_alive(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    test_kill_process(pid).is_ok() && !stat.is_ok_and(|stat| stat.contains(") Z "))
}

/// The process id that stands in a file; `None` until it stands there whole.
pub fn pid_in(file: &Path) -> Option<Pid> {
    let text = std::fs::read_to_string(file).ok()?;
    Pid::from_raw(text.strip_suffix('\n')?.parse().ok()?)
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

async fn pid_of(guarded: &mut Guarded, place: &Path) -> anyhow::Result<Pid> {
    let file = place.join("pid");
    eventually_some(STARTED_WITHIN, "the process has a pid", async || {
        if let Some(pid) = pid_in(&file) {
            return Ok(Some(pid));
        }
        if let Some(code) = guarded.try_wait()?
            && !file.exists()
        {
            bail!(
                "guard ended with code {code}: {}",
                read(&place.join("stderr"))
            );
        }
        Ok(None)
    })
    .await
}
