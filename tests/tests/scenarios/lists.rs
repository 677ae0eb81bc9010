//! One run, job, queue or worker that is gone or makes no sense does not spoil a list of others.

use std::time::Duration;

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{HandlerName, Nonce, QueueName, RunId, Session, Term};
use gridloom_shared::job::parse::{self, Format};
use gridloom_shared::lane::Lane;
use gridloom_shared::ledger::record::{Author, Opened, PlanRecord};
use gridloom_shared::ledger::summary::{RunState, RunSummary};
use gridloom_shared::reads::workers;
use gridloom_shared::wire;
use gridloom_tests::process::Output;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::{eventually, eventually_some};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);

/// What a list says to programs; it must end well.
async fn list(stage: &Stage, args: &[&str]) -> anyhow::Result<(Vec<Value>, Output)> {
    let said = stage.cli(&[args, &["--json"]].concat(), SOON).await?;
    let said = said.succeeded()?;
    let items = said.json()?.as_array().cloned().unwrap_or_default();
    Ok((items, said))
}

/// The values of `field`, each once, in order.
fn named(items: &[Value], field: &str) -> Vec<String> {
    let mut names: Vec<String> = items
        .iter()
        .filter_map(|item| item[field].as_str().map(str::to_owned))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// A run whose four shards are dead, and its summary as the planner wrote it.
async fn failed(stage: &mut Stage) -> anyhow::Result<(RunId, RunSummary)> {
    let job = stage
        .apply("name = \"bad\"\nhandler = \"noop\"\n[grid]\nslices = 4")
        .await?;
    let params = json!({ "fail_attempts": 9, "permanent": true });
    let run = stage.submit(&job, &params).await?;
    stage.closed(&run, SOON).await?;
    let summary = eventually_some(SOON, "its summary is written", async || {
        let entry = stage.broker.runs().get_of_leader(run.as_str()).await?;
        let value = entry.and_then(|entry| entry.value);
        let summary: Option<RunSummary> = value.and_then(|value| wire::decode(&value).ok());
        Ok(summary.filter(|summary| summary.state == RunState::Failed))
    })
    .await?;
    Ok((run, summary))
}

/// Purges what `author` wrote of `run`, but for the newest `keep` records.
async fn purge(stage: &Stage, run: &RunId, author: Author, keep: u64) -> anyhow::Result<()> {
    let subjects = stage.broker.subjects();
    let subject = subjects.ledger_of(&QueueName::new("default")?, run, author);
    stage
        .broker
        .purge(&subjects.ledger(), &subject, keep)
        .await?;
    Ok(())
}

/// Runs as a planner leaves them that dies within a sweep, and as nobody should.
async fn spoil(stage: &mut Stage, summary: &RunSummary) -> anyhow::Result<()> {
    let (halfway, _) = failed(stage).await?;
    purge(stage, &halfway, Author::Plan, 1).await?;
    let (further, _) = failed(stage).await?;
    purge(stage, &further, Author::Plan, 1).await?;
    purge(stage, &further, Author::Work, 0).await?;
    let subjects = stage.broker.subjects();
    let runs = stage.broker.runs();
    for (id, state) in [
        ("bad_s_7", RunState::Failed),
        ("bad_s_8", RunState::Running),
    ] {
        let made_up = RunSummary {
            run: RunId::new(id)?,
            state,
            ..summary.clone()
        };
        runs.put(id, wire::encode(&made_up)).await?;
    }
    runs.put("bad_s_9", "no summary".into()).await?;
    let nonsense = RunId::new("bad_s_10")?;
    let subject = subjects.ledger_of(&QueueName::new("default")?, &nonsense, Author::Plan);
    for _ in 0..2 {
        stage
            .broker
            .append(subject.clone(), "no record".into(), None)
            .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_are_gone_or_make_no_sense_spoil_no_list_of_others() -> anyhow::Result<()> {
    play(async |stage| {
        let planner = stage.start_planner().await?;
        stage.start_worker(4, &[]).await?;
        let (one, summary) = failed(stage).await?;
        let (two, _) = failed(stage).await?;
        spoil(stage, &summary).await?;
        let mut good = vec![one.to_string(), two.to_string()];
        good.sort_unstable();

        for args in [&["runs"][..], &["dead", "list"]] {
            let (items, said) = list(stage, args).await?;
            assert_eq!(named(&items, "run"), good, "{args:?}: {said:?}");
            for told in ["bad_s_8", "bad_s_10"] {
                assert!(
                    said.stderr.contains(&format!("run {told} is left out")),
                    "{said:?}"
                );
            }
        }
        let (items, _) = list(stage, &["dead", "list"]).await?;
        assert_eq!(items.len(), 8, "{items:?}");
        let said = stage.cli(&["show", "bad_s_10"], SOON).await?;
        assert_eq!(said.code, 1, "{said:?}");
        for verb in ["drop", "retry"] {
            // Dropped ones are retried only by name.
            let (items, said) = list(stage, &["dead", verb, "--all", "--yes"]).await?;
            let expected = if verb == "drop" { good.clone() } else { vec![] };
            assert_eq!(named(&items, "run"), expected, "{said:?}");
        }
        stage.planners[planner].kill().await?;
        let (items, _) = list(stage, &["runs"]).await?;
        assert_eq!(named(&items, "run"), good);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn run_that_was_just_opened_is_listed_although_nothing_but_that_is_known_of_it()
-> anyhow::Result<()> {
    play(async |stage| {
        let text = "name = \"later\"\nhandler = \"noop\"\n[grid]\nslices = 1";
        let job = parse::parse(text, Format::Toml).map_err(|faults| anyhow::anyhow!("{faults}"))?;
        let run = RunId::new("later_s_1")?;
        let subjects = stage.broker.subjects();
        let subject = subjects.ledger_of(&job.queue, &run, Author::Plan);
        let opened = PlanRecord::Opened(Box::new(Opened {
            nonce: Nonce(1),
            job,
            scheduled_at: UnixMs::now(),
            content: 0,
            term: Term(1),
            first: Vec::new(),
            traceparent: None,
            reports: 1,
        }));
        stage
            .broker
            .append(subject, wire::encode(&opened), None)
            .await?;
        let (items, said) = list(stage, &["runs"]).await?;
        assert_eq!(named(&items, "run"), [run.as_str()], "{said:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn job_queue_or_worker_that_makes_no_sense_spoils_no_list_of_others() -> anyhow::Result<()> {
    play(async |stage| {
        stage
            .apply("name = \"good\"\nhandler = \"noop\"\n[grid]\nslices = 1")
            .await?;
        stage
            .apply("name = \"odd\"\nhandler = \"noop\"\nqueue = \"odd\"\n[grid]\nslices = 1")
            .await?;
        stage.start_worker(4, &["--name", "anna"]).await?;
        eventually(SOON, "the worker answers", async || {
            let (workers, _) = list(stage, &["workers"]).await?;
            Ok(named(&workers, "worker") == ["anna"])
        })
        .await?;
        let odd = stage.broker.subjects().consumer_key(&Lane::new(
            QueueName::new("odd")?,
            HandlerName::new("noop")?,
        ));
        stage.broker.state().put(&odd, "no number".into()).await?;
        stage.broker.jobs().put("nonsense", "no job".into()).await?;
        stage
            .broker
            .workers()
            .put("nonsense", "nobody".into())
            .await?;
        for (args, field, good, told) in [
            // Nonsense in the place of a number is passed over: the queue has no consumer yet.
            (&["queues"][..], "queue", &["default", "odd"][..], ""),
            (&["workers"], "worker", &["anna"], "nonsense"),
            (&["job", "list"], "name", &["good", "odd"], "nonsense"),
        ] {
            let (items, said) = list(stage, args).await?;
            assert_eq!(named(&items, field), good, "{args:?}: {said:?}");
            assert!(said.stderr.contains(told), "{said:?}");
        }
        let said = stage.cli(&["doctor"], SOON).await?;
        assert!(
            said.stdout.contains("consumers default_"),
            "the others are told of: {said:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_more_answers_once_all_that_are_registered_have_answered()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        let called = async || workers::roll_call(&stage.broker).await;
        let here = async || Ok(called().await?.into_iter().next());
        let mut late = eventually_some(SOON, "the worker answers", here).await?;
        late.session = Session::random();
        let session = late.session;
        // One that is not registered, and answers a moment before nobody waits any longer.
        let broker = stage.broker.clone();
        let mut calls = broker.subscribe(broker.subjects().roll_call()).await?;
        let answers = tokio::spawn(async move {
            while let Some(call) = calls.next().await {
                tokio::time::sleep(Duration::from_millis(200)).await;
                if let Some(reply) = call.reply {
                    broker.publish(reply, wire::encode(&late)).await?;
                }
            }
            anyhow::Ok(())
        });
        let is_heard = async || {
            let here = called().await?;
            anyhow::Ok(here.iter().any(|worker| worker.session == session))
        };
        eventually(
            SOON,
            "it is not waited for",
            async || Ok(!is_heard().await?),
        )
        .await?;
        stage.workers[0].freeze()?;
        eventually(SOON, "it is waited for with a silent one", is_heard).await?;
        stage.workers[0].thaw()?;
        answers.abort();
        Ok(())
    })
    .await
}
