//! What each role needs works: planner, worker and operator with all commands, a submitter, a monitor.

use std::time::Duration;

use anyhow::Context;
use futures_util::StreamExt;
use gridloom_cli::embedded::Options as ServerOptions;
use gridloom_shared::broker::topology::TopologyOptions;
use gridloom_tests::process::{Gridloom, Output, Process};
use gridloom_tests::roles::{Raw, accounts};
use gridloom_tests::scenario::{ACK_DEADLINE, NAMESPACE, Stage, play_on};
use gridloom_tests::server::TestServer;
use gridloom_tests::wait::eventually;
use serde_json::Value;

const SOON: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(60);

const STEADY: &str = r#"
name = "steady"
handler = "noop"
[grid]
slices = 2
pages = { count = 10 }
"#;
const FAILING: &str = r#"
name = "failing"
handler = "noop"
[grid]
slices = 1
pages = { count = 2 }
[retry]
max_attempts = 1
[params]
fail_percent = 100
"#;
const NIGHTLY: &str = r#"
name = "nightly"
handler = "noop"
[grid]
slices = 1
pages = { count = 1 }
[schedule]
cron = "0 0 2 * * ?"
timezone = "UTC"
except = ["holidays"]
"#;
const HOLIDAYS: &str = r#"
name = "holidays"
timezone = "UTC"
dates = ["2027-12-25"]
"#;

/// The accounts, where each of these users hears nobody's answers but its own.
fn own_inboxes() -> anyhow::Result<String> {
    let mut text = accounts(NAMESPACE)?;
    for role in ["planner", "operator", "worker", "monitor"] {
        let user = text.find(&format!("user: \"{role}\"")).context("a user")?;
        let hears = user + text[user..].find("subscribe:").context("what it hears")?;
        let own = text[hears..].replacen("\"_INBOX.>\"", &format!("\"_INBOX_{role}.>\""), 1);
        text.replace_range(hears.., &own);
    }
    Ok(text)
}

/// A command as the user of that name.
fn command(stage: &Stage, role: &str, args: &[&str]) -> anyhow::Result<Gridloom> {
    let url = stage.server.url();
    let url = url.replace("//", &format!("//{role}:{role}@"));
    Ok(Gridloom::new(args.iter().copied())?
        .env("GRIDLOOM_NATS", url)
        .env("GRIDLOOM_NAMESPACE", NAMESPACE)
        .env("GRIDLOOM_NATS_INBOX", format!("_INBOX_{role}"))
        .dir(stage.dir()))
}

/// Starts a service as the user whose name it has.
async fn start(stage: &Stage, service: &str) -> anyhow::Result<Process> {
    let service = command(stage, service, &[service])?;
    service
        .env("GRIDLOOM_QUEUE_ACK_DEADLINE", ACK_DEADLINE)
        .start()
        .await
}

/// A command that tells all that the broker refuses it: what nobody waited for, too.
fn telling(stage: &Stage, role: &str, args: &[&str]) -> anyhow::Result<Gridloom> {
    let command = command(stage, role, args)?;
    Ok(command.env(
        "GRIDLOOM_LOG",
        "warn,gridloom_shared::broker::connect=debug",
    ))
}

/// What a command says that must succeed, and be refused nothing by the broker.
async fn say(stage: &Stage, role: &str, line: &str) -> anyhow::Result<Output> {
    let args: Vec<&str> = line.split_whitespace().collect();
    let said = telling(stage, role, &args)?.start().await?;
    let said = said.finish(SOON).await?;
    let said = said
        .succeeded()
        .with_context(|| format!("{role}: {line}"))?;
    let refused = said.stderr.contains("Permissions Violation");
    anyhow::ensure!(!refused, "{role}: {line}\n{}", said.stderr);
    Ok(said)
}

/// The newest run of `job`.
async fn newest(stage: &Stage, role: &str, job: &str) -> anyhow::Result<String> {
    let runs = say(stage, role, &format!("runs {job} --json"))
        .await?
        .json()?;
    let run = runs[0]["run"].as_str().context("a run")?;
    Ok(run.to_owned())
}

