//! The workers of `lanes`, as many in one process as are asked for; each is a worker as any other.

use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_worker::{Failure, Shard, Worker};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::args::LaneChild;
use crate::stack::{NAMESPACE, QUEUE};

/// The handler that only some have.
pub(super) const SPECIAL: &str = "special";
/// Where starts are told.
pub(super) const STARTS: &str = "lanes.starts";

/// A shard's start.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) number: u64,
    pub(super) waited_ns: u64,
}

/// What a run says.
#[derive(Deserialize)]
struct Params {
    #[serde(default)]
    number: Option<u64>,
    #[serde(default)]
    sent_ns: u64,
    #[serde(default)]
    sleep_ms: u64,
}

/// The name of a handler.
pub(super) fn handler(number: u32) -> String {
    format!("h{number}")
}

/// Slots of a worker.
pub(super) fn slots(number: u32) -> u32 {
    1 + number % 4
}

/// Works until the broker is gone.
pub(crate) async fn serve(child: &LaneChild) -> anyhow::Result<()> {
    let client = async_nats::connect(child.nats.split(',').next().unwrap_or_default()).await?;
    let mut workers = JoinSet::new();
    for number in child.first..child.first + child.count {
        let mut worker = Worker::builder()
            .nats(&child.nats)
            .namespace(NAMESPACE)
            .queue(QUEUE)
            .name(format!("lanes-{number}"))
            .concurrency(slots(number))
            .ignore_signals();
        let mut names: Vec<String> = (0..child.handlers).map(handler).collect();
        if number < child.special {
            names.push(SPECIAL.to_owned());
        }
        for name in names {
            let client = client.clone();
            worker = worker.handler(name, move |shard| execute(shard, client.clone()));
        }
        workers.spawn(worker.run());
    }
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    Ok(())
}

async fn execute(shard: Shard, client: async_nats::Client) -> Result<(), Failure> {
    let began = Boot::now();
    let params: Params = shard.params()?;
    if let Some(number) = params.number {
        let waited = began.since(Boot(Duration::from_nanos(params.sent_ns)));
        let start = Start {
            number,
            waited_ns: u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX),
        };
        let told = serde_json::to_vec(&start).map_err(Failure::permanent)?;
        let told = client.publish(STARTS, told.into()).await;
        told.map_err(Failure::retry)?;
    }
    if params.sleep_ms > 0 {
        tokio::time::sleep(Duration::from_millis(params.sleep_ms)).await;
    }
    Ok(())
}
