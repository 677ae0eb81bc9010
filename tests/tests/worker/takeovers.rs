//! What a takeover asks of the broker. Asked for a run, the broker looks through all that stands between, and writes
//! nothing meanwhile: when all tiles of an outage are taken over at once, it does nothing else, and more are lost.

use std::time::Duration;

use gridloom_shared::id::RunId;
use gridloom_shared::ledger::record::Author;
use gridloom_shared::tile::Tile;
use gridloom_tests::proxy::{Mode, Proxy};
use gridloom_tests::questions::{Questions, is_broad};
use gridloom_worker::Shard;

use crate::COUNTED;
use crate::leases::die_after_one_page;
use crate::stage::{Log, Running, SOON, Stage, job, tiles};

#[tokio::test(flavor = "multi_thread")]
async fn takeover_asks_for_nothing_but_subjects_of_its_run() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    stage.wave(vec![tiles(0, 1, 4)]).await?;
    die_after_one_page(&stage, Duration::from_secs(1)).await?;
    let subjects = stage.broker.subjects();
    for number in 0..200 {
        let other = RunId::new(format!("job_s_9{number}"))?;
        let subject = subjects.ledger_of(&stage.queue, &other, Author::Work);
        stage.broker.append(subject, "x".into(), None).await?;
    }
    let mut questions = Questions::listen(&stage.broker).await?;
    let log = Log::default();
    let noted = log.clone();
    let worker = Running::start(stage.worker().handler("h", move |shard: Shard| {
        noted.note(shard.page().number.to_string());
        std::future::ready(Ok(()))
    }))?;
    log.until("3").await?;
    let asked = questions.so_far().await?;
    let fold = stage.until_acknowledged().await?;
    worker.stop().await?;
    assert_eq!(log.all(), ["1", "2", "3"]);
    assert_eq!((fold.counts().done, fold.counts().late), (4, 0));
    assert!(!asked.iter().any(is_broad), "{asked:?}");
    let ends = asked.iter().filter(|asked| !asked["multi_last"].is_null());
    assert_eq!(ends.count(), 1, "{asked:?}");
    // The run's first record, what both end with, and both.
    assert!(asked.len() <= 4, "{asked:?}");
    Ok(())
}

/// A run may be over, and removed, while a worker that was frozen had just taken one of its tiles over. The broker answers
/// its renewals all the same.
#[tokio::test(flavor = "multi_thread")]
async fn tile_of_a_run_that_was_purged_while_it_was_taken_over_keeps_no_slot() -> anyhow::Result<()>
{
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    stage.wave(vec![tiles(0, 1, 1)]).await?;
    die_after_one_page(&stage, Duration::from_secs(1)).await?;
    let proxy = Proxy::start(stage.server.port()).await?;
    // Asked for only once its takeover is on record.
    proxy.set(Mode::StallAt(&["multi_last"]));
    let log = Log::default();
    let noted = log.clone();
    let worker = stage.worker().nats(proxy.url()).concurrency(1);
    let worker = Running::start(worker.handler("h", move |_: Shard| {
        noted.note("ran");
        std::future::ready(Ok(()))
    }))?;
    proxy.stalled(SOON).await?;
    let (subjects, ledger) = (stage.broker.subjects(), stage.broker.subjects().ledger());
    for author in [Author::Takeover, Author::Work, Author::Plan] {
        let records = subjects.ledger_of(&stage.queue, &stage.run, author);
        stage.broker.purge(&ledger, &records, 0).await?;
    }
    stage.empty_queue().await?;
    stage.open_run(job(1, COUNTED)?, 8).await?;
    stage.wave(vec![tiles(0, 1, 1)]).await?;
    proxy.set(Mode::Pass);
    stage.until_acknowledged().await?;
    worker.stop().await?;
    assert_eq!(log.count("ran"), 1);
    Ok(())
}

/// A worker that was frozen may read a tile, which had come to it again, when others have done it and its run was removed.
/// Nothing in the ledger says then that it was done.
#[tokio::test(flavor = "multi_thread")]
async fn tile_that_comes_again_when_its_run_was_purged_is_not_run() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    let issued = stage.wave(vec![tiles(0, 1, 1)]).await?;
    die_after_one_page(&stage, Duration::from_secs(1)).await?;
    stage.empty_queue().await?;
    let (subjects, ledger) = (stage.broker.subjects(), stage.broker.subjects().ledger());
    let opened = subjects.ledger_of(&stage.queue, &stage.run, Author::Plan);
    let opened = stage.broker.first(&ledger, &opened).await?;
    for author in [Author::Takeover, Author::Work, Author::Plan] {
        let records = subjects.ledger_of(&stage.queue, &stage.run, author);
        stage.broker.purge(&ledger, &records, 0).await?;
    }
    // Small runs' tiles carry the first record along.
    let again: Vec<Tile> = issued
        .into_iter()
        .map(|tile| Tile {
            again: true,
            frozen: opened.as_ref().map(|opened| opened.payload.clone()),
            ..tile
        })
        .collect();
    stage.publish(&again).await?;
    let log = Log::default();
    let noted = log.clone();
    let worker = stage.worker().concurrency(1);
    let worker = Running::start(worker.handler("h", move |shard: Shard| {
        noted.note(shard.run().to_string());
        std::future::ready(Ok(()))
    }))?;
    let run = stage.run.to_string();
    stage.open_run(job(1, COUNTED)?, 8).await?;
    stage.wave(vec![tiles(0, 1, 1)]).await?;
    log.until(stage.run.as_str()).await?;
    worker.stop().await?;
    assert_eq!(log.count(&run), 0);
    Ok(())
}
