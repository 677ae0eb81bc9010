//! The worker of `failover`: its handler says when it began, and then sleeps until its round is over.

use std::time::Duration;

use async_nats::Subscriber;
use futures_util::StreamExt;
use gridloom_shared::clock::Boot;
use gridloom_worker::{Failure, Shard, Worker};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::stack::{NAMESPACE, QUEUE};

/// The handler's name.
pub(crate) const HANDLER: &str = "nap";
/// Where starts are said.
pub(crate) const STARTS: &str = "nap.starts";
/// Where the end of a round is said: its number.
pub(crate) const OVER: &str = "nap.over";
/// Tiles at once: any one worker could run all shards of a round.
const CONCURRENCY: u32 = super::SHARDS;
/// Far away.
const ACK_DEADLINE: Duration = Duration::from_secs(30);
/// A nap ends only with its round: what runs at the order to stop is handed back.
const GRACE: Duration = Duration::from_millis(50);

/// A shard's start.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    /// The worker's process.
    pub(crate) process: u32,
    /// The round that it belongs to.
    pub(crate) round: u64,
    /// Which shard.
    pub(crate) slice: u32,
    /// When, on the boot clock.
    pub(crate) at_ns: u64,
}

#[derive(Deserialize)]
struct Params {
    round: u64,
}

/// Works until it is stopped.
pub(crate) async fn serve(url: &str) -> anyhow::Result<()> {
    let client = async_nats::connect(url).await?;
    let over = client.subscribe(OVER).await?;
    let (ended, rounds) = watch::channel(0);
    tokio::spawn(listen(over, ended));
    let handler = move |shard: Shard| nap(shard, client.clone(), rounds.clone());
    let worker = Worker::builder()
        .nats(url)
        .namespace(NAMESPACE)
        .queue(QUEUE)
        .ack_deadline(ACK_DEADLINE)
        .grace(GRACE)
        .concurrency(CONCURRENCY);
    worker.handler(HANDLER, handler).run().await?;
    Ok(())
}

async fn listen(mut over: Subscriber, ended: watch::Sender<u64>) {
    while let Some(message) = over.next().await {
        let round = std::str::from_utf8(&message.payload)
            .ok()
            .and_then(|text| text.parse::<u64>().ok());
        if let Some(round) = round {
            ended.send_replace(round);
        }
    }
}

async fn nap(
    shard: Shard,
    client: async_nats::Client,
    mut rounds: watch::Receiver<u64>,
) -> Result<(), Failure> {
    let params: Params = shard.params()?;
    let start = Start {
        process: std::process::id(),
        round: params.round,
        slice: shard.slice(),
        at_ns: u64::try_from(Boot::now().0.as_nanos()).unwrap_or(u64::MAX),
    };
    let body = serde_json::to_vec(&start).map_err(Failure::permanent)?;
    client
        .publish(STARTS, body.into())
        .await
        .map_err(Failure::retry)?;
    rounds
        .wait_for(|ended| *ended >= params.round)
        .await
        .map_err(Failure::retry)?;
    Ok(())
}
