//! A power failure of the broker's machine, played: what was flushed is there afterwards, and nothing else. Planners and
//! workers live on elsewhere.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::ensure;
use gridloom_cli::embedded::{Options, SYNC_ALWAYS};
use gridloom_shared::broker::topology::TopologyOptions;
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::ledger::audit::Report;
use gridloom_shared::ledger::summary::RunState;
use gridloom_tests::oracle::ledger::Ledger;
use gridloom_tests::power::PoweredDisk;
use gridloom_tests::scenario::{Stage, play_on};
use gridloom_tests::server::{Earlier, SYNC_AT_INTERVAL, TestServer};
use gridloom_tests::wait::eventually;
use serde_json::json;
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};

const LONG: Duration = Duration::from_secs(120);
const SOON: Duration = Duration::from_secs(30);
/// Shards of the run whose effects are counted, and how many a second there may be: it takes some ten seconds.
const SHARDS: u64 = 600;
const RATE: u64 = 60;
const SLICES: u64 = 4;
/// A run that is not over by then is none.
const UNKNOWN_AFTER: Duration = Duration::from_secs(5);

fn database(stage: &Stage) -> std::path::PathBuf {
    stage.dir().join("sums.db")
}

/// A run each of whose shards adds one to its slice's sum: a statement that shows every repetition. Two workers are at it.
async fn begun(stage: &mut Stage) -> anyhow::Result<RunId> {
    let options = SqliteConnectOptions::new()
        .filename(database(stage))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let mut sums = SqliteConnection::connect_with(&options).await?;
    for text in [
        "CREATE TABLE sums (slice INTEGER PRIMARY KEY, total INTEGER NOT NULL)",
        "INSERT INTO sums VALUES (0, 0), (1, 0), (2, 0), (3, 0)",
    ] {
        sqlx::query(text).execute(&mut sums).await?;
    }
    sums.close().await?;
    let pages = SHARDS / SLICES;
    let job = format!(
        "name = \"sums\"\nhandler = \"sql\"\n[grid]\nslices = {SLICES}\npages = {{ count = {pages} }}\ntile = 1\n\
         [retry]\nmax_attempts = 20\nbackoff = {{ initial = \"100ms\", max = \"1s\" }}\n[limits]\nrate = \"{RATE}/s\"\n\
         [sql]\ndatabase = \"sums\"\nstatement = \"UPDATE sums SET total = total + 1 WHERE slice = :slice\""
    );
    let job = stage.apply(&job).await?;
    stage.start_planner().await?;
    let named = format!("sums=sqlite:{}", database(stage).display());
    for _ in 0..2 {
        stage.start_worker(2, &["--database", &named]).await?;
    }
    stage.submit(&job, &json!({})).await
}

/// Every shard did its work once, whatever the ledger has of it.
async fn exactly_once(stage: &Stage) -> anyhow::Result<()> {
    let url = format!("sqlite:{}", database(stage).display());
    let mut sums = SqliteConnection::connect(&url).await?;
    let (total,): (i64,) = sqlx::query_as("SELECT sum(total) FROM sums")
        .fetch_one(&mut sums)
        .await?;
    ensure!(total == SHARDS as i64, "{total} effects of {SHARDS} shards");
    Ok(())
}

/// The run is complete, and each of its effects happened once. Outcomes of waves that the ledger lost, by workers that had
/// their tiles, may stand in it as of what was never issued: its audit says so.
async fn ends_well(stage: &Stage, run: &RunId) -> anyhow::Result<Report> {
    stage.closed(run, LONG).await?;
    let ledger = Ledger::read(&stage.broker, run).await?;
    let (summary, audit) = (ledger.summary()?, ledger.audit());
    ensure!(summary.state == RunState::Succeeded, "{summary:?}");
    ensure!(
        (audit.planned, audit.committed) == (SHARDS, SHARDS),
        "{audit:?}"
    );
    ensure!((audit.lost_cells, audit.dead) == (0, 0), "{audit:?}");
    exactly_once(stage).await?;
    Ok(audit)
}

/// Records of the ledger by their sequences.
async fn records(stage: &Stage) -> anyhow::Result<HashMap<u64, Vec<u8>>> {
    let subjects = stage.broker.subjects();
    let records = stage
        .broker
        .read(&subjects.ledger(), subjects.all_ledgers(), 1, None)
        .await?;
    let records = records.into_iter();
    Ok(records
        .map(|record| (record.seq, record.payload.to_vec()))
        .collect())
}

/// Asks for runs of `job` one after the other; each was confirmed.
async fn confirmed(stage: &mut Stage, job: &JobName, count: usize) -> anyhow::Result<Vec<RunId>> {
    let mut runs = Vec::new();
    for _ in 0..count {
        runs.push(stage.submit(job, &json!({})).await?);
    }
    Ok(runs)
}

async fn small(stage: &Stage, name: &str) -> anyhow::Result<JobName> {
    let text = format!(
        "name = \"{name}\"\nhandler = \"noop\"\n[grid]\nslices = 1\npages = {{ count = 2 }}"
    );
    stage.apply(&text).await
}

