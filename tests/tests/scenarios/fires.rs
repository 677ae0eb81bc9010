//! Fires by the clock while leaders and the broker are killed around them, many times, and by a broker's clock that is
//! set: the hour in which clocks go forward, and one in which no planner was there, for each overlap policy.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::try_join_all;
use futures_util::{FutureExt, StreamExt};
use gridloom_shared::broker::topology::{Kept, Size, Sizes, TopologyOptions};
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::JobName;
use gridloom_shared::schedule::record::Decision;
use gridloom_tests::oracle::fires::Fires;
use gridloom_tests::scenario::{Stage, play, play_with};
use gridloom_tests::wait::eventually;

use crate::clock::broker_clock;
use crate::schedules::{SOON, apply, decided, judged};

/// An installation for each: what becomes of fires that overlap, what of those that are missed, and how long a run takes.
const POLICIES: [(&str, &str, u64); 5] = [
    ("skip", "run_once", 700),
    ("queue_one", "run_all", 1_200),
    ("queue_all", "run_all", 300),
    ("cancel_running", "skip", 1_200),
    ("allow", "run_all", 300),
];
/// Leaders killed in each.
const LEADERS: u64 = 10;
/// Brokers killed in each of the first four.
const BROKERS: u64 = 5;
/// Around a fire: from so long before it on, and for so long.
const BEFORE: u64 = 5;
const AROUND: Duration = Duration::from_millis(60);
/// So soon after a decision its leader is killed, at most.
const BETWEEN: Duration = Duration::from_millis(2);

/// A job that fires each second.
async fn ticking(
    stage: &Stage,
    (overlap, misfire, sleep_ms): (&str, &str, u64),
) -> anyhow::Result<JobName> {
    let schedule =
        format!("every = \"1s\"\noverlap = \"{overlap}\"\nmisfire = {{ policy = \"{misfire}\" }}");
    apply(stage, sleep_ms, &schedule).await
}

/// Waits for a moment around the next fire, which is a whole second.
async fn around_a_fire(stage: &mut Stage) {
    let wait = 2_000 - BEFORE - UnixMs::now().0 % 1_000;
    let offset = stage.seed.between(Duration::ZERO, AROUND);
    tokio::time::sleep(Duration::from_millis(wait) + offset).await;
}

/// Waits until a decision reaches the broker, and up to a few milliseconds more.
async fn behind_a_decision(stage: &mut Stage, job: &JobName) -> anyhow::Result<()> {
    let client = stage.server.client().await?;
    let mut decisions = client.subscribe(stage.broker.subjects().fires(job)).await?;
    tokio::time::timeout(SOON, decisions.next()).await?;
    let offset = stage.seed.between(Duration::ZERO, BETWEEN);
    tokio::time::sleep(offset).await;
    Ok(())
}

/// Waits until `more` decisions stand behind those of now.
async fn goes_on(stage: &Stage, job: &JobName, more: usize) -> anyhow::Result<()> {
    let before = read(stage, job).await?.records.len();
    eventually(SOON, "fires go on", async || {
        let fires = Fires::read(&stage.broker, job).await;
        Ok(fires.is_ok_and(|fires| fires.records.len() >= before + more))
    })
    .await
}

/// What stands there, once the broker answers.
async fn read(stage: &Stage, job: &JobName) -> anyhow::Result<Fires> {
    eventually(SOON, "the broker answers", async || {
        Ok(Fires::read(&stage.broker, job).await.is_ok())
    })
    .await?;
    Fires::read(&stage.broker, job).await
}

