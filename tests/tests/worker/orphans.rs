//! Tiles whose consumer has gone with the queue: they stay with who holds them, for as long as the ledger says so.

use std::time::{Duration, Instant};

use gridloom_shared::ledger::record::{Record, WorkRecord};
use gridloom_tests::wait::eventually;
use gridloom_worker::Shard;

use crate::COUNTED;
use crate::leases::{OTHER, endless, take_over};
use crate::stage::{Log, Running, SOON, Stage, job, pause, tiles};

const DEADLINE: Duration = Duration::from_secs(2);

/// Deletes streams as anybody does.
async fn delete(stage: &Stage, streams: &[String]) -> anyhow::Result<()> {
    let client = stage.server.client().await?;
    for stream in streams {
        let subject = format!("$JS.API.STREAM.DELETE.{stream}");
        client.request(subject, Default::default()).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tile_whose_queue_went_with_the_broker_is_held_for_many_leases() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    stage.wave(vec![tiles(0, 3, 1)]).await?;
    let log = Log::default();
    let noted = log.clone();
    let worker = stage.worker().ack_deadline(DEADLINE);
    let worker = Running::start(worker.handler("h", move |_: Shard| {
        noted.note("ran");
        pause(8_000)
    }))?;
    eventually(SOON, "all run", async || Ok(log.count("ran") == 3)).await?;
    stage.server.kill().await?;
    stage.server.restart().await?;
    eventually(SOON, "all are done", async || {
        Ok(stage.fold().await.is_ok_and(|fold| fold.counts().done == 3))
    })
    .await?;
    worker.stop().await?;
    assert_eq!(log.count("ran"), 3);
    let lost = |record: &Record| {
        matches!(
            record,
            Record::Takeover(_) | Record::Work(WorkRecord::Returned { .. })
        )
    };
    let records = stage.records().await?;
    assert!(
        !records.iter().any(|(_, _, record)| lost(record)),
        "{records:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tile_is_lost_at_the_end_of_its_lease_where_the_ledger_does_not_answer_either()
-> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    stage.wave(vec![tiles(0, 1, 1)]).await?;
    let log = Log::default();
    let worker = stage.worker().ack_deadline(DEADLINE);
    let worker = Running::start(worker.handler("h", endless(&log)))?;
    eventually(SOON, "it runs", async || Ok(log.count("started") == 1)).await?;
    let subjects = stage.broker.subjects();
    let streams = [subjects.shards().to_string(), subjects.ledger().to_string()];
    delete(&stage, &streams).await?;
    let gone = Instant::now();
    eventually(
        SOON,
        "it is stopped",
        async || Ok(log.count("stopped") == 1),
    )
    .await?;
    assert!(gone.elapsed() < DEADLINE * 2, "{:?}", gone.elapsed());
    // It could not say what it hands back.
    drop(worker);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tile_of_a_queue_that_is_gone_is_lost_to_a_takeover() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    let issued = stage.wave(vec![tiles(0, 1, 1)]).await?;
    let log = Log::default();
    let worker = stage.worker().ack_deadline(DEADLINE);
    let worker = Running::start(worker.handler("h", endless(&log)))?;
    eventually(SOON, "it runs", async || Ok(log.count("started") == 1)).await?;
    delete(&stage, &[stage.broker.subjects().shards().to_string()]).await?;
    tokio::time::sleep(DEADLINE * 2).await;
    assert_eq!(log.count("stopped"), 0, "nobody took it over");
    take_over(&stage, OTHER, issued[0].place()).await?;
    eventually(
        SOON,
        "it is stopped",
        async || Ok(log.count("stopped") == 1),
    )
    .await?;
    worker.stop().await
}
