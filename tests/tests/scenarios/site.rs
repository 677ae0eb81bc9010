//! A second site: it follows the first over a leaf node, takes its place when that is gone with all its queues, and what
//! was lost is counted.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use gridloom_cli::embedded::{Options as ServerOptions, free_port};
use gridloom_shared::broker::topology::TopologyOptions;
use gridloom_shared::broker::{Broker, Options};
use gridloom_shared::id::{JobName, Namespace, RunId};
use gridloom_tests::oracle::fires::Fires;
use gridloom_tests::oracle::ledger::Ledger;
use gridloom_tests::process::{Gridloom, Output, Process};
use gridloom_tests::proxy::{Mode, Proxy};
use gridloom_tests::scenario::{NAMESPACE, Stage, play_on};
use gridloom_tests::server::TestServer;
use gridloom_tests::wait::eventually;
use serde_json::{Value, json};

use super::schedules::{decided, judged};

#[path = "site/ended.rs"]
mod ended;

const LONG: Duration = Duration::from_secs(90);
const SOON: Duration = Duration::from_secs(30);

/// The first site, and where its leaf nodes come in.
async fn first_site() -> anyhow::Result<(TestServer, u16)> {
    let port = free_port()?;
    let server = TestServer::start_with(ServerOptions {
        jetstream_config: "domain: \"first\"".into(),
        server_config: format!("leafnodes {{ listen: \"127.0.0.1:{port}\" }}\n"),
        ..ServerOptions::default()
    });
    Ok((server.await?, port))
}

/// The second site, as docs/OPERATIONS.md has it: nothing of the namespace goes from one to the other by itself.
async fn second_site(first: &str) -> anyhow::Result<TestServer> {
    let own = format!("[\"{NAMESPACE}.>\", \"$KV.>\"]");
    let remote = format!("{{ url: \"{first}\", deny_imports: {own}, deny_exports: {own} }}");
    TestServer::start_with(ServerOptions {
        jetstream_config: "domain: \"second\"".into(),
        server_config: format!("leafnodes {{ remotes: [ {remote} ] }}\n"),
        ..ServerOptions::default()
    })
    .await
}

/// A planner or a worker of the first site.
async fn service(server: &TestServer, args: &[&str]) -> anyhow::Result<Process> {
    let command = Gridloom::new(args.iter().copied())?
        .env("GRIDLOOM_NATS", server.url())
        .env("GRIDLOOM_NAMESPACE", NAMESPACE);
    command.start().await
}

/// The first site with a planner and workers.
struct First {
    server: TestServer,
    broker: Broker,
    processes: Vec<Process>,
}

impl First {
    async fn start(server: TestServer) -> anyhow::Result<First> {
        let mut processes = Vec::new();
        for args in [&["planner"][..], &["worker"], &["worker"]] {
            processes.push(service(&server, args).await?);
        }
        let mut options = Options::new(server.url(), Namespace::new(NAMESPACE)?, "gridloom-test");
        options.wait = SOON;
        let broker = Broker::connect(&options).await?;
        eventually(SOON, "the first site has a leader", async || {
            Ok(broker
                .term_holder()
                .await
                .is_ok_and(|holder| holder.is_some()))
        })
        .await?;
        Ok(First {
            server,
            broker,
            processes,
        })
    }

    async fn ask(&self, job: &JobName, id: &str, sleep_ms: u64) -> anyhow::Result<RunId> {
        let subject = self.broker.subjects().submit_to(job);
        let body = json!({ "id": id, "params": { "sleep_ms": sleep_ms } });
        self.broker
            .append(subject, body.to_string().into(), None)
            .await?;
        Ok(RunId::from_request(job, id))
    }

    async fn done(&self, run: &RunId, shards: u64) -> anyhow::Result<()> {
        eventually(LONG, "shards are done at the first site", async || {
            let ledger = Ledger::read(&self.broker, run).await?;
            Ok(ledger
                .summary()
                .is_ok_and(|summary| summary.shards.done >= shards))
        })
        .await
    }

