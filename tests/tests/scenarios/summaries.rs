//! Summaries are told by who leads: what a leader that has died, or was deposed, left undone or does late.

use std::time::Duration;

use gridloom_shared::clock::UnixMs;
use gridloom_shared::ledger::summary::RunState;
use gridloom_shared::wire;
use gridloom_tests::oracle::ledger::Ledger;
use gridloom_tests::proxy::{Mode, Proxy};
use gridloom_tests::scenario::play;
use gridloom_tests::wait::eventually;
use serde_json::json;

use crate::planners::{job, leads, shown};

const SOON: Duration = Duration::from_secs(30);

/// The planner before may die after it has closed a run and before it has shown that. Nobody opens the run again, so
/// lists told for ever that it runs, or never of it at all.
#[tokio::test(flavor = "multi_thread")]
async fn runs_that_were_closed_and_not_shown_are_shown_by_the_next_planner() -> anyhow::Result<()> {
    play(async |stage| {
        let job = job(stage, 1).await?;
        stage.start_all(1).await?;
        let (untold, running, tried_again) = (
            stage.submit(&job, &json!({})).await?,
            stage.submit(&job, &json!({})).await?,
            stage.submit(&job, &json!({})).await?,
        );
        for run in [&untold, &running, &tried_again] {
            stage.closed(run, SOON).await?;
            shown(stage, run).await?;
        }
        stage.planners[0].kill().await?;
        let runs = stage.broker.runs();
        runs.forget(untold.as_str()).await?;
        for (run, state, closed_at) in [
            (&running, RunState::Running, None),
            (&tried_again, RunState::Failed, Some(UnixMs(1).rfc3339())),
        ] {
            let mut before = Ledger::read(&stage.broker, run).await?.summary()?;
            (before.state, before.closed_at) = (state, closed_at);
            runs.put(run.as_str(), wire::encode(&before)).await?;
        }
        stage.start_planner().await?;
        for run in [&untold, &running, &tried_again] {
            shown(stage, run).await?;
        }
        Ok(())
    })
    .await
}

/// What a leader is about to show may arrive when another has shown more: nobody mends that before the next change of
/// leaders.
#[tokio::test(flavor = "multi_thread")]
async fn summary_of_a_deposed_leader_that_comes_late_replaces_nothing() -> anyhow::Result<()> {
    play(async |stage| {
        let job = job(stage, 1).await?;
        let proxy = Proxy::start(stage.server.port()).await?;
        let slow = stage.gridloom(&["planner"])?;
        let slow = slow.env("GRIDLOOM_NATS", proxy.url());
        stage.planners.push(slow.start().await?);
        leads(stage, 1).await?;
        proxy.set(Mode::StallAt(&["PUB $KV.test-runs."]));
        // Nobody works yet: it is shown as running.
        let run = stage.submit(&job, &json!({})).await?;
        proxy.stalled(SOON).await?;
        stage.start_planner().await?;
        leads(stage, 2).await?;
        stage.start_worker(4, &[]).await?;
        stage.closed(&run, SOON).await?;
        shown(stage, &run).await?;
        proxy.set(Mode::Pass);
        eventually(SOON, "the first one stands by", async || {
            Ok(stage.planners[0].stderr().contains("standing by"))
        })
        .await?;
        // What it says after that comes after what it had said before.
        stage.planners[0].terminate()?;
        stage.planners[0].wait(SOON).await?;
        let stands = stage.broker.runs().get(run.as_str()).await?;
        let stands = stands.and_then(|entry| entry.value);
        let ledger = Ledger::read(&stage.broker, &run).await?.summary()?;
        assert_eq!(stands, Some(wire::encode(&ledger)));
        Ok(())
    })
    .await
}
