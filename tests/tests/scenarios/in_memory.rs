//! The queue in the broker's memory, as it is by default: a restart of the broker loses it, and costs a moment. What
//! the living hold stays theirs, nobody is condemned, and a broker that stands still again and again makes all of it slow
//! and nothing else.

use std::time::{Duration, Instant};

use anyhow::Context;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{QueueName, RunId};
use gridloom_shared::ledger::record::{Author, Reason, Record};
use gridloom_shared::tile::Tile;
use gridloom_shared::wire;
use gridloom_tests::oracle::ledger::Ledger;
use gridloom_tests::scenario::{Stage, on_file, play, play_with};
use gridloom_tests::wait::{eventually, eventually_some};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

const LONG: Duration = Duration::from_secs(90);
const SOON: Duration = Duration::from_secs(30);
/// Between two kills.
const BETWEEN_LEAST: Duration = Duration::from_millis(2_500);
/// Times that the broker is killed under a steady load.
const RESTARTS: usize = 5;
/// What a restart may cost: timers that are waited out take more than a second and a half, each time. Other tests take
/// their part of the machine, so what counts is the second of [`RESTARTS`], the shortest first.
const PAUSE_MOST: Duration = Duration::from_millis(900);

/// The moments in which outcomes of a run were stored, by the broker's clock, in ascending order.
async fn commits(stage: &Stage, run: &RunId) -> anyhow::Result<Vec<UnixMs>> {
    let subjects = stage.broker.subjects();
    let work = subjects.ledger_of(&QueueName::new("default")?, run, Author::Work);
    let records = stage.broker.read(&subjects.ledger(), work, 1, None).await?;
    Ok(records.iter().map(|record| record.at).collect())
}

/// Reasons of all takeovers of a run.
async fn takeovers(stage: &Stage, run: &RunId) -> anyhow::Result<Vec<Reason>> {
    let ledger = Ledger::read(&stage.broker, run).await?;
    let mut all = Vec::new();
    for entry in &ledger.entries {
        if let Some(Record::Takeover(takeover)) = &entry.record {
            all.extend(std::iter::repeat_n(takeover.reason, takeover.tiles.len()));
        }
    }
    Ok(all)
}

fn nobody_was_condemned(stage: &Stage) {
    let log = stage.planners[0].stderr();
    assert!(!log.contains("a worker is dead"), "{log}");
}

