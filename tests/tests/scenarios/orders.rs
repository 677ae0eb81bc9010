//! Broker, planner and worker may start, die and start again in any order: afterwards a run succeeds, and what
//! a dead worker held starts elsewhere long before its ack deadline, also where the leader dies with it.

use std::time::{Duration, Instant};

use anyhow::Context;
use gridloom_shared::broker::topology::{self, TopologyOptions};
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::record::Record;
use gridloom_tests::oracle::ledger::Ledger;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::{eventually, eventually_some};
use serde_json::json;

const SOON: Duration = Duration::from_secs(40);
/// Far away: what starts elsewhere before it was handed back.
const DEADLINE: &[&str] = &["--ack-deadline", "30s"];
/// A lease that nobody gave up, a ground that is fresh, three probes, and a slow machine.
const MADE_GOOD: Duration = Duration::from_secs(16);
/// Long before a worker writes a registration anew that was written.
const REGISTERED: Duration = Duration::from_secs(5);
/// Shards of a run that one worker holds whole.
const HELD: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Broker,
    Planner,
    Worker,
}

use Part::{Broker, Planner, Worker};

async fn start(stage: &mut Stage, part: Part) -> anyhow::Result<()> {
    match part {
        Broker => stage.server.restart().await?,
        Planner => {
            stage.start_planner().await?;
        }
        Worker => {
            stage.start_worker(4, DEADLINE).await?;
        }
    }
    Ok(())
}

async fn kill(stage: &mut Stage, part: Part) -> anyhow::Result<()> {
    match part {
        Broker => stage.server.kill().await?,
        Planner => {
            for planner in &mut stage.planners {
                planner.kill().await?;
            }
        }
        Worker => {
            for worker in &mut stage.workers {
                worker.kill().await?;
            }
        }
    }
    Ok(())
}

/// A broker on which nothing of an installation is.
async fn empty(stage: &Stage) -> anyhow::Result<()> {
    let client = stage.server.client().await?;
    let names = client.request("$JS.API.STREAM.NAMES", "".into()).await?;
    let names: serde_json::Value = serde_json::from_slice(&names.payload)?;
    for name in names["streams"].as_array().into_iter().flatten() {
        let name = name.as_str().context("a name")?;
        client
            .request(format!("$JS.API.STREAM.DELETE.{name}"), "".into())
            .await?;
    }
    Ok(())
}

async fn long_run(stage: &mut Stage, sleep_ms: u64) -> anyhow::Result<RunId> {
    let text = format!(
        "name = \"long\"\nhandler = \"noop\"\n[grid]\nslices = {HELD}\npages = {{ count = 1 }}\ntile = 1"
    );
    // The bucket may not be there yet.
    let job = eventually_some(SOON, "the job can be applied", async || {
        Ok(stage.apply(&text).await.ok())
    })
    .await?;
    let end = Instant::now() + SOON;
    loop {
        match stage.submit(&job, &json!({ "sleep_ms": sleep_ms })).await {
            Ok(run) => return Ok(run),
            Err(error) if Instant::now() > end => return Err(error),
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// Waits until all of it is held, as the workers say.
async fn held(stage: &Stage) -> anyhow::Result<()> {
    eventually(SOON, "a worker runs its shards", async || {
        let workers = stage.cli(&["workers", "--json"], SOON).await?;
        let workers = workers.succeeded()?.json()?;
        let run = workers.as_array().into_iter().flatten();
        let run = run.filter_map(|worker| worker["in_flight"].as_u64());
        Ok(run.sum::<u64>() >= HELD as u64)
    })
    .await
}

/// Tiles of a run that were taken over so far; at first some are because nobody can tell that they are new.
async fn takeovers(stage: &Stage, run: &RunId) -> anyhow::Result<usize> {
    let ledger = Ledger::read(&stage.broker, run).await?;
    let tiles = ledger.entries.iter().map(|entry| match &entry.record {
        Some(Record::Takeover(takeover)) => takeover.tiles.len(),
        _ => 0,
    });
    Ok(tiles.sum())
}

async fn taken_over(stage: &Stage, run: &RunId, from: usize, what: &str) -> anyhow::Result<()> {
    let since = Instant::now();
    let what = format!("its shards start elsewhere: {what}");
    eventually(MADE_GOOD, &what, async || {
        Ok(takeovers(stage, run).await? >= from + HELD)
    })
    .await?;
    eprintln!("{what}: after {:?}", since.elapsed());
    Ok(())
}

async fn ends(stage: &Stage, run: &RunId, what: &str) -> anyhow::Result<()> {
    let closed = stage.closed(run, SOON).await;
    closed.with_context(|| what.to_owned())?;
    let verdict = stage.judge_ledger(run).await?.succeeded()?;
    anyhow::ensure!(verdict.audit.ok, "{what}: {:?}", verdict.audit);
    Ok(())
}

/// All parts start in this order, on a broker on which nothing is; a worker dies with the leader; then all die,
/// and start again in the same order.
async fn in_order(stage: &mut Stage, order: [Part; 3]) -> anyhow::Result<()> {
    let what = format!("{order:?}");
    kill(stage, Planner).await?;
    kill(stage, Worker).await?;
    if !stage.server.is_running()? {
        stage.server.restart().await?;
    }
    empty(stage).await?;
    stage.server.kill().await?;
    (stage.planners, stage.workers) = (Vec::new(), Vec::new());
    for part in order {
        start(stage, part).await?;
    }
    let run = long_run(stage, 12_000).await?;
    held(stage).await?;
    // Whoever comes now knows of the worker by its registration alone.
    stage.start_planner().await?;
    eventually(SOON, "a second planner stands by", async || {
        Ok(stage.planners[1].stderr().contains("planner started"))
    })
    .await?;
    stage.start_worker(4, DEADLINE).await?;
    let before = takeovers(stage, &run).await?;
    stage.planners[0].kill().await?;
    stage.workers[0].kill().await?;
    taken_over(stage, &run, before, &what).await?;
    kill(stage, Worker).await?;
    kill(stage, Planner).await?;
    stage.server.kill().await?;
    (stage.planners, stage.workers) = (Vec::new(), Vec::new());
    for part in order {
        start(stage, part).await?;
    }
    ends(stage, &run, &what).await?;
    let next = long_run(stage, 5).await?;
    ends(stage, &next, &what).await
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_comes_first() -> anyhow::Result<()> {
    play(async |stage| {
        in_order(stage, [Broker, Planner, Worker]).await?;
        in_order(stage, [Broker, Worker, Planner]).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn planner_comes_first() -> anyhow::Result<()> {
    play(async |stage| {
        in_order(stage, [Planner, Broker, Worker]).await?;
        in_order(stage, [Planner, Worker, Broker]).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_comes_first() -> anyhow::Result<()> {
    play(async |stage| {
        in_order(stage, [Worker, Broker, Planner]).await?;
        in_order(stage, [Worker, Planner, Broker]).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_could_not_register_is_registered_soon_although_nobody_calls()
-> anyhow::Result<()> {
    play(async |stage| {
        empty(stage).await?;
        start(stage, Worker).await?;
        eventually(SOON, "it finds no bucket", async || {
            let said = stage.workers[0].stderr();
            Ok(said.contains("they are not on this broker yet"))
        })
        .await?;
        topology::ensure(&stage.broker, &TopologyOptions::default()).await?;
        eventually(REGISTERED, "it is registered", async || {
            Ok(!stage.broker.workers().keys().await?.is_empty())
        })
        .await
    })
    .await
}
