//! A queue that holds as much as it may: the planner waits for room and says so, nothing is lost, and nothing more is
//! decided meanwhile than what waits.

use std::time::Duration;

use gridloom_shared::id::RunId;
use gridloom_tests::http::get;
use gridloom_tests::scenario::{Stage, on_file, play, play_with};
use gridloom_tests::wait::{eventually, eventually_some};
use serde_json::{Value, json};

const LONG: Duration = Duration::from_secs(120);
const SOON: Duration = Duration::from_secs(30);
/// Room for some two hundred tiles.
const ROOM: u64 = 32 << 10;
/// Tiles of the run; each of the worker's slots is one.
const TILES: u32 = 1_000;
const SLOTS: u32 = 600;

async fn api(stage: &Stage, call: &str, body: &Value) -> anyhow::Result<Value> {
    let client = stage.server.client().await?;
    let stream = stage.broker.subjects().shards();
    let subject = format!("$JS.API.STREAM.{call}.{stream}");
    let answer = client.request(subject, body.to_string().into()).await?;
    let answer: Value = serde_json::from_slice(&answer.payload)?;
    anyhow::ensure!(answer["error"].is_null(), "{call}: {answer}");
    Ok(answer)
}

async fn bound(stage: &Stage, most: u64) -> anyhow::Result<()> {
    let info = api(stage, "INFO", &json!({})).await?;
    let mut config = info["config"].clone();
    config["max_bytes"] = most.into();
    api(stage, "UPDATE", &config).await?;
    Ok(())
}

/// Starts a planner and says where its metrics are.
async fn planner(stage: &mut Stage) -> anyhow::Result<String> {
    let planner = stage.gridloom(&["planner", "--listen", "127.0.0.1:0"])?;
    stage.planners.push(planner.start().await?);
    eventually_some(SOON, "it says where its endpoints are", async || {
        let log = stage.planners[0].stderr();
        let from = log.split("http://").nth(1);
        Ok(from.and_then(|rest| Some(rest.split('/').next()?.to_owned())))
    })
    .await
}

async fn shown(stage: &Stage, run: &RunId) -> anyhow::Result<String> {
    Ok(stage.cli(&["show", run.as_str()], SOON).await?.stdout)
}

async fn full_queue(stage: &mut Stage) -> anyhow::Result<()> {
    let address = planner(stage).await?;
    // A claim writes the stream's settings back as it read them a moment before.
    eventually(SOON, "the planner leads", async || {
        Ok(stage.planners[0].stderr().contains("leads term"))
    })
    .await?;
    bound(stage, ROOM).await?;
    let slots = SLOTS.to_string();
    let worker = stage.gridloom(&["worker", "--concurrency", &slots])?;
    stage.workers.push(worker.start().await?);
    let text = format!(
        "name = \"many\"\nhandler = \"noop\"\n[grid]\nslices = 1\npages = {{ count = {TILES} }}\ntile = 1"
    );
    let job = stage.apply(&text).await?;
    let run = stage.submit(&job, &json!({"sleep_ms": 1_000})).await?;
    eventually(SOON, "show says what it waits for", async || {
        Ok(shown(stage, &run).await?.contains("the queue has no room"))
    })
    .await?;
    eventually(SOON, "so do doctor and the metrics", async || {
        let doctor = stage.cli(&["doctor"], SOON).await?;
        let metrics = get(&address, "/metrics").await?;
        let said = doctor.stdout.contains("waits for room") && doctor.code == 1;
        Ok(said && metrics.contains("gridloom_queue_full 1"))
    })
    .await?;
    // Other runs wait with it, and nothing is decided that cannot be put on the queue.
    let other = stage.submit(&job, &json!({"sleep_ms": 1})).await?;
    stage.closed(&run, LONG).await?;
    stage.closed(&other, LONG).await?;
    for run in [&run, &other] {
        let verdict = stage.judge(run).await?.succeeded()?;
        assert_eq!(verdict.summary.shards.done, u64::from(TILES));
        assert_eq!(verdict.audit.repeated, 0);
    }
    eventually(SOON, "there is room again", async || {
        let metrics = get(&address, "/metrics").await?;
        Ok(metrics.contains("gridloom_queue_full 0"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn planner_waits_for_room_on_a_full_queue_and_says_so() -> anyhow::Result<()> {
    play(full_queue).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_with_the_queue_on_file() -> anyhow::Result<()> {
    play_with(&on_file(), full_queue).await
}
