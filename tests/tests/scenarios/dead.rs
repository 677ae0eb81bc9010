//! Dead shards: which of them an order is for, that nobody loses them by leaving words out, and for how
//! long they are kept.

use std::time::Duration;

use gridloom_shared::id::RunId;
use gridloom_tests::process::{Gridloom, Output};
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::{eventually, eventually_some};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);

/// Applies a job called `name` of four shards.
async fn apply(stage: &Stage, name: &str) -> anyhow::Result<()> {
    let job = format!(
        "name = \"{name}\"\nhandler = \"noop\"\n[grid]\nslices = 4\n[retry]\nmax_attempts = 1"
    );
    stage.apply(&job).await?;
    Ok(())
}

/// A run of `job` all of whose four shards are dead after as many attempts as their error tells.
async fn failed(stage: &mut Stage, job: &str, permanent: bool) -> anyhow::Result<RunId> {
    let params = json!({ "fail_attempts": 9, "permanent": permanent });
    let run = stage.submit(&job.parse()?, &params).await?;
    stage.closed(&run, SOON).await?;
    Ok(run)
}

/// A run of `job` that succeeds.
async fn succeeded(stage: &mut Stage, job: &str) -> anyhow::Result<RunId> {
    let run = stage.submit(&job.parse()?, &json!({})).await?;
    stage.closed(&run, SOON).await?;
    Ok(run)
}

async fn json_of(stage: &Stage, args: &[&str]) -> anyhow::Result<Value> {
    let said = stage.cli(&[args, &["--json"]].concat(), SOON).await?;
    said.succeeded()?.json()
}

/// How many dead shards are listed with these flags.
async fn listed(stage: &Stage, flags: &[&str]) -> anyhow::Result<usize> {
    let list = json_of(stage, &[&["dead", "list"], flags].concat()).await?;
    Ok(list.as_array().map_or(0, Vec::len))
}

/// Sum of the shards that an order says it concerned.
fn shards(outcomes: &Value) -> u64 {
    let outcomes = outcomes.as_array().into_iter().flatten();
    outcomes
        .map(|outcome| outcome["shards"].as_u64().unwrap_or(0))
        .sum()
}

