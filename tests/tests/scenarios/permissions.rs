//! Users of the broker that may do what deploy/nats says, and less.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use gridloom_cli::embedded::Options;
use gridloom_shared::broker::topology::TopologyOptions;
use gridloom_shared::command::Broadcast;
use gridloom_shared::id::{HandlerName, JobName, QueueName, RunId};
use gridloom_shared::ledger::record::Author;
use gridloom_shared::limits::BELLS;
use gridloom_shared::wire;
use gridloom_tests::process::{Gridloom, Process};
use gridloom_tests::roles::accounts;
use gridloom_tests::scenario::{ACK_DEADLINE, NAMESPACE, Stage, play_on};
use gridloom_tests::server::TestServer;
use gridloom_tests::wait::eventually;
use serde_json::json;

const LONG: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(30);

/// Plays on a broker with the documented users, without the lines that contain one of `without`.
/// Whoever gives no name may do everything.
async fn play_without(
    without: &[&str],
    scenario: impl AsyncFnOnce(&mut Stage) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let left = |users: String| {
        let lines = users.lines();
        let left = lines.filter(|line| !without.iter().any(|part| line.contains(part)));
        left.collect::<Vec<_>>().join("\n")
    };
    play_as(left, scenario).await
}

/// Plays on a broker with what `changed` makes of the documented users.
async fn play_as(
    changed: impl FnOnce(String) -> String,
    scenario: impl AsyncFnOnce(&mut Stage) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let options = Options {
        server_config: changed(accounts(NAMESPACE)?),
        ..Options::default()
    };
    let server = TestServer::start_with(options).await?;
    play_on(server, &TopologyOptions::default(), scenario).await
}

/// Starts a service as the user of that name.
async fn start_as(stage: &Stage, user: &str) -> anyhow::Result<Process> {
    let url = stage
        .server
        .url()
        .replace("//", &format!("//{user}:{user}@"));
    Gridloom::new([user, "--nats", &url])?
        .env("GRIDLOOM_NAMESPACE", NAMESPACE)
        .env("GRIDLOOM_QUEUE_ACK_DEADLINE", ACK_DEADLINE)
        .start()
        .await
}

async fn job(stage: &Stage) -> anyhow::Result<JobName> {
    stage
        .apply("name = \"steady\"\nhandler = \"noop\"\n[grid]\nslices = 4\npages = { count = 100 }\ntile = 4")
        .await
}

/// Whether the broker takes a planner's record for `run` from the user `worker`.
async fn worker_writes_a_plan(stage: &Stage, run: &RunId) -> anyhow::Result<bool> {
    let client =
        async_nats::ConnectOptions::with_user_and_password("worker".into(), "worker".into())
            .connect(stage.server.url())
            .await?;
    let subjects = stage.broker.subjects();
    let plan = subjects.ledger_of(&QueueName::new("default")?, run, Author::Plan);
    let before = stage.broker.info(&subjects.ledger()).await?.last_seq;
    client.publish(plan, "forged".into()).await?;
    client.flush().await?;
    let after = stage.broker.info(&subjects.ledger()).await?.last_seq;
    Ok(before != after)
}

