//! A broker that takes only small messages: whatever is built fits into one, and runs come to their end.

use std::time::Duration;

use gridloom_cli::embedded;
use gridloom_shared::broker::topology::TopologyOptions;
use gridloom_shared::limits::MESSAGE_MIN;
use gridloom_tests::scenario::{Stage, play_on};
use gridloom_tests::server::TestServer;
use serde_json::{Value, json};
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

const LONG: Duration = Duration::from_secs(180);
const SOON: Duration = Duration::from_secs(30);
const KEYS: u64 = 2_000;

const JOB: &str = r#"
name = "long-keys"
handler = "sql"
[grid]
slices = 2
pages = { probe = true }
tile = 100
[sql]
database = "main"
key = "text"
probe = """
SELECT name, name FROM items
WHERE rowid % :slices = :slice AND (:after IS NULL OR name > :after) ORDER BY name"""
statement = "UPDATE items SET n = n + 1 WHERE name BETWEEN :page_from AND :page_to"
"#;

const FAILING: &str = r#"
name = "failing"
handler = "noop"
[grid]
pages = { count = 3000 }
tile = 100
[retry]
max_attempts = 3
backoff = { initial = "10ms", max = "10ms", jitter = 0.0 }
[params]
fail_attempts = 1
"#;

/// Keys of 140 bytes: what one slice has of them fits into no message.
async fn items(stage: &Stage) -> anyhow::Result<SqliteConnection> {
    let file = stage.dir().join("items.db");
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true);
    let mut database = SqliteConnection::connect_with(&options).await?;
    sqlx::raw_sql(
        "PRAGMA journal_mode = WAL; CREATE TABLE items (name TEXT NOT NULL UNIQUE, n INTEGER NOT NULL);
         WITH RECURSIVE ids(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM ids WHERE id < 2000)
         INSERT INTO items SELECT printf('%0140d', id), 0 FROM ids;",
    )
    .execute(&mut database)
    .await?;
    Ok(database)
}

#[tokio::test(flavor = "multi_thread")]
async fn grid_with_long_keys_and_thousands_of_retries_ends_on_a_broker_of_small_messages()
-> anyhow::Result<()> {
    let options = embedded::Options {
        server_config: format!("max_payload: {MESSAGE_MIN}"),
        ..embedded::Options::default()
    };
    let server = TestServer::start_with(options).await?;
    play_on(server, &TopologyOptions::default(), async |stage| {
        let mut database = items(stage).await?;
        let url = format!("main=sqlite:{}", stage.dir().join("items.db").display());
        let (keys, failing) = (stage.apply(JOB).await?, stage.apply(FAILING).await?);
        stage.start_planner().await?;
        for _ in 0..2 {
            stage.start_worker(4, &["--database", &url]).await?;
        }
        let run = stage.submit(&keys, &json!({})).await?;
        let other = stage.submit(&failing, &json!({})).await?;
        // What a worker holds is taken over by the other, once it has done something.
        stage.done(&run, 100, LONG).await?;
        stage.workers[0].kill().await?;
        for run in [&run, &other] {
            stage.closed(run, LONG).await?;
            let audit = stage.cli(&["audit", run.as_str(), "--json"], SOON).await?;
            let audit: Value = audit.json()?;
            assert_eq!(audit["ok"], true, "{audit}");
        }
        let shown: Value = stage
            .cli(&["show", run.as_str(), "--json"], SOON)
            .await?
            .json()?;
        assert_eq!(shown["shards"]["dead"], 0, "{shown}");
        assert!(shown["grid"]["shards"].as_u64() >= Some(KEYS), "{shown}");
        let done: (i64, i64, i64) = sqlx::query_as("SELECT count(*), min(n), max(n) FROM items")
            .fetch_one(&mut database)
            .await?;
        assert_eq!(done, (KEYS.cast_signed(), 1, 1));
        Ok(())
    })
    .await
}
