//! What a submitter is told of its request: over plain NATS, by the command line, and on record.

use std::time::Duration;

use anyhow::Context;
use async_nats::{HeaderMap, jetstream};
use futures_util::StreamExt;
use gridloom_shared::id::RunId;
use gridloom_shared::submission::answer::{Outcome, REPLY, Reply};
use gridloom_tests::process::Output;
use gridloom_tests::scenario::{NAMESPACE, Stage, play};
use gridloom_tests::wait::eventually_some;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);
const JOB: &str = "name = \"plain\"\nhandler = \"noop\"\n[grid]\nslices = 2";

/// Publishes as any client would, asking for an answer on `reply`. Returns the sequence of the receipt.
async fn ask(client: &async_nats::Client, reply: &str, body: &Value) -> anyhow::Result<u64> {
    let mut headers = HeaderMap::new();
    headers.insert(REPLY, reply);
    let context = jetstream::new(client.clone());
    let subject = format!("{NAMESPACE}.submit.plain");
    let sent = context.publish_with_headers(subject, headers, body.to_string().into());
    Ok(sent.await?.await?.sequence)
}

/// A planner that purges a run as soon as the next one is over, and a worker.
async fn start_forgetful(stage: &mut Stage) -> anyhow::Result<()> {
    let flags = [
        "planner",
        "--retention-most",
        "1",
        "--retention-every",
        "200ms",
    ];
    let planner = stage.gridloom(&flags)?.start().await?;
    stage.planners.push(planner);
    stage.start_worker(4, &[]).await?;
    Ok(())
}

