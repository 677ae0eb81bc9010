//! The queue is disposable: purged, deleted, rolled back, in memory, without its consumer. It is
//! filled again from the ledger, and the run ends with a clean audit. The ledger is not.

use std::time::Duration;

use anyhow::Context;
use gridloom_shared::command::Broadcast;
use gridloom_shared::id::RunId;
use gridloom_shared::wire;
use gridloom_tests::scenario::{Stage, on_file, play, play_with};
use gridloom_tests::server::copy;
use gridloom_tests::wait::eventually;
use serde_json::{Value, json};

const LONG: Duration = Duration::from_secs(90);
const SOON: Duration = Duration::from_secs(30);
/// Shards of [`begun`].
const SHARDS: u64 = 800;

/// A run with a tenth of its shards done: some are on the queue, some are held, most are not issued.
async fn begun(stage: &mut Stage) -> anyhow::Result<RunId> {
    let job = stage
        .apply("name = \"steady\"\nhandler = \"noop\"\n[grid]\nslices = 4\npages = { count = 200 }\ntile = 4")
        .await?;
    let run = stage.submit(&job, &json!({"sleep_ms": 10})).await?;
    stage.done(&run, SHARDS / 10, SOON).await?;
    Ok(run)
}

/// A run all of whose shards are issued, and held or on the queue.
async fn all_issued(stage: &mut Stage) -> anyhow::Result<RunId> {
    let job = stage
        .apply("name = \"few\"\nhandler = \"noop\"\n[grid]\nslices = 1\npages = { count = 12 }\ntile = 1")
        .await?;
    let run = stage.submit(&job, &json!({"sleep_ms": 3_000})).await?;
    stage.queued(12, SOON).await?;
    Ok(run)
}

async fn api(stage: &Stage, call: &str, body: &Value) -> anyhow::Result<Value> {
    let client = stage.server.client().await?;
    let subject = format!("$JS.API.{call}");
    let answer = client.request(subject, body.to_string().into()).await?;
    let answer: Value = serde_json::from_slice(&answer.payload)?;
    anyhow::ensure!(answer["error"].is_null(), "{call}: {answer}");
    Ok(answer)
}

async fn closed_clean(stage: &Stage, run: &RunId) -> anyhow::Result<()> {
    stage.closed(run, LONG).await?;
    let verdict = stage.judge_ledger(run).await?.succeeded()?;
    anyhow::ensure!(verdict.audit.ok, "{:?}", verdict.audit);
    Ok(())
}

