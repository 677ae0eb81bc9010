//! Small runs, whose first tiles are issued with the record that opens them.

use std::time::Duration;

use gridloom_shared::ledger::record::{PlanRecord, Record};
use gridloom_tests::oracle::ledger::Ledger;
use gridloom_tests::scenario::play;
use serde_json::json;

const LONG: Duration = Duration::from_secs(120);
const SOON: Duration = Duration::from_secs(30);
/// Runs that are busy at once in one worker: more than it remembers without tiles.
const BUSY: u32 = 400;

/// The records of the planner, by what they are.
fn plan(ledger: &Ledger) -> Vec<&'static str> {
    let plan = ledger
        .entries
        .iter()
        .filter_map(|entry| match &entry.record {
            Some(Record::Plan(plan)) => Some(plan),
            Some(_) | None => None,
        });
    let plan = plan.map(|plan| match plan {
        PlanRecord::Opened(opened) if opened.first.is_empty() => "opened",
        PlanRecord::Opened(_) => "opened with tiles",
        PlanRecord::Wave(_) => "wave",
        PlanRecord::Closed(_) => "closed",
        _ => "other",
    });
    plan.collect()
}

/// Whoever starts cold reads such a run whole: its first record may be the planner's last, and outcomes stand
/// behind it.
#[tokio::test(flavor = "multi_thread")]
async fn small_run_is_finished_by_a_planner_that_finds_a_part_of_it_done() -> anyhow::Result<()> {
    play(async |stage| {
        let job = "name = \"few\"\nhandler = \"noop\"\n[grid]\npages = { count = 4 }\ntile = 1";
        let job = stage.apply(job).await?;
        stage.start_planner().await?;
        stage.start_worker(1, &[]).await?;
        let run = stage.submit(&job, &json!({ "sleep_ms": 700 })).await?;
        stage.done(&run, 1, SOON).await?;
        stage.planners[0].kill().await?;
        // The rest of it is done while nobody leads.
        stage.done(&run, 4, SOON).await?;
        stage.free_leadership().await?;
        stage.start_planner().await?;
        stage.closed(&run, LONG).await?;
        let verdict = stage.judge(&run).await?.succeeded()?;
        assert_eq!(verdict.audit.repeated, 0);
        let ledger = Ledger::read(&stage.broker, &run).await?;
        assert_eq!(plan(&ledger), ["opened with tiles", "closed"]);
        Ok(())
    })
    .await
}

/// A run of which a tile is just coming was forgotten by the worker, and its tile held for ever, where that was
/// busy with as many others as it remembers.
#[tokio::test(flavor = "multi_thread")]
async fn worker_is_busy_with_more_runs_at_once_than_it_remembers() -> anyhow::Result<()> {
    play(async |stage| {
        let job = stage.apply("name = \"one\"\nhandler = \"noop\"").await?;
        stage.start_planner().await?;
        stage.start_worker(BUSY, &[]).await?;
        let mut runs = Vec::new();
        for _ in 0..BUSY {
            runs.push(stage.submit(&job, &json!({ "sleep_ms": 3_000 })).await?);
        }
        for run in &runs {
            stage.closed(run, LONG).await?;
        }
        Ok(())
    })
    .await
}
