//! Who holds a tile: takeovers, renewals, adoption.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use gridloom_shared::broker::pull::{Patience, PullEvent, Puller};
use gridloom_shared::broker::topology::consumers::{AckDeadline, ensure_lane};
use gridloom_shared::id::{Fence, Session};
use gridloom_shared::ledger::outcomes::{self, Entry, Status};
use gridloom_shared::ledger::record::{Author, Reason, Record, Takeover, WorkRecord};
use gridloom_shared::tile::{Tile, TileRef};
use gridloom_shared::wire;
use gridloom_tests::proxy::{Mode, Proxy};
use gridloom_tests::questions::{Questions, is_broad};
use gridloom_tests::wait::eventually;
use gridloom_worker::{Handler, Shard};
use tokio::sync::Semaphore;

use crate::COUNTED;
use crate::stage::{Log, Running, SOON, Stage, job, pause, tiles};

/// The test as a worker.
pub(crate) const OTHER: Session = Session(1);

/// Takes the first tile as a worker would that dies.
async fn take_and_die(stage: &Stage, deadline: Duration) -> anyhow::Result<Tile> {
    let consumer = ensure_lane(&stage.broker, &stage.lane, AckDeadline::Exactly(deadline)).await?;
    let mut puller = Puller::new(
        &stage.broker,
        &stage.broker.subjects().shards(),
        &consumer.name,
    );
    puller
        .pull(1, Patience::UpTo(Duration::from_millis(300)))
        .await?;
    let PullEvent::Delivery(delivery) = puller.next().await else {
        anyhow::bail!("no tile")
    };
    Ok(wire::decode(&delivery.payload)?)
}

/// The same with an outcome for the tile's first page.
pub(crate) async fn die_after_one_page(stage: &Stage, deadline: Duration) -> anyhow::Result<()> {
    let tile = take_and_die(stage, deadline).await?;
    let entry = Entry {
        tile: tile.place(),
        kind: tile.kind,
        fence: tile.fence,
        slice: tile.slice,
        first: tile.first,
        pages: 1,
        status: Status::Done,
        columns: Vec::new(),
        results: Vec::new(),
    };
    let block = outcomes::encode(&[entry]).into();
    let outcomes = WorkRecord::Outcomes {
        session: OTHER,
        number: 1,
        block,
    };
    stage.report(&outcomes).await
}

#[tokio::test(flavor = "multi_thread")]
async fn redelivered_tile_does_not_repeat_committed_shards() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    stage.wave(vec![tiles(0, 1, 4)]).await?;
    die_after_one_page(&stage, Duration::from_secs(1)).await?;
    let log = Log::default();
    let noted = log.clone();
    let worker = Running::start(stage.worker().handler("h", move |shard: Shard| {
        noted.note(shard.page().number.to_string());
        std::future::ready(Ok(()))
    }))?;
    let fold = stage.until_acknowledged().await?;
    worker.stop().await?;
    assert_eq!(log.all(), ["1", "2", "3"]);
    assert_eq!(
        (
            fold.counts().done,
            fold.counts().late,
            fold.counts().taken_over
        ),
        (4, 0, 3)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tile_whose_shards_are_all_committed_is_acknowledged_at_once() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    stage.wave(vec![tiles(0, 1, 1)]).await?;
    die_after_one_page(&stage, Duration::from_secs(1)).await?;
    let log = Log::default();
    let noted = log.clone();
    let worker = Running::start(stage.worker().handler("h", move |_: Shard| {
        noted.note("ran");
        std::future::ready(Ok(()))
    }))?;
    stage.until_acknowledged().await?;
    worker.stop().await?;
    assert_eq!(log.count("ran"), 0);
    Ok(())
}

/// A handler that runs until it is told to stop, and notes both.
pub(crate) fn endless(log: &Log) -> impl Handler + use<> {
    let log = log.clone();
    move |shard: Shard| {
        let log = log.clone();
        async move {
            log.note("started");
            shard.cancelled().await;
            log.note("stopped");
            shard.check()
        }
    }
}