    /// The site is gone, all at once.
    async fn kill(&mut self) -> anyhow::Result<()> {
        self.server.kill().await?;
        for process in &mut self.processes {
            process.kill().await?;
        }
        Ok(())
    }
}

/// All records of a ledger: what stands under which sequence.
async fn records(broker: &Broker) -> anyhow::Result<BTreeMap<u64, (String, Vec<u8>)>> {
    let ledger = broker.subjects().ledger();
    let last = broker.info(&ledger).await?.last_seq;
    let all = broker.read(&ledger, ">", 1, Some(last)).await?;
    let all = all.into_iter();
    Ok(all
        .map(|raw| (raw.seq, (raw.subject.to_string(), raw.payload.to_vec())))
        .collect())
}

/// A command for the first site.
async fn at_first(stage: &Stage, first: &First, args: &[&str]) -> anyhow::Result<Output> {
    let url = first.server.url();
    stage.cli(&[args, &["--nats", &url]].concat(), SOON).await
}

/// Makes the second site follow the first.
async fn follow(stage: &Stage) -> anyhow::Result<()> {
    eventually(SOON, "the first site is reached", async || {
        let made = stage
            .cli(&["site", "mirror", "--domain", "first"], SOON)
            .await?;
        Ok(made.code == 0)
    })
    .await
}

/// Waits until nothing is at the first site alone.
async fn all_has_come_over(stage: &Stage) -> anyhow::Result<()> {
    eventually(SOON, "all has come over", async || {
        let said = stage.cli(&["site", "status", "--json"], SOON).await?;
        Ok(said.code == 0 && missing(&said.json()?) == Some(0))
    })
    .await
}

async fn status(stage: &Stage) -> anyhow::Result<Value> {
    stage.cli(&["site", "status", "--json"], SOON).await?.json()
}

