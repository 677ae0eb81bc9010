//! A worker beside its likes that lacks a handler: it must not hold up what it cannot run.

use gridloom_shared::ledger::record::{Record, WorkRecord};

use super::stage::pause;
use super::*;

/// Tiles that were handed back, each time.
async fn handed_back(stage: &Stage) -> anyhow::Result<usize> {
    let records = stage.records().await?;
    let returned = records.iter().map(|(.., record)| match record {
        Record::Work(WorkRecord::Returned { tiles, .. }) => tiles.len(),
        Record::Work(_) | Record::Plan(_) | Record::Takeover(_) => 0,
    });
    Ok(returned.sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_without_the_handler_leaves_the_queue_to_those_who_have_it() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    let builder = || stage.worker().concurrency(4);
    let lacking = Running::start(builder().handler("other", async |_: Shard| Ok(())))?;
    let having = Running::start(builder().handler("h", async |_: Shard| pause(20).await))?;
    stage.wave(vec![tiles(0, 400, 1)]).await?;
    let fold = stage.until_acknowledged().await?;
    assert_eq!((fold.counts().done, fold.counts().late), (400, 0));
    let back = handed_back(&stage).await?;
    assert!(back <= 60, "{back} of 400 tiles were handed back");
    lacking.stop().await?;
    having.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_run_is_handed_back_ever_more_seldom() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    let builder = stage.worker().concurrency(4);
    let lacking = Running::start(builder.handler("other", async |_: Shard| Ok(())))?;
    stage.wave(vec![tiles(0, 4, 1)]).await?;
    eventually(SOON, "it is handed back", async || {
        Ok(handed_back(&stage).await? > 0)
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let back = handed_back(&stage).await?;
    assert!(back <= 40, "{back} tiles were handed back in four seconds");
    lacking.stop().await
}
