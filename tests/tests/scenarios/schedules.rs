//! Jobs that fire by the clock, with real processes: each nominal time has one answer and at most one run, whoever is
//! killed.

use std::time::Duration;

use anyhow::Context;
use gridloom_shared::id::JobName;
use gridloom_shared::schedule::record::Decision;
use gridloom_tests::oracle::fires::Fires;
use gridloom_tests::proxy::{Mode, Proxy};
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;

pub(crate) const SOON: Duration = Duration::from_secs(40);
/// What the broker tells who follows pauses; it does not stand in what is answered to who reads one.
const TOLD_OF_A_PAUSE: &str = "MSG $KV.test-state.pause.job.";
/// The same of definitions.
const TOLD_OF_A_JOB: &str = "MSG $KV.test-jobs.";
/// Within this a planner knows what was confirmed, whoever tells it.
const HEARD: Duration = Duration::from_millis(1_500);
/// Around a fire, which comes once a second.
const AROUND: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(2_500));

/// A job of one shard that fires each second.
pub(crate) async fn apply(stage: &Stage, sleep_ms: u64, schedule: &str) -> anyhow::Result<JobName> {
    let text = format!(
        "name = \"tick\"\nhandler = \"noop\"\n[params]\nsleep_ms = {sleep_ms}\n[schedule]\n{schedule}"
    );
    stage.apply(&text).await
}

/// Waits until so many decisions are called `word`.
pub(crate) async fn decided(
    stage: &Stage,
    job: &JobName,
    word: &str,
    times: usize,
) -> anyhow::Result<Fires> {
    let what = format!("{times} fires are {word}");
    let found = eventually(SOON, &what, async || {
        // Nothing can be read while the broker is away.
        let fires = Fires::read(&stage.broker, job).await;
        Ok(fires.is_ok_and(|fires| fires.count(word) >= times))
    });
    found.await?;
    Fires::read(&stage.broker, job).await
}

