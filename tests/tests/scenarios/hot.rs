//! Many workers at the same two rows: shards that meet there go through within seconds, and none is dead.

use std::time::{Duration, Instant};

use anyhow::ensure;
use gridloom_tests::database::{self, Server};
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually_some;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, PgConnection};

const SOON: Duration = Duration::from_secs(60);
const WORKERS: usize = 8;
/// Nobody waits for longer for forty shards, whatever else the machine does.
const LONGEST: Duration = Duration::from_secs(60);

/// Half of the shards take the two rows in one order, half in the other.
fn job(name: &str, shards: u32) -> String {
    format!(
        "name = \"{name}\"\nhandler = \"sql\"\ngrid = {{ pages = {{ count = {shards} }}, tile = 1 }}\n\
         [sql]\ndatabase = \"main\"\nstatement = [\n\
         \"UPDATE sums SET total = total + 1 WHERE id = 1 + :page % 2\",\n\
         \"UPDATE sums SET total = total + 1 WHERE id = 2 - :page % 2\"]"
    )
}

/// Starts the workers, runs so many shards, and returns how long that took.
async fn cross(stage: &mut Stage, shards: &[u32]) -> anyhow::Result<Vec<Duration>> {
    let mut took = Vec::new();
    for many in shards {
        let name = stage.apply(&job(&format!("cross-{many}"), *many)).await?;
        let began = Instant::now();
        let run = stage.submit(&name, &json!({})).await?;
        stage.closed(&run, LONGEST).await?;
        took.push(began.elapsed());
        let summary = stage.judge(&run).await?.summary;
        ensure!(summary.shards.dead == 0, "{summary:?}");
        ensure!(
            summary.shards.retried == 0,
            "no attempt is used up: {summary:?}"
        );
        ensure!(summary.rows == i128::from(*many) * 2, "{summary:?}");
    }
    Ok(took)
}

async fn workers(stage: &mut Stage, url: &str) -> anyhow::Result<()> {
    stage.start_planner().await?;
    let database = format!("main={url}");
    for _ in 0..WORKERS {
        stage.start_worker(16, &["--database", &database]).await?;
    }
    Ok(())
}

const MADE: &str = "CREATE TABLE sums (id int PRIMARY KEY, total int NOT NULL); INSERT INTO sums VALUES (1, 0), (2, 0)";

async fn postgres() -> anyhow::Result<Option<(Server, String)>> {
    let Ok(server) = database::postgres() else {
        eprintln!("*** NOT RUN: no PostgreSQL ***");
        return Ok(None);
    };
    let mut link = eventually_some(SOON, "PostgreSQL answers", async || {
        Ok(PgConnection::connect(&server.url).await.ok())
    })
    .await?;
    sqlx::raw_sql(MADE).execute(&mut link).await?;
    let url = server.url.clone();
    Ok(Some((server, url)))
}

async fn mysql() -> anyhow::Result<Option<(Server, String)>> {
    let Ok(server) = database::mysql() else {
        eprintln!("*** NOT RUN: no MySQL ***");
        return Ok(None);
    };
    let mut link = eventually_some(SOON, "MySQL answers", async || {
        Ok(MySqlConnection::connect(&server.url).await.ok())
    })
    .await?;
    let made = format!("CREATE DATABASE hot; USE hot; {MADE}");
    sqlx::raw_sql(AssertSqlSafe(made))
        .execute(&mut link)
        .await?;
    let url = server.url.replace("/?", "/hot?");
    Ok(Some((server, url)))
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_shards_of_eight_workers_at_two_hot_rows_of_postgresql_go_through()
-> anyhow::Result<()> {
    let Some((_server, url)) = postgres().await? else {
        return Ok(());
    };
    play(async |stage| {
        workers(stage, &url).await?;
        let took = cross(stage, &[40]).await?;
        eprintln!("PostgreSQL, {WORKERS} workers: {took:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_shards_of_eight_workers_at_two_hot_rows_of_mysql_go_through() -> anyhow::Result<()> {
    let Some((_server, url)) = mysql().await? else {
        return Ok(());
    };
    play(async |stage| {
        workers(stage, &url).await?;
        let took = cross(stage, &[40]).await?;
        eprintln!("MySQL, {WORKERS} workers: {took:?}");
        Ok(())
    })
    .await
}

/// How long forty and four hundred take: `-- --ignored --nocapture time_of_many`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn time_of_many_workers_at_two_hot_rows() -> anyhow::Result<()> {
    for (name, made) in [("PostgreSQL", postgres().await?), ("MySQL", mysql().await?)] {
        let Some((_server, url)) = made else { continue };
        play(async |stage| {
            workers(stage, &url).await?;
            for _ in 0..5 {
                let took = cross(stage, &[40, 400]).await?;
                eprintln!("{name}, {WORKERS} workers, 40 and 400 shards: {took:?}");
            }
            Ok(())
        })
        .await?;
    }
    Ok(())
}
