//! Three brokers, of which the one that leads dies and comes back.

use std::time::Duration;

use anyhow::Context;
use gridloom_shared::broker::Broker;
use gridloom_shared::id::{JobName, QueueName, RunId};
use gridloom_shared::job::parse::{self, Format};
use gridloom_shared::ledger::record::{Author, PlanRecord};
use gridloom_shared::wire;
use gridloom_tests::chaos::field::{Brokers, Field, NAMESPACE};
use gridloom_tests::cluster::Cluster;
use gridloom_tests::oracle;
use gridloom_tests::process::{Gridloom, Output};
use gridloom_tests::seed::Seed;
use gridloom_tests::wait::{eventually, eventually_some};

const LONG: Duration = Duration::from_secs(120);
const JOB: &str = "name = \"trio\"\nhandler = \"noop\"\n[grid]\nslices = 4\npages = { count = 60 }\ntile = 2\n\
    [params]\nsleep_ms = 400";

/// A run with some of its outcomes written.
async fn begun(field: &Field) -> anyhow::Result<(Broker, RunId)> {
    let spec = parse::parse(JOB, Format::Toml).map_err(|faults| anyhow::anyhow!("{faults}"))?;
    let broker = field.broker.clone();
    broker.jobs().put("trio", wire::encode(&spec)).await?;
    let job = JobName::new("trio")?;
    let body = "{\"id\": \"one\"}";
    broker
        .append(broker.subjects().submit_to(&job), body.into(), None)
        .await?;
    let run = RunId::from_request(&job, "one");
    let subjects = broker.subjects();
    let work = subjects.ledger_of(&QueueName::new("default")?, &run, Author::Work);
    eventually(LONG, "outcomes are written", async || {
        let last = broker.last_of_leader(&subjects.ledger(), &work).await;
        Ok(last.is_ok_and(|last| last.is_some()))
    })
    .await?;
    Ok((broker, run))
}

async fn closed(field: &Field, broker: &Broker, run: &RunId) -> anyhow::Result<()> {
    let subjects = broker.subjects();
    let plan = subjects.ledger_of(&QueueName::new("default")?, run, Author::Plan);
    let closed = eventually(LONG, "the run is closed", async || {
        let last = broker.last_of_leader(&subjects.ledger(), &plan).await;
        Ok(last
            .ok()
            .flatten()
            .is_some_and(|last| matches!(wire::decode(&last.payload), Ok(PlanRecord::Closed(_)))))
    })
    .await;
    closed.map_err(|error| error.context(field.left()))
}

