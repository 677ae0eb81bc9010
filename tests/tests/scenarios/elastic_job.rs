//! The failures of ElasticJob that this engine must not have, each by its number in the design. 4 and 7 are played with
//! fires by the clock, and with submissions.

use std::time::{Duration, Instant};

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::ledger::record::{Reason, Record};
use gridloom_shared::ledger::summary::RunState;
use gridloom_tests::chaos::fault::Fault;
use gridloom_tests::chaos::{self, Options};
use gridloom_tests::oracle::fires::Fires;
use gridloom_tests::oracle::ledger::Ledger;
use gridloom_tests::scenario::{Stage, play};
use serde_json::json;

use crate::schedules::{apply, decided, judged};

const LONG: Duration = Duration::from_secs(90);
const SOON: Duration = Duration::from_secs(30);

/// How many tiles of `run` were taken over. What lay on the queue before the first worker came is taken
/// over as well, for its floor; it was nobody's, and does not count.
async fn taken_over(stage: &Stage, run: &RunId) -> anyhow::Result<usize> {
    let ledger = Ledger::read(&stage.broker, run).await?;
    let tiles = ledger.entries.iter().map(|entry| match &entry.record {
        Some(Record::Takeover(taken)) if taken.reason != Reason::Floor => taken.tiles.len(),
        Some(_) | None => 0,
    });
    Ok(tiles.sum())
}

async fn all_succeed(stage: &Stage, runs: &[RunId]) -> anyhow::Result<()> {
    for run in runs {
        stage.closed(run, SOON).await?;
        stage.judge(run).await?.succeeded()?;
    }
    Ok(())
}

/// A run of `shards` shards of this many milliseconds, each in a tile of `tile`, that has begun.
async fn begun(stage: &mut Stage, shards: u32, tile: u32, ms: u64) -> anyhow::Result<RunId> {
    let text = format!(
        "name = \"elastic\"\nhandler = \"noop\"\n[grid]\nslices = 1\npages = {{ count = {shards} }}\ntile = {tile}"
    );
    let job = stage.apply(&text).await?;
    let run = stage.submit(&job, &json!({"sleep_ms": ms})).await?;
    stage.done(&run, 1, SOON).await?;
    Ok(run)
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_1_instance_with_own_and_taken_over_shards_dies_and_all_are_picked_up()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(2).await?;
        let run = begun(stage, 60, 1, 300).await?;
        stage.workers[0].kill().await?;
        let took_over = async || {
            let ledger = Ledger::read(&stage.broker, &run).await?;
            Ok(ledger.audit().takeovers > 0)
        };
        gridloom_tests::wait::eventually(SOON, "the other took over", took_over).await?;
        stage.workers[1].kill().await?;
        stage.start_worker(4, &[]).await?;
        stage.closed(&run, LONG).await?;
        let verdict = stage.judge(&run).await?.succeeded()?;
        assert_eq!(verdict.audit.repeated, 0);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_2_several_failovers_at_once_run_no_shard_repeatedly() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(4).await?;
        let run = begun(stage, 120, 1, 300).await?;
        for worker in 0..3 {
            stage.workers[worker].kill().await?;
        }
        stage.closed(&run, LONG).await?;
        let verdict = stage.judge(&run).await?.succeeded()?;
        let shards = verdict.summary.shards;
        assert_eq!(
            (verdict.audit.repeated, shards.late, shards.retried),
            (0, 0, 0)
        );
        // Once each: what three workers of four tiles held, and pulled without having begun it.
        let taken = taken_over(stage, &run).await?;
        anyhow::ensure!(
            (1..=3 * 4 * 2).contains(&taken),
            "{taken} tiles: {shards:?}"
        );
        Ok(())
    })
    .await
}

/// A mix of one kind of fault, judged also by the executions that ran at the same time.
async fn only(fault: Fault) -> anyhow::Result<chaos::verdict::Tally> {
    let options = Options {
        seed: gridloom_tests::seed::Seed::from_env()?.number(),
        lasts: Duration::from_secs(30),
        cluster: false,
        on_file: false,
        ticks: false,
        faults: vec![fault],
        logs: None,
    };
    eprintln!("seed {}", options.seed);
    let tally = Box::pin(chaos::run(&options, &|line| eprintln!("{line}"))).await?;
    anyhow::ensure!(tally.breaches.is_empty(), "{}", tally.breaches.join("\n"));
    Ok(tally)
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_3_instance_that_was_stopped_past_its_lease_executes_nothing_beside_its_successor()
-> anyhow::Result<()> {
    only(Fault::FreezeWorker).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_3_instance_behind_a_stalled_connection_stops_before_others_take_its_shards()
-> anyhow::Result<()> {
    let tally = only(Fault::Stall).await?;
    // It was never stopped itself, so its lease ended before anybody could take over.
    anyhow::ensure!(tally.overlaps.is_empty(), "{:#?}", tally.overlaps);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_4_requests_that_come_while_the_job_runs_are_a_run_each() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        let mut runs = vec![begun(stage, 60, 1, 300).await?];
        let job = JobName::new("elastic")?;
        for _ in 0..4 {
            runs.push(stage.submit(&job, &json!({"sleep_ms": 10})).await?);
        }
        assert!(!stage.is_closed(&runs[0]).await?, "nothing overlapped");
        all_succeed(stage, &runs).await
    })
    .await
}

