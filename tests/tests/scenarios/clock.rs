//! Wall clocks that are wrong, or are set while a process runs, the broker's among them. What is due is
//! judged by the broker's clock while it goes as the boot clock does, and leases by the boot clock.

use std::collections::HashSet;
use std::time::Duration;

use gridloom_shared::broker::subjects::{LEADER_KEY, WATCHED_KEY};
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::ledger::record::{Record, WorkRecord};
use gridloom_tests::oracle::ledger::Ledger;
use gridloom_tests::process::Process;
use gridloom_tests::scenario::{ACK_DEADLINE, Stage, play};
use gridloom_tests::wait::eventually;
use gridloom_tests::wall_clock::WallClock;
use gridloom_tests::wall_clock::broker::BrokerWallClock;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);
const HOUR: i64 = 3_600;
/// Wait between two attempts, in milliseconds.
const BACKOFF: u64 = 1_000;

/// The clock of the broker; `None`, with a word about it, where it cannot be set.
pub(crate) async fn broker_clock(stage: &Stage) -> anyhow::Result<Option<BrokerWallClock>> {
    let clock = BrokerWallClock::of(stage.server.pid().unwrap_or_default()).await?;
    if clock.is_none() {
        eprintln!("NOT PLAYED: the broker's clock cannot be set here");
    }
    Ok(clock)
}

/// A wall clock that is an hour ahead; `None`, with a word about it, where there can be none.
fn clock() -> anyhow::Result<Option<WallClock>> {
    let clock = WallClock::make()?;
    match &clock {
        Some(clock) => clock.shift(HOUR)?,
        None => eprintln!("NOT PLAYED: there is no C compiler here"),
    }
    Ok(clock)
}

/// Starts a planner by `clock`, and sees to it that it has taken it up.
async fn start_planner(stage: &mut Stage, clock: &WallClock, args: &[&str]) -> anyhow::Result<()> {
    let planner = stage.gridloom(&["planner"])?.args(args.iter().copied());
    stage.planners.push(clock.of(planner).start().await?);
    let soon = UnixMs(UnixMs::now().0 + HOUR as u64 * 500).rfc3339();
    eventually(SOON, "the planner's clock is an hour ahead", async || {
        let wrote = stage.planners.last().map(Process::stderr);
        // Each line begins with the time.
        Ok(wrote.is_some_and(|wrote| wrote.contains("leads") && wrote > soon))
    })
    .await
}

/// When waves of the run's one shard were written, and when its outcomes.
async fn attempts(stage: &Stage, run: &RunId) -> anyhow::Result<(Vec<UnixMs>, Vec<UnixMs>)> {
    let ledger = Ledger::read(&stage.broker, run).await?;
    let (mut issued, mut ended, mut numbers) = (Vec::new(), Vec::new(), HashSet::new());
    for entry in ledger.entries {
        match entry.record {
            Some(Record::Plan(plan)) if plan.wave(entry.seq).is_some() => issued.push(entry.at),
            // Said again where its answer was lost, it counts once.
            Some(Record::Work(WorkRecord::Outcomes { number, .. })) if numbers.insert(number) => {
                ended.push(entry.at);
            }
            _ => {}
        }
    }
    Ok((issued, ended))
}

#[tokio::test(flavor = "multi_thread")]
async fn backoff_is_as_long_as_it_should_be_however_wrong_the_planner_s_clock_is()
-> anyhow::Result<()> {
    play(async |stage| {
        let (Some(of_planner), Some(of_worker)) = (clock()?, clock()?) else {
            return Ok(());
        };
        start_planner(stage, &of_planner, &[]).await?;
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
            // Each clock on the way is read in whole milliseconds.
            let waited = again.0.saturating_sub(failed.0) + 2;
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
        let Some(clock) = clock()? else {
            return Ok(());
        };
        stage.start_all(1).await?;
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
        stage.planners[0].kill().await?;
        stage.free_leadership().await?;
        let policy = ["--retention-runs", "30m", "--retention-most", "1"];
        start_planner(stage, &clock, &policy).await?;
        // The older one is one too many.
        eventually(SOON, "a sweep has ended", async || {
            Ok(stage.planners[1].stderr().contains("purged runs"))
        })
        .await?;
        assert_eq!(
            Ledger::read(&stage.broker, &runs[0]).await?.entries.len(),
            1
        );
        stage.judge(&runs[1]).await?.succeeded()?;
        Ok(())
    })
    .await
}

const FORTY_DAYS: i64 = 40 * 24 * HOUR;
/// So long the broker's clock has to be steady, in milliseconds.
const STEADY: u64 = 10_000;

/// Up to when the planner that sweeps has looked, by the broker's clock.
pub(crate) async fn swept_until(stage: &Stage) -> anyhow::Result<u64> {
    let entry = stage.broker.state().get_of_leader(WATCHED_KEY).await?;
    let value = entry.and_then(|entry| entry.value).unwrap_or_default();
    let watched: Value = serde_json::from_slice(&value).unwrap_or_default();
    Ok(watched["until"].as_u64().unwrap_or_default())
}

/// Whether `doctor` says that the broker's clock jumped ahead by forty days.
async fn doctor_tells(stage: &Stage) -> anyhow::Result<bool> {
    let said = stage.cli(&["doctor", "--json"], SOON).await?;
    let checks: Vec<Value> = serde_json::from_str(&said.stdout)?;
    let mut jumps = checks
        .iter()
        .filter(|one| one["check"] == "broker's clock" && one["result"] == "bad");
    Ok(jumps.any(|one| {
        let found = one["found"].as_str().unwrap_or_default();
        found.starts_with("jumped 40d ahead")
    }))
}