/// Deletes the job and judges its fires once all that was opened is over.
pub(crate) async fn judged(stage: &Stage, job: &JobName) -> anyhow::Result<Fires> {
    stage.broker.jobs().delete(job.as_str(), None).await?;
    eventually(SOON, "all is over", async || {
        Ok(Fires::read(&stage.broker, job).await?.are_over())
    })
    .await?;
    let fires = Fires::read(&stage.broker, job).await?;
    fires.judge()?;
    Ok(fires)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_second_has_one_run_while_leaders_are_killed() -> anyhow::Result<()> {
    play(async |stage| {
        let job = apply(
            stage,
            5,
            "every = \"1s\"\noverlap = \"allow\"\nmisfire = { policy = \"run_all\" }",
        )
        .await?;
        stage.start_all(1).await?;
        stage.start_planner().await?;
        decided(stage, &job, "opened", 2).await?;
        for round in 0..4 {
            let offset = stage.seed.between(AROUND.0, AROUND.1);
            tokio::time::sleep(offset).await;
            for planner in &mut stage.planners {
                planner.kill().await?;
            }
            stage.free_leadership().await?;
            stage.start_planner().await?;
            let opened = Fires::read(&stage.broker, &job).await?.count("opened");
            decided(stage, &job, "opened", opened + 2).await?;
            assert!(stage.term().await? > round);
        }
        let fires = judged(stage, &job).await?;
        assert_eq!(
            fires.count("expired") + fires.count("skipped"),
            0,
            "{fires:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_second_has_one_run_while_the_broker_is_killed() -> anyhow::Result<()> {
    play(async |stage| {
        let job = apply(
            stage,
            5,
            "every = \"1s\"\noverlap = \"allow\"\nmisfire = { policy = \"run_all\" }",
        )
        .await?;
        stage.start_all(1).await?;
        for round in 1..4 {
            decided(stage, &job, "opened", 3 * round).await?;
            let offset = stage.seed.between(Duration::ZERO, Duration::from_secs(1));
            tokio::time::sleep(offset).await;
            stage.server.kill().await?;
            stage.server.restart().await?;
        }
        decided(stage, &job, "opened", 14).await?;
        let fires = judged(stage, &job).await?;
        assert_eq!(
            fires.count("expired") + fires.count("skipped"),
            0,
            "{fires:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn fires_that_overlap_wait_in_order_and_missed_ones_are_made_up_for_at_once()
-> anyhow::Result<()> {
    play(async |stage| {
        let job = apply(stage, 2_500, "every = \"1s\"\noverlap = \"queue_all\"\nqueue_max = 3\nmisfire = { policy = \"run_all\", max = 2 }").await?;
        stage.start_all(1).await?;
        let fires = decided(stage, &job, "skipped", 1).await?;
        let queued = fires.state().map_or(0, |state| state.queued.len());
        assert_eq!(queued, 3, "as many wait as may");
        stage.planners[0].kill().await?;
        stage.free_leadership().await?;
        // Longer than a fire may be late.
        tokio::time::sleep(Duration::from_secs(13)).await;
        stage.start_planner().await?;
        decided(stage, &job, "expired", 1).await?;
        let fires = judged(stage, &job).await?;
        let in_order: Vec<_> = fires.opened().collect();
        assert!(in_order.is_sorted(), "{in_order:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn run_that_is_open_ends_for_the_fire_that_cancels_it() -> anyhow::Result<()> {
    play(async |stage| {
        let job = apply(
            stage,
            60_000,
            "every = \"2s\"\noverlap = \"cancel_running\"",
        )
        .await?;
        stage.start_all(1).await?;
        decided(stage, &job, "cancelled_previous", 2).await?;
        stage.broker.jobs().delete(job.as_str(), None).await?;
        let ended = async || {
            let fires = Fires::read(&stage.broker, &job).await?;
            Ok(fires.state().is_some_and(|state| state.ended))
        };
        eventually(SOON, "the schedule is over", ended).await?;
        let fires = Fires::read(&stage.broker, &job).await?;
        let cancelled = fires
            .records
            .iter()
            .filter_map(|record| match &record.decision {
                Decision::Opened {
                    after: Some(after), ..
                } => Some(&after.run),
                _ => None,
            });
        for run in cancelled {
            assert!(fires.runs[run].is_over(), "{run} goes on");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn job_that_is_applied_again_fires_by_its_new_schedule_within_moments() -> anyhow::Result<()>
{
    play(async |stage| {
        stage.start_all(1).await?;
        let job = apply(stage, 5, "cron = \"0 0 1 1 *\"").await?;
        decided(stage, &job, "adopted", 1).await?;
        apply(stage, 5, "every = \"1s\"").await?;
        let fires = decided(stage, &job, "opened", 2).await?;
        assert_eq!(fires.count("adopted"), 2);
        // Without a schedule it is for submissions alone, and its runs by hand are frozen without one.
        let plain = stage.apply("name = \"tick\"\nhandler = \"noop\"").await?;
        decided(stage, &job, "ended", 1).await?;
        let run = stage.submit(&plain, &serde_json::json!({})).await?;
        stage.closed(&run, SOON).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_told_when_a_job_fires_and_what_became_of_each_fire() -> anyhow::Result<()> {
    play(async |stage| {
        let file = stage.dir().join("tick.toml");
        let text = "name = \"tick\"\nhandler = \"noop\"\n[params]\nsleep_ms = 4_000\n[schedule]\nevery = \"2s\"\n";
        std::fs::write(&file, text)?;
        let path = file.to_str().unwrap_or_default();
        let asked = ["job", "next", path, "--count", "3", "--from", "2026-12-01T00:00:00", "--json"];
        let next = stage.cli(&asked, SOON).await?.succeeded()?.json()?;
        assert_eq!(next.as_array().map(Vec::len), Some(3), "{next}");
        stage.start_all(1).await?;
        let applied = stage.cli(&["job", "apply", path], SOON).await?.succeeded()?;
        assert!(applied.stdout.contains("fires every 2s"), "{}", applied.stdout);
        assert_eq!(applied.stdout.matches("+00:00").count(), 5, "{}", applied.stdout);
        let job = JobName::new("tick")?;
        decided(stage, &job, "skipped", 1).await?;
        let asked = ["job", "fires", "tick", "--decision", "skipped", "--json"];
        let skipped = stage.cli(&asked, SOON).await?.succeeded()?.json()?;
        let at = skipped[0]["scheduled_at"].as_str().unwrap_or_default();
        // The cadence that was told is the one that it has.
        let mut words = applied.stdout.split_whitespace();
        let told = words.find(|word| word.ends_with('Z')).unwrap_or_default();
        let odd = |at: &str| at.get(17..19).and_then(|second| second.parse::<u32>().ok()).map(|second| second % 2);
        assert_eq!(odd(told), odd(at), "{told} {at}");
        let why = stage.cli(&["job", "why", "tick", at], SOON).await?.succeeded()?;
        assert!(why.stdout.contains("skipped: run tick_"), "{}", why.stdout);
        assert!(why.stdout.starts_with("job tick, fire of "), "{}", why.stdout);
        // A time at which it does not fire, and a job without a schedule.
        let odd = stage.cli(&["job", "why", "tick", "2026-01-01T00:00:00Z"], SOON).await?;
        assert_eq!(odd.code, 2, "{odd:?}");
        stage.apply("name = \"plain\"\nhandler = \"noop\"").await?;
        let plain = stage.cli(&["job", "next", "plain"], SOON).await?;
        assert!(plain.stderr.contains("has no [schedule]"), "{plain:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_schedule_opens_nothing_until_it_is_resumed() -> anyhow::Result<()> {
    play(async |stage| {
        let job = apply(stage, 5, "every = \"1s\"\noverlap = \"allow\"").await?;
        stage.start_all(1).await?;
        decided(stage, &job, "opened", 1).await?;
        let note = ["--note", "the table is rebuilt"];
        let pause = [&["job", "pause", "tick"][..], &note].concat();
        stage.cli(&pause, SOON).await?.succeeded()?;
        let shown = stage
            .cli(&["job", "show", "tick"], SOON)
            .await?
            .succeeded()?;
        assert!(shown.stderr.contains("the table is rebuilt"), "{shown:?}");
        // What was on its way when it was paused is decided by now.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = Fires::read(&stage.broker, &job).await?.count("opened");
        // A leader that was not there when it was paused knows of it, too.
        stage.planners[0].kill().await?;
        stage.free_leadership().await?;
        stage.start_planner().await?;
        tokio::time::sleep(Duration::from_secs(4)).await;
        let after = Fires::read(&stage.broker, &job).await?.count("opened");
        assert_eq!(after, before, "a paused schedule opened something");
        stage
            .cli(&["job", "resume", "tick", "--missed", "skip"], SOON)
            .await?
            .succeeded()?;
        decided(stage, &job, "paused", 1).await?;
        // All jobs.
        let freeze = [&["job", "pause", "--all"][..], &note].concat();
        stage.cli(&freeze, SOON).await?.succeeded()?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        stage
            .cli(&["job", "resume", "--all", "--missed", "once"], SOON)
            .await?
            .succeeded()?;
        let fires = decided(stage, &job, "coalesced", 1).await?;
        decided(stage, &job, "opened", fires.count("opened") + 1).await?;
        judged(stage, &job).await?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn job_that_is_paused_from_the_start_opens_nothing_where_its_planner_is_told_of_that_late()
-> anyhow::Result<()> {
    play(async |stage| {
        let proxy = Proxy::start(stage.server.port()).await?;
        stage.start_planner_behind(&proxy).await?;
        stage.start_worker(4, &[]).await?;
        let each_second = "handler = \"noop\"\n[schedule]\nevery = \"1s\"\noverlap = \"allow\"";
        let other = stage
            .apply(&format!("name = \"other\"\n{each_second}"))
            .await?;
        decided(stage, &other, "opened", 1).await?;
        let (file, job) = (stage.dir().join("tick.toml"), JobName::new("tick")?);
        std::fs::write(&file, format!("name = \"{job}\"\n{each_second}"))?;
        let file = file.display().to_string();
        proxy.set(Mode::Lose(TOLD_OF_A_PAUSE));
        // It finds out seconds later that something was lost.
        let lost = async {
            proxy.lost(1, SOON).await?;
            proxy.set(Mode::Pass);
            anyhow::Ok(())
        };
        let apply = ["job", "apply", &file, "--paused", "not before Monday"];
        let (applied, lost) = tokio::join!(stage.cli(&apply, SOON), lost);
        lost?;
        applied?.succeeded()?;
        decided(stage, &job, "adopted", 1).await?;
        let opened = Fires::read(&stage.broker, &other).await?.count("opened");
        decided(stage, &other, "opened", opened + 4).await?;
        let fires = Fires::read(&stage.broker, &job).await?;
        assert_eq!(fires.count("opened"), 0, "it was paused from the start");
        let resume = ["job", "resume", "tick", "--missed", "skip"];
        stage.cli(&resume, SOON).await?.succeeded()?;
        decided(stage, &job, "opened", 1).await?;
        Ok(())
    })
    .await
}

/// The consumer of a watch stands on one member of a cluster, which may hang or lag: what a watch does not tell is read.
#[tokio::test(flavor = "multi_thread")]
async fn pause_and_deletion_hold_what_opens_after_them_though_no_watch_tells_of_them()
-> anyhow::Result<()> {
    play(async |stage| {
        let proxy = Proxy::start(stage.server.port()).await?;
        stage.start_planner_behind(&proxy).await?;
        stage.start_worker(4, &[]).await?;
        let each_second = "every = \"1s\"\noverlap = \"allow\"";
        let job = apply(stage, 1, each_second).await?;
        decided(stage, &job, "opened", 2).await?;
        proxy.set(Mode::Lose(TOLD_OF_A_PAUSE));
        let pause = ["job", "pause", "tick", "--note", "the warehouse is moved"];
        stage.cli(&pause, SOON).await?.succeeded()?;
        let key = stage.broker.subjects().pause_key(Some(&job));
        let paused = stage.broker.state().get_of_leader(&key).await?;
        let paused = paused.context("a pause")?.at;
        proxy.lost(2, SOON).await?;
        let late = |fires: &Fires| {
            let mut after = fires.records.iter().filter(|it| it.at > paused + HEARD);
            after.any(|it| matches!(it.decision, Decision::Opened { .. }))
        };
        assert!(!late(&Fires::read(&stage.broker, &job).await?));
        proxy.set(Mode::Lose(TOLD_OF_A_JOB));
        let resume = ["job", "resume", "tick", "--missed", "skip"];
        stage.cli(&resume, SOON).await?.succeeded()?;
        stage.broker.jobs().delete(job.as_str(), None).await?;
        decided(stage, &job, "ended", 1).await?;
        proxy.set(Mode::Pass);
        Ok(())
    })
    .await
}
