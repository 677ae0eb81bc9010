//! Workers that die while the ack deadline is far away: what they held starts elsewhere within
//! seconds, and nobody loses anything who lives.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use gridloom_shared::command::Broadcast;
use gridloom_shared::id::{QueueName, RunId};
use gridloom_shared::ledger::record::{Reason, Record};
use gridloom_shared::limits::BELLS;
use gridloom_shared::presence::Presence;
use gridloom_shared::wire;
use gridloom_tests::oracle::ledger::Ledger;
use gridloom_tests::scenario::{NAMESPACE, Stage, play};
use gridloom_tests::wait::{eventually, eventually_some};
use gridloom_worker::{Shard, Worker};
use serde_json::json;

pub(super) const LONG: Duration = Duration::from_secs(90);
pub(super) const SOON: Duration = Duration::from_secs(30);
/// Far away: whatever starts elsewhere before it was handed back.
pub(super) const DEADLINE: &[&str] = &["--ack-deadline", "30s"];
/// Tiles of [`held_by_first`].
pub(super) const TILES: usize = 4;

/// What two workers hold.
struct Stand {
    /// The run of which the first worker runs every shard.
    first: RunId,
    /// The run of which the second one does.
    second: RunId,
}

/// A planner leads, and each of two workers runs all shards of one run, each for `shard`. The second
/// has as many slots left.
async fn set(stage: &mut Stage, shard: Duration) -> anyhow::Result<Stand> {
    set_with(stage, shard, 2 * TILES).await
}

/// As [`set`], the second worker with so many slots.
async fn set_with(stage: &mut Stage, shard: Duration, slots: usize) -> anyhow::Result<Stand> {
    stage.start_planner().await?;
    stage.start_worker(4, DEADLINE).await?;
    let first = long_run(stage, "first", shard).await?;
    running(stage, TILES as u64).await?;
    stage.start_worker(u32::try_from(slots)?, DEADLINE).await?;
    there(stage, 2).await?;
    let second = long_run(stage, "second", shard).await?;
    running(stage, 2 * TILES as u64).await?;
    Ok(Stand { first, second })
}

pub(super) async fn long_run(
    stage: &mut Stage,
    name: &str,
    shard: Duration,
) -> anyhow::Result<RunId> {
    let text = format!(
        "name = \"{name}\"\nhandler = \"noop\"\n[grid]\nslices = {TILES}\npages = {{ count = 1 }}\ntile = 1"
    );
    let job = stage.apply(&text).await?;
    let sleep_ms = u64::try_from(shard.as_millis())?;
    stage.submit(&job, &json!({ "sleep_ms": sleep_ms })).await
}

impl Stand {
    /// Waits for the end of both runs, and judges them. Nothing of a worker that lived was taken away.
    async fn ends(&self, stage: &Stage) -> anyhow::Result<()> {
        for run in [&self.first, &self.second] {
            stage.closed(run, LONG).await?;
            let verdict = stage.judge(run).await?.succeeded()?;
            assert_eq!(verdict.refilled, 0);
        }
        assert_eq!(takeovers(stage, &self.second).await?, []);
        Ok(())
    }
}

/// Waits until so many shards run, as the workers themselves say.
pub(super) async fn running(stage: &Stage, shards: u64) -> anyhow::Result<()> {
    eventually(SOON, "the worker runs its shards", async || {
        let workers = listed(stage).await?;
        let run = workers
            .iter()
            .filter_map(|worker| worker["in_flight"].as_u64());
        Ok(run.sum::<u64>() >= shards)
    })
    .await
}

pub(super) async fn there(stage: &Stage, workers: usize) -> anyhow::Result<()> {
    eventually(SOON, "all workers are there", async || {
        Ok(listed(stage).await?.len() >= workers)
    })
    .await
}

async fn listed(stage: &Stage) -> anyhow::Result<Vec<serde_json::Value>> {
    let workers = stage.cli(&["workers", "--json"], SOON).await?;
    let workers = workers.succeeded()?.json()?;
    Ok(workers.as_array().cloned().unwrap_or_default())
}

