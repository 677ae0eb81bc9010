//! Faults of what the engine stands on: a broker that two hundred workers come back to, a disk that is
//! full, a network that is parted.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use gridloom_shared::broker::topology::TopologyOptions;
use gridloom_shared::id::{RunId, Session};
use gridloom_shared::ledger::record::Record;
use gridloom_tests::island::Island;
use gridloom_tests::logged::WORD;
use gridloom_tests::oracle::ledger::Ledger;
use gridloom_tests::process::Gridloom;
use gridloom_tests::scenario::{ACK_DEADLINE, NAMESPACE, Stage, play, play_on};
use gridloom_tests::small_disk::SmallDisk;
use gridloom_tests::wait::eventually;
use serde_json::json;

const LONG: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(30);
/// Workers that reconnect at once.
const CROWD: usize = 200;
/// Processes that they share.
const PROCESSES: usize = 4;
/// How long it may take until all answer again.
const BACK_WITHIN: Duration = Duration::from_secs(20);

/// Starts [`CROWD`] workers of one tile each, with connections and leases of their own.
async fn start_crowd(stage: &mut Stage) -> anyhow::Result<()> {
    let log = stage.dir().join("executions");
    let each = (CROWD / PROCESSES).to_string();
    for _ in 0..PROCESSES {
        let crowd = Gridloom::new([
            WORD,
            "--nats",
            &stage.server.url(),
            "--namespace",
            NAMESPACE,
        ])?
        .args(["--concurrency", "1", "--ack-deadline-ms", "30000"])
        .args(["--workers", &each, "--log"])
        .args([&log]);
        stage.workers.push(crowd.start().await?);
    }
    Ok(())
}

/// Waits until every worker of the crowd has announced itself, and says how long that took.
async fn all_there(stage: &Stage, within: Duration) -> anyhow::Result<Duration> {
    let since = Instant::now();
    let subjects = stage.broker.subjects();
    let mut presence = stage.broker.subscribe(subjects.all_presence()).await?;
    let mut there = HashSet::<Session>::new();
    let all = async {
        while there.len() < CROWD
            && let Some(message) = presence.next().await
        {
            there.extend(subjects.parse_presence(message.subject.as_str()));
        }
    };
    let waited = tokio::time::timeout(within, all).await;
    anyhow::ensure!(
        waited.is_ok(),
        "{} of {CROWD} workers are there",
        there.len()
    );
    Ok(since.elapsed())
}

