//! Handlers in Python by sdk/python, with real processes: its examples as they stand, programs that are killed on the way, and
//! its client.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use gridloom_shared::id::RunId;
use gridloom_tests::process::{Gridloom, is_alive};
use gridloom_tests::scenario::{NAMESPACE, Stage, play};
use gridloom_tests::wait::{eventually, eventually_some};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::api;

const README: &str = include_str!("../../../README.md");
const SOON: Duration = Duration::from_secs(120);
/// Longer than elsewhere: an interpreter takes its time to start where others are busy, and nothing here waits for it to end.
pub(crate) const ACK_DEADLINE: &str = "5s";

/// Writes what it does of which shard, and when, into a file that all processes of the test share.
const STEADY: &str = r#"
import os, sys, time
import gridloom
worker = gridloom.Worker(command=os.environ.get("COMMAND"))
log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def told(what, shard):
    os.write(log, f"{what} {shard.key} {os.getpid()} {time.monotonic_ns()}\n".encode())
@worker.handler("steady")
def steady(shard):
    told("begin", shard)
    for _ in range(10):
        shard.check()
        time.sleep(0.02)
        told("beat", shard)
        shard.rows()
    told("end", shard)
if __name__ == "__main__":
    worker.run()
"#;

pub(crate) const JOB: &str = "name = \"steady\"\nhandler = \"steady\"\n[grid]\nslices = 8\npages = { count = 5 }\n[retry]\nmax_attempts = 20\n\
                   backoff = { initial = \"100ms\", factor = 1.0, max = \"100ms\" }";
pub(crate) const SHARDS: usize = 40;

fn sdk() -> anyhow::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/python");
    folder.canonicalize().context("the SDK for Python is there")
}

fn with_python(process: Gridloom) -> anyhow::Result<Gridloom> {
    let process = process.env("PYTHONPATH", sdk()?.join("src"));
    Ok(process.env("PYTHONDONTWRITEBYTECODE", "1"))
}

/// A worker with children; its place among the stage's.
async fn start(stage: &mut Stage, flags: &[&str], command: &[&str]) -> anyhow::Result<usize> {
    let worker = stage.gridloom(&["worker"])?.args(flags.iter().copied());
    let worker = worker.args(["--"]).args(command.iter().copied());
    let worker = worker.env("GRIDLOOM_QUEUE_ACK_DEADLINE", ACK_DEADLINE);
    let worker = with_python(worker)?.dir(sdk()?.join("examples"));
    stage.workers.push(worker.start().await?);
    Ok(stage.workers.len() - 1)
}

/// What the processes wrote: each execution of a shard, by shard and process.
#[derive(Debug, Default)]
pub(crate) struct Executions {
    /// First and last word of each, in nanoseconds of one clock, and whether it ended.
    pub(crate) spans: BTreeMap<String, Vec<(i32, u64, u64, bool)>>,
}

impl Executions {
    pub(crate) fn read(file: &Path) -> anyhow::Result<Executions> {
        let mut read = Executions::default();
        for line in std::fs::read_to_string(file).unwrap_or_default().lines() {
            let [what, key, pid, at] = line.split(' ').collect::<Vec<_>>()[..] else {
                anyhow::bail!("a line that is none: {line:?}");
            };
            let (pid, at): (i32, u64) = (pid.parse()?, at.parse()?);
            let spans = read.spans.entry(key.to_owned()).or_default();
            match spans.iter_mut().rfind(|span| span.0 == pid && !span.3) {
                Some(span) if what != "begin" => (span.2, span.3) = (at, what == "end"),
                _ => spans.push((pid, at, at, false)),
            }
        }
        Ok(read)
    }