/// Waits until so many workers have announced [`TILES`] tiles each: the leader has heard it as this has.
pub(super) async fn named(stage: &Stage, workers: usize) -> anyhow::Result<()> {
    let all = stage.broker.subjects().all_presence();
    let mut announced = stage.broker.subscribe(all).await?;
    let mut holders = HashSet::new();
    eventually(SOON, "they announce what they hold", async || {
        while let Some(Some(message)) = announced.next().now_or_never() {
            let said = Presence::read(&message.payload)?;
            let named = said.named.unpack(TILES).unwrap_or_default();
            if named.len() == TILES {
                holders.insert(said.session);
            }
        }
        Ok(holders.len() >= workers)
    })
    .await
}

/// Takeovers of a run, without those by a worker that came after its tiles: whether they were delivered
/// before nobody can tell it.
pub(super) async fn takeovers(stage: &Stage, run: &RunId) -> anyhow::Result<Vec<Reason>> {
    let ledger = Ledger::read(&stage.broker, run).await?;
    let mut all = Vec::new();
    for entry in &ledger.entries {
        if let Some(Record::Takeover(takeover)) = &entry.record
            && takeover.reason != Reason::Floor
        {
            all.extend(std::iter::repeat_n(takeover.reason, takeover.tiles.len()));
        }
    }
    Ok(all)
}