/// The power fails while a run is under way, just after ten submissions and a definition were confirmed. Says how many of
/// the ledger's records are gone, and which of the ten runs nobody knows of any more.
async fn cut(
    stage: &mut Stage,
    disk: &mut PoweredDisk,
    run: &RunId,
) -> anyhow::Result<(usize, Vec<RunId>)> {
    stage.done(run, SHARDS / 6, SOON).await?;
    let job = small(stage, "late").await?;
    let runs = confirmed(stage, &job, 10).await?;
    let before = records(stage).await?;
    disk.fail(&mut stage.server).await?;
    let after = records(stage).await?;
    let lost = before.iter().filter(|(seq, payload)| {
        let now = after.get(seq);
        now != Some(payload)
    });
    let lost = lost.count();
    ends_well(stage, run).await?;
    let mut unknown = runs;
    // Whoever is known ends.
    let all = eventually(UNKNOWN_AFTER, "none of them is unknown", async || {
        let mut left = Vec::new();
        for run in &unknown {
            if !stage.is_closed(run).await? {
                left.push(run.clone());
            }
        }
        unknown = left;
        Ok(unknown.is_empty())
    });
    let _ = all.await;
    eprintln!(
        "of {} records {lost} are gone, of 10 runs {}",
        before.len(),
        unknown.len()
    );
    Ok((lost, unknown))
}

async fn disk() -> anyhow::Result<Option<PoweredDisk>> {
    let disk = PoweredDisk::mount().await?;
    if disk.is_none() {
        eprintln!("\n*** NOT RUN: a power failure: no file system behind a loop device here ***\n");
    }
    Ok(disk)
}

#[tokio::test(flavor = "multi_thread")]
async fn power_failure_costs_nothing_that_was_confirmed_where_each_record_is_flushed()
-> anyhow::Result<()> {
    let Some(mut disk) = disk().await? else {
        return Ok(());
    };
    let server = disk.broker(SYNC_ALWAYS).await?;
    play_on(server, &TopologyOptions::default(), async |stage| {
        let run = begun(stage).await?;
        let (lost, unknown) = cut(stage, &mut disk, &run).await?;
        ensure!(
            lost == 0 && unknown.is_empty(),
            "{lost} records, {unknown:?}"
        );
        stage.judge_ledger(&run).await?.succeeded()?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn power_failure_of_a_broker_that_flushes_at_an_interval_costs_what_came_last_and_the_rest_ends_well()
-> anyhow::Result<()> {
    let Some(mut disk) = disk().await? else {
        return Ok(());
    };
    let server = disk.broker(SYNC_AT_INTERVAL).await?;
    play_on(server, &TopologyOptions::default(), async |stage| {
        let run = begun(stage).await?;
        stage.done(&run, 1, SOON).await?;
        disk.settle().await?;
        let (lost, unknown) = cut(stage, &mut disk, &run).await?;
        ensure!(
            lost > 0 && !unknown.is_empty(),
            "it lost nothing: {lost}, {unknown:?}"
        );
        Ok(())
    })
    .await
}

/// A planner that was away meanwhile finds a ledger that is longer than what it has read of it, and is another.
#[tokio::test(flavor = "multi_thread")]
async fn planner_that_was_away_when_the_ledger_was_set_back_and_grew_again_reads_it_anew()
-> anyhow::Result<()> {
    let server = TestServer::start_with(Options {
        jetstream_config: SYNC_AT_INTERVAL.to_owned(),
        ..Options::default()
    })
    .await?;
    play_on(server, &TopologyOptions::default(), async |stage| {
        let run = begun(stage).await?;
        let away = stage.start_planner().await?;
        eventually(SOON, "another planner stands by", async || {
            Ok(stage.planners[away].stderr().contains("planner started"))
        })
        .await?;
        let name = stage.broker.subjects().ledger();
        stage.done(&run, SHARDS / 6, SOON).await?;
        let kept = Earlier::of(&stage.server, &name, stage.dir())?;
        let grows_beyond = async |stage: &Stage, end: u64| {
            eventually(SOON, "the ledger grows", async || {
                let state = stage.broker.info(&name).await;
                Ok(state.is_ok_and(|state| state.last_seq >= end + 8))
            })
            .await
        };
        grows_beyond(stage, stage.broker.info(&name).await?.last_seq).await?;
        stage.planners[away].freeze()?;
        let lost = stage.broker.info(&name).await?.last_seq;
        stage.planners[0].kill().await?;
        kept.bring_back(&mut stage.server).await?;
        let meanwhile = stage.start_planner().await?;
        grows_beyond(stage, lost).await?;
        stage.planners[meanwhile].kill().await?;
        stage.planners[away].thaw()?;
        ends_well(stage, &run).await?;
        Ok(())
    })
    .await
}

/// The ledger alone ends where it stood a while ago: streams are flushed each by itself. Its sequences come again, beside
/// processes that remember what they meant.
#[tokio::test(flavor = "multi_thread")]
async fn ledger_that_lost_its_last_records_beside_the_living_ends_its_runs_well()
-> anyhow::Result<()> {
    let server = TestServer::start_with(Options {
        jetstream_config: SYNC_AT_INTERVAL.to_owned(),
        ..Options::default()
    })
    .await?;
    play_on(server, &TopologyOptions::default(), async |stage| {
        let run = begun(stage).await?;
        stage.done(&run, SHARDS / 6, SOON).await?;
        let ledger = stage.broker.subjects().ledger();
        let kept = Earlier::of(&stage.server, &ledger, stage.dir())?;
        stage.done(&run, SHARDS / 2, LONG).await?;
        kept.bring_back(&mut stage.server).await?;
        eventually(SOON, "the planner says so", async || {
            Ok(stage.planners[0]
                .stderr()
                .contains("the ledger was lost or rolled back"))
        })
        .await?;
        let audit = ends_well(stage, &run).await?;
        eprintln!("set back: {audit:?}");
        Ok(())
    })
    .await
}
