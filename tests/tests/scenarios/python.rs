//! Handlers in Python by sdk/python, with real processes: its examples as they stand, programs that are killed on the way, and
//! its client.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use gridloom_shared::id::RunId;
use gridloom_tests::process::{Gridloom, is_alive};
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;
use rustix::process::Pid;
use serde_json::json;

use crate::api;
use crate::programs::{
    ACK_DEADLINE, Executions, JOB, SOON, begun, its_worker_is_killed, judged, one_is_killed,
    played, with_own_worker,
};
use crate::typed::{Typed, example as followed};

#[path = "python/by_nats.rs"]
mod by_nats;

/// A release build of the command where nothing of it is there.
const BUILT: Duration = Duration::from_secs(1_800);
const README: &str = include_str!("../../../README.md");
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

fn example(name: &str) -> anyhow::Result<PathBuf> {
    Ok(sdk()?.join("examples").join(name))
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_do_what_their_heads_say() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        start(stage, &["--processes", "2"], &["python3", "words.py"]).await?;
        start(stage, &["--slots", "50"], &["python3", "fetch.py"]).await?;
        let words = played(stage, &example("words.toml")?).await?;
        let text = std::fs::read_to_string(example("words.py")?)?;
        assert_eq!(words["rows"], json!(text.lines().count()));
        assert_eq!(
            words["counters"]["words"],
            json!(text.split_whitespace().count())
        );
        let fetch = played(stage, &example("fetch.toml")?).await?;
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

#[tokio::test(flavor = "multi_thread")]
async fn example_in_python_is_typed_as_its_head_says_on_the_whole_stack() -> anyhow::Result<()> {
    let typed = Typed::in_folder(&sdk()?.join("examples"))?;
    let typed = typed.env("PYTHONPATH", sdk()?.join("src"));
    let typed = typed.env("PYTHONDONTWRITEBYTECODE", "1");
    followed(typed, &example("words.py")?).await
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
        eventually(SOON, "its run is listed with its rows", async || {
            let runs = stage.cli(&["runs", "--json"], SOON).await?;
            let runs = runs.succeeded()?.json()?;
            Ok(runs[0]["state"] == "succeeded" && runs[0]["rows"] == 1_000)
        })
        .await
    })
    .await
}

/// The log of the programs, and a run that has begun.
async fn steady(stage: &mut Stage, workers: usize) -> anyhow::Result<(PathBuf, RunId)> {
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
    let run = begun(stage, &log, 2 * workers).await?;
    Ok((log, run))
}

#[tokio::test(flavor = "multi_thread")]
async fn child_that_is_killed_costs_an_attempt_and_no_shard() -> anyhow::Result<()> {
    play(async |stage| {
        let (log, run) = steady(stage, 1).await?;
        one_is_killed(stage, &run, &log).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_is_killed_takes_its_children_along_and_another_goes_on() -> anyhow::Result<()>
{
    play(async |stage| {
        let (log, run) = steady(stage, 2).await?;
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
        let (log, run) = steady(stage, 2).await?;
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
    with_own_worker(stage, process)
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
    play(async |stage| its_worker_is_killed(stage, start_program, "WorkerGone").await).await
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

#[tokio::test]
#[ignore = "makes the wheel, for which the command is built once more, in minutes"]
async fn wheel_with_the_command_is_installed_and_runs_three_lines_of_handler() -> anyhow::Result<()>
{
    let script = sdk()?.join("wheel/try.py");
    let tried = Gridloom::program("python3", [script.to_string_lossy().into_owned()]);
    let tried = tried.start().await?.finish(BUILT).await?.succeeded()?;
    eprintln!("{}", tried.stdout);
    Ok(())
}
