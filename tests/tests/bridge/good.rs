//! What children that behave get and give.

use gridloom_tests::scenario::play;
use gridloom_tests::wait::eventually;
use serde_json::json;

use super::{SOON, cancelled, executed, run_job, show, start_worker};

#[tokio::test(flavor = "multi_thread")]
async fn tiles_run_in_children_once_each_with_what_they_counted() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let worker = start_worker(stage, "good", &["--processes", "2", "--slots", "2"]).await?;
        let grid = "[grid]\nslices = 4\npages = { count = 30 }\ntile = 10";
        let run = run_job(stage, grid, &json!({})).await?;
        let mut all = executed(stage, &run)?;
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 120, "{all:?}");
        let shown = show(stage, &run).await?;
        assert_eq!(
            (&shown["state"], &shown["rows"]),
            (&json!("succeeded"), &json!(120))
        );
        assert_eq!(shown["counters"]["pages"], json!(4 * (0..30).sum::<i64>()));
        // Capacity is what the children have together.
        let workers = stage
            .cli(&["workers", "--json"], SOON)
            .await?
            .succeeded()?
            .json()?;
        assert_eq!(workers[0]["capacity"], json!(4), "{workers}");
        let log = stage.workers[worker].stderr();
        assert!(
            log.contains("child writes") && log.contains("stdout=\"ran "),
            "{log}"
        );
        // Told to stop, it ends well, and so do they.
        stage.workers[worker].terminate()?;
        assert_eq!(stage.workers[worker].wait(SOON).await?, 0);
        for ended in std::fs::read_dir(stage.dir().join("ended"))? {
            assert_eq!(std::fs::read_to_string(ended?.path())?, "drained\n");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn child_is_asked_for_its_pages_and_gets_their_keys_and_fails_as_it_says()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        start_worker(stage, "good", &["--child-tcp"]).await?;
        let job = stage
            .apply(
                "name = \"p\"\nhandler = \"probed\"\n[grid]\nslices = 2\npages = { probe = true }",
            )
            .await?;
        let run = stage.submit(&job, &json!({"fail": 1})).await?;
        stage.closed(&run, SOON).await?;
        stage.judge(&run).await?;
        let shown = show(stage, &run).await?;
        assert_eq!(
            (&shown["rows"], &shown["shards"]["retried"]),
            (&json!(8), &json!(2)),
            "{shown}"
        );
        // A handler that has no probe says so for good.
        let job = stage
            .apply("name = \"q\"\nhandler = \"h\"\n[grid]\nslices = 1\npages = { probe = true }")
            .await?;
        let run = stage.submit(&job, &json!({})).await?;
        stage.closed(&run, SOON).await?;
        let text = show(stage, &run).await?.to_string();
        assert!(text.contains("name it among its probes"), "{text}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_of_a_cancelled_run_are_told_to_stop() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        start_worker(stage, "good", &[]).await?;
        let grid = "[grid]\nslices = 2\npages = { count = 1 }";
        let run = super::submit(stage, grid, &json!({"sleep_ms": 60_000})).await?;
        eventually(SOON, "shards run", async || {
            Ok(stage.dir().join("log").exists())
        })
        .await?;
        cancelled(stage, &run).await?;
        let told = async || {
            let files = std::fs::read_dir(stage.dir().join("told"))
                .into_iter()
                .flatten()
                .flatten();
            let mut texts = files.filter_map(|file| std::fs::read_to_string(file.path()).ok());
            Ok(texts.any(|text| text.contains("cancelled")))
        };
        eventually(SOON, "the child is told", told).await
    })
    .await
}
