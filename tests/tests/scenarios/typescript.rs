//! Handlers in TypeScript and JavaScript by sdk/typescript, with real processes: its examples as they stand, programs that are
//! killed on the way, and its client.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, ensure};
use gridloom_shared::id::RunId;
use gridloom_tests::process::{Gridloom, is_alive};
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;
use rustix::process::Pid;
use serde_json::json;

use crate::api;
use crate::programs::{
    ACK_DEADLINE, Executions, MOODY, SOON, begun, conforms, conforms_attached,
    its_worker_is_killed, one_is_killed, played, shown, with_own_worker,
};
use crate::typed::{Typed, example};

/// The folder of the SDK, compiled once for all tests; `None`: it cannot be here. In CI that is a failure.
fn built() -> Option<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}"))) {
        Ok(folder) => Some(folder),
        Err(error) => {
            eprintln!("\n*** NOT RUN: the SDK for TypeScript: {error} ***\n");
            assert!(std::env::var_os("CI").is_none(), "in CI: {error}");
            None
        }
    }
}

fn build() -> anyhow::Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/typescript/stage.mjs");
    let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools");
    let output = Command::new("node").arg(script).arg(base).output();
    let output = output.context("node is not here")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "it does not compile: {said}");
    Ok(String::from_utf8(output.stdout)?.trim_end().into())
}

fn steady() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/typescript");
    folder.join("steady.mjs").display().to_string()
}

fn with_sdk(process: Gridloom, sdk: &Path) -> Gridloom {
    let module = format!("file://{}/dist/index.mjs", sdk.display());
    process.env("SDK", module)
}