    pub(crate) fn pids(&self) -> Vec<i32> {
        let mut pids: Vec<i32> = self.spans.values().flatten().map(|span| span.0).collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// How many shards there were.
    pub(crate) fn shards(&self) -> usize {
        self.spans.len()
    }

    /// No shard is executed by two at once: a later one begins when the earlier one has said its last word.
    pub(crate) fn never_overlap(&self) -> anyhow::Result<()> {
        for (key, spans) in &self.spans {
            let mut spans = spans.clone();
            spans.sort_by_key(|span| span.1);
            let apart = spans.windows(2).all(|pair| pair[0].2 <= pair[1].1);
            ensure!(apart, "shard {key} ran twice at once: {spans:?}");
        }
        Ok(())
    }
}

pub(crate) async fn shown(stage: &Stage, run: &str) -> anyhow::Result<Value> {
    stage
        .cli(&["show", run, "--json"], SOON)
        .await?
        .succeeded()?
        .json()
}

/// Runs a job of the examples to its end.
async fn played(stage: &Stage, name: &str) -> anyhow::Result<Value> {
    let file = sdk()?.join("examples").join(format!("{name}.toml"));
    let file = file.to_string_lossy();
    stage
        .cli(&["job", "apply", &file], SOON)
        .await?
        .succeeded()?;
    stage
        .cli(&["run", name, "--id", "one", "--wait"], SOON)
        .await?
        .succeeded()?;
    let run = RunId::from_request(&name.parse()?, "one");
    stage.judge(&run).await?;
    shown(stage, run.as_str()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_do_what_their_heads_say() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        start(stage, &["--processes", "2"], &["python3", "words.py"]).await?;
        start(stage, &["--slots", "50"], &["python3", "fetch.py"]).await?;
        let words = played(stage, "words").await?;
        let text = std::fs::read_to_string(sdk()?.join("examples/words.py"))?;
        assert_eq!(words["rows"], json!(text.lines().count()));
        assert_eq!(
            words["counters"]["words"],
            json!(text.split_whitespace().count())
        );
        let fetch = played(stage, "fetch").await?;
        assert_eq!(
            (&fetch["rows"], &fetch["shards"]["planned"]),
            (&json!(1_000), &json!(40))
        );
        for worker in &mut stage.workers {
            worker.terminate()?;
            assert_eq!(worker.wait(SOON).await?, 0);
        }
        Ok(())
    })
    .await
}

/// The README's first program in Python: what stands in its shell commands.
#[tokio::test(flavor = "multi_thread")]
async fn first_program_of_the_readme_does_what_is_said_there() -> anyhow::Result<()> {
    let (_, section) = README.split_once("### In Python").context("a section")?;
    let (_, block) = section.split_once("```\n").context("a block")?;
    let (block, _) = block.split_once("```").context("its end")?;
    let (_, files) = block.split_once('\n').context("a line")?;
    let (files, typed) = files.split_once("gridloom dev").context("commands")?;
    play(async |stage| {
        let dir = stage.dir().to_owned();
        let made = Gridloom::program("/bin/sh", ["-c", files])
            .dir(&dir)
            .start()
            .await?;
        made.finish(SOON).await?.succeeded()?;
        stage.start_planner().await?;
        for line in typed.lines().skip(1) {
            let words = line.split('#').next().unwrap_or_default();
            let args: Vec<&str> = words.split_whitespace().skip(1).collect();
            let command = with_python(stage.gridloom(&args)?)?
                .dir(&dir)
                .start()
                .await?;
            if args[0] == "worker" {
                stage.workers.push(command);
            } else {
                command.finish(SOON).await?.succeeded()?;
            }
        }
        let runs = stage
            .cli(&["runs", "--json"], SOON)
            .await?
            .succeeded()?
            .json()?;
        assert_eq!(
            (&runs[0]["state"], &runs[0]["rows"]),
            (&json!("succeeded"), &json!(1_000)),
            "{runs}"
        );
        Ok(())
    })
    .await
}

