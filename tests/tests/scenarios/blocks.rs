//! Handlers that do not end, in workers that are real processes.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use gridloom_tests::http::{get, served_at};
use gridloom_tests::process::{is_alive, pid_in};
use gridloom_tests::scenario::play;
use gridloom_tests::wait::{eventually, eventually_some};
use rustix::process::Pid;
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn run_does_not_wait_for_a_handler_that_blocks_its_thread_past_its_limit()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        stage
            .start_worker(1, &["--listen", "127.0.0.1:0"])
            .await?;
        let address = served_at(&stage.workers[0]).await?;
        let job = stage
            .apply("name = \"stuck\"\nhandler = \"noop\"\n[grid]\nslices = 1\npages = { count = 1 }\n[retry]\nmax_attempts = 1\n[limits]\ntimeout = \"300ms\"")
            .await?;
        let run = stage.submit(&job, &json!({"block_ms": 8_000})).await?;
        stage.closed(&run, SOON).await?;
        let answer = get(&address, "/ready").await?;
        assert!(answer.contains("503") && answer.contains("no slot is left"), "{answer}");
        eventually(SOON, "it is ready again", async || {
            Ok(get(&address, "/ready").await?.contains("200 OK"))
        })
        .await?;
        let verdict = stage.judge(&run).await?;
        assert_eq!((verdict.summary.shards.dead, verdict.summary.shards.late), (1, 0));
        Ok(())
    })
    .await
}

async fn pid_of(file: &Path) -> anyhow::Result<Pid> {
    eventually_some(SOON, "a pid was written", async || Ok(pid_in(file))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn command_of_a_frozen_worker_is_ended_with_its_lease() -> anyhow::Result<()> {
    play(async |stage| {
        let (config, pid) = (stage.dir().join("gridloom.toml"), stage.dir().join("pid"));
        let script = format!(
            "echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000",
            pid.display()
        );
        std::fs::write(
            &config,
            format!("[worker.exec.long]\nprogram = \"/bin/sh\"\nargs = [\"-c\", \"{script}\"]\n"),
        )?;
        stage.start_planner().await?;
        let config = config.to_str().context("a path that is text")?;
        stage.start_worker(1, &["--config", config]).await?;
        let job = stage
            .apply("name = \"long\"\nhandler = \"exec\"\n[grid]\nslices = 1\npages = { count = 1 }\n[exec]\ncommand = \"long\"")
            .await?;
        stage.submit(&job, &json!({})).await?;
        let command = pid_of(&pid).await?;
        // Longer than the first lease: it is renewed.
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert!(is_alive(command));
        stage.workers[0].freeze()?;
        eventually(SOON, "the command is ended", async || {
            Ok(!is_alive(command))
        })
        .await?;
        stage.workers[0].thaw()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn last_output_of_a_command_out_of_time_stands_in_the_error_of_its_shard()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let command = "slow=sh -c 'trap \"echo tidied up; exit 0\" TERM; echo at line 7; sleep 1000 & wait'";
        stage.start_worker(1, &["--exec", command]).await?;
        let job = stage
            .apply("name = \"slow\"\nhandler = \"exec\"\n[retry]\nmax_attempts = 1\n[limits]\ntimeout = \"1s\"\n[exec]\ncommand = \"slow\"")
            .await?;
        let run = stage.submit(&job, &json!({})).await?;
        stage.closed(&run, SOON).await?;
        let dead = stage.cli(&["dead", "list", run.as_str(), "--json"], SOON).await?;
        let dead = dead.json()?;
        let error = dead[0]["error"].as_str().context("an error")?;
        assert!(error.starts_with("timed out after 1s: run command \"slow\""), "{error}");
        assert!(error.contains("at line 7\ntidied up"), "{error}");
        Ok(())
    })
    .await
}
