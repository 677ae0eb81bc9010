//! A setting of a stream that somebody changes under running planners: it is told once and used as it is, and
//! hinders neither the leader, which writes its register anew, nor whoever leads next.

use std::time::Duration;

use anyhow::Context;
use gridloom_shared::broker::subjects::{ConsumerName, StreamName};
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::ledger::summary::RunState;
use gridloom_tests::process::Process;
use gridloom_tests::proxy::{Mode, Proxy};
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;
use serde_json::{Value, json};

const LONG: Duration = Duration::from_secs(90);
const SOON: Duration = Duration::from_secs(30);
const TOLD: &str = "a setting was changed";
const SET_BACK: &str = "as it should be again";

async fn api(stage: &Stage, call: &str, body: &Value) -> anyhow::Result<Value> {
    let client = stage.server.client().await?;
    let subject = format!("$JS.API.{call}");
    let answer = client.request(subject, body.to_string().into()).await?;
    let answer: Value = serde_json::from_slice(&answer.payload)?;
    anyhow::ensure!(answer["error"].is_null(), "{call}: {answer}");
    Ok(answer)
}

/// As `nats stream edit` does.
async fn edit(stage: &Stage, name: &StreamName, setting: &str, to: Value) -> anyhow::Result<()> {
    let mut found = api(stage, &format!("STREAM.INFO.{name}"), &json!({})).await?;
    let mut config = found["config"].take();
    config[setting] = to;
    api(stage, &format!("STREAM.UPDATE.{name}"), &config).await?;
    Ok(())
}

/// A run with some of its shards done, and far more to do than this test lasts.
async fn begun(stage: &mut Stage) -> anyhow::Result<(JobName, RunId)> {
    let job = stage
        .apply("name = \"long\"\nhandler = \"noop\"\n[grid]\nslices = 4\npages = { count = 20_000 }\ntile = 4")
        .await?;
    let run = stage.submit(&job, &json!({"sleep_ms": 10})).await?;
    stage.done(&run, 40, SOON).await?;
    Ok((job, run))
}

/// Removes all that is on the queue, the register too, and waits until the leader has written that anew.
async fn rewritten(stage: &Stage) -> anyhow::Result<()> {
    let holder = stage
        .broker
        .term_holder()
        .await?
        .context("somebody leads")?;
    let shards = stage.broker.subjects().shards();
    api(stage, &format!("STREAM.PURGE.{shards}"), &json!({})).await?;
    eventually(SOON, "the register is written anew", async || {
        let now = stage.broker.term_holder().await?;
        Ok(now.is_some_and(|now| now.seq > holder.seq))
    })
    .await
}

/// How often each planner that runs has said that.
fn said(stage: &Stage, words: &str, of: &str) -> Vec<usize> {
    let named = |line: &&str| line.contains(words) && line.contains(of);
    let planners = stage.planners.iter();
    planners
        .map(|planner| planner.stderr().lines().filter(named).count())
        .collect()
}

async fn all_say(stage: &Stage, words: &str, of: &str) -> anyhow::Result<()> {
    eventually(SOON, &format!("all say: {words}, {of}"), async || {
        Ok(said(stage, words, of).iter().all(|times| *times > 0))
    })
    .await
}

/// Which planner leads, where no other has led.
fn leader(stage: &Stage) -> anyhow::Result<usize> {
    let leads = |planner: &Process| planner.stderr().contains(" leads");
    let leader = stage.planners.iter().position(leads);
    leader.context("somebody leads")
}

