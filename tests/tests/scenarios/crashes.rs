//! Shards that kill the worker which executes them (docs/PROTOCOL.md §5).

use std::time::Duration;

use gridloom_shared::id::RunId;
use gridloom_shared::ledger::record::Record;
use gridloom_tests::oracle::ledger::Ledger;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;
use serde_json::json;

const LONG: Duration = Duration::from_secs(120);

const SOON: Duration = Duration::from_secs(30);

/// A worker whose `exec` command `c` kills it when page 2 of slice 1 is executed, until a file `cure`
/// exists.
async fn start_mortal_worker(stage: &mut Stage) -> anyhow::Result<usize> {
    let pid = stage.dir().join("pid");
    let script = stage.dir().join("poison.sh");
    let log = stage.dir().join("executed");
    std::fs::write(
        &script,
        format!(
            "echo $GRIDLOOM_SLICE/$GRIDLOOM_PAGE >> {log}\n\
             if [ $GRIDLOOM_SLICE = 1 ] && [ $GRIDLOOM_PAGE = 2 ] && [ ! -e {cure} ]; then kill -9 $(cat {pid}); sleep 5; fi\n\
             sleep 0.1\n",
            log = log.display(),
            pid = pid.display(),
            cure = stage.dir().join("cure").display(),
        ),
    )?;
    let config = stage.dir().join("worker.toml");
    std::fs::write(
        &config,
        format!(
            "[worker.exec.c]\nprogram = \"sh\"\nargs = [\"{}\"]\n",
            script.display()
        ),
    )?;
    std::fs::write(&pid, "")?;
    let config = config.to_string_lossy().into_owned();
    let worker = stage.start_worker(4, &["--config", &config]).await?;
    std::fs::write(
        &pid,
        stage.workers[worker].pid().as_raw_nonzero().to_string(),
    )?;
    Ok(worker)
}

/// Starts a run with one shard that kills its worker, and further workers until it is over. Returns how
/// many died.
async fn poisoned(stage: &mut Stage) -> anyhow::Result<(RunId, usize)> {
    stage.start_planner().await?;
    let job = stage
        .apply("name = \"poison\"\nhandler = \"exec\"\n[exec]\ncommand = \"c\"\n[grid]\nslices = 4\npages = { count = 6 }\ntile = 3")
        .await?;
    let run = stage.submit(&job, &json!({})).await?;
    for deaths in 0..=8 {
        let worker = start_mortal_worker(stage).await?;
        eventually(LONG, "the worker dies or the run ends", async || {
            Ok(!stage.workers[worker].is_running()? || stage.is_closed(&run).await?)
        })
        .await?;
        if stage.is_closed(&run).await? {
            return Ok((run, deaths));
        }
    }
    anyhow::bail!("nine workers died and the run goes on")
}

/// The attempts of the shard that kills, in the order of their waves.
async fn attempts(stage: &Stage, run: &RunId) -> anyhow::Result<Vec<u32>> {
    let ledger = Ledger::read(&stage.broker, run).await?;
    let waves = ledger
        .entries
        .iter()
        .filter_map(|entry| match &entry.record {
            Some(Record::Plan(plan)) => Some(plan.wave(entry.seq)?.into_owned().tiles),
            _ => None,
        });
    let of_shard = waves.flatten().filter(|tiles| {
        let pages = tiles.first..tiles.first + tiles.tiles * tiles.pages;
        tiles.slice == 1 && pages.contains(&2)
    });
    Ok(of_shard.map(|tiles| tiles.attempt).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn shard_that_keeps_killing_its_worker_ends_dead_and_its_neighbours_do_not()
-> anyhow::Result<()> {
    play(async |stage| {
        let (run, deaths) = poisoned(stage).await?;
        let verdict = stage.judge(&run).await?;
        assert!(verdict.audit.ok, "{:?}", verdict.audit);
        let shards = &verdict.summary.shards;
        assert_eq!((shards.done, shards.dead), (23, 1), "{:?}", verdict.summary);
        let error = verdict.summary.error.clone().unwrap_or_default();
        assert!(error.contains("crashed"), "{error}");
        eprintln!("{deaths} workers died of the shard");
        assert_eq!(deaths, 5, "one unannounced, four announced");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn shard_that_was_condemned_as_crashed_is_retried_with_its_attempts_numbered_on()
-> anyhow::Result<()> {
    play(async |stage| {
        let (run, _) = poisoned(stage).await?;
        assert_eq!(stage.judge(&run).await?.summary.shards.dead, 1);
        let before = attempts(stage, &run).await?;
        std::fs::write(stage.dir().join("cure"), "")?;
        let retried = stage.cli(&["retry", run.as_str(), "--json"], SOON).await?;
        assert_eq!(retried.succeeded()?.json()?["shards"], 1);
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        let after = attempts(stage, &run).await?;
        let last = before.last().copied().unwrap_or_default();
        assert_eq!(
            after[before.len()..],
            [last + 1],
            "{before:?}, then {after:?}"
        );
        Ok(())
    })
    .await
}