/// How many messages the first site has that are not at the second.
fn missing(status: &Value) -> Option<u64> {
    let streams = status["streams"].as_array()?;
    streams
        .iter()
        .map(|stream| stream["missing"].as_u64())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn second_site_goes_on_where_the_first_was_lost_with_its_queues_and_what_was_lost_is_counted()
-> anyhow::Result<()> {
    let (server, port) = first_site().await?;
    let mut first = Box::pin(First::start(server)).await?;
    let way = Proxy::start(port).await?;
    let second = second_site(&way.url()).await?;
    play_on(second, &TopologyOptions::default(), async |stage| {
        let definitions = [
            "name = \"steady\"\nhandler = \"noop\"\n[grid]\nslices = 8\npages = { count = 60 }\ntile = 2",
            "name = \"tick\"\nhandler = \"noop\"\n[schedule]\nevery = \"1s\"\noverlap = \"allow\"\nmisfire = { policy = \"run_all\", max = 200 }",
        ];
        for definition in definitions {
            let file = stage.dir().join("job.toml");
            std::fs::write(&file, definition)?;
            let apply = ["job", "apply", &file.display().to_string()];
            at_first(stage, &first, &apply).await?.succeeded()?;
        }
        let (steady, tick) = (JobName::new("steady")?, JobName::new("tick")?);
        let known = first.ask(&steady, "known", 0).await?;
        first.done(&known, 480).await?;
        // What is there before it follows comes over too.
        follow(stage).await?;
        let run = first.ask(&steady, "under way", 100).await?;
        first.done(&run, 60).await?;
        all_has_come_over(stage).await?;
        planner_makes_nothing_here(stage).await?;
        let at = stage.dir().join("promoted").display().to_string();
        let early = stage.cli(&["site", "promote", &at], SOON).await?;
        assert!(early.code == 2 && early.stderr.contains("first site answers"), "{early:?}");
        // What the first site confirms from here on does not come over any more.
        way.set(Mode::Stall);
        first.done(&run, 120).await?;
        eventually(SOON, "the first has records that the second has not", async || {
            Ok(records(&first.broker).await?.len() > records(&stage.broker).await?.len())
        })
        .await?;
        first.kill().await?;
        way.cut();
        let came_over = records(&stage.broker).await?;
        stage.cli(&["site", "promote", &at], LONG).await?.succeeded()?;
        stage.start_all(2).await?;
        stage.closed(&run, LONG).await?;
        for run in [&run, &known] {
            let verdict = stage.judge_ledger(run).await?.succeeded()?;
            assert_eq!(verdict.summary.shards.done, 480);
            stage.cli(&["audit", run.as_str()], SOON).await?.succeeded()?;
        }
        let opened = Fires::read(&stage.broker, &tick).await?.count("opened");
        decided(stage, &tick, "opened", opened + 3).await?;
        let fires = judged(stage, &tick).await?;
        assert_eq!(fires.count("expired") + fires.count("skipped"), 0);
        way.set(Mode::Pass);
        compare(stage, &mut first, &came_over).await
    })
    .await
}

/// A planner that is started at a second site by mistake says so, and leaves nothing behind.
async fn planner_makes_nothing_here(stage: &Stage) -> anyhow::Result<()> {
    let misled = stage.cli(&["planner"], SOON).await?;
    let told = misled
        .stderr
        .contains("follows domain first as a second site");
    assert!(misled.code == 1 && told, "{misled:?}");
    let found = stage.cli(&["doctor", "--json"], SOON).await?.json()?;
    let left = found.as_array().context("checks")?.iter();
    let left = left.filter(|line| line["key"] == "stream-at-site").count();
    assert_eq!(left, 0, "{found}");
    Ok(())
}

/// The first site comes back without planners: what it had confirmed is compared with what came over, and nothing of it
/// goes over by itself any more.
async fn compare(
    stage: &Stage,
    first: &mut First,
    came_over: &BTreeMap<u64, (String, Vec<u8>)>,
) -> anyhow::Result<()> {
    first.server.restart().await?;
    let confirmed = eventually_records(&first.broker).await?;
    let last = came_over.keys().next_back().copied().unwrap_or_default();
    let lost: Vec<u64> = confirmed.range(last + 1..).map(|(seq, _)| *seq).collect();
    eprintln!(
        "{} records confirmed, {} came over, {} lost",
        confirmed.len(),
        came_over.len(),
        lost.len()
    );
    assert!(!lost.is_empty(), "something is lost here");
    let before: BTreeMap<_, _> = confirmed
        .range(..=last)
        .map(|(seq, record)| (*seq, record.clone()))
        .collect();
    assert_eq!(before.len(), came_over.len(), "what came over has no gap");
    assert!(before == *came_over, "what came over is what was confirmed");
    // Sequences of what was lost are not used again.
    let now = records(&stage.broker).await?;
    let again: Vec<_> = lost.iter().filter(|seq| now.contains_key(seq)).collect();
    assert!(again.is_empty(), "{again:?}");
    let subject = first.broker.subjects().ledger_of(
        &gridloom_shared::id::QueueName::new("default")?,
        &RunId::from_request(&JobName::new("steady")?, "elsewhere"),
        gridloom_shared::ledger::record::Author::Work,
    );
    eventually(SOON, "the sites are connected again", async || {
        let ledger = stage.broker.subjects().ledger();
        Ok(stage.broker.seen_in(&ledger, "first").await.is_ok())
    })
    .await?;
    let written = first
        .broker
        .append(subject.clone(), "x".into(), None)
        .await?;
    assert!(written > 0);
    let there = stage
        .broker
        .last_of_leader(&stage.broker.subjects().ledger(), &subject)
        .await?;
    assert!(there.is_none(), "{there:?}");
    Ok(())
}

async fn eventually_records(broker: &Broker) -> anyhow::Result<BTreeMap<u64, (String, Vec<u8>)>> {
    let mut found = BTreeMap::new();
    eventually(SOON, "the first site can be read", async || {
        if let Ok(read) = records(broker).await {
            found = read;
        }
        Ok(!found.is_empty())
    })
    .await?;
    Ok(found)
}
