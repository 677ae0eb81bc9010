//! Ledgers as no planner leaves them: records that somebody removes while their run is open, nonsense, and
//! two runs under one id. The run that it concerns is lost or set aside, told of, and all others go on.

use std::time::Duration;

use gridloom_shared::id::{JobName, Nonce, QueueName, RunId};
use gridloom_shared::ledger::record::{Author, PlanRecord, Record};
use gridloom_shared::ledger::summary::RunState;
use gridloom_shared::wire;
use gridloom_tests::http::{metric, served_at};
use gridloom_tests::oracle::ledger::{Entry, Ledger};
use gridloom_tests::process::Process;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);
/// What vanished is told within this.
const TOLD: Duration = Duration::from_secs(10);
const SHARDS: u64 = 80;

async fn job(stage: &Stage, queue: &str) -> anyhow::Result<JobName> {
    let text = format!(
        "name = \"kept\"\nhandler = \"noop\"\nqueue = \"{queue}\"\n[grid]\nslices = 4\npages = {{ count = 20 }}\ntile = 1"
    );
    stage.apply(&text).await
}

async fn ask(stage: &Stage, job: &JobName, id: &str) -> anyhow::Result<RunId> {
    ask_slow(stage, job, id, 5).await
}

async fn ask_slow(stage: &Stage, job: &JobName, id: &str, sleep_ms: u64) -> anyhow::Result<RunId> {
    let subject = stage.broker.subjects().submit_to(job);
    let body = json!({ "id": id, "params": { "sleep_ms": sleep_ms } });
    stage
        .broker
        .append(subject, body.to_string().into(), None)
        .await?;
    Ok(RunId::from_request(job, id))
}

async fn purge(stage: &Stage, filter: &str) -> anyhow::Result<u64> {
    let ledger = stage.broker.subjects().ledger();
    Ok(stage.broker.purge(&ledger, filter, 0).await?)
}

/// How many first records stand in the ledger of `run`, in whichever queue.
async fn beginnings(stage: &Stage, run: &RunId) -> anyhow::Result<usize> {
    let ledger = Ledger::read(&stage.broker, run).await?;
    let is_first =
        |entry: &Entry| matches!(&entry.record, Some(Record::Plan(PlanRecord::Opened(_))));
    Ok(ledger
        .entries
        .iter()
        .filter(|entry| is_first(entry))
        .count())
}

/// Waits until a run has its first record.
async fn is_open(stage: &Stage, run: &RunId) -> anyhow::Result<()> {
    eventually(SOON, "the run is open", async || {
        let ledger = Ledger::read(&stage.broker, run).await?;
        Ok(!ledger.entries.is_empty())
    })
    .await
}

fn leader_says(stage: &Stage, words: &str) -> bool {
    let last = stage.planners.last().map(Process::stderr);
    last.is_some_and(|text| text.contains(words))
}

