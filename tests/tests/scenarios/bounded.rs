//! A queue that holds as much as it may: the planner waits for room and says so, nothing is lost, and nothing more is
//! decided meanwhile than what waits.

use std::time::Duration;

use gridloom_shared::broker::subjects::StreamName;
use gridloom_shared::broker::topology::TopologyOptions;
use gridloom_shared::id::RunId;
use gridloom_tests::cluster::{Cluster, MEMBERS};
use gridloom_tests::http::get;
use gridloom_tests::scenario::{Stage, on_file, play, play_on, play_with};
use gridloom_tests::wait::{eventually, eventually_some};
use serde_json::{Value, json};

const LONG: Duration = Duration::from_secs(120);
const SOON: Duration = Duration::from_secs(30);
/// Room for some two hundred tiles.
pub(crate) const ROOM: u64 = 32 << 10;
/// Tiles that the worker runs at once: more than there is room for.
const SLOTS: u32 = 600;

/// What is to go through the queue.
struct Load {
    /// Copies of the queue.
    copies: usize,
    /// Tiles of each run.
    tiles: u32,
    /// How long each of them takes.
    sleep_ms: u64,
    /// Runs, submitted together once the queue is full.
    runs: usize,
}

/// A run that is much larger than the room.
const LARGE: Load = Load {
    copies: 1,
    tiles: 1_000,
    sleep_ms: 1_000,
    runs: 1,
};

/// Several runs each of which has room alone: on a cluster a wave is stored whole or not at all.
const SEVERAL: Load = Load {
    copies: MEMBERS,
    tiles: 100,
    sleep_ms: 3_000,
    runs: 6,
};

async fn api(
    stage: &Stage,
    call: &str,
    stream: &StreamName,
    body: &Value,
) -> anyhow::Result<Value> {
    let client = stage.server.client().await?;
    let subject = format!("$JS.API.STREAM.{call}.{stream}");
    let answer = client.request(subject, body.to_string().into()).await?;
    let answer: Value = serde_json::from_slice(&answer.payload)?;
    anyhow::ensure!(answer["error"].is_null(), "{call}: {answer}");
    Ok(answer)
}

/// The settings of a stream.
pub(crate) async fn settings(stage: &Stage, stream: &StreamName) -> anyhow::Result<Value> {
    Ok(api(stage, "INFO", stream, &json!({})).await?["config"].clone())
}

/// Has a stream these settings from now on.
pub(crate) async fn change(
    stage: &Stage,
    stream: &StreamName,
    settings: &Value,
) -> anyhow::Result<()> {
    api(stage, "UPDATE", stream, settings).await.map(drop)
}

/// Has the queue room for so many bytes.
pub(crate) async fn bound(stage: &Stage, most: u64) -> anyhow::Result<()> {
    let shards = stage.broker.subjects().shards();
    let mut config = settings(stage, &shards).await?;
    config["max_bytes"] = most.into();
    change(stage, &shards, &config).await
}

/// Starts a planner and says where its metrics are.
async fn planner(stage: &mut Stage, copies: usize) -> anyhow::Result<String> {
    let planner = stage.gridloom(&["planner", "--listen", "127.0.0.1:0"])?;
    let planner = planner.env("GRIDLOOM_QUEUE_REPLICAS", copies.to_string());
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

async fn full_queue(stage: &mut Stage, load: &Load) -> anyhow::Result<()> {
    let address = planner(stage, load.copies).await?;
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
        "name = \"many\"\nhandler = \"noop\"\n[grid]\nslices = 1\npages = {{ count = {} }}\ntile = 1",
        load.tiles
    );
    let job = stage.apply(&text).await?;
    let mut runs = Vec::new();
    for _ in 0..load.runs {
        let params = json!({ "sleep_ms": load.sleep_ms });
        runs.push(stage.submit(&job, &params).await?);
    }
    eventually(SOON, "show says what one of them waits for", async || {
        for run in &runs {
            if shown(stage, run).await?.contains("the queue has no room") {
                return Ok(true);
            }
        }
        Ok(false)
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
    runs.push(stage.submit(&job, &json!({"sleep_ms": 1})).await?);
    for run in &runs {
        stage.closed(run, LONG).await?;
    }
    for run in &runs {
        let verdict = stage.judge(run).await?.succeeded()?;
        assert_eq!(verdict.summary.shards.done, u64::from(load.tiles));
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
    play(async |stage| full_queue(stage, &LARGE).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_with_the_queue_on_file() -> anyhow::Result<()> {
    play_with(&on_file(), async |stage| full_queue(stage, &LARGE).await).await
}

/// On a cluster waves are atomic batches: one for which there is no room is refused whole, and tried again each second.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_on_three_brokers() -> anyhow::Result<()> {
    let mut cluster = Box::pin(Cluster::start()).await?;
    // All speak to one of them; the others have their copies.
    let first = cluster.members.remove(0);
    let topology = TopologyOptions {
        replicas: MEMBERS,
        ..TopologyOptions::default()
    };
    play_on(first, &topology, async |stage| {
        full_queue(stage, &SEVERAL).await
    })
    .await
}
