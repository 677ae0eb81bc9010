//! A worker that loses the lease of a tile while its child is connected and runs it: the child is told, and what does not listen is killed
//! with its process group. And a child that wants to be started anew.

use std::time::Duration;

use gridloom_shared::id::{QueueName, RunId, Session};
use gridloom_shared::ledger::record::{Author, Reason, Takeover};
use gridloom_shared::tile::TileRef;
use gridloom_shared::wire;
use gridloom_tests::process::is_alive;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;
use serde_json::json;

use super::{SLACK, SOON, all_gone, executed, noted, pids, show, start_worker, submit};

/// How long a child may take to stop here.
const GRACE: Duration = Duration::from_millis(300);

/// Records that another took the run's only tile over, as one does that then dies.
async fn take_over(stage: &Stage, run: &RunId) -> anyhow::Result<()> {
    let takeover = Takeover {
        session: Session(1),
        number: 1,
        tiles: vec![TileRef { wave: 0, index: 0 }],
        reason: Reason::Count,
    };
    let queue = QueueName::new("default")?;
    let subjects = stage.broker.subjects();
    let subject = subjects.ledger_of(&queue, run, Author::Takeover);
    stage
        .broker
        .append(subject, wire::encode(&takeover), None)
        .await?;
    Ok(())
}

/// What children were told of why shards are to stop.
fn told(stage: &Stage) -> String {
    noted(stage, "told")
}

/// A run of one shard, which a child of this kind has in hand, and then another holds.
async fn robbed(stage: &mut Stage, mode: &str, grace: Duration) -> anyhow::Result<RunId> {
    stage.start_planner().await?;
    let grace = format!("{}ms", grace.as_millis());
    start_worker(stage, mode, &["--slots", "1", "--child-grace", &grace]).await?;
    let grid = "[grid]\nslices = 1\npages = { count = 1 }";
    let run = submit(stage, grid, &json!({"sleep_ms": 4_000})).await?;
    eventually(SOON, "the shard runs", async || {
        Ok(stage.dir().join("log").exists())
    })
    .await?;
    take_over(stage, &run).await?;
    eventually(SOON, "its child is told", async || {
        Ok(told(stage).contains("lease"))
    })
    .await?;
    Ok(run)
}

/// The tile comes back, since who took it over is not there, and is done.
async fn done_in_the_end(stage: &Stage, run: &RunId) -> anyhow::Result<()> {
    stage.closed(run, SOON).await?;
    stage.judge(run).await?;
    let shown = show(stage, run).await?;
    assert_eq!(
        (&shown["state"], &shown["rows"], &shown["shards"]["retried"]),
        (&json!("succeeded"), &json!(1), &json!(0)),
        "{shown}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn child_of_a_worker_that_is_robbed_of_its_lease_is_told_to_stop_and_lives_on()
-> anyhow::Result<()> {
    play(async |stage| {
        let run = robbed(stage, "good", GRACE).await?;
        done_in_the_end(stage, &run).await?;
        stopped_and_alive(stage, &run)
    })
    .await
}

/// Its only child has stopped the shard, lives, and has done it when it came back.
fn stopped_and_alive(stage: &Stage, run: &RunId) -> anyhow::Result<()> {
    let children = pids(stage);
    assert!(children.len() == 1 && is_alive(children[0]), "{children:?}");
    let mut how: Vec<String> = executed(stage, run)?.into_iter().map(|it| it.3).collect();
    how.sort();
    assert_eq!(how, ["cancelled", "done"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn child_may_take_its_grace_to_stop_also_where_that_is_longer_than_the_lease_that_is_lost()
-> anyhow::Result<()> {
    play(async |stage| {
        let run = robbed(stage, "slow", SOON).await?;
        done_in_the_end(stage, &run).await?;
        stopped_and_alive(stage, &run)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn child_that_goes_on_without_its_lease_is_killed_with_its_group() -> anyhow::Result<()> {
    play(async |stage| {
        let run = robbed(stage, "deaf", GRACE).await?;
        let children = pids(stage);
        // The child, and a process that it has started.
        assert_eq!(children.len(), 2);
        all_gone(&children, GRACE + SLACK).await?;
        done_in_the_end(stage, &run).await?;
        let log = stage.workers[0].stderr();
        assert!(
            log.contains("was told to stop a shard, did not in time, and was killed"),
            "{log}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn child_that_says_goodbye_answers_what_it_has_and_another_is_started() -> anyhow::Result<()>
{
    play(async |stage| {
        stage.start_planner().await?;
        let worker = start_worker(stage, "leaves", &["--slots", "2"]).await?;
        let grid = "[grid]\nslices = 4\npages = { count = 10 }\ntile = 5";
        let run = super::run_job(stage, grid, &json!({"sleep_ms": 50})).await?;
        let shown = show(stage, &run).await?;
        assert_eq!(
            (&shown["state"], &shown["rows"], &shown["shards"]["retried"]),
            (&json!("succeeded"), &json!(40), &json!(0)),
            "{shown}"
        );
        eventually(SOON, "another is started", async || {
            Ok(pids(stage).len() == 2)
        })
        .await?;
        let ended = std::fs::read_to_string(stage.dir().join(format!("ended/{}", leaver(stage)?)))?;
        assert_eq!(ended, "drained\n");
        let log = stage.workers[worker].stderr();
        assert!(log.contains("a child wanted to be started anew"), "{log}");
        assert!(!log.contains("a child has ended"), "{log}");
        stage.workers[worker].terminate()?;
        assert_eq!(stage.workers[worker].wait(SOON).await?, 0);
        Ok(())
    })
    .await
}

/// The process that is no more, of two.
fn leaver(stage: &Stage) -> anyhow::Result<String> {
    let gone = pids(stage).into_iter().find(|pid| !is_alive(*pid));
    let gone = gone.ok_or_else(|| anyhow::anyhow!("both are alive"))?;
    Ok(gone.to_string())
}