async fn ends_cancelled(stage: &Stage, run: &RunId) -> anyhow::Result<()> {
    let answer = stage.cli(&["cancel", run.as_str(), "--json"], SOON).await?;
    let answer = answer.succeeded()?.json()?;
    assert_eq!(answer["outcome"], "done", "{answer}");
    stage.closed(run, SOON).await?;
    let verdict = stage.judge(run).await?;
    assert_eq!(verdict.summary.state, RunState::Cancelled);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn register_is_rewritten_and_a_cancel_gets_through_while_settings_of_streams_differ()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        stage.start_planner().await?;
        stage.start_worker(4, &[]).await?;
        let (job, run) = begun(stage).await?;
        let subjects = stage.broker.subjects().clone();
        let (history, shards) = (subjects.history(), subjects.shards());
        edit(stage, &history, "max_age", json!(86_400_000_000_000_u64)).await?;
        edit(stage, &shards, "max_msgs", json!(900_000)).await?;
        let settings = ["test-history: max_age", "test-shards: max_msgs"];
        for setting in settings {
            all_say(stage, TOLD, setting).await?;
        }
        rewritten(stage).await?;
        let done = stage.done(&run, 1, SOON).await?;
        stage.done(&run, done + 40, SOON).await?;
        ends_cancelled(stage, &run).await?;
        // Whoever leads next takes the settings as they are, too.
        let (term, leader) = (stage.term().await?, leader(stage)?);
        stage.planners[leader].kill().await?;
        let short = stage.submit(&job, &json!({})).await?;
        stage.done(&short, 40, LONG).await?;
        assert!(stage.term().await? > term);
        let doctor = stage.cli(&["doctor"], SOON).await?;
        for setting in settings {
            assert_eq!(said(stage, TOLD, setting), [1, 1], "{setting}");
            assert!(doctor.stdout.contains(setting), "{doctor:?}");
        }
        stage.planners.remove(leader);
        edit(stage, &history, "max_age", json!(0)).await?;
        edit(stage, &shards, "max_msgs", json!(-1)).await?;
        for stream in [&history, &shards] {
            all_say(stage, SET_BACK, stream.as_str()).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn register_is_rewritten_when_the_answer_to_a_wave_was_lost_although_settings_differ()
-> anyhow::Result<()> {
    play(async |stage| {
        let proxy = Proxy::start(stage.server.port()).await?;
        stage.start_planner_behind(&proxy).await?;
        stage.start_worker(4, &[]).await?;
        let (_, run) = begun(stage).await?;
        let shards = stage.broker.subjects().shards();
        edit(stage, &shards, "max_msgs", json!(900_000)).await?;
        all_say(stage, TOLD, "test-shards: max_msgs").await?;
        let before = stage.broker.term_holder().await?.context("a register")?;
        // What ends a batch is answered with its name; all else is heard.
        proxy.set(Mode::Lose("\"batch\":"));
        proxy.lost(1, SOON).await?;
        eventually(SOON, "the register is written anew", async || {
            let now = stage.broker.term_holder().await?;
            Ok(now.is_some_and(|now| now.term == before.term && now.seq > before.seq))
        })
        .await?;
        proxy.set(Mode::Pass);
        let done = stage.done(&run, 1, SOON).await?;
        stage.done(&run, done + 400, SOON).await?;
        let said = stage.planners[0].stderr();
        assert!(said.contains("the answer to a wave was lost"), "{said}");
        assert!(!said.contains("the queue is gone"), "{said}");
        ends_cancelled(stage, &run).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn submissions_are_answered_by_whoever_leads_next_although_their_consumer_was_changed()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        stage.start_planner().await?;
        stage.start_worker(4, &[]).await?;
        let job = stage
            .apply("name = \"plain\"\nhandler = \"noop\"\n[grid]\npages = { count = 3 }")
            .await?;
        let run = stage.submit(&job, &json!({})).await?;
        stage.closed(&run, SOON).await?;
        let (stream, name) = (stage.broker.subjects().submit(), ConsumerName::planner());
        let mut found = api(stage, &format!("CONSUMER.INFO.{stream}.{name}"), &json!({})).await?;
        let mut config = found["config"].take();
        config["max_ack_pending"] = json!(7);
        let change =
            json!({ "stream_name": stream.as_str(), "config": config, "action": "update" });
        api(
            stage,
            &format!("CONSUMER.DURABLE.CREATE.{stream}.{name}"),
            &change,
        )
        .await?;
        let leader = leader(stage)?;
        stage.planners[leader].kill().await?;
        let run = stage.submit(&job, &json!({})).await?;
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        Ok(())
    })
    .await
}
