//! Planners that are killed, and several at once: every shard is issued once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use gridloom_shared::broker::kv::{Entry, Watch, Watched};
use gridloom_shared::broker::subjects::LEADER_KEY;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, QueueName, RunId, Term};
use gridloom_shared::ledger::record::{Author, PlanRecord, TileRun, Wave};
use gridloom_shared::ledger::summary::RunSummary;
use gridloom_shared::wire;
use gridloom_tests::http::{get, metric, served_at};
use gridloom_tests::oracle::ledger::Ledger;
use gridloom_tests::oracle::trace::Trace;
use gridloom_tests::proxy::{Mode, Proxy};
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::{eventually, eventually_some};
use serde_json::json;

const LONG: Duration = Duration::from_secs(120);
const SOON: Duration = Duration::from_secs(30);
/// Kills of the long test.
const KILLS: usize = 22;
/// Shards of the run for which two planners decide at once, and how often that is tried.
const RACED: u32 = 1_500;
/// See [`RACED`].
const RACES: usize = 100;
/// Between the failure of shards and their next attempt, where the leader is deaf when that is due.
const BACKOFF: Duration = Duration::from_secs(4);
/// A leadership lasts 2.5 s from a renewal: one that was renewed so shortly before still holds then.
const RENEWED: Duration = Duration::from_millis(1_500);

pub(crate) async fn job(stage: &Stage, pages: u32) -> anyhow::Result<JobName> {
    let text = format!(
        "name = \"waves\"\nhandler = \"noop\"\n[grid]\nslices = 16\npages = {{ count = {pages} }}\ntile = 1"
    );
    stage.apply(&text).await
}

