//! Summaries are told by who leads: what a leader that has died, or was deposed, left undone or does late.

use std::time::Duration;

use gridloom_shared::broker::kv::Watched;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{RunId, Term};
use gridloom_shared::ledger::orders::{Reopened, Which};
use gridloom_shared::ledger::record::{Author, PlanRecord};
use gridloom_shared::ledger::summary::{RunState, RunSummary};
use gridloom_shared::wire;
use gridloom_tests::oracle::ledger::Ledger;
use gridloom_tests::proxy::{Mode, Proxy};
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;
use serde_json::json;
use tokio::time::timeout;

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
        let proxy = leads_behind_a_proxy(stage).await?;
        proxy.set(Mode::StallAt(&["PUB $KV.test-runs."]));
        // Nobody works yet: it is shown as running.
        let run = stage.submit(&job, &json!({})).await?;
        proxy.stalled(SOON).await?;
        stage.start_planner().await?;
        leads(stage, 2).await?;
        stage.start_worker(4, &[]).await?;
        stage.closed(&run, SOON).await?;
        shown(stage, &run).await?;
        comes_late(stage, &proxy, &run).await
    })
    .await
}

/// The same of a run that was over, and was opened again and ended otherwise since.
#[tokio::test(flavor = "multi_thread")]
async fn end_that_a_deposed_leader_shows_late_replaces_no_later_one() -> anyhow::Result<()> {
    play(async |stage| {
        let job = "name = \"bad\"\nhandler = \"noop\"\n[retry]\nmax_attempts = 1";
        let job = stage.apply(job).await?;
        let proxy = leads_behind_a_proxy(stage).await?;
        stage.start_worker(4, &[]).await?;
        proxy.set(Mode::StallAt(&["PUB $KV.test-runs."]));
        let params = json!({ "fail_attempts": 1, "permanent": true });
        let run = stage.submit(&job, &params).await?;
        proxy.stalled(SOON).await?;
        stage.start_planner().await?;
        leads(stage, 2).await?;
        reopen(stage, &run).await?;
        stage.closed(&run, SOON).await?;
        shown(stage, &run).await?;
        comes_late(stage, &proxy, &run).await
    })
    .await
}

/// The first planner, all of whose words can be held back.
async fn leads_behind_a_proxy(stage: &mut Stage) -> anyhow::Result<Proxy> {
    let proxy = Proxy::start(stage.server.port()).await?;
    stage.start_planner_behind(&proxy).await?;
    leads(stage, 1).await?;
    Ok(proxy)
}

/// What the first planner was held back with comes when another leads, and the summary is still what the ledger says.
async fn comes_late(stage: &mut Stage, proxy: &Proxy, run: &RunId) -> anyhow::Result<()> {
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
    let ledger = Ledger::read(&stage.broker, run).await?.summary()?;
    assert_eq!(stands, Some(wire::encode(&ledger)));
    Ok(())
}

/// A run of which all shards are dead, and of which its summary says that it runs: its planner died before it wrote more.
async fn dead_and_shown_as_running(stage: &mut Stage) -> anyhow::Result<RunId> {
    let job = "name = \"bad\"\nhandler = \"noop\"\n[grid]\nslices = 4\n[retry]\nmax_attempts = 1";
    let job = stage.apply(job).await?;
    stage.start_all(1).await?;
    let params = json!({ "fail_attempts": 9, "permanent": true });
    let run = stage.submit(&job, &params).await?;
    stage.closed(&run, SOON).await?;
    shown(stage, &run).await?;
    stage.planners[0].kill().await?;
    stage.workers[0].kill().await?;
    let mut before = Ledger::read(&stage.broker, &run).await?.summary()?;
    (before.state, before.closed_at) = (RunState::Running, None);
    let runs = stage.broker.runs();
    runs.put(run.as_str(), wire::encode(&before)).await?;
    Ok(run)
}

