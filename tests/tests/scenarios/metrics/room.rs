//! Alerts of what is nearly full, and full: a stream, the account, the queue; and of an API that cannot answer.

use gridloom_cli::embedded::Options;
use gridloom_shared::broker::topology::{Kept, Size, Sizes, TopologyOptions};
use gridloom_tests::scenario::play_on;
use gridloom_tests::server::TestServer;

use super::*;
use crate::api;
use crate::bounded::{ROOM, bound, change, settings};

/// What the account may hold on file, and what a stream that is none of Gridloom's takes of it.
const ACCOUNT: u64 = 16 << 20;
const FILLER: u64 = 14 << 20;
/// A message of it.
const MESSAGE: usize = 512 << 10;
/// More tiles at once than there is room for.
const SLOTS: u32 = 600;

/// A broker whose account has a limit of its own, and streams with room in it.
async fn bounded_account() -> anyhow::Result<(TestServer, TopologyOptions)> {
    let server = TestServer::start_with(Options {
        server_config: format!(
            "accounts {{ A: {{ jetstream: {{ max_file: {ACCOUNT} }}, users: [ {{ user: \"anybody\", password: \"\" }} ] }} }}\nno_auth_user: \"anybody\""
        ),
        ..Options::default()
    });
    let sizes = Sizes::default().with(Kept::Submit, Size::Bytes(4 << 20));
    let topology = TopologyOptions {
        sizes,
        ..TopologyOptions::default()
    };
    Ok((server.await?, topology))
}

/// Fills the account by a stream of somebody else's.
async fn fill(stage: &Stage) -> anyhow::Result<()> {
    let client = stage.server.client().await?;
    let stream = json!({ "name": "filler", "subjects": ["filler"], "storage": "file" });
    let made = client.request("$JS.API.STREAM.CREATE.filler", stream.to_string().into());
    let made: Value = serde_json::from_slice(&made.await?.payload)?;
    ensure!(made["error"].is_null(), "{made}");
    for _ in 0..FILLER / MESSAGE as u64 {
        let stored = client.request("filler", vec![0; MESSAGE].into()).await?;
        let stored: Value = serde_json::from_slice(&stored.payload)?;
        ensure!(stored["error"].is_null(), "{stored}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_fire_and_clear_where_the_account_a_stream_and_the_queue_are_full()
-> anyhow::Result<()> {
    if !have_prometheus() {
        return Ok(());
    }
    let (server, topology) = bounded_account().await?;
    play_on(server, &topology, async |stage| {
        let (at_planner, at_worker) = (free_port()?, free_port()?);
        planner(stage, at_planner).await?;
        let listen = format!("127.0.0.1:{at_worker}");
        stage.start_worker(SLOTS, &["--listen", &listen]).await?;
        let prometheus = &prometheus(at_planner, at_worker).await?;
        fill(stage).await?;
        fires(prometheus, "GridloomStoreNearlyFull", "file storage").await?;
        let client = stage.server.client().await?;
        client
            .request("$JS.API.STREAM.PURGE.filler", "".into())
            .await?;
        clears(prometheus, "GridloomStoreNearlyFull").await?;

        // A claim writes the stream's settings back as it read them a moment before.
        eventually(LONG, "the planner leads", async || {
            Ok(stage.planners[0].stderr().contains("leads term"))
        })
        .await?;
        bound(stage, ROOM).await?;
        let many =
            "name = \"many\"\nhandler = \"noop\"\n[grid]\npages = { count = 1000 }\ntile = 1";
        let many = submit(stage, many, json!({ "sleep_ms": 3000 })).await?;
        fires(prometheus, "GridloomStreamNearlyFull", "Stream shards").await?;
        fires(prometheus, "GridloomNoRoom", "").await?;
        stage
            .cli(&["cancel", many.as_str()], SOON)
            .await?
            .succeeded()?;
        clears(prometheus, "GridloomNoRoom").await?;
        clears(prometheus, "GridloomStreamNearlyFull").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn alert_fires_and_clears_where_orders_over_http_cannot_be_put_on_record()
-> anyhow::Result<()> {
    if !have_prometheus() {
        return Ok(());
    }
    play(async |stage| {
        let (at_planner, at_worker) = (free_port()?, free_port()?);
        let listen = format!("127.0.0.1:{at_planner}");
        let api = api::start(stage, &["--listen", &listen]).await?;
        let prometheus = &prometheus(at_planner, at_worker).await?;
        let history = stage.broker.subjects().history();
        let before = settings(stage, &history).await?;
        // One message, and no more: each order is one.
        let mut full = before.clone();
        (full["max_msgs"], full["discard"]) = (1.into(), "new".into());
        change(stage, &history, &full).await?;
        let order = async || api.order(("DELETE", "/freeze"), None).await;
        eventually(LONG, "GridloomApiFails fires", async || {
            let (status, said) = order().await?;
            ensure!(matches!(status, 200..300 | 503), "{status} {said}");
            Ok(!prometheus.firing("GridloomApiFails").await?.is_empty())
        })
        .await?;
        fires(prometheus, "GridloomApiFails", "127.0.0.1").await?;
        change(stage, &history, &before).await?;
        ensure!(order().await?.0 < 300);
        clears(prometheus, "GridloomApiFails").await
    })
    .await
}
