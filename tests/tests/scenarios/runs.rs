//! Runs from beginning to end, by the commands that people type.

use std::time::{Duration, Instant};

use anyhow::Context;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::record::Record;
use gridloom_shared::ledger::summary::RunState;
use gridloom_tests::oracle::ledger::Ledger;
use gridloom_tests::scenario::{Stage, play};
use serde_json::{Value, json};

const LONG: Duration = Duration::from_secs(150);
const SOON: Duration = Duration::from_secs(30);

async fn apply_file(stage: &Stage, toml: &str) -> anyhow::Result<()> {
    let file = stage.dir().join("job.toml");
    std::fs::write(&file, toml)?;
    let file = file.to_str().context("a path that is text")?;
    stage
        .cli(&["job", "apply", file], SOON)
        .await?
        .succeeded()?;
    Ok(())
}

/// `gridloom run JOB --wait`: its exit code, and the run.
async fn run_and_wait(stage: &Stage, args: &[&str]) -> anyhow::Result<(u8, RunId, Value)> {
    let args = [&["run"], args, &["--wait", "--json"]].concat();
    let output = stage.cli(&args, LONG).await?;
    let last = output
        .stdout
        .lines()
        .last()
        .with_context(|| format!("a line of JSON: {output:?}"))?;
    let shown: Value = serde_json::from_str(last).with_context(|| format!("read {output:?}"))?;
    let run = shown["run"].as_str().context("the run's id")?;
    Ok((output.code, RunId::new(run)?, shown))
}

async fn audit(stage: &Stage, run: &RunId) -> anyhow::Result<Value> {
    stage
        .cli(&["audit", run.as_str(), "--json"], LONG)
        .await?
        .succeeded()?
        .json()
}

#[tokio::test(flavor = "multi_thread")]
async fn hundred_thousand_shards_complete_and_audit_clean() -> anyhow::Result<()> {
    play(async |stage| {
        apply_file(
            stage,
            "name = \"wide\"\nhandler = \"noop\"\n[grid]\nslices = 100\npages = { count = 1000 }\ntile = 16",
        )
        .await?;
        stage.start_planner().await?;
        stage.start_worker(64, &[]).await?;
        let started = Instant::now();
        let (code, run, _) = run_and_wait(stage, &["wide"]).await?;
        eprintln!("100,000 shards in tiles of 16 took {:?}", started.elapsed());
        assert_eq!(code, 0);
        let report = audit(stage, &run).await?;
        assert_eq!((report["ok"].as_bool(), report["committed"].as_u64()), (Some(true), Some(100_000)));
        stage.judge(&run).await?.succeeded()?;
        Ok(())
    })
    .await
}

