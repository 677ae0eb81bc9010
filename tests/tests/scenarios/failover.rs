//! Workers that die while the ack deadline is far away: what they held starts elsewhere within
//! seconds, and nobody loses anything who lives.

use std::time::{Duration, Instant};

use gridloom_shared::id::{QueueName, RunId};
use gridloom_shared::ledger::record::{Reason, Record};
use gridloom_tests::oracle::ledger::Ledger;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::{eventually, eventually_some};
use serde_json::json;

const LONG: Duration = Duration::from_secs(90);
const SOON: Duration = Duration::from_secs(30);
/// Far away: whatever starts elsewhere before it was handed back.
const DEADLINE: &[&str] = &["--ack-deadline", "30s"];
/// Tiles of [`held_by_first`].
const TILES: usize = 4;

/// A planner leads, the first worker runs every shard of a run, each for `shard`, and a second one is
/// there and idle.
async fn held_by_first(stage: &mut Stage, shard: Duration) -> anyhow::Result<RunId> {
    let job = stage
        .apply("name = \"long\"\nhandler = \"noop\"\n[grid]\nslices = 4\npages = { count = 1 }\ntile = 1")
        .await?;
    stage.start_planner().await?;
    stage.start_worker(4, DEADLINE).await?;
    let sleep_ms = u64::try_from(shard.as_millis())?;
    let run = stage.submit(&job, &json!({ "sleep_ms": sleep_ms })).await?;
    running(stage, TILES as u64).await?;
    stage.start_worker(8, DEADLINE).await?;
    there(stage, 2).await?;
    Ok(run)
}

/// Waits until so many shards run, as the workers themselves say.
async fn running(stage: &Stage, shards: u64) -> anyhow::Result<()> {
    eventually(SOON, "the worker runs its shards", async || {
        let workers = listed(stage).await?;
        let run = workers
            .iter()
            .filter_map(|worker| worker["in_flight"].as_u64());
        Ok(run.sum::<u64>() >= shards)
    })
    .await
}

async fn there(stage: &Stage, workers: usize) -> anyhow::Result<()> {
    eventually(SOON, "all workers are there", async || {
        Ok(listed(stage).await?.len() >= workers)
    })
    .await
}

async fn listed(stage: &Stage) -> anyhow::Result<Vec<serde_json::Value>> {
    let workers = stage.cli(&["workers", "--json"], SOON).await?;
    let workers = workers.succeeded()?.json()?;
    Ok(workers.as_array().cloned().unwrap_or_default())
}

async fn takeovers(stage: &Stage, run: &RunId) -> anyhow::Result<Vec<Reason>> {
    let ledger = Ledger::read(&stage.broker, run).await?;
    let mut all = Vec::new();
    for entry in &ledger.entries {
        if let Some(Record::Takeover(takeover)) = &entry.record {
            all.extend(std::iter::repeat_n(takeover.reason, takeover.tiles.len()));
        }
    }
    Ok(all)
}