/// Has all that is dead of a run tried again, as a leader does that was elected meanwhile.
async fn reopen(stage: &Stage, run: &RunId) -> anyhow::Result<()> {
    let (broker, subjects) = (&stage.broker, stage.broker.subjects());
    let plan = subjects.ledger_of(&"default".parse()?, run, Author::Plan);
    let last = broker.last_of_leader(&subjects.ledger(), &plan).await?;
    let reopened = PlanRecord::Reopened(Reopened {
        request: 1,
        which: Which::All,
        term: Term(stage.term().await?),
    });
    let last = last.map_or(0, |last| last.seq);
    broker
        .append(plan, wire::encode(&reopened), Some(last))
        .await?;
    Ok(())
}

/// What was over when a planner looked may be opened again before it has written that: then it is shown as open, and never
/// as over.
#[tokio::test(flavor = "multi_thread")]
async fn run_that_is_opened_again_while_it_is_looked_at_is_never_shown_as_over()
-> anyhow::Result<()> {
    play(async |stage| {
        let run = dead_and_shown_as_running(stage).await?;
        let mut watch = stage.broker.runs().watch_all();
        while watch.next().await? != Watched::CaughtUp {}
        let proxy = Proxy::start(stage.server.port()).await?;
        // So it asks for one summary: all that it asks for after it has listed what is over.
        proxy.set(Mode::StallAt(&["STREAM.MSG.GET.KV_test-runs"]));
        stage.start_planner_behind(&proxy).await?;
        proxy.stalled(SOON).await?;
        reopen(stage, &run).await?;
        proxy.set(Mode::Pass);
        let written = async {
            loop {
                if let Watched::Entry(entry) = watch.next().await?
                    && entry.key == run.as_str()
                    && let Some(value) = entry.value
                {
                    return anyhow::Ok(wire::decode::<RunSummary>(&value)?);
                }
            }
        };
        let first = timeout(SOON, written).await??;
        assert_eq!(first.state, RunState::Running, "{first:?}");
        assert_eq!((first.shards.dead, first.shards.outstanding), (0, 4));
        Ok(())
    })
    .await
}

/// Summaries are written behind: one may come when its run was removed, and nothing would ever remove it then.
#[tokio::test(flavor = "multi_thread")]
async fn summary_of_a_run_that_is_gone_is_removed_and_that_of_one_that_was_lost_stays()
-> anyhow::Result<()> {
    play(async |stage| {
        let policy = ["planner", "--retention-most=0", "--retention-every=200ms"];
        stage.planners.push(stage.gridloom(&policy)?.start().await?);
        stage.start_worker(4, &[]).await?;
        let job = job(stage, 1).await?;
        let runs = stage.broker.runs();
        let mut watch = runs.watch_all();
        while watch.next().await? != Watched::CaughtUp {}
        let run = stage.submit(&job, &json!({})).await?;
        let written = async {
            loop {
                match watch.next().await? {
                    Watched::Entry(entry) if entry.value.is_some() => return Ok(entry.value),
                    Watched::Entry(_) | Watched::CaughtUp => {}
                }
            }
        };
        let written: anyhow::Result<_> = timeout(SOON, written).await?;
        let late = written?.unwrap_or_default();
        let (subjects, ledger) = (stage.broker.subjects(), stage.broker.subjects().ledger());
        let plan = subjects.plan_of_run_anywhere(&run);
        eventually(SOON, "the run is removed", async || {
            Ok(stage.broker.last_of_leader(&ledger, &plan).await?.is_none())
        })
        .await?;
        let lost = RunId::from_request(&job, "lost");
        let mut went_on = wire::decode::<RunSummary>(&late)?;
        (went_on.run, went_on.state, went_on.closed_at) = (lost.clone(), RunState::Running, None);
        runs.put(lost.as_str(), wire::encode(&went_on)).await?;
        runs.put(run.as_str(), late).await?;
        eventually(SOON, "the late summary is removed", async || {
            Ok(runs.get(run.as_str()).await?.is_none())
        })
        .await?;
        assert!(runs.get(lost.as_str()).await?.is_some());
        Ok(())
    })
    .await
}
