//! Backups: taken while all goes on and things are killed, put into a broker that has lost everything. What is there then is
//! a state in which a crash could have left it: nothing is planned, opened or committed twice, and no fire is lost.

use std::path::{Path, PathBuf};
use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::id::{JobName, QueueName, RunId};
use gridloom_shared::ledger::record::{Author, PlanRecord};
use gridloom_shared::wire;
use gridloom_tests::cluster::Cluster;
use gridloom_tests::oracle::fires::Fires;
use gridloom_tests::process::{Gridloom, Output};
use gridloom_tests::scenario::{NAMESPACE, Stage, play};
use gridloom_tests::wait::eventually;
use serde_json::{Value, json};

use super::schedules::{apply as apply_tick, decided, judged};

#[path = "backup/decided.rs"]
mod decided;
#[path = "backup/half.rs"]
mod half;

const LONG: Duration = Duration::from_secs(90);
const SOON: Duration = Duration::from_secs(30);
/// A fire a second; none of them is left out, however late.
const EACH_SECOND: &str =
    "every = \"1s\"\noverlap = \"allow\"\nmisfire = { policy = \"run_all\", max = 200 }";

fn path_of(stage: &Stage, name: &str) -> String {
    stage.dir().join(name).display().to_string()
}

async fn backup(stage: &Stage, name: &str) -> anyhow::Result<Value> {
    let taken = stage
        .cli(&["backup", &path_of(stage, name), "--json"], LONG)
        .await?;
    taken.succeeded()?.json()
}

async fn restore(stage: &Stage, name: &str) -> anyhow::Result<Output> {
    stage
        .cli(&["restore", &path_of(stage, name), "--json"], LONG)
        .await
}

/// Kills all that runs, and starts the broker with nothing in it.
async fn lose_everything(stage: &mut Stage) -> anyhow::Result<()> {
    for process in stage.planners.iter_mut().chain(&mut stage.workers) {
        process.kill().await?;
    }
    stage.server.kill().await?;
    std::fs::remove_dir_all(stage.server.store().join("jetstream"))?;
    stage.server.restart().await?;
    Ok(())
}

async fn ask(broker: &Broker, job: &JobName, id: &str, sleep_ms: u64) -> anyhow::Result<RunId> {
    let subject = broker.subjects().submit_to(job);
    let body = json!({ "id": id, "params": { "sleep_ms": sleep_ms } });
    broker
        .append(subject, body.to_string().into(), None)
        .await?;
    Ok(RunId::from_request(job, id))
}

/// How often a run was opened.
async fn openings(broker: &Broker, run: &RunId) -> anyhow::Result<usize> {
    let subjects = broker.subjects();
    let plan = subjects.ledger_of(&QueueName::new("default")?, run, Author::Plan);
    let records = broker.read(&subjects.ledger(), plan, 1, None).await?;
    let opened = records
        .iter()
        .filter(|raw| matches!(wire::decode(&raw.payload), Ok(PlanRecord::Opened(_))));
    Ok(opened.count())
}

/// Waits until no submission is left to be answered.
async fn answered(broker: &Broker) -> anyhow::Result<()> {
    eventually(SOON, "all submissions are answered", async || {
        let submit = broker.subjects().submit();
        Ok(broker.info(&submit).await?.messages == 0)
    })
    .await
}

