//! Effects in a database: each shard's exactly once, whatever happens to the workers.

use std::time::Duration;

use anyhow::Context;
use gridloom_shared::id::RunId;
use gridloom_tests::scenario::{Stage, play};
use serde_json::json;
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};

const LONG: Duration = Duration::from_secs(120);
const SOON: Duration = Duration::from_secs(30);
const SLICES: i64 = 4;
const PAGES: i64 = 100;

/// A database in which each slice has a sum, and a run whose shards each add one to their slice's:
/// a statement that shows every repetition.
async fn begun(stage: &mut Stage, workers: usize) -> anyhow::Result<RunId> {
    let options = SqliteConnectOptions::new()
        .filename(file(stage))
        .create_if_missing(true);
    let options = options.journal_mode(SqliteJournalMode::Wal);
    let mut database = SqliteConnection::connect_with(&options).await?;
    sqlx::query("CREATE TABLE sums (slice INTEGER PRIMARY KEY, total INTEGER NOT NULL)")
        .execute(&mut database)
        .await?;
    for slice in 0..SLICES {
        sqlx::query("INSERT INTO sums VALUES (?, 0)")
            .bind(slice)
            .execute(&mut database)
            .await?;
    }
    database.close().await?;
    let job = stage
        .apply(&format!(
            "name = \"sums\"\nhandler = \"sql\"\n[grid]\nslices = {SLICES}\npages = {{ count = {PAGES} }}\ntile = 2\n\
             [retry]\nmax_attempts = 20\nbackoff = {{ initial = \"100ms\", max = \"1s\" }}\n\
             [sql]\ndatabase = \"sums\"\nstatement = \"UPDATE sums SET total = total + 1 WHERE slice = :slice\""
        ))
        .await?;
    stage.start_planner().await?;
    for _ in 0..workers {
        start_worker(stage).await?;
    }
    stage.submit(&job, &json!({})).await
}

fn file(stage: &Stage) -> std::path::PathBuf {
    stage.dir().join("sums.db")
}

async fn start_worker(stage: &mut Stage) -> anyhow::Result<usize> {
    let database = format!("sums=sqlite:{}", file(stage).display());
    stage.start_worker(3, &["--database", &database]).await
}

/// Every shard had its effect once: no slice's sum is another than its pages.
async fn exactly_once(stage: &Stage) -> anyhow::Result<()> {
    let mut database =
        SqliteConnection::connect(&format!("sqlite:{}", file(stage).display())).await?;
    let sums: Vec<(i64, i64)> = sqlx::query_as("SELECT slice, total FROM sums ORDER BY slice")
        .fetch_all(&mut database)
        .await?;
    let expected: Vec<(i64, i64)> = (0..SLICES).map(|slice| (slice, PAGES)).collect();
    anyhow::ensure!(
        sums == expected,
        "sums {sums:?}, seed {}",
        stage.seed.number()
    );
    let rows: (i64,) = sqlx::query_as("SELECT count(*) FROM gridloom_commit")
        .fetch_one(&mut database)
        .await?;
    anyhow::ensure!(rows.0 == SLICES * PAGES, "{} rows of commits", rows.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn effects_happen_once_although_workers_are_killed_in_a_loop() -> anyhow::Result<()> {
    play(async |stage| {
        let run = begun(stage, 2).await?;
        for _ in 0..8 {
            let moment = stage
                .seed
                .between(Duration::from_millis(100), Duration::from_millis(900));
            tokio::time::sleep(moment).await;
            let victim = stage.workers.len() - 1 - stage.seed.below(2) as usize;
            stage.workers[victim].kill().await?;
            stage.judge_open(&run).await?;
            start_worker(stage).await?;
        }
        stage.closed(&run, LONG).await?;
        let verdict = stage.judge(&run).await?.succeeded()?;
        anyhow::ensure!(
            verdict.summary.rows == i128::from(SLICES * PAGES),
            "{:?}",
            verdict.summary
        );
        exactly_once(stage).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_stopped_past_its_lease_and_continued_does_no_harm() -> anyhow::Result<()> {
    play(async |stage| {
        let run = begun(stage, 2).await?;
        for round in 0..3 {
            stage.done(&run, 20 + 40 * round, SOON).await?;
            let moment = stage
                .seed
                .between(Duration::ZERO, Duration::from_millis(200));
            tokio::time::sleep(moment).await;
            let victim = stage.seed.below(2) as usize;
            stage.workers[victim].freeze()?;
            // Well past its lease: another has taken over by then what it holds.
            tokio::time::sleep(Duration::from_secs(4)).await;
            stage.workers[victim].thaw()?;
            stage.judge_open(&run).await?;
        }
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        for worker in &mut stage.workers {
            assert!(worker.is_running()?);
        }
        exactly_once(stage).await.context("effects")
    })
    .await
}