/// Waits until all that the first worker ran was taken over, and says how long after `since`.
async fn taken_over(
    stage: &Stage,
    run: &RunId,
    since: Instant,
    within: Duration,
) -> anyhow::Result<Duration> {
    let took = eventually_some(within, "its shards start elsewhere", async || {
        let all = takeovers(stage, run).await?.len();
        Ok((all >= TILES).then(|| since.elapsed()))
    })
    .await?;
    eprintln!("taken over after {took:?}");
    Ok(took)
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_of_a_killed_worker_start_elsewhere_long_before_the_ack_deadline()
-> anyhow::Result<()> {
    play(async |stage| {
        let run = held_by_first(stage, Duration::from_secs(6)).await?;
        let killed = Instant::now();
        stage.workers[0].kill().await?;
        taken_over(stage, &run, killed, Duration::from_secs(10)).await?;
        stage.closed(&run, LONG).await?;
        let verdict = stage.judge(&run).await?.succeeded()?;
        assert_eq!(verdict.summary.shards.taken_over, TILES as u64);
        assert_eq!(takeovers(stage, &run).await?.len(), TILES);
        assert_eq!(verdict.refilled, 0);
        eventually(SOON, "the dead worker is registered no more", async || {
            Ok(stage.broker.workers().keys().await?.len() == 1)
        })
        .await?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_of_a_frozen_worker_start_elsewhere_and_when_it_wakes_it_does_no_harm()
-> anyhow::Result<()> {
    play(async |stage| {
        let run = held_by_first(stage, Duration::from_secs(8)).await?;
        let frozen = Instant::now();
        stage.workers[0].freeze()?;
        taken_over(stage, &run, frozen, Duration::from_secs(15)).await?;
        stage.workers[0].thaw()?;
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        // It is one of them again.
        let job = stage
            .apply("name = \"after\"\nhandler = \"noop\"\n[grid]\nslices = 12\npages = { count = 1 }\ntile = 1")
            .await?;
        let after = stage.submit(&job, &json!({ "sleep_ms": 1_500 })).await?;
        running(stage, 12).await?;
        stage.closed(&after, LONG).await?;
        stage.judge(&after).await?.succeeded()?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_of_a_worker_told_to_stop_start_elsewhere_at_once() -> anyhow::Result<()> {
    play(async |stage| {
        let job = stage
            .apply("name = \"long\"\nhandler = \"noop\"\n[grid]\nslices = 4\npages = { count = 1 }\ntile = 1")
            .await?;
        stage.start_planner().await?;
        let args = ["--ack-deadline", "30s", "--grace", "0s"];
        stage.start_worker(4, &args).await?;
        let run = stage.submit(&job, &json!({ "sleep_ms": 4_000 })).await?;
        running(stage, TILES as u64).await?;
        stage.start_worker(8, DEADLINE).await?;
        there(stage, 2).await?;
        let told = Instant::now();
        stage.workers[0].terminate()?;
        taken_over(stage, &run, told, Duration::from_secs(5)).await?;
        assert_eq!(stage.workers[0].wait(SOON).await?, 0);
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        assert_eq!(takeovers(stage, &run).await?.len(), TILES);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_of_the_broker_condemns_nobody() -> anyhow::Result<()> {
    play(async |stage| {
        let run = held_by_first(stage, Duration::from_secs(14)).await?;
        for _ in 0..2 {
            stage.server.kill().await?;
            stage.server.restart().await?;
            let pause = Duration::from_millis(500)..Duration::from_millis(2_500);
            tokio::time::sleep(stage.seed.between(pause.start, pause.end)).await;
        }
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        let reasons = takeovers(stage, &run).await?;
        assert!(!reasons.contains(&Reason::Count), "{reasons:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_dies_with_the_leader_is_found_by_the_next_one() -> anyhow::Result<()> {
    play(async |stage| {
        let run = held_by_first(stage, Duration::from_secs(6)).await?;
        stage.start_planner().await?;
        eventually(SOON, "the standby is there", async || {
            Ok(stage.planners[1].stderr().contains("planner"))
        })
        .await?;
        let killed = Instant::now();
        let (workers, planners) = (&mut stage.workers, &mut stage.planners);
        tokio::try_join!(workers[0].kill(), planners[0].kill())?;
        taken_over(stage, &run, killed, Duration::from_secs(18)).await?;
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        assert_eq!(takeovers(stage, &run).await?.len(), TILES);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn tiles_that_the_queue_lost_and_a_worker_holds_are_not_published_again() -> anyhow::Result<()>
{
    play(async |stage| {
        let run = held_by_first(stage, Duration::from_secs(8)).await?;
        let subjects = stage.broker.subjects();
        let tiles = subjects.shard(&QueueName::new("default")?, &run);
        let gone = stage.broker.purge(&subjects.shards(), &tiles, 0).await?;
        assert_eq!(gone, TILES as u64);
        // A death starts a refill at once.
        stage.workers[1].kill().await?;
        stage.closed(&run, LONG).await?;
        let verdict = stage.judge(&run).await?.succeeded()?;
        assert_eq!(verdict.refilled, 0);
        assert_eq!(takeovers(stage, &run).await?, []);
        assert!(
            stage.planners[0].stderr().contains("a worker is dead"),
            "the death was not seen"
        );
        Ok(())
    })
    .await
}
