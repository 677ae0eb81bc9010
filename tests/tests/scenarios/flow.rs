//! Flow control on a real broker: what a queue may have open, and why a run waits.

use std::time::Duration;

use anyhow::Context;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::record::Author;
use gridloom_shared::ledger::summary::RunState;
use gridloom_shared::reads::{runs, waits};
use gridloom_shared::waiting::Waiting;
use gridloom_tests::logged::OWN_WORD;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);
const OPEN_RUNS: usize = 20;

/// A job of three shards on a queue.
fn on_queue(name: &str, queue: &str) -> String {
    format!(
        "name = \"{name}\"\nhandler = \"noop\"\nqueue = \"{queue}\"\n[grid]\nslices = 1\npages = {{ count = 3 }}"
    )
}

async fn opened(stage: &Stage) -> anyhow::Result<usize> {
    let subjects = stage.broker.subjects();
    let plans = subjects.ledgers_by(Author::Plan);
    let runs = stage.broker.subjects_of(&subjects.ledger(), &plans).await?;
    Ok(runs.len())
}

async fn submissions_left(stage: &Stage) -> anyhow::Result<u64> {
    let submit = stage.broker.subjects().submit();
    Ok(stage.broker.info(&submit).await?.messages)
}

#[tokio::test(flavor = "multi_thread")]
async fn submissions_of_a_queue_with_too_many_open_runs_wait_and_hold_up_no_other()
-> anyhow::Result<()> {
    play(async |stage| {
        let most = OPEN_RUNS.to_string();
        let planner = stage.gridloom(&["planner", "--open-runs", &most])?;
        stage.planners.push(planner.start().await?);
        stage.start_worker(4, &[]).await?;
        let away = stage.apply(&on_queue("away", "away")).await?;
        let served = stage.apply(&on_queue("served", "default")).await?;
        let mut asked = Vec::new();
        for _ in 0..300 {
            asked.push(stage.submit(&away, &json!({})).await?);
        }
        eventually(SOON, "as many are open as may be", async || {
            Ok(opened(stage).await? >= OPEN_RUNS)
        })
        .await?;
        for _ in 0..5 {
            let run = stage.submit(&served, &json!({})).await?;
            stage.closed(&run, SOON).await?;
        }
        // Those that were being answered when the door was closed came through.
        let open = opened(stage).await? - 5;
        assert!((OPEN_RUNS..OPEN_RUNS + 200).contains(&open), "{open}");
        assert_eq!(submissions_left(stage).await?, 300 - open as u64);
        let waits = format!("{} submissions waiting: as many runs are open", 300 - open);
        eventually(SOON, "doctor says what waits, and why", async || {
            let said = stage.cli(&["doctor"], SOON).await?;
            Ok(said.stdout.contains(&waits) && said.stdout.contains("on away"))
        })
        .await?;
        // Only a leader knows the doors: its successor closes them anew.
        stage.planners[0].kill().await?;
        let planner = stage.gridloom(&["planner", "--open-runs", &most])?;
        stage.planners.push(planner.start().await?);
        let run = stage.submit(&served, &json!({})).await?;
        stage.closed(&run, SOON).await?;
        stage.start_worker(4, &["--queue", "away"]).await?;
        for run in &asked {
            let what = format!("{run} has succeeded");
            eventually(Duration::from_secs(90), &what, async || {
                let shown = runs::show(&stage.broker, run).await;
                Ok(shown.is_ok_and(|shown| shown.state == RunState::Succeeded))
            })
            .await?;
        }
        assert_eq!(submissions_left(stage).await?, 0);
        Ok(())
    })
    .await
}

async fn eventually_waits(
    stage: &Stage,
    run: &RunId,
    what: &str,
    is: impl Fn(&Waiting) -> bool,
) -> anyhow::Result<()> {
    eventually(SOON, what, async || {
        let waits = waits::of(&stage.broker, run).await;
        Ok(waits.is_some_and(|waits| waits.first().is_some_and(&is)))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn run_says_why_it_waits_and_goes_on_when_that_is_over() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let job = stage.apply(&on_queue("plain", "default")).await?;
        let strange =
            "name = \"strange\"\nhandler = \"nobodys\"\n[grid]\nslices = 1\npages = { count = 3 }";
        let strange = stage.apply(strange).await?;
        let plain = stage.submit(&job, &json!({})).await?;
        eventually_waits(stage, &plain, "no worker is there", |waiting| {
            matches!(waiting, Waiting::NoWorker { .. })
        })
        .await?;
        let shown = stage
            .cli(&["show", plain.as_str()], SOON)
            .await?
            .succeeded()?;
        assert!(
            shown.stdout.contains("no worker pulls from queue default"),
            "{shown:?}"
        );
        stage.start_worker(4, &[]).await?;
        stage.closed(&plain, SOON).await?;
        let lost = stage.submit(&strange, &json!({})).await?;
        eventually_waits(stage, &lost, "nobody has the handler", |waiting| {
            matches!(waiting, Waiting::NoHandler { handler, .. } if handler.as_str() == "nobodys")
        })
        .await?;
        // Nothing was issued that nobody can run: nothing is handed back and taken over.
        let before = ledger_length(stage).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(ledger_length(stage).await?, before);
        let shown = stage
            .cli(&["show", lost.as_str(), "--json"], SOON)
            .await?
            .succeeded()?;
        let shown: serde_json::Value = serde_json::from_str(&shown.stdout)?;
        assert_eq!(shown["waits"][0]["reason"], "no_handler");
        assert_eq!(shown["waits"][0]["handler"], "nobodys");
        Ok(())
    })
    .await
}

/// What `doctor` finds wrong with the handlers, and what to do about it.
async fn lacking(stage: &Stage) -> anyhow::Result<Option<(String, String)>> {
    let checks = stage.cli(&["doctor", "--json"], SOON).await?.json()?;
    let mut checks = checks.as_array().into_iter().flatten();
    let lacking = checks.find(|check| check["check"] == "handlers" && check["result"] == "bad");
    Ok(lacking.map(|check| (check["found"].to_string(), check["advice"].to_string())))
}

#[tokio::test(flavor = "multi_thread")]
async fn handler_that_nobody_has_is_named_by_doctor_and_to_who_waits_for_it() -> anyhow::Result<()>
{
    play(async |stage| {
        stage.start_all(1).await?;
        let lost = "name = \"lost\"\nhandler = \"own\"\n[grid]\nslices = 1\npages = { count = 3 }";
        let lost = stage.apply(lost).await?;
        assert_eq!(lacking(stage).await?, None);
        let waits = stage.gridloom(&["run", lost.as_str(), "--wait"])?;
        let waits = waits.start().await?;
        let why = "waiting: no worker of queue default has handler own";
        eventually(SOON, "who waits is told why", async || {
            Ok(waits.stderr().contains(why))
        })
        .await?;
        let (found, advice) = lacking(stage).await?.context("doctor finds nothing")?;
        assert!(
            found.contains("no worker of queue default has handler own"),
            "{found}"
        );
        let start = "start a worker of queue default that has handler own";
        assert!(advice.contains(start), "{advice}");
        stage
            .workers
            .push(stage.gridloom(&[OWN_WORD])?.start().await?);
        waits.finish(SOON).await?.succeeded()?;
        eventually(SOON, "doctor finds nothing more", async || {
            Ok(lacking(stage).await?.is_none())
        })
        .await
    })
    .await
}

async fn ledger_length(stage: &Stage) -> anyhow::Result<u64> {
    let ledger = stage.broker.subjects().ledger();
    Ok(stage.broker.info(&ledger).await?.last_seq)
}
