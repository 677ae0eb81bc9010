//! A schedule that pauses itself after so many failed runs, with real processes: once, whoever leads.

use std::time::Duration;

use gridloom_shared::id::JobName;
use gridloom_shared::reads::pauses;
use gridloom_shared::schedule::record::Decision;
use gridloom_tests::oracle::fires::Fires;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;

const SOON: Duration = Duration::from_secs(40);

async fn halted(stage: &Stage, job: &JobName, times: usize) -> anyhow::Result<Fires> {
    eventually(
        SOON,
        &format!("it has paused itself {times} times"),
        async || {
            let paused = pauses::list(&stage.broker).await?;
            let paused = paused.iter().any(|paused| paused.job.as_ref() == Some(job));
            Ok(paused && Fires::read(&stage.broker, job).await?.count("halted") >= times)
        },
    )
    .await?;
    Fires::read(&stage.broker, job).await
}

#[tokio::test(flavor = "multi_thread")]
async fn schedule_whose_runs_fail_pauses_itself_once_while_leaders_are_killed() -> anyhow::Result<()>
{
    play(async |stage| {
        let text = "name = \"tick\"\nhandler = \"noop\"\n[retry]\nmax_attempts = 1\n[params]\nfail_percent = 100\n\
                    [schedule]\nevery = \"1s\"\noverlap = \"allow\"\npause_after_failures = 4\nmisfire = { policy = \"run_all\" }";
        let job = stage.apply(text).await?;
        stage.start_all(1).await?;
        eventually(SOON, "two runs are opened", async || {
            Ok(Fires::read(&stage.broker, &job).await?.opened().count() >= 2)
        })
        .await?;
        // Those that failed by now are counted by the next leader.
        stage.planners[0].kill().await?;
        stage.free_leadership().await?;
        stage.start_planner().await?;
        let fires = halted(stage, &job, 1).await?;
        let named = fires.records.iter().find_map(|record| match &record.decision {
            Decision::Halted { failures, runs } => Some((*failures, runs.clone())),
            _ => None,
        });
        let (failures, runs) = named.unwrap_or_default();
        assert!(failures >= 4 && runs.len() >= 4, "{failures} {runs:?}");
        assert!(runs.iter().all(|run| fires.runs[run].is_over()), "{runs:?}");
        let first = fires.opened().next();
        let all_named = usize::try_from(failures)? == runs.len();
        assert!(!all_named || first.is_some_and(|first| runs.contains(first)), "{runs:?}");
        let shown = stage.cli(&["job", "show", "tick"], SOON).await?.succeeded()?;
        assert!(shown.stderr.contains("paused by schedule") && shown.stderr.contains(runs[3].as_str()), "{shown:?}");
        let doctor = stage.cli(&["doctor"], SOON).await?;
        assert!(doctor.stdout.contains("job tick has paused itself"), "{doctor:?}");
        // Neither this leader nor the next one goes on, and none pauses it again.
        let opened = fires.opened().count();
        for planner in &mut stage.planners {
            planner.kill().await?;
        }
        stage.free_leadership().await?;
        stage.start_planner().await?;
        tokio::time::sleep(Duration::from_secs(4)).await;
        let fires = Fires::read(&stage.broker, &job).await?;
        assert_eq!((fires.count("halted"), fires.opened().count()), (1, opened));
        let resume = ["job", "resume", "tick", "--missed", "skip"];
        stage.cli(&resume, SOON).await?.succeeded()?;
        let fires = halted(stage, &job, 2).await?;
        assert!(fires.opened().count() >= opened + 4, "the count began anew");
        assert!(fires.runs.values().all(|run| run.was_opened_once()));
        Ok(())
    })
    .await
}
