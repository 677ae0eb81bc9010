//! Handlers in Go by sdk/go, with real processes: its examples as they stand, the ways in which a shard can end, a child and
//! a worker that are killed on the way, its client, and what `gridloom sdk-test` says of it. The programs of these tests are in
//! sdk/go/internal.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use gridloom_shared::id::RunId;
use gridloom_tests::process::Gridloom;
use gridloom_tests::scenario::{Stage, play};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::api;
use crate::programs::{
    ACK_DEADLINE, SOON, begun, conforms, conforms_attached, its_worker_is_killed, one_is_killed,
    played, shown, with_own_worker,
};
use crate::typed::{Typed, example};

/// Where its programs are, built once.
static BUILT: OnceCell<PathBuf> = OnceCell::const_new();

fn sdk() -> anyhow::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/go");
    folder.canonicalize().context("the SDK for Go is there")
}

/// Whether Go is here; it is said if not, and in CI that is a failure.
fn have_go() -> bool {
    let mut asked = Command::new("go");
    let there = asked
        .arg("version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !there {
        eprintln!("\n*** NOT RUN: handlers in Go: no go in PATH ***\n");
        assert!(std::env::var_os("CI").is_none(), "no Go in CI");
    }
    there
}

/// The folder with `words`, `fetch`, `played` and `conformance`. Nothing is fetched for them.
async fn built() -> anyhow::Result<&'static Path> {
    let built = BUILT.get_or_try_init(async || {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("golang");
        std::fs::create_dir_all(&folder)?;
        let mut go = tokio::process::Command::new("go");
        go.args(["build", "-buildvcs=false", "-o"]).arg(&folder);
        go.args([
            "./examples/...",
            "./internal/played",
            "./internal/conformance",
        ]);
        go.env("GOPROXY", "off").env("GOTOOLCHAIN", "local");
        let said = go.current_dir(sdk()?).output().await.context("run go")?;
        let text = String::from_utf8_lossy(&said.stderr);
        ensure!(said.status.success(), "go build: {text}");
        anyhow::Ok(folder)
    });
    Ok(built.await?.as_path())
}