/// Kills the broker again and again under a steady stream of commits. Returns the longest pause after each.
async fn pauses(stage: &mut Stage) -> anyhow::Result<Vec<Duration>> {
    stage.start_planner().await?;
    for _ in 0..2 {
        stage.start_worker(8, &["--ack-deadline", "30s"]).await?;
    }
    let job = stage
        .apply("name = \"steady\"\nhandler = \"noop\"\n[grid]\nslices = 8\npages = { count = 20_000 }\ntile = 1")
        .await?;
    let run = stage.submit(&job, &json!({"sleep_ms": 10})).await?;
    stage.done(&run, 1_000, SOON).await?;
    let mut killed = Vec::new();
    for _ in 0..RESTARTS {
        let moment = stage
            .seed
            .between(BETWEEN_LEAST, BETWEEN_LEAST + Duration::from_secs(1));
        tokio::time::sleep(moment).await;
        killed.push(UnixMs::now());
        stage.server.kill().await?;
        stage.server.restart().await?;
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    let answer = stage.cli(&["cancel", run.as_str()], SOON).await?;
    answer.succeeded()?;
    stage.closed(&run, LONG).await?;
    let commits = commits(stage, &run).await?;
    let longest = |since: &UnixMs| {
        let around = commits.windows(2).filter(|pair| {
            pair[1] > *since && pair[0].0 < since.0 + BETWEEN_LEAST.as_millis() as u64
        });
        let longest = around.map(|pair| pair[1].0 - pair[0].0).max();
        Duration::from_millis(longest.unwrap_or(u64::MAX))
    };
    let pauses: Vec<Duration> = killed.iter().map(longest).collect();
    eprintln!("longest pauses: {pauses:?}");
    if pauses.iter().any(|pause| *pause > PAUSE_MOST) {
        eprintln!("planner: {}", stage.planners[0].stderr());
        eprintln!("worker: {}", stage.workers[0].stderr());
    }
    nobody_was_condemned(stage);
    assert!(!takeovers(stage, &run).await?.contains(&Reason::Count));
    stage.judge_ledger(&run).await?;
    Ok(pauses)
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_go_on_within_a_moment_after_the_broker_was_killed() -> anyhow::Result<()> {
    play(async |stage| {
        let mut pauses = pauses(stage).await?;
        pauses.sort_unstable();
        assert!(pauses[1] < PAUSE_MOST, "{pauses:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_go_on_within_a_moment_with_the_queue_on_file_too() -> anyhow::Result<()> {
    play_with(&on_file(), async |stage| {
        let mut pauses = pauses(stage).await?;
        pauses.sort_unstable();
        assert!(pauses[1] < PAUSE_MOST, "{pauses:?}");
        Ok(())
    })
    .await
}

/// Tiles that one worker holds, with shards of `seconds` each: several leases.
async fn held(stage: &mut Stage, tiles: u32, seconds: u32) -> anyhow::Result<RunId> {
    let text = format!(
        "name = \"held\"\nhandler = \"noop\"\n[grid]\nslices = {tiles}\npages = {{ count = 1 }}\ntile = 1"
    );
    let job = stage.apply(&text).await?;
    let run = stage
        .submit(&job, &json!({"sleep_ms": seconds * 1_000}))
        .await?;
    running(stage, u64::from(tiles)).await?;
    Ok(run)
}

/// Waits until the workers run so many shards.
async fn running(stage: &Stage, shards: u64) -> anyhow::Result<()> {
    eventually(SOON, "the workers run their shards", async || {
        let workers = stage.cli(&["workers", "--json"], SOON).await?;
        let workers = workers.succeeded()?.json()?;
        let all = workers.as_array().into_iter().flatten();
        let running = all.filter_map(|worker| worker["in_flight"].as_u64());
        Ok(running.sum::<u64>() >= shards)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_living_hold_when_the_queue_is_lost_is_theirs_for_many_leases()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        // Leases of 1.8 s.
        for _ in 0..2 {
            stage.start_worker(4, &[]).await?;
        }
        let run = held(stage, 8, 9).await?;
        for _ in 0..2 {
            stage.server.kill().await?;
            stage.server.restart().await?;
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        stage.closed(&run, LONG).await?;
        let verdict = stage.judge(&run).await?.succeeded()?;
        assert_eq!((verdict.refilled, verdict.audit.repeated), (0, 0));
        // Whether the first tiles were delivered before its worker came nobody can tell it.
        let reasons = takeovers(stage, &run).await?;
        assert!(
            reasons.iter().all(|reason| *reason == Reason::Floor),
            "{reasons:?}"
        );
        nobody_was_condemned(stage);
        Ok(())
    })
    .await
}

/// What the leader does of itself for tiles that are missing on the queue it does ten seconds after they were issued, or
/// later: it finds them at two looks.
const LOOKED_FOR: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_holds_is_issued_again_because_the_queue_was_lost_and_not_by_a_look()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        stage.start_worker(4, &["--ack-deadline", "30s"]).await?;
        let run = held(stage, 4, 15).await?;
        let job = stage
            .apply("name = \"waits\"\nhandler = \"noop\"\n[grid]\nslices = 8\npages = { count = 1 }\ntile = 1")
            .await?;
        let waits = stage.submit(&job, &json!({})).await?;
        stage.queued(12, SOON).await?;
        let (queue, plan) = (QueueName::new("default")?, Author::Plan);
        let subjects = stage.broker.subjects();
        let wave = subjects.ledger_of(&queue, &waits, plan);
        let wave = stage.broker.last_of_leader(&subjects.ledger(), &wave).await?;
        let issued = wave.context("a wave of it")?.at;
        stage.server.kill().await?;
        stage.server.restart().await?;
        let again = eventually_some(LONG, "all of it is on the queue again", async || {
            let tiles = subjects.shards_of_run(&queue, &waits);
            let read = stage.broker.read(&subjects.shards(), &tiles, 1, None).await;
            let read = read.unwrap_or_default();
            let again = read.iter().filter(|stored| {
                wire::decode::<Tile>(&stored.payload).is_ok_and(|tile| tile.again)
            });
            let at: Vec<UnixMs> = again.map(|stored| stored.at).collect();
            Ok(at.iter().max().copied().filter(|_| at.len() == 8))
        })
        .await?;
        let took = Duration::from_millis(again.0.saturating_sub(issued.0));
        eprintln!("issued again after {took:?}");
        assert!(took < LOOKED_FOR, "{took:?}");
        for run in [&run, &waits] {
            stage.closed(run, LONG).await?;
            stage.judge(run).await?.succeeded()?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_handed_back_after_the_queue_was_lost_starts_elsewhere_at_once()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let args = ["--ack-deadline", "60s", "--grace", "200ms"];
        stage.start_worker(4, &args).await?;
        let run = held(stage, 4, 12).await?;
        stage.server.kill().await?;
        stage.server.restart().await?;
        stage.start_worker(4, &args).await?;
        // The leader has asked who holds what by then.
        tokio::time::sleep(Duration::from_secs(3)).await;
        stage.workers[0].terminate()?;
        let told = Instant::now();
        let took = eventually_some(SOON, "another has taken all of it over", async || {
            let reasons = takeovers(stage, &run).await?;
            let again = reasons.iter().filter(|reason| **reason == Reason::Again);
            Ok((again.count() >= 4).then(|| told.elapsed()))
        })
        .await?;
        eprintln!("taken over after {took:?}");
        // A look each ten seconds would find them at the second.
        assert!(took < Duration::from_secs(6), "{took:?}");
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_dies_with_the_broker_costs_its_own_shards_their_start_and_no_others()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        for _ in 0..2 {
            stage.start_worker(4, &["--ack-deadline", "30s"]).await?;
        }
        let run = held(stage, 8, 12).await?;
        let workers = &mut stage.workers;
        tokio::try_join!(async { Ok(stage.server.kill().await?) }, async {
            workers[0].kill().await
        },)?;
        stage.server.restart().await?;
        stage.closed(&run, LONG).await?;
        let verdict = stage.judge(&run).await?.succeeded()?;
        assert_eq!(verdict.audit.repeated, 0);
        let reasons = takeovers(stage, &run).await?;
        let again = reasons.iter().filter(|reason| **reason == Reason::Again);
        assert_eq!(again.count(), 4, "{reasons:?}");
        Ok(())
    })
    .await
}

/// Stops the broker where it stands for a while.
async fn stall(stage: &Stage, time: Duration) -> anyhow::Result<()> {
    let pid = stage
        .server
        .pid()
        .and_then(|pid| Pid::from_raw(pid.cast_signed()));
    let Some(pid) = pid else {
        anyhow::bail!("no broker runs")
    };
    kill_process(pid, Signal::STOP)?;
    tokio::time::sleep(time).await;
    kill_process(pid, Signal::CONT)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_that_stands_still_makes_all_slower_by_its_part_and_nothing_else()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        for _ in 0..2 {
            stage.start_worker(8, &["--ack-deadline", "30s"]).await?;
        }
        let job = stage
            .apply("name = \"steady\"\nhandler = \"noop\"\n[grid]\nslices = 8\npages = { count = 3_000 }\ntile = 1")
            .await?;
        let run = stage.submit(&job, &json!({"sleep_ms": 10})).await?;
        let begun = stage.done(&run, 1_000, SOON).await?;
        // Shards a second, while the broker stands still for a part of the time.
        let mut done = begun;
        let mut rates = Vec::new();
        for still in [0, 50, 100, 200] {
            let since = Instant::now();
            while since.elapsed() < Duration::from_secs(4) {
                stall(stage, Duration::from_millis(still)).await?;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            let now = stage.done(&run, done, SOON).await?;
            rates.push((now - done) as f64 / since.elapsed().as_secs_f64());
            done = now;
        }
        eprintln!("shards a second by how long it stands still: {rates:?}");
        let (whole, half) = (rates[0], rates[3]);
        assert!(half > whole * 0.2, "it does not degrade smoothly: {rates:?}");
        let answer = stage.cli(&["cancel", run.as_str()], SOON).await?;
        answer.succeeded()?;
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?;
        nobody_was_condemned(stage);
        let reasons = takeovers(stage, &run).await?;
        assert!(
            reasons.iter().all(|reason| *reason == Reason::Floor),
            "{reasons:?}"
        );
        Ok(())
    })
    .await
}
