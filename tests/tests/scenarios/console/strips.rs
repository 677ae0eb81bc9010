//! How a job's last runs ended, and how late they were opened, at one glance: twenty boxes, each with its sign and its words.

use std::collections::BTreeMap;
use std::time::Duration;

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::ledger::summary::{GridSummary, RunState, RunSummary, ShardSummary};
use gridloom_shared::wire;

use super::*;

/// More than are shown.
const RUNS: u64 = 23;

/// The run number `n` of a job, an hour after the one before: every third failed, and every second was opened 90 s late.
fn summary(job: &JobName, n: u64) -> anyhow::Result<RunSummary> {
    let scheduled = UnixMs(1_772_323_200_000) + Duration::from_secs(n * 3_600);
    let late = Duration::from_secs(90 * (n % 2));
    let (scheduled, opened) = (scheduled.rfc3339(), (scheduled + late).rfc3339());
    let failed = n.is_multiple_of(3);
    Ok(RunSummary {
        run: RunId::from_submission(job, n),
        job: job.clone(),
        queue: "default".parse()?,
        state: if failed {
            RunState::Failed
        } else {
            RunState::Succeeded
        },
        scheduled_at: Some(scheduled),
        opened_at: Some(opened.clone()),
        closed_at: Some(opened),
        grid: GridSummary {
            slices: 1,
            shards: 1,
        },
        shards: ShardSummary {
            planned: 1,
            done: u64::from(!failed),
            dead: u64::from(failed),
            dead_probes: 0,
            given_up: 0,
            outstanding: 0,
            late: 0,
            retried: 0,
            taken_over: 0,
        },
        rows: 0,
        counters: BTreeMap::new(),
        more_counters: 0,
        error: None,
    })
}

/// The boxes of the only job that has any: sign and title of each.
const BOXES: &str =
    "[...document.querySelectorAll('.strip .box')].map((box) => [box.innerText.trim(), box.title])";

#[tokio::test(flavor = "multi_thread")]
async fn last_twenty_runs_stand_beside_their_job_with_how_late_each_was() -> anyhow::Result<()> {
    if !have_chromium() {
        return Ok(());
    }
    play(async |stage| {
        let api = start(stage, &[]).await?;
        let job = stage
            .apply("name = \"nightly\"\nhandler = \"noop\"")
            .await?;
        let runs = stage.broker.runs();
        for n in 0..RUNS {
            let summary = summary(&job, n)?;
            runs.put(summary.run.as_str(), wire::encode(&summary))
                .await?;
        }
        let mut browser = Chromium::start().await?;
        browser.look(1280, "light").await?;
        browser.open(&api.url("/jobs")).await?;
        browser.until(&format!("{BOXES}.length === 20")).await?;
        let boxes = browser.js(BOXES).await?;
        let boxes = boxes.as_array().context("boxes")?;
        // The newest stands last.
        for (n, seen) in (RUNS - 20..RUNS).zip(boxes) {
            let (sign, state) = if n.is_multiple_of(3) {
                ("✕", "failed")
            } else {
                ("✓", "succeeded")
            };
            let title = seen[1].as_str().unwrap_or_default();
            ensure!(seen[0] == sign && title.starts_with(state), "{n}: {seen}");
            ensure!(
                title.ends_with(", 1 min 30 s late") == (n % 2 == 1),
                "{n}: {seen}"
            );
        }
        // How long runs take, and how late each was, stand in its list.
        browser.open(&api.url("/jobs/nightly")).await?;
        browser.says("1 min 30 s").await?;
        ensure!(browser.faults().is_empty(), "{:?}", browser.faults());
        browser.end().await
    })
    .await
}
