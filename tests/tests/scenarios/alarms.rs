//! Alarms that outlive every planner, with real processes: what nobody looks after is told by one worker, and nothing is
//! told of what was in time.

use std::time::Duration;

use gridloom_shared::alarm::{Alarm, Watched};
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::limits::{ALARM_AFTER, ALARM_CONFIRMED};
use gridloom_shared::reads::alarms::raised;
use gridloom_shared::wire;
use gridloom_tests::chaos::field::is_alarm;
use gridloom_tests::http::{metric, served_at};
use gridloom_tests::oracle::fires::Fires;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::{eventually, eventually_some};

const SOON: Duration = Duration::from_secs(40);
/// Within so long the alarm of a fire is told, and a while for a machine that is busy.
const TOLD: Duration = Duration::from_secs(ALARM_AFTER.as_secs() + ALARM_CONFIRMED.as_secs() + 30);
const LATE: &str = "gridloom_fires_late_total";
const OVERDUE: &str = "gridloom_runs_overdue_total";

/// Starts workers that say where their metrics are.
async fn start_workers(stage: &mut Stage, count: usize) -> anyhow::Result<()> {
    for _ in 0..count {
        stage.start_worker(4, &["--listen", "127.0.0.1:0"]).await?;
    }
    Ok(())
}

/// What all workers together have counted.
async fn counted(stage: &Stage, name: &str, job: &str) -> anyhow::Result<u64> {
    let mut sum = 0.0;
    for worker in &stage.workers {
        let address = served_at(worker).await?;
        let of = format!("{name}{{job=\"{job}\"}}");
        sum += metric(&address, &of).await?.unwrap_or_default();
    }
    Ok(sum as u64)
}

async fn is_counted(stage: &Stage, name: &str, job: &str, within: Duration) -> anyhow::Result<()> {
    let what = format!("{name} of {job} is counted");
    eventually(within, &what, async || {
        Ok(counted(stage, name, job).await? == 1)
    })
    .await
}

/// What the workers wrote.
fn said(stage: &Stage) -> String {
    stage.workers.iter().map(|worker| worker.stderr()).collect()
}

pub(crate) async fn job(
    stage: &Stage,
    name: &str,
    sleep_ms: u64,
    schedule: &str,
) -> anyhow::Result<JobName> {
    let text = format!(
        "name = \"{name}\"\nhandler = \"noop\"\n[params]\nsleep_ms = {sleep_ms}\n[schedule]\n{schedule}"
    );
    stage.apply(&text).await
}

/// The first run that the schedule of `job` opened.
pub(crate) async fn opened(stage: &Stage, job: &JobName) -> anyhow::Result<RunId> {
    let what = format!("a fire of {job} is opened");
    eventually_some(SOON, &what, async || {
        let fires = Fires::read(&stage.broker, job).await;
        Ok(fires.ok().and_then(|fires| fires.opened().next().cloned()))
    })
    .await
}

async fn is_armed(stage: &Stage, watched: &Watched) -> anyhow::Result<Option<Alarm>> {
    let subjects = stage.broker.subjects();
    let armed = subjects.armed(watched);
    let last = stage
        .broker
        .last_of_leader(&subjects.alarm(), &armed)
        .await?;
    Ok(last.and_then(|last| wire::decode(&last.payload).ok()))
}

pub(crate) async fn armed(stage: &Stage, watched: &Watched) -> anyhow::Result<Alarm> {
    let what = format!("an alarm of {watched:?} is armed");
    eventually_some(SOON, &what, async || is_armed(stage, watched).await).await
}

/// `at` of a schedule: so many seconds from now.
pub(crate) fn soon(seconds: u64) -> String {
    let at = UnixMs::now() + Duration::from_secs(seconds);
    format!("at = \"{}\"", at.to_the_second())
}

/// Raises an alarm as the broker would.
async fn raise(stage: &Stage, watched: Watched, due: UnixMs) -> anyhow::Result<()> {
    let subjects = stage.broker.subjects();
    let (armed, raised) = (subjects.armed(&watched), subjects.raised(&watched));
    let both = subjects.armed_or_raised(&watched);
    let alarm = Alarm {
        watched,
        scheduled_at: due,
        due,
        at: due,
    };
    stage
        .broker
        .append_for(armed, wire::encode(&alarm), (&raised, due), (&both, 0))
        .await?;
    Ok(())
}

/// Raises the alarm of a run that is not there. Returns the run.
pub(super) async fn raise_one(stage: &Stage, job: &str) -> anyhow::Result<RunId> {
    let now = UnixMs::now();
    let run = RunId::from_fire(&JobName::new(job)?, now);
    raise(stage, Watched::Run(run.clone()), now).await?;
    Ok(run)
}

