//! Append, then acknowledge: a tile stays on the queue as long as the ledger does not have its outcomes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gridloom_shared::id::Session;
use gridloom_shared::ledger::record::{Record, WorkRecord};
use gridloom_shared::ranges::Ranges;
use gridloom_tests::proxy::{Mode, Proxy};
use gridloom_tests::wait::eventually;
use gridloom_worker::{Failure, Shard};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::COUNTED;
use crate::leases::{OTHER, take_over};
use crate::stage::{Log, Running, SOON, Stage, job, tiles};

/// Lets the ledger take no more than `most` records; -1: any number.
async fn limit_ledger(stage: &Stage, most: i64) -> anyhow::Result<()> {
    let ledger = stage.broker.subjects().ledger();
    let client = stage.server.client().await?;
    let info = format!("$JS.API.STREAM.INFO.{ledger}");
    let info: Value = serde_json::from_slice(&client.request(info, "".into()).await?.payload)?;
    let mut config = info["config"].clone();
    config["max_msgs"] = json!(most);
    let update = format!("$JS.API.STREAM.UPDATE.{ledger}");
    let answer = client.request(update, config.to_string().into()).await?;
    let answer: Value = serde_json::from_slice(&answer.payload)?;
    anyhow::ensure!(answer["error"].is_null(), "{answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_while_the_ledger_takes_no_outcomes() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    stage.wave(vec![tiles(0, 3, 1)]).await?;
    let stored = stage.records().await?.len() as i64;
    limit_ledger(&stage, stored).await?;
    let log = Log::default();
    let noted = log.clone();
    let worker = stage.worker().handler("h", move |_: Shard| {
        noted.note("ran");
        std::future::ready(Ok(()))
    });
    let worker = worker.build()?;
    let (health, stop) = (worker.health(), worker.stop_handle());
    let running = tokio::spawn(worker.run());
    eventually(SOON, "the ledger refused the outcomes", async || {
        let ready = gridloom_shared::telemetry::Health::ready(&health);
        Ok(log.count("ran") == 3 && ready.is_err_and(|why| why.contains("ledger")))
    })
    .await?;
    assert_eq!(stage.queued().await?, 3);
    limit_ledger(&stage, -1).await?;
    let fold = stage.until_acknowledged().await?;
    stop.stop();
    running.await??;
    assert_eq!((fold.counts().done, log.count("ran")), (3, 3));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_lost_what_a_full_ledger_did_not_take_works_on_when_there_is_room()
-> anyhow::Result<()> {
    const DEADLINE: Duration = Duration::from_secs(2);
    /// Longer than what was given back is tried to be written.
    const GIVEN_UP: Duration = Duration::from_secs(4);
    let mut stage = Stage::open_on_file(job(1, COUNTED)?).await?;
    stage.wave(vec![tiles(0, 3, 1)]).await?;
    let stored = stage.records().await?.len() as i64;
    limit_ledger(&stage, stored).await?;
    let worker = stage.worker().ack_deadline(DEADLINE);
    let worker = worker.handler("h", |_: Shard| std::future::ready(Ok(())));
    let worker = worker.build()?;
    let (health, stop) = (worker.health(), worker.stop_handle());
    let running = tokio::spawn(worker.run());
    eventually(SOON, "the ledger refused the outcomes", async || {
        let ready = gridloom_shared::telemetry::Health::ready(&health);
        Ok(ready.is_err_and(|why| why.contains("make room")))
    })
    .await?;
    stage.server.kill().await?;
    tokio::time::sleep(DEADLINE).await;
    stage.server.restart().await?;
    tokio::time::sleep(GIVEN_UP).await;
    limit_ledger(&stage, -1).await?;
    let fold = stage.until_acknowledged().await?;
    stop.stop();
    running.await??;
    assert_eq!(fold.counts().done, 3);
    Ok(())
}

/// How many records of outcomes there are.
async fn outcomes(stage: &Stage) -> anyhow::Result<usize> {
    let records = stage.records().await?;
    let outcomes =
        |record: &&(_, _, Record)| matches!(record.2, Record::Work(WorkRecord::Outcomes { .. }));
    Ok(records.iter().filter(outcomes).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_whose_answer_was_lost_count_once_although_one_of_their_tiles_was_taken_over()
-> anyhow::Result<()> {
    const DELAY: Duration = Duration::from_secs(1);
    let mut stage = Stage::open(job(3, COUNTED)?).await?;
    let proxy = Proxy::start(stage.server.port()).await?;
    let log = Log::default();
    let noted = log.clone();
    let worker = stage.worker().nats(proxy.url());
    let worker = Running::start(worker.handler("h", move |_: Shard| {
        noted.note("ran");
        std::future::ready(Ok(()))
    }))?;
    let ran = async |times| {
        let what = format!("{times} have run");
        eventually(SOON, &what, async || Ok(log.count("ran") == times)).await
    };
    stage.wave(vec![tiles(0, 1, 1)]).await?;
    stage.until_acknowledged().await?;
    proxy.set(Mode::Delay(DELAY));
    stage.wave(vec![tiles(1, 1, 1)]).await?;
    ran(2).await?;
    // While the record of that one is on its way, the outcomes of these gather for the next.
    let issued = stage.wave(vec![tiles(2, 2, 1)]).await?;
    ran(4).await?;
    let stored = async |records| {
        let what = format!("{records} records of outcomes are stored");
        let count = async || Ok(outcomes(&stage).await? == records);
        eventually(SOON, &what, count).await
    };
    stored(2).await?;
    // Its answer is in the proxy's hands by then, that of the next is not.
    tokio::time::sleep(DELAY / 2).await;
    proxy.set(Mode::HalfOpen);
    stored(3).await?;
    assert_eq!(stage.fold().await?.counts().done, 4, "not in one record");
    take_over(&stage, OTHER, issued[1].place()).await?;
    proxy.set(Mode::Pass);
    eventually(SOON, "what is held is acknowledged", async || {
        Ok(stage.queued().await? == 1)
    })
    .await?;
    let fold = stage.fold().await?;
    assert_eq!((fold.counts().done, fold.counts().late), (4, 0));
    worker.stop().await?;
    Ok(())
}

/// The numbers of the run's records, by author: what each reader of its ledger keeps.
async fn numbers(stage: &Stage) -> anyhow::Result<HashMap<Session, Ranges>> {
    let mut seen: HashMap<Session, Ranges> = HashMap::new();
    for (_, _, record) in stage.records().await? {
        let (session, number) = match &record {
            Record::Work(work) => work.signature(),
            Record::Takeover(takeover) => (takeover.session, takeover.number),
            Record::Plan(_) => continue,
        };
        seen.entry(session).or_default().insert(number..number + 1);
    }
    Ok(seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_two_runs_in_turn_are_numbered_run_by_run() -> anyhow::Result<()> {
    const TURNS: u32 = 10;
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    stage.wave(vec![tiles(0, TURNS, 1)]).await?;
    let first = stage.run.clone();
    stage.open_run(job(1, COUNTED)?, 8).await?;
    stage.wave(vec![tiles(0, TURNS, 1)]).await?;
    let runs = [first, stage.run.clone()];
    let gates = Arc::new(runs.clone().map(|run| (run, Semaphore::new(0))));
    let waits = Arc::clone(&gates);
    let worker = stage.worker().concurrency(2 * TURNS);
    let worker = Running::start(worker.handler("h", move |shard: Shard| {
        let gates = Arc::clone(&waits);
        async move {
            let gate = gates.iter().find(|(run, _)| run == shard.run());
            let (_, gate) = gate.ok_or_else(|| Failure::permanent("another run"))?;
            let turn = gate.acquire().await.map_err(Failure::retry)?;
            turn.forget();
            Ok::<_, Failure>(())
        }
    }))?;
    for turn in 1..=u64::from(TURNS) {
        for (run, gate) in gates.iter() {
            gate.add_permits(1);
            stage.run = run.clone();
            eventually(SOON, "it is recorded", async || {
                Ok(stage.fold().await?.counts().done == turn)
            })
            .await?;
        }
    }
    for run in runs {
        stage.run = run;
        let numbers = numbers(&stage).await?;
        let ranges: Vec<_> = numbers.values().flat_map(Ranges::iter).collect();
        assert_eq!((numbers.len(), ranges.len()), (1, 1), "{ranges:?}");
    }
    stage.until_acknowledged().await?;
    worker.stop().await
}
