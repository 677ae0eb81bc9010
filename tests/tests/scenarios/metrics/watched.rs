//! Alerts of what comes late and of what is lost, of records that are too new, and of the broker's clock.

use gridloom_shared::alarm::Watched;
use gridloom_tests::build::Build;

use super::*;
use crate::alarms::{armed, job, opened, soon};
use crate::clock::broker_clock;

const HOUR: i64 = 3_600;

#[tokio::test(flavor = "multi_thread")]
async fn alerts_fire_and_clear_where_a_run_is_lost_or_overdue_and_where_a_fire_is_missed()
-> anyhow::Result<()> {
    if !have_prometheus() {
        return Ok(());
    }
    play(async |stage| {
        let (at_planner, at_worker) = installation(stage).await?;
        let prometheus = &prometheus(at_planner, at_worker).await?;
        let vanishes = submit(
            stage,
            "name = \"vanishes\"\nhandler = \"noop\"",
            json!({ "sleep_ms": 600_000 }),
        )
        .await?;
        let open =
            "max(gridloom_runs{state=\"running\"}) == 1 and max(gridloom_runs_lost_total) == 0";
        holds(prometheus, open, LONG).await?;
        let (ledger, all) = (
            stage.broker.subjects().ledger(),
            stage.broker.subjects().ledger_of_run_anywhere(&vanishes),
        );
        ensure!(stage.broker.purge(&ledger, &all, 0).await? > 0);
        fires(prometheus, "GridloomRunLost", "").await?;

        let schedule = format!("{}\nfinish_within = \"5s\"", soon(3));
        let long = job(stage, "long", 600_000, &schedule).await?;
        let run = opened(stage, &long).await?;
        fires(prometheus, "GridloomRunOverdue", "job long").await?;
        stage
            .cli(&["cancel", run.as_str()], SOON)
            .await?
            .succeeded()?;
        clears(prometheus, "GridloomRunOverdue").await?;
        clears(prometheus, "GridloomRunLost").await?;

        let tick = job(stage, "tick", 5, "every = \"10s\"").await?;
        opened(stage, &tick).await?;
        armed(stage, &Watched::Fire(tick)).await?;
        stage.planners[0].kill().await?;
        fires(prometheus, "GridloomFireMissed", "job tick").await?;
        // Nothing of it comes again where somebody looks after it.
        stage.free_leadership().await?;
        planner(stage, at_planner).await?;
        clears(prometheus, "GridloomFireMissed").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_fire_and_clear_where_a_planner_is_too_old_and_where_the_clock_jumps()
-> anyhow::Result<()> {
    if !have_prometheus() {
        return Ok(());
    }
    play(async |stage| {
        let (at_planner, at_worker) = installation(stage).await?;
        let prometheus = &prometheus(at_planner, at_worker).await?;
        let file = stage.dir().join("job.toml");
        std::fs::write(&file, "name = \"newer\"\nhandler = \"noop\"")?;
        let file = file.to_string_lossy().into_owned();
        stage.build = Build::Later;
        stage
            .cli(&["job", "apply", &file], SOON)
            .await?
            .succeeded()?;
        let name = "newer".parse()?;
        stage.submit(&name, &json!({})).await?;
        fires(prometheus, "GridloomTooOld", "127.0.0.1").await?;
        told(prometheus, &[("sum(gridloom_newer_records_total)", 1.0)]).await?;
        // Upgraded, as the runbook says. Its worker is then too old for what that one issues.
        stage.planners[0].terminate()?;
        stage.planners[0].wait(LONG).await?;
        planner(stage, at_planner).await?;
        told(prometheus, &[("sum(gridloom_newer_tiles_total)", 1.0)]).await?;
        stage.workers[0].terminate()?;
        stage.workers[0].wait(LONG).await?;
        worker(stage, at_worker).await?;
        clears(prometheus, "GridloomTooOld").await?;

        let Some(clock) = broker_clock(stage).await? else {
            return Ok(());
        };
        let quiet = "max(gridloom_clock_doubt) == 0 and max(gridloom_leader) == 1";
        holds(prometheus, quiet, LONG).await?;
        clears(prometheus, "GridloomClockJump").await?;
        clock.shift(HOUR)?;
        fires(prometheus, "GridloomClockJump", "").await?;
        clears(prometheus, "GridloomClockJump").await
    })
    .await
}