/// Waits until all that the first worker ran was taken over, and says how long after `since`.
async fn taken_over(
    stage: &Stage,
    run: &RunId,
    since: Instant,
    within: Duration,
) -> anyhow::Result<Duration> {
    let took = eventually_some(within, "its shards start elsewhere", async || {
        let all = takeovers(stage, run).await?.len();
        Ok((all >= TILES).then(|| since.elapsed()))
    })
    .await?;
    eprintln!("taken over after {took:?}");
    Ok(took)
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_of_a_killed_worker_start_elsewhere_long_before_the_ack_deadline()
-> anyhow::Result<()> {
    play(async |stage| {
        let stand = set(stage, Duration::from_secs(6)).await?;
        let killed = Instant::now();
        stage.workers[0].kill().await?;
        taken_over(stage, &stand.first, killed, Duration::from_secs(10)).await?;
        stand.ends(stage).await?;
        assert_eq!(
            takeovers(stage, &stand.first).await?,
            [Reason::Count; TILES]
        );
        eventually(SOON, "the dead worker is registered no more", async || {
            Ok(stage.broker.workers().keys().await?.len() == 1)
        })
        .await
    })
    .await
}

/// Workers of this kind run `sleeps` besides: another handler, another lane.
const SLEEPS: &str = "[worker.exec.sleeps]\nprogram = \"sleep\"\nargs = [\"6\"]\n";

#[tokio::test(flavor = "multi_thread")]
async fn shards_of_several_lanes_of_a_dead_worker_start_elsewhere_together() -> anyhow::Result<()> {
    play(async |stage| {
        let config = stage.dir().join("two-handlers.toml");
        std::fs::write(&config, SLEEPS)?;
        let config = config.to_string_lossy().into_owned();
        let args = [DEADLINE, &["--config", &config]].concat();
        stage.start_planner().await?;
        stage.start_worker(2 * TILES as u32, &args).await?;
        let noop = long_run(stage, "first", Duration::from_secs(6)).await?;
        let sleeps = format!(
            "name = \"sleeper\"\nhandler = \"exec\"\n[grid]\nslices = {TILES}\npages = {{ count = 1 }}\ntile = 1\n[exec]\ncommand = \"sleeps\""
        );
        let job = stage.apply(&sleeps).await?;
        let exec = stage.submit(&job, &json!({})).await?;
        running(stage, 2 * TILES as u64).await?;
        stage.start_worker(2 * TILES as u32, &args).await?;
        there(stage, 2).await?;
        let dead = Instant::now();
        stage.workers[0].kill().await?;
        for run in [&noop, &exec] {
            taken_over(stage, run, dead, Duration::from_secs(10)).await?;
        }
        for run in [&noop, &exec] {
            stage.closed(run, LONG).await?;
            stage.judge(run).await?.succeeded()?;
            assert_eq!(takeovers(stage, run).await?, [Reason::Count; TILES]);
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_of_a_frozen_worker_start_elsewhere_and_when_it_wakes_it_does_no_harm()
-> anyhow::Result<()> {
    play(async |stage| {
        let stand = set(stage, Duration::from_secs(9)).await?;
        let frozen = Instant::now();
        stage.workers[0].freeze()?;
        taken_over(stage, &stand.first, frozen, Duration::from_secs(15)).await?;
        stage.workers[0].thaw()?;
        stand.ends(stage).await?;
        // It is one of them again.
        let after = long_run(stage, "after", Duration::from_secs(3)).await?;
        let more = long_run(stage, "more", Duration::from_secs(3)).await?;
        let still_more = long_run(stage, "still-more", Duration::from_secs(3)).await?;
        running(stage, 3 * TILES as u64).await?;
        for run in [after, more, still_more] {
            stage.closed(&run, LONG).await?;
            stage.judge(&run).await?.succeeded()?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_worker_that_held_nothing_is_told_of_once() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        stage.start_worker(4, DEADLINE).await?;
        there(stage, 1).await?;
        stage.workers[0].freeze()?;
        eventually(SOON, "the leader says what it held", async || {
            Ok(said(stage, "a dead worker held nothing") > 0)
        })
        .await?;
        assert_eq!(said(stage, "a dead worker held nothing"), 1);
        assert_eq!(said(stage, "freed what a dead worker held"), 0);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_of_a_worker_told_to_stop_start_elsewhere_at_once() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let args = ["--ack-deadline", "30s", "--grace", "100ms"];
        stage.start_worker(4, &args).await?;
        let run = long_run(stage, "first", Duration::from_secs(4)).await?;
        running(stage, TILES as u64).await?;
        stage.start_worker(8, DEADLINE).await?;
        there(stage, 2).await?;
        let told = Instant::now();
        stage.workers[0].terminate()?;
        taken_over(stage, &run, told, Duration::from_secs(5)).await?;
        assert_eq!(stage.workers[0].wait(SOON).await?, 0);
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        assert_eq!(takeovers(stage, &run).await?.len(), TILES);
        assert!(
            !stage.planners[0].stderr().contains("a worker is dead"),
            "it had said goodbye"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_of_the_broker_condemns_nobody() -> anyhow::Result<()> {
    play(async |stage| {
        let stand = set(stage, Duration::from_secs(16)).await?;
        for _ in 0..2 {
            // One of them comes back later than the leader, which finds nobody in its place until then.
            stage.workers[0].freeze()?;
            stage.server.kill().await?;
            stage.server.restart().await?;
            let (least, most) = (Duration::from_millis(3_000), Duration::from_millis(4_000));
            tokio::time::sleep(stage.seed.between(least, most)).await;
            stage.workers[0].thaw()?;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        for run in [&stand.first, &stand.second] {
            stage.closed(run, LONG).await?;
            stage.judge(run).await?.succeeded()?;
            let reasons = takeovers(stage, run).await?;
            assert!(!reasons.contains(&Reason::Count), "{reasons:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn leader_that_was_frozen_condemns_nobody_when_it_wakes() -> anyhow::Result<()> {
    play(async |stage| {
        let stand = set(stage, Duration::from_secs(12)).await?;
        for frozen in [400, 1_500, 4_000] {
            stage.planners[0].freeze()?;
            tokio::time::sleep(Duration::from_millis(frozen)).await;
            stage.planners[0].thaw()?;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        stand.ends(stage).await?;
        assert_eq!(takeovers(stage, &stand.first).await?, []);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_dies_with_the_leader_is_found_by_the_next_one() -> anyhow::Result<()> {
    play(async |stage| {
        let stand = set(stage, Duration::from_secs(8)).await?;
        stage.start_planner().await?;
        eventually(SOON, "the standby is there", async || {
            Ok(stage.planners[1].stderr().contains("planner started"))
        })
        .await?;
        let killed = Instant::now();
        let (workers, planners) = (&mut stage.workers, &mut stage.planners);
        tokio::try_join!(workers[0].kill(), planners[0].kill())?;
        taken_over(stage, &stand.first, killed, Duration::from_secs(18)).await?;
        stand.ends(stage).await?;
        assert_eq!(takeovers(stage, &stand.first).await?.len(), TILES);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn tiles_that_the_queue_lost_and_a_worker_holds_are_not_published_again() -> anyhow::Result<()>
{
    play(async |stage| {
        let stand = set(stage, Duration::from_secs(8)).await?;
        let run = &stand.first;
        let subjects = stage.broker.subjects();
        let tiles = subjects.shards_of_run(&QueueName::new("default")?, run);
        let gone = stage.broker.purge(&subjects.shards(), &tiles, 0).await?;
        assert_eq!(gone, TILES as u64);
        // A death starts a refill at once.
        stage.workers[1].kill().await?;
        stage.closed(run, LONG).await?;
        let verdict = stage.judge(run).await?.succeeded()?;
        assert_eq!(verdict.refilled, 0);
        assert_eq!(takeovers(stage, run).await?, []);
        assert!(
            stage.planners[0].stderr().contains("a worker is dead"),
            "the death was not seen"
        );
        Ok(())
    })
    .await
}

/// Lines of the leader's log that contain `text`.
pub(super) fn said(stage: &Stage, text: &str) -> usize {
    stage.planners[0].stderr().matches(text).count()
}

/// How often a scenario is set anew in which the test was too slow to hit its moment.
pub(super) const TRIES: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn while_a_worker_does_not_answer_only_what_the_dead_one_had_named_is_handed_back()
-> anyhow::Result<()> {
    for _ in 0..TRIES {
        let mut hit = false;
        play(async |stage| {
            // A frozen worker's pulls would be given what is handed back.
            let stand = set_with(stage, Duration::from_secs(9), TILES).await?;
            stage.start_worker(8, DEADLINE).await?;
            there(stage, 3).await?;
            named(stage, 2).await?;
            let killed = Instant::now();
            stage.workers[1].freeze()?;
            stage.workers[0].kill().await?;
            taken_over(stage, &stand.first, killed, Duration::from_secs(15)).await?;
            stage.workers[1].thaw()?;
            // Silent for a second, it is dead too.
            hit = said(stage, "a worker is dead") == 1;
            if hit {
                stand.ends(stage).await?;
            }
            Ok(())
        })
        .await?;
        if hit {
            return Ok(());
        }
    }
    anyhow::bail!("the second worker was always taken for dead")
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_wakes_up_just_after_its_condemnation_loses_nothing() -> anyhow::Result<()> {
    for _ in 0..TRIES {
        let mut hit = false;
        play(async |stage| {
            let stand = set(stage, Duration::from_secs(9)).await?;
            stage.workers[0].freeze()?;
            eventually(SOON, "it is held to be dead", async || {
                Ok(said(stage, "a worker is dead") == 1)
            })
            .await?;
            stage.workers[0].thaw()?;
            eventually(SOON, "the leader is done with it", async || {
                let freed = said(stage, "freed what a dead worker held");
                Ok(freed + said(stage, "no more is freed for it") > 0)
            })
            .await?;
            hit = said(stage, "tiles=0 error=\"it lives\"") == 1;
            if hit {
                stand.ends(stage).await?;
                assert_eq!(takeovers(stage, &stand.first).await?, []);
            }
            Ok(())
        })
        .await?;
        if hit {
            return Ok(());
        }
    }
    anyhow::bail!("what it held was always handed back")
}

#[tokio::test(flavor = "multi_thread")]
async fn leader_tells_where_more_workers_wait_than_need_to_and_when_no_more_do()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let broadcast = stage.broker.subjects().broadcast();
        let mut heard = stage.broker.subscribe(broadcast).await?;
        let mut stops = Vec::new();
        for number in 0..=BELLS {
            let worker = Worker::builder()
                .nats(stage.server.url())
                .namespace(NAMESPACE)
                .ignore_signals()
                .name(format!("w{number}"))
                .handler("first", async |_: Shard| Ok(()))
                .handler("second", async |_: Shard| Ok(()))
                .build()?;
            stops.push((worker.stop_handle(), tokio::spawn(worker.run())));
        }
        let mut crowd = async |wanted: &[(&str, u32)]| {
            eventually(SOON, "the crowd is told", async || {
                let mut last = None;
                while let Some(Some(message)) = heard.next().now_or_never() {
                    last = Some(wire::decode::<Broadcast>(&message.payload)?);
                }
                let Some(Broadcast::Crowd { free, .. }) = last else {
                    return Ok(false);
                };
                let free: Vec<_> = free.iter().map(|(name, n)| (name.as_str(), *n)).collect();
                Ok(free == wanted)
            })
            .await
        };
        crowd(&[("first", BELLS + 1), ("second", BELLS + 1)]).await?;
        stops[0].0.stop();
        crowd(&[]).await?;
        for (stop, worker) in stops {
            stop.stop();
            worker.await??;
        }
        Ok(())
    })
    .await
}
