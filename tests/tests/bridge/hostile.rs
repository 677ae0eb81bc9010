//! Children that break the protocol, die, or do not listen: what they ran fails or runs again, others go on, and nothing is
//! committed twice or lost.

use std::collections::BTreeSet;

use anyhow::Context;
use gridloom_tests::process::{is_alive, pid_in};
use gridloom_tests::scenario::{Stage, play};
use serde_json::{Value, json};

use super::{SOON, errors, executed, run_job, show, start_worker};

const GRID: &str = "[grid]\nslices = 3\npages = { count = 5 }\ntile = 1\n[retry]\nbackoff = { initial = \"50ms\" }";

/// A run with a worker whose children are bad once in this way. Says what stands of it, and the errors of attempts.
async fn survived(stage: &mut Stage, mode: &str) -> anyhow::Result<(Value, String)> {
    stage.start_planner().await?;
    let flags = ["--processes", "2", "--slots", "1", "--child-grace", "300ms"];
    let worker = start_worker(stage, mode, &flags).await?;
    let run = run_job(stage, GRID, &json!({})).await?;
    let errors = errors(stage, &run).await?;
    let errors: Vec<String> = errors.into_iter().map(|(_, error)| error).collect();
    let shown = show(stage, &run).await?;
    assert_eq!(
        (&shown["state"], &shown["rows"]),
        (&json!("succeeded"), &json!(15)),
        "{mode}: {shown}"
    );
    assert!(stage.workers[worker].is_running()?, "{mode}");
    assert!(
        stage.dir().join("cured").exists() || mode == "poison",
        "{mode}: was never bad"
    );
    Ok((shown, errors.join("\n")))
}

