//! Alerts of a broker that is away, of planners that cannot work without it, and of leaders that change all the time.

use gridloom_tests::wait::eventually_some;

use super::*;

/// So many leaders in a row are tried; five are too many within the time that the alert looks at.
const LEADERS: u64 = 12;

/// Waits until somebody leads under a term as high as that, and Prometheus knows.
async fn leads(prometheus: &Prometheus, term: u64) -> anyhow::Result<()> {
    let leads = format!("max(gridloom_term) >= {term}");
    holds(prometheus, &leads, LONG).await
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_fire_and_clear_where_the_broker_is_away_and_where_leaders_do_not_stay()
-> anyhow::Result<()> {
    if !have_prometheus() {
        return Ok(());
    }
    play(async |stage| {
        let (at_planner, at_worker) = installation(stage).await?;
        let prometheus = &prometheus(at_planner, at_worker).await?;
        leads(prometheus, 1).await?;
        stage.server.kill().await?;
        fires(prometheus, "GridloomBrokerAway", "").await?;
        fires(prometheus, "GridloomPlannerStuck", "127.0.0.1").await?;
        // It is the connection that is missing, and not a quorum.
        let quorum = prometheus.firing("GridloomBrokerWithoutQuorum").await?;
        ensure!(quorum.is_empty(), "{quorum:?}");
        stage.server.restart().await?;
        clears(prometheus, "GridloomBrokerAway").await?;
        clears(prometheus, "GridloomPlannerStuck").await?;
        flaps(stage, at_planner, prometheus).await?;
        clears(prometheus, "GridloomLeadershipFlaps").await
    })
    .await
}

/// Starts one leader after the other, until it is told that none stays.
async fn flaps(stage: &mut Stage, port: u16, prometheus: &Prometheus) -> anyhow::Result<()> {
    let before = prometheus.firing("GridloomLeadershipFlaps").await?;
    ensure!(before.is_empty(), "{before:?}");
    for _ in 0..LEADERS {
        // It stands beside the queue, which the leader makes anew after the broker was away.
        let term = eventually_some(LONG, "there is a term", async || {
            Ok(stage.term().await.ok())
        });
        let term = term.await?;
        let last = stage.planners.last_mut().context("a planner")?;
        last.terminate()?;
        last.wait(LONG).await?;
        planner(stage, port).await?;
        leads(prometheus, term + 1).await?;
        if !prometheus
            .firing("GridloomLeadershipFlaps")
            .await?
            .is_empty()
        {
            break;
        }
    }
    fires(prometheus, "GridloomLeadershipFlaps", "").await
}
