//! What a planner that is too old leaves alone, however it came to know of it.

use gridloom_shared::id::RunId;
use gridloom_tests::build::Build;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;
use serde_json::json;

use super::{JOBS, LONG, SOON, leader, lease, no_dead_letters, planners_answer, too_old};

/// Waits until who leads says that only a newer build can go on with `run`, and with nothing else.
async fn left_alone(stage: &Stage, run: &RunId) -> anyhow::Result<()> {
    eventually(SOON, "the older planner says which run waits", async || {
        let lease = lease(stage).await?;
        let some = &lease["newer"]["some"];
        Ok(lease["lacks"] == json!(2) && *some == json!([run.as_str()]))
    })
    .await?;
    let found = too_old(stage).await?;
    assert!(
        found.iter().any(|line| line.contains(run.as_str())),
        "{found:?}"
    );
    Ok(())
}

/// Ends the planner at `place` as a crash does, and lets another lead at once.
async fn kill_planner(stage: &mut Stage, place: usize) -> anyhow::Result<()> {
    stage.planners[place].kill().await?;
    stage.free_leadership().await
}

#[tokio::test(flavor = "multi_thread")]
async fn planner_that_stood_by_while_a_newer_one_led_knows_which_runs_wait_for_that()
-> anyhow::Result<()> {
    Build::Next.take_part();
    play(async |stage| {
        let job = stage.apply(JOBS[1].0).await?;
        stage.build = Build::Later;
        stage.start_planner().await?;
        leader(stage).await?;
        // A rollback by more than one release, the standby first. It folds the ledger from now on.
        stage.build = Build::This;
        stage.start_planner().await?;
        planners_answer(stage, 2).await?;
        stage.build = Build::Next;
        stage.start_worker(4, &[]).await?;
        let run = stage.submit(&job, &json!({ "sleep_ms": 300 })).await?;
        stage.done(&run, 4, SOON).await?;
        kill_planner(stage, 0).await?;
        left_alone(stage, &run).await?;
        let own = stage.submit(&job, &json!({})).await?;
        stage.closed(&own, LONG).await?;
        assert!(!stage.is_closed(&run).await?);
        stage.build = Build::Later;
        stage.start_planner().await?;
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        stage.judge(&own).await?.succeeded()?;
        no_dead_letters(stage).await
    })
    .await
}
