//! Tiles that a newer build issued, or whose run one opened: they wait on the queue, and nothing waits behind them.

use std::time::Duration;

use bytes::Bytes;
use gridloom_shared::ledger::record::{Author, Record, WorkRecord};
use gridloom_shared::wire;
use gridloom_tests::wait::eventually;
use gridloom_worker::Shard;

use super::COUNTED;
use super::stage::{Running, SOON, Stage, job, tiles};

/// What these bytes would be if a build of a version far away had written them.
fn newer(record: &Bytes) -> Bytes {
    let mut record = record.to_vec();
    record[3] = 9;
    record.into()
}

/// Nothing was taken for nonsense.
async fn no_dead_letters(stage: &Stage) -> anyhow::Result<()> {
    let subjects = stage.broker.subjects();
    let history = subjects.history();
    let recorded = stage.broker.read(&history, subjects.unreadable(), 1, None);
    let recorded = recorded.await?;
    assert!(recorded.is_empty(), "{recorded:?}");
    Ok(())
}

/// Waits until something of the lane was delivered again.
async fn delivered_again(stage: &Stage) -> anyhow::Result<()> {
    eventually(SOON, "it comes again", async || {
        let lanes = stage.broker.lanes().await?;
        let lane = lanes.get(&stage.lane);
        Ok(lane.is_some_and(|lane| lane.standing.redelivered > 0))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_tile_waits_on_the_queue_and_holds_up_none_that_can_be_read() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    let good = stage.wave(vec![tiles(0, 1, 1)]).await?.remove(0);
    let other = newer(&wire::encode(&good));
    stage.empty_queue().await?;
    let subject = stage.broker.subjects().shard(&stage.lane, &stage.run);
    stage.broker.append(subject, other, None).await?;
    stage.publish(&[good]).await?;
    let worker = Running::start(stage.worker().handler("h", async |_: Shard| Ok(())))?;
    eventually(SOON, "the other tile is done", async || {
        let done = stage.fold().await?.counts().done;
        Ok(done == 1 && stage.queued().await? == 1)
    })
    .await?;
    worker.stop().await?;
    no_dead_letters(&stage).await?;
    assert_eq!(stage.queued().await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_newer_tiles_hold_up_none_of_the_five_behind_them() -> anyhow::Result<()> {
    const NEWER: u64 = 200;
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    let good = stage.wave(vec![tiles(0, 5, 1)]).await?;
    let other = newer(&wire::encode(&good[0]));
    stage.empty_queue().await?;
    let subject = stage.broker.subjects().shard(&stage.lane, &stage.run);
    for _ in 0..NEWER {
        let sent = stage.broker.append(subject.clone(), other.clone(), None);
        sent.await?;
    }
    stage.publish(&good).await?;
    let worker = stage.worker().concurrency(8);
    let worker = Running::start(worker.handler("h", async |_: Shard| Ok(())))?;
    // Newer ones alone come back for ever where each is put off for as long as the time before.
    let long = Duration::from_secs(120);
    eventually(long, "what can be read is done", async || {
        let done = stage.fold().await?.counts().done;
        Ok(done == 5 && stage.queued().await? == NEWER)
    })
    .await?;
    worker.stop().await?;
    no_dead_letters(&stage).await?;
    assert_eq!(stage.queued().await?, NEWER);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tile_that_can_be_read_waits_where_a_newer_build_opened_its_run() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    stage
        .open_run_of(job(1, COUNTED)?, 8, |record| newer(&record))
        .await?;
    stage.wave(vec![tiles(0, 1, 1)]).await?;
    let worker = Running::start(stage.worker().handler("h", async |_: Shard| Ok(())))?;
    delivered_again(&stage).await?;
    worker.stop().await?;
    no_dead_letters(&stage).await?;
    // Nothing was said of it but that it was handed back, where it had just come, and it is there for whoever reads
    // what its run is.
    let subjects = stage.broker.subjects();
    for author in [Author::Work, Author::Takeover] {
        let of_all = subjects.ledgers_by(author);
        let ledger = subjects.ledger();
        for record in stage.broker.read(&ledger, of_all, 1, None).await? {
            let said = Record::decode(author, &record.payload)?;
            let is_back = matches!(said, Record::Work(WorkRecord::Returned { .. }));
            assert!(is_back, "{said:?}");
        }
    }
    assert_eq!(stage.queued().await?, 1);
    Ok(())
}
