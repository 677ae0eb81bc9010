//! What is wrong with an installation is told over HTTP as the command tells it: from the same reads, once for all who ask
//! at a time, and in time whatever does not answer.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use gridloom_tests::proxy::{Mode, Proxy};
use tokio::time::Instant;

use super::*;

const JOB: &str = "name = \"plain\"\nhandler = \"noop\"\n[grid]\nslices = 2\npages = { count = 1 }";
/// What whoever asks has of their own: their permissions, their clock.
const OWN: &[&str] = &["permissions", "clock"];

/// The lines, but those of whoever asks.
fn lines(items: &Value) -> Vec<Value> {
    let items = items.as_array().into_iter().flatten();
    let items = items.filter(|item| OWN.iter().all(|own| item["check"] != *own));
    items.cloned().collect()
}

fn has(lines: &[Value], key: &str, words: &str) -> bool {
    lines.iter().any(|line| {
        let found = line["found"].as_str().unwrap_or_default();
        line["key"] == key && line["result"] == "bad" && found.contains(words)
    })
}

/// As `nats stream edit` does.
async fn edit(stage: &Stage, setting: &str, to: Value) -> anyhow::Result<()> {
    let client = stage.server.client().await?;
    let history = stage.broker.subjects().history();
    let asked = client.request(format!("$JS.API.STREAM.INFO.{history}"), "".into());
    let mut found: Value = serde_json::from_slice(&asked.await?.payload)?;
    let mut config = found["config"].take();
    config[setting] = to;
    let subject = format!("$JS.API.STREAM.UPDATE.{history}");
    let answer = client.request(subject, config.to_string().into()).await?;
    let answer: Value = serde_json::from_slice(&answer.payload)?;
    ensure!(answer["error"].is_null(), "{answer}");
    Ok(())
}

async fn is_led(stage: &Stage) -> anyhow::Result<()> {
    let leads = async || Ok(stage.term().await? > 0);
    eventually(SOON, "a planner leads", leads).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_alike_by_the_command_and_over_http() -> anyhow::Result<()> {
    play(async |stage| {
        let leader = start(stage, &[]).await?;
        is_led(stage).await?;
        let standby = start(stage, &[]).await?;
        let job = stage.apply(JOB).await?;
        let run = stage.submit(&job, &json!({})).await?;
        stage.queued(2, SOON).await?;
        edit(stage, "max_age", json!(86_400_000_000_000_u64)).await?;
        for api in [&leader, &standby] {
            let mut last = (Vec::new(), Vec::new());
            let alike = eventually(SOON, "both say the same", async || {
                let command = stage.cli(&["doctor", "--json"], SOON).await?;
                let examined = api.get("/doctor").await?;
                ensure!(examined["result"] == "bad", "{examined}");
                last = (lines(&command.json()?), lines(&examined["items"]));
                Ok(last.0 == last.1)
            });
            alike
                .await
                .with_context(|| format!("{:#?}\n{:#?}", last.0, last.1))?;
            ensure!(
                has(&last.1, "queue-without-workers", run.as_str()),
                "{last:#?}"
            );
            ensure!(has(&last.1, "streams-differ", "max_age"), "{last:#?}");
        }
        edit(stage, "max_age", json!(0)).await?;
        stage.start_worker(2, &[]).await?;
        stage.closed(&run, SOON).await?;
        eventually(SOON, "nothing is bad any more", async || {
            Ok(leader.get("/doctor").await?["result"] != "bad")
        })
        .await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_at_a_time_are_told_of_one_examination() -> anyhow::Result<()> {
    play(async |stage| {
        let api = start(stage, &[]).await?;
        is_led(stage).await?;
        let all = try_join_all((0..20).map(|_| api.get("/doctor"))).await?;
        let begun: BTreeSet<&str> = all.iter().filter_map(|one| one["at"].as_str()).collect();
        ensure!(begun.len() == 1, "{begun:?}");
        let first = begun.first().copied().unwrap_or_default().to_owned();
        // Nobody is told for ever what was so once.
        eventually(SOON, "it is looked anew", async || {
            Ok(api.get("/doctor").await?["at"] != first.as_str())
        })
        .await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_an_answer_though_the_broker_gives_none() -> anyhow::Result<()> {
    play(async |stage| {
        let proxy = Proxy::start(stage.server.port()).await?;
        let api = start(stage, &["--nats", &proxy.url()]).await?;
        is_led(stage).await?;
        stage.start_worker(2, &[]).await?;
        proxy.set(Mode::HalfOpen);
        let begun = Instant::now();
        let examined = api.get("/doctor").await?;
        // The gate would have given up after 30 s, with nothing of what was found.
        ensure!(begun.elapsed() < Duration::from_secs(25), "{examined}");
        let items = examined["items"].as_array().context("items")?;
        let told = items.iter().any(|line| {
            line["result"] == "bad"
                && ["unread", "broker-away"]
                    .iter()
                    .any(|key| line["key"] == *key)
        });
        ensure!(told, "{examined}");
        proxy.set(Mode::Pass);
        let well = eventually(SOON, "nothing is bad any more", async || {
            Ok(api.get("/doctor").await?["result"] != "bad")
        });
        well.await
    })
    .await
}
