//! Lanes: nobody is handed, nor holds up, what it cannot run, and slots follow the work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use futures_util::FutureExt;
use gridloom_shared::broker::topology::Standing;
use gridloom_shared::command::Broadcast;
use gridloom_shared::id::HandlerName;
use gridloom_shared::job::JobSpec;
use gridloom_shared::lane::Lane;
use gridloom_shared::ledger::record::{Author, Record, WorkRecord};
use gridloom_shared::limits::BELLS;
use gridloom_worker::Builder;
use tokio::sync::Barrier;

use super::stage::{Log, pause};
use super::*;

/// Takeovers that stand in the ledger, and tiles that were handed back, of all runs.
async fn moved(stage: &Stage) -> anyhow::Result<(usize, usize)> {
    let subjects = stage.broker.subjects();
    let (mut takeovers, mut returned) = (0, 0);
    for author in [Author::Work, Author::Takeover] {
        let of_all = subjects.ledgers_by(author);
        for record in stage
            .broker
            .read(&subjects.ledger(), of_all, 1, None)
            .await?
        {
            match Record::decode(author, &record.payload)? {
                Record::Work(WorkRecord::Returned { tiles, .. }) => returned += tiles.len(),
                Record::Takeover(_) => takeovers += 1,
                Record::Work(_) | Record::Plan(_) => {}
            }
        }
    }
    Ok((takeovers, returned))
}

fn job_for(handler: &str) -> anyhow::Result<JobSpec> {
    Ok(JobSpec {
        handler: HandlerName::new(handler)?,
        ..job(1, COUNTED)?
    })
}

async fn standing(stage: &Stage, handler: &str) -> anyhow::Result<Option<Standing>> {
    let lane = Lane::new(stage.queue.clone(), HandlerName::new(handler)?);
    let lanes = stage.broker.lanes().await?;
    Ok(lanes.get(&lane).map(|found| found.standing))
}

/// Somebody waits for a tile of each of these handlers.
async fn awaited(stage: &Stage, handlers: &[String]) -> anyhow::Result<()> {
    eventually(SOON, "all lanes are waited on", async || {
        let lanes = stage.broker.lanes().await?;
        let waited = lanes.iter().filter(|(_, found)| found.standing.waiting > 0);
        let waited: Vec<_> = waited.map(|(lane, _)| lane.handler.as_str()).collect();
        Ok(handlers.iter().all(|name| waited.contains(&name.as_str())))
    })
    .await
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("h{n}")).collect()
}

