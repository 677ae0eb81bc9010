//! What `doctor` finds of an installation that cannot work as it should, with which exit code, and that its advice
//! is right whatever runs already: for people and for programs.

use std::time::Duration;

use futures_util::future::join_all;
use gridloom_shared::broker::Broker;
use gridloom_shared::id::{HandlerName, QueueName, Session, WorkerName};
use gridloom_shared::lane::Lane;
use gridloom_shared::presence::Presence;
use gridloom_shared::reads::workers;
use gridloom_shared::wire;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::{eventually, eventually_some};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(40);
const JOB: &str = "name = \"plain\"\nhandler = \"noop\"\n[grid]\nslices = 4\npages = { count = 1 }";

/// What is found, and what is to be done about it.
#[derive(Debug)]
struct Bad {
    check: String,
    found: String,
    advice: String,
}

/// All that is bad. The exit code says whether anything is, for people too.
async fn all_bad(stage: &Stage) -> anyhow::Result<Vec<Bad>> {
    let said = stage.cli(&["doctor", "--json"], SOON).await?;
    let text = |one: &Value, field: &str| one[field].as_str().unwrap_or_default().to_owned();
    let checks = said.json()?;
    let checks = checks.as_array().into_iter().flatten();
    let bad = checks.filter(|one| one["result"] == "bad");
    let bad: Vec<Bad> = bad
        .map(|one| Bad {
            check: text(one, "check"),
            found: text(one, "found"),
            advice: text(one, "advice"),
        })
        .collect();
    anyhow::ensure!(said.code == u8::from(!bad.is_empty()), "{said:?}");
    for one in &bad {
        anyhow::ensure!(!one.advice.is_empty(), "it says what to do: {one:?}");
    }
    Ok(bad)
}

/// Waits until that is found, for people and for programs, and gives the advice.
async fn finds(stage: &Stage, check: &str, words: &[&str]) -> anyhow::Result<String> {
    let is = |one: &Bad| one.check == check && words.iter().all(|word| one.found.contains(word));
    let mut last = Vec::new();
    let found = eventually_some(SOON, &format!("{check}: {words:?}"), async || {
        last = all_bad(stage).await?;
        Ok(last
            .iter()
            .find(|one| is(one))
            .map(|one| one.advice.clone()))
    })
    .await;
    let advice = found.map_err(|error| error.context(format!("{last:#?}")))?;
    let said = stage.cli(&["doctor"], SOON).await?;
    let row = said.stdout.lines().find(|line| {
        let named = words.iter().all(|word| line.contains(word));
        line.starts_with(check) && line.contains("BAD") && named
    });
    anyhow::ensure!(
        said.code == 1 && row.is_some(),
        "{check}, {words:?}: {said:?}"
    );
    Ok(advice)
}

/// Waits until nothing is bad.
async fn is_content(stage: &Stage) -> anyhow::Result<()> {
    let mut last = Vec::new();
    let content = eventually(SOON, "nothing is bad", async || {
        last = all_bad(stage).await?;
        Ok(last.is_empty())
    })
    .await;
    content.map_err(|error| error.context(format!("{last:#?}")))?;
    let said = stage.cli(&["doctor"], SOON).await?.succeeded()?;
    anyhow::ensure!(!said.stdout.contains("BAD"), "{said:?}");
    Ok(())
}

