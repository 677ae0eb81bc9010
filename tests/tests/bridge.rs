//! Handlers in another language: real children of a real worker, the good and the bad (`bridge/child.py`), and the oracle's word on
//! what came of it.

use std::path::PathBuf;
use std::time::Duration;

use gridloom_shared::id::RunId;
use gridloom_shared::ledger::fold::Cell;
use gridloom_shared::ledger::outcomes::{self, Status};
use gridloom_shared::ledger::record::{Record, WorkRecord};
use gridloom_tests::oracle::executions::Logs;
use gridloom_tests::oracle::ledger::Ledger;
use gridloom_tests::oracle::overlap::Lives;
use gridloom_tests::process::is_alive;
use gridloom_tests::scenario::Stage;
use gridloom_tests::wait::eventually;
use rustix::process::Pid;
use serde_json::Value;

#[path = "bridge/attached.rs"]
mod attached;
#[path = "bridge/ends.rs"]
mod ends;
#[path = "bridge/good.rs"]
mod good;
#[path = "bridge/hostile.rs"]
mod hostile;
#[path = "bridge/mixed.rs"]
mod mixed;
#[path = "bridge/robbed.rs"]
mod robbed;

/// Longer than anything here takes, on a busy machine.
const SOON: Duration = Duration::from_secs(60);
/// Within which children are gone with their worker.
const GONE_WITHIN: Duration = Duration::from_secs(1);
/// What a busy machine may add to that until the test sees it.
const SLACK: Duration = Duration::from_secs(2);

fn child_py() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/bridge/child.py");
    path.to_string_lossy().into_owned()
}

/// Starts a worker whose children are in this mode.
async fn start_worker(stage: &mut Stage, mode: &str, flags: &[&str]) -> anyhow::Result<usize> {
    let (script, dir) = (child_py(), stage.dir().to_string_lossy().into_owned());
    let command = ["--", "python3", &script, mode, &dir];
    let args = [flags, &command[..]].concat();
    let worker = stage
        .gridloom(&["worker"])?
        .env("GRIDLOOM_QUEUE_ACK_DEADLINE", "2s");
    let worker = worker.args(args).start().await?;
    stage.workers.push(worker);
    Ok(stage.workers.len() - 1)
}

/// Runs a job with these lines of its file to its end, and hears the oracle.
async fn run_job(stage: &mut Stage, more: &str, params: &Value) -> anyhow::Result<RunId> {
    let run = submit(stage, more, params).await?;
    stage.closed(&run, SOON).await?;
    stage.judge(&run).await?;
    Ok(run)
}

async fn submit(stage: &mut Stage, more: &str, params: &Value) -> anyhow::Result<RunId> {
    let job = stage
        .apply(&format!("name = \"j\"\nhandler = \"h\"\n{more}"))
        .await?;
    stage.submit(&job, params).await
}

/// Ends a run by hand.
async fn cancelled(stage: &Stage, run: &RunId) -> anyhow::Result<()> {
    stage
        .cli(&["cancel", run.as_str()], SOON)
        .await?
        .succeeded()?;
    stage.closed(run, SOON).await
}

/// What `show RUN` says.
async fn show(stage: &Stage, run: &RunId) -> anyhow::Result<Value> {
    let shown = stage.cli(&["show", run.as_str(), "--json"], SOON).await?;
    shown.succeeded()?.json()
}

/// The errors of the failed attempts of a run.
async fn errors(stage: &Stage, run: &RunId) -> anyhow::Result<Vec<(Cell, String)>> {
    let ledger = Ledger::read(&stage.broker, run).await?;
    let work = ledger
        .entries
        .into_iter()
        .filter_map(|entry| match entry.record {
            Some(Record::Work(WorkRecord::Outcomes { block, .. })) => Some(block),
            _ => None,
        });
    let entries = work.flat_map(|block| outcomes::decode(&block).unwrap_or_default());
    let failed = entries.filter_map(|entry| {
        let (kind, slice, page) = (entry.kind, entry.slice, entry.first);
        match entry.status {
            Status::Failed(failed) => Some((Cell { kind, slice, page }, failed.error)),
            Status::Done => None,
        }
    });
    Ok(failed.collect())
}

/// The ids of all processes that children noted.
fn pids(stage: &Stage) -> Vec<Pid> {
    let ids = noted(stage, "pids");
    let ids = ids.lines().filter_map(|line| line.parse().ok());
    ids.filter_map(Pid::from_raw).collect()
}

/// What children wrote in a folder of theirs, the files of all of them.
fn noted(stage: &Stage, folder: &str) -> String {
    let files = std::fs::read_dir(stage.dir().join(folder));
    let files = files.into_iter().flatten().flatten();
    let texts = files.filter_map(|file| std::fs::read_to_string(file.path()).ok());
    texts.collect()
}

/// Waits until none of these runs any more.
async fn all_gone(pids: &[Pid], within: Duration) -> anyhow::Result<()> {
    eventually(within, "the children are gone", async || {
        Ok(!pids.iter().any(|pid| is_alive(*pid)))
    })
    .await
}

/// Each execution that the children logged of a run: slice, page, attempt, and how it ended.
fn executed(stage: &Stage, run: &RunId) -> anyhow::Result<Vec<(u32, u32, u32, String)>> {
    let mut logs = Logs::default();
    logs.read(&stage.dir().join("log"))?;
    let all = logs.take(run.as_str(), &Lives::default());
    let all = all
        .into_iter()
        .map(|it| (it.cell.slice, it.cell.page, it.attempt, it.how));
    Ok(all.collect())
}