/// Kills the leader of one of `streams` and starts it again, until every copy of all of them is up to date.
async fn kill_and_restart_leader(
    field: &mut Field,
    stream: &str,
    streams: &[&str],
) -> anyhow::Result<()> {
    let cluster = cluster(field)?;
    let leader = cluster.leader_of(stream).await?;
    cluster.members[leader].kill().await?;
    cluster.settled().await?;
    cluster.leader_of(stream).await?;
    cluster.members[leader].restart().await?;
    for stream in streams {
        cluster.caught_up(stream).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn leaders_of_a_cluster_that_die_and_come_back_cost_no_shard() -> anyhow::Result<()> {
    let seed = Seed::from_env()?;
    let number = seed.number();
    eprintln!("seed {number}");
    let mut field = Box::pin(Field::set(seed, true, false)).await?;
    Box::pin(field.start_actors()).await?;
    let (broker, run) = begun(&field).await?;
    let subjects = broker.subjects();
    let (ledger, shards) = (subjects.ledger(), subjects.shards());
    let streams = [ledger.as_str(), shards.as_str()];
    for stream in streams {
        Box::pin(kill_and_restart_leader(&mut field, stream, &streams)).await?;
    }
    closed(&field, &broker, &run).await?;
    oracle::judge(&broker, &run, None, number)
        .await?
        .succeeded()?;
    field.all_whole()
}

fn cluster(field: &mut Field) -> anyhow::Result<&mut Cluster> {
    match &mut field.brokers {
        Brokers::Cluster(cluster) => Ok(cluster),
        Brokers::Single(_) => anyhow::bail!("no cluster"),
    }
}

/// Kills all members and starts them again.
async fn restart_all(field: &mut Field) -> anyhow::Result<()> {
    let cluster = cluster(field)?;
    for member in &mut cluster.members {
        member.kill().await?;
    }
    let starts = cluster.members.iter_mut().map(|member| member.restart());
    futures_util::future::try_join_all(starts).await?;
    cluster.settled().await
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_whose_members_are_all_restarted_loses_its_queue_and_nothing_else()
-> anyhow::Result<()> {
    let seed = Seed::from_env()?;
    let number = seed.number();
    eprintln!("seed {number}");
    let mut field = Box::pin(Field::set(seed, true, false)).await?;
    Box::pin(field.start_actors()).await?;
    let (broker, run) = begun(&field).await?;
    let shards = broker.subjects().shards();
    let before = broker.info(&shards).await?.last_seq;
    Box::pin(restart_all(&mut field)).await?;
    eventually(
        LONG,
        "the queue is another one, above what it was",
        async || {
            let info = broker.info(&shards).await;
            Ok(info.is_ok_and(|info| info.first_seq > before && info.messages > 0))
        },
    )
    .await
    .map_err(|error| error.context(field.left()))?;
    closed(&field, &broker, &run).await?;
    oracle::judge(&broker, &run, None, number)
        .await?
        .succeeded()?;
    refuses_one_copy(&field).await?;
    field.all_whole()
}

/// A planner of a namespace that has nothing yet.
async fn refuses_one_copy(field: &Field) -> anyhow::Result<()> {
    let planner = Gridloom::new(["planner", "--replicas", "1"])?
        .env("GRIDLOOM_NATS", field.brokers.url())
        .env("GRIDLOOM_NAMESPACE", "fresh");
    let said = planner.start().await?.finish(LONG).await?;
    anyhow::ensure!(said.stderr.contains("set replicas = 3"), "{said:?}");
    anyhow::ensure!(!said.stderr.contains("start gridloom planner"), "{said:?}");
    Ok(())
}

async fn doctor(field: &Field) -> anyhow::Result<Output> {
    let doctor = Gridloom::new(["doctor"])?
        .env("GRIDLOOM_NATS", field.brokers.url())
        .env("GRIDLOOM_NAMESPACE", NAMESPACE);
    doctor.start().await?.finish(LONG).await
}

/// All members are killed at once, and two come back: of a stream in memory neither has anything, and whether the third
/// has anything they cannot know. So the queue stands still, and `doctor` says what to do. The third's disk is lost, too.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute"]
async fn two_of_three_that_were_all_down_wait_for_the_third_which_may_come_back_with_nothing()
-> anyhow::Result<()> {
    let seed = Seed::from_env()?;
    let number = seed.number();
    eprintln!("seed {number}");
    let mut field = Box::pin(Field::set(seed, true, false)).await?;
    Box::pin(field.start_actors()).await?;
    let (broker, run) = begun(&field).await?;
    let members = &mut cluster(&mut field)?.members;
    for member in members.iter_mut() {
        member.kill().await?;
    }
    let (third, two) = members.split_last_mut().context("members")?;
    let third = third.store().join("jetstream");
    futures_util::future::try_join_all(two.iter_mut().map(|member| member.restart())).await?;
    cluster(&mut field)?.settled().await?;
    let said = eventually_some(LONG, "doctor says what it waits for", async || {
        let said = doctor(&field).await?;
        let told = said.stdout.contains("[queue-headless]");
        Ok((told && said.code == 1).then_some(said.stdout))
    })
    .await
    .map_err(|error| error.context(field.left()))?;
    assert!(!said.contains("[stream-headless]"), "{said}");
    std::fs::remove_dir_all(third)?;
    let members = &mut cluster(&mut field)?.members;
    members.last_mut().context("a third")?.restart().await?;
    closed(&field, &broker, &run).await?;
    oracle::judge(&broker, &run, None, number)
        .await?
        .succeeded()?;
    field.all_whole()
}
