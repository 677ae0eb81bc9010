//! What a planner that is too old leaves alone, however it came to know of it.

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{Nonce, RunId, Term};
use gridloom_shared::job::parse::{self, Format};
use gridloom_shared::ledger::record::{Author, Opened, PlanRecord};
use gridloom_shared::wire;
use gridloom_tests::build::Build;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;
use serde_json::json;

use super::{JOBS, LONG, NEXT, SOON, leader, lease, no_dead_letters, planners_answer, too_old};

/// Waits until who leads says that only a newer build can go on with `run`, and with nothing else.
async fn left_alone(stage: &Stage, run: &RunId) -> anyhow::Result<()> {
    eventually(SOON, "the older planner says which run waits", async || {
        let lease = lease(stage).await?;
        let some = &lease["newer"]["some"];
        Ok(lease["lacks"] == json!(2) && *some == json!([run.as_str()]))
    })
    .await?;
    let found = too_old(stage).await?;
    assert!(
        found.iter().any(|line| line.contains(run.as_str())),
        "{found:?}"
    );
    Ok(())
}

/// Whether the last record that planners wrote of a run is of the next version; `None` without one.
async fn last_is_next(stage: &Stage, run: &RunId) -> anyhow::Result<Option<bool>> {
    let subjects = stage.broker.subjects();
    let (ledger, plan) = (subjects.ledger(), subjects.plan_of_run_anywhere(run));
    let last = stage.broker.last_of_leader(&ledger, &plan);
    Ok(last.await?.map(|last| last.payload.starts_with(NEXT)))
}

/// Ends the planner at `place` as a crash does, and lets another lead at once.
async fn kill_planner(stage: &mut Stage, place: usize) -> anyhow::Result<()> {
    stage.planners[place].kill().await?;
    stage.free_leadership().await
}

#[tokio::test(flavor = "multi_thread")]
async fn planner_that_stood_by_while_a_newer_one_led_knows_which_runs_wait_for_that()
-> anyhow::Result<()> {
    Build::Next.take_part();
    play(async |stage| {
        let job = stage.apply(JOBS[1].0).await?;
        stage.build = Build::Later;
        stage.start_planner().await?;
        leader(stage).await?;
        // A rollback by more than one release, the standby first. It folds the ledger from now on.
        stage.build = Build::This;
        stage.start_planner().await?;
        planners_answer(stage, 2).await?;
        stage.build = Build::Next;
        stage.start_worker(4, &[]).await?;
        let run = stage.submit(&job, &json!({ "sleep_ms": 300 })).await?;
        stage.done(&run, 4, SOON).await?;
        kill_planner(stage, 0).await?;
        left_alone(stage, &run).await?;
        let own = stage.submit(&job, &json!({})).await?;
        stage.closed(&own, LONG).await?;
        assert!(!stage.is_closed(&run).await?);
        stage.build = Build::Later;
        stage.start_planner().await?;
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        stage.judge(&own).await?.succeeded()?;
        no_dead_letters(stage).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn run_that_a_newer_planner_opened_is_left_alone_though_an_older_version_stands_last()
-> anyhow::Result<()> {
    Build::Next.take_part();
    play(async |stage| {
        stage.apply(JOBS[1].0).await?;
        let run = open_as_newer(stage, JOBS[1].0).await?;
        // It goes on in the version that both read, for a worker that reads no other.
        stage.build = Build::Next;
        stage.start_planner().await?;
        stage.build = Build::This;
        stage.start_worker(4, &[]).await?;
        eventually(SOON, "an older version stands last", async || {
            Ok(last_is_next(stage, &run).await? == Some(false))
        })
        .await?;
        eventually(SOON, "the worker says that it waits", async || {
            let workers = stage.cli(&["workers", "--json"], SOON).await?.json()?;
            let trouble = workers[0]["trouble"].as_str().unwrap_or_default();
            Ok(trouble.contains("newer build"))
        })
        .await?;
        kill_planner(stage, 0).await?;
        stage.start_planner().await?;
        left_alone(stage, &run).await?;
        assert_eq!(reports(stage, &run).await?, 0);
        no_dead_letters(stage).await?;
        stage.build = Build::Next;
        stage.start_planner().await?;
        stage.start_worker(4, &[]).await?;
        stage.closed(&run, 2 * LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        no_dead_letters(stage).await
    })
    .await
}

/// Opens a run as a planner does that writes the next version, and is killed before it issues any of it.
async fn open_as_newer(stage: &Stage, job: &str) -> anyhow::Result<RunId> {
    let job = parse::parse(job, Format::Toml).map_err(|faults| anyhow::anyhow!("{faults}"))?;
    let run = RunId::from_request(&job.name, "newer");
    let subjects = stage.broker.subjects();
    let plan = subjects.ledger_of(&job.queue, &run, Author::Plan);
    let opened = PlanRecord::Opened(Box::new(Opened {
        nonce: Nonce::random(),
        job,
        scheduled_at: UnixMs::now(),
        content: 0,
        term: Term(1),
        first: Vec::new(),
        traceparent: None,
        reports: 2,
    }));
    // The next version has its body under another name, as long as that.
    let mut record = wire::encode(&opened).to_vec();
    record[3] = NEXT[3];
    record[5..9].copy_from_slice(b"next");
    stage.broker.append(plan, record.into(), Some(0)).await?;
    Ok(run)
}

/// How many records workers wrote of a run.
async fn reports(stage: &Stage, run: &RunId) -> anyhow::Result<usize> {
    let subjects = stage.broker.subjects();
    let all = subjects.ledger_of_run_anywhere(run);
    let ledger = subjects.ledger();
    let all = stage.broker.read(&ledger, all, 1, None).await?;
    let by = |subject: &str| subjects.parse_ledger(subject).map(|(_, _, author)| author);
    let reports = all
        .iter()
        .filter(|one| by(&one.subject) != Some(Author::Plan));
    Ok(reports.count())
}
