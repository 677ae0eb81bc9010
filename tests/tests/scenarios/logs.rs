//! Log lines of real services, as a log store reads them: one JSON document each, and whoever asks for a run, or for a
//! shard, finds every line about it by its fields.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, ensure};
use gridloom_shared::id::RunId;
use gridloom_tests::logged::OWN_WORD;
use gridloom_tests::process::Process;
use gridloom_tests::scenario::{ACK_DEADLINE, Stage, play};
use gridloom_tests::wait::eventually;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);
const LEVELS: &str = "info,async_nats=warn,gridloom_worker=debug,gridloom_planner=debug,gridloom_shared=debug,exec=debug";
/// What a line about a shard says.
const OF_A_SHARD: [&str; 5] = ["run", "slice", "page", "attempt", "worker"];

/// A service that says all that it has to say, as JSON.
async fn service(stage: &Stage, args: &[&str], name: &str) -> anyhow::Result<Process> {
    let service = stage.gridloom(args)?;
    let service = service
        .env("GRIDLOOM_LOG", LEVELS)
        .env("GRIDLOOM_LOG_FORMAT", "json")
        .env("GRIDLOOM_WORKER_NAME", name)
        .env("GRIDLOOM_WORKER_CONCURRENCY", "4")
        .env("GRIDLOOM_QUEUE_ACK_DEADLINE", ACK_DEADLINE);
    service.start().await
}

fn lines(process: &Process) -> anyhow::Result<Vec<Value>> {
    let text = process.stderr();
    let lines = text.lines().map(|line| {
        let read = serde_json::from_str::<Value>(line);
        read.with_context(|| format!("a line that is no JSON: {line}"))
    });
    lines.collect()
}

fn says(line: &Value, message: &str) -> bool {
    line["message"] == message
}

/// Waits until a service has said this of `run`.
async fn told(of: &Process, run: &RunId, message: &str) -> anyhow::Result<()> {
    eventually(SOON, message, async || {
        let all = lines(of).unwrap_or_default();
        let told = |line: &Value| says(line, message) && line["run"] == run.as_str();
        Ok(all.iter().any(told))
    })
    .await
}

/// Each line is a document without others in it, at a moment of UTC, and about what it says.
fn judge(line: &Value, runs: &[RunId]) -> anyhow::Result<()> {
    let fields = line.as_object().context("an object")?;
    let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let at = text("timestamp");
    ensure!(at.len() == 24 && at.ends_with('Z'), "{line}");
    ensure!(
        !text("message").is_empty() && !text("target").is_empty(),
        "{line}"
    );
    ensure!(
        ["ERROR", "WARN", "INFO", "DEBUG"].contains(&text("level").as_str()),
        "{line}"
    );
    ensure!(
        fields
            .values()
            .all(|value| !value.is_object() && !value.is_array()),
        "{line}"
    );
    let whole = line.to_string();
    for run in runs {
        let mentioned = whole.contains(run.as_str());
        ensure!(
            !mentioned || line["run"].is_string(),
            "without its run: {line}"
        );
        ensure!(!text("message").contains(run.as_str()), "{line}");
    }
    let lacks: Vec<&&str> = OF_A_SHARD
        .iter()
        .filter(|name| line.get(**name).is_none())
        .collect();
    if ["slice", "page", "attempt"]
        .iter()
        .any(|name| fields.contains_key(*name))
    {
        ensure!(lacks.is_empty(), "without {lacks:?}: {line}");
    }
    Ok(())
}

/// The shards, attempts and workers of which `message` was said about `run`.
fn shards(all: &[Value], run: &RunId, message: &str) -> BTreeSet<(u64, u64, u64, String)> {
    let about = all
        .iter()
        .filter(|line| says(line, message) && line["run"] == run.as_str());
    let number = |line: &Value, name: &str| line[name].as_u64().unwrap_or(u64::MAX);
    about
        .map(|line| {
            let worker = line["worker"].as_str().unwrap_or_default().to_owned();
            (
                number(line, "slice"),
                number(line, "page"),
                number(line, "attempt"),
                worker,
            )
        })
        .collect()
}

/// A run whose shards fail, are tried again and are dead; one that a handler of somebody's own speaks of.
async fn failing(stage: &mut Stage) -> anyhow::Result<[RunId; 2]> {
    let job = "name = \"bad\"\nhandler = \"exec\"\nexec = { command = \"bad\" }\ngrid = { pages = { count = 2 } }\n\
               retry = { max_attempts = 2, backoff = { initial = \"10ms\" } }";
    let bad = stage.apply(job).await?;
    let job = "name = \"speaks\"\nhandler = \"speaks\"\ngrid = { slices = 2, pages = { count = 2 }, tile = 2 }\n\
               retry = { max_attempts = 1 }";
    let speaks = stage.apply(job).await?;
    let runs = [
        stage.submit(&bad, &json!({})).await?,
        stage.submit(&speaks, &json!({})).await?,
    ];
    for run in &runs {
        stage.closed(run, SOON).await?;
    }
    Ok(runs)
}