/// A worker of these handlers, which note their names and then take some time.
fn noting(builder: Builder, handlers: &[String], log: &Log, ms: u64) -> Builder {
    handlers.iter().fold(builder, |builder, name| {
        let (log, noted) = (log.clone(), name.clone());
        builder.handler(name.clone(), move |_: Shard| {
            log.note(noted.clone());
            pause(ms)
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_without_the_handler_is_given_nothing_and_costs_nothing() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    let builder = || stage.worker().concurrency(4);
    let lacking = Running::start(builder().handler("other", async |_: Shard| Ok(())))?;
    let having = Running::start(builder().handler("h", async |_: Shard| pause(20).await))?;
    awaited(&stage, &["h".into(), "other".into()]).await?;
    stage.wave(vec![tiles(0, 400, 1)]).await?;
    let fold = stage.until_acknowledged().await?;
    assert_eq!((fold.counts().done, fold.counts().late), (400, 0));
    assert_eq!(moved(&stage).await?, (0, 0));
    let other = standing(&stage, "other").await?.map(|state| state.delivery);
    assert_eq!(other, Some(0));
    lacking.stop().await?;
    having.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn ledger_does_not_grow_while_nobody_has_the_handler() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    let lacking = Running::start(
        stage
            .worker()
            .handler("other", async |_: Shard| Ok(()))
            .ack_deadline(Duration::from_millis(500)),
    )?;
    awaited(&stage, &["other".into()]).await?;
    stage.wave(vec![tiles(0, 4, 1)]).await?;
    let before = stage.records().await?.len();
    // Its pulls come to their end, and others follow: those would bring what waits.
    let pulled = standing(&stage, "other").await?.map(|state| state.pending);
    assert_eq!(pulled, Some(0));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let state = standing(&stage, "h").await?.unwrap_or_default();
    assert_eq!((state.pending, state.delivery), (4, 0));
    assert_eq!(stage.records().await?.len(), before);
    let having = Running::start(stage.worker().handler("h", async |_: Shard| Ok(())))?;
    stage.until_acknowledged().await?;
    assert_eq!(moved(&stage).await?, (0, 0));
    lacking.stop().await?;
    having.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_slot_of_fifty_handlers_starts_a_tile_of_any_at_once() -> anyhow::Result<()> {
    let (handlers, log) = (names(50), Log::default());
    let mut stage = Stage::open(job_for("h0")?).await?;
    let builder = stage.worker().concurrency(1);
    let worker = Running::start(noting(builder, &handlers, &log, 1))?;
    for (n, name) in ["h31", "h7", "h0", "h49", "h7"].into_iter().enumerate() {
        awaited(&stage, &handlers).await?;
        stage.open_run(job_for(name)?, 20 + n as u64).await?;
        let begun = Instant::now();
        stage.wave(vec![tiles(0, 1, 1)]).await?;
        eventually(SOON, name, async || Ok(log.all().len() == n + 1)).await?;
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(1), "{name} after {took:?}");
        assert_eq!(log.all().last().map(String::as_str), Some(name));
        stage.until_acknowledged().await?;
    }
    assert_eq!(moved(&stage).await?, (0, 0));
    worker.stop().await
}

/// Tells all workers of the queue each moment that so many have a slot free, until the guard goes.
fn crowd(stage: &Stage, handlers: &[String], free: u32) -> anyhow::Result<Crowd> {
    let (broker, queue) = (stage.broker.clone(), stage.queue.clone());
    let counted = |name: &String| anyhow::Ok((HandlerName::new(name)?, free));
    let free = handlers
        .iter()
        .map(counted)
        .collect::<anyhow::Result<_>>()?;
    let told = wire::encode(&Broadcast::Crowd { queue, free });
    Ok(Crowd(tokio::spawn(async move {
        loop {
            let _ = broker
                .publish(broker.subjects().broadcast(), told.clone())
                .await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    })))
}

struct Crowd(tokio::task::JoinHandle<()>);

impl Drop for Crowd {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How many pulls wait on all lanes together.
async fn waiting(stage: &Stage) -> anyhow::Result<usize> {
    let lanes = stage.broker.lanes().await?;
    let waiting = lanes.values().map(|found| found.standing.waiting as usize);
    Ok(waiting.sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_many_workers_are_free_a_few_wait_and_come_when_somebody_rings() -> anyhow::Result<()>
{
    let (handlers, log) = (names(20), Log::default());
    let mut stage = Stage::open(job_for("h7")?).await?;
    let builder = stage.worker().concurrency(4);
    let worker = Running::start(noting(builder, &handlers, &log, 1))?;
    awaited(&stage, &handlers).await?;
    // However many are counted, one of 64 is drawn.
    let crowd = crowd(&stage, &handlers, u32::MAX)?;
    eventually(SOON, "its pulls have ended", async || {
        Ok(waiting(&stage).await? <= handlers.len() / 4)
    })
    .await?;
    stage.wave(vec![tiles(0, 1, 1)]).await?;
    let lane = Lane::new(stage.queue.clone(), HandlerName::new("h7")?);
    let subjects = stage.broker.subjects();
    stage
        .broker
        .publish(subjects.bell(&lane), Default::default())
        .await?;
    stage.until_acknowledged().await?;
    assert_eq!(log.all(), ["h7"]);
    drop(crowd);
    awaited(&stage, &handlers).await?;
    worker.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_rings_for_what_its_own_slots_do_not_take() -> anyhow::Result<()> {
    let (handlers, log) = (names(2), Log::default());
    let mut stage = Stage::open(job_for("h0")?).await?;
    let mut bells = stage
        .broker
        .subscribe(stage.broker.subjects().bells_of_queue(&stage.queue))
        .await?;
    let builder = stage.worker().concurrency(1);
    let worker = Running::start(noting(builder, &handlers, &log, 1))?;
    awaited(&stage, &handlers).await?;
    // As many as need to wait: then each has a bell of its own.
    let few = crowd(&stage, &handlers, BELLS)?;
    stage.wave(vec![tiles(0, 40, 1)]).await?;
    stage.until_acknowledged().await?;
    drop(few);
    assert!(bells.next().now_or_never().is_none(), "nobody is quiet");
    let _many = crowd(&stage, &handlers, BELLS + 1)?;
    eventually(SOON, "it rings", async || {
        stage
            .open_run(job_for("h0")?, 31 + log.all().len() as u64)
            .await?;
        stage.wave(vec![tiles(0, 40, 1)]).await?;
        stage.until_acknowledged().await?;
        Ok(bells.next().now_or_never().is_some())
    })
    .await?;
    worker.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_busy_lane_of_four_runs_on_all_slots() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    let all = Arc::new(Barrier::new(4));
    let (log, idle) = (Log::default(), names(3));
    let worker =
        noting(stage.worker().concurrency(4), &idle, &log, 1).handler("h", move |_: Shard| {
            let all = Arc::clone(&all);
            async move {
                // Returns when four of them run.
                all.wait().await;
                Ok(())
            }
        });
    let worker = Running::start(worker)?;
    awaited(&stage, &["h".into()]).await?;
    stage.wave(vec![tiles(0, 40, 1)]).await?;
    let fold = stage.until_acknowledged().await?;
    assert_eq!(fold.counts().done, 40);
    assert_eq!(moved(&stage).await?, (0, 0));
    worker.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn lane_that_wakes_up_beside_a_full_one_is_served_before_that_ends() -> anyhow::Result<()> {
    let (handlers, log) = (names(3), Log::default());
    let mut stage = Stage::open(job_for("h0")?).await?;
    let builder = stage.worker().concurrency(1);
    let worker = Running::start(noting(builder, &handlers, &log, 10))?;
    awaited(&stage, &handlers).await?;
    stage.wave(vec![tiles(0, 300, 1)]).await?;
    log.until("h0").await?;
    // Those bells that were there already have ended by then: it has to be looked at.
    eventually(SOON, "no bell waits", async || {
        let state = standing(&stage, "h1").await?.unwrap_or_default();
        Ok(state.waiting == 0 || log.count("h0") > 150)
    })
    .await?;
    stage.open_run(job_for("h1")?, 20).await?;
    stage.wave(vec![tiles(0, 20, 1)]).await?;
    stage.until_acknowledged().await?;
    let order = log.all();
    let first = order.iter().position(|name| name == "h1");
    let last = order.iter().rposition(|name| name == "h1");
    assert!(last.is_some_and(|last| last < 310), "{first:?} {last:?}");
    worker.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn first_tiles_of_more_lanes_than_slots_never_run_beyond_them_and_end_well()
-> anyhow::Result<()> {
    let (running, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let handlers = names(6);
    let mut stage = Stage::open(job_for("h0")?).await?;
    let builder =
        handlers
            .iter()
            .enumerate()
            .fold(stage.worker().concurrency(2), |builder, (n, name)| {
                let (running, most) = (Arc::clone(&running), Arc::clone(&most));
                builder.handler(name.clone(), move |_: Shard| {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    let running = Arc::clone(&running);
                    async move {
                        // Some longer than a tile waits for a slot.
                        pause(if n % 2 == 0 { 400 } else { 5 }).await?;
                        running.fetch_sub(1, Ordering::SeqCst);
                        Ok(())
                    }
                })
            });
    let worker = Running::start(builder)?;
    awaited(&stage, &handlers).await?;
    for (n, name) in handlers.iter().enumerate() {
        stage.open_run(job_for(name)?, 20 + n as u64).await?;
        stage.wave(vec![tiles(0, 3, 1)]).await?;
    }
    let fold = stage.until_acknowledged().await?;
    assert_eq!((fold.counts().done, fold.counts().late), (3, 0));
    assert_eq!(most.load(Ordering::SeqCst), 2);
    worker.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn tile_on_the_lane_of_another_handler_is_recorded_and_removed() -> anyhow::Result<()> {
    let (handlers, log) = (vec!["h".to_owned(), "other".to_owned()], Log::default());
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    let worker = Running::start(noting(stage.worker(), &handlers, &log, 1))?;
    awaited(&stage, &handlers).await?;
    let right = stage.lane.clone();
    stage.lane.handler = HandlerName::new("other")?;
    stage.wave(vec![tiles(0, 1, 1)]).await?;
    eventually(SOON, "it left the queue", async || {
        Ok(stage.queued().await? == 0)
    })
    .await?;
    let history = stage.broker.subjects().history();
    let unreadable = stage.broker.subjects().unreadable();
    let recorded = stage.broker.read(&history, unreadable, 1, None).await?;
    assert_eq!((recorded.len(), log.all().len()), (1, 0));
    stage.lane = right;
    stage.wave(vec![tiles(0, 2, 1)]).await?;
    log.until("h").await?;
    worker.stop().await
}
