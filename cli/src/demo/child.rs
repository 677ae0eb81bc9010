//! How one planner or worker process of the demo is started, looked at and ended. Whether it must be
//! started again is the stack's business.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::time::{Instant, sleep, timeout};

use crate::guard::{Guarded, Launch};

/// Time that a process gets to end in order.
const GRACE: Duration = Duration::from_secs(3);
/// Time between order and process id.
const STARTED_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A `gridloom` process that dies with the demo.
#[derive(Debug)]
pub(super) struct Child {
    guarded: Guarded,
    pid: Pid,
    dir: PathBuf,
    /// When it was started.
    pub(super) started: Instant,
}

impl Child {
    /// Starts `gridloom ARGS...` in `dir`, where its log goes to `NAME.log`.
    pub(super) async fn start(dir: &Path, name: &str, args: &[&str]) -> anyhow::Result<Child> {
        let doing = || format!("start {name}");
        Child::try_start(dir, name, args).await.with_context(doing)
    }

    async fn try_start(dir: &Path, name: &str, args: &[&str]) -> anyhow::Result<Child> {
        let program = std::env::current_exe().context("find the running program")?;
        let pid_file = dir.join(format!("{name}.pid"));
        match std::fs::remove_file(&pid_file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(dir.join(format!("{name}.log")))?;
        let mut launch = Launch::new(&program, &program)
            .args(args)
            .dir(dir)
            .stdout(log.try_clone()?)
            .stderr(log)
            .grace(GRACE)
            .pid_file(&pid_file);
        // What the user has set for an installation of his own is not meant for this one.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GRIDLOOM_"))
        {
            launch = launch.env_remove(name);
        }
        let mut guarded = launch.spawn().await?;
        let pid = pid_of(&mut guarded, &pid_file).await?;
        Ok(Child {
            guarded,
            pid,
            dir: dir.to_owned(),
            started: Instant::now(),
        })
    }

    /// Its process id.
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether it still runs.
    pub(super) fn is_running(&mut self) -> anyhow::Result<bool> {
        let running = self.guarded.try_wait()?.is_none();
        if !running {
            end_orphan(self.pid, &self.dir);
        }
        Ok(running)
    }

    /// Ends it as a crash would and waits until it is gone.
    pub(super) async fn crash(mut self) -> anyhow::Result<()> {
        self.guarded.signal(self.pid, Signal::KILL)?;
        self.guarded.wait().await?;
        Ok(())
    }

    /// Asks it to end, and waits until it has.
    pub(super) async fn stop(mut self) {
        // The guard sees to it in any case.
        let _ = timeout(GRACE * 2, self.guarded.kill()).await;
    }
}

/// Kills a process whose guard was killed: nobody would end it any more. It is ours if it still
/// works in `dir`.
pub(super) fn end_orphan(pid: Pid, dir: &Path) {
    let ours = || std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == dir);
    if test_kill_process(pid).is_ok() && ours() {
        let _ = kill_process(pid, Signal::KILL);
    }
}

async fn pid_of(guarded: &mut Guarded, file: &Path) -> anyhow::Result<Pid> {
    let until = Instant::now() + STARTED_WITHIN;
    loop {
        let written = std::fs::read_to_string(file).ok();
        let number = written.and_then(|text| text.trim().parse().ok());
        if let Some(pid) = number.and_then(Pid::from_raw) {
            return Ok(pid);
        }
        if let Some(code) = guarded.try_wait()? {
            bail!("its guard ended with code {code}");
        }
        if Instant::now() > until {
            bail!("it has no process id after {} s", STARTED_WITHIN.as_secs());
        }
        sleep(LOOK_EVERY).await;
    }
}