/// The command at a terminal, where somebody types `answer`.
async fn at_a_terminal(stage: &Stage, args: &[&str], answer: &str) -> anyhow::Result<Output> {
    let own = gridloom_tests::gridloom()?;
    let line = [&[own.to_str().unwrap_or_default()], args]
        .concat()
        .join(" ");
    // Of what is asked and said there `script` makes one text.
    let script = Gridloom::program("/usr/bin/script", ["-qefc", &line, "/dev/null"])
        .env("GRIDLOOM_NATS", stage.server.url())
        .env(
            "GRIDLOOM_NAMESPACE",
            stage.broker.subjects().namespace().as_str(),
        )
        .input(format!("{answer}\n"));
    script.start().await?.finish(SOON).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_dropped_or_retried_that_was_not_chosen_and_shown() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        apply(stage, "bad").await?;
        failed(stage, "bad", true).await?;
        let run = failed(stage, "bad", true).await?;
        for verb in ["drop", "retry"] {
            for flags in [&[][..], &["--yes"], &["--json"], &["--page", "1"]] {
                let said = stage.cli(&[&["dead", verb], flags].concat(), SOON).await?;
                assert_eq!(said.code, 2, "{said:?}");
            }
            let said = stage.cli(&["dead", verb], SOON).await?;
            for word in ["RUN", "--job", "--slice", "--error-like", "--all"] {
                assert!(said.stderr.contains(word), "{word}: {said:?}");
            }
            // Nobody can be asked: the test has no terminal.
            let said = stage.cli(&["dead", verb, "--all"], SOON).await?;
            assert_eq!(said.code, 2, "{said:?}");
            let extent = "8 dead shards of 2 runs";
            assert!(
                said.stderr.contains(extent) && said.stderr.contains("--yes"),
                "{said:?}"
            );
            let said = stage
                .cli(&["dead", verb, run.as_str(), "--json"], SOON)
                .await?;
            assert_eq!(said.code, 2, "{said:?}");
            let said = at_a_terminal(stage, &["dead", verb, "--all"], "n").await?;
            assert_eq!(said.code, 1, "{said:?}");
            assert!(said.stdout.contains(extent), "{said:?}");
        }
        assert_eq!(listed(stage, &[]).await?, 8);
        let said = at_a_terminal(stage, &["dead", "drop", run.as_str()], "y").await?;
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.stdout.contains("4 dead shards of run"), "{said:?}");
        assert_eq!(listed(stage, &[]).await?, 4);
        assert_eq!(listed(stage, &[run.as_str()]).await?, 0);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_reach_the_shards_that_were_chosen_and_no_others() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        apply(stage, "bad").await?;
        apply(stage, "worse").await?;
        failed(stage, "bad", true).await?;
        let worse = failed(stage, "worse", true).await?;
        let other = failed(stage, "worse", false).await?;
        let list = json_of(stage, &["dead", "list", other.as_str()]).await?;
        let error = list[0]["error"].as_str().unwrap_or_default().to_owned();
        assert_eq!(listed(stage, &["--error-like", "TOLD to fail"]).await?, 12);
        assert_eq!(
            listed(stage, &["--error-like", "nothing like it"]).await?,
            0
        );
        assert_eq!(listed(stage, &["--job", "worse"]).await?, 8);
        assert_eq!(listed(stage, &["--job", "worse", "--slice", "2"]).await?, 2);
        let alone = ["dead", "list", "--slice", "2", "--error-like", "down"];
        assert_eq!(stage.cli(&alone, SOON).await?.code, 2);

        let drop = |flags: &[&'static str]| [&["dead", "drop", "--yes"], flags].concat();
        let none = json_of(stage, &drop(&["--error-like", "nothing like it"])).await?;
        assert_eq!(none, json!([]), "{error}");
        let slice = json_of(stage, &drop(&["--job", "worse", "--slice", "2"])).await?;
        assert_eq!(shards(&slice), 2);
        assert_eq!(
            (
                listed(stage, &[]).await?,
                listed(stage, &["--job", "bad"]).await?
            ),
            (10, 4)
        );
        let job = json_of(stage, &drop(&["--job", "bad"])).await?;
        assert_eq!((shards(&job), listed(stage, &[]).await?), (4, 6));
        // One that was given up is retried where its slice is named.
        let retry = ["dead", "retry", worse.as_str(), "--slice", "2", "--yes"];
        assert_eq!(shards(&json_of(stage, &retry).await?), 1);
        stage.closed(&worse, SOON).await?;
        assert_eq!(listed(stage, &[worse.as_str()]).await?, 4);
        let all = json_of(stage, &["dead", "retry", "--error-like", "told", "--yes"]).await?;
        assert_eq!(shards(&all), 7);
        for run in [&worse, &other] {
            stage.closed(run, SOON).await?;
        }
        assert_eq!(shards(&json_of(stage, &drop(&["--all"])).await?), 7);
        assert_eq!(listed(stage, &[]).await?, 0);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn list_of_dead_shards_asks_the_leader_of_the_stream_nothing_for_each_run()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        apply(stage, "bad").await?;
        for _ in 0..12 {
            failed(stage, "bad", true).await?;
        }
        let ledger = stage.broker.subjects().ledger();
        let mut scans = stage
            .broker
            .subscribe(format!("$JS.API.STREAM.MSG.GET.{ledger}"))
            .await?;
        let mut reads = stage
            .broker
            .subscribe(format!("$JS.API.DIRECT.GET.{ledger}"))
            .await?;
        assert_eq!(listed(stage, &[]).await?, 48);
        stage.broker.flush().await?;
        let mut asked = 0;
        while let Ok(Some(read)) =
            tokio::time::timeout(Duration::from_millis(200), reads.next()).await
        {
            let question: Value = serde_json::from_slice(&read.payload)?;
            let filter = question["next_by_subj"].as_str().unwrap_or_default();
            assert!(
                !filter.contains(['*', '>']),
                "the broker looks through all records for {filter}"
            );
            asked += 1;
        }
        assert!((24..=40).contains(&asked), "{asked} reads");
        let scanned = tokio::time::timeout(Duration::from_millis(200), scans.next()).await;
        assert!(scanned.is_err(), "{scanned:?}");
        Ok(())
    })
    .await
}

async fn planner(stage: &mut Stage, flags: &[&str]) -> anyhow::Result<()> {
    let flags = [&["planner", "--retention-every", "200ms"], flags].concat();
    let planner = stage.gridloom(&flags)?.start().await?;
    stage.planners.push(planner);
    Ok(())
}

