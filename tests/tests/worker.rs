//! The worker's engine against a real broker; the test acts as the planner.

mod worker {
    pub(super) mod stage;
}

use std::time::{Duration, Instant};

use anyhow::ensure;
use gridloom_shared::broker::pull::PullEvent;
use gridloom_shared::broker::pull::Puller;
use gridloom_shared::broker::topology::consumers::{AckDeadline, ensure_queue};
use gridloom_shared::id::{Fence, Session};
use gridloom_shared::job::PagesSpec;
use gridloom_shared::ledger::fold::{Cell, Next};
use gridloom_shared::ledger::outcomes::{self, Entry, Status};
use gridloom_shared::ledger::record::{Author, Reason, Record, Takeover, TileRun, WorkRecord};
use gridloom_shared::tile::{Bounds, Key, Tile, TileKind};
use gridloom_shared::wire;
use gridloom_tests::wait::eventually;
use gridloom_worker::{Failure, Handler, Probe, ProbedPages, Shard};
use worker::stage::{Log, Running, SOON, Stage, job, tiles};

const COUNTED: PagesSpec = PagesSpec::Count { count: 1_000 };

#[tokio::test(flavor = "multi_thread")]
async fn tiles_are_run_recorded_and_acknowledged() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(2, COUNTED)).await?;
    stage.wave(vec![tiles(0, 100, 3), tiles(1, 200, 1)]).await?;
    let worker = Running::start(stage.worker().handler("h", async |shard: Shard| {
        shard.rows(u64::from(shard.page().number));
        Ok(())
    }))?;
    let fold = stage.until_acknowledged().await?;
    worker.stop().await?;
    let counts = fold.counts();
    assert_eq!(
        (counts.done, counts.late, counts.taken_over, counts.retried),
        (500, 0, 0, 0)
    );
    let rows: i64 = (0..300).sum::<i64>() + (0..200).sum::<i64>();
    assert_eq!(fold.counters().get("rows"), Some(&rows));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_fail_is_an_outcome_and_frees_the_queue() -> anyhow::Result<()> {
    let mut failing = job(1, COUNTED);
    failing.limits.timeout_ms = Some(200);
    let mut stage = Stage::open(failing).await?;
    stage.wave(vec![tiles(0, 5, 1)]).await?;
    let worker =
        Running::start(stage.worker().handler(
            "h",
            async |shard: Shard| match shard.page().number {
                0 => Err(Failure::retry("busy")),
                1 => panic!("broken"),
                2 => std::future::pending().await,
                3 => Err(Failure::permanent("never")),
                _ => Ok(()),
            },
        ))?;
    let fold = stage.until_acknowledged().await?;
    worker.stop().await?;
    let failed = |page| {
        fold.failed().get(&Cell {
            kind: TileKind::Page,
            slice: 0,
            page,
        })
    };
    let error = |page| failed(page).map(|cell| cell.error.clone());
    assert_eq!(error(0).as_deref(), Some("busy"));
    assert_eq!(error(1).as_deref(), Some("panicked: broken"));
    assert_eq!(error(2).as_deref(), Some("timed out after 200ms"));
    assert_eq!(failed(3).map(|cell| cell.next), Some(Next::Dead));
    assert_eq!((fold.counts().done, fold.retries().len()), (1, 3));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn probe_reports_the_pages_that_the_handler_found() -> anyhow::Result<()> {
    struct Asked;
    impl Handler for Asked {
        async fn run(&self, _shard: Shard) -> Result<(), Failure> {
            Ok(())
        }
        async fn probe(&self, probe: Probe) -> Result<ProbedPages, Failure> {
            let from = match probe.after() {
                None => 0,
                Some(Key::Int(after)) => *after,
                Some(Key::Text(_)) => return Err(Failure::permanent("a text")),
            };
            let pages = vec![Bounds(Key::Int(from + 1), Key::Int(from + 10))];
            Ok(ProbedPages {
                pages,
                cursor: Some(Key::Int(from + 10)),
            })
        }
    }
    let mut stage = Stage::open(job(1, PagesSpec::Probe)).await?;
    stage
        .wave(vec![TileRun {
            kind: TileKind::Probe,
            ..tiles(0, 1, 1)
        }])
        .await?;
    let worker = Running::start(stage.worker().handler("h", Asked))?;
    let fold = stage.until_acknowledged().await?;
    worker.stop().await?;
    assert_eq!(
        fold.slices()[0].ready().front(),
        Some(&Bounds(Key::Int(1), Key::Int(10)))
    );
    assert_eq!(fold.slices()[0].question(), Some((1, Some(Key::Int(10)))));
    Ok(())
}

/// Takes the first tile as a worker would that dies: with an outcome for its first page.
async fn die_after_one_page(stage: &Stage, deadline: Duration) -> anyhow::Result<()> {
    let consumer =
        ensure_queue(&stage.broker, &stage.queue, AckDeadline::Exactly(deadline)).await?;
    let mut puller = Puller::new(
        &stage.broker,
        &stage.broker.subjects().shards(),
        &consumer.name,
    );
    puller.pull(1, Duration::from_millis(300)).await?;
    let PullEvent::Delivery(delivery) = puller.next().await else {
        anyhow::bail!("no tile")
    };
    let tile: Tile = wire::decode(&delivery.payload)?;
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
    let record = wire::encode(&WorkRecord::Outcomes {
        session: Session(1),
        number: 1,
        block,
    });
    let subject = stage
        .broker
        .subjects()
        .ledger_of(&stage.queue, &stage.run, Author::Work);
    stage.broker.append(subject, record, None).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn redelivered_tile_does_not_repeat_committed_shards() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)).await?;
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
    let mut stage = Stage::open(job(1, COUNTED)).await?;
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
fn endless(log: &Log) -> impl Handler + use<> {
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

#[tokio::test(flavor = "multi_thread")]
async fn takeover_by_another_stops_the_handler_within_100_ms() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)).await?;
    let issued = stage.wave(vec![tiles(0, 1, 1)]).await?;
    let log = Log::default();
    let worker = Running::start(stage.worker().handler("h", endless(&log)))?;
    log.until("started").await?;
    let takeover = Takeover {
        session: Session(1),
        number: 1,
        tiles: vec![issued[0].place()],
        reason: Reason::Count,
    };
    let subject = stage
        .broker
        .subjects()
        .ledger_of(&stage.queue, &stage.run, Author::Takeover);
    stage
        .broker
        .append(subject, wire::encode(&takeover), None)
        .await?;
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
async fn lease_is_renewed_as_long_as_the_handler_runs() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)).await?;
    stage.wave(vec![tiles(0, 2, 1)]).await?;
    let log = Log::default();
    let noted = log.clone();
    let slow = move |_: Shard| {
        noted.note("ran");
        async { Ok(tokio::time::sleep(Duration::from_millis(2_500)).await) }
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
async fn worker_that_is_told_to_stop_finishes_what_runs() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)).await?;
    stage.wave(vec![tiles(0, 8, 1)]).await?;
    let log = Log::default();
    let noted = log.clone();
    let slow = move |_: Shard| {
        noted.note("started");
        async { Ok(tokio::time::sleep(Duration::from_millis(300)).await) }
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
    let mut stage = Stage::open(job(1, COUNTED)).await?;
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
async fn messages_that_are_no_tiles_are_recorded_and_removed() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)).await?;
    let good = stage.wave(vec![tiles(0, 1, 1)]).await?.remove(0);
    let client = stage.server.client().await?;
    let subject = stage.broker.subjects().shard(&stage.queue, &stage.run);
    let newer = wire::encode(&good)
        .iter()
        .enumerate()
        .map(|(n, byte)| if n == 3 { 9 } else { *byte })
        .collect();
    let other_run = Tile {
        run: "job_s_8".parse()?,
        ..good.clone()
    };
    let other_nonce = Tile {
        nonce: gridloom_shared::id::Nonce(1),
        index: 5,
        ..good.clone()
    };
    let no_run = Tile {
        opened: good.opened + 1,
        fence: Fence(good.fence.0 + 9),
        index: 6,
        ..good.clone()
    };
    let bad: [Vec<u8>; 5] = [
        b"hello".to_vec(),
        newer,
        wire::encode(&other_run).to_vec(),
        wire::encode(&other_nonce).to_vec(),
        wire::encode(&no_run).to_vec(),
    ];
    for payload in &bad {
        client
            .publish(subject.clone(), payload.clone().into())
            .await?;
    }
    client.flush().await?;
    let worker = Running::start(stage.worker().handler("h", async |_: Shard| Ok(())))?;
    let fold = stage.until_acknowledged().await?;
    worker.stop().await?;
    assert_eq!(fold.counts().done, 1);
    let history = stage.broker.subjects().history();
    let recorded = stage
        .broker
        .read(&history, stage.broker.subjects().unreadable(), 1, None)
        .await?;
    let reasons: Vec<String> = recorded
        .iter()
        .map(|record| {
            Ok(serde_json::from_slice::<serde_json::Value>(&record.payload)?["reason"].to_string())
        })
        .collect::<anyhow::Result<_>>()?;
    assert_eq!(reasons.len(), bad.len(), "{reasons:?}");
    assert!(
        reasons.iter().any(|reason| reason.contains("version 9")),
        "{reasons:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tile_without_its_handler_is_handed_back_to_one_who_has_it() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)).await?;
    stage.wave(vec![tiles(0, 1, 1)]).await?;
    let deadline = Duration::from_millis(1_500);
    let lacking = Running::start(
        stage
            .worker()
            .ack_deadline(deadline)
            .handler("other", async |_: Shard| Ok(())),
    )?;
    eventually(SOON, "it is handed back", async || {
        Ok(stage.returned().await? > 0)
    })
    .await?;
    let having = Running::start(stage.worker().handler("h", async |_: Shard| Ok(())))?;
    let fold = stage.until_acknowledged().await?;
    assert_eq!(fold.counts().done, 1);
    lacking.stop().await?;
    having.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_lives_on_when_its_consumer_is_deleted_and_when_the_broker_restarts()
-> anyhow::Result<()> {
    let mut stage = Stage::open(job(3, COUNTED)).await?;
    stage.wave(vec![tiles(0, 50, 1)]).await?;
    let slow = async |_: Shard| Ok(tokio::time::sleep(Duration::from_millis(5)).await);
    let worker = Running::start(
        stage
            .worker()
            .ack_deadline(Duration::from_secs(2))
            .handler("h", slow),
    )?;
    stage.until_acknowledged().await?;
    let consumer = ensure_queue(&stage.broker, &stage.queue, AckDeadline::AsIs).await?;
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

#[tokio::test(flavor = "multi_thread")]
async fn refilled_copy_of_a_held_tile_is_adopted_and_acknowledged_with_it() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)).await?;
    let issued = stage.wave(vec![tiles(0, 1, 1)]).await?;
    let log = Log::default();
    let (noted, go) = (log.clone(), std::sync::Arc::new(tokio::sync::Notify::new()));
    let gate = std::sync::Arc::clone(&go);
    let worker = Running::start(stage.worker().handler("h", move |_: Shard| {
        noted.note("started");
        let gate = std::sync::Arc::clone(&gate);
        async move { Ok(gate.notified().await) }
    }))?;
    log.until("started").await?;
    stage
        .publish(&[Tile {
            again: true,
            ..issued[0].clone()
        }])
        .await?;
    let consumer = ensure_queue(&stage.broker, &stage.queue, AckDeadline::AsIs).await?;
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