/// `GRIDLOOM_TEST_FULL=1` runs the large sizes of what is smaller otherwise.
fn full() -> bool {
    std::env::var_os("GRIDLOOM_TEST_FULL").is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_that_travel_alone_complete_and_audit_clean() -> anyhow::Result<()> {
    play(async |stage| {
        let (pages, shards) = if full() { (6_250, 100_000) } else { (625, 10_000) };
        apply_file(
            stage,
            &format!("name = \"alone\"\nhandler = \"noop\"\n[grid]\nslices = 16\npages = {{ count = {pages} }}\ntile = 1"),
        )
        .await?;
        stage.start_planner().await?;
        stage.start_worker(64, &[]).await?;
        let started = Instant::now();
        let (code, run, _) = run_and_wait(stage, &["alone"]).await?;
        eprintln!("{shards} shards in tiles of 1 took {:?}", started.elapsed());
        assert_eq!(code, 0);
        let report = audit(stage, &run).await?;
        assert_eq!((report["ok"].as_bool(), report["committed"].as_u64()), (Some(true), Some(shards)));
        let verdict = stage.judge(&run).await?.succeeded()?;
        assert_eq!((verdict.tiles, verdict.stored), (shards, shards));
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_shards_are_tried_again_in_later_waves_after_their_backoff() -> anyhow::Result<()> {
    play(async |stage| {
        let job = stage
            .apply(
                "name = \"shaky\"\nhandler = \"noop\"\n[grid]\nslices = 4\npages = { count = 20 }\ntile = 5\n\
                 [retry]\nmax_attempts = 3\nbackoff = { initial = \"300ms\", factor = 2.0, max = \"5s\", jitter = 0.0 }",
            )
            .await?;
        stage.start_all(1).await?;
        let run = stage.submit(&job, &json!({"fail_attempts": 2})).await?;
        stage.closed(&run, SOON).await?;
        let verdict = stage.judge(&run).await?.succeeded()?;
        assert_eq!(verdict.summary.shards.retried, 160);
        assert_eq!((verdict.audit.repeated, verdict.audit.dead), (0, 0));
        assert!(stage_waited(&Ledger::read(&stage.broker, &run).await?));
        Ok(())
    })
    .await
}

/// Whether the first wave of each attempt came no sooner after that of the one before than the
/// backoff between them.
fn stage_waited(ledger: &Ledger) -> bool {
    let first_of = |attempt: u32| {
        ledger.entries.iter().find_map(|entry| {
            let Some(Record::Plan(plan)) = &entry.record else {
                return None;
            };
            let wave = plan.wave(entry.seq)?;
            let mut tiles = wave.tiles.iter();
            let any = tiles.any(|tiles| tiles.attempt == attempt);
            any.then_some(entry.at.0)
        })
    };
    match (first_of(1), first_of(2), first_of(3)) {
        (Some(first), Some(second), Some(third)) => second - first >= 300 && third - second >= 600,
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_that_use_up_their_attempts_are_dead_and_the_rest_of_their_tile_is_not_repeated()
-> anyhow::Result<()> {
    play(async |stage| {
        apply_file(
            stage,
            "name = \"mortal\"\nhandler = \"noop\"\n[grid]\nslices = 4\npages = { count = 50 }\ntile = 10\n\
             [retry]\nmax_attempts = 2\nbackoff = { initial = \"100ms\" }\n[params]\nfail_percent = 40",
        )
        .await?;
        stage.start_all(1).await?;
        let (code, run, _) = run_and_wait(stage, &["mortal"]).await?;
        assert_eq!(code, 1);
        let verdict = stage.judge(&run).await?;
        let shards = verdict.summary.shards;
        assert_eq!(verdict.summary.state, RunState::Failed);
        assert!(shards.dead > 0 && shards.dead + shards.done == 200, "{shards:?}");
        assert_eq!((shards.late, verdict.audit.repeated, verdict.audit.committed), (0, 0, shards.done));
        let dead = stage.cli(&["dead", "list", run.as_str(), "--json"], SOON).await?.succeeded()?.json()?;
        let dead = dead.as_array().context("a list")?;
        assert_eq!(dead.len() as u64, shards.dead);
        for shard in dead {
            assert_eq!((shard["attempts"].as_u64(), shard["job"].as_str()), (Some(2), Some("mortal")));
            assert!(shard["error"].as_str().is_some_and(|error| error.contains("attempt 2")), "{shard}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn command_that_dies_fails_its_shard_alone() -> anyhow::Result<()> {
    play(async |stage| {
        // Odd pages die of a signal at every attempt, page 2 once, page 4 is never tried again.
        let script = stage.dir().join("dies.sh");
        std::fs::write(
            &script,
            "read -r shard\n\
             case $GRIDLOOM_PAGE/$GRIDLOOM_ATTEMPT in\n\
             [13579]/*) kill -9 $$ ;;\n\
             2/1) exit 3 ;;\n\
             4/*) exit 65 ;;\n\
             esac\n\
             echo '{\"rows\": 1}'\n",
        )?;
        let command = format!("dies=/bin/sh {}", script.display());
        let job = stage
            .apply(
                "name = \"commands\"\nhandler = \"exec\"\n[grid]\nslices = 1\npages = { count = 10 }\ntile = 10\n\
                 [retry]\nmax_attempts = 2\nbackoff = { initial = \"50ms\" }\n[exec]\ncommand = \"dies\"",
            )
            .await?;
        stage.start_planner().await?;
        stage.start_worker(4, &["--exec", &command]).await?;
        let run = stage.submit(&job, &json!({})).await?;
        stage.closed(&run, SOON).await?;
        let verdict = stage.judge(&run).await?;
        let shards = verdict.summary.shards;
        assert_eq!((shards.done, shards.dead, shards.retried), (4, 6, 6), "{:?}", verdict.summary);
        assert_eq!(verdict.summary.rows, 4);
        Ok(())
    })
    .await
}
