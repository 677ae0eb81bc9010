//! Children do not outlive their worker, however it ends, nor the leases of what they run.

use std::time::{Duration, Instant};

use gridloom_tests::logged::now_us;
use gridloom_tests::oracle::executions::Logs;
use gridloom_tests::oracle::ledger::Ledger;
use gridloom_tests::oracle::overlap::{self, Lives};
use gridloom_tests::scenario::play;
use gridloom_tests::wait::eventually;
use serde_json::json;

use super::{GONE_WITHIN, SLACK, SOON, all_gone, cancelled, noted, pids, start_worker, submit};

#[tokio::test(flavor = "multi_thread")]
async fn children_of_a_killed_worker_are_gone_within_a_second_with_all_that_they_started()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let worker = start_worker(stage, "group", &["--processes", "2", "--slots", "1"]).await?;
        let run = submit(
            stage,
            "[grid]\nslices = 2\npages = { count = 1 }",
            &json!({"sleep_ms": 60_000}),
        )
        .await?;
        let busy = async || Ok(pids(stage).len() == 4 && stage.dir().join("log").exists());
        eventually(SOON, "two children run, with a process each", busy).await?;
        let children = pids(stage);
        assert!(
            children
                .iter()
                .all(|pid| gridloom_tests::process::is_alive(*pid))
        );
        let killed = Instant::now();
        stage.workers[worker].kill().await?;
        all_gone(&children, GONE_WITHIN + SLACK).await?;
        assert!(killed.elapsed() < GONE_WITHIN + SLACK);
        // Another goes on with what they had.
        start_worker(stage, "good", &[]).await?;
        cancelled(stage, &run).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn child_of_a_worker_that_is_frozen_as_it_gives_it_a_tile_ends_with_the_lease_of_that()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        // The child does it, at the moment at which the tile comes.
        let frozen = start_worker(stage, "freezes", &["--slots", "1"]).await?;
        let grid = "[grid]\nslices = 1\npages = { count = 1 }";
        let run = submit(stage, grid, &json!({"sleep_ms": 60_000})).await?;
        eventually(SOON, "its worker stands still", async || {
            Ok(stage.dir().join("frozen").exists())
        })
        .await?;
        all_gone(&pids(stage), Duration::from_secs(2) + SLACK).await?;
        stage.workers[frozen].thaw()?;
        cancelled(stage, &run).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn children_of_a_frozen_worker_end_with_their_leases_and_nothing_runs_twice_at_once()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let frozen = start_worker(stage, "good", &["--slots", "2"]).await?;
        let grid = "[grid]\nslices = 2\npages = { count = 1 }";
        let run = submit(stage, grid, &json!({"sleep_ms": 5_000, "first_only": true})).await?;
        let begun = async || Ok(noted(stage, "log").matches(r#""event": "start""#).count() == 2);
        eventually(SOON, "both shards run", begun).await?;
        let children = pids(stage);
        stage.workers[frozen].freeze()?;
        let from = now_us();
        start_worker(stage, "good", &["--slots", "2"]).await?;
        // The ack deadline is two seconds.
        all_gone(&children, Duration::from_secs(2) + SLACK).await?;
        let mut lives = Lives::default();
        for child in &children {
            lives
                .died
                .insert(child.as_raw_nonzero().get().try_into()?, now_us());
        }
        stage.closed(&run, SOON).await?;
        stage.workers[frozen].thaw()?;
        stage.judge(&run).await?;
        let mut logs = Logs::default();
        logs.read(&stage.dir().join("log"))?;
        let executions = logs.take(run.as_str(), &lives);
        assert!(executions.len() >= 4, "{executions:?}, frozen at {from}");
        let ledger = Ledger::read(&stage.broker, &run).await?;
        let found = overlap::judge(
            &ledger,
            &executions,
            &lives,
            Duration::from_secs(2),
            &Default::default(),
        );
        assert!(found.breaches.is_empty(), "{:?}", found.breaches);
        Ok(())
    })
    .await
}