async fn runs(stage: &Stage) -> anyhow::Result<Vec<String>> {
    let list = json_of(stage, &["runs"]).await?;
    let runs = list.as_array().into_iter().flatten();
    Ok(runs
        .filter_map(|run| run["run"].as_str().map(str::to_owned))
        .collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_that_nobody_has_seen_outlives_the_runs_that_came_after_it() -> anyhow::Result<()> {
    play(async |stage| {
        planner(stage, &["--retention-most", "2"]).await?;
        stage.start_worker(4, &[]).await?;
        apply(stage, "bad").await?;
        let bad = failed(stage, "bad", true).await?;
        for _ in 0..5 {
            succeeded(stage, "bad").await?;
        }
        eventually(SOON, "of the others two are left", async || {
            Ok(runs(stage).await?.len() == 3)
        })
        .await?;
        assert_eq!(listed(stage, &[bad.as_str()]).await?, 4);
        let said = stage.cli(&["doctor"], SOON).await?;
        assert!(!said.stdout.contains("dead shards"), "{said:?}");
        // Somebody has seen it: now it is as old as it is.
        json_of(
            stage,
            &["dead", "drop", bad.as_str(), "--slice", "1", "--yes"],
        )
        .await?;
        succeeded(stage, "bad").await?;
        eventually(SOON, "one more of the others is gone", async || {
            Ok(runs(stage).await?.len() == 3)
        })
        .await?;
        assert_eq!(listed(stage, &[bad.as_str()]).await?, 3);
        json_of(stage, &["dead", "drop", bad.as_str(), "--yes"]).await?;
        for _ in 0..2 {
            succeeded(stage, "bad").await?;
        }
        eventually(SOON, "it is gone", async || {
            let runs = runs(stage).await?;
            Ok(runs.len() == 2 && !runs.iter().any(|run| run == bad.as_str()))
        })
        .await?;
        let said = stage.cli(&["doctor"], SOON).await?;
        assert!(!said.stdout.contains("dead shards"), "{said:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_shards_that_go_unseen_are_counted_and_told() -> anyhow::Result<()> {
    play(async |stage| {
        planner(
            stage,
            &["--retention-most", "1", "--retention-most-dead", "1"],
        )
        .await?;
        stage.start_worker(4, &[]).await?;
        apply(stage, "bad").await?;
        let first = failed(stage, "bad", true).await?;
        failed(stage, "bad", true).await?;
        let last = failed(stage, "bad", true).await?;
        let told = eventually_some(SOON, "doctor says so", async || {
            let said = stage.cli(&["doctor", "--json"], SOON).await?;
            let checks = said.json()?;
            let checks = checks.as_array().into_iter().flatten();
            let mut unseen = checks.filter(|check| check["check"] == "dead shards");
            let found = unseen
                .next()
                .and_then(|check| check["found"].as_str().map(str::to_owned));
            Ok(found.filter(|found| found.starts_with("8 dead shards of 2 runs")))
        })
        .await?;
        assert!(!told.contains(last.as_str()), "{told}");
        assert_eq!(runs(stage).await?, [last.to_string()]);
        let log = stage.planners[0].stderr();
        assert!(log.contains("purged dead shards"), "{log}");
        assert!(
            log.contains(first.as_str()) || told.contains("bad_s_"),
            "{log}"
        );
        Ok(())
    })
    .await
}

/// Whoever mends a job and tries its dead run again has it die of the old one.
#[tokio::test(flavor = "multi_thread")]
async fn retry_says_that_its_run_keeps_the_job_from_before_a_change() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        apply(stage, "mended").await?;
        let run = failed(stage, "mended", true).await?;
        let by_run = ["retry", run.as_str()];
        let by_job = ["dead", "retry", "--job", "mended", "--yes"];
        let retried = json_of(stage, &by_run).await?;
        assert_eq!(
            (&retried["outcome"], &retried["job_changed"]),
            (&json!("done"), &Value::Null)
        );
        stage.closed(&run, SOON).await?;
        let change =
            "name = \"mended\"\nhandler = \"noop\"\n[grid]\nslices = 4\n[retry]\nmax_attempts = 2";
        stage.apply(change).await?;
        let shown = json_of(stage, &["job", "show", "mended"]).await?;
        assert!(shown["revision"].is_u64(), "{shown}");
        for retry in [&by_run[..], &by_job] {
            let retried = json_of(stage, retry).await?;
            let retried = if retried.is_array() {
                &retried[0]
            } else {
                &retried
            };
            let changed = &retried["job_changed"];
            assert_eq!(changed["revision"], shown["revision"], "{retried}");
            let keys = changed["keys"].as_array().into_iter().flatten();
            let keys: Vec<&str> = keys.filter_map(Value::as_str).collect();
            assert!(keys.contains(&"retry.max_attempts"), "{retried}");
            stage.closed(&run, SOON).await?;
            let said = stage.cli(retry, SOON).await?.succeeded()?;
            let words = ["keeps the job as it was", "gridloom run mended"];
            assert!(
                words.iter().all(|word| said.stderr.contains(word)),
                "{said:?}"
            );
            stage.closed(&run, SOON).await?;
        }
        let shown = stage
            .cli(&["show", run.as_str()], SOON)
            .await?
            .succeeded()?;
        assert!(
            shown
                .stderr
                .contains("start a new run (gridloom run mended)"),
            "{shown:?}"
        );
        Ok(())
    })
    .await
}
