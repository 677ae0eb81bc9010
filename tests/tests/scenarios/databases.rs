//! A database that cannot be reached: no shard dies of it, and everywhere somebody looks it is named.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::Context;
use gridloom_shared::id::RunId;
use gridloom_tests::database;
use gridloom_tests::http::{get, served_at};
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;
use serde_json::json;

const SOON: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread")]
async fn database_that_cannot_be_reached_is_named_everywhere_and_kills_no_shard()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        // Nobody listens there.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let database = format!("main=postgres://nobody@127.0.0.1:{port}/nothing");
        stage
            .start_worker(2, &["--database", &database, "--listen", "127.0.0.1:0"])
            .await?;
        let address = served_at(&stage.workers[0]).await?;
        let job = stage
            .apply(
                "name = \"away\"\nhandler = \"sql\"\n[retry]\nmax_attempts = 1\n\
                 [sql]\ndatabase = \"main\"\nstatement = \"SELECT 1\"",
            )
            .await?;
        let run = stage.submit(&job, &json!({})).await?;
        eventually(SOON, "it is not ready", async || {
            let said = get(&address, "/ready").await?;
            Ok(said.contains("503") && said.contains("database main"))
        })
        .await?;
        eventually(SOON, "it says so", async || {
            let doctor = stage.cli(&["doctor"], SOON).await?;
            Ok(doctor.code == 1 && doctor.stdout.contains("database main"))
        })
        .await?;
        let workers = stage.cli(&["workers", "--json"], SOON).await?.json()?;
        let trouble = workers[0]["trouble"].as_str().context("no trouble")?;
        assert!(trouble.contains("database main"), "{trouble}");
        eventually(SOON, "the run says why it waits", async || {
            let show = stage.cli(&["show", run.as_str()], SOON).await?;
            Ok(show.stdout.contains("database main"))
        })
        .await?;
        let metrics = get(&address, "/metrics").await?;
        let gauge = "gridloom_database_serves{database=\"main\"} 0";
        assert!(metrics.contains(gauge), "{metrics}");
        let log = stage.workers[0].stderr();
        assert!(log.contains("the database cannot be used"), "{log}");
        let show = stage
            .cli(&["show", run.as_str(), "--json"], SOON)
            .await?
            .json()?;
        assert_eq!(show["shards"]["dead"], json!(0), "{show}");
        Ok(())
    })
    .await
}

/// A job of `queue` whose database is away, and its worker.
async fn away(stage: &mut Stage, queue: &str, port: u16) -> anyhow::Result<()> {
    let database = format!("{queue}-db=postgres://nobody@127.0.0.1:{port}/nothing");
    let flags = ["--queue", queue, "--database", &database];
    stage.start_worker(2, &flags).await?;
    let job = format!(
        "name = \"{queue}\"\nhandler = \"sql\"\nqueue = \"{queue}\"\n\
         grid = {{ pages = {{ count = 500 }}, tile = 1 }}\n[sql]\ndatabase = \"{queue}-db\"\nstatement = \"SELECT 1\""
    );
    stage.apply(&job).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_is_told_what_the_run_s_own_workers_lack_and_no_others() -> anyhow::Result<()>
{
    play(async |stage| {
        stage.start_planner().await?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        away(stage, "others", port).await?;
        stage.submit(&"others".parse()?, &json!({})).await?;
        eventually(SOON, "the other worker is in trouble", async || {
            let workers = stage.cli(&["workers"], SOON).await?;
            Ok(workers.stdout.contains("database others-db"))
        })
        .await?;
        away(stage, "mine", port).await?;
        let waiting = stage.gridloom(&["run", "mine", "--id", "one", "--wait"])?;
        let mut waiting = waiting.start().await?;
        // The reason stands behind it, in the same line.
        let tells =
            |line: &str| line.contains("on hold until") && line.contains("database mine-db");
        eventually(SOON, "whoever waits is told why", async || {
            Ok(waiting.stderr().lines().any(tells))
        })
        .await?;
        let run = RunId::from_request(&"mine".parse()?, "one");
        let shown = async || stage.cli(&["show", run.as_str()], SOON).await;
        eventually(SOON, "so is whoever looks", async || {
            Ok(shown().await?.stdout.contains("database mine-db"))
        })
        .await?;
        let (shown, said) = (shown().await?.stdout, waiting.stderr());
        assert!(!shown.contains("others-db"), "{shown}");
        assert!(!said.contains("others-db"), "{said}");
        waiting.kill().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_database_says_by_itself_stands_in_the_log_with_its_name() -> anyhow::Result<()> {
    let Ok(server) = database::postgres() else {
        eprintln!("*** NOT RUN: no PostgreSQL ***");
        return Ok(());
    };
    play(async |stage| {
        stage.start_planner().await?;
        let store = format!("shop={}", server.url);
        stage.start_worker(2, &["--database", &store]).await?;
        let job = "name = \"says\"\nhandler = \"sql\"\n[sql]\ndatabase = \"shop\"\n\
                   statement = \"DO $$ BEGIN RAISE NOTICE 'stock is low'; END $$\"";
        let job = stage.apply(job).await?;
        stage.submit(&job, &json!({})).await?;
        eventually(
            SOON,
            "the notice stands there with its database",
            async || {
                let log = stage.workers[0].stderr();
                let mut lines = log.lines().filter(|line| line.contains("stock is low"));
                Ok(lines
                    .next()
                    .is_some_and(|line| line.contains("database=shop")))
            },
        )
        .await?;
        Ok(())
    })
    .await
}