/// Deletes the stream of the queue.
async fn delete_queue(stage: &Stage) -> anyhow::Result<()> {
    let shards = stage.broker.subjects().shards();
    api(stage, &format!("STREAM.DELETE.{shards}"), &json!({})).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn purged_queue_is_filled_again() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(2).await?;
        let run = begun(stage).await?;
        let shards = stage.broker.subjects().shards();
        for done in [80, 300] {
            stage.done(&run, done, LONG).await?;
            api(stage, &format!("STREAM.PURGE.{shards}"), &json!({})).await?;
        }
        stage.closed(&run, LONG).await?;
        // Nothing of what was stored before or after went unseen.
        stage.judge(&run).await?.succeeded()?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_queue_is_made_and_filled_again() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(2).await?;
        let run = begun(stage).await?;
        for done in [80, 300] {
            stage.done(&run, done, LONG).await?;
            delete_queue(stage).await?;
        }
        closed_clean(stage, &run).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_deleted_when_nothing_is_left_to_issue_is_made_and_filled_again() -> anyhow::Result<()>
{
    play(async |stage| {
        stage.start_all(1).await?;
        let run = all_issued(stage).await?;
        let broadcast = stage.broker.subjects().broadcast();
        let mut told = stage.broker.subscribe(broadcast).await?;
        delete_queue(stage).await?;
        // Whoever waits for the queue need not find out by himself.
        let made = async {
            while let Some(message) = told.next().await {
                if let Ok(Broadcast::QueueMade {}) = wire::decode(&message.payload) {
                    return Ok(());
                }
            }
            anyhow::bail!("the connection is closed")
        };
        tokio::time::timeout(SOON, made)
            .await
            .context("hear that the queue is there again")??;
        closed_clean(stage, &run).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_deleted_while_no_planner_lives_is_made_and_filled_by_the_next() -> anyhow::Result<()>
{
    play(async |stage| {
        stage.start_all(1).await?;
        let run = all_issued(stage).await?;
        // The other is a standby: it has looked at the streams already.
        stage.start_planner().await?;
        stage.planners[0].kill().await?;
        delete_queue(stage).await?;
        closed_clean(stage, &run).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_consumer_is_made_again_under_another_name() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(2).await?;
        let run = begun(stage).await?;
        let shards = stage.broker.subjects().shards();
        let mut names = Vec::new();
        for done in [80, 300] {
            stage.done(&run, done, LONG).await?;
            let answer = api(stage, &format!("CONSUMER.NAMES.{shards}"), &json!({})).await?;
            let all = answer["consumers"].as_array().context("consumers")?;
            let mut all = all.iter().filter_map(|name| name.as_str());
            let name = all.rfind(|name| name.starts_with("default_noop-"));
            let name = name.context("a consumer")?.to_owned();
            anyhow::ensure!(!names.contains(&name), "{name} is used again");
            api(
                stage,
                &format!("CONSUMER.DELETE.{shards}.{name}"),
                &json!({}),
            )
            .await?;
            names.push(name);
        }
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_rolled_back_to_an_older_store_repeats_nothing_that_was_committed()
-> anyhow::Result<()> {
    play_with(&on_file(), async |stage| {
        stage.start_all(2).await?;
        let run = begun(stage).await?;
        let store = stage.server.store().join("jetstream/$G/streams");
        let queue = store.join(stage.broker.subjects().shards().as_str());
        let older = stage.dir().join("older");
        stage.server.kill().await?;
        copy(&queue, &older)?;
        stage.server.restart().await?;
        stage.done(&run, SHARDS / 2, LONG).await?;
        stage.server.kill().await?;
        std::fs::remove_dir_all(&queue)?;
        copy(&older, &queue)?;
        stage.server.restart().await?;
        closed_clean(stage, &run).await
    })
    .await
}

/// A run over which the broker is killed and restarted twice.
async fn restarts(stage: &mut Stage) -> anyhow::Result<()> {
    for _ in 0..2 {
        stage.start_planner().await?;
        stage.start_worker(4, &[]).await?;
    }
    let run = begun(stage).await?;
    for done in [80, 300] {
        stage.done(&run, done, LONG).await?;
        stage.server.kill().await?;
        stage.server.restart().await?;
    }
    stage.closed(&run, LONG).await?;
    stage.judge(&run).await?.succeeded()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_in_memory_is_filled_again_after_the_broker_restarts() -> anyhow::Result<()> {
    play(restarts).await
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_on_file_is_there_after_the_broker_restarts() -> anyhow::Result<()> {
    play_with(&on_file(), restarts).await
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_ledger_is_told_and_nobody_dies_of_it() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        let run = begun(stage).await?;
        let ledger = stage.broker.subjects().ledger();
        api(stage, &format!("STREAM.DELETE.{ledger}"), &json!({})).await?;
        eventually(LONG, "the planner says so", async || {
            // Whoever notices it first: who reads it, or who looks after the streams.
            let said = stage.planners[0].stderr();
            Ok(said.contains("the ledger was lost") || said.contains("the ledger is another"))
        })
        .await?;
        let show = stage.cli(&["show", run.as_str(), "--json"], SOON).await?;
        anyhow::ensure!(show.code == 1 || show.code == 2, "{show:?}");
        anyhow::ensure!(stage.planners[0].is_running()?, "the planner ended");
        anyhow::ensure!(stage.workers[0].is_running()?, "the worker ended");
        Ok(())
    })
    .await
}
