//! Handlers that do not end: they block their thread, and hear of no time limit and no lost lease.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use gridloom_shared::presence::Presence;
use gridloom_shared::telemetry::Health;
use gridloom_shared::wire;
use gridloom_tests::wait::eventually;
use gridloom_worker::{Builder, Failure, RunError, Shard, Stop, WorkerHealth};
use tokio::task::JoinHandle;

use crate::COUNTED;
use crate::leases::{OTHER, take_over};
use crate::stage::{Log, SOON, Stage, job, tiles};

const LIMIT_MS: u64 = 200;

/// What threads are blocked by until it is opened; at last by itself, for a test that failed.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn wait(&self) {
        let (open, opened) = &*self.0;
        let open = open.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = opened.wait_timeout_while(open, SOON * 2, |open| !*open);
    }

    fn open(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }
}

/// A worker, and what it says of itself.
struct Watched {
    health: WorkerHealth,
    stop: Stop,
    task: JoinHandle<Result<(), RunError>>,
}

impl Watched {
    fn start(builder: Builder) -> anyhow::Result<Watched> {
        let worker = builder.build()?;
        Ok(Watched {
            health: worker.health(),
            stop: worker.stop_handle(),
            task: tokio::spawn(worker.run()),
        })
    }

    async fn until_ready(&self) -> anyhow::Result<()> {
        eventually(SOON, "it is ready", async || {
            Ok(self.health.ready().is_ok())
        })
        .await
    }

    async fn until_no_slot_is_left(&self) -> anyhow::Result<()> {
        eventually(SOON, "no slot is left", async || {
            let ready = self.health.ready();
            Ok(ready.is_err_and(|why| why.contains("no slot is left")))
        })
        .await
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.stop.stop();
        Ok(self.task.await??)
    }
}

/// Waits until a worker says that it has so many slots.
async fn announced(stage: &Stage, capacity: u32) -> anyhow::Result<()> {
    let mut presence = stage
        .broker
        .subscribe(stage.broker.subjects().all_presence())
        .await?;
    let heard = async {
        while let Some(message) = presence.next().await {
            if wire::decode::<Presence>(&message.payload)?.capacity == capacity {
                break;
            }
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(SOON, heard).await?
}

/// Notes each page; blocks its thread at page `at` of slice 0.
fn blocking(
    log: &Log,
    gate: &Gate,
    at: u32,
) -> impl Fn(Shard) -> std::future::Ready<Result<(), Failure>> + Send + Sync + 'static {
    let (log, gate) = (log.clone(), gate.clone());
    move |shard: Shard| {
        log.note(format!("{}/{}", shard.slice(), shard.page().number));
        if (shard.slice(), shard.page().number) == (0, at) {
            gate.wait();
        }
        std::future::ready(Ok(()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn attempt_that_blocks_its_thread_fails_in_time_and_the_rest_of_its_tile_goes_on()
-> anyhow::Result<()> {
    let mut limited = job(1, COUNTED)?;
    limited.limits.timeout_ms = Some(LIMIT_MS);
    let mut stage = Stage::open(limited).await?;
    stage.wave(vec![tiles(0, 1, 4)]).await?;
    let (log, gate) = (Log::default(), Gate::default());
    let handler = blocking(&log, &gate, 1);
    let worker = Watched::start(stage.worker().concurrency(2).handler("h", handler))?;
    let fold = stage.until_acknowledged().await?;
    assert_eq!((fold.counts().done, fold.counts().late), (3, 0));
    let mut ran = log.all();
    ran.sort();
    assert_eq!(ran, ["0/0", "0/1", "0/2", "0/3"]);
    announced(&stage, 1).await?;
    assert_eq!(worker.health.ready(), Ok(()));
    gate.open();
    announced(&stage, 2).await?;
    worker.stop().await?;
    assert_eq!(stage.fold().await?.counts().done, 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn worker_whose_every_slot_is_lost_is_not_ready_until_one_is_back() -> anyhow::Result<()> {
    let mut limited = job(2, COUNTED)?;
    limited.limits.timeout_ms = Some(LIMIT_MS);
    let mut stage = Stage::open(limited).await?;
    stage.wave(vec![tiles(0, 1, 1)]).await?;
    let (log, gate) = (Log::default(), Gate::default());
    let handler = blocking(&log, &gate, 0);
    let worker = Watched::start(stage.worker().concurrency(1).handler("h", handler))?;
    worker.until_no_slot_is_left().await?;
    stage.until_acknowledged().await?;
    stage.wave(vec![tiles(1, 1, 1)]).await?;
    announced(&stage, 0).await?;
    assert_eq!(log.count("1/0"), 0);
    gate.open();
    worker.until_ready().await?;
    let fold = stage.until_acknowledged().await?;
    assert_eq!(fold.counts().done, 1);
    worker.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn handler_that_ignores_a_lost_lease_loses_its_slot_and_its_tile_goes_elsewhere()
-> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    let issued = stage.wave(vec![tiles(0, 1, 1)]).await?;
    let (log, gate) = (Log::default(), Gate::default());
    let builder = stage.worker().ack_deadline(Duration::from_secs(1));
    let handler = blocking(&log, &gate, 0);
    let worker = Watched::start(builder.concurrency(1).handler("h", handler))?;
    log.until("0/0").await?;
    take_over(&stage, OTHER, issued[0].place()).await?;
    worker.until_no_slot_is_left().await?;
    let other = Watched::start(stage.worker().name("other").handler("h", async |_| Ok(())))?;
    let fold = stage.until_acknowledged().await?;
    assert_eq!(fold.counts().done, 1);
    gate.open();
    worker.until_ready().await?;
    worker.stop().await?;
    other.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tile_that_comes_back_to_a_handler_that_does_not_end_is_handed_on() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    let issued = stage.wave(vec![tiles(0, 1, 1)]).await?;
    let (log, gate) = (Log::default(), Gate::default());
    let builder = stage.worker().ack_deadline(Duration::from_secs(1));
    let handler = blocking(&log, &gate, 0);
    let worker = Watched::start(builder.concurrency(2).handler("h", handler))?;
    log.until("0/0").await?;
    take_over(&stage, OTHER, issued[0].place()).await?;
    // Once for the lost lease, and again for each time that it came back.
    eventually(SOON, "it is handed on", async || {
        Ok(stage.returned().await? >= 2)
    })
    .await?;
    assert_eq!(log.count("0/0"), 1);
    let other = Watched::start(stage.worker().name("other").handler("h", async |_| Ok(())))?;
    let fold = stage.until_acknowledged().await?;
    assert_eq!(fold.counts().done, 1);
    gate.open();
    worker.stop().await?;
    other.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tiles_behind_a_quick_handler_that_blocks_are_run_all_the_same() -> anyhow::Result<()> {
    let mut limited = job(2, COUNTED)?;
    limited.limits.timeout_ms = Some(LIMIT_MS);
    let mut stage = Stage::open(limited).await?;
    stage.wave(vec![tiles(1, 200, 1)]).await?;
    let (log, gate) = (Log::default(), Gate::default());
    let handler = blocking(&log, &gate, 0);
    let worker = Watched::start(stage.worker().concurrency(8).handler("h", handler))?;
    stage.until_acknowledged().await?;
    stage.wave(vec![tiles(0, 100, 1)]).await?;
    let fold = stage.until_acknowledged().await?;
    assert_eq!(fold.counts().done, 299);
    assert_eq!(worker.health.ready(), Ok(()));
    gate.open();
    worker.stop().await
}
