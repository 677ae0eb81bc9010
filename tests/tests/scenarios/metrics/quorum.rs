//! Alerts of three brokers: one that is away, and two.

use gridloom_tests::cluster::{Cluster, MEMBERS};
use gridloom_tests::process::{Gridloom, Process};
use gridloom_tests::scenario::NAMESPACE;

use super::*;

async fn planner(cluster: &Cluster, port: u16) -> anyhow::Result<Process> {
    let planner = Gridloom::new(["planner", "--listen", &format!("127.0.0.1:{port}")])?;
    let planner = planner.env("GRIDLOOM_NATS", cluster.url());
    let planner = planner.env("GRIDLOOM_NAMESPACE", NAMESPACE);
    let planner = planner.env("GRIDLOOM_QUEUE_REPLICAS", MEMBERS.to_string());
    planner.start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_fire_and_clear_where_a_server_of_three_is_away_and_where_two_are()
-> anyhow::Result<()> {
    if !have_prometheus() {
        return Ok(());
    }
    let mut cluster = Box::pin(Cluster::start()).await?;
    let (at_planner, at_worker) = (free_port()?, free_port()?);
    let planner = planner(&cluster, at_planner).await?;
    let prometheus = &prometheus(at_planner, at_worker).await?;
    let played = Box::pin(one_and_two(&mut cluster, prometheus)).await;
    played.with_context(|| planner.stderr())
}

async fn one_and_two(cluster: &mut Cluster, prometheus: &Prometheus) -> anyhow::Result<()> {
    let whole = format!("max(gridloom_stream_replicas_current{{stream=\"ledger\"}}) == {MEMBERS}");
    holds(prometheus, &whole, LONG).await?;
    clears(prometheus, "GridloomReplicaBehind").await?;
    cluster.members[2].kill().await?;
    fires(prometheus, "GridloomReplicaBehind", "Not all servers").await?;
    cluster.members[1].kill().await?;
    fires(prometheus, "GridloomBrokerWithoutQuorum", "").await?;
    // The one that is left is a broker to be connected to.
    clears(prometheus, "GridloomBrokerAway").await?;
    for member in &mut cluster.members[1..] {
        member.restart().await?;
    }
    clears(prometheus, "GridloomBrokerWithoutQuorum").await?;
    holds(prometheus, &whole, LONG).await?;
    clears(prometheus, "GridloomReplicaBehind").await
}
