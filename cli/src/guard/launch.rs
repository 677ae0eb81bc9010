//! Decides how a program is put under guard, from the parent's side of the lifeline.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};

use super::exit_code;

/// A program to be started under guard.
#[derive(Debug)]
pub struct Launch {
    guard: Command,
    program: OsString,
    args: Vec<OsString>,
    payload: Vec<u8>,
    grace: Duration,
    pid_file: Option<PathBuf>,
}

impl Launch {
    /// `guard` is a `gridloom` executable, `program` what it shall run. Environment and working
    /// directory are the caller's unless set; output goes nowhere unless directed.
    pub fn new(guard: &Path, program: impl Into<OsString>) -> Self {
        let mut command = Command::new(guard);
        // Away from the terminal's own group, so that Ctrl-C reaches the parent alone and the
        // parent decides.
        command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Launch {
            guard: command,
            program: program.into(),
            args: Vec::new(),
            payload: Vec::new(),
            grace: Duration::ZERO,
            pid_file: None,
        }
    }

    /// Adds arguments of the program.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the program's environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.guard.env(name, value);
        self
    }

    /// Keeps a variable of the caller's environment from the program.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.guard.env_remove(name);
        self
    }

    /// Sets the program's working directory; a relative program or pid file is taken from there.
    #[must_use]
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.guard.current_dir(dir);
        self
    }

    /// What the program reads on its standard input; `/dev/null` when empty.
    #[must_use]
    pub fn payload(mut self, payload: Vec<u8>) -> Self {
        self.payload = payload;
        self
    }

    /// Where the program's standard output goes.
    #[must_use]
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.guard.stdout(stdout);
        self
    }

    /// Where the program's standard error goes.
    #[must_use]
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.guard.stderr(stderr);
        self
    }

    /// Time between SIGTERM and SIGKILL when it is stopped; with none, SIGKILL comes at once.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Where the guard shall write the program's process id once it runs.
    #[must_use]
    pub fn pid_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.pid_file = Some(path.into());
        self
    }

    /// Starts the guard and hands it the payload. A program that cannot be started shows in the
    /// exit code (126 or 127), not here.
    ///
    /// # Errors
    /// When the guard cannot be started.
    pub async fn spawn(mut self) -> io::Result<Guarded> {
        self.guard
            .args(["guard", "--grace-ms"])
            .arg(self.grace.as_millis().to_string());
        if let Some(path) = &self.pid_file {
            self.guard.arg("--pid-file").arg(path);
        }
        self.guard.arg("--").arg(&self.program).args(&self.args);
        let mut guard = self.guard.spawn()?;
        let mut lifeline = guard.stdin.take();
        if let Some(pipe) = &mut lifeline {
            let mut opening = format!("{}\n", self.payload.len()).into_bytes();
            opening.append(&mut self.payload);
            // A guard that ended already tells why by its exit code.
            match pipe.write_all(&opening).await {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
                _ => {}
            }
        }
        Ok(Guarded {
            guard,
            lifeline,
            code: None,
        })
    }
}

/// A program that runs under guard. Dropping it closes the lifeline: the guard then stops the
/// program, with the launch's grace, while nobody waits.
#[derive(Debug)]
pub struct Guarded {
    guard: Child,
    lifeline: Option<ChildStdin>,
    code: Option<u8>,
}

impl Guarded {
    /// Waits for the end and returns the exit code (see [`crate::guard`]). Safe to cancel.
    ///
    /// # Errors
    /// When the guard cannot be waited for.
    pub async fn wait(&mut self) -> io::Result<u8> {
        if let Some(code) = self.code {
            return Ok(code);
        }
        let code = exit_code(self.guard.wait().await?);
        self.code = Some(code);
        Ok(code)
    }

    /// The exit code if it has ended.
    ///
    /// # Errors
    /// When the guard cannot be asked.
    pub fn try_wait(&mut self) -> io::Result<Option<u8>> {
        if self.code.is_none() {
            self.code = self.guard.try_wait()?.map(exit_code);
        }
        Ok(self.code)
    }

    /// Orders the stop by closing the lifeline and does not wait.
    pub fn release(&mut self) {
        self.lifeline = None;
    }

    /// Closes the lifeline and waits until the whole process group has been stopped.
    ///
    /// # Errors
    /// When the guard cannot be waited for.
    pub async fn kill(&mut self) -> io::Result<u8> {
        self.release();
        self.wait().await
    }

    /// The guard's own process id; `None` once it has ended.
    pub fn guard_pid(&self) -> Option<u32> {
        self.guard.id()
    }

    /// Sends `signal` to `program`, which must be the guarded program's own process id (from its
    /// pid file). Nothing is sent after the end, when the number may be another's.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn signal(&mut self, program: Pid, signal: Signal) -> io::Result<()> {
        if self.try_wait()?.is_none() {
            kill_process(program, signal)?;
        }
        Ok(())
    }
}
