//! A planner that starts where its streams cannot be made: what may pass is waited for.

use std::time::Duration;

use gridloom_cli::embedded::{Options, free_port};
use gridloom_tests::http::get;
use gridloom_tests::process::Gridloom;
use gridloom_tests::server::TestServer;
use gridloom_tests::wait::eventually;

/// More than the half minute for which a planner asks before it says anything on `/ready`.
const LONG: Duration = Duration::from_secs(90);
/// Nobody answers who asks for the ledger to be made.
const NOWHERE: &str = "mappings { \"$JS.API.STREAM.CREATE.test-ledger\": nowhere }\n";
const LEDGER: &str = "$JS.API.STREAM.CREATE.test-ledger";

#[tokio::test(flavor = "multi_thread")]
async fn planner_whose_streams_cannot_be_made_yet_goes_on_trying_and_is_not_ready()
-> anyhow::Result<()> {
    let options = Options {
        server_config: NOWHERE.to_owned(),
        ..Options::default()
    };
    let server = TestServer::start_with(options).await?;
    let address = format!("127.0.0.1:{}", free_port()?);
    let planner = Gridloom::new(["planner", "--listen", &address])?
        .env("GRIDLOOM_NATS", server.url())
        .env("GRIDLOOM_NAMESPACE", "test");
    let mut planner = planner.start().await?;
    eventually(LONG, "it says what it waits for", async || {
        anyhow::ensure!(planner.is_running()?, "{}", planner.stderr());
        let Ok(said) = get(&address, "/ready").await else {
            return Ok(false);
        };
        assert!(said.contains(" 503 "), "{said}");
        Ok(said.contains("it goes on trying: create stream test-ledger"))
    })
    .await?;
    assert!(get(&address, "/live").await?.contains(" 200 "));
    // One that is left out altogether stays until the server is started again.
    server
        .reload(|config| config.replace(LEDGER, "unused"))
        .await?;
    eventually(LONG, "it is ready", async || {
        Ok(get(&address, "/ready").await?.contains(" 200 "))
    })
    .await?;
    planner.terminate()?;
    assert_eq!(planner.wait(LONG).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn planner_that_waits_for_its_streams_ends_when_it_is_told_to() -> anyhow::Result<()> {
    let options = Options {
        server_config: NOWHERE.to_owned(),
        ..Options::default()
    };
    let server = TestServer::start_with(options).await?;
    let planner = Gridloom::new(["planner", "--listen", "127.0.0.1:0"])?
        .env("GRIDLOOM_NATS", server.url())
        .env("GRIDLOOM_NAMESPACE", "test");
    let mut planner = planner.start().await?;
    eventually(LONG, "it tries", async || {
        Ok(planner.stderr().contains("looking again"))
    })
    .await?;
    planner.terminate()?;
    assert_eq!(planner.wait(Duration::from_secs(10)).await?, 0);
    Ok(())
}
