//! A program that is the main process and starts its own worker: either is gone when the other is.

use std::time::Duration;

use gridloom_tests::process::{Gridloom, Process, is_alive, pid_in};
use gridloom_tests::scenario::{NAMESPACE, Stage, play};
use gridloom_tests::wait::{eventually, eventually_some};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::{GONE_WITHIN, SLACK, SOON, child_py, run_job, show, submit};

/// Starts the program, and says which process its worker is.
async fn start_program(stage: &Stage) -> anyhow::Result<(Process, Pid)> {
    let dir = stage.dir().to_string_lossy().into_owned();
    let gridloom = gridloom_tests::gridloom()?.to_string_lossy().into_owned();
    let args = [
        child_py(),
        "program".into(),
        dir,
        gridloom,
        "worker".into(),
        "--attach".into(),
    ];
    let program = Gridloom::program("python3", args)
        .env("GRIDLOOM_NATS", stage.server.url())
        .env("GRIDLOOM_NAMESPACE", NAMESPACE)
        .env("GRIDLOOM_QUEUE_ACK_DEADLINE", "2s")
        .start()
        .await?;
    let file = stage.dir().join("worker/pid");
    let worker =
        eventually_some(SOON, "the worker was started", async || Ok(pid_in(&file))).await?;
    Ok((program, worker))
}

#[tokio::test(flavor = "multi_thread")]
async fn program_runs_shards_of_the_worker_that_it_started_and_stops_it() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let (mut program, worker) = start_program(stage).await?;
        let run = run_job(
            stage,
            "[grid]\nslices = 2\npages = { count = 10 }",
            &json!({}),
        )
        .await?;
        assert_eq!(show(stage, &run).await?["rows"], json!(20));
        kill_process(worker, Signal::TERM)?;
        assert_eq!(program.wait(SOON).await?, 0, "{}", program.stderr());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn program_sees_at_once_that_its_worker_is_gone() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let (mut program, worker) = start_program(stage).await?;
        submit(
            stage,
            "[grid]\nslices = 2\npages = { count = 1 }",
            &json!({"sleep_ms": 60_000}),
        )
        .await?;
        eventually(SOON, "shards run", async || {
            Ok(stage.dir().join("log").exists())
        })
        .await?;
        kill_process(worker, Signal::KILL)?;
        // The library ends with it.
        assert_eq!(program.wait(GONE_WITHIN + SLACK).await?, 70);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_ends_with_its_program_and_gives_back_what_it_had() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let (mut program, worker) = start_program(stage).await?;
        let grid =
            "[grid]\nslices = 2\npages = { count = 1 }\n[retry]\nbackoff = { initial = \"50ms\" }";
        let run = submit(stage, grid, &json!({"sleep_ms": 3_000, "first_only": true})).await?;
        eventually(SOON, "shards run", async || {
            Ok(stage.dir().join("log").exists())
        })
        .await?;
        program.kill().await?;
        let gone = async || Ok(!is_alive(worker));
        eventually(GONE_WITHIN + SLACK, "the worker is gone", gone).await?;
        super::start_worker(stage, "good", &[]).await?;
        stage.closed(&run, SOON).await?;
        stage.judge(&run).await?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_without_a_program_says_what_is_missing() -> anyhow::Result<()> {
    play(async |stage| {
        let alone = stage.gridloom(&["worker", "--attach"])?.start().await?;
        let alone = alone.finish(SOON).await?;
        assert_eq!(alone.code, 2);
        assert!(
            alone.stderr.contains("GRIDLOOM_TOKEN is not set"),
            "{}",
            alone.stderr
        );
        let nobody = stage.gridloom(&["worker", "--attach"])?;
        let nobody = nobody
            .env("GRIDLOOM_TOKEN", "0123456789abcdef")
            .env("GRIDLOOM_SOCKET", "/no/such/socket");
        let nobody = nobody
            .start()
            .await?
            .finish(Duration::from_secs(30))
            .await?;
        assert_eq!(nobody.code, 1);
        assert!(
            nobody
                .stderr
                .contains("connect to the program at /no/such/socket"),
            "{}",
            nobody.stderr
        );
        Ok(())
    })
    .await
}