/// The log of the programs, and a run that has begun.
async fn begun(stage: &mut Stage, workers: usize) -> anyhow::Result<(PathBuf, RunId)> {
    let (program, log) = (stage.dir().join("steady.py"), stage.dir().join("log"));
    std::fs::write(&program, STEADY)?;
    stage.start_planner().await?;
    let command = [
        "python3",
        &program.to_string_lossy(),
        &log.to_string_lossy(),
    ];
    for _ in 0..workers {
        start(stage, &["--processes", "2"], &command).await?;
    }
    let job = stage.apply(JOB).await?;
    let run = stage.submit(&job, &json!({})).await?;
    eventually(SOON, "all processes are at it", async || {
        Ok(Executions::read(&log)?.pids().len() >= 2 * workers)
    })
    .await?;
    Ok((log, run))
}

/// A run that is over: each shard once, ten rows each, and never two of one at once.
pub(crate) async fn judged(stage: &Stage, run: &RunId, log: &Path) -> anyhow::Result<()> {
    stage.closed(run, SOON).await?;
    stage.judge(run).await?;
    let shown = shown(stage, run.as_str()).await?;
    assert_eq!(shown["state"], "succeeded", "{shown}");
    assert_eq!(shown["rows"], json!(10 * SHARDS), "{shown}");
    let executions = Executions::read(log)?;
    assert_eq!(executions.shards(), SHARDS);
    executions.never_overlap()
}

