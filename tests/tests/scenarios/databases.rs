//! A database that cannot be reached: no shard dies of it, and everywhere somebody looks it is named.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::Context;
use gridloom_tests::http::{get, served_at};
use gridloom_tests::scenario::play;
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
