//! Shards that kill the worker which executes them (protocol.md §5).

use std::time::Duration;

use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;
use serde_json::json;

const LONG: Duration = Duration::from_secs(120);

/// A worker whose `exec` command `c` kills it when page 2 of slice 1 is executed.
async fn start_mortal_worker(stage: &mut Stage) -> anyhow::Result<usize> {
    let pid = stage.dir().join("pid");
    let script = stage.dir().join("poison.sh");
    let log = stage.dir().join("executed");
    std::fs::write(
        &script,
        format!(
            "echo $GRIDLOOM_SLICE/$GRIDLOOM_PAGE >> {log}\n\
             if [ $GRIDLOOM_SLICE = 1 ] && [ $GRIDLOOM_PAGE = 2 ]; then kill -9 $(cat {pid}); sleep 5; fi\n\
             sleep 0.1\n",
            log = log.display(),
            pid = pid.display(),
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

#[tokio::test(flavor = "multi_thread")]
async fn shard_that_keeps_killing_its_worker_ends_dead_and_its_neighbours_do_not()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let job = stage
            .apply("name = \"poison\"\nhandler = \"exec\"\n[params]\ncommand = \"c\"\n[grid]\nslices = 4\npages = { count = 6 }\ntile = 3")
            .await?;
        let run = stage.submit(&job, &json!({"command": "c"})).await?;
        let mut deaths = 0;
        let closed = loop {
            let worker = start_mortal_worker(stage).await?;
            let closed = eventually(LONG, "the worker dies or the run ends", async || {
                Ok(!stage.workers[worker].is_running()? || stage.is_closed(&run).await?)
            });
            closed.await?;
            if stage.is_closed(&run).await? {
                break true;
            }
            deaths += 1;
            if deaths > 8 {
                break false;
            }
        };
        assert!(closed, "{deaths} workers died and the run goes on");
        let verdict = stage.judge(&run).await?;
        assert!(verdict.audit.ok, "{:?}", verdict.audit);
        let shards = &verdict.summary.shards;
        assert_eq!((shards.done, shards.dead), (23, 1), "{:?}", verdict.summary);
        let error = verdict.summary.error.clone().unwrap_or_default();
        assert!(error.contains("crashed"), "{error}");
        eprintln!("{deaths} workers died of the shard");
        assert_eq!(deaths, 4, "one unannounced, three announced");
        Ok(())
    })
    .await
}
