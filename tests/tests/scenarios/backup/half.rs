//! A restore that broke off: whoever opens the namespace is told so, makes nothing there, and is told nothing of it as if it
//! were whole; and nobody's submission is confirmed, to be lost when the backup is put back again.

use anyhow::Context;

use super::*;

const UNFINISHED: &str = "a restore of namespace test is not finished (begun 20";
const AGAIN: &str = "gridloom restore DIR";
/// A stream of somebody else that takes what one of ours is to take.
const IN_THE_WAY: &str = "in-the-way";

/// Asks JetStream as an administrator would.
async fn admin(stage: &Stage, question: &str, body: &Value) -> anyhow::Result<Value> {
    let client = stage.server.client().await?;
    let asked = client.request(format!("$JS.API.{question}"), body.to_string().into());
    Ok(serde_json::from_slice(&asked.await?.payload)?)
}

async fn streams(stage: &Stage) -> anyhow::Result<Value> {
    let names = admin(stage, "STREAM.NAMES", &json!({})).await?;
    Ok(names["streams"].clone())
}

async fn doctors_keys(stage: &Stage) -> anyhow::Result<String> {
    let found = stage.cli(&["doctor", "--json"], SOON).await?.json()?;
    let bad = found.as_array().context("checks")?.iter();
    let bad = bad.filter(|line| line["result"] == "bad");
    let keys: Vec<_> = bad.filter_map(|line| line["key"].as_str()).collect();
    Ok(keys.join(" "))
}

/// Puts back what cannot be put back any further than to a bucket.
async fn break_off(stage: &Stage, directory: &str, bucket: &str) -> anyhow::Result<()> {
    let subject = format!("$KV.test-{bucket}.in-the-way");
    let other = json!({ "name": IN_THE_WAY, "subjects": [subject] });
    admin(stage, "STREAM.CREATE.in-the-way", &other).await?;
    let broken = stage.cli(&["restore", directory], LONG).await?;
    let told = broken.stderr.contains("is no installation; repeat it");
    assert!(broken.code == 1 && told, "{broken:?}");
    admin(stage, "STREAM.DELETE.in-the-way", &json!({})).await?;
    Ok(())
}

/// A planner that starts says why it does not.
async fn planner_ends(stage: &Stage) -> anyhow::Result<()> {
    let planner = stage.cli(&["planner"], SOON).await?;
    let told = planner.stderr.contains(UNFINISHED) && planner.stderr.contains(AGAIN);
    assert!(planner.code == 1 && told, "{planner:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn restore_that_broke_off_is_named_to_whoever_opens_the_namespace() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        eventually(SOON, "it leads", async || Ok(stage.term().await? == 1)).await?;
        let job = stage.apply("name = \"kept\"\nhandler = \"noop\"").await?;
        backup(stage, "good").await?;
        let good = path_of(stage, "good");
        lose_everything(stage).await?;
        break_off(stage, &good, "state").await?;
        planner_ends(stage).await?;
        break_off(stage, &good, "jobs").await?;
        let before = streams(stage).await?;
        planner_ends(stage).await?;
        let mut worker = stage.gridloom(&["worker"])?.start().await?;
        eventually(SOON, "the worker says what it may wait for", async || {
            Ok(worker.stderr().contains("a restore that is not finished"))
        })
        .await?;
        worker.kill().await?;
        let directory = path_of(stage, "bad");
        for args in [
            &["job", "list"][..],
            &["job", "pause", "kept", "--note", "x"],
            &["run", "kept"],
            &["runs"],
            &["top", "--once"],
            &["backup", &directory],
            &["site", "status"],
            &["site", "promote", &directory],
            &["site", "mirror", "--domain", "first"],
        ] {
            let command = stage.cli(args, SOON).await?;
            let told = command.stderr.contains(UNFINISHED) && command.stderr.contains(AGAIN);
            assert!(command.code == 2 && told, "{args:?}: {command:?}");
        }
        let keys = doctors_keys(stage).await?;
        assert_eq!(keys, "restore-unfinished");
        let submit = stage.broker.subjects().submit_to(&job);
        let confirmed = stage.broker.append(submit, "{}".into(), None).await;
        assert!(confirmed.is_err(), "{confirmed:?}");
        assert_eq!(streams(stage).await?, before, "nobody made anything");
        restore(stage, "good").await?.succeeded()?;
        stage.start_all(1).await?;
        let run = ask(&stage.broker, &job, "now", 0).await?;
        stage.closed(&run, LONG).await
    })
    .await
}
