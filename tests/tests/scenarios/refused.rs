//! The queue refuses tiles, for ever or for want of room: their run ends itself with the reason, or waits
//! and can be cancelled.

use std::time::Duration;

use anyhow::Context;
use gridloom_shared::id::RunId;
use gridloom_tests::scenario::{Stage, on_file, play, play_with};
use gridloom_tests::wait::eventually;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);

/// A run of three shards, all of them on the queue, which nobody executes.
async fn queued(stage: &mut Stage) -> anyhow::Result<RunId> {
    let job = stage
        .apply("name = \"few\"\nhandler = \"noop\"\n[grid]\npages = { count = 3 }\ntile = 1")
        .await?;
    let run = stage.submit(&job, &json!({})).await?;
    stage.queued(3, SOON).await?;
    Ok(run)
}

async fn api(stage: &Stage, call: &str, body: &Value) -> anyhow::Result<Value> {
    let client = stage.server.client().await?;
    let stream = stage.broker.subjects().shards();
    let subject = format!("$JS.API.STREAM.{call}.{stream}");
    let answer = client.request(subject, body.to_string().into()).await?;
    let answer: Value = serde_json::from_slice(&answer.payload)?;
    anyhow::ensure!(answer["error"].is_null(), "{call}: {answer}");
    Ok(answer)
}

/// Restarts the broker with another bound of its messages.
async fn restart_with_messages_of(stage: &mut Stage, most: usize) -> anyhow::Result<()> {
    stage.server.kill().await?;
    let file = stage.server.store().join("nats.conf");
    let text = std::fs::read_to_string(&file)?;
    let others = text.lines().filter(|line| !line.starts_with("max_payload"));
    let mut lines: Vec<String> = others.map(str::to_owned).collect();
    lines.push(format!("max_payload: {most}\n"));
    std::fs::write(&file, lines.join("\n"))?;
    stage.server.restart().await?;
    Ok(())
}

async fn shown(stage: &Stage, run: &RunId) -> anyhow::Result<Value> {
    let output = stage.cli(&["show", run.as_str(), "--json"], SOON).await?;
    output.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn run_whose_tiles_the_broker_can_never_take_ends_itself_and_goes_on_when_that_is_mended()
-> anyhow::Result<()> {
    // What is on the queue is to be there after a restart.
    play_with(&on_file(), async |stage| {
        stage.start_planner().await?;
        let run = queued(stage).await?;
        // Room for records of a few hundred bytes, and for no tile with its envelope.
        restart_with_messages_of(stage, 4_200).await?;
        api(stage, "PURGE", &json!({})).await?;
        stage.closed(&run, SOON).await?;
        restart_with_messages_of(stage, 1 << 20).await?;
        let ended = shown(stage, &run).await?;
        assert_eq!(ended["state"], "failed", "{ended}");
        let error = ended["error"].as_str().unwrap_or_default();
        assert!(error.contains("max_payload"), "{ended}");

        stage.start_worker(4, &[]).await?;
        let retried = stage.cli(&["retry", run.as_str()], SOON).await?;
        retried.succeeded()?;
        stage.done(&run, 3, SOON).await?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn run_that_waits_for_room_on_the_queue_can_be_cancelled() -> anyhow::Result<()> {
    play(async |stage| {
        let planner = stage.start_planner().await?;
        let first = queued(stage).await?;
        let info = api(stage, "INFO", &json!({})).await?;
        let mut config = info["config"].clone();
        // Room for the term register to be written again, as it is when an answer to tiles was lost, and not
        // for the tiles of a run.
        let stored = info["state"]["bytes"].as_u64().context("bytes")?;
        config["max_bytes"] = (stored + 500).into();
        api(stage, "UPDATE", &config).await?;
        let job = first.job().parse()?;
        let second = stage.submit(&job, &json!({})).await?;
        let log = &stage.planners[planner];
        eventually(SOON, "the queue takes no tiles", async || {
            Ok(log.stderr().contains("the queue takes no tiles"))
        })
        .await?;
        stage
            .cli(&["cancel", second.as_str()], SOON)
            .await?
            .succeeded()?;
        stage.closed(&second, SOON).await?;
        assert_eq!(shown(stage, &second).await?["state"], "cancelled");

        // There is room again, and the first run goes on as if nothing had been.
        api(stage, "UPDATE", &info["config"]).await?;
        stage.start_worker(4, &[]).await?;
        stage.done(&first, 3, SOON).await?;
        Ok(())
    })
    .await
}