/// Tiles of `run` that were taken over, each as often as it was.
async fn takeovers(stage: &Stage, run: &RunId) -> anyhow::Result<usize> {
    let ledger = Ledger::read(&stage.broker, run).await?;
    let tiles = ledger.entries.iter().map(|entry| match &entry.record {
        Some(Record::Takeover(takeover)) => takeover.tiles.len(),
        _ => 0,
    });
    Ok(tiles.sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_workers_that_reconnect_at_once_take_over_only_what_was_in_flight()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        start_crowd(stage).await?;
        let there = all_there(stage, SOON).await?;
        let held = stage
            .apply(&format!("name = \"held\"\nhandler = \"noop\"\n[grid]\nslices = {CROWD}\ntile = 1"))
            .await?;
        let held = stage.submit(&held, &json!({"sleep_ms": 4_000})).await?;
        let log = stage.dir().join("executions");
        eventually(SOON, "every tile is in flight", async || {
            Ok(std::fs::read_to_string(&log)?.matches("\"start\"").count() == CROWD)
        })
        .await?;
        stage.server.kill().await?;
        stage.server.restart().await?;
        let back = all_there(stage, BACK_WITHIN).await?;
        let job = stage
            .apply("name = \"after\"\nhandler = \"noop\"\n[grid]\nslices = 40\npages = { count = 10 }\ntile = 1")
            .await?;
        let after = stage.submit(&job, &json!({"sleep_ms": 500})).await?;
        for run in [&held, &after] {
            stage.closed(run, LONG).await?;
            stage.judge(run).await?.succeeded()?;
        }
        let taken = takeovers(stage, &held).await?;
        eprintln!("there after {there:?}, back after {back:?}, {taken} tiles taken over");
        assert!(taken <= CROWD, "{taken} takeovers of {CROWD} tiles");
        assert_eq!(takeovers(stage, &after).await?, 0);
        for worker in &mut stage.workers {
            assert!(worker.is_running()?);
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn run_goes_on_after_the_broker_s_disk_was_full_and_the_broker_was_restarted()
-> anyhow::Result<()> {
    let Some(disk) = SmallDisk::mount(32).await? else {
        eprintln!("not played: this machine gives no mount namespace");
        return Ok(());
    };
    let server = disk.broker().await?;
    play_on(server, &TopologyOptions::default(), async |stage| {
        stage.start_all(2).await?;
        let job = stage
            .apply("name = \"steady\"\nhandler = \"noop\"\n[grid]\nslices = 8\npages = { count = 200 }\ntile = 4")
            .await?;
        let run = stage.submit(&job, &json!({"sleep_ms": 10})).await?;
        stage.done(&run, 160, SOON).await?;
        disk.fill()?;
        let full = Instant::now();
        eventually(SOON, "workers say that their records are not stored", async || {
            let mut workers = stage.workers.iter();
            Ok(workers.all(|worker| worker.stderr().contains("part=ledger")))
        })
        .await?;
        eprintln!("said after {:?}", full.elapsed());
        assert!(!stage.is_closed(&run).await?);
        stage.judge_open(&run).await?;
        // Room alone is not enough: the broker stores nothing in a stream that it could not write.
        disk.make_room()?;
        stage.server.restart().await?;
        stage.closed(&run, LONG).await?;
        eprintln!("closed {:?} after the disk was full", full.elapsed());
        stage.judge(&run).await?.succeeded()?;
        for process in stage.planners.iter_mut().chain(&mut stage.workers) {
            assert!(process.is_running()?);
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_behind_a_parted_network_loses_its_tiles_and_does_no_harm_when_it_is_back()
-> anyhow::Result<()> {
    play(async |stage| {
        let Some(island) = Island::make(stage.server.port()).await? else {
            eprintln!("not played: this machine gives no network namespace");
            return Ok(());
        };
        stage.start_planner().await?;
        stage.start_worker(4, &[]).await?;
        let castaway = island
            .gridloom(&["worker", "--concurrency", "4"])?
            .env("GRIDLOOM_NAMESPACE", NAMESPACE)
            .env("GRIDLOOM_QUEUE_ACK_DEADLINE", ACK_DEADLINE);
        stage.workers.push(castaway.start().await?);
        eventually(SOON, "the worker is there", async || {
            Ok(stage.workers[1].stderr().contains("works part=worker"))
        })
        .await?;
        let job = stage
            .apply("name = \"steady\"\nhandler = \"noop\"\n[grid]\nslices = 8\npages = { count = 20 }\ntile = 1")
            .await?;
        let run = stage.submit(&job, &json!({"sleep_ms": 300})).await?;
        stage.done(&run, 24, SOON).await?;
        island.cut_off().await?;
        let cut = Instant::now();
        eventually(SOON, "others take over what it holds", async || {
            Ok(takeovers(stage, &run).await? > 0)
        })
        .await?;
        eprintln!("taken over after {:?}", cut.elapsed());
        eventually(SOON, "its leases have ended", async || {
            Ok(stage.workers[1].stderr().contains("lease lost"))
        })
        .await?;
        stage.judge_open(&run).await?;
        island.join().await?;
        stage.closed(&run, LONG).await?;
        let verdict = stage.judge(&run).await?.succeeded()?;
        // What it had sent when the link went down arrives when it is up.
        let late = verdict.summary.shards.late;
        eprintln!("{late} late, {:?}", verdict.audit);
        assert!(late <= 4, "{:?}", verdict.summary);
        // It works again.
        eventually(SOON, "it is connected again", async || {
            let said = stage.workers[1].stderr();
            Ok(said.matches("connected to the broker").count() > said.matches("disconnected").count())
        })
        .await?;
        stage.workers[0].kill().await?;
        let after = stage.submit(&job, &json!({})).await?;
        stage.closed(&after, LONG).await?;
        stage.judge(&after).await?.succeeded()?;
        Ok(())
    })
    .await
}