/// A worker with children that run one of the programs.
async fn start(
    stage: &mut Stage,
    flags: &[&str],
    dir: &Path,
    command: &[&str],
) -> anyhow::Result<()> {
    let worker = stage.gridloom(&["worker"])?.args(flags.iter().copied());
    let worker = worker.args(["--"]).args([built().await?.join(command[0])]);
    let worker = worker.args(command[1..].iter().copied());
    let worker = worker.env("GRIDLOOM_QUEUE_ACK_DEADLINE", ACK_DEADLINE);
    stage.workers.push(worker.dir(dir).start().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_do_what_their_heads_say() -> anyhow::Result<()> {
    if !have_go() {
        return Ok(());
    }
    play(async |stage| {
        stage.start_planner().await?;
        let words = sdk()?.join("examples/words");
        start(stage, &["--processes", "2"], &words, &["words"]).await?;
        let fetch = sdk()?.join("examples/fetch");
        start(stage, &["--slots", "50"], &fetch, &["fetch"]).await?;
        let words = played(stage, &sdk()?.join("examples/words/words.toml")).await?;
        let text = std::fs::read_to_string(sdk()?.join("examples/words/main.go"))?;
        assert_eq!(words["rows"], json!(text.lines().count()));
        let counted = json!(text.split_whitespace().count());
        assert_eq!(words["counters"]["words"], counted);
        let fetch = played(stage, &sdk()?.join("examples/fetch/fetch.toml")).await?;
        let told = (&fetch["rows"], &fetch["shards"]["planned"]);
        assert_eq!(told, (&json!(1_000), &json!(40)));
        for worker in &mut stage.workers {
            worker.terminate()?;
            assert_eq!(worker.wait(SOON).await?, 0);
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn example_in_go_is_typed_as_its_head_says_on_the_whole_stack() -> anyhow::Result<()> {
    if !have_go() {
        return Ok(());
    }
    // A copy, as it is built where it stands.
    let folder = tempfile::tempdir()?;
    let module = folder.path().join("go");
    let mut copy = Command::new("cp");
    let copied = copy.arg("-r").arg(sdk()?).arg(&module).status()?;
    ensure!(copied.success(), "cp: {copied}");
    let typed = Typed::in_folder(&module)?
        .env("GOPROXY", "off")
        .env("GOTOOLCHAIN", "local");
    example(typed, &module.join("examples/words/main.go")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn shard_ends_as_its_handler_says() -> anyhow::Result<()> {
    if !have_go() {
        return Ok(());
    }
    play(async |stage| {
        stage.start_planner().await?;
        let dir = stage.dir().to_owned();
        let command = ["played", "ends", &dir.to_string_lossy()];
        start(stage, &["--slots", "2"], &dir, &command).await?;
        // Three holds and a success are more than two attempts, if a hold were one.
        let job = "name = \"ends\"\nhandler = \"ends\"\n[grid]\nslices = 5\n[params]\nrows = 1\n[retry]\nmax_attempts = 2\n\
                   backoff = { initial = \"100ms\", factor = 1.0, max = \"100ms\" }";
        let job = stage.apply(job).await?;
        let run = stage.submit(&job, &json!({ "rows": 7 })).await?;
        stage.closed(&run, SOON).await?;
        stage.judge(&run).await?;
        let shown = shown(stage, run.as_str()).await?;
        let shards = &shown["shards"];
        assert_eq!((&shards["done"], &shards["dead"]), (&json!(4), &json!(1)), "{shown}");
        // What an attempt says that fails counts for nothing: 1, 2, 4 and 2 tries are those of the last ones.
        assert_eq!((&shown["rows"], &shown["counters"]["tries"]), (&json!(28), &json!(9)), "{shown}");
        let errors = shown["errors"].to_string();
        for error in ["no such bucket", "panic: assignment to entry in nil map: at main.ends."] {
            assert!(errors.contains(error), "{error}: {shown}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn child_that_is_killed_costs_an_attempt_and_no_shard() -> anyhow::Result<()> {
    if !have_go() {
        return Ok(());
    }
    play(async |stage| {
        let (dir, log) = (stage.dir().to_owned(), stage.dir().join("log"));
        stage.start_planner().await?;
        let command = ["played", "steady", &log.to_string_lossy()];
        start(stage, &["--processes", "2"], &dir, &command).await?;
        let run = begun(stage, &log, 2).await?;
        one_is_killed(stage, &run, &log).await
    })
    .await
}

/// A program that starts its worker itself.
async fn start_program(stage: &Stage, log: &Path) -> anyhow::Result<Gridloom> {
    let program = built().await?.join("played");
    let process = Gridloom::program(program, ["steady".into(), log.as_os_str().to_owned()]);
    with_own_worker(stage, process)
}

#[tokio::test(flavor = "multi_thread")]
async fn program_whose_worker_is_killed_says_so_and_another_one_ends_in_peace() -> anyhow::Result<()>
{
    if !have_go() {
        return Ok(());
    }
    let why = "gridloom worker is gone";
    play(async |stage| its_worker_is_killed(stage, start_program, why).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn client_starts_a_run_once_waits_for_it_and_tells_what_was_refused() -> anyhow::Result<()> {
    if !have_go() {
        return Ok(());
    }
    play(async |stage| {
        let planner = api::start(stage, &[]).await?;
        stage.start_worker(4, &[]).await?;
        let job = "name = \"plain\"\nhandler = \"noop\"\n[grid]\nslices = 4";
        stage.apply(job).await?;
        let program = built().await?.join("played");
        let process = Gridloom::program(program, ["client".to_owned(), planner.url("")]);
        let said = process.start().await?.finish(SOON).await?;
        let mut said = said.succeeded()?.json()?;
        if let Some(refusals) = said["refusals"].as_array_mut() {
            refusals.sort_by_key(ToString::to_string);
        }
        let run = RunId::from_request(&"plain".parse()?, "monday");
        let told = json!({
            "answers": "opened exists", "run": run, "state": "succeeded", "done": 4, "failed": "failed",
            "refusals": ["nobody not-found", "plain refused"],
        });
        assert_eq!(said, told);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "by itself: `.ci/run` plays it with nothing beside it"]
async fn library_for_go_conforms() -> anyhow::Result<()> {
    if !have_go() {
        return Ok(());
    }
    let program = built().await?.join("conformance");
    let tested = async |how: Option<&str>| {
        let process = Gridloom::new(["sdk-test", "--json"])?.args(how);
        let process = process.args(["--"]).args([&program]);
        process.start().await?.finish(SOON).await
    };
    let said = conforms(&tested(None).await?, 40)?;
    assert_eq!(said["sdk"], "go 0.1.0");
    conforms_attached(&tested(Some("--attach")).await?)
}
