//! The worker's engine against a real broker; the test acts as the planner.

use std::time::Duration;

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{Fence, Nonce, Term};
use gridloom_shared::job::PagesSpec;
use gridloom_shared::ledger::fold::Cell;
use gridloom_shared::ledger::record::{Opened, PlanRecord, TileRun};
use gridloom_shared::tile::{Bounds, Key, Tile, TileKind};
use gridloom_shared::wire;
use gridloom_tests::wait::{eventually, eventually_some};
use gridloom_worker::{Failure, Handler, Probe, ProbedPages, Shard};
use stage::{Running, SOON, Stage, job, tiles};

#[path = "worker/blocks.rs"]
mod blocks;
#[path = "worker/commits.rs"]
mod commits;
#[path = "worker/lanes.rs"]
mod lanes;
#[path = "worker/leases.rs"]
mod leases;
#[path = "worker/named.rs"]
mod named;
#[path = "worker/newer.rs"]
mod newer;
#[path = "worker/orphans.rs"]
mod orphans;
#[path = "worker/stage.rs"]
mod stage;
#[path = "worker/stops.rs"]
mod stops;
#[path = "worker/takeovers.rs"]
mod takeovers;

const COUNTED: PagesSpec = PagesSpec::Count { count: 1_000 };

#[tokio::test(flavor = "multi_thread")]
async fn tiles_are_run_recorded_and_acknowledged() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(2, COUNTED)?).await?;
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
    let rows = (0..300).sum::<i128>() + (0..200).sum::<i128>();
    assert_eq!(fold.counters().get("rows"), Some(&rows));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_fail_is_an_outcome_and_frees_the_queue() -> anyhow::Result<()> {
    let mut failing = job(1, COUNTED)?;
    // Long enough for a panic to write its trace on a busy machine.
    failing.limits.timeout_ms = Some(2_000);
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
        fold.waiting().get(&Cell {
            kind: TileKind::Page,
            slice: 0,
            page,
        })
    };
    let error = |page| failed(page).map(|cell| fold.error_of(cell));
    assert_eq!(error(0), Some("busy"));
    assert_eq!(error(1), Some("panicked: broken"));
    assert_eq!(error(2), Some("timed out after 2s"));
    let dead: Vec<u32> = fold.dead().map(|dead| dead.cell.page).collect();
    assert_eq!((failed(3), dead), (None, vec![3]));
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
    let mut stage = Stage::open(job(1, PagesSpec::Probe)?).await?;
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
        fold.frontier(0).ready().front(),
        Some(&Bounds(Key::Int(1), Key::Int(10)))
    );
    assert_eq!(fold.frontier(0).question(), Some((1, Some(Key::Int(10)))));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_no_tiles_are_recorded_and_removed() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    let good = stage.wave(vec![tiles(0, 1, 1)]).await?.remove(0);
    let client = stage.server.client().await?;
    let subject = stage.broker.subjects().shard(&stage.lane, &stage.run);
    let other_run = Tile {
        run: "job_s_8".parse()?,
        ..good.clone()
    };
    let other_nonce = Tile {
        nonce: Nonce(1),
        index: 5,
        ..good.clone()
    };
    let no_run = Tile {
        opened: good.opened + 1,
        fence: Fence(good.fence.0 + 9),
        index: 6,
        ..good.clone()
    };
    let bad: [Vec<u8>; 4] = [
        b"hello".to_vec(),
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
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tile_that_brings_a_false_first_record_along_keeps_no_true_one_from_its_handler()
-> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    let good = stage.wave(vec![tiles(0, 1, 1)]).await?.remove(0);
    let nonce = Nonce(1);
    let false_record = Opened {
        nonce,
        job: job(1, COUNTED)?,
        scheduled_at: UnixMs(0),
        content: 0,
        term: Term(1),
        first: Vec::new(),
        traceparent: None,
        reports: 1,
    };
    let forged = Tile {
        nonce,
        index: 5,
        frozen: Some(wire::encode(&PlanRecord::Opened(Box::new(false_record)))),
        ..good.clone()
    };
    stage.empty_queue().await?;
    stage.publish(&[forged, good]).await?;
    let worker = Running::start(stage.worker().handler("h", async |_: Shard| Ok(())))?;
    let fold = stage.until_acknowledged().await?;
    worker.stop().await?;
    assert_eq!(fold.counts().done, 1);
    Ok(())
}
