//! Runs commands that the worker's configuration names: a job says only the name, so that whoever
//! may submit jobs cannot run whatever they like on the workers.
//!
//! **Settings of a job**, the table `[exec]` of its file: `command`, a name from the worker's configuration, and `context`, which is for
//! scripts that come from ElasticJob. No submission can change them. Parameters are the command's own affair.
//!
//! **What the command gets.** On its standard input one line of JSON:
//! ```json
//! {"run": "sizes_s_7", "job": "sizes", "slice": 3, "slices": 16, "page": 0, "attempt": 1,
//!  "fence": 4711, "page_from": 1, "page_to": 1000, "offset": null, "limit": null, "params": {}}
//! ```
//! and the same as variables: `GRIDLOOM_RUN`, `_JOB`, `_SLICE`, `_SLICES`, `_PAGE`, `_ATTEMPT`,
//! `_FENCE`, `_PAGE_FROM` and `_PAGE_TO` (both inside the page) where the pages were probed,
//! `_OFFSET` and `_LIMIT` where the grid has rows (the last page of a slice has no limit), and
//! `_PARAMS` (JSON). No other variable of the worker that begins with `GRIDLOOM_` reaches it, and neither do
//! those that tell a collector who the worker is (`OTEL_EXPORTER_OTLP_HEADERS` and its like). `TRACEPARENT` names the place
//! in a trace that the shard is a part of, where its run is told of in one; that of the worker does not reach it.
//!
//! **What it may say.** Each line of its standard output that is a JSON object with `rows` (a whole
//! number) or `counters` (whole numbers by name) adds to what the shard reports:
//! ```json
//! {"rows": 10, "counters": {"bytes": 3}}
//! ```
//! All other output is its log; the end of it becomes the text of a failure. A report that cannot be read
//! does not undo what the command did: the shard is committed, the line is left out, and the counter
//! `odd_reports` and the worker's log say so.
//!
//! **Exit codes**: 0 commits the shard. 64 and 65 (`EX_USAGE`, `EX_DATAERR` of sysexits.h) say that no
//! other attempt will do better: the shard is dead. Every other code fails the attempt.
//!
//! **Out of time** (`limits.timeout`): its process group gets SIGTERM, and SIGKILL when the command's `grace`
//! (5 s) is over. Its last output stands in the attempt's error.
//!
//! The command runs under the guard, in a process group of its own: when its lease is lost, its run
//! cancelled or the worker gone, however it went, the whole group is killed at once. So it is at the end of
//! its lease when the worker is frozen: the guard is told of each renewal. An effect of
//! a killed attempt may have happened: execution is at-least-once. A command that must not act after
//! a later holder can use the fence: a later holder's is higher.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | `command` | how a command is written in the configuration, and whether it can be run here |
//! | `context` | what a script that comes from ElasticJob is told as its last argument |
//! | `words` | how a line becomes words |
//! | `lifeline` | what its guard is told while it runs |
//! | `output` | what counts of what a command says |

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use gridloom_shared::chain;
use gridloom_shared::job::handlers::named::Named;
use tokio::process::Child;

use super::lacking::Lacking;
use super::task::Task;
use crate::failure::Failure;
use crate::guarded::{self, AFTER_END, Lifeline};
use crate::handler::Handler;
use crate::shard::Shard;

mod command;
mod context;
#[cfg(test)]
mod documented;
mod lifeline;
mod output;
mod words;

pub use crate::guarded::Ending;
pub use command::{ExecCommand, GRACE_DEFAULT, GRACE_MAX, named_commands};
pub use words::LineError;

use output::{Output, read_log, read_reports};

/// Exit codes that say "never again": `EX_USAGE` and `EX_DATAERR` of sysexits.h.
const NEVER_AGAIN: [i32; 2] = [64, 65];
/// How much longer than its grace a command that is out of time may need until its end is known.
const SLACK: Duration = Duration::from_secs(2);
/// Most of the output that a failure's text repeats, in bytes; the ledger keeps 1 KiB of the whole.
const SAID_MAX: usize = 800;
/// Most of the output that a line of the log repeats, in bytes.
const LOGGED_MAX: usize = 4 * 1024;
/// Under which name the log has what commands say that succeed, at the level `debug`: it is asked for by itself,
/// `GRIDLOOM_LOG=info,exec=debug`.
const SAID: &str = "exec";

/// Why the commands of a configuration will not do: one line for each that cannot be run here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExecError(String);

/// The handler `exec`.
#[derive(Clone, Debug)]
pub struct ExecHandler {
    guard: PathBuf,
    commands: BTreeMap<String, ExecCommand>,
    lacking: Lacking,
}

impl ExecHandler {
    /// A handler for `commands`, by the names that jobs use. `guard_program` is a `gridloom`
    /// executable: its hidden `guard` command runs them.
    ///
    /// # Errors
    /// When the program or the directory of one is not there: a job that names it would fail each time.
    pub fn new(
        guard_program: PathBuf,
        commands: BTreeMap<String, ExecCommand>,
    ) -> Result<ExecHandler, ExecError> {
        let faults: Vec<String> = commands
            .iter()
            .filter_map(|(name, command)| {
                let fault = command::check(command).err()?;
                Some(format!(
                    "use command {name:?} of the configuration: {fault}"
                ))
            })
            .collect();
        if !faults.is_empty() {
            return Err(ExecError(faults.join("\n")));
        }
        Ok(ExecHandler {
            guard: guard_program,
            commands,
            lacking: Lacking::new(Named::Command),
        })
    }