/// Kills the leader `LEADERS` times, a third of them just behind a decision and a third anywhere. Returns how many runs another leader opened.
async fn kill_leaders(stage: &mut Stage, policy: (&str, &str, u64)) -> anyhow::Result<usize> {
    let job = ticking(stage, policy).await?;
    stage.start_all(1).await?;
    decided(stage, &job, "opened", 1).await?;
    for round in 0..LEADERS {
        let standby = stage.start_planner().await?;
        match round % 3 {
            0 => around_a_fire(stage).await,
            1 => behind_a_decision(stage, &job).await?,
            _ => {
                // Anywhere: the run that was decided last may be over.
                let offset = stage.seed.between(Duration::ZERO, Duration::from_secs(1));
                tokio::time::sleep(offset).await;
            }
        }
        stage.planners[standby - 1].kill().await?;
        stage.free_leadership().await?;
        goes_on(stage, &job, 1).await?;
    }
    let fires = judged(stage, &job).await?;
    Ok(fires.taken_over())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fire_has_one_answer_and_one_run_while_fifty_leaders_are_killed() -> anyhow::Result<()>
{
    let count = &AtomicUsize::new(0);
    let installations = POLICIES.map(|policy| {
        play(async move |stage| {
            count.fetch_add(kill_leaders(stage, policy).await?, Ordering::Relaxed);
            Ok(())
        })
        .boxed_local()
    });
    try_join_all(installations).await?;
    eprintln!("{count:?} runs were decided by one leader and opened by another");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fire_has_one_answer_and_one_run_while_twenty_brokers_are_killed() -> anyhow::Result<()>
{
    let installations = POLICIES.into_iter().take(4).map(|policy| {
        play(async move |stage| {
            let job = ticking(stage, policy).await?;
            stage.start_all(1).await?;
            decided(stage, &job, "opened", 1).await?;
            for round in 0..BROKERS {
                if round % 2 == 0 {
                    around_a_fire(stage).await;
                } else {
                    behind_a_decision(stage, &job).await?;
                }
                stage.server.kill().await?;
                stage.server.restart().await?;
                goes_on(stage, &job, 2).await?;
            }
            judged(stage, &job).await?;
            Ok(())
        })
        .boxed_local()
    });
    try_join_all(installations).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn leader_that_wakes_up_beside_its_successor_decides_nothing_a_second_time()
-> anyhow::Result<()> {
    play(async |stage| {
        let job = ticking(stage, ("queue_one", "run_all", 700)).await?;
        stage.start_all(1).await?;
        decided(stage, &job, "opened", 1).await?;
        stage.start_planner().await?;
        for leader in [0, 1, 0, 1] {
            around_a_fire(stage).await;
            stage.planners[leader].freeze()?;
            stage.free_leadership().await?;
            goes_on(stage, &job, 2).await?;
            stage.planners[leader].thaw()?;
            goes_on(stage, &job, 2).await?;
        }
        judged(stage, &job).await?;
        Ok(())
    })
    .await
}

/// 2027-03-28T00:59:52Z: eight seconds later clocks in Berlin go from 02:00 to 03:00.
const BEFORE_THE_GAP: u64 = 1_806_195_592_000;
const HOUR: i64 = 3_600;
/// 02:30, which that day leaves out, two seconds and six after the gap, and five times an hour later.
const AROUND_THE_GAP: &str = "cron = [\"0 30 2 * * ?\", \"2 0 3 * * ?\", \"6 0 3 * * ?\", \"0 10/10 3 * * ?\"]\n\
     timezone = \"Europe/Berlin\"";

/// What a job has of its fires, by the word of each answer, in order, those of a span as often as it has.
fn answers(fires: &Fires) -> Vec<&'static str> {
    let records = fires.records.iter();
    records
        .filter(|record| !matches!(record.decision, Decision::Confirmed))
        .flat_map(|record| {
            let spans = record.decision.spans();
            let count = spans.iter().map(|span| span.count).sum::<u64>();
            std::iter::repeat_n(record.decision.word(), count as usize)
        })
        .collect()
}

/// Cancels what is open until nothing waits.
async fn end_all(stage: &Stage, job: &JobName) -> anyhow::Result<()> {
    eventually(SOON, "nothing is open, and nothing waits", async || {
        let fires = Fires::read(&stage.broker, job).await?;
        let open: Vec<_> = fires
            .runs
            .iter()
            .filter(|(_, life)| !life.is_over())
            .collect();
        for (run, _) in &open {
            stage.cli(&["cancel", run.as_str()], SOON).await?;
        }
        let state = fires.state();
        let waits = state.is_some_and(|state| !state.queued.is_empty());
        let opened = fires.opened().count();
        Ok(open.is_empty() && !waits && opened == fires.runs.len())
    })
    .await
}

/// Waits until there are as many answers; returns them.
async fn answered(stage: &Stage, job: &JobName, count: usize) -> anyhow::Result<Vec<&'static str>> {
    eventually(SOON, "there are as many answers", async || {
        Ok(answers(&Fires::read(&stage.broker, job).await?).len() >= count)
    })
    .await?;
    Ok(answers(&Fires::read(&stage.broker, job).await?))
}

/// Plays the hour around the gap with runs that last, then an hour without a planner. `at_once` are the answers to
/// the three fires around the gap while the first run lasts, `later` those to the fires that were missed.
async fn by_another_clock(
    (overlap, misfire): (&str, &str),
    at_once: &[&str],
    later: &[&str],
) -> anyhow::Result<()> {
    play(async |stage| {
        let Some(clock) = broker_clock(stage).await? else {
            return Ok(());
        };
        let ahead = (BEFORE_THE_GAP.saturating_sub(UnixMs::now().0) / 1_000) as i64;
        clock.shift(ahead)?;
        let schedule = format!("{AROUND_THE_GAP}\noverlap = \"{overlap}\"\nmisfire = {misfire}");
        let job = apply(stage, 600_000, &schedule).await?;
        stage.start_all(2).await?;
        let said = answered(stage, &job, at_once.len()).await?;
        assert_eq!(said, at_once, "around the gap");
        let fires = Fires::read(&stage.broker, &job).await?;
        let moved = fires
            .records
            .iter()
            .find_map(|record| match &record.decision {
                Decision::Opened { moved_from, .. } => moved_from.clone(),
                _ => None,
            });
        assert!(moved.is_some_and(|from| from.contains("02:30")));
        end_all(stage, &job).await?;
        let before = answers(&Fires::read(&stage.broker, &job).await?).len();

        stage.planners[0].kill().await?;
        stage.free_leadership().await?;
        clock.shift(ahead + HOUR)?;
        stage.start_planner().await?;
        let said = answered(stage, &job, before + later.len()).await?;
        assert_eq!(said[before..], *later, "after an hour without a planner");
        end_all(stage, &job).await?;
        judged(stage, &job).await?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn skip_by_a_clock_that_goes_forward_and_is_an_hour_on() -> anyhow::Result<()> {
    let later = ["coalesced", "coalesced", "coalesced", "coalesced", "opened"];
    let policy = ("skip", "{ policy = \"run_once\" }");
    by_another_clock(policy, &["opened", "skipped", "skipped"], &later).await
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_one_by_a_clock_that_goes_forward_and_is_an_hour_on() -> anyhow::Result<()> {
    // The later one takes the place of the earlier one.
    let at_once = ["opened", "queued", "skipped", "queued"];
    let later = [
        "expired", "expired", "opened", "queued", "skipped", "queued",
    ];
    let policy = ("queue_one", "{ policy = \"run_all\", max = 3 }");
    by_another_clock(policy, &at_once, &later).await
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_all_by_a_clock_that_goes_forward_and_is_an_hour_on() -> anyhow::Result<()> {
    let later = ["opened", "queued", "queued", "queued", "queued"];
    let policy = ("queue_all", "{ policy = \"run_all\" }");
    by_another_clock(policy, &["opened", "queued", "queued"], &later).await
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_running_by_a_clock_that_goes_forward_and_is_an_hour_on() -> anyhow::Result<()> {
    let at_once = [
        "opened",
        "queued",
        "cancelled_previous",
        "queued",
        "cancelled_previous",
    ];
    let later = ["skipped"; 5];
    let policy = ("cancel_running", "{ policy = \"skip\" }");
    by_another_clock(policy, &at_once, &later).await
}

#[tokio::test(flavor = "multi_thread")]
async fn allow_by_a_clock_that_goes_forward_and_is_an_hour_on() -> anyhow::Result<()> {
    let policy = ("allow", "{ policy = \"run_all\" }");
    by_another_clock(policy, &["opened"; 3], &["opened"; 5]).await
}

/// Room for the stream of fires, and a message that takes a part of it.
const ROOM: usize = 4 << 20;
const LARGE: usize = ROOM / 64;

#[tokio::test(flavor = "multi_thread")]
async fn last_record_of_a_rare_job_outlives_the_room_of_its_stream() -> anyhow::Result<()> {
    let topology = TopologyOptions {
        sizes: Sizes::default().with(Kept::History, Size::Bytes(ROOM as u64)),
        ..TopologyOptions::default()
    };
    play_with(&topology, async |stage| {
        let job = apply(stage, 5, "cron = \"0 0 1 1 *\"").await?;
        stage.start_all(0).await?;
        let adopted = decided(stage, &job, "adopted", 1).await?;
        let (stream, subject) = {
            let subjects = stage.broker.subjects();
            (subjects.history(), subjects.unreadable())
        };
        // As much as the stream has room for three times.
        for _ in 0..12 {
            for _ in 0..ROOM / LARGE / 4 {
                let bytes = vec![b' '; LARGE].into();
                stage.broker.append(subject.clone(), bytes, None).await?;
            }
            eventually(SOON, "the record is not among the oldest", async || {
                let info = stage.broker.info(&stream).await?;
                let quarter = (info.last_seq - info.first_seq) / 4;
                let fires = stage.broker.subjects().fires(&job);
                let last = stage.broker.last_of_leader(&stream, &fires).await?;
                let much = info.bytes > ROOM as u64 / 2;
                Ok(last.is_some_and(|last| !much || last.seq >= info.first_seq + quarter))
            })
            .await?;
        }
        let fires = Fires::read(&stage.broker, &job).await?;
        assert_eq!(fires.count("adopted"), 0, "the stream was not full");
        let state = |fires: &Fires| fires.state().map(|state| (state.anchor, state.cursor));
        assert_eq!(state(&fires), state(&adopted));
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn job_that_was_deleted_goes_on_where_it_was_when_it_is_applied_again() -> anyhow::Result<()>
{
    play(async |stage| {
        stage.start_all(1).await?;
        for round in 1..=3 {
            let job = apply(stage, 5, "every = \"1s\"").await?;
            decided(stage, &job, "opened", 2 * round).await?;
            stage.broker.jobs().delete(job.as_str(), None).await?;
            let fires = decided(stage, &job, "ended", round).await?;
            let cursors = fires.records.iter().map(|record| record.state.cursor);
            assert!(cursors.is_sorted(), "it went back");
            assert_eq!(fires.count("adopted"), round);
        }
        Ok(())
    })
    .await
}
