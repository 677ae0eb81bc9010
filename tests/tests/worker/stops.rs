//! What ends: the worker when it is told to stop, its consumer, the broker.

use std::time::{Duration, Instant};

use anyhow::ensure;
use gridloom_shared::broker::topology::consumers::{AckDeadline, ensure_lane};
use gridloom_tests::wait::eventually;
use gridloom_worker::Shard;

use crate::COUNTED;
use crate::stage::{Log, Running, SOON, Stage, job, pause, tiles};

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_is_told_to_stop_finishes_what_runs() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    stage.wave(vec![tiles(0, 8, 1)]).await?;
    let log = Log::default();
    let noted = log.clone();
    let slow = move |_: Shard| {
        noted.note("started");
        pause(300)
    };
    let worker = Running::start(stage.worker().concurrency(2).handler("h", slow))?;
    eventually(
        SOON,
        "two tiles run",
        async || Ok(log.count("started") >= 2),
    )
    .await?;
    worker.stop().await?;
    let fold = stage.fold().await?;
    assert_eq!(fold.counts().done, log.count("started") as u64);
    assert_eq!(stage.queued().await?, 8 - fold.counts().done);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_outlasts_the_grace_is_handed_back_and_taken_up_at_once() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    stage.wave(vec![tiles(0, 3, 2)]).await?;
    let log = Log::default();
    let first = stage
        .worker()
        .grace(Duration::from_millis(100))
        .concurrency(3);
    let noted = log.clone();
    let first = Running::start(first.handler("h", move |shard: Shard| {
        let log = noted.clone();
        async move {
            if shard.page().number % 2 == 1 {
                log.note("started");
                shard.cancelled().await;
            }
            shard.check()
        }
    }))?;
    eventually(SOON, "all run", async || Ok(log.count("started") == 3)).await?;
    first.stop().await?;
    assert_eq!(stage.returned().await?, 3);
    let pages = Log::default();
    let noted = pages.clone();
    let begun = Instant::now();
    let second = Running::start(stage.worker().handler("h", move |shard: Shard| {
        noted.note(shard.page().number.to_string());
        std::future::ready(Ok(()))
    }))?;
    let fold = stage.until_acknowledged().await?;
    ensure!(
        begun.elapsed() < Duration::from_secs(10),
        "waited for the ack deadline"
    );
    second.stop().await?;
    let mut pages = pages.all();
    pages.sort();
    assert_eq!(pages, ["1", "3", "5"]);
    assert_eq!((fold.counts().done, fold.counts().late), (6, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_lives_on_when_its_consumer_is_deleted_and_when_the_broker_restarts()
-> anyhow::Result<()> {
    let mut stage = Stage::open_on_file(job(3, COUNTED)?).await?;
    stage.wave(vec![tiles(0, 50, 1)]).await?;
    let slow = async |_: Shard| pause(5).await;
    let worker = Running::start(
        stage
            .worker()
            .ack_deadline(Duration::from_secs(2))
            .handler("h", slow),
    )?;
    stage.until_acknowledged().await?;
    let consumer = ensure_lane(&stage.broker, &stage.lane, AckDeadline::AsIs).await?;
    let client = stage.server.client().await?;
    let deletion = format!(
        "$JS.API.CONSUMER.DELETE.{}.{}",
        stage.broker.subjects().shards(),
        consumer.name
    );
    client.request(deletion, Default::default()).await?;
    stage.wave(vec![tiles(1, 50, 1)]).await?;
    stage.until_acknowledged().await?;
    stage.wave(vec![tiles(2, 200, 1)]).await?;
    stage.server.kill().await?;
    stage.server.restart().await?;
    eventually(SOON, "the broker answers", async || {
        Ok(stage.queued().await.is_ok())
    })
    .await?;
    let fold = stage.until_acknowledged().await?;
    worker.stop().await?;
    assert_eq!((fold.counts().done, fold.counts().late), (300, 0));
    Ok(())
}
