//! Planners that are killed, and several at once: every shard is issued once.

use std::time::Duration;

use gridloom_shared::id::{JobName, RunId};
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;
use serde_json::json;

const LONG: Duration = Duration::from_secs(120);
const SOON: Duration = Duration::from_secs(30);
/// Kills of the long test.
const KILLS: usize = 22;

async fn job(stage: &Stage, pages: u32) -> anyhow::Result<JobName> {
    let text = format!(
        "name = \"waves\"\nhandler = \"noop\"\n[grid]\nslices = 16\npages = {{ count = {pages} }}\ntile = 1"
    );
    stage.apply(&text).await
}

async fn leads(stage: &Stage, term: u64) -> anyhow::Result<()> {
    eventually(SOON, "a planner leads", async || {
        Ok(stage.term().await? >= term)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn second_planner_does_no_harm_and_takes_over_when_the_first_is_killed() -> anyhow::Result<()>
{
    play(async |stage| {
        let job = job(stage, 200).await?;
        stage.start_all(1).await?;
        leads(stage, 1).await?;
        let run = stage.submit(&job, &json!({"sleep_ms": 5})).await?;
        stage.done(&run, 100, SOON).await?;
        stage.start_planner().await?;
        stage.done(&run, 800, SOON).await?;
        assert_eq!(
            stage.term().await?,
            1,
            "a planner took the term of one that lives"
        );
        stage.judge_open(&run).await?;
        stage.planners[0].kill().await?;
        stage.closed(&run, LONG).await?;
        let verdict = stage.judge(&run).await?.succeeded()?;
        assert_eq!(verdict.audit.repeated, 0);
        assert_eq!(stage.term().await?, 2);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn planner_that_is_killed_and_comes_back_issues_no_shard_twice() -> anyhow::Result<()> {
    play(async |stage| {
        eprintln!("seed {}", stage.seed.number());
        let job = job(stage, 60).await?;
        stage.start_worker(64, &[]).await?;
        let mut runs: Vec<RunId> = Vec::new();
        let mut term = 0;
        for round in 0..KILLS {
            runs.push(stage.submit(&job, &json!({})).await?);
            let planner = stage.start_planner().await?;
            // Some die before they lead, most in the middle of their waves.
            if round % 5 != 4 {
                leads(stage, term + 1).await?;
            }
            let moment = stage
                .seed
                .between(Duration::ZERO, Duration::from_millis(800));
            tokio::time::sleep(moment).await;
            stage.planners[planner].kill().await?;
            term = stage.term().await?;
            stage.free_leadership().await?;
        }
        stage.start_planner().await?;
        let (mut waves, mut refilled) = (0, 0);
        for run in &runs {
            stage.closed(run, LONG).await?;
            let verdict = stage.judge(run).await?.succeeded()?;
            waves += verdict.waves;
            refilled += verdict.refilled;
        }
        eprintln!(
            "{KILLS} kills, {} runs, {waves} waves, {refilled} tiles published again",
            runs.len()
        );
        assert_eq!(stage.observer.gaps(), 0);
        Ok(())
    })
    .await
}