async fn doctor_names(stage: &Stage, run: &RunId) -> anyhow::Result<()> {
    let said = stage.cli(&["doctor"], SOON).await?;
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stdout.contains(run.as_str()), "{said:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_run_under_the_id_of_an_open_one_ends_that_and_has_all_of_its_shards()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        eventually(SOON, "it leads", async || Ok(stage.term().await? == 1)).await?;
        stage.start_planner().await?;
        eventually(SOON, "the standby is there", async || {
            Ok(leader_says(stage, "planner started"))
        })
        .await?;
        let job = job(stage, "default").await?;
        let run = ask(stage, &job, "one").await?;
        is_open(stage, &run).await?;
        let all = stage.broker.subjects().ledger_of_run_anywhere(&run);
        assert!(purge(stage, &all).await? > 0);
        ask(stage, &job, "one").await?;
        // Not by the records that are missing, which are counted later.
        eventually(TOLD, "the other run ends the first", async || {
            let told = stage.planners[0].stderr();
            Ok(told.contains("another run was opened under its id"))
        })
        .await?;
        let lost = stage.broker.subjects().lost_key(&run);
        eventually(TOLD, "that is noted", async || {
            Ok(stage.broker.state().get(&lost).await?.is_some())
        })
        .await?;
        // The standby, which has folded both, takes over.
        stage.planners[0].terminate()?;
        stage.start_worker(4, &[]).await?;
        stage.closed(&run, SOON).await?;
        let verdict = stage.judge_ledger(&run).await?;
        assert_eq!(verdict.summary.state, RunState::Succeeded);
        assert_eq!(verdict.summary.shards.done, SHARDS);
        assert!(verdict.audit.ok, "{:?}", verdict.audit);
        doctor_names(stage, &run).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn run_whose_ledger_vanishes_is_told_as_lost_within_seconds() -> anyhow::Result<()> {
    play(async |stage| {
        let planner = stage.gridloom(&["planner", "--listen", "127.0.0.1:0"])?;
        stage.planners.push(planner.start().await?);
        let address = served_at(&stage.planners[0]).await?;
        let job = job(stage, "default").await?;
        let run = ask(stage, &job, "one").await?;
        is_open(stage, &run).await?;
        let all = stage.broker.subjects().ledger_of_run_anywhere(&run);
        assert!(purge(stage, &all).await? > 0);
        eventually(TOLD, "show says that it is lost", async || {
            let said = stage.cli(&["show", run.as_str()], SOON).await?;
            Ok(said.code == 1 && said.stderr.contains("is lost"))
        })
        .await?;
        doctor_names(stage, &run).await?;
        let told = async |name: &'static str| metric(&address, name).await;
        assert_eq!(told("gridloom_runs_lost_total").await?, Some(1.0));
        let open = "gridloom_runs{state=\"running\"}";
        eventually(TOLD, "the metrics say that none is open", async || {
            Ok(told(open).await? == Some(0.0))
        })
        .await?;
        // Its id is free.
        ask(stage, &job, "one").await?;
        stage.start_worker(4, &[]).await?;
        stage.closed(&run, SOON).await?;
        stage.judge_ledger(&run).await?.succeeded()?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn run_whose_outcomes_vanish_is_closed_as_lost_and_others_go_on() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        let job = job(stage, "default").await?;
        let run = ask_slow(stage, &job, "one", 600).await?;
        let other = ask(stage, &job, "two").await?;
        stage.done(&run, 1, SOON).await?;
        let queue = QueueName::new("default")?;
        let work = stage
            .broker
            .subjects()
            .ledger_of(&queue, &run, Author::Work);
        assert!(purge(stage, &work).await? > 0);
        stage.closed(&run, TOLD).await?;
        let ended = Ledger::read(&stage.broker, &run).await?.summary();
        let ended = ended.map(|summary| (summary.state, summary.error.unwrap_or_default()));
        assert!(
            ended
                .as_ref()
                .is_ok_and(|(state, error)| *state == RunState::Failed && error.contains("lost")),
            "{ended:?}"
        );
        doctor_names(stage, &run).await?;
        stage.closed(&other, SOON).await?;
        stage.judge_ledger(&other).await?.succeeded()?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn sweeps_of_this_planner_make_no_open_run_lost() -> anyhow::Result<()> {
    play(async |stage| {
        let policy = [
            "planner",
            "--retention-most",
            "0",
            "--retention-every",
            "200ms",
        ];
        let planner = stage.gridloom(&policy)?.start().await?;
        stage.planners.push(planner);
        stage.start_worker(2, &[]).await?;
        let job = job(stage, "default").await?;
        let mut runs = Vec::new();
        for n in 0..6 {
            runs.push(ask(stage, &job, &format!("{n}")).await?);
        }
        for run in &runs {
            let purged = stage.broker.subjects().ledger_of_run_anywhere(run);
            eventually(SOON, "it is over and purged", async || {
                let ledger = stage.broker.subjects().ledger();
                let left = stage.broker.subjects_of(&ledger, &purged).await?;
                Ok(left.values().sum::<u64>() == 1 && leader_says(stage, "closed"))
            })
            .await?;
        }
        assert!(!leader_says(stage, "is lost"), "a run was told as lost");
        stage.cli(&["doctor"], SOON).await?.succeeded()?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn same_request_is_the_first_run_although_its_job_moved_to_another_queue()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let first = job(stage, "default").await?;
        let run = ask(stage, &first, "one").await?;
        is_open(stage, &run).await?;
        job(stage, "elsewhere").await?;
        ask(stage, &first, "one").await?;
        let other = ask(stage, &first, "two").await?;
        is_open(stage, &other).await?;
        for run in [&run, &other] {
            assert_eq!(beginnings(stage, run).await?, 1);
        }
        stage.start_worker(4, &[]).await?;
        stage.closed(&run, SOON).await?;
        stage.judge(&run).await?.succeeded()?;
        Ok(())
    })
    .await
}

/// Whether `doctor` says that the run is set aside, and what to do about it.
async fn doctor_tells_of(stage: &Stage, run: &RunId) -> anyhow::Result<bool> {
    let said = stage.cli(&["doctor", "--json"], SOON).await?.json()?;
    let named = |one: &&serde_json::Value| {
        one["check"] == "runs set aside" && one["found"].to_string().contains(run.as_str())
    };
    let checks = said.as_array().into_iter().flatten();
    Ok(checks.filter(named).any(|one| {
        let advice = one["advice"].to_string();
        one["result"] == "bad" && advice.contains(&format!("gridloom cancel {run}"))
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn run_with_nonsense_on_its_plan_is_set_aside_while_others_go_on() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let job = job(stage, "default").await?;
        let (run, second) = (
            ask(stage, &job, "one").await?,
            ask(stage, &job, "two").await?,
        );
        is_open(stage, &run).await?;
        is_open(stage, &second).await?;
        let queue = QueueName::new("default")?;
        let subjects = stage.broker.subjects();
        let plan = subjects.ledger_of(&queue, &run, Author::Plan);
        stage.broker.append(plan, "nonsense".into(), None).await?;
        // A second beginning of the other run, in a queue that nobody serves and its job does not name.
        let first = Ledger::read(&stage.broker, &second)
            .await?
            .entries
            .remove(0);
        let Some(Record::Plan(PlanRecord::Opened(mut opened))) = first.record else {
            anyhow::bail!("no first record");
        };
        opened.nonce = Nonce(7);
        let elsewhere = subjects.ledger_of(&QueueName::new("nowhere")?, &second, Author::Plan);
        let record = wire::encode(&PlanRecord::Opened(opened));
        stage.broker.append(elsewhere, record, None).await?;
        eventually(TOLD, "it is set aside", async || {
            Ok(leader_says(stage, "set aside"))
        })
        .await?;
        // Another planner judges them alike.
        stage.planners[0].kill().await?;
        stage.free_leadership().await?;
        stage.start_planner().await?;
        stage.start_worker(4, &[]).await?;
        stage.closed(&second, SOON).await?;
        let second = Ledger::read(&stage.broker, &second).await?.summary()?;
        assert_eq!(second.state, RunState::Succeeded);
        assert!(leader_says(stage, "set aside"));
        assert!(!stage.is_closed(&run).await?);
        eventually(TOLD, "doctor names it", async || {
            doctor_tells_of(stage, &run).await
        })
        .await?;
        stage
            .cli(&["cancel", run.as_str()], SOON)
            .await?
            .succeeded()?;
        stage.closed(&run, SOON).await?;
        eventually(TOLD, "doctor names it no more", async || {
            Ok(!doctor_tells_of(stage, &run).await?)
        })
        .await?;
        Ok(())
    })
    .await
}