#[tokio::test(flavor = "multi_thread")]
async fn planner_and_worker_with_the_documented_permissions_work_and_a_worker_cannot_plan()
-> anyhow::Result<()> {
    play_without(&[], async |stage| {
        let planner = start_as(stage, "planner").await?;
        stage.planners.push(planner);
        for _ in 0..2 {
            let worker = start_as(stage, "worker").await?;
            stage.workers.push(worker);
        }
        let job = job(stage).await?;
        let run = stage.submit(&job, &json!({"sleep_ms": 20})).await?;
        stage.done(&run, 40, SOON).await?;
        stage.workers[0].kill().await?;
        stage.server.kill().await?;
        stage.server.restart().await?;
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        assert!(!worker_writes_a_plan(stage, &run).await?);
        let told = super::alarms::raise_one(stage, "tick").await?;
        eventually(SOON, "a worker tells of an alarm", async || {
            Ok(stage.workers[1].stderr().contains(told.as_str()))
        })
        .await?;
        for process in stage.planners.iter().chain(&stage.workers) {
            let said = process.stderr();
            assert!(!said.contains("Permissions Violation"), "{said}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_may_not_report_says_so_acknowledges_nothing_and_loses_nothing()
-> anyhow::Result<()> {
    play_without(&["*.work\""], async |stage| {
        stage.start_planner().await?;
        let muted = start_as(stage, "worker").await?;
        stage.workers.push(muted);
        let job = job(stage).await?;
        let run = stage.submit(&job, &json!({})).await?;
        eventually(SOON, "the worker names what it may not do", async || {
            let said = said_by(&stage.workers[0]);
            let named =
                said.contains("Permissions Violation for Publish to \"test.ledger.default.");
            Ok(named && said.contains("part=ledger"))
        })
        .await?;
        let shards = stage.broker.info(&stage.broker.subjects().shards()).await?;
        stage.judge_open(&run).await?;
        assert_eq!(stage.done(&run, 0, SOON).await?, 0);
        assert!(shards.messages > 1, "tiles left the queue");
        stage.start_worker(4, &[]).await?;
        stage.workers[0].kill().await?;
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        Ok(())
    })
    .await
}

/// Its log, with the quotes within quotes as they are without them.
fn said_by(process: &Process) -> String {
    process.stderr().replace("\\\"", "\"")
}

/// Waits until `doctor` finds all of these words in one place that is bad.
async fn doctor_finds(stage: &Stage, words: &[&str]) -> anyhow::Result<()> {
    eventually(SOON, &format!("doctor finds {words:?}"), async || {
        let said = stage.cli(&["doctor", "--json"], SOON).await?.json()?;
        let all = said.as_array().context("a list of checks")?;
        let found = |one: &serde_json::Value| {
            let found = one["found"].as_str().unwrap_or_default();
            one["result"] == "bad" && words.iter().all(|word| found.contains(word))
        };
        Ok(all.iter().any(found))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_may_not_ring_a_bell_works_and_doctor_names_what_it_may_not()
-> anyhow::Result<()> {
    play_without(&["        \"test.bell."], async |stage| {
        stage.start_planner().await?;
        let url = stage.server.url().replace("//", "//worker:worker@");
        // Bells are rung where there are several lanes, and more workers than bells.
        let args = [
            "worker",
            "--name",
            "mute",
            "--concurrency",
            "1",
            "--exec",
            "no=false",
        ];
        let worker = Gridloom::new(args)?
            .env("GRIDLOOM_NATS", url)
            .env("GRIDLOOM_NAMESPACE", NAMESPACE)
            .start()
            .await?;
        stage.workers.push(worker);
        let job = job(stage).await?;
        let subject = "Permissions Violation for Publish to \"test.bell.default.noop\"";
        let crowd = Broadcast::Crowd {
            queue: QueueName::new("default")?,
            free: BTreeMap::from([(HandlerName::new("noop")?, BELLS + 1)]),
        };
        let mut runs = Vec::new();
        eventually(SOON, "it rings in vain", async || {
            let broadcast = stage.broker.subjects().broadcast();
            stage
                .broker
                .publish(broadcast, wire::encode(&crowd))
                .await?;
            runs.push(stage.submit(&job, &json!({})).await?);
            Ok(said_by(&stage.workers[0]).contains(subject))
        })
        .await?;
        doctor_finds(stage, &["mute", subject]).await?;
        for run in &runs {
            stage.closed(run, LONG).await?;
            stage.judge(run).await?.succeeded()?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn leader_that_may_not_tell_its_workers_anything_is_named_by_doctor() -> anyhow::Result<()> {
    let denied = |users: String| {
        users.replacen(
            "\n        ] }",
            "\n        ], deny: [ \"test.broadcast\" ] }",
            1,
        )
    };
    play_as(denied, async |stage| {
        let planner = start_as(stage, "planner").await?;
        stage.planners.push(planner);
        stage.start_worker(4, &[]).await?;
        let job = job(stage).await?;
        let run = stage.submit(&job, &json!({"sleep_ms": 100})).await?;
        stage.done(&run, 4, SOON).await?;
        stage.cli(&["cancel", run.as_str()], SOON).await?;
        let subject = "Permissions Violation for Publish to \"test.broadcast\"";
        doctor_finds(stage, &["leads and cannot work", subject]).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn planner_that_may_not_ask_jetstream_ends_and_names_the_subject() -> anyhow::Result<()> {
    play_without(&["\"$JS.API.>\""], async |stage| {
        let mut planner = start_as(stage, "planner").await?;
        let code = planner.wait(LONG).await?;
        let said = said_by(&planner);
        assert_eq!(code, 3, "{said}");
        assert!(
            said.contains("Permissions Violation for Publish to \"$JS.API."),
            "{said}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_whose_password_is_changed_under_it_says_that_it_is_not_let_in_again()
-> anyhow::Result<()> {
    play_without(&[], async |stage| {
        stage.start_planner().await?;
        let mut worker = start_as(stage, "worker").await?;
        eventually(SOON, "it is there", async || {
            let workers = stage.cli(&["workers", "--json"], SOON).await?.json()?;
            Ok(workers[0]["answers"] == true)
        })
        .await?;
        let file = stage.server.store().join("nats.conf");
        let before = std::fs::read_to_string(&file)?;
        let after = before.replace("password: \"worker\"", "password: \"another\"");
        anyhow::ensure!(before != after, "{before}");
        std::fs::write(&file, after)?;
        let broker = stage.server.pid().and_then(|pid| i32::try_from(pid).ok());
        let broker = broker.and_then(rustix::process::Pid::from_raw);
        let broker = broker.context("a broker")?;
        rustix::process::kill_process(broker, rustix::process::Signal::HUP)?;
        eventually(SOON, "it says so", async || {
            let log = worker.stderr();
            let says = |line: &str| {
                line.contains("ERROR") && line.contains("does not let this client in again")
            };
            Ok(log.lines().any(says))
        })
        .await?;
        assert!(
            !worker.stderr().contains("worker:worker@"),
            "{}",
            worker.stderr()
        );
        worker.kill().await
    })
    .await
}