/// Records that `session` took `place` over, as from a worker that died.
pub(crate) async fn take_over(
    stage: &Stage,
    session: Session,
    place: TileRef,
) -> anyhow::Result<Fence> {
    let takeover = Takeover {
        session,
        number: 1,
        tiles: vec![place],
        reason: Reason::Count,
    };
    let subjects = stage.broker.subjects();
    let subject = subjects.ledger_of(&stage.queue, &stage.run, Author::Takeover);
    let record = wire::encode(&takeover);
    Ok(Fence(stage.broker.append(subject, record, None).await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn takeover_by_another_stops_the_handler_within_100_ms() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    let issued = stage.wave(vec![tiles(0, 1, 1)]).await?;
    let log = Log::default();
    let worker = Running::start(stage.worker().handler("h", endless(&log)))?;
    log.until("started").await?;
    take_over(&stage, OTHER, issued[0].place()).await?;
    let begun = Instant::now();
    log.until("stopped").await?;
    let took = begun.elapsed();
    ensure!(
        took < Duration::from_millis(100),
        "stopped only after {took:?}"
    );
    eventually(
        SOON,
        "it says so",
        async || Ok(stage.returned().await? == 1),
    )
    .await?;
    worker.stop().await?;
    assert_eq!(
        (
            stage.queued().await?,
            stage.fold().await?.open_tiles().len()
        ),
        (1, 1)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn takeover_that_was_missed_behind_thousands_of_others_stops_the_handler()
-> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    let issued = stage.wave(vec![tiles(0, 1, 1)]).await?;
    let (log, proxy) = (Log::default(), Proxy::start(stage.server.port()).await?);
    let builder = stage.worker().nats(proxy.url());
    let worker = Running::start(builder.handler("h", endless(&log)))?;
    log.until("started").await?;
    proxy.set(Mode::HalfOpen);
    // More than one page of a reader.
    for index in 1..=1_500 {
        take_over(&stage, OTHER, TileRef { wave: 7, index }).await?;
    }
    take_over(&stage, OTHER, issued[0].place()).await?;
    let begun = Instant::now();
    proxy.set(Mode::Pass);
    log.until("stopped").await?;
    let took = begun.elapsed();
    ensure!(
        took < Duration::from_secs(5),
        "stopped only after {took:?}: with the next renewal"
    );
    worker.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn lease_is_renewed_as_long_as_the_handler_runs() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    stage.wave(vec![tiles(0, 2, 1)]).await?;
    let log = Log::default();
    let noted = log.clone();
    let slow = move |_: Shard| {
        noted.note("ran");
        pause(2_500)
    };
    let worker = Running::start(
        stage
            .worker()
            .ack_deadline(Duration::from_millis(800))
            .handler("h", slow),
    )?;
    let fold = stage.until_acknowledged().await?;
    worker.stop().await?;
    assert_eq!((log.count("ran"), fold.counts().taken_over), (2, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn refilled_copy_of_a_held_tile_is_adopted_and_acknowledged_with_it() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    let issued = stage.wave(vec![tiles(0, 1, 1)]).await?;
    let log = Log::default();
    let (noted, go) = (log.clone(), std::sync::Arc::new(tokio::sync::Notify::new()));
    let gate = std::sync::Arc::clone(&go);
    let worker = Running::start(stage.worker().handler("h", move |_: Shard| {
        noted.note("started");
        let gate = std::sync::Arc::clone(&gate);
        async move {
            gate.notified().await;
            Ok(())
        }
    }))?;
    log.until("started").await?;
    stage
        .publish(&[Tile {
            again: true,
            ..issued[0].clone()
        }])
        .await?;
    let consumer = ensure_lane(&stage.broker, &stage.lane, AckDeadline::AsIs).await?;
    let client = stage.server.client().await?;
    let asked = format!(
        "$JS.API.CONSUMER.INFO.{}.{}",
        stage.broker.subjects().shards(),
        consumer.name
    );
    eventually(SOON, "both are delivered", async || {
        let info: serde_json::Value = serde_json::from_slice(
            &client
                .request(asked.clone(), Default::default())
                .await?
                .payload,
        )?;
        Ok(info["num_ack_pending"] == 2)
    })
    .await?;
    go.notify_one();
    let fold = stage.until_acknowledged().await?;
    worker.stop().await?;
    assert_eq!(
        (
            log.count("started"),
            fold.counts().done,
            fold.counts().taken_over
        ),
        (1, 1, 0)
    );
    let takeovers = stage
        .records()
        .await?
        .into_iter()
        .filter(|(_, _, record)| matches!(record, Record::Takeover(_)));
    assert_eq!(takeovers.count(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tile_that_waits_to_be_alone_starts_once_a_holder_says_that_it_lives() -> anyhow::Result<()>
{
    let mut stage = Stage::open(job(2, COUNTED)?).await?;
    let suspect = stage.wave(vec![tiles(0, 1, 1)]).await?[0].place();
    take_and_die(&stage, Duration::from_secs(1)).await?;
    for session in [OTHER, Session(2)] {
        let started = WorkRecord::Started {
            session,
            number: 2,
            tile: suspect,
            page: 0,
            fence: take_over(&stage, session, suspect).await?,
        };
        stage.report(&started).await?;
    }
    stage.wave(vec![tiles(1, 1, 1)]).await?;
    let log = Log::default();
    let (noted, gate) = (log.clone(), Arc::new(Semaphore::new(0)));
    let permits = Arc::clone(&gate);
    let worker = Running::start(stage.worker().handler("h", move |shard: Shard| {
        let slice = shard.slice();
        noted.note(format!("started {slice}"));
        let gate = Arc::clone(&permits);
        async move {
            if slice == 1 {
                let _permit = gate.acquire().await;
            }
            Ok(())
        }
    }))?;
    log.until("started 1").await?;
    eventually(SOON, "the tile is taken over again", async || {
        Ok(stage.fold().await?.counts().taken_over == 3)
    })
    .await?;
    let mut questions = Questions::listen(&stage.broker).await?;
    pause(1_500)
        .await
        .map_err(|_| anyhow::anyhow!("no pause"))?;
    assert_eq!(log.count("started 0"), 0);
    let asked = questions.so_far().await?;
    assert!(asked.len() >= 3, "it looks again and again: {asked:?}");
    assert!(!asked.iter().any(is_broad), "{asked:?}");

    let returned = WorkRecord::Returned {
        session: OTHER,
        number: 3,
        tiles: vec![suspect],
    };
    stage.report(&returned).await?;
    log.until("started 0").await?;
    gate.add_permits(1);
    stage.until_acknowledged().await?;
    worker.stop().await
}