    /// The command that the shard's job names.
    fn command<'h>(&'h self, shard: &'h Shard) -> Result<(&'h str, &'h ExecCommand), Failure> {
        let name = shard.settings_value().get("command").ok_or_else(|| {
            Failure::permanent(
                "read exec.command: it is missing: name a command of the worker's configuration",
            )
        })?;
        let name = name
            .as_str()
            .ok_or_else(|| Failure::permanent("read exec.command: it must be text"))?;
        let known = self.commands.keys();
        let command = self.commands.get(name);
        let command = command.ok_or_else(|| self.lacking.failure(name, known, shard))?;
        Ok((name, command))
    }

    fn start(
        &self,
        command: &ExecCommand,
        task: &Task,
        context: Option<String>,
    ) -> std::io::Result<(Child, Lifeline)> {
        let (lifeline, guards_end) = Lifeline::open()?;
        let mut guard = guarded::guard(&self.guard, guards_end, command.dir.as_deref());
        guard
            .arg(&command.program)
            .args(&command.args)
            .args(context)
            .envs(&command.env)
            .envs(task.variables());
        Ok((guard.spawn()?, lifeline))
    }
}

impl Handler for ExecHandler {
    async fn run(&self, shard: Shard) -> Result<(), Failure> {
        let (name, command) = self.command(&shard)?;
        let task = Task::of(&shard);
        let context = context::argument(&shard)?;
        let (mut guard, lifeline) = self.start(command, &task, context).map_err(|error| {
            let program = self.guard.display();
            Failure::retry(format!(
                "start command {name:?} under {program} guard: {}",
                chain(&error)
            ))
        })?;
        let ended = tokio::select! {
            ended = attend(&mut guard, lifeline, &task, &shard, command.grace) => Some(ended),
            // It was the lifeline's end as well.
            () = shard.let_go() => None,
        };
        let Some(ended) = ended else {
            // The guard ends once the whole group is dead.
            let _ = guard.wait().await;
            shard.check()?;
            return Err(Failure::retry(format!(
                "run command {name:?}: told to stop"
            )));
        };
        let (ending, output) = ended.map_err(|error| {
            Failure::retry(format!("attend to command {name:?}: {}", chain(&error)))
        })?;
        conclude(&shard, name, &ending, &output)
    }

    fn knows(&self) -> Vec<String> {
        self.commands.keys().cloned().collect()
    }

    fn grace(&self) -> Duration {
        let graces = self.commands.values().map(|command| command.grace);
        graces.max().unwrap_or(GRACE_DEFAULT) + SLACK
    }
}

/// Hands the command its task, reads what it says to its end, and learns how it ended. As long as the lifeline is
/// open, the command may run.
async fn attend(
    guard: &mut Child,
    mut lifeline: Lifeline,
    task: &Task,
    shard: &Shard,
    grace: Duration,
) -> std::io::Result<(Ending, Output)> {
    let until = shard.lease_end();
    lifeline.begin(&task.input(), until).await?;
    let (stdout, stderr) = (guard.stdout.take(), guard.stderr.take());
    let output = Mutex::new(Output::default());
    let status = {
        let reading =
            async { tokio::join!(read_reports(stdout, &output), read_log(stderr, &output)) };
        tokio::pin!(reading);
        tokio::select! {
            never = lifeline::keep(&mut lifeline, shard, until, grace) => match never {},
            _ = &mut reading => guard.wait().await?,
            status = guard.wait() => {
                let status = status?;
                let _ = tokio::time::timeout(AFTER_END, reading).await;
                status
            }
        }
    };
    let ending = match lifeline.let_go().ending().await {
        Some(ending) => ending,
        None => guarded::lost_guard(status),
    };
    let mut output = output.into_inner().unwrap_or_default();
    output.end();
    Ok((ending, output))
}

/// What the command's end means for the shard.
fn conclude(shard: &Shard, name: &str, ending: &Ending, output: &Output) -> Result<(), Failure> {
    // What it says when it is told to stop is no success.
    let in_time = shard.check().is_ok();
    if in_time && *ending == Ending::Code(0) {
        report(shard, name, output);
        if tracing::enabled!(target: SAID, tracing::Level::DEBUG) {
            tracing::debug!(target: SAID, command = name, stdout = %output.lines(LOGGED_MAX),
                stderr = %output.errors(LOGGED_MAX), "command succeeded");
        }
        return Ok(());
    }
    let said = output.last_words(SAID_MAX);
    tracing::warn!(command = name, in_time, %ending, output = %output.last_words(LOGGED_MAX), "command failed");
    let text = match said.as_str() {
        "" => format!("run command {name:?}: {ending}"),
        said => format!("run command {name:?}: {ending}: {said}"),
    };
    Err(match ending {
        Ending::Code(code) if NEVER_AGAIN.contains(code) => Failure::permanent(text),
        _ => Failure::retry(text),
    })
}

/// What a command that succeeded has counted.
fn report(shard: &Shard, name: &str, output: &Output) {
    if let Some(fault) = &output.fault {
        tracing::warn!(
            command = name,
            odd_reports = output.odd,
            reason = fault,
            "the command succeeded, and what it reported cannot be read"
        );
    }
    shard.rows(output.rows);
    for (counter, n) in output.counters() {
        shard.count(counter, n);
    }
}