async fn last_of_ledger(broker: &Broker) -> anyhow::Result<u64> {
    Ok(broker.info(&broker.subjects().ledger()).await?.last_seq)
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_taken_while_things_are_killed_goes_on_in_an_empty_broker() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(2).await?;
        let tick = apply_tick(stage, 5, EACH_SECOND).await?;
        let job = stage
            .apply("name = \"steady\"\nhandler = \"noop\"\n[grid]\nslices = 8\npages = { count = 60 }\ntile = 2")
            .await?;
        let known = ask(&stage.broker, &job, "known", 0).await?;
        stage.closed(&known, LONG).await?;
        let run = ask(&stage.broker, &job, "under way", 100).await?;
        stage.done(&run, 40, SOON).await?;
        decided(stage, &tick, "opened", 2).await?;
        // The leader and a worker die in the middle of it.
        let command = stage.gridloom(&["backup", &path_of(stage, "monday"), "--json"])?;
        let taking = command.start().await?;
        stage.workers[0].kill().await?;
        stage.planners[0].kill().await?;
        stage.free_leadership().await?;
        stage.start_planner().await?;
        stage.start_worker(4, &[]).await?;
        let taken = taking.finish(LONG).await?.succeeded()?.json()?;
        let streams = taken["streams"].as_array().into_iter().flatten();
        let copied = streams.filter(|stream| stream["name"] == "ledger");
        let copied = copied.filter_map(|ledger| ledger["last_seq"].as_u64()).sum::<u64>();
        // All of this is lost.
        let later = ask(&stage.broker, &job, "later", 0).await?;
        stage.closed(&later, LONG).await?;
        let opened = Fires::read(&stage.broker, &tick).await?.count("opened");
        decided(stage, &tick, "opened", opened + 2).await?;
        let (lost, term) = (last_of_ledger(&stage.broker).await?, stage.term().await?);
        assert!(lost > copied);
        lose_everything(stage).await?;
        restore(stage, "monday").await?.succeeded()?;
        stage.start_all(2).await?;
        stage.closed(&run, LONG).await?;
        let verdict = stage.judge_ledger(&run).await?.succeeded()?;
        assert_eq!(verdict.summary.shards.done, 480);
        for run in [&run, &known] {
            stage.cli(&["audit", run.as_str()], SOON).await?.succeeded()?;
        }
        // Nothing that was handed out before is handed out again with another meaning.
        assert!(stage.term().await? > term);
        let subjects = stage.broker.subjects();
        let between = stage
            .broker
            .read(&subjects.ledger(), ">", copied + 1, Some(lost))
            .await?;
        assert!(between.is_empty(), "{between:?}");
        assert!(last_of_ledger(&stage.broker).await? > lost);
        // Who asks again for what was done gets no second run; what is lost can be asked for again.
        ask(&stage.broker, &job, "known", 0).await?;
        ask(&stage.broker, &job, "later", 0).await?;
        answered(&stage.broker).await?;
        stage.closed(&later, LONG).await?;
        for run in [&known, &run, &later] {
            assert_eq!(openings(&stage.broker, run).await?, 1);
        }
        let opened = Fires::read(&stage.broker, &tick).await?.count("opened");
        decided(stage, &tick, "opened", opened + 2).await?;
        let fires = judged(stage, &tick).await?;
        assert_eq!(fires.count("expired") + fires.count("skipped"), 0);
        Ok(())
    })
    .await
}

/// Two backups of one installation as one that took as long as lay between them: submissions, keys, summaries and ledger
/// of the first, decisions about fires and definitions of the second.
fn slow_backup(first: &Path, second: &Path, slow: &Path) -> anyhow::Result<()> {
    std::fs::create_dir(slow)?;
    let manifest = |dir: &Path| -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&std::fs::read(
            dir.join("manifest.json"),
        )?)?)
    };
    let (mut mixed, later) = (manifest(first)?, manifest(second)?);
    for (place, name) in ["submit", "state", "runs", "ledger", "history", "jobs"]
        .iter()
        .enumerate()
    {
        let is_later = matches!(*name, "history" | "jobs");
        let from = if is_later { second } else { first };
        let file = format!("{name}.stream");
        std::fs::copy(from.join(&file), slow.join(&file))?;
        if is_later {
            mixed["streams"][place] = later["streams"][place].clone();
        }
    }
    std::fs::write(slow.join("manifest.json"), mixed.to_string())?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn fires_that_were_decided_while_the_backup_was_taken_are_neither_lost_nor_repeated()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        let tick = apply_tick(stage, 5, EACH_SECOND).await?;
        decided(stage, &tick, "opened", 2).await?;
        backup(stage, "first").await?;
        let opened = Fires::read(&stage.broker, &tick).await?.count("opened");
        decided(stage, &tick, "opened", opened + 3).await?;
        backup(stage, "second").await?;
        let path = |name: &str| PathBuf::from(path_of(stage, name));
        slow_backup(&path("first"), &path("second"), &path("slow"))?;
        lose_everything(stage).await?;
        let told = restore(stage, "slow").await?.succeeded()?.json()?;
        assert!(told["fires_taken_out"].as_u64() >= Some(3), "{told}");
        stage.start_all(1).await?;
        let opened = Fires::read(&stage.broker, &tick).await?.count("opened");
        decided(stage, &tick, "opened", opened + 5).await?;
        let fires = judged(stage, &tick).await?;
        assert_eq!(fires.count("expired") + fires.count("skipped"), 0);
        Ok(())
    })
    .await
}