async fn is(stage: &Stage, run: &str, state: &str) -> anyhow::Result<()> {
    eventually(LONG, &format!("run {run} is {state}"), async || {
        let shown = say(stage, "monitor", &format!("show {run} --json")).await?;
        Ok(shown.json()?["state"] == state)
    })
    .await
}

/// A broker with the roles, a planner and a worker.
async fn play(scenario: impl AsyncFnOnce(&mut Stage) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let options = ServerOptions {
        server_config: own_inboxes()?,
        ..ServerOptions::default()
    };
    let server = TestServer::start_with(options).await?;
    play_on(server, &TopologyOptions::default(), async |stage| {
        for (name, text) in [
            ("steady.toml", STEADY),
            ("failing.toml", FAILING),
            ("nightly.toml", NIGHTLY),
            ("holidays.toml", HOLIDAYS),
        ] {
            std::fs::write(stage.dir().join(name), text)?;
        }
        let planner = start(stage, "planner").await?;
        stage.planners.push(planner);
        let worker = start(stage, "worker").await?;
        stage.workers.push(worker);
        eventually(SOON, "a planner leads", async || {
            let said = command(stage, "monitor", &["doctor", "--json"])?
                .start()
                .await?;
            let said = said.finish(SOON).await?.stdout;
            Ok(said.contains("leads, term"))
        })
        .await?;
        scenario(stage).await?;
        for process in stage.planners.iter().chain(&stage.workers) {
            let said = process.stderr();
            anyhow::ensure!(!said.contains("Permissions Violation"), "{said}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_gives_every_command_and_monitor_sees_it_all() -> anyhow::Result<()> {
    play(async |stage| {
        let operator = async |line: &str| say(stage, "operator", line).await;
        operator("calendar apply holidays.toml").await?;
        operator("job apply steady.toml failing.toml nightly.toml").await?;
        operator("run steady --wait").await?;
        operator("run failing").await?;
        let failed = newest(stage, "operator", "failing").await?;
        is(stage, &failed, "failed").await?;
        operator("job pause nightly --note why").await?;
        operator("job resume nightly --missed skip").await?;
        operator(
            "job backfill nightly --from 2026-11-20T00:00:00Z --to 2026-11-23T00:00:00Z --yes",
        )
        .await?;
        operator("run nightly --overlap queue_one").await?;
        sees(stage, "operator", &failed).await?;
        sees(stage, "monitor", &failed).await?;
        operator(&format!("dead retry {failed} --yes")).await?;
        is(stage, &failed, "failed").await?;
        operator(&format!("retry {failed}")).await?;
        is(stage, &failed, "failed").await?;
        operator(&format!("dead drop {failed} --yes")).await?;
        operator("run steady --param sleep_ms=2000").await?;
        let long = newest(stage, "operator", "steady").await?;
        operator(&format!("cancel {long}")).await?;
        is(stage, &long, "cancelled").await?;
        operator("unreadable list").await?;
        operator("unreadable drop --all").await?;
        operator("backup copy").await?;
        for line in ["job delete nightly", "calendar delete holidays"] {
            operator(line).await?;
        }
        operator("doctor").await?;
        restored(stage).await
    })
    .await
}

/// What an operator copied is put back by whoever may do what planners do, and by no operator; nor by one who may not ask
/// whether somebody runs there.
async fn restored(stage: &Stage) -> anyhow::Result<()> {
    let accounts = own_inboxes()?;
    let deaf = accounts.replacen("\"test.ahead\", \"test.planner-call\"", "\"test.ahead\"", 1);
    assert_ne!(deaf, accounts);
    let said = restore(stage, "planner", deaf).await?;
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("may not ask"), "{said:?}");
    let said = restore(stage, "operator", accounts.clone()).await?;
    assert_ne!(said.code, 0, "{said:?}");
    let said = restore(stage, "planner", accounts).await?.succeeded()?;
    anyhow::ensure!(!said.stderr.contains("Permissions Violation"), "{said:?}");
    Ok(())
}

/// Restores the copy into a broker of its own, with these accounts.
async fn restore(stage: &Stage, role: &str, server_config: String) -> anyhow::Result<Output> {
    let options = ServerOptions {
        server_config,
        ..ServerOptions::default()
    };
    let other = TestServer::start_with(options).await?;
    let url = other.url().replace("//", &format!("//{role}:{role}@"));
    let command = command(stage, role, &["restore", "copy"])?.env("GRIDLOOM_NATS", url);
    command.start().await?.finish(LONG).await
}

/// Every command that changes nothing.
async fn sees(stage: &Stage, role: &str, run: &str) -> anyhow::Result<()> {
    for line in [
        "calendar list",
        "calendar show holidays",
        "job list",
        "job show nightly",
        "job next nightly",
        "job fires nightly",
        "job backfills nightly",
        "runs",
        "runs steady",
        "dead list",
        "unreadable list",
        "queues",
        "workers",
        "top --once",
    ] {
        say(stage, role, line).await?;
    }
    say(stage, role, &format!("show {run}")).await?;
    say(stage, role, &format!("show {run} --shard 0/0")).await?;
    say(stage, role, &format!("audit {run}")).await?;
    say(stage, role, &format!("snapshot {role}.gz --run {run}")).await?;
    let snapshot = say(stage, role, &format!("snapshot show {role}.gz --json"))
        .await?
        .json()?;
    let planners = snapshot["planners"].as_array().map(Vec::len);
    anyhow::ensure!(planners == Some(1), "{role}: {snapshot}");
    let why = ["job", "why", "nightly", "2026-11-20T02:00:00Z"];
    let why = telling(stage, role, &why)?
        .start()
        .await?
        .finish(SOON)
        .await?;
    anyhow::ensure!(!why.stderr.contains("Violation"), "{}", why.stderr);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn planner_makes_nothing_in_a_namespace_that_its_user_may_not_write_to() -> anyhow::Result<()>
{
    play(async |stage| {
        let planner = command(stage, "planner", &["planner"])?.env("GRIDLOOM_NAMESPACE", "other");
        let said = planner.start().await?.finish(SOON).await?;
        assert_eq!(said.code, 2, "{said:?}");
        let why = "namespace other: this user may not ask other.roll-call";
        assert!(said.stderr.contains(why), "{said:?}");
        let anybody = stage.server.client().await?;
        let names = anybody.request("$JS.API.STREAM.NAMES", "".into());
        let names = String::from_utf8(names.await?.payload.to_vec())?;
        assert!(
            names.contains("KV_test-state") && !names.contains("other"),
            "{names}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn monitor_has_all_of_doctor_and_is_told_what_it_may_not_try() -> anyhow::Result<()> {
    play(async |stage| {
        let said = command(stage, "monitor", &["doctor", "--json"])?
            .start()
            .await?;
        let checks = said.finish(SOON).await?.succeeded()?.json()?;
        let result = |check: &str| -> Option<&Value> {
            let all = checks.as_array()?;
            let found = all.iter().find(|found| found["check"] == check)?;
            Some(&found["result"])
        };
        for check in [
            "broker",
            "streams",
            "leadership",
            "clock",
            "permissions",
            "workers",
        ] {
            assert_eq!(result(check), Some(&"ok".into()), "{check}: {checks}");
        }
        assert_eq!(result("writes"), Some(&"note".into()), "{checks}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn submitter_gets_its_receipt_and_its_answer() -> anyhow::Result<()> {
    play(async |stage| {
        say(stage, "operator", "job apply steady.toml").await?;
        let raw = Raw::connect(&stage.server.url(), "submitter").await?;
        let mut answers = raw.client.subscribe("test.answer.submitter.>").await?;
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Gridloom-Reply", "test.answer.submitter.1");
        let receipt = raw
            .client
            .request_with_headers("test.submit.steady", headers, "{\"id\":\"one\"}".into())
            .await?;
        let receipt: Value = serde_json::from_slice(&receipt.payload)?;
        assert_eq!(receipt["stream"], "test-submit", "{receipt}");
        let answer = tokio::time::timeout(SOON, answers.next()).await?;
        let answer = answer.context("an answer")?;
        let answer: Value = serde_json::from_slice(&answer.payload)?;
        assert_eq!(answer["answer"], "opened", "{answer}");
        assert_eq!(answer["sequence"], receipt["seq"]);
        let run = answer["run"].as_str().context("a run")?;
        is(stage, run, "succeeded").await?;
        assert_eq!(raw.refusals(), Vec::<String>::new());
        Ok(())
    })
    .await
}