/// Runs that are cancelled, taken over, and refused.
async fn disturbed(stage: &mut Stage) -> anyhow::Result<[RunId; 2]> {
    let job = "name = \"slow\"\nhandler = \"noop\"\ngrid = { pages = { count = 2 }, tile = 1 }";
    let slow = stage.apply(job).await?;
    let cancelled = stage.submit(&slow, &json!({"sleep_ms": 60_000})).await?;
    stage.queued(2, SOON).await?;
    stage
        .cli(&["cancel", cancelled.as_str()], SOON)
        .await?
        .succeeded()?;
    stage.closed(&cancelled, SOON).await?;

    let taken = stage.submit(&slow, &json!({"sleep_ms": 3_000})).await?;
    eventually(SOON, "the first worker holds a tile", async || {
        let workers = stage.cli(&["workers", "--json"], SOON).await?.json()?;
        let mut workers = workers.as_array().cloned().unwrap_or_default().into_iter();
        Ok(workers.any(|worker| worker["worker"] == "first" && worker["in_flight"] == 2))
    })
    .await?;
    let second = service(stage, &["worker"], "second").await?;
    stage.workers.push(second);
    stage.workers[0].kill().await?;
    stage.closed(&taken, SOON).await?;

    // The same id with other parameters, and a job that nobody knows.
    for (job, sleep_ms) in [("plain", 1), ("plain", 2), ("unknown", 1)] {
        let subject = stage.broker.subjects().submit_to(&job.parse()?);
        let body = json!({ "id": "one", "params": { "sleep_ms": sleep_ms } });
        stage
            .broker
            .append(subject, body.to_string().into(), None)
            .await?;
    }
    Ok([cancelled, taken])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_about_a_run_or_a_shard_says_so_in_its_fields() -> anyhow::Result<()> {
    play(async |stage| {
        let script = stage.dir().join("bad.sh");
        std::fs::write(&script, "echo one\necho 'two words' >&2\nexit 3\n")?;
        let bad = format!("bad=/bin/sh {}", script.display());
        let planner = service(stage, &["planner"], "none").await?;
        stage.planners.push(planner);
        for (args, name) in [
            (["worker", "--exec", &bad].as_slice(), "first"),
            (&[OWN_WORD], "own"),
        ] {
            let worker = service(stage, args, name).await?;
            stage.workers.push(worker);
        }
        let job = "name = \"plain\"\nhandler = \"noop\"\ngrid = { pages = { count = 1 } }";
        stage.apply(job).await?;
        let [bad, speaks] = failing(stage).await?;
        let [cancelled, taken] = disturbed(stage).await?;
        let plain = RunId::from_request(&"plain".parse()?, "one");
        let runs = [bad, speaks, cancelled, taken, plain];
        told(&stage.planners[0], &runs[4], "refused").await?;

        let mut all = Vec::new();
        for process in stage.planners.iter().chain(&stage.workers) {
            all.extend(lines(process)?);
        }
        for line in &all {
            judge(line, &runs)?;
        }
        let of = |run: usize, message: &str| shards(&all, &runs[run], message);
        let each = |cells: &[(u64, u64, u64)], worker: &str| -> BTreeSet<_> {
            let all = cells.iter();
            all.map(|(slice, page, attempt)| (*slice, *page, *attempt, worker.to_owned()))
                .collect()
        };
        let attempts = each(&[(0, 0, 1), (0, 1, 1), (0, 0, 2), (0, 1, 2)], "first");
        assert_eq!(of(0, "command failed"), attempts);
        assert_eq!(of(0, "attempt failed"), attempts);
        let cells = each(&[(0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 1, 1)], "own");
        assert_eq!(of(1, "a handler speaks"), cells);
        assert_eq!(of(1, "a task of a handler speaks"), cells);
        let of_page_1 = each(&[(0, 1, 1), (1, 1, 1)], "own");
        assert_eq!(of(1, "something panicked"), of_page_1);
        assert_eq!(of(3, "taken over"), each(&[(0, 0, 1), (0, 1, 1)], "second"));
        for (run, message) in [
            (0, "opened"),
            (0, "closed"),
            (2, "ordered"),
            (2, "removed from the queue"),
        ] {
            let said = |line: &&Value| says(line, message) && line["run"] == runs[run].as_str();
            let line = all.iter().find(said).with_context(|| message.to_owned())?;
            assert_eq!(line["term"], 1, "{line}");
        }
        let dead = all.iter().find(|line| says(line, "a worker is dead"));
        assert_eq!(dead.context("it is told who died")?["worker"], "first");
        let refused = all.iter().filter(|line| says(line, "refused"));
        let jobs: BTreeSet<_> = refused.map(|line| line["job"].as_str()).collect();
        assert_eq!(jobs, [Some("plain"), Some("unknown")].into());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn last_word_of_a_service_is_a_line_of_its_log() -> anyhow::Result<()> {
    play(async |stage| {
        for word in ["planner", "worker", OWN_WORD] {
            let service = stage.gridloom(&[word])?;
            let service = service
                .env("GRIDLOOM_LOG_FORMAT", "json")
                .env("GRIDLOOM_NATS", "nats://me:hunter2@127.0.0.1:1")
                .env("GRIDLOOM_NATS_TIMEOUT", "2s");
            let mut service = service.start().await?;
            assert_eq!(service.wait(SOON).await?, 3, "{}", service.stderr());
            let all = lines(&service)?;
            let last = all.last().context("a last word")?;
            assert_eq!(
                (&last["level"], &last["message"]),
                (&json!("ERROR"), &json!("the process ends"))
            );
            let said = last["error"].as_str().unwrap_or_default();
            assert!(
                said.contains("127.0.0.1:1") && !service.stderr().contains("hunter2"),
                "{last}"
            );
        }
        Ok(())
    })
    .await
}