/// The answer of a restore that does nothing.
async fn refused(stage: &Stage, args: &[&str], why: &str) -> anyhow::Result<()> {
    let answer = stage.cli(&[&["restore"], args].concat(), LONG).await?;
    assert!(answer.code == 1 || answer.code == 2, "{answer:?}");
    assert!(answer.stderr.contains(why), "not {why:?}: {answer:?}");
    Ok(())
}

/// A manifest of a newer version, and a file with another bit.
async fn damaged(stage: &Stage, good: &str, bad: &str) -> anyhow::Result<()> {
    std::fs::create_dir(bad)?;
    for file in std::fs::read_dir(good)? {
        let file = file?;
        std::fs::copy(file.path(), Path::new(bad).join(file.file_name()))?;
    }
    let manifest = Path::new(bad).join("manifest.json");
    let text = std::fs::read_to_string(&manifest)?;
    std::fs::write(
        &manifest,
        text.replacen("\"version\": 1", "\"version\": 2", 1),
    )?;
    refused(stage, &[bad], "a newer").await?;
    std::fs::write(&manifest, text)?;
    let ledger = Path::new(bad).join("jobs.stream");
    let mut content = std::fs::read(&ledger)?;
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::write(&ledger, content)?;
    refused(stage, &[bad], "is damaged").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn restore_refuses_what_it_cannot_put_back_whole_and_where_something_is() -> anyhow::Result<()>
{
    play(async |stage| {
        stage.start_planner().await?;
        eventually(SOON, "it leads", async || Ok(stage.term().await? == 1)).await?;
        let job = stage.apply("name = \"kept\"\nhandler = \"noop\"").await?;
        backup(stage, "good").await?;
        let (good, bad) = (path_of(stage, "good"), path_of(stage, "bad"));
        refused(stage, &[&good], "start them when the backup is back").await?;
        // Nobody spoke of a backup there.
        let site = ["site", "mirror", "--domain", "first"];
        let site = stage.cli(&site, LONG).await?.stderr;
        let told = site.contains("still runs on this broker") && site.contains("leave them so");
        assert!(told && !site.contains("backup"), "{site}");
        stage.planners[0].kill().await?;
        refused(stage, &[&good], "has streams on this broker already").await?;
        refused(stage, &[&bad], "is not there").await?;
        std::fs::create_dir(path_of(stage, "bad.unfinished"))?;
        refused(stage, &[&bad], "never finished").await?;
        let again = stage.cli(&["backup", &good], SOON).await?;
        assert_eq!(again.code, 2, "{again:?}");
        damaged(stage, &good, &bad).await?;
        let revision = stage
            .broker
            .jobs()
            .get(job.as_str())
            .await?
            .map(|job| job.revision);
        lose_everything(stage).await?;
        refused(
            stage,
            &[&good, "--namespace", "other"],
            "a backup of namespace test",
        )
        .await?;
        refused(
            stage,
            &[&good, "--replicas", "3"],
            "--replicas says how many",
        )
        .await?;
        restore(stage, "good").await?.succeeded()?;
        // What an interrupted restore left is removed by the next one; one that is under way is left alone.
        let mark = stage.broker.begin_restoring(1).await?;
        let mark = tokio::spawn(mark.expect("nobody else restores").hold());
        refused(stage, &[&good], "just now").await?;
        let file = stage.dir().join("half.json.gz").display().to_string();
        let taken = stage.cli(&["snapshot", &file, "--json"], LONG).await?;
        let unread = &taken.json()?["unread"][0];
        assert_eq!(unread["part"], "installation", "{taken:?}");
        mark.abort();
        restore(stage, "good").await?.succeeded()?;
        let there = stage.broker.jobs().get(job.as_str()).await?;
        assert_eq!(
            there.map(|job| job.revision),
            revision,
            "it is the same record"
        );
        let put = stage.broker.jobs().put("another", "x".into()).await?;
        assert!(
            Some(put) > revision.map(|revision| revision + 1_000_000),
            "{put}"
        );
        refused(stage, &[&good], "has streams on this broker already").await
    })
    .await
}

/// A command for a cluster, which it is told nothing else of.
async fn at(cluster: &Cluster, args: &[&str]) -> anyhow::Result<Output> {
    let command = Gridloom::new(args.iter().copied())?
        .env("GRIDLOOM_NATS", cluster.url())
        .env("GRIDLOOM_NAMESPACE", NAMESPACE);
    command.start().await?.finish(LONG).await
}

/// What `doctor` finds of the servers of a cluster.
async fn servers(cluster: &Cluster) -> anyhow::Result<(u8, String)> {
    let said = at(cluster, &["doctor", "--json"]).await?;
    let checks = said.json()?;
    let checks = checks.as_array().into_iter().flatten();
    let found = checks.filter(|one| one["check"] == "cluster");
    let found = found.map(|one| format!("{} {}", one["result"], one["found"]));
    Ok((said.code, found.collect::<Vec<_>>().join("\n")))
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_of_one_server_goes_on_in_a_cluster_of_which_doctor_names_a_server_that_is_away()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        let job = stage
            .apply(
                "name = \"steady\"\nhandler = \"noop\"\n[grid]\nslices = 8\npages = { count = 20 }",
            )
            .await?;
        let run = ask(&stage.broker, &job, "under way", 100).await?;
        stage.done(&run, 20, SOON).await?;
        backup(stage, "single").await?;
        for process in stage.planners.iter_mut().chain(&mut stage.workers) {
            process.kill().await?;
        }
        let mut cluster = Box::pin(Cluster::start()).await?;
        let directory = path_of(stage, "single");
        let refused = at(&cluster, &["restore", &directory]).await?;
        assert!(refused.stderr.contains("3 replicas"), "{refused:?}");
        at(&cluster, &["restore", &directory, "--replicas", "3"])
            .await?
            .succeeded()?;
        let mut services = Vec::new();
        for service in ["planner", "worker"] {
            let service = Gridloom::new([service])?
                .env("GRIDLOOM_NATS", cluster.url())
                .env("GRIDLOOM_NAMESPACE", NAMESPACE)
                .env("GRIDLOOM_QUEUE_REPLICAS", "3");
            services.push(service.start().await?);
        }
        eventually(LONG, "the run is over", async || {
            let shown = at(&cluster, &["show", run.as_str(), "--json"]).await?;
            Ok(shown.code == 0 && shown.json()?["state"] == "succeeded")
        })
        .await?;
        at(&cluster, &["audit", run.as_str()]).await?.succeeded()?;
        // Nobody tells it how many copies there are to be.
        eventually(LONG, "nothing is bad", async || {
            let (code, found) = servers(&cluster).await?;
            Ok(code == 0 && found.contains("every copy is there and current"))
        })
        .await?;
        cluster.members[2].kill().await?;
        eventually(LONG, "the server is missed", async || {
            let (code, found) = servers(&cluster).await?;
            Ok(code == 1 && found.contains("server member-2 is away"))
        })
        .await?;
        cluster.members[2].restart().await?;
        eventually(LONG, "nothing is bad any more", async || {
            Ok(servers(&cluster).await?.0 == 0)
        })
        .await
    })
    .await
}
