//! Whether as much is removed as ends, where each question to the broker takes its time.

use std::time::Duration;

use gridloom_shared::id::JobName;
use gridloom_tests::proxy::{Mode, Proxy};
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;
use tokio::time::Instant;

use super::{SOON, ask};

/// One way to the broker. Of the ten questions that a run takes to be removed each waits for the one before.
const WAY: Duration = Duration::from_millis(30);
/// Runs that are over.
const RUNS: usize = 96;
/// One after the other they take 57 s and more, sixteen at once four.
const WITHIN: Duration = Duration::from_secs(30);

/// Waits until no run is kept any more. How long that took.
async fn all_gone(stage: &Stage, within: Duration) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    eventually(within, "all runs are purged", async || {
        Ok(stage.broker.runs().keys().await?.is_empty())
    })
    .await?;
    Ok(begun.elapsed())
}

async fn end_runs(stage: &Stage, job: &JobName, ids: std::ops::Range<usize>) -> anyhow::Result<()> {
    let mut runs = Vec::new();
    for id in ids {
        runs.push(ask(stage, job, &format!("run-{id}")).await?);
    }
    for run in &runs {
        stage.closed(run, SOON).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute"]
async fn retention_removes_many_runs_at_once_and_rests_for_less_where_it_has_much_to_do()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        let job = stage.apply("name = \"short\"\nhandler = \"noop\"").await?;
        end_runs(stage, &job, 0..RUNS).await?;
        stage.planners[0].kill().await?;
        stage.free_leadership().await?;
        let proxy = Proxy::start(stage.server.port()).await?;
        proxy.set(Mode::Delay(WAY));
        let policy = [
            "planner",
            "--retention-most",
            "0",
            "--retention-every",
            "100ms",
        ];
        let planner = stage.gridloom(&policy)?;
        let planner = planner.env("GRIDLOOM_NATS", proxy.url()).start().await?;
        stage.planners.push(planner);
        let took = all_gone(stage, WITHIN).await?;
        // The next sweep comes three times as long after it as removing took, and not twenty times.
        end_runs(stage, &job, RUNS..RUNS + 8).await?;
        let rested = all_gone(stage, Duration::from_secs(15) + 5 * took).await?;
        eprintln!("{RUNS} runs in {took:?}, the next after {rested:?}");
        Ok(())
    })
    .await
}