/// A worker with children; its place among the stage's.
async fn start(
    stage: &mut Stage,
    sdk: &Path,
    flags: &[&str],
    command: &[&str],
) -> anyhow::Result<usize> {
    let worker = stage.gridloom(&["worker"])?.args(flags.iter().copied());
    let worker = worker.args(["--", "node"]).args(command.iter().copied());
    let worker = worker.env("GRIDLOOM_QUEUE_ACK_DEADLINE", ACK_DEADLINE);
    let worker = with_sdk(worker, sdk).dir(sdk.join("examples"));
    stage.workers.push(worker.start().await?);
    Ok(stage.workers.len() - 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_in_typescript_do_what_their_heads_say() -> anyhow::Result<()> {
    let Some(sdk) = built() else { return Ok(()) };
    play(async |stage| {
        stage.start_planner().await?;
        start(stage, sdk, &["--processes", "2"], &["words.mjs"]).await?;
        start(stage, sdk, &["--slots", "50"], &["built/fetch.mjs"]).await?;
        let words = played(stage, &sdk.join("examples/words.toml")).await?;
        let text = std::fs::read_to_string(sdk.join("examples/words.mjs"))?;
        assert_eq!(words["rows"], json!(text.lines().count()));
        assert_eq!(
            words["counters"]["words"],
            json!(text.split_whitespace().count())
        );
        let fetch = played(stage, &sdk.join("examples/fetch.toml")).await?;
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
async fn example_in_javascript_is_typed_as_its_head_says_on_the_whole_stack() -> anyhow::Result<()>
{
    let Some(sdk) = built() else { return Ok(()) };
    let examples = sdk.join("examples");
    example(Typed::in_folder(&examples)?, &examples.join("words.mjs")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn program_in_typescript_that_is_killed_costs_an_attempt_and_no_shard() -> anyhow::Result<()>
{
    let Some(sdk) = built() else { return Ok(()) };
    play(async |stage| {
        let log = stage.dir().join("log");
        stage.start_planner().await?;
        let command = [&steady(), &*log.to_string_lossy()];
        start(stage, sdk, &["--processes", "2"], &command).await?;
        let run = begun(stage, &log, 2).await?;
        one_is_killed(stage, &run, &log).await
    })
    .await
}

const BUSY: &str = "name = \"busy\"\nhandler = \"busy\"\n[retry]\nmax_attempts = 1";

#[tokio::test(flavor = "multi_thread")]
async fn failures_in_typescript_have_what_follows_and_computing_ends_when_it_is_cancelled()
-> anyhow::Result<()> {
    let Some(sdk) = built() else { return Ok(()) };
    play(async |stage| {
        stage.start_planner().await?;
        let log = stage.dir().join("log");
        let command = [&steady(), &*log.to_string_lossy()];
        start(stage, sdk, &["--child-grace", "60s"], &command).await?;
        let job = stage.apply(MOODY).await?;
        let run = stage.submit(&job, &json!({})).await?;
        stage.closed(&run, SOON).await?;
        stage.judge(&run).await?;
        let moody = shown(stage, run.as_str()).await?;
        assert_eq!(
            (&moody["state"], &moody["shards"]["dead"]),
            (&json!("failed"), &json!(1)),
            "{moody}"
        );
        // The first one at its first attempt, the two others at their second: a hold uses up none, and numbers it.
        assert_eq!(moody["counters"]["attempts"], 1 + 2 + 2, "{moody}");
        let dead = stage.cli(&["dead", "list", "--json"], SOON).await?;
        let dead = dead.succeeded()?.stdout;
        assert!(dead.contains("no such bucket: Error: gone"), "{dead}");

        let job = stage.apply(BUSY).await?;
        let run = stage.submit(&job, &json!({})).await?;
        eventually(SOON, "it computes", async || {
            Ok(!Executions::read(&log)?.spans.is_empty())
        })
        .await?;
        let pid = Executions::read(&log)?.pids()[0];
        stage
            .cli(&["cancel", run.as_str()], SOON)
            .await?
            .succeeded()?;
        stage.closed(&run, SOON).await?;
        eventually(SOON, "its check has told it", async || {
            let executions = Executions::read(&log)?;
            Ok(executions.spans.values().flatten().all(|span| span.3))
        })
        .await?;
        ensure!(
            is_alive(Pid::from_raw(pid).context("a pid")?),
            "it was killed"
        );
        Ok(())
    })
    .await
}

/// A program that starts its worker itself.
fn start_program(stage: &Stage, sdk: &Path, log: &Path) -> anyhow::Result<Gridloom> {
    let process = Gridloom::program("node", [steady().into(), log.as_os_str().to_owned()]);
    with_own_worker(stage, with_sdk(process, sdk))
}

#[tokio::test(flavor = "multi_thread")]
async fn program_in_typescript_has_a_worker_of_its_own_until_that_is_killed() -> anyhow::Result<()>
{
    let Some(sdk) = built() else { return Ok(()) };
    let program = async |stage: &Stage, log: &Path| start_program(stage, sdk, log);
    play(async |stage| its_worker_is_killed(stage, program, "WorkerGone").await).await
}

/// What is another matter where handlers hold the event loop.
const HELD_UP: [&str; 4] = ["stop-", "gone-", "drain-", "progress"];
/// That needs two handlers that run at once.
const TWO_AT_ONCE: &str = "stop-one-of-several";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "by itself: `.ci/run` plays it with nothing beside it"]
async fn library_for_typescript_conforms_whether_handlers_wait_or_compute() -> anyhow::Result<()> {
    let Some(sdk) = built() else { return Ok(()) };
    let program = sdk.join("tests/conformance.mjs").display().to_string();
    let listed = Gridloom::new(["sdk-test", "--list", "--json"])?
        .start()
        .await?
        .finish(SOON)
        .await?;
    let listed = listed.succeeded()?.json()?;
    let names = listed.as_array().into_iter().flatten();
    let names = names.filter_map(|told| told["name"].as_str());
    let is_meant =
        |name: &&str| HELD_UP.iter().any(|begin| name.starts_with(begin)) && *name != TWO_AT_ONCE;
    let some: Vec<&str> = names.filter(is_meant).collect();
    let few = some.join(",");
    for (only, how, least) in [(None, None, 40), (Some(&few), Some("busy"), 8)] {
        let process = Gridloom::new(["sdk-test", "--json"])?;
        let only = only.into_iter().flat_map(|names| ["--only", names]);
        let process = process.args(only).args(["--", "node", &program]).args(how);
        let report = process.start().await?.finish(3 * SOON).await?;
        conforms(&report, least)?;
    }
    let process = Gridloom::new(["sdk-test", "--json", "--attach"])?;
    let process = process.args(["--", "node", &program]);
    conforms_attached(&process.start().await?.finish(3 * SOON).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn client_in_typescript_starts_a_run_once_waits_for_it_and_tells_what_was_refused()
-> anyhow::Result<()> {
    let Some(sdk) = built() else { return Ok(()) };
    play(async |stage| {
        let planner = api::start(stage, &[]).await?;
        stage.start_worker(4, &[]).await?;
        stage
            .apply("name = \"plain\"\nhandler = \"noop\"\n[grid]\nslices = 4")
            .await?;
        let args = [steady(), "client".to_owned(), planner.url("")];
        let process = with_sdk(Gridloom::program("node", args), sdk);
        let finished = process.start().await?.finish(SOON).await?;
        let said = finished.succeeded()?.json()?;
        let run = RunId::from_request(&"plain".parse()?, "monday");
        let wanted = json!([
            ["opened", "exists"],
            run,
            "succeeded",
            4,
            "failed",
            ["not-found", "refused"]
        ]);
        assert_eq!(said, wanted);
        Ok(())
    })
    .await
}
