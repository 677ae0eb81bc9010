//! A broker on which nothing of an installation is yet: who comes first says whom it waits for, and streams are
//! made as large as they may become.

use std::time::Duration;

use anyhow::Context;
use gridloom_cli::embedded::Options;
use gridloom_shared::broker::topology::{Kept, Size, Sizes, TopologyOptions};
use gridloom_tests::http::get;
use gridloom_tests::scenario::{Stage, play, play_on};
use gridloom_tests::server::TestServer;
use gridloom_tests::wait::{eventually, eventually_some};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(40);
const JOB: &str = "name = \"plain\"\nhandler = \"noop\"\n[grid]\npages = { count = 3 }";
/// An account in which each stream has to say how large it may become.
const STRICT: &str = "accounts {\n  STRICT {\n    jetstream { max_memory: 16MB, max_store: 256MB, max_bytes_required: true }\n    \
    users: [ { user: \"strict\", password: \"strict\" } ]\n  }\n}\nno_auth_user: \"strict\"\n";

/// What the broker says of a subject of its own.
async fn api(stage: &Stage, subject: &str) -> anyhow::Result<Value> {
    let client = stage.server.client().await?;
    let answer = client
        .request(format!("$JS.API.{subject}"), "".into())
        .await?;
    Ok(serde_json::from_slice(&answer.payload)?)
}

async fn names(stage: &Stage) -> anyhow::Result<Vec<String>> {
    let names = api(stage, "STREAM.NAMES").await?;
    let names = names["streams"].as_array().into_iter().flatten();
    Ok(names
        .filter_map(|name| Some(name.as_str()?.to_owned()))
        .collect())
}

/// A broker on which nothing of an installation is.
async fn empty(stage: &Stage) -> anyhow::Result<()> {
    for name in names(stage).await? {
        api(stage, &format!("STREAM.DELETE.{name}")).await?;
    }
    Ok(())
}

async fn max_bytes(stage: &Stage, stream: &str) -> anyhow::Result<Option<i64>> {
    let info = api(stage, &format!("STREAM.INFO.{stream}")).await?;
    Ok(info["config"]["max_bytes"].as_i64())
}

async fn runs(stage: &mut Stage) -> anyhow::Result<()> {
    // The bucket may not be there yet.
    let job = eventually_some(SOON, "the job can be applied", async || {
        Ok(stage.apply(JOB).await.ok())
    })
    .await?;
    let run = eventually_some(SOON, "the broker takes a submission", async || {
        Ok(stage.submit(&job, &json!({})).await.ok())
    })
    .await?;
    stage.closed(&run, SOON).await
}