/// Waits until the run's records were purged.
async fn purged(stage: &Stage, run: &RunId) -> anyhow::Result<()> {
    eventually_some(SOON, "the run is purged", async || {
        let said = stage.cli(&["show", run.as_str()], SOON).await?;
        Ok(said.stderr.contains("was purged").then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn submitter_that_asks_is_told_what_became_of_each_request() -> anyhow::Result<()> {
    play(async |stage| {
        let job = stage.apply(JOB).await?;
        start_forgetful(stage).await?;
        let client = stage.server.client().await?;
        let inbox = client.new_inbox();
        let mut answers = client.subscribe(inbox.clone()).await?;
        let mut told = async |body: Value| -> anyhow::Result<Reply> {
            let sequence = ask(&client, &inbox, &body).await?;
            let answer = tokio::time::timeout(SOON, answers.next()).await?;
            let answer: Reply = serde_json::from_slice(&answer.context("an answer")?.payload)?;
            assert_eq!(
                (answer.sequence, answer.job.as_ref()),
                (sequence, Some(&job))
            );
            Ok(answer)
        };
        let one = RunId::from_request(&job, "one");
        let first = told(json!({"id": "one"})).await?;
        assert_eq!(
            (first.answer, first.run.as_ref()),
            (Outcome::Opened, Some(&one))
        );
        let again = told(json!({"id": "one"})).await?;
        assert_eq!(
            (again.answer, again.run.as_ref()),
            (Outcome::Exists, Some(&one))
        );
        for (body, reason) in [
            (json!({"id": "one", "params": {"sleep_ms": 1}}), "conflict"),
            (json!({"sql": {}}), "sql: "),
        ] {
            let refused = told(body).await?;
            assert_eq!((refused.answer, refused.run), (Outcome::Refused, None));
            assert!(refused.reason.context("a reason")?.starts_with(reason));
        }
        stage.closed(&one, SOON).await?;
        let two = told(json!({"id": "two"})).await?.run.context("a run")?;
        stage.closed(&two, SOON).await?;
        purged(stage, &one).await?;
        let gone = told(json!({"id": "one"})).await?;
        assert_eq!((gone.answer, gone.run), (Outcome::Purged, Some(one)));
        Ok(())
    })
    .await
}

/// The planner may publish nearly everywhere: nobody reaches through it what it may not reach itself.
#[tokio::test(flavor = "multi_thread")]
async fn answer_goes_nowhere_but_to_an_inbox() -> anyhow::Result<()> {
    play(async |stage| {
        let job = stage.apply(JOB).await?;
        stage.start_all(1).await?;
        let run = stage.submit(&job, &json!({})).await?;
        stage.closed(&run, SOON).await?;
        let client = stage.server.client().await?;
        let hostile = [
            format!("$JS.API.STREAM.PURGE.{NAMESPACE}-ledger"),
            format!("$JS.API.STREAM.DELETE.{NAMESPACE}-ledger"),
            format!("{NAMESPACE}.submit.plain"),
            format!("$KV.{NAMESPACE}-jobs.plain"),
            format!("{NAMESPACE}.answer.>"),
        ];
        for reply in &hostile {
            ask(&client, reply, &json!({})).await?;
        }
        let listed = eventually_some(SOON, "all are refused", async || {
            let listed = listed(stage, &[]).await?;
            Ok((listed.len() >= hostile.len()).then_some(listed))
        })
        .await?;
        assert_eq!(listed.len(), hostile.len());
        for refused in &listed {
            let reason = refused["reason"].as_str().context("a reason")?;
            assert!(reason.starts_with("Gridloom-Reply: "), "{reason}");
        }
        stage.judge(&run).await?.succeeded()?;
        Ok(())
    })
    .await
}

async fn listed(stage: &Stage, more: &[&str]) -> anyhow::Result<Vec<Value>> {
    let args = [&["unreadable", "list", "--json"], more].concat();
    let said = stage.cli(&args, SOON).await?.succeeded()?;
    Ok(said.json()?.as_array().context("a list")?.clone())
}

async fn said(stage: &Stage, args: &[&str]) -> anyhow::Result<Output> {
    stage.cli(args, SOON).await
}

#[tokio::test(flavor = "multi_thread")]
async fn run_says_what_became_of_a_repeated_id() -> anyhow::Result<()> {
    play(async |stage| {
        let job = stage.apply(JOB).await?;
        let alone = said(stage, &["run", "plain", "--id", "zero"]).await?;
        assert_eq!(alone.code, 0, "{alone:?}");
        assert!(
            alone
                .stderr
                .contains("is not taken yet: no planner answers"),
            "{alone:?}"
        );
        start_forgetful(stage).await?;
        stage
            .closed(&RunId::from_request(&job, "zero"), SOON)
            .await?;

        let first = said(stage, &["run", "plain", "--id", "one", "--wait"]).await?;
        assert_eq!(first.code, 0, "{first:?}");
        let again = said(stage, &["run", "plain", "--id", "one", "--json"])
            .await?
            .succeeded()?;
        assert_eq!(again.json()?["answer"], "exists");
        for more in [&[][..], &["--wait"], &["--json"]] {
            let other = ["run", "plain", "--id", "one", "--param", "sleep_ms=1"];
            let other = said(stage, &[&other, more].concat()).await?;
            assert_eq!(other.code, 2, "{other:?}");
            assert!(other.stderr.contains("conflict"), "{other:?}");
        }
        let two = said(stage, &["run", "plain", "--id", "two", "--wait"]).await?;
        assert_eq!(two.code, 0, "{two:?}");
        purged(stage, &RunId::from_request(&job, "one")).await?;
        let over = said(stage, &["run", "plain", "--id", "one"]).await?;
        assert_eq!(over.code, 0, "{over:?}");
        assert!(over.stdout.contains("is over and was purged"), "{over:?}");
        let over = said(stage, &["run", "plain", "--id", "one", "--wait"]).await?;
        assert_eq!(over.code, 1, "{over:?}");
        assert!(over.stderr.contains("is over and was purged"), "{over:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_messages_are_listed_and_dropped() -> anyhow::Result<()> {
    play(async |stage| {
        stage.apply(JOB).await?;
        stage.start_planner().await?;
        let client = stage.server.client().await?;
        for n in 0..5 {
            let body = json!({ format!("wrong{n}"): "\u{1b}[2J" });
            ask(&client, &client.new_inbox(), &body).await?;
        }
        eventually_some(SOON, "five are on record", async || {
            Ok((listed(stage, &[]).await?.len() == 5).then_some(()))
        })
        .await?;
        let newest = listed(stage, &["--limit", "2"]).await?;
        assert_eq!(newest.len(), 2);
        let number = |message: &Value| message["number"].as_u64().context("a number");
        assert!(number(&newest[0])? > number(&newest[1])?, "{newest:?}");
        let table = said(stage, &["unreadable", "list", "--limit", "2"])
            .await?
            .succeeded()?;
        assert!(table.stdout.contains("unknown field"), "{table:?}");
        assert!(table.stderr.contains("3 older ones more"), "{table:?}");
        assert!(!table.stdout.contains('\u{1b}'), "{table:?}");

        let first = number(&newest[0])?.to_string();
        said(stage, &["unreadable", "drop", &first])
            .await?
            .succeeded()?;
        let twice = said(stage, &["unreadable", "drop", &first]).await?;
        assert_eq!(twice.code, 2, "{twice:?}");
        assert_eq!(listed(stage, &[]).await?.len(), 4);
        for wrong in [
            &["unreadable", "drop"][..],
            &["unreadable", "list", "--limit", "0"],
        ] {
            assert_eq!(said(stage, wrong).await?.code, 2);
        }
        let all = said(stage, &["unreadable", "drop", "--all", "--json"])
            .await?
            .succeeded()?;
        assert_eq!(all.json()?["dropped"], 4);
        assert!(listed(stage, &[]).await?.is_empty());
        Ok(())
    })
    .await
}
