//! What a takeover asks of the broker. Asked for a run, the broker looks through all that stands between, and writes
//! nothing meanwhile: when all tiles of an outage are taken over at once, it does nothing else, and more are lost.

use std::time::Duration;

use gridloom_shared::id::RunId;
use gridloom_shared::ledger::record::Author;
use gridloom_tests::questions::{Questions, is_broad};
use gridloom_worker::Shard;

use crate::COUNTED;
use crate::leases::die_after_one_page;
use crate::stage::{Log, Running, Stage, job, tiles};

#[tokio::test(flavor = "multi_thread")]
async fn takeover_asks_for_nothing_but_subjects_of_its_run() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(1, COUNTED)?).await?;
    stage.wave(vec![tiles(0, 1, 4)]).await?;
    die_after_one_page(&stage, Duration::from_secs(1)).await?;
    let subjects = stage.broker.subjects();
    for number in 0..200 {
        let other = RunId::new(format!("job_s_9{number}"))?;
        let subject = subjects.ledger_of(&stage.queue, &other, Author::Work);
        stage.broker.append(subject, "x".into(), None).await?;
    }
    let mut questions = Questions::listen(&stage.broker).await?;
    let log = Log::default();
    let noted = log.clone();
    let worker = Running::start(stage.worker().handler("h", move |shard: Shard| {
        noted.note(shard.page().number.to_string());
        std::future::ready(Ok(()))
    }))?;
    log.until("3").await?;
    let asked = questions.so_far().await?;
    let fold = stage.until_acknowledged().await?;
    worker.stop().await?;
    assert_eq!(log.all(), ["1", "2", "3"]);
    assert_eq!((fold.counts().done, fold.counts().late), (4, 0));
    assert!(!asked.iter().any(is_broad), "{asked:?}");
    let ends = asked.iter().filter(|asked| !asked["multi_last"].is_null());
    assert_eq!(ends.count(), 1, "{asked:?}");
    // The run's first record, what both end with, and both.
    assert!(asked.len() <= 4, "{asked:?}");
    Ok(())
}