/// Waits until so many workers answer.
async fn answer(stage: &Stage, many: usize) -> anyhow::Result<Vec<Presence>> {
    eventually_some(SOON, &format!("{many} workers answer"), async || {
        let all = workers::roll_call(&stage.broker).await?;
        let ready = all
            .iter()
            .all(|worker| !worker.ack_deadlines_ms.contains(&0));
        Ok((all.len() == many && ready).then_some(all))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn installation_that_works_is_not_complained_of() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(2).await?;
        stage.start_planner().await?;
        // Two workers of one host, which nobody has named.
        let workers = answer(stage, 2).await?;
        assert_ne!(workers[0].worker, workers[1].worker);
        let job = stage.apply(JOB).await?;
        let run = stage.submit(&job, &json!({})).await?;
        is_content(stage).await?;
        stage.closed(&run, SOON).await?;
        is_content(stage).await?;
        let said = stage.cli(&["doctor"], SOON).await?.succeeded()?;
        assert!(said.stdout.contains("stands by"), "{said:?}");
        // While work is done, too.
        let run = stage.submit(&job, &json!({ "sleep_ms": 4_000 })).await?;
        stage.queued(4, SOON).await?;
        is_content(stage).await?;
        stage.closed(&run, SOON).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_to_start_a_planner_that_runs() -> anyhow::Result<()> {
    play(async |stage| {
        let advice = finds(
            stage,
            "leadership",
            &["no planner answers", "never written"],
        )
        .await?;
        assert!(advice.contains("start gridloom planner"), "{advice}");
        // One that runs and never leads.
        let fault = "the keeper of the leadership=hangs";
        let lame = stage.gridloom(&["planner", "--fault", fault])?;
        let mut lame = lame.start().await?;
        let advice = finds(stage, "leadership", &["although", "answers: "]).await?;
        assert!(!advice.contains("start gridloom planner"), "{advice}");
        assert!(advice.contains("nothing need be started"), "{advice}");
        lame.kill().await?;
        // One that led and stands still: whoever looks cannot see whether it runs.
        stage.start_planner().await?;
        stage.start_worker(4, &[]).await?;
        is_content(stage).await?;
        stage.planners[0].freeze()?;
        let advice = finds(
            stage,
            "leadership",
            &["no planner answers", "is silent", " ago"],
        )
        .await?;
        assert!(advice.contains("still runs on its machine"), "{advice}");
        stage.planners[0].thaw()?;
        is_content(stage).await?;
        stage.planners[0].terminate()?;
        assert_eq!(stage.planners[0].wait(SOON).await?, 0);
        let advice = finds(stage, "leadership", &["no planner answers", "gave it up"]).await?;
        assert!(advice.contains("start gridloom planner"), "{advice}");
        // What waits for a planner says so, too, and sends nobody off to start a second one.
        let job = stage.apply(JOB).await?;
        stage.submit(&job, &json!({})).await?;
        let advice = finds(
            stage,
            "submissions",
            &["1 submission waiting", "nobody takes them"],
        )
        .await?;
        assert!(advice.contains("leadership"), "{advice}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn leader_that_stands_still_is_named_though_its_lease_is_rewritten() -> anyhow::Result<()> {
    play(async |stage| {
        let fault = "the feed of the ledger=hangs";
        let planner = stage.gridloom(&["planner", "--fault", fault])?;
        stage.planners.push(planner.start().await?);
        let advice = finds(
            stage,
            "planners",
            &["leads and cannot work", "nothing was heard"],
        )
        .await?;
        assert!(advice.contains("restart it"), "{advice}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn tiles_of_a_queue_without_a_worker_are_told() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        stage.start_worker(2, &["--name", "anna"]).await?;
        let job = stage.apply(JOB).await?;
        let run = stage.submit(&job, &json!({ "sleep_ms": 60_000 })).await?;
        stage.queued(4, SOON).await?;
        stage.workers[0].kill().await?;
        let words = [
            "no worker of queue default answers",
            "4 tiles, run",
            run.as_str(),
        ];
        let advice = finds(stage, "workers", &words).await?;
        assert!(
            advice.contains("gridloom worker --queue default"),
            "{advice}"
        );
        // One that stands still may run: nobody can see that from here.
        stage.start_worker(2, &["--name", "berta"]).await?;
        let berta = answer(stage, 1).await?[0].session.to_string();
        eventually(SOON, "it is registered", async || {
            Ok(stage.broker.workers().keys().await?.contains(&berta))
        })
        .await?;
        stage.planners[0].kill().await?;
        stage.workers[1].freeze()?;
        let advice = finds(stage, "workers", &["no worker of queue default answers"]).await?;
        assert!(
            advice.contains("berta") && advice.contains("where it still runs"),
            "{advice}"
        );
        stage.workers[1].thaw()?;
        stage.start_planner().await?;
        is_content(stage).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn run_whose_handler_nobody_has_is_told_with_where_it_comes_from() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        stage.start_worker(4, &[]).await?;
        let of = |name: &str| {
            format!("name = \"for-{name}\"\nhandler = \"{name}\"\n[grid]\npages = {{ count = 1 }}")
        };
        let job = stage.apply(&of("nobodys")).await?;
        let run = stage.submit(&job, &json!({})).await?;
        // A tile waits, too, where the worker was not known yet when the run was opened.
        let words = [
            "no worker of queue default has handler nobodys",
            run.as_str(),
            "wait",
        ];
        let advice = finds(stage, "handlers", &words).await?;
        assert!(advice.contains(".handler(\"nobodys\""), "{advice}");
        // Many runs that are over hide none, and no leader need be asked.
        let plain = stage.apply(JOB).await?;
        for _ in 0..30 {
            let over = stage.submit(&plain, &json!({})).await?;
            stage.closed(&over, SOON).await?;
        }
        stage.planners[0].kill().await?;
        finds(stage, "handlers", &words).await?;
        stage.start_planner().await?;
        let exec = stage
            .apply(&(of("exec") + "\n[exec]\ncommand = \"yes\""))
            .await?;
        stage.submit(&exec, &json!({})).await?;
        let words = ["no worker of queue default has handler exec"];
        let advice = finds(stage, "handlers", &words).await?;
        assert!(advice.contains("--exec NAME=COMMAND"), "{advice}");
        // A worker that has it need not be started a second time.
        let elsewhere = ["--queue", "other", "--name", "otto", "--exec", "yes=true"];
        stage.start_worker(4, &elsewhere).await?;
        answer(stage, 2).await?;
        let advice = finds(stage, "handlers", &words).await?;
        assert!(
            advice.contains("otto has it and pulls from other queues"),
            "{advice}"
        );
        stage
            .cli(&["cancel", run.as_str()], SOON)
            .await?
            .succeeded()?;
        stage
            .start_worker(4, &["--exec", "yes=true", "--queue", "default"])
            .await?;
        // What is left is that two workers of the queue differ.
        eventually(SOON, "nobody waits any more", async || {
            let bad = all_bad(stage).await?;
            Ok(bad.iter().all(|one| one.check != "handlers"))
        })
        .await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_one_queue_that_differ_are_told() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let anna = ["--name", "anna", "--database", "main=sqlite:main.db"];
        stage.start_worker(4, &anna).await?;
        stage.start_worker(4, &["--name", "berta"]).await?;
        answer(stage, 2).await?;
        let words = [
            "of queue default",
            "handlers",
            "anna: noop, sql",
            "berta: noop",
        ];
        let advice = finds(stage, "workers", &words).await?;
        assert!(advice.contains("the same handlers"), "{advice}");
        stage.workers[1].kill().await?;
        let other = ["--name", "carla", "--database", "other=sqlite:other.db"];
        stage.start_worker(4, &other).await?;
        answer(stage, 2).await?;
        let words = ["of handler sql", "anna: main", "carla: other"];
        let advice = finds(stage, "workers", &words).await?;
        assert!(advice.contains("worker.databases"), "{advice}");
        stage.workers[2].kill().await?;
        // Whoever comes first keeps the ack deadline that it found.
        let dora = ["--name", "dora", "--ack-deadline", "7s"];
        stage
            .start_worker(4, &[&anna[2..], &dora[..]].concat())
            .await?;
        answer(stage, 2).await?;
        let words = ["on queue default the ack deadline is 7s", "anna: 2s"];
        let advice = finds(stage, "workers", &words).await?;
        assert!(advice.contains("queue.ack_deadline"), "{advice}");
        // Of queues of their own, they may differ as they like.
        stage.workers[3].kill().await?;
        stage
            .start_worker(4, &["--queue", "other", "--ack-deadline", "9s"])
            .await?;
        stage.workers[0].terminate()?;
        stage.workers[0].wait(SOON).await?;
        stage.start_worker(4, &[]).await?;
        answer(stage, 2).await?;
        is_content(stage).await
    })
    .await
}

/// Answers roll calls as a worker would, until it is dropped.
struct Pretender(JoinHandle<()>);

impl Pretender {
    async fn start(broker: &Broker, presence: Presence) -> anyhow::Result<Pretender> {
        let mut calls = broker.subscribe(broker.subjects().roll_call()).await?;
        let probe = broker.subjects().probe(presence.session);
        let mut probes = broker.subscribe(probe).await?;
        broker.flush().await?;
        // Who is not registered is not waited for.
        let key = presence.session.to_string();
        broker.workers().put(&key, wire::encode(&presence)).await?;
        let broker = broker.clone();
        Ok(Pretender(tokio::spawn(async move {
            loop {
                // Whether it lives, the leader asks, and takes away who does not say so.
                let (asked, answer) = tokio::select! {
                    Some(call) = calls.next() => (call.reply, wire::encode(&presence)),
                    Some(probe) = probes.next() => (probe.reply, bytes::Bytes::new()),
                    else => return,
                };
                let replies = asked.into_iter();
                let said = replies.map(|reply| broker.publish(reply, answer.clone()));
                join_all(said).await;
            }
        })))
    }
}

impl Drop for Pretender {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_differ_and_programs_that_share_a_queue_are_told_apart() -> anyhow::Result<()>
{
    play(async |stage| {
        stage.start_all(1).await?;
        let real = answer(stage, 1).await?.remove(0);
        is_content(stage).await?;
        let mut other = Presence {
            worker: WorkerName::new("older")?,
            session: Session::random(),
            version: "0.0.9".into(),
            wire: Default::default(),
            ..real.clone()
        };
        let pretender = Pretender::start(&stage.broker, other.clone()).await?;
        let words = ["different versions", "older: 0.0.9", real.version.as_str()];
        let advice = finds(stage, "workers", &words).await?;
        assert!(advice.contains("same version"), "{advice}");
        drop(pretender);
        // Another program on the same queue, with nothing in common.
        other.version = real.version;
        other.handlers = vec![HandlerName::new("greet")?];
        let _pretender = Pretender::start(&stage.broker, other).await?;
        is_content(stage).await?;
        let said = stage.cli(&["doctor"], SOON).await?.succeeded()?;
        assert!(
            said.stdout.contains("several programs share a queue"),
            "{said:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn tiles_that_nobody_waits_for_although_a_worker_is_free_are_found() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        let real = answer(stage, 1).await?.remove(0);
        let job = stage.apply(JOB).await?;
        let run = stage.submit(&job, &json!({})).await?;
        stage.closed(&run, SOON).await?;
        stage.workers[0].kill().await?;
        // One that is there, and pulls nothing.
        let idle = Presence {
            worker: WorkerName::new("idle")?,
            session: Session::random(),
            ..real
        };
        let pretender = Pretender::start(&stage.broker, idle).await?;
        is_content(stage).await?;
        let lane = Lane::new(QueueName::new("default")?, HandlerName::new("noop")?);
        let tile = stage.broker.subjects().shard(&lane, &run);
        stage.broker.append(tile, "a tile".into(), None).await?;
        let words = [
            "nobody waits for the 1 tile",
            "handler noop",
            "idle could run",
        ];
        let advice = finds(stage, "queues", &words).await?;
        assert!(advice.contains("the log of idle"), "{advice}");
        // Where somebody comes who pulls, all is well.
        stage.start_worker(4, &[]).await?;
        drop(pretender);
        is_content(stage).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_of_one_name_are_both_told() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        for _ in 0..2 {
            stage.start_worker(4, &["--name", "anna"]).await?;
        }
        let lives = answer(stage, 2).await?;
        let lives: Vec<String> = lives.iter().map(|life| life.session.to_string()).collect();
        let words = ["2 workers are called anna", &lives[0], &lives[1]];
        let advice = finds(stage, "workers", &words).await?;
        assert!(advice.contains("a name of its own"), "{advice}");
        // One that is dead is no second one.
        stage.workers[0].kill().await?;
        is_content(stage).await
    })
    .await
}
