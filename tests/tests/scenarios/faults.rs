//! Processes that are killed, stopped and told to end in the middle of a run.

use std::time::{Duration, Instant};

use gridloom_shared::id::RunId;
use gridloom_tests::scenario::{Stage, play};
use serde_json::json;

const LONG: Duration = Duration::from_secs(90);
const SOON: Duration = Duration::from_secs(30);
/// Shards of [`begun`].
const SHARDS: u64 = 1_600;

/// A run of shards that take a little while, with at least a tenth of them done.
async fn begun(stage: &mut Stage) -> anyhow::Result<RunId> {
    let job = stage
        .apply("name = \"steady\"\nhandler = \"noop\"\n[grid]\nslices = 8\npages = { count = 200 }\ntile = 4")
        .await?;
    let run = stage.submit(&job, &json!({"sleep_ms": 10})).await?;
    stage.done(&run, SHARDS / 10, SOON).await?;
    Ok(run)
}

/// A moment that nobody chose.
async fn a_while(stage: &mut Stage) {
    let moment = stage
        .seed
        .between(Duration::ZERO, Duration::from_millis(300));
    tokio::time::sleep(moment).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_killed_and_restarted_in_mid_run_loses_nothing() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(2).await?;
        let run = begun(stage).await?;
        for _ in 0..2 {
            a_while(stage).await;
            stage.server.kill().await?;
            stage.server.restart().await?;
        }
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_of_a_killed_worker_are_taken_over_and_those_it_committed_are_not_repeated()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(2).await?;
        let run = begun(stage).await?;
        stage.judge_open(&run).await?;
        a_while(stage).await;
        stage.workers[0].kill().await?;
        stage.judge_open(&run).await?;
        stage.closed(&run, LONG).await?;
        let verdict = stage.judge(&run).await?.succeeded()?;
        assert!(
            verdict.summary.shards.taken_over > 0,
            "{:?}",
            verdict.summary
        );
        assert_eq!(
            (verdict.audit.repeated, verdict.summary.shards.late),
            (0, 0)
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_planner_and_broker_killed_at_once_and_restarted_lose_nothing() -> anyhow::Result<()>
{
    play(async |stage| {
        stage.start_all(2).await?;
        let run = begun(stage).await?;
        a_while(stage).await;
        let (workers, planners) = (&mut stage.workers, &mut stage.planners);
        tokio::try_join!(
            async { Ok(stage.server.kill().await?) },
            async { workers[0].kill().await },
            async { planners[0].kill().await },
        )?;
        stage.server.restart().await?;
        stage.start_all(1).await?;
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_told_to_stop_finishes_what_it_runs() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        for _ in 0..2 {
            // A tile that was neither finished nor handed back would hold the run up until then.
            stage
                .start_worker(4, &["--ack-deadline", "60s", "--grace", "10s"])
                .await?;
        }
        let run = begun(stage).await?;
        a_while(stage).await;
        stage.workers[0].terminate()?;
        assert_eq!(stage.workers[0].wait(SOON).await?, 0);
        stage.judge_open(&run).await?;
        stage.closed(&run, Duration::from_secs(45)).await?;
        let verdict = stage.judge(&run).await?.succeeded()?;
        assert_eq!(verdict.audit.repeated, 0);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_told_to_stop_hands_back_what_it_cannot_finish() -> anyhow::Result<()> {
    play(async |stage| {
        let job = stage
            .apply("name = \"slow\"\nhandler = \"noop\"\n[grid]\nslices = 1\npages = { count = 8 }\ntile = 1")
            .await?;
        stage.start_planner().await?;
        let args = ["--ack-deadline", "60s", "--grace", "500ms"];
        stage.start_worker(8, &args).await?;
        let run = stage.submit(&job, &json!({"sleep_ms": 4_000})).await?;
        eventually_in_flight(stage, 8).await?;
        stage.start_worker(8, &args).await?;
        let told = Instant::now();
        stage.workers[0].terminate()?;
        assert_eq!(stage.workers[0].wait(SOON).await?, 0);
        stage.closed(&run, Duration::from_secs(30)).await?;
        assert!(told.elapsed() < Duration::from_secs(25), "took {:?}", told.elapsed());
        let verdict = stage.judge(&run).await?.succeeded()?;
        assert_eq!(verdict.audit.repeated, 0);
        Ok(())
    })
    .await
}

async fn eventually_in_flight(stage: &Stage, tiles: u64) -> anyhow::Result<()> {
    gridloom_tests::wait::eventually(SOON, "the worker holds its tiles", async || {
        let queues = stage
            .cli(&["queues", "--json"], SOON)
            .await?
            .succeeded()?
            .json()?;
        let held = queues
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|queue| queue["in_flight"].as_u64());
        Ok(held.sum::<u64>() >= tiles)
    })
    .await
}