/// Runs that are over, one more than are kept.
async fn five_of_which_one_is_purged(
    stage: &mut Stage,
    job: &JobName,
) -> anyhow::Result<Vec<RunId>> {
    let mut over = Vec::new();
    for _ in 0..5 {
        let run = stage.submit(job, &json!({})).await?;
        stage.closed(&run, SOON).await?;
        over.push(run);
    }
    eventually(SOON, "the one too many is purged", async || {
        Ok(Ledger::read(&stage.broker, &over[0]).await?.entries.len() == 1)
    })
    .await?;
    Ok(over)
}

/// Whether the planner has led.
fn leads(planner: &Process) -> bool {
    planner.stderr().contains(" leads")
}

/// A job whose second attempt is due an hour after the first.
const LATER: &str = "name = \"later\"\nhandler = \"noop\"\n[grid]\nslices = 1\npages = { count = 1 }\n\
    [retry]\nmax_attempts = 2\n\
    backoff = { initial = \"1h\", max = \"1h\", factor = 1.0, jitter = 0.0 }";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_purged_or_due_while_the_broker_s_clock_is_in_doubt_and_then_all_goes_on()
-> anyhow::Result<()> {
    play(async |stage| {
        let Some(clock) = broker_clock(stage).await? else {
            return Ok(());
        };
        let policy = [
            "planner",
            "--retention-runs=1h",
            "--retention-most=4",
            "--retention-ids=24h",
            "--retention-every=200ms",
        ];
        stage.planners.push(stage.gridloom(&policy)?.start().await?);
        stage.start_worker(4, &[]).await?;
        let job = stage.apply(LATER).await?;
        let over = five_of_which_one_is_purged(stage, &job).await?;
        let waits = stage.submit(&job, &json!({ "fail_attempts": 1 })).await?;
        eventually(SOON, "it has failed once, and is swept", async || {
            let failed = attempts(stage, &waits).await?.1;
            let swept = swept_until(stage).await?;
            Ok(failed.first().is_some_and(|at| at.0 < swept))
        })
        .await?;

        let jumped = UnixMs::now().0 + FORTY_DAYS as u64 * 1_000;
        clock.shift(FORTY_DAYS)?;
        eventually(SOON, "doctor tells of the jump", async || {
            doctor_tells(stage).await
        })
        .await?;
        eventually(SOON, "retention goes on", async || {
            Ok(swept_until(stage).await? > jumped)
        })
        .await?;
        stage.closed(&waits, SOON).await?;
        let issued = attempts(stage, &waits).await?.0;
        assert_eq!(issued.len(), 2);
        let waited = issued[1].0.saturating_sub(jumped);
        assert!(waited >= STEADY, "tried again {waited} ms after the jump");
        let next = stage.submit(&job, &json!({})).await?;
        stage.closed(&next, SOON).await?;
        let swept = swept_until(stage).await?;
        eventually(SOON, "another sweep has ended", async || {
            Ok(swept_until(stage).await? > swept + 1_000)
        })
        .await?;
        eventually(SOON, "doctor tells of it no more", async || {
            Ok(!doctor_tells(stage).await?)
        })
        .await?;
        let remembered = Ledger::read(&stage.broker, &over[0]).await?;
        assert_eq!(remembered.entries.len(), 1, "its id is forgotten");
        // Two more were too many meanwhile.
        for run in over[3..].iter().chain([&waits, &next]) {
            stage.judge(run).await?.succeeded()?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn standby_that_saw_the_broker_s_clock_jump_does_not_go_by_it_when_it_leads()
-> anyhow::Result<()> {
    play(async |stage| {
        let Some(clock) = broker_clock(stage).await? else {
            return Ok(());
        };
        stage.start_planner().await?;
        stage.start_planner().await?;
        stage.start_worker(4, &[]).await?;
        let job = stage.apply(LATER).await?;
        let waits = stage.submit(&job, &json!({ "fail_attempts": 1 })).await?;
        eventually(SOON, "it has failed once", async || {
            Ok(!attempts(stage, &waits).await?.1.is_empty())
        })
        .await?;
        let leader = usize::from(!leads(&stage.planners[0]));
        // A standby knows the clock by what the leader writes each second.
        let first = stage.broker.state().place_of(LEADER_KEY).await?.revision();
        eventually(SOON, "the lease was rewritten a few times", async || {
            let now = stage.broker.state().place_of(LEADER_KEY).await?.revision();
            Ok(now > first + 3)
        })
        .await?;

        let jumped = UnixMs::now().0 + FORTY_DAYS as u64 * 1_000;
        clock.shift(FORTY_DAYS)?;
        eventually(SOON, "both planners see it", async || {
            let mut said = stage.planners.iter().map(Process::stderr);
            Ok(said.all(|said| said.contains("jumped 40d ahead")))
        })
        .await?;
        assert!(leads(&stage.planners[leader]) && !leads(&stage.planners[1 - leader]));
        stage.planners[leader].kill().await?;
        stage.closed(&waits, SOON).await?;
        assert!(leads(&stage.planners[1 - leader]));
        stage.judge(&waits).await?.succeeded()?;
        let issued = attempts(stage, &waits).await?.0;
        let waited = issued[1].0.saturating_sub(jumped);
        assert!(waited >= STEADY, "tried again {waited} ms after the jump");
        Ok(())
    })
    .await
}