/// A whole second, so many from now.
fn seconds(from_now: u64) -> UnixMs {
    UnixMs((UnixMs::now().0 / 1_000 + from_now) * 1_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_4_fires_that_come_while_the_job_runs_are_a_run_each() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        let times = (3..7).map(|from_now| format!("\"{}\"", seconds(from_now).rfc3339()));
        let times = times.collect::<Vec<_>>().join(", ");
        let schedule = format!("at = [{times}]\noverlap = \"queue_all\"");
        let job = apply(stage, 4_000, &schedule).await?;
        // All come while the first one runs.
        decided(stage, &job, "queued", 3).await?;
        let fires = decided(stage, &job, "opened", 4).await?;
        let in_order: Vec<&RunId> = fires.opened().collect();
        assert!(in_order.is_sorted(), "{in_order:?}");
        let fires = judged(stage, &job).await?;
        assert_eq!(fires.runs.len(), 4, "{:?}", fires.runs);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_5_shard_that_threw_keeps_no_mark_and_the_run_ends() -> anyhow::Result<()> {
    play(async |stage| {
        let job = stage
            .apply(
                "name = \"throws\"\nhandler = \"noop\"\n[grid]\nslices = 1\npages = { count = 10 }\ntile = 5\n\
                 [retry]\nmax_attempts = 3\nbackoff = { initial = \"50ms\" }",
            )
            .await?;
        stage.start_all(1).await?;
        let recovers = stage.submit(&job, &json!({"fail_attempts": 1})).await?;
        let never = stage.submit(&job, &json!({"fail_attempts": 9})).await?;
        stage.closed(&recovers, SOON).await?;
        stage.closed(&never, SOON).await?;
        stage.judge(&recovers).await?.succeeded()?;
        let verdict = stage.judge(&never).await?;
        assert_eq!((verdict.summary.state, verdict.summary.shards.dead), (RunState::Failed, 10));
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_6_failover_repeats_no_finished_shard() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        let run = begun(stage, 60, 1, 150).await?;
        stage.done(&run, 12, SOON).await?;
        stage.workers[0].kill().await?;
        stage.judge_open(&run).await?;
        stage.start_worker(4, &[]).await?;
        stage.closed(&run, LONG).await?;
        let verdict = stage.judge(&run).await?.succeeded()?;
        let shards = verdict.summary.shards;
        assert_eq!((verdict.audit.repeated, shards.late), (0, 0));
        // What was held or pulled at the death, and nothing of the dozen that was done.
        let taken = taken_over(stage, &run).await?;
        anyhow::ensure!((1..=8).contains(&taken), "{taken} tiles: {shards:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_7_requests_that_came_while_nobody_planned_wait_for_no_other_request()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        let mut runs = vec![begun(stage, 12, 1, 100).await?];
        stage.planners[0].kill().await?;
        let job = JobName::new("elastic")?;
        for _ in 0..3 {
            runs.push(stage.submit(&job, &json!({})).await?);
        }
        stage.start_planner().await?;
        all_succeed(stage, &runs).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_7_fires_that_came_while_nobody_planned_wait_for_no_other_fire()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        let (missed, next) = (seconds(4), seconds(10 * 24 * 3_600));
        let schedule = format!("at = [\"{}\", \"{}\"]", missed.rfc3339(), next.rfc3339());
        let job = apply(stage, 5, &schedule).await?;
        decided(stage, &job, "adopted", 1).await?;
        stage.planners[0].kill().await?;
        stage.free_leadership().await?;
        // Longer than a fire may be late: it is made up for, and not merely late.
        tokio::time::sleep(Duration::from_secs(15)).await;
        assert_eq!(Fires::read(&stage.broker, &job).await?.runs.len(), 0);
        stage.start_planner().await?;
        // The next one comes in ten days.
        let fires = decided(stage, &job, "opened", 1).await?;
        let made_up: Vec<&RunId> = fires.opened().collect();
        assert_eq!(made_up, [&RunId::from_fire(&job, missed)]);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_8_shutdown_marks_no_unfinished_shard_as_done() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let args = ["--ack-deadline", "60s", "--grace", "200ms"];
        stage.start_worker(4, &args).await?;
        let job = stage
            .apply("name = \"slow\"\nhandler = \"noop\"\n[grid]\nslices = 1\npages = { count = 4 }\ntile = 1")
            .await?;
        let run = stage.submit(&job, &json!({"sleep_ms": 5_000})).await?;
        stage.queued(4, SOON).await?;
        let told = Instant::now();
        stage.workers[0].terminate()?;
        assert_eq!(stage.workers[0].wait(SOON).await?, 0);
        assert!(told.elapsed() < Duration::from_secs(5), "it waited for its shards");
        let ledger = Ledger::read(&stage.broker, &run).await?;
        assert_eq!(ledger.summary()?.shards.done, 0);
        stage.judge_open(&run).await?;
        stage.start_worker(4, &args).await?;
        // Handed back, so nobody waits for the minute of the ack deadline.
        stage.closed(&run, SOON).await?;
        stage.judge(&run).await?.succeeded()?;
        Ok(())
    })
    .await
}
