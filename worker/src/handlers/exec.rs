//! Runs commands that the worker's configuration names: a job says only the name, so that whoever
//! may submit jobs cannot run whatever they like on the workers.
//!
//! **Parameters of a job**: `command`, a name from the worker's configuration; all others are the
//! command's own affair.
//!
//! **What the command gets.** On its standard input one line of JSON:
//! ```json
//! {"run": "sizes_s_7", "job": "sizes", "slice": 3, "slices": 16, "page": 0, "attempt": 1,
//!  "fence": 4711, "page_from": 1, "page_to": 1000, "offset": null, "limit": null, "params": {}}
//! ```
//! and the same as variables: `GRIDLOOM_RUN`, `_JOB`, `_SLICE`, `_SLICES`, `_PAGE`, `_ATTEMPT`,
//! `_FENCE`, `_PAGE_FROM` and `_PAGE_TO` (both inside the page) where the pages were probed,
//! `_OFFSET` and `_LIMIT` where the grid has rows (the last page of a slice has no limit), and
//! `_PARAMS` (JSON). No other variable of the worker that begins with `GRIDLOOM_` reaches it.
//!
//! **What it may say.** Each line of its standard output that is a JSON object with `rows` (a whole
//! number) or `counters` (whole numbers by name) adds to what the shard reports:
//! ```json
//! {"rows": 10, "counters": {"bytes": 3}}
//! ```
//! All other output is its log; the end of it becomes the text of a failure.
//!
//! **Exit codes**: 0 commits the shard. 64 and 65 (`EX_USAGE`, `EX_DATAERR` of sysexits.h) say that no
//! other attempt will do better: the shard is dead. Every other code fails the attempt.
//!
//! The command runs under the guard, in a process group of its own: when the attempt is out of time,
//! its lease is lost or the worker is gone, however it went, the whole group is killed. So it is at the end of
//! its lease when the worker is frozen: the guard is told of each renewal. An effect of
//! a killed attempt may have happened: execution is at-least-once. A command that must not act after
//! a later holder can use the fence: a later holder's is higher.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use gridloom_shared::clock::Boot;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};

use crate::failure::Failure;
use crate::handler::Handler;
use crate::shard::Shard;

mod output;
mod task;

use output::{Output, read_log, read_reports};
use task::Task;

/// Exit codes that say "never again": `EX_USAGE` and `EX_DATAERR` of sysexits.h.
const NEVER_AGAIN: [i32; 2] = [64, 65];
/// How long output is still read after the command's end: a process that left its group may hold the
/// pipe for ever.
const AFTER_END: Duration = Duration::from_secs(1);
/// How often is looked whether the lease was renewed: a tenth of what is left of it, within these.
const RENEW_MIN: Duration = Duration::from_millis(20);
const RENEW_MAX: Duration = Duration::from_secs(1);
/// Most of the output that a failure's text repeats, in bytes; the ledger keeps 1 KiB of the whole.
const SAID_MAX: usize = 800;

/// A command of the worker's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecCommand {
    /// The program: a path, or a name that is looked up in `PATH`.
    pub program: PathBuf,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// Variables that it gets besides the worker's own.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Its working directory; the worker's own where none is said.
    #[serde(default)]
    pub dir: Option<PathBuf>,
}

/// The handler `exec`.
#[derive(Clone, Debug)]
pub struct ExecHandler {
    guard: PathBuf,
    commands: BTreeMap<String, ExecCommand>,
}

impl ExecHandler {
    /// A handler for `commands`, by the names that jobs use. `guard_program` is a `gridloom`
    /// executable: its hidden `guard` command runs them.
    pub fn new(guard_program: PathBuf, commands: BTreeMap<String, ExecCommand>) -> ExecHandler {
        ExecHandler {
            guard: guard_program,
            commands,
        }
    }

    /// The command that the shard's job names.
    fn command<'h>(&'h self, shard: &'h Shard) -> Result<(&'h str, &'h ExecCommand), Failure> {
        let name = shard.params_value().get("command").ok_or_else(|| {
            Failure::permanent(
                "read params.command: it is missing: name a command of the worker's configuration",
            )
        })?;
        let name = name
            .as_str()
            .ok_or_else(|| Failure::permanent("read params.command: it must be text"))?;
        let command = self.commands.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.commands.keys().map(String::as_str).collect();
            let known = if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            };
            Failure::permanent(format!(
                "find command {name:?} in the worker's configuration, which has {known}: name one \
                 of them in params.command, or add it there"
            ))
        })?;
        Ok((name, command))
    }

    fn start(&self, command: &ExecCommand, task: &Task) -> std::io::Result<Child> {
        let mut guard = Command::new(&self.guard);
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"GRIDLOOM_") {
                guard.env_remove(name);
            }
        }
        guard
            .args(["guard", "--"])
            .arg(&command.program)
            .args(&command.args)
            .envs(&command.env)
            .envs(task.variables())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Away from the terminal's group: Ctrl-C reaches the worker, which decides.
            .process_group(0);
        if let Some(dir) = &command.dir {
            guard.current_dir(dir);
        }
        guard.spawn()
    }
}

