//! A broker each of whose flushes is held back: under `sync_interval: always` every record waits for one. All becomes
//! slower, by no more than its part for as long as more outcomes share a flush, and nothing else happens: nobody is
//! condemned, nothing is taken over, nothing is lost.

use std::time::{Duration, Instant};

use anyhow::Context;
use gridloom_shared::broker::topology::TopologyOptions;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::outcomes;
use gridloom_shared::ledger::record::{Reason, Record, WorkRecord};
use gridloom_shared::ledger::summary::{RunState, RunSummary};
use gridloom_shared::wire;
use gridloom_tests::oracle::ledger::Ledger;
use gridloom_tests::scenario::{Stage, play_on};
use gridloom_tests::slow_disk::{self, SlowDisk};
use gridloom_tests::wait::{eventually, eventually_some};
use serde_json::json;

const LONG: Duration = Duration::from_secs(120);
const SOON: Duration = Duration::from_secs(30);
/// How long a run is watched, from its first outcome on: so long, and so many flushes.
const WATCHED: Duration = Duration::from_secs(3);
const FLUSHES: u32 = 40;
/// A run that goes on for less is shown only when it is over; a little less than the planner waits.
const SHOWN: Duration = Duration::from_millis(400);
/// Tiles that the workers run at once.
const SLOTS: u32 = 128;

/// A flush that takes so long is the limit.
const SLOW: Duration = Duration::from_millis(10);
/// What is called smooth: so many times as many shards as flushes that follow one another, or more. Where flushes take
/// very long it falls by more than their part, as what may be outstanding has an end.
const MANY: f64 = 10.0;

/// What one run did on a disk that took so long.
#[derive(Debug)]
struct Pace {
    flush: Duration,
    /// Shards a second.
    rate: f64,
    /// Outcomes that stand in one record.
    shared: f64,
}

/// A run of shards that do nothing, one a tile, and what became of it within [`WATCHED`].
async fn pace(stage: &mut Stage, flush: Duration) -> anyhow::Result<Pace> {
    let job = stage
        .apply("name = \"quick\"\nhandler = \"noop\"\n[grid]\nslices = 16\npages = { count = 50_000 }\ntile = 1")
        .await?;
    let run = stage.submit(&job, &json!({})).await?;
    stage.done(&run, 1, SOON).await?;
    tokio::time::sleep(WATCHED.max(flush * FLUSHES)).await;
    let answer = stage.cli(&["cancel", run.as_str()], LONG).await?;
    answer.succeeded()?;
    stage.closed(&run, LONG).await?;
    stage.judge_ledger(&run).await?;
    let (shards, records, seconds) = committed(stage, &run).await?;
    let pace = Pace {
        flush,
        rate: shards as f64 / seconds,
        shared: shards as f64 / records as f64,
    };
    eprintln!(
        "a flush takes {flush:?} more: {:.0} shards a second, {:.1} of them in a record, {:.0} records a second",
        pace.rate,
        pace.shared,
        records as f64 / seconds
    );
    Ok(pace)
}

/// Outcomes of a run, the records that they stand in, and the seconds between the first and the last of these.
async fn committed(stage: &Stage, run: &RunId) -> anyhow::Result<(usize, usize, f64)> {
    let ledger = Ledger::read(&stage.broker, run).await?;
    let mut all = Vec::new();
    for entry in &ledger.entries {
        if let Some(Record::Takeover(takeover)) = &entry.record {
            // Whether tiles were delivered before the broker's start nobody can tell.
            anyhow::ensure!(takeover.reason == Reason::Floor, "{takeover:?}");
        }
        if let Some(Record::Work(WorkRecord::Outcomes { block, .. })) = &entry.record {
            let pages = outcomes::decode(block)?;
            let pages: usize = pages.iter().map(|entry| entry.pages as usize).sum();
            all.push((entry.at, pages));
        }
    }
    let span = all.first().zip(all.last());
    let span = span.map_or(0, |(first, last)| last.0.0 - first.0.0);
    let shards = all.iter().map(|(_, shards)| shards).sum();
    Ok((shards, all.len(), span.max(1) as f64 / 1_000.0))
}