/// A run in which a child fails in this way fails one attempt, and says this of it.
async fn fails_one(mode: &str, says: &[&str]) -> anyhow::Result<()> {
    play(async |stage| {
        let (shown, errors) = survived(stage, mode).await?;
        assert_eq!(shown["shards"]["retried"], json!(1), "{mode}: {shown}");
        for words in says {
            assert!(errors.contains(words), "{mode}: {errors}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn child_that_sends_garbage_is_ended_and_its_shard_tried_again() -> anyhow::Result<()> {
    fails_one("garbage", &["broke the protocol", "no JSON object"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn child_that_ends_in_the_middle_of_a_frame_has_died() -> anyhow::Result<()> {
    fails_one("half", &["exit code 3"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn length_of_a_gigabyte_is_a_fault_before_a_byte_of_it_is_there() -> anyhow::Result<()> {
    fails_one(
        "giant",
        &["a frame of 1073741824 bytes, 8388608 are the most"],
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn second_hello_is_a_fault() -> anyhow::Result<()> {
    fails_one("twice", &["a second hello"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn child_that_closes_its_connection_and_lives_on_is_killed() -> anyhow::Result<()> {
    fails_one(
        "closes",
        &["closed the connection without ending, and was killed"],
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn child_that_dies_has_failed_what_it_ran_with_its_signal_and_last_lines()
-> anyhow::Result<()> {
    fails_one("dies", &["signal 9 (SIGKILL)", "it hurts"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn child_that_dies_with_all_its_slots_full_has_failed_each_of_them_once() -> anyhow::Result<()>
{
    play(async |stage| {
        stage.start_planner().await?;
        start_worker(stage, "together", &["--slots", "4"]).await?;
        let run = run_job(stage, GRID, &json!({"sleep_ms": 500, "first_only": true})).await?;
        let errors = errors(stage, &run).await?;
        let cells: BTreeSet<(u32, u32)> = errors
            .iter()
            .map(|(cell, _)| (cell.slice, cell.page))
            .collect();
        assert_eq!((errors.len(), cells.len()), (4, 4), "{errors:?}");
        for (_, error) in &errors {
            assert!(error.contains("signal 9 (SIGKILL)"), "{errors:?}");
        }
        let shown = show(stage, &run).await?;
        let told = (&shown["rows"], &shown["shards"]["retried"]);
        assert_eq!(told, (&json!(15), &json!(4)), "{shown}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn child_that_exits_has_failed_what_it_ran_with_its_code_and_last_lines() -> anyhow::Result<()>
{
    fails_one("exits", &["exit code 7", "ValueError: no"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn child_that_forks_and_ends_has_died_with_all_its_group() -> anyhow::Result<()> {
    play(async |stage| {
        let (shown, errors) = survived(stage, "forks").await?;
        assert_eq!(shown["shards"]["retried"], json!(1), "{shown}");
        assert!(errors.contains("exit code 0"), "{errors}");
        let forked = stage.dir().join("forked/pid");
        let forked = pid_in(&forked).context("the forked process noted itself")?;
        assert!(!is_alive(forked));
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_for_what_it_does_not_have_and_answers_again_change_nothing() -> anyhow::Result<()>
{
    play(async |stage| {
        let (shown, errors) = survived(stage, "stranger").await?;
        let counts = &shown["shards"];
        assert_eq!(
            (&counts["retried"], &counts["dead"], &counts["late"]),
            (&json!(0), &json!(0), &json!(0)),
            "{errors}"
        );
        assert_eq!(shown["counters"]["pages"], json!(30));
        let log = stage.workers[0].stderr();
        assert!(
            log.contains("answers for shards that it does not have"),
            "{log}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn flood_on_standard_output_holds_up_nothing_and_does_not_fill_the_log() -> anyhow::Result<()>
{
    play(async |stage| {
        let (shown, errors) = survived(stage, "floods").await?;
        assert_eq!(shown["shards"]["retried"], json!(0), "{errors}");
        let log = stage.workers[0].stderr();
        assert!(log.len() < 4_000_000, "{} bytes", log.len());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn shard_that_kills_its_child_fails_alone_of_its_tile() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        start_worker(stage, "poison", &["--slots", "1"]).await?;
        let grid = "[grid]\nslices = 3\npages = { count = 10 }\ntile = 10\n[retry]\nbackoff = { initial = \"50ms\" }";
        let run = run_job(stage, grid, &json!({})).await?;
        let errors = errors(stage, &run).await?;
        let failed: Vec<(u32, u32)> = errors.iter().map(|(cell, _)| (cell.slice, cell.page)).collect();
        assert_eq!(failed, [(1, 2), (1, 2)], "{errors:?}");
        assert!(errors[0].1.contains("cannot go on"), "{errors:?}");
        // What it said is in the log, with the shard that it was about.
        let log = stage.workers[0].stderr();
        let told = |line: &str| line.contains("stderr=\"cannot go on\"") && line.contains("slice=1");
        assert!(log.lines().any(told), "{log}");
        let others = executed(stage, &run)?;
        assert!(others.iter().all(|(slice, page, attempt, _)| *attempt == 1 || (*slice, *page) == (1, 2)));
        Ok(())
    })
    .await
}

/// A run whose first attempts are out of time in children that do not listen.
async fn out_of_time(mode: &str) -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        start_worker(stage, mode, &["--slots", "1", "--child-grace", "200ms"]).await?;
        let job = "[limits]\ntimeout = \"300ms\"\n[grid]\nslices = 1\npages = { count = 1 }\n[retry]\nbackoff = { initial = \"50ms\" }";
        let run = run_job(stage, job, &json!({"sleep_ms": 5_000, "first_only": true})).await?;
        let errors = errors(stage, &run).await?;
        assert!(errors[0].1.contains("timed out after 300ms"), "{errors:?}");
        assert_eq!(show(stage, &run).await?["rows"], json!(1));
        if mode == "deaf" {
            assert!(errors[0].1.contains("was killed"), "{errors:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn child_that_ignores_stop_is_killed_with_its_group() -> anyhow::Result<()> {
    out_of_time("deaf").await
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_after_stop_does_not_count() -> anyhow::Result<()> {
    out_of_time("late").await
}

#[tokio::test(flavor = "multi_thread")]
async fn first_child_that_never_says_who_it_is_ends_the_worker_with_its_last_lines()
-> anyhow::Result<()> {
    play(async |stage| {
        let silent = start_worker(stage, "silent", &["--hello-within", "5s"]).await?;
        assert_eq!(stage.workers[silent].wait(SOON).await?, 1);
        let said = stage.workers[silent].stderr();
        assert!(
            said.contains("said no hello within 5s and was killed: loading"),
            "{said}"
        );
        super::all_gone(&super::pids(stage), super::SLACK).await?;
        let wrong = stage
            .gridloom(&["worker", "--", "python3", "/no/such/worker.py"])?
            .start()
            .await?;
        let wrong = wrong.finish(SOON).await?;
        assert_eq!(wrong.code, 1);
        assert!(
            wrong.stderr.contains("No such file or directory"),
            "{}",
            wrong.stderr
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn child_cannot_have_the_name_of_a_built_in_handler_though_its_worker_has_none()
-> anyhow::Result<()> {
    play(async |stage| {
        let worker = start_worker(stage, "http", &[]).await?;
        assert_eq!(stage.workers[worker].wait(SOON).await?, 1);
        let said = stage.workers[worker].stderr();
        assert!(
            said.contains("use handler \"http\" of the program"),
            "{said}"
        );
        Ok(())
    })
    .await
}
