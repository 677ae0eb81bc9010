//! Callbacks that are awaited while things go wrong: a worker that stands still, a broker that is restarted, and a broker whose
//! users may do what deploy/nats says and nothing else.

use anyhow::ensure;
use gridloom_cli::embedded::Options;
use gridloom_shared::broker::topology::TopologyOptions;
use gridloom_tests::roles::accounts;
use gridloom_tests::scenario::{NAMESPACE, Stage, play, play_on};
use gridloom_tests::server::TestServer;
use serde_json::json;

use super::called_back::{SOON, Service, done, is, shown};
use crate::api;

const CALLBACK: &str = "callback = \"1h\"\n[retry]\nmax_attempts = 3\n";

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_stood_still_while_it_waited_ends_nothing_when_it_goes_on() -> anyhow::Result<()>
{
    play(async |stage| {
        let api = api::start(stage, &[]).await?;
        let service = Service::start(&api).await?;
        let frozen = service.worker_with(stage, &[]).await?;
        let run = service.run(stage, ("frozen", 2), CALLBACK).await?;
        let firsts = [service.callback(0, 0).await?, service.callback(1, 0).await?];
        stage.workers[frozen].freeze()?;
        service.worker_with(stage, &[]).await?;
        let second = service.callback(0, 1).await?;
        // Of one it is said what came of it while its first worker stands still, at the address that that one gave.
        let taken = service.calls_until_heard(&firsts[0], done()).await?;
        ensure!(taken.status == 200, "{}", taken.json());
        service.callback(1, 1).await?;
        stage.workers[frozen].thaw()?;
        // Of the other one when it goes on, and holds it no longer.
        let failed = json!({"outcome": "failed", "error": "no such card", "kind": "permanent"});
        is(&service.calls(&second, failed).await?, 409, "conflict")?;
        let taken = service.calls_until_heard(&firsts[1], done()).await?;
        ensure!(taken.status == 200, "{}", taken.json());
        stage.closed(&run, SOON).await?;
        let verdict = stage.judge(&run).await?.succeeded()?;
        ensure!(verdict.audit.repeated == 0, "{:?}", verdict.audit);
        let shown = shown(stage, &run).await?;
        let shards = &shown["shards"];
        ensure!(
            (&shards["done"], &shards["late"], &shards["retried"])
                == (&2.into(), &0.into(), &0.into()),
            "{shards}"
        );
        ensure!(stage.workers[frozen].is_running()?);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn callback_that_comes_while_the_broker_is_away_is_asked_for_again_and_heard_once_it_is_back()
-> anyhow::Result<()> {
    play(async |stage| {
        let api = api::start(stage, &[]).await?;
        let service = Service::start(&api).await?;
        service.worker_with(stage, &[]).await?;
        let run = service.run(stage, ("restarted", 3), CALLBACK).await?;
        let mut firsts = Vec::new();
        for slice in 0..3 {
            firsts.push(service.callback(slice, 0).await?);
        }
        stage.server.kill().await?;
        // Nothing that is said now may be taken for good.
        let reply = service.calls(&firsts[0], done()).await?;
        ensure!(
            reply.status == 503 && reply.header("retry-after").is_some(),
            "{reply:?}"
        );
        stage.server.restart().await?;
        let bytes = json!({"outcome": "done", "rows": 7});
        for first in &firsts[..2] {
            let taken = service.calls_until_heard(first, bytes.clone()).await?;
            ensure!(taken.status == 200, "{}", taken.json());
        }
        let failed = json!({"outcome": "failed", "error": "no such card", "kind": "permanent"});
        let taken = service.calls_until_heard(&firsts[2], failed).await?;
        ensure!(taken.status == 200, "{}", taken.json());
        stage.closed(&run, SOON).await?;
        stage.judge_ledger(&run).await?;
        let shown = shown(stage, &run).await?;
        let shards = &shown["shards"];
        ensure!(
            (&shards["done"], &shards["dead"], &shown["rows"])
                == (&2.into(), &1.into(), &14.into()),
            "{shown}"
        );
        Ok(())
    })
    .await
}

/// The address of the stage's broker for the user of that name.
fn as_user(stage: &Stage, user: &str) -> String {
    let url = stage.server.url();
    url.replace("//", &format!("//{user}:{user}@"))
}

#[tokio::test(flavor = "multi_thread")]
async fn services_call_back_where_planner_and_worker_may_do_what_is_documented_and_no_more()
-> anyhow::Result<()> {
    let options = Options {
        server_config: accounts(NAMESPACE)?,
        ..Options::default()
    };
    let server = TestServer::start_with(options).await?;
    play_on(server, &TopologyOptions::default(), async |stage| {
        let (planner, worker) = (as_user(stage, "planner"), as_user(stage, "worker"));
        let api = api::start(stage, &["--nats", &planner]).await?;
        let service = Service::start(&api).await?;
        let first = service.worker_with(stage, &["--nats", &worker]).await?;
        let run = service.run(stage, ("charges", 2), CALLBACK).await?;
        let held = service.callback(0, 0).await?;
        let taken = service.calls(&held, done()).await?;
        ensure!(taken.status == 200, "{}", taken.json());
        // The planner finds whoever holds it since, among the workers of another account.
        let left = service.callback(1, 0).await?;
        stage.workers[first].kill().await?;
        service.worker_with(stage, &["--nats", &worker]).await?;
        service.callback(1, 1).await?;
        let taken = service.calls_until_heard(&left, done()).await?;
        ensure!(taken.status == 200, "{}", taken.json());
        stage.closed(&run, SOON).await?;
        stage.judge(&run).await?.succeeded()?;
        for process in stage.planners.iter().chain(&stage.workers) {
            let said = process.stderr();
            ensure!(!said.contains("Permissions Violation"), "{said}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn callback_that_a_worker_cannot_put_on_record_is_not_taken_and_counts_for_the_next_one()
-> anyhow::Result<()> {
    let documented = accounts(NAMESPACE)?;
    let lines = documented.lines();
    let left = lines.filter(|line| !line.contains("\"test.ledger.default.*.work\""));
    let options = Options {
        server_config: left.collect::<Vec<_>>().join("\n"),
        ..Options::default()
    };
    ensure!(options.server_config.lines().count() < documented.lines().count());
    let server = TestServer::start_with(options).await?;
    play_on(server, &TopologyOptions::default(), async |stage| {
        let api = api::start(stage, &[]).await?;
        let service = Service::start(&api).await?;
        let worker = as_user(stage, "worker");
        let mute = service.worker_with(stage, &["--nats", &worker]).await?;
        let run = service.run(stage, ("charges", 1), CALLBACK).await?;
        let first = service.callback(0, 0).await?;
        // That worker was told, and its word is all that there is.
        let reply = service.calls(&first, done()).await?;
        is(&reply, 503, "unknown")?;
        ensure!(reply.header("retry-after").is_some(), "{reply:?}");
        stage.workers[mute].kill().await?;
        service.worker_with(stage, &[]).await?;
        let taken = service.calls_until_heard(&first, done()).await?;
        ensure!(taken.status == 200, "{}", taken.json());
        stage.closed(&run, SOON).await?;
        stage.judge(&run).await?.succeeded()?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_beyond_what_is_carried_out_at_once_are_asked_to_come_again() -> anyhow::Result<()>
{
    play(async |stage| {
        let api = api::start(stage, &[]).await?;
        let service = Service::start(&api).await?;
        let frozen = service.worker_with(stage, &[]).await?;
        let run = service.run(stage, ("many", 1), CALLBACK).await?;
        let first = service.callback(0, 0).await?;
        stage.workers[frozen].freeze()?;
        // Each waits for a worker that does not answer.
        let calls = (0..80).map(|_| service.calls(&first, done()));
        let replies = futures_util::future::try_join_all(calls).await?;
        let mut refused = 0;
        for reply in &replies {
            ensure!(reply.status == 503, "{}: {}", reply.status, reply.json());
            let said = reply.json()["detail"].to_string();
            refused += usize::from(said.contains("at a time"));
        }
        ensure!((1..=16).contains(&refused), "{refused} of 80, 64 at once");
        stage.workers[frozen].thaw()?;
        // Those that nobody answered lie with it: it hears them first, or this one.
        let taken = service.calls_until_heard(&first, done()).await?;
        ensure!(matches!(taken.status, 200 | 409), "{}", taken.json());
        stage.closed(&run, SOON).await?;
        stage.judge(&run).await?.succeeded()?;
        Ok(())
    })
    .await
}