pub(crate) async fn leads(stage: &Stage, term: u64) -> anyhow::Result<()> {
    eventually(SOON, "a planner leads", async || {
        Ok(stage.term().await? >= term)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn second_planner_does_no_harm_and_takes_over_when_the_first_is_killed() -> anyhow::Result<()>
{
    play(async |stage| {
        let job = job(stage, 200).await?;
        stage.start_all(1).await?;
        leads(stage, 1).await?;
        let run = stage.submit(&job, &json!({"sleep_ms": 5})).await?;
        stage.done(&run, 100, SOON).await?;
        stage.start_planner().await?;
        stage.done(&run, 800, SOON).await?;
        assert_eq!(
            stage.term().await?,
            1,
            "a planner took the term of one that lives"
        );
        stage.judge_open(&run).await?;
        stage.planners[0].kill().await?;
        let killed = Instant::now();
        leads(stage, 2).await?;
        let taken = killed.elapsed();
        eprintln!("led again after {taken:?}");
        assert!(taken < Duration::from_secs(10), "{taken:?}");
        stage.closed(&run, LONG).await?;
        let verdict = stage.judge(&run).await?.succeeded()?;
        assert_eq!(verdict.audit.repeated, 0);
        assert_eq!(stage.term().await?, 2);
        Ok(())
    })
    .await
}

/// As where an installation begins with several: what another has not made yet is no loss, and nobody is told to
/// apply definitions again.
#[tokio::test(flavor = "multi_thread")]
async fn planners_that_start_together_tell_of_no_loss() -> anyhow::Result<()> {
    play(async |stage| {
        let mut addresses = Vec::new();
        for _ in 0..4 {
            let planner = stage.gridloom(&["planner", "--listen", "127.0.0.1:0"])?;
            stage.planners.push(planner.start().await?);
        }
        for planner in &stage.planners {
            addresses.push(served_at(planner).await?);
        }
        for address in &addresses {
            eventually(SOON, "it stands by, or leads", async || {
                Ok(get(address, "/ready").await?.contains("200 OK"))
            })
            .await?;
        }
        let (broker, subjects) = (&stage.broker, stage.broker.subjects());
        let (history, unreadable) = (subjects.history(), subjects.unreadable());
        let told = broker.subjects_of(&history, &unreadable);
        assert!(told.await?.is_empty());
        Ok(())
    })
    .await
}

/// Waits until the summary of a run says what its ledger does.
pub(crate) async fn shown(stage: &Stage, run: &RunId) -> anyhow::Result<()> {
    eventually(SOON, "the summary is that of the ledger", async || {
        let entry = stage.broker.runs().get(run.as_str()).await?;
        let Some(written) = entry.and_then(|entry| entry.value) else {
            return Ok(false);
        };
        let ledger = Ledger::read(&stage.broker, run).await?.summary()?;
        Ok(wire::decode::<RunSummary>(&written)? == ledger)
    })
    .await
}

/// What was written to summaries until the first one of `run` was.
async fn written_until(watch: &mut Watch, run: &RunId) -> anyhow::Result<Vec<Entry>> {
    let mut written = Vec::new();
    let read = async {
        loop {
            if let Watched::Entry(entry) = watch.next().await? {
                let is_last = entry.key == run.as_str();
                written.push(entry);
                if is_last {
                    return anyhow::Ok(());
                }
            }
        }
    };
    tokio::time::timeout(SOON, read)
        .await
        .context("a summary of the last run")??;
    Ok(written)
}

#[tokio::test(flavor = "multi_thread")]
async fn planner_that_takes_over_writes_only_summaries_that_differ() -> anyhow::Result<()> {
    play(async |stage| {
        let job = job(stage, 1).await?;
        let mut watch = stage.broker.runs().watch_all();
        // From here on, it sees all that is written.
        assert_eq!(watch.next().await?, Watched::CaughtUp);
        stage.start_all(1).await?;
        let (mut over, mut open) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let run = stage.submit(&job, &json!({})).await?;
            stage.closed(&run, SOON).await?;
            over.push(run);
        }
        stage.workers[0].terminate()?;
        stage.workers[0].wait(SOON).await?;
        for _ in 0..4 {
            open.push(stage.submit(&job, &json!({})).await?);
        }
        for run in over.iter().chain(&open) {
            shown(stage, run).await?;
        }
        stage.planners[0].kill().await?;
        let gone = open[0].as_str();
        stage.broker.runs().delete(gone, None).await?;
        stage.start_planner().await?;
        leads(stage, 2).await?;
        // The second is written after all that was to be written with the first.
        let mut last = stage.submit(&job, &json!({})).await?;
        shown(stage, &last).await?;
        last = stage.submit(&job, &json!({})).await?;
        let mut stands = HashMap::new();
        for Entry { key, value, .. } in written_until(&mut watch, &last).await? {
            let before = stands.insert(key.clone(), value.clone());
            assert_ne!(
                before,
                Some(value),
                "the summary of {key} was written again"
            );
        }
        let differs = stands.get(gone);
        assert!(
            differs.is_some_and(Option::is_some),
            "it is not there again"
        );
        assert_eq!(stands.len(), over.len() + open.len() + 2);
        Ok(())
    })
    .await
}

/// Starts a planner that serves its metrics. Returns where.
async fn start_told_planner(stage: &mut Stage) -> anyhow::Result<String> {
    let planner = stage.gridloom(&["planner", "--listen", "127.0.0.1:0"])?;
    let planner = planner.start().await?;
    let address = served_at(&planner).await?;
    stage.planners.push(planner);
    Ok(address)
}

/// Waits until the planner at `address` says that so many runs are open.
async fn tells(address: &str, open: f64) -> anyhow::Result<()> {
    let what = format!("the planner at {address} tells of {open} open runs");
    eventually(SOON, &what, async || {
        let told = metric(address, "gridloom_runs{state=\"running\"}").await?;
        Ok(told == Some(open))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn number_of_open_runs_is_told_by_the_leader_alone() -> anyhow::Result<()> {
    play(async |stage| {
        let job = job(stage, 1).await?;
        let first = start_told_planner(stage).await?;
        leads(stage, 1).await?;
        let mut runs = Vec::new();
        for _ in 0..3 {
            runs.push(stage.submit(&job, &json!({})).await?);
        }
        tells(&first, 3.0).await?;
        let second = start_told_planner(stage).await?;
        tells(&second, 0.0).await?;
        stage.planners[0].freeze()?;
        leads(stage, 2).await?;
        tells(&second, 3.0).await?;
        stage.planners[0].thaw()?;
        tells(&first, 0.0).await?;
        stage.planners[1].terminate()?;
        tells(&first, 3.0).await?;
        stage.start_worker(4, &[]).await?;
        for run in &runs {
            stage.closed(run, SOON).await?;
            stage.judge(run).await?.succeeded()?;
        }
        tells(&first, 0.0).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn planner_that_is_killed_and_comes_back_issues_no_shard_twice() -> anyhow::Result<()> {
    play(async |stage| {
        eprintln!("seed {}", stage.seed.number());
        let job = job(stage, 60).await?;
        stage.start_worker(64, &[]).await?;
        let mut runs: Vec<RunId> = Vec::new();
        let mut term = 0;
        for round in 0..KILLS {
            runs.push(stage.submit(&job, &json!({})).await?);
            let planner = stage.start_planner().await?;
            // Some die before they lead, most in the middle of their waves.
            if round % 5 != 4 {
                leads(stage, term + 1).await?;
            }
            let moment = stage
                .seed
                .between(Duration::ZERO, Duration::from_millis(800));
            tokio::time::sleep(moment).await;
            stage.planners[planner].kill().await?;
            term = stage.term().await?;
            stage.free_leadership().await?;
        }
        stage.start_planner().await?;
        let (mut waves, mut refilled) = (0, 0);
        for run in &runs {
            stage.closed(run, LONG).await?;
            let verdict = stage.judge(run).await?.succeeded()?;
            waves += verdict.waves;
            refilled += verdict.refilled;
        }
        eprintln!(
            "{KILLS} kills, {} runs, {waves} waves, {refilled} tiles published again",
            runs.len()
        );
        assert_eq!(stage.observer.gaps(), 0);
        Ok(())
    })
    .await
}

/// Decides a wave of one tile behind the last one, as a planner would that was deposed and does not
/// know it. `false` where the leader was quicker.
async fn decide_beside_the_leader(stage: &Stage, run: &RunId) -> anyhow::Result<bool> {
    let subjects = stage.broker.subjects();
    let plan = subjects.ledger_of(&QueueName::new("default")?, run, Author::Plan);
    let last = stage
        .broker
        .last_of_leader(&subjects.ledger(), &plan)
        .await?;
    let last = last.context("a plan record")?;
    let PlanRecord::Wave(wave) = wire::decode(&last.payload)? else {
        return Ok(false);
    };
    if wave.term == Term(0) {
        // Its own: the leader has to come first, and is then likely to be about to go on.
        return Ok(false);
    }
    let end = wave.tiles.last().context("tiles")?;
    let next = end.first + end.tiles * end.pages;
    if next >= RACED {
        return Ok(false);
    }
    let wave = Wave {
        n: wave.n + 1,
        folded: last.seq,
        term: Term(0),
        tiles: vec![TileRun {
            first: next,
            tiles: 1,
            ..end.clone()
        }],
    };
    let record = wire::encode(&PlanRecord::Wave(wave));
    let decided = stage.broker.append(plan, record, Some(last.seq)).await;
    Ok(decided.is_ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn wave_that_another_planner_decided_first_is_not_decided_again() -> anyhow::Result<()> {
    play(async |stage| {
        let job = stage
            .apply(&format!(
                "name = \"raced\"\nhandler = \"noop\"\n[grid]\nslices = 1\npages = {{ count = {RACED} }}\ntile = 1"
            ))
            .await?;
        stage.start_all(1).await?;
        let run = stage.submit(&job, &json!({"sleep_ms": 10})).await?;
        stage.done(&run, 10, SOON).await?;
        let (mut decided, mut tried) = (0, 0);
        while decided < RACES && tried < 20 * RACES {
            decided += usize::from(decide_beside_the_leader(stage, &run).await?);
            tried += 1;
        }
        eprintln!("{decided} waves decided beside the leader");
        assert!(decided > 0);
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        Ok(())
    })
    .await
}

/// When the last shard of `run` failed, all eight of which fail once.
async fn all_failed(stage: &Stage, run: &RunId) -> anyhow::Result<UnixMs> {
    eventually_some(SOON, "all shards have failed", async || {
        let ledger = Ledger::read(&stage.broker, run).await?;
        let trace = Trace::of(&ledger);
        let failed = trace
            .cells()
            .values()
            .filter(|cell| !cell.failed.is_empty());
        let last = ledger.entries.last().map(|entry| entry.at);
        Ok(last.filter(|_| failed.count() == 8))
    })
    .await
}

/// Waits for a renewal of the leadership that still holds at `due`.
async fn renewed_before(stage: &Stage, due: UnixMs) -> anyhow::Result<()> {
    let bucket = stage.broker.state();
    let revision = async || {
        let entry = bucket.get_of_leader(LEADER_KEY).await?;
        anyhow::Ok(entry.map(|entry| entry.revision))
    };
    let mut last = revision().await?;
    eventually(SOON, "the leadership is renewed", async || {
        let now = revision().await?;
        let renewed = std::mem::replace(&mut last, now) != now;
        Ok(renewed && UnixMs::now() + RENEWED >= due)
    })
    .await?;
    anyhow::ensure!(
        UnixMs::now() < due,
        "the attempt was due before it could be raced"
    );
    Ok(())
}

/// Decides the next attempt of the last wave's tiles, as another planner would.
async fn decide_next_attempt(stage: &Stage, run: &RunId) -> anyhow::Result<()> {
    let subjects = stage.broker.subjects();
    let plan = subjects.ledger_of(&QueueName::new("default")?, run, Author::Plan);
    let ledger = Ledger::read(&stage.broker, run).await?;
    let folded = ledger.entries.last().context("records")?.seq;
    let last = stage
        .broker
        .last_of_leader(&subjects.ledger(), &plan)
        .await?;
    let last = last.context("a plan record")?;
    let record: PlanRecord = wire::decode(&last.payload)?;
    let wave = record.wave(last.seq);
    let mut wave = wave
        .context("the last plan record is no wave")?
        .into_owned();
    (wave.n, wave.folded, wave.term) = (wave.n + 1, folded, Term(0));
    for tiles in &mut wave.tiles {
        tiles.attempt += 1;
    }
    let record = wire::encode(&PlanRecord::Wave(wave));
    stage.broker.append(plan, record, Some(last.seq)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn leader_that_did_not_hear_of_another_ones_wave_does_not_decide_it_again()
-> anyhow::Result<()> {
    play(async |stage| {
        let job = stage
            .apply(&format!(
                "name = \"deaf\"\nhandler = \"noop\"\n[grid]\nslices = 1\npages = {{ count = 8 }}\ntile = 8\n\
                 [retry]\nbackoff = {{ initial = \"{}s\", jitter = 0 }}",
                BACKOFF.as_secs()
            ))
            .await?;
        let proxy = Proxy::start(stage.server.port()).await?;
        stage.start_planner_behind(&proxy).await?;
        stage.start_worker(4, &[]).await?;
        let run = stage.submit(&job, &json!({"fail_attempts": 1})).await?;
        let due = all_failed(stage, &run).await? + BACKOFF;
        renewed_before(stage, due).await?;
        // What it says is heard: its wave, which it cannot know to be the second.
        proxy.set(Mode::HalfOpen);
        decide_next_attempt(stage, &run).await?;
        let decided = due + Duration::from_millis(500);
        eventually(SOON, "the leader has decided", async || Ok(UnixMs::now() > decided)).await?;
        proxy.set(Mode::Pass);
        stage.closed(&run, LONG).await?;
        let verdict = stage.judge(&run).await?.succeeded()?;
        assert_eq!((verdict.waves, verdict.audit.repeated), (2, 0));
        Ok(())
    })
    .await
}