impl Handler for ExecHandler {
    async fn run(&self, shard: Shard) -> Result<(), Failure> {
        let (name, command) = self.command(&shard)?;
        let task = Task::of(&shard);
        let mut guard = self.start(command, &task).map_err(|error| {
            let program = self.guard.display();
            Failure::retry(format!(
                "start command {name:?} under {program} guard: {error}"
            ))
        })?;
        // The lifeline: as long as this is open, the command may run.
        let mut lifeline = guard.stdin.take();
        let ended = tokio::select! {
            ended = attend(&mut guard, &mut lifeline, &task, &shard) => Some(ended),
            () = shard.cancelled() => None,
        };
        drop(lifeline);
        let Some(ended) = ended else {
            // The guard ends once the whole group is dead.
            let _ = guard.wait().await;
            shard.check()?;
            return Err(Failure::retry(format!(
                "run command {name:?}: told to stop"
            )));
        };
        let (status, output) = ended
            .map_err(|error| Failure::retry(format!("attend to command {name:?}: {error}")))?;
        conclude(&shard, name, status, output)
    }
}

/// Hands the command its task and reads what it says, to its end.
async fn attend(
    guard: &mut Child,
    lifeline: &mut Option<ChildStdin>,
    task: &Task,
    shard: &Shard,
) -> std::io::Result<(ExitStatus, Output)> {
    let until = shard.lease_end();
    if let Some(pipe) = lifeline {
        match pipe.write_all(&task.payload(until)).await {
            // A guard that ended already says why by its exit code.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
    }
    let (stdout, stderr) = (guard.stdout.take(), guard.stderr.take());
    let output = std::sync::Mutex::new(Output::default());
    let status = {
        let reading =
            async { tokio::join!(read_reports(stdout, &output), read_log(stderr, &output)) };
        tokio::pin!(reading);
        tokio::select! {
            never = renew(lifeline, shard, until) => match never {},
            _ = &mut reading => guard.wait().await?,
            status = guard.wait() => {
                let status = status?;
                let _ = tokio::time::timeout(AFTER_END, reading).await;
                status
            }
        }
    };
    Ok((status, output.into_inner().unwrap_or_default()))
}

/// Tells the guard of each renewal of the lease.
async fn renew(lifeline: &mut Option<ChildStdin>, shard: &Shard, mut told: Boot) -> Infallible {
    while let Some(pipe) = lifeline {
        let left = shard.lease_remaining();
        tokio::time::sleep((left / 10).clamp(RENEW_MIN, RENEW_MAX)).await;
        let until = shard.lease_end();
        if until > told {
            told = until;
            let line = format!("{}\n", task::micros(until));
            if pipe.write_all(line.as_bytes()).await.is_err() {
                // A guard that has ended says why by its exit code.
                break;
            }
        }
    }
    std::future::pending().await
}

/// What the command's end means for the shard.
fn conclude(shard: &Shard, name: &str, status: ExitStatus, output: Output) -> Result<(), Failure> {
    if status.success() {
        if let Some(fault) = output.fault {
            return Err(Failure::retry(format!(
                "read the report of command {name:?}: {fault}"
            )));
        }
        shard.rows(output.rows);
        for (counter, n) in output.counters {
            shard.count(counter, n);
        }
        return Ok(());
    }
    let said = output.last_words(SAID_MAX);
    tracing::warn!(command = name, run = %shard.run(), slice = shard.slice(), page = shard.page().number,
        %status, log = %output.last_words(usize::MAX), "command failed");
    let code = status.code();
    let how = match code {
        Some(126) => "it could not be started (126)".to_owned(),
        Some(127) => "its program was not found (127)".to_owned(),
        Some(code) if code > 128 => format!("ended by signal {} ({code})", code - 128),
        Some(code) => format!("exit code {code}"),
        None => "its guard was killed".to_owned(),
    };
    let text = match said.as_str() {
        "" => format!("run command {name:?}: {how}"),
        said => format!("run command {name:?}: {how}: {said}"),
    };
    Err(match code {
        Some(code) if NEVER_AGAIN.contains(&code) => Failure::permanent(text),
        _ => Failure::retry(text),
    })
}
