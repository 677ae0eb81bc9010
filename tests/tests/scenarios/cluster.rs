//! Three brokers, of which the one that leads dies and comes back.

use std::time::Duration;

use gridloom_shared::id::{JobName, QueueName, RunId};
use gridloom_shared::job::parse::{self, Format};
use gridloom_shared::ledger::record::{Author, PlanRecord};
use gridloom_shared::wire;
use gridloom_tests::chaos::field::{Brokers, Field};
use gridloom_tests::oracle;
use gridloom_tests::seed::Seed;
use gridloom_tests::wait::eventually;

const LONG: Duration = Duration::from_secs(120);
const JOB: &str = "name = \"trio\"\nhandler = \"noop\"\n[grid]\nslices = 4\npages = { count = 60 }\ntile = 2\n\
    [params]\nsleep_ms = 400";

async fn kill_and_restart_leader(field: &mut Field, stream: &str) -> anyhow::Result<()> {
    let Brokers::Cluster(cluster) = &mut field.brokers else {
        anyhow::bail!("no cluster")
    };
    let leader = cluster.leader_of(stream).await?;
    cluster.members[leader].kill().await?;
    cluster.settled().await?;
    cluster.leader_of(stream).await?;
    cluster.members[leader].restart().await?;
    cluster.caught_up(stream).await
}

#[tokio::test(flavor = "multi_thread")]
async fn leaders_of_a_cluster_that_die_and_come_back_cost_no_shard() -> anyhow::Result<()> {
    let seed = Seed::from_env()?;
    let number = seed.number();
    eprintln!("seed {number}");
    let mut field = Box::pin(Field::set(seed, true)).await?;
    Box::pin(field.start_actors()).await?;
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
    for stream in [subjects.ledger(), subjects.shards()] {
        Box::pin(kill_and_restart_leader(&mut field, stream.as_str())).await?;
    }
    let plan = subjects.ledger_of(&QueueName::new("default")?, &run, Author::Plan);
    let closed = eventually(LONG, "the run is closed", async || {
        let last = broker.last_of_leader(&subjects.ledger(), &plan).await;
        Ok(last
            .ok()
            .flatten()
            .is_some_and(|last| matches!(wire::decode(&last.payload), Ok(PlanRecord::Closed(_)))))
    })
    .await;
    closed.map_err(|error| error.context(field.left()))?;
    oracle::judge(&broker, &run, None, number)
        .await?
        .succeeded()?;
    field.all_whole()
}