#[tokio::test(flavor = "multi_thread")]
async fn with_all_planners_dead_one_worker_tells_of_the_fire_that_is_late_and_of_the_run_that_is_overdue()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        start_workers(stage, 3).await?;
        let tick = job(stage, "tick", 5, "every = \"10s\"").await?;
        let long = job(
            stage,
            "long",
            600_000,
            &format!("{}\nfinish_within = \"15s\"", soon(3)),
        )
        .await?;
        let run = opened(stage, &long).await?;
        armed(stage, &Watched::Run(run.clone())).await?;
        opened(stage, &tick).await?;
        let alarm = armed(stage, &Watched::Fire(tick.clone())).await?;
        assert_eq!(alarm.at, alarm.due + ALARM_AFTER);
        stage.planners[0].kill().await?;
        is_counted(stage, OVERDUE, "long", SOON).await?;
        is_counted(stage, LATE, "tick", TOLD).await?;
        let said = said(stage);
        assert!(
            said.contains("overdue: the run is not over") && said.contains(run.as_str()),
            "{said}"
        );
        assert_eq!(said.matches("late: no planner").count(), 1, "{said}");
        assert_eq!(said.lines().filter(|line| is_alarm(line)).count(), 2);
        let doctor = stage.cli(&["doctor"], SOON).await?;
        let shown = doctor.stdout;
        assert!(
            shown.contains("late fires") && shown.contains("overdue runs"),
            "{shown}"
        );
        let shown = stage.cli(&["job", "next", "tick"], SOON).await?;
        assert!(shown.stderr.contains("late: no planner"), "{shown:?}");
        let shown = stage.cli(&["show", run.as_str()], SOON).await?;
        assert!(shown.stdout.contains("and it is not over"), "{shown:?}");
        // Whoever leads next withdraws what is right no more, and what stands is told no second time.
        stage.free_leadership().await?;
        stage.start_planner().await?;
        eventually(SOON, "the late fire is withdrawn", async || {
            let raised = raised(&stage.broker).await?;
            let run = Watched::Run(run.clone());
            Ok(raised.iter().map(|alarm| &alarm.watched).eq([&run]))
        })
        .await?;
        stage.cli(&["cancel", run.as_str()], SOON).await?;
        eventually(SOON, "the alarm of the run is withdrawn", async || {
            Ok(raised(&stage.broker).await?.is_empty())
        })
        .await?;
        assert_eq!(counted(stage, OVERDUE, "long").await?, 1);
        assert_eq!(counted(stage, LATE, "tick").await?, 1);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_and_while_leaders_change_nothing_is_raised() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        start_workers(stage, 2).await?;
        let overlap = "overlap = \"allow\"\nfinish_within = \"25s\"";
        for (name, period) in [("second", 1), ("often", 7), ("half", 20), ("rare", 30)] {
            let schedule = format!("every = \"{period}s\"\n{overlap}");
            job(stage, name, 200, &schedule).await?;
        }
        job(stage, "yearly", 5, "cron = \"0 0 1 1 *\"").await?;
        let load = stage
            .apply(
                "name = \"load\"\nhandler = \"noop\"\n[grid]\nslices = 8\npages = { count = 2000 }",
            )
            .await?;
        stage
            .submit(&load, &serde_json::json!({"sleep_ms": 10}))
            .await?;
        let began = tokio::time::Instant::now();
        let mut round = 0;
        // Longer than until the first alarm that nobody put off.
        while began.elapsed() < ALARM_AFTER * 2 + Duration::from_secs(5) {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let raised = raised(&stage.broker).await?;
            assert!(raised.is_empty(), "{raised:?}");
            if began.elapsed() > Duration::from_secs(20) * (round + 1) {
                round += 1;
                for planner in &mut stage.planners {
                    planner.kill().await?;
                }
                stage.start_planner().await?;
            }
        }
        for name in ["second", "often", "half", "rare", "yearly"] {
            assert_eq!(counted(stage, LATE, name).await?, 0, "{name}");
            assert_eq!(counted(stage, OVERDUE, name).await?, 0, "{name}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn run_that_is_not_over_by_its_time_is_told_once_though_planners_lead() -> anyhow::Result<()>
{
    play(async |stage| {
        stage.start_planner().await?;
        start_workers(stage, 2).await?;
        let within = |seconds: u64| format!("{}\nfinish_within = \"{seconds}s\"", soon(2));
        let slow = job(stage, "slow", 25_000, &within(4)).await?;
        let quick = job(stage, "quick", 3_000, &within(10)).await?;
        let (slow_run, quick_run) = (opened(stage, &slow).await?, opened(stage, &quick).await?);
        armed(stage, &Watched::Run(slow_run.clone())).await?;
        armed(stage, &Watched::Run(quick_run.clone())).await?;
        is_counted(stage, OVERDUE, "slow", SOON).await?;
        stage.planners[0].kill().await?;
        stage.free_leadership().await?;
        stage.start_planner().await?;
        stage.closed(&quick_run, SOON).await?;
        stage.closed(&slow_run, SOON).await?;
        eventually(SOON, "nothing stands any more", async || {
            let subjects = stage.broker.subjects();
            let stream = subjects.alarm();
            let (armed, raised) = (subjects.all_armed(), subjects.all_raised());
            let armed = stage.broker.subjects_of(&stream, &armed).await?;
            let raised = stage.broker.subjects_of(&stream, &raised).await?;
            Ok(armed.is_empty() && raised.is_empty())
        })
        .await?;
        assert_eq!(counted(stage, OVERDUE, "slow").await?, 1);
        assert_eq!(counted(stage, OVERDUE, "quick").await?, 0);
        let shown = stage.cli(&["show", slow_run.as_str()], SOON).await?;
        assert!(shown.stdout.contains("it was over later"), "{shown:?}");
        let shown = stage.cli(&["show", quick_run.as_str()], SOON).await?;
        let line = shown.stdout.lines().find(|line| line.contains("deadline"));
        assert!(line.is_some_and(|line| line.ends_with('Z')), "{shown:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_and_deleted_jobs_have_no_alarm_and_one_whose_stream_was_deleted_has_it_again()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let hourly = job(stage, "hourly", 5, "every = \"1h\"").await?;
        let watched = Watched::Fire(hourly.clone());
        let before = armed(stage, &watched).await?;
        let pause = ["job", "pause", "hourly", "--note", "the table is rebuilt"];
        stage.cli(&pause, SOON).await?.succeeded()?;
        let is_gone = async || Ok(is_armed(stage, &watched).await?.is_none());
        eventually(SOON, "the paused job has no alarm", is_gone).await?;
        let resume = ["job", "resume", "hourly"];
        stage.cli(&resume, SOON).await?.succeeded()?;
        assert_eq!(armed(stage, &watched).await?, before);
        // Edits arm anew.
        job(stage, "hourly", 5, "every = \"30m\"").await?;
        eventually(SOON, "the edit is watched", async || {
            let alarm = is_armed(stage, &watched).await?;
            Ok(alarm.is_some_and(|alarm| alarm.at < before.at))
        })
        .await?;
        let before = armed(stage, &watched).await?;
        let stream = stage.broker.subjects().alarm();
        let delete = format!("$JS.API.STREAM.DELETE.{stream}");
        stage.broker.request(delete, "".into(), SOON).await?;
        let again = async || Ok(is_armed(stage, &watched).await.ok().flatten());
        let again = eventually_some(SOON, "it is armed again", again).await?;
        assert_eq!(again, before);
        // By hand.
        let all = stage.broker.subjects().all_armed();
        stage.broker.purge(&stream, &all, 0).await?;
        assert_eq!(armed(stage, &watched).await?, before);
        stage.broker.jobs().delete("hourly", None).await?;
        eventually(SOON, "the deleted job has no alarm", is_gone).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn alarm_is_told_by_one_worker_unless_it_was_withdrawn_or_the_run_was_over_in_time()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        start_workers(stage, 3).await?;
        let plain = stage.apply("name = \"plain\"\nhandler = \"noop\"").await?;
        let over = stage.submit(&plain, &serde_json::json!({})).await?;
        stage.closed(&over, SOON).await?;
        // No planner withdraws them.
        stage.planners[0].kill().await?;
        let now = UnixMs::now();
        let made_up = |job: &str| -> anyhow::Result<Watched> {
            Ok(Watched::Run(RunId::from_fire(&JobName::new(job)?, now)))
        };
        raise(stage, Watched::Run(over), now).await?;
        raise(stage, made_up("withdrawn")?, now).await?;
        let subjects = stage.broker.subjects();
        let both = subjects.armed_or_raised(&made_up("withdrawn")?);
        let is_raised = async || {
            let raised = raised(&stage.broker).await?;
            Ok(raised.len() == 2)
        };
        eventually(SOON, "two alarms are raised", is_raised).await?;
        stage.broker.purge(&subjects.alarm(), &both, 0).await?;
        raise(stage, made_up("open")?, now).await?;
        is_counted(stage, OVERDUE, "open", SOON).await?;
        assert_eq!(counted(stage, OVERDUE, "plain").await?, 0);
        assert_eq!(counted(stage, OVERDUE, "withdrawn").await?, 0);
        let said = said(stage);
        assert_eq!(said.matches("overdue:").count(), 1, "{said}");
        Ok(())
    })
    .await
}