#[tokio::test(flavor = "multi_thread")]
async fn services_that_come_before_their_broker_wait_for_it_half_a_minute() -> anyhow::Result<()> {
    play(async |stage| {
        stage.server.kill().await?;
        stage.start_all(1).await?;
        eventually(SOON, "both say how long they wait", async || {
            let mut services = stage.planners.iter().chain(&stage.workers);
            Ok(services.all(|service| {
                let log = service.stderr();
                log.contains("no broker yet") && log.contains("seconds=30")
            }))
        })
        .await?;
        stage.server.restart().await?;
        runs(stage).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_comes_first_says_that_it_waits_for_a_planner_and_goes_on_with_one()
-> anyhow::Result<()> {
    play(async |stage| {
        empty(stage).await?;
        stage.start_worker(4, &["--listen", "127.0.0.1:0"]).await?;
        let address = eventually_some(SOON, "it says where its endpoints are", async || {
            let log = stage.workers[0].stderr();
            let from = log.split("http://").nth(1);
            Ok(from.and_then(|rest| Some(rest.split('/').next()?.to_owned())))
        })
        .await?;
        let words = [
            "namespace test",
            "not on this broker yet",
            "gridloom planner",
            "gridloom dev",
        ];
        eventually(SOON, "it is not ready, and says why", async || {
            let said = get(&address, "/ready").await?;
            Ok(said.contains("503") && words.iter().all(|word| said.contains(word)))
        })
        .await?;
        eventually(SOON, "its log says so", async || {
            let log = stage.workers[0].stderr();
            Ok(log
                .lines()
                .any(|line| words.iter().all(|word| line.contains(word))))
        })
        .await?;
        let log = stage.workers[0].stderr();
        assert!(!log.contains("stream not found"), "{log}");
        let said = stage.cli(&["doctor"], SOON).await?;
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.stdout.contains("has none yet"), "{said:?}");
        stage.start_planner().await?;
        runs(stage).await?;
        eventually(SOON, "it is ready", async || {
            Ok(get(&address, "/ready").await?.contains("200 OK"))
        })
        .await?;
        assert!(stage.workers[0].is_running()?);
        stage.cli(&["doctor"], SOON).await?.succeeded()?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn account_that_wants_sizes_is_given_those_of_the_configuration() -> anyhow::Result<()> {
    let options = Options {
        server_config: STRICT.to_owned(),
        ..Options::default()
    };
    let server = TestServer::start_with(options).await?;
    let small = Kept::ALL.iter().fold(Sizes::default(), |sizes, kept| {
        sizes.with(*kept, Size::Bytes(8 << 20))
    });
    let topology = TopologyOptions {
        sizes: small,
        ..TopologyOptions::default()
    };
    play_on(server, &topology, async |stage| {
        empty(stage).await?;
        let refused = stage.cli(&["planner"], SOON).await?;
        assert_eq!(refused.code, 1, "{refused:?}");
        for words in ["max_bytes_required", "streams.max_bytes"] {
            assert!(refused.stderr.contains(words), "{refused:?}");
        }
        let lines = Kept::ALL.map(|kept| format!("{} = \"8MiB\"", kept.as_str()));
        let file = stage.dir().join("gridloom.toml");
        // A flag beats the file.
        std::fs::write(
            &file,
            format!("[streams.max_bytes]\n{}\n", lines.join("\n")),
        )?;
        let file = file.to_str().context("a path that is text")?.to_owned();
        let named = ["--config", &file, "--max-bytes", "ledger=32MiB"];
        let planner = stage.gridloom(&["planner"])?.args(named);
        stage.planners.push(planner.start().await?);
        stage.start_worker(4, &[]).await?;
        runs(stage).await?;
        for name in names(stage).await? {
            let bytes = if name == "test-ledger" { 32 } else { 8 };
            assert_eq!(max_bytes(stage, &name).await?, Some(bytes << 20), "{name}");
        }
        let doctor = stage.gridloom(&["doctor"])?.args(named);
        doctor.start().await?.finish(SOON).await?.succeeded()?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_grows_to_the_size_that_is_named_and_is_never_made_smaller() -> anyhow::Result<()> {
    play(async |stage| {
        assert_eq!(max_bytes(stage, "test-submit").await?, Some(256 << 20));
        let larger = ["planner", "--max-bytes", "submit=512MiB,ledger=unlimited"];
        stage.planners.push(stage.gridloom(&larger)?.start().await?);
        eventually(SOON, "it has grown", async || {
            Ok(max_bytes(stage, "test-submit").await? == Some(512 << 20))
        })
        .await?;
        // Whoever names no size takes what is there.
        stage.start_all(1).await?;
        runs(stage).await?;
        stage.cli(&["doctor"], SOON).await?.succeeded()?;
        assert_eq!(max_bytes(stage, "test-submit").await?, Some(512 << 20));
        let smaller = ["--max-bytes", "submit=8MiB", "--max-bytes", "ledger=1GiB"];
        for (command, code) in [("planner", 1), ("doctor", 1)] {
            let refused = stage.gridloom(&[command])?.args(smaller).start().await?;
            let said = refused.finish(SOON).await?;
            assert_eq!(said.code, code, "{said:?}");
            let text = format!("{}{}", said.stdout, said.stderr);
            for words in [
                "max_bytes should be 8388608, is 536870912",
                "max_bytes should be 1073741824, is -1",
                "nats stream edit test-submit",
            ] {
                assert!(text.contains(words), "{words}: {text}");
            }
        }
        assert_eq!(max_bytes(stage, "test-submit").await?, Some(512 << 20));
        let wrong = stage
            .cli(&["planner", "--max-bytes", "leger=1GiB"], SOON)
            .await?;
        assert_eq!(wrong.code, 2, "{wrong:?}");
        assert!(
            wrong.stderr.contains("did you mean \"ledger\"?"),
            "{wrong:?}"
        );
        Ok(())
    })
    .await
}
