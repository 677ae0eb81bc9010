//! Wall clocks that are wrong, or are set while a process runs. What is due is judged by the broker's
//! clock, and leases by the boot clock.

use std::time::Duration;

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::record::{PlanRecord, Record, WorkRecord};
use gridloom_tests::oracle::ledger::Ledger;
use gridloom_tests::scenario::{ACK_DEADLINE, Stage, play};
use gridloom_tests::wait::eventually;
use gridloom_tests::wall_clock::WallClock;
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);
const HOUR: i64 = 3_600;
/// Wait between two attempts, in milliseconds.
const BACKOFF: u64 = 1_000;

/// A planner by a clock of its own; `None`, with a word about it, where there can be none.
async fn planner_with_clock(stage: &mut Stage, args: &[&str]) -> anyhow::Result<Option<WallClock>> {
    let Some(clock) = WallClock::make()? else {
        eprintln!("NOT PLAYED: there is no C compiler here");
        return Ok(None);
    };
    clock.shift(HOUR)?;
    let planner = stage.gridloom(&["planner"])?.args(args.iter().copied());
    let planner = clock.of(planner).start().await?;
    stage.planners.push(planner);
    Ok(Some(clock))
}

/// When waves of the run's one shard were written, and when its outcomes.
async fn attempts(stage: &Stage, run: &RunId) -> anyhow::Result<(Vec<UnixMs>, Vec<UnixMs>)> {
    let ledger = Ledger::read(&stage.broker, run).await?;
    let (mut issued, mut ended) = (Vec::new(), Vec::new());
    for entry in ledger.entries {
        match entry.record {
            Some(Record::Plan(PlanRecord::Wave(_))) => issued.push(entry.at),
            Some(Record::Work(WorkRecord::Outcomes { .. })) => ended.push(entry.at),
            _ => {}
        }
    }
    Ok((issued, ended))
}

#[tokio::test(flavor = "multi_thread")]
async fn backoff_is_as_long_as_it_should_be_however_wrong_the_planner_s_clock_is()
-> anyhow::Result<()> {
    play(async |stage| {
        let Some(of_planner) = planner_with_clock(stage, &[]).await? else {
            return Ok(());
        };
        let Some(of_worker) = WallClock::make()? else {
            return Ok(());
        };
        of_worker.shift(-HOUR)?;
        let worker = of_worker.of(stage.gridloom(&["worker"])?);
        let worker = worker.env("GRIDLOOM_QUEUE_ACK_DEADLINE", ACK_DEADLINE);
        stage.workers.push(worker.start().await?);
        let job = format!(
            "name = \"again\"\nhandler = \"noop\"\n[grid]\nslices = 1\npages = {{ count = 1 }}\n\
             [retry]\nmax_attempts = 4\n\
             backoff = {{ initial = \"{BACKOFF}ms\", factor = 1.0, jitter = 0.0 }}"
        );
        let job = stage.apply(&job).await?;
        let run = stage.submit(&job, &json!({ "fail_attempts": 3 })).await?;
        // An hour ahead at the first failure, then an hour behind, then ahead again.
        for (failures, shift) in [(1, -HOUR), (2, HOUR)] {
            eventually(SOON, "the next attempt has failed", async || {
                Ok(attempts(stage, &run).await?.1.len() >= failures)
            })
            .await?;
            // In the middle of the wait.
            tokio::time::sleep(Duration::from_millis(BACKOFF / 2)).await;
            of_planner.shift(shift)?;
        }
        stage.closed(&run, SOON).await?;
        stage.judge(&run).await?.succeeded()?;
        let (issued, ended) = attempts(stage, &run).await?;
        assert_eq!((issued.len(), ended.len()), (4, 4));
        for (failed, again) in ended.iter().zip(&issued[1..]) {
            let waited = again.0 - failed.0;
            assert!(
                (BACKOFF..BACKOFF + 5_000).contains(&waited),
                "waited {waited} ms: {issued:?} {ended:?}"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn planner_whose_clock_is_ahead_purges_nothing_before_its_time() -> anyhow::Result<()> {
    play(async |stage| {
        let policy = [
            "--retention-runs",
            "30m",
            "--retention-most",
            "1",
            "--retention-every",
            "200ms",
        ];
        if planner_with_clock(stage, &policy).await?.is_none() {
            return Ok(());
        }
        stage.start_worker(4, &[]).await?;
        let job = stage
            .apply(
                "name = \"short\"\nhandler = \"noop\"\n[grid]\nslices = 1\npages = { count = 2 }",
            )
            .await?;
        let mut runs = Vec::new();
        for _ in 0..2 {
            let run = stage.submit(&job, &json!({})).await?;
            stage.closed(&run, SOON).await?;
            runs.push(run);
        }
        // The older one is one too many: when it has gone, the other one was judged as well.
        eventually(SOON, "the older one is purged", async || {
            Ok(Ledger::read(&stage.broker, &runs[0]).await?.entries.len() == 1)
        })
        .await?;
        stage.judge(&runs[1]).await?.succeeded()?;
        Ok(())
    })
    .await
}