/// Nobody was condemned, nothing taken over from who lives; and many outcomes shared a flush where flushes were slow.
async fn nothing_else(stage: &Stage, paces: &[Pace]) -> anyhow::Result<()> {
    for planner in &stage.planners {
        let log = planner.stderr();
        anyhow::ensure!(!log.contains("a worker is dead"), "{log}");
    }
    for pace in paces.iter().filter(|pace| pace.flush >= SLOW) {
        // One flush at a time, and each shard with one of its own: no more than this.
        let alone = 1.0 / pace.flush.as_secs_f64();
        anyhow::ensure!(
            pace.rate > MANY * alone,
            "it does not degrade smoothly: {paces:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn disk_whose_flushes_take_long_makes_all_slower_and_nothing_else() -> anyhow::Result<()> {
    if !slow_disk::is_there() {
        eprintln!("\n*** NOT RUN: a slow disk: no strace that may trace ***\n");
        return Ok(());
    }
    let disk = SlowDisk::new().await?;
    let scenario = async |stage: &mut Stage| {
        stage.start_planner().await?;
        for _ in 0..2 {
            stage
                .start_worker(SLOTS / 2, &["--ack-deadline", "30s"])
                .await?;
        }
        let mut paces = Vec::new();
        for flush in [0, 2, 10, 50, 200].map(Duration::from_millis) {
            disk.takes(flush)?;
            stage.server.kill().await?;
            stage.server.restart().await?;
            paces.push(pace(stage, flush).await?);
        }
        nothing_else(stage, &paces).await
    };
    play_on(disk.broker().await?, &TopologyOptions::default(), scenario).await
}

/// Waits until nothing is left to write about these runs: each is closed and has its summary, and no submission waits.
/// Gives for how many times [`SHOWN`] they ran, all together: a run has a summary for each while it runs.
async fn all_told(stage: &Stage, runs: &[RunId]) -> anyhow::Result<usize> {
    let mut long = 0;
    for run in runs {
        stage.closed(run, SOON).await?;
        let summary = eventually_some(SOON, "its summary says so", async || {
            let entry = stage.broker.runs().get(run.as_str()).await?;
            let value = entry.and_then(|entry| entry.value);
            let summary: Option<RunSummary> = value.and_then(|value| wire::decode(&value).ok());
            Ok(summary.filter(|summary| summary.state == RunState::Succeeded))
        })
        .await?;
        let at = |at: Option<String>| at.and_then(|at| UnixMs::from_rfc3339(&at));
        let lasted = at(summary.closed_at).zip(at(summary.opened_at));
        let (closed, opened) = lasted.context("a run that is over says from when to when")?;
        long += (closed.0.saturating_sub(opened.0) / SHOWN.as_millis() as u64) as usize;
    }
    let submit = stage.broker.subjects().submit();
    eventually(SOON, "each submission is acknowledged", async || {
        Ok(stage.broker.info(&submit).await?.messages == 0)
    })
    .await?;
    Ok(long)
}

/// A submission is one write and one flush, and a run of one shard few more: counted by what strace sees of the broker.
#[tokio::test(flavor = "multi_thread")]
async fn submission_is_one_flush_and_a_small_run_six_at_most() -> anyhow::Result<()> {
    if !slow_disk::is_there() {
        eprintln!("\n*** NOT RUN: what a submission flushes: no strace that may trace ***\n");
        return Ok(());
    }
    const RUNS: usize = 20;
    const MORE: usize = 40;
    let disk = SlowDisk::new().await?;
    let scenario = async |stage: &mut Stage| {
        let job = stage
            .apply("name = \"one\"\nhandler = \"noop\"\n[grid]\nslices = 1\npages = { count = 1 }")
            .await?;
        let stream = |stream: &str| format!("/{stream}/msgs");
        let submit = stream(stage.broker.subjects().submit().as_str());
        let ledger = stream(stage.broker.subjects().ledger().as_str());
        // The first one makes the files. Of the first tiles nobody can tell whether a worker of before had them, where one
        // looks for its queue while they are published: each is taken over then, which is a record more.
        stage.start_planner().await?;
        stage.start_worker(4, &[]).await?;
        let first = stage.submit(&job, &json!({})).await?;
        all_told(stage, &[first]).await?;
        stage.planners[0].kill().await?;
        stage.free_leadership().await?;
        let (before, of_ledger) = (disk.flushed(&submit), disk.flushed(&ledger));
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            runs.push(stage.submit(&job, &json!({})).await?);
        }
        assert_eq!(
            disk.flushed(&submit) - before,
            RUNS,
            "flushes of {RUNS} submissions"
        );
        stage.start_planner().await?;
        all_told(stage, &runs).await?;
        let of_ledger = disk.flushed(&ledger) - of_ledger;
        // Opened, outcome, closed; what several runs share is less.
        anyhow::ensure!(
            of_ledger <= 3 * RUNS + 3,
            "{of_ledger} flushes of the ledger for {RUNS} runs"
        );
        let (before, begun) = (disk.flushed("/msgs"), Instant::now());
        let mut runs = Vec::new();
        for _ in 0..MORE {
            runs.push(stage.submit(&job, &json!({})).await?);
        }
        let long = all_told(stage, &runs).await?;
        let (flushes, took) = (disk.flushed("/msgs") - before, begun.elapsed());
        eprintln!("{MORE} runs of one shard: {flushes} flushes of all streams in {took:?}");
        // Submission, its acknowledgement, three of the ledger, summary; and what goes by time: leases, presence.
        let few = 5 + 2 * took.as_secs() as usize + long;
        anyhow::ensure!(
            flushes <= 6 * MORE + few,
            "{flushes} flushes of all streams for {MORE} runs in {took:?}"
        );
        Ok(())
    };
    play_on(disk.broker().await?, &TopologyOptions::default(), scenario).await
}