#[tokio::test(flavor = "multi_thread")]
async fn child_that_is_killed_costs_an_attempt_and_no_shard() -> anyhow::Result<()> {
    play(async |stage| {
        let (log, run) = begun(stage, 1).await?;
        let pids = Executions::read(&log)?.pids();
        let pid = Pid::from_raw(pids[0]).context("a pid")?;
        kill_process(pid, Signal::KILL)?;
        eventually(SOON, "another is started for it", async || {
            Ok(Executions::read(&log)?.pids().len() > 2)
        })
        .await?;
        judged(stage, &run, &log).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_is_killed_takes_its_children_along_and_another_goes_on() -> anyhow::Result<()>
{
    play(async |stage| {
        let (log, run) = begun(stage, 2).await?;
        stage.workers[0].kill().await?;
        let pids = Executions::read(&log)?.pids();
        assert_eq!(pids.len(), 4);
        eventually(SOON, "its two are gone", async || {
            let alive = pids.iter().filter_map(|pid| Pid::from_raw(*pid));
            Ok(alive.filter(|pid| is_alive(*pid)).count() == 2)
        })
        .await?;
        judged(stage, &run, &log).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_worker_has_no_shard_run_beside_its_successor() -> anyhow::Result<()> {
    play(async |stage| {
        let (log, run) = begun(stage, 2).await?;
        stage.workers[0].freeze()?;
        judged(stage, &run, &log).await?;
        stage.workers[0].thaw()?;
        stage.workers[0].terminate()?;
        assert_eq!(stage.workers[0].wait(SOON).await?, 0);
        Executions::read(&log)?.never_overlap()
    })
    .await
}

/// A program that starts its worker itself.
async fn start_program(stage: &Stage, log: &Path) -> anyhow::Result<Gridloom> {
    let program = stage.dir().join("steady.py");
    std::fs::write(&program, STEADY)?;
    let args = [program.into_os_string(), log.into()];
    let process = with_python(Gridloom::program("python3", args))?;
    let process = process.env("COMMAND", gridloom_tests::gridloom()?);
    let process = process.env("GRIDLOOM_NATS", stage.server.url());
    let process = process.env("GRIDLOOM_QUEUE_ACK_DEADLINE", ACK_DEADLINE);
    Ok(process.env("GRIDLOOM_NAMESPACE", NAMESPACE))
}

#[tokio::test(flavor = "multi_thread")]
async fn program_with_a_worker_of_its_own_runs_shards_and_ends_in_peace() -> anyhow::Result<()> {
    play(async |stage| {
        let log = stage.dir().join("log");
        stage.start_planner().await?;
        let mut program = start_program(stage, &log).await?.start().await?;
        let job = stage.apply(JOB).await?;
        let run = stage.submit(&job, &json!({})).await?;
        judged(stage, &run, &log).await?;
        program.terminate()?;
        let code = program.wait(SOON).await?;
        assert_eq!(code, 0, "{}", program.stderr());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn program_whose_worker_is_killed_says_so_and_runs_nothing_more() -> anyhow::Result<()> {
    play(async |stage| {
        let log = stage.dir().join("log");
        stage.start_planner().await?;
        let mut program = start_program(stage, &log).await?.start().await?;
        let job = stage.apply(JOB).await?;
        let run = stage.submit(&job, &json!({})).await?;
        stage.done(&run, 1, SOON).await?;
        let attached = eventually_some(SOON, "its worker is found", async || {
            child_of(program.pid())
        })
        .await?;
        kill_process(attached, Signal::KILL)?;
        let code = program.wait(SOON).await?;
        let said = program.stderr();
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("WorkerGone"), "{said}");
        // Another one finishes what it had begun.
        let mut another = start_program(stage, &log).await?.start().await?;
        judged(stage, &run, &log).await?;
        another.terminate()?;
        assert_eq!(another.wait(SOON).await?, 0);
        Ok(())
    })
    .await
}

/// The first process that `parent` has started, whichever of its threads did.
pub(crate) fn child_of(parent: Pid) -> anyhow::Result<Option<Pid>> {
    let threads = std::fs::read_dir(format!("/proc/{parent}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let texts = threads.map(|thread| std::fs::read_to_string(thread.path().join("children")));
    let texts: Vec<String> = texts.map(Result::unwrap_or_default).collect();
    let mut children = texts.iter().flat_map(|text| text.split_whitespace());
    let first = children.next().map(str::parse).transpose()?;
    Ok(first.and_then(Pid::from_raw))
}

const CLIENT: &str = r#"
import json, sys
import gridloom
client = gridloom.Client(sys.argv[1])
receipts = [client.submit("plain", id="monday", params={"sleep_ms": 1}) for _ in range(2)]
run = client.wait(receipts[0], timeout=60)
assert client.show(receipts[1].run).succeeded
failed = client.submit("plain", params={"fail_percent": 100.0, "permanent": True})
try:
    client.wait(failed, timeout=60)
except gridloom.RunFailed as error:
    state = error.run.state
refused = []
for job, params in (("nobody", {}), ("plain", {"sleep_ms": "long"})):
    try:
        client.submit(job, params=params)
    except gridloom.ApiError as error:
        refused.append(error.type)
print(json.dumps([[receipt.answer for receipt in receipts], run.id, run.state, run.shards["done"], state, refused]))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn client_starts_a_run_once_waits_for_it_and_tells_what_was_refused() -> anyhow::Result<()> {
    play(async |stage| {
        let planner = api::start(stage, &[]).await?;
        stage.start_worker(4, &[]).await?;
        stage
            .apply("name = \"plain\"\nhandler = \"noop\"\n[grid]\nslices = 4")
            .await?;
        let program = stage.dir().join("client.py");
        std::fs::write(&program, CLIENT)?;
        let args = [program.to_string_lossy().into_owned(), planner.url("")];
        let process = with_python(Gridloom::program("python3", args))?;
        let said = process
            .start()
            .await?
            .finish(SOON)
            .await?
            .succeeded()?
            .json()?;
        let run = RunId::from_request(&"plain".parse()?, "monday");
        assert_eq!(said[0], json!(["opened", "exists"]), "{said}");
        assert_eq!(
            (&said[1], &said[2], &said[3]),
            (&json!(run), &json!("succeeded"), &json!(4))
        );
        assert_eq!(said[4], "failed");
        assert_eq!(said[5], json!(["not-found", "refused"]));
        Ok(())
    })
    .await
}
