//! Two workers die, or seem to, at once, and what the one held comes to a third while the other is waited for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use gridloom_shared::holdings::Question;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::record::Reason;
use gridloom_shared::presence::Presence;
use gridloom_shared::wire;
use gridloom_tests::scenario::{NAMESPACE, Stage, play};
use gridloom_tests::wait::{eventually, eventually_some};
use gridloom_worker::{Failure, RunError, Shard, Stop, Worker};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::failover::{
    DEADLINE, LONG, SOON, TILES, TRIES, long_run, named, running, said, takeovers, there,
};

/// Longer than answers are of one moment.
const LATER: Duration = Duration::from_millis(250);
/// They run until all four workers have work, however slow the machine is.
const SHARD: Duration = Duration::from_secs(25);

/// A worker of the test's own: its shards of the first run end when `held` opens, all others when `own` does.
struct Gated {
    own: Arc<Semaphore>,
    /// Shards of the first run that it began.
    began: Arc<Mutex<usize>>,
    stop: Stop,
    task: JoinHandle<Result<(), RunError>>,
}

impl Gated {
    fn start(stage: &Stage, name: &str, held: &Arc<Semaphore>) -> anyhow::Result<Gated> {
        let (own, began) = (Arc::new(Semaphore::new(0)), Arc::<Mutex<usize>>::default());
        let (gate, count, held) = (Arc::clone(&own), Arc::clone(&began), Arc::clone(held));
        let worker = Worker::builder()
            .nats(stage.server.url())
            .namespace(NAMESPACE)
            .ignore_signals()
            .name(name)
            .concurrency(TILES as u32)
            .ack_deadline(Duration::from_secs(30))
            .handler("noop", move |shard: Shard| {
                let of_first = shard.job().as_str() == "first";
                *count.lock().unwrap_or_else(PoisonError::into_inner) += usize::from(of_first);
                let gate = Arc::clone(if of_first { &held } else { &gate });
                async move {
                    gate.acquire().await.map_err(Failure::retry)?.forget();
                    Ok(())
                }
            })
            .build()?;
        Ok(Gated {
            own,
            began,
            stop: worker.stop_handle(),
            task: tokio::spawn(worker.run()),
        })
    }

    fn began(&self) -> usize {
        *self.began.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.stop.stop();
        self.task.await??;
        Ok(())
    }
}

/// The first announcement of the worker of that name of which `holds` is so.
async fn announced(
    stage: &Stage,
    name: &str,
    holds: impl Fn(&Presence) -> bool,
) -> anyhow::Result<Presence> {
    let all = stage.broker.subjects().all_presence();
    let mut announced = stage.broker.subscribe(all).await?;
    eventually_some(SOON, "it announces what it holds", async || {
        let message = announced.next().await.context("no more is heard")?;
        let said = Presence::read(&message.payload)?;
        Ok(Some(said).filter(|said| said.worker.as_str() == name && holds(said)))
    })
    .await
}

/// Plays it. Whether the frozen worker was not taken for dead, and the first run was under way.
async fn play_late(stage: &mut Stage) -> anyhow::Result<bool> {
    let held = Arc::new(Semaphore::new(0));
    stage.start_planner().await?;
    stage.start_worker(TILES as u32, DEADLINE).await?;
    let first = long_run(stage, "first", SHARD).await?;
    running(stage, TILES as u64).await?;
    stage.start_worker(TILES as u32, DEADLINE).await?;
    there(stage, 2).await?;
    let second = long_run(stage, "second", SHARD).await?;
    running(stage, 2 * TILES as u64).await?;
    let left = Gated::start(stage, "left", &held)?;
    there(stage, 3).await?;
    let of_left = long_run(stage, "of-left", SHARD).await?;
    running(stage, 3 * TILES as u64).await?;
    let right = Gated::start(stage, "right", &held)?;
    there(stage, 4).await?;
    let of_right = long_run(stage, "of-right", SHARD).await?;
    running(stage, 4 * TILES as u64).await?;
    named(stage, 4).await?;
    let session = announced(stage, "left", |_| true).await?.session;
    let subject = stage.broker.subjects().holdings(session);
    let mut questions = stage.broker.subscribe(subject).await?;
    stage.workers[1].freeze()?;
    stage.workers[0].kill().await?;
    // The second comes after what the dead one had named was handed back. Nobody has a slot for it yet.
    let mut asked = 0;
    while asked < 2 {
        let question = tokio::time::timeout(SOON, questions.next()).await?;
        let question = wire::decode(&question.context("no more is heard")?.payload)?;
        asked += usize::from(matches!(question, Question::Queue(_)));
    }
    // It has answered: now it gets that.
    left.own.add_permits(TILES);
    let start = async || Ok(left.began() == TILES);
    if let Err(error) = eventually(SOON, "they start there", start).await {
        // Nothing was left of it for others where the machine was slower than its shards.
        anyhow::ensure!(stage.is_closed(&first).await?, error);
        return Ok(false);
    }
    tokio::time::sleep(LATER).await;
    stage.workers[1].thaw()?;
    eventually(SOON, "the leader is done with the dead one", async || {
        Ok(said(stage, "freed what a dead worker held") > 0)
    })
    .await?;
    let hit = said(stage, "a worker is dead") == 1;
    // Whatever was taken away would come here.
    right.own.add_permits(TILES);
    stage.closed(&of_right, LONG).await?;
    announced(stage, "right", |said| {
        said.in_flight == 0 || right.began() > 0
    })
    .await?;
    held.add_permits(2 * TILES);
    for run in [&first, &second, &of_left, &of_right] {
        stage.closed(run, LONG).await?;
        stage.judge(run).await?.succeeded()?;
    }
    if hit {
        lost_nothing(stage, &first, &right).await?;
    }
    left.stop().await?;
    right.stop().await?;
    Ok(hit)
}

async fn lost_nothing(stage: &Stage, first: &RunId, right: &Gated) -> anyhow::Result<()> {
    assert_eq!(takeovers(stage, first).await?, [Reason::Count; TILES]);
    assert_eq!(right.began(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tile_that_came_to_a_worker_after_it_had_answered_is_not_taken_from_it()
-> anyhow::Result<()> {
    for _ in 0..TRIES {
        let mut hit = false;
        play(async |stage| {
            hit = play_late(stage).await?;
            Ok(())
        })
        .await?;
        if hit {
            return Ok(());
        }
    }
    anyhow::bail!("the frozen worker was always taken for dead, or the first run was over")
}
