//! Planners that are killed, and several at once: every shard is issued once.

use std::time::{Duration, Instant};

use anyhow::Context;
use gridloom_shared::id::{JobName, QueueName, RunId, Term};
use gridloom_shared::ledger::record::{Author, PlanRecord, TileRun, Wave};
use gridloom_shared::wire;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;
use serde_json::json;

const LONG: Duration = Duration::from_secs(120);
const SOON: Duration = Duration::from_secs(30);
/// Kills of the long test.
const KILLS: usize = 22;
/// Shards of the run for which two planners decide at once, and how often that is tried.
const RACED: u32 = 1_500;
/// See [`RACED`].
const RACES: usize = 100;

async fn job(stage: &Stage, pages: u32) -> anyhow::Result<JobName> {
    let text = format!(
        "name = \"waves\"\nhandler = \"noop\"\n[grid]\nslices = 16\npages = {{ count = {pages} }}\ntile = 1"
    );
    stage.apply(&text).await
}

async fn leads(stage: &Stage, term: u64) -> anyhow::Result<()> {
    eventually(SOON, "a planner leads", async || {
        Ok(stage.term().await? >= term)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn second_planner_does_no_harm_and_takes_over_when_the_first_is_killed() -> anyhow::Result<()>
{
    play(async |stage| {
        let job = job(stage, 200).await?;
        stage.start_all(1).await?;
        leads(stage, 1).await?;
        let run = stage.submit(&job, &json!({"sleep_ms": 5})).await?;
        stage.done(&run, 100, SOON).await?;
        stage.start_planner().await?;
        stage.done(&run, 800, SOON).await?;
        assert_eq!(
            stage.term().await?,
            1,
            "a planner took the term of one that lives"
        );
        stage.judge_open(&run).await?;
        stage.planners[0].kill().await?;
        let killed = Instant::now();
        leads(stage, 2).await?;
        let taken = killed.elapsed();
        eprintln!("led again after {taken:?}");
        assert!(taken < Duration::from_secs(10), "{taken:?}");
        stage.closed(&run, LONG).await?;
        let verdict = stage.judge(&run).await?.succeeded()?;
        assert_eq!(verdict.audit.repeated, 0);
        assert_eq!(stage.term().await?, 2);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn planner_that_is_killed_and_comes_back_issues_no_shard_twice() -> anyhow::Result<()> {
    play(async |stage| {
        eprintln!("seed {}", stage.seed.number());
        let job = job(stage, 60).await?;
        stage.start_worker(64, &[]).await?;
        let mut runs: Vec<RunId> = Vec::new();
        let mut term = 0;
        for round in 0..KILLS {
            runs.push(stage.submit(&job, &json!({})).await?);
            let planner = stage.start_planner().await?;
            // Some die before they lead, most in the middle of their waves.
            if round % 5 != 4 {
                leads(stage, term + 1).await?;
            }
            let moment = stage
                .seed
                .between(Duration::ZERO, Duration::from_millis(800));
            tokio::time::sleep(moment).await;
            stage.planners[planner].kill().await?;
            term = stage.term().await?;
            stage.free_leadership().await?;
        }
        stage.start_planner().await?;
        let (mut waves, mut refilled) = (0, 0);
        for run in &runs {
            stage.closed(run, LONG).await?;
            let verdict = stage.judge(run).await?.succeeded()?;
            waves += verdict.waves;
            refilled += verdict.refilled;
        }
        eprintln!(
            "{KILLS} kills, {} runs, {waves} waves, {refilled} tiles published again",
            runs.len()
        );
        assert_eq!(stage.observer.gaps(), 0);
        Ok(())
    })
    .await
}

/// Decides a wave of one tile behind the last one, as a planner would that was deposed and does not
/// know it. `false` where the leader was quicker.
async fn decide_beside_the_leader(stage: &Stage, run: &RunId) -> anyhow::Result<bool> {
    let subjects = stage.broker.subjects();
    let plan = subjects.ledger_of(&QueueName::new("default")?, run, Author::Plan);
    let last = stage
        .broker
        .last_of_leader(&subjects.ledger(), &plan)
        .await?;
    let last = last.context("a plan record")?;
    let PlanRecord::Wave(wave) = wire::decode(&last.payload)? else {
        return Ok(false);
    };
    if wave.term == Term(0) {
        // Its own: the leader has to come first, and is then likely to be about to go on.
        return Ok(false);
    }
    let end = wave.tiles.last().context("tiles")?;
    let next = end.first + end.tiles * end.pages;
    if next >= RACED {
        return Ok(false);
    }
    let wave = Wave {
        n: wave.n + 1,
        folded: last.seq,
        term: Term(0),
        tiles: vec![TileRun {
            first: next,
            tiles: 1,
            ..end.clone()
        }],
    };
    let record = wire::encode(&PlanRecord::Wave(wave));
    let decided = stage.broker.append(plan, record, Some(last.seq)).await;
    Ok(decided.is_ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn wave_that_another_planner_decided_first_is_not_decided_again() -> anyhow::Result<()> {
    play(async |stage| {
        let job = stage
            .apply(&format!(
                "name = \"raced\"\nhandler = \"noop\"\n[grid]\nslices = 1\npages = {{ count = {RACED} }}\ntile = 1"
            ))
            .await?;
        stage.start_all(1).await?;
        let run = stage.submit(&job, &json!({"sleep_ms": 10})).await?;
        stage.done(&run, 10, SOON).await?;
        let (mut decided, mut tried) = (0, 0);
        while decided < RACES && tried < 20 * RACES {
            decided += usize::from(decide_beside_the_leader(stage, &run).await?);
            tried += 1;
        }
        eprintln!("{decided} waves decided beside the leader");
        assert!(decided > 0);
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        Ok(())
    })
    .await
}
