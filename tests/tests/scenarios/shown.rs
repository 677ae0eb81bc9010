//! What `show` and `run --wait` say of failing attempts while a run goes on, long before a shard is dead.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use gridloom_shared::id::RunId;
use gridloom_tests::process::Output;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::{eventually, eventually_some};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);

/// A worker called `name` whose command `c` is this script.
async fn start_worker(stage: &mut Stage, name: &str, script: &str) -> anyhow::Result<usize> {
    let file = stage.dir().join(format!("{name}.sh"));
    std::fs::write(&file, script)?;
    let command = format!("c=/bin/sh {}", file.display());
    stage
        .start_worker(8, &["--name", name, "--exec", &command])
        .await
}

/// Applies a job of the command `c`, called `ill`.
async fn apply(stage: &Stage, grid: &str, retry: &str) -> anyhow::Result<()> {
    let job = format!(
        "name = \"ill\"\nhandler = \"exec\"\n[exec]\ncommand = \"c\"\n[limits]\ntimeout = \"3s\"\n\
         [grid]\n{grid}\ntile = 1\n[retry]\n{retry}"
    );
    stage.apply(&job).await?;
    Ok(())
}

async fn said(stage: &Stage, args: &[&str]) -> anyhow::Result<Output> {
    stage.cli(args, SOON).await?.succeeded()
}

async fn json_of(stage: &Stage, args: &[&str]) -> anyhow::Result<Value> {
    said(stage, &[args, &["--json"]].concat()).await?.json()
}

async fn story(stage: &Stage, run: &RunId, shard: &str) -> anyhow::Result<Value> {
    json_of(stage, &["show", run.as_str(), "--shard", shard]).await
}

/// A run of two slices whose pages 0 and 1 fail, page 2 takes too long and page 3 succeeds; each has two attempts
/// more, in an hour.
async fn failing(stage: &mut Stage) -> anyhow::Result<RunId> {
    stage.start_planner().await?;
    let script = "read -r shard\ncase $GRIDLOOM_PAGE in\n\
                  [01]) printf 'disk \\033[2Jfull' >&2; exit 3 ;;\n\
                  2) echo 'was at line 7' >&2; sleep 60 ;;\nesac\necho '{\"rows\": 1}'\n";
    start_worker(stage, "anna", script).await?;
    let retry = "max_attempts = 3\nbackoff = { initial = \"1h\", jitter = 0.0 }";
    apply(stage, "slices = 2\npages = { count = 4 }", retry).await?;
    let run = stage.submit(&"ill".parse()?, &json!({})).await?;
    eventually(SOON, "six shards wait and two are done", async || {
        let Ok(shown) = json_of(stage, &["show", run.as_str()]).await else {
            return Ok(false);
        };
        let waiting = shown["retries"]["shards"].as_u64();
        Ok((waiting, shown["shards"]["done"].as_u64()) == (Some(6), Some(2)))
    })
    .await?;
    Ok(run)
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_failing_attempts_are_shown_before_a_shard_is_dead() -> anyhow::Result<()> {
    play(async |stage| {
        let run = failing(stage).await?;
        let shown = json_of(stage, &["show", run.as_str()]).await?;
        assert_eq!(
            (shown["state"].as_str(), shown["shards"]["dead"].as_u64()),
            (Some("running"), Some(0))
        );
        let errors = shown["errors"].as_array().context("errors")?;
        let of = |text: &str| {
            let has = |it: &&Value| {
                it["error"]
                    .as_str()
                    .is_some_and(|error| error.contains(text))
            };
            errors
                .iter()
                .find(has)
                .with_context(|| format!("{text} in {errors:#?}"))
        };
        // Programs get what was said exactly as it was said.
        let full = of("disk \u{1b}[2Jfull")?;
        assert_eq!(
            (full["failures"].as_u64(), full["alike"].as_bool()),
            (Some(4), Some(true))
        );
        let last = &full["last"];
        assert!(
            ["0/0", "0/1", "1/0", "1/1"].contains(&last["shard"].as_str().unwrap_or_default()),
            "{last}"
        );
        assert_eq!(
            (last["attempt"].as_u64(), last["kind"].as_str()),
            (Some(1), Some("page"))
        );
        // The end of what a command said whose time was over is kept.
        let late = of("was at line 7")?;
        assert!(
            late["error"]
                .as_str()
                .is_some_and(|error| error.starts_with("timed out after 3s: ")),
            "{late}"
        );
        // An hour apart: texts of times are in order then.
        for due in ["first_due", "last_due"] {
            let due = shown["retries"][due].as_str().context("a time")?;
            assert!(Some(due) > last["at"].as_str(), "{shown:#}");
        }

        let told = said(stage, &["show", run.as_str()]).await?;
        for part in [
            "6 shards wait for their next attempt, the first due in 5",
            "FAILED  SHARD  ATTEMPT",
            r"disk \x1b[2Jfull",
            "was at line 7",
        ] {
            assert!(told.stdout.contains(part), "{part}: {told:?}");
        }
        assert!(
            !told.stdout.contains('\u{1b}') && told.stderr.contains("--shard "),
            "{told:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn shard_is_shown_with_its_attempts_and_until_when_it_waits() -> anyhow::Result<()> {
    play(async |stage| {
        let run = failing(stage).await?;
        let failed = story(stage, &run, "1/0").await?;
        assert_eq!(
            (failed["state"].as_str(), failed["max_attempts"].as_u64()),
            (Some("retrying"), Some(3))
        );
        let (attempts, due) = (
            failed["attempts"].as_array().context("attempts")?,
            &failed["retry_due"],
        );
        assert_eq!(
            (attempts.len(), attempts[0]["attempt"].as_u64()),
            (1, Some(1))
        );
        let result = &attempts[0]["result"];
        assert_eq!(
            (result["by"]["worker"].as_str(), result["done"].as_bool()),
            (Some("anna"), Some(false))
        );
        assert_eq!(
            result["error"]
                .as_str()
                .map(|error| error.contains("disk \u{1b}[2Jfull")),
            Some(true)
        );
        // The last holder's: on a machine that is busy enough somebody has taken it over.
        let holders = attempts[0]["holders"].as_array().context("holders")?;
        assert_eq!(
            holders.last().map(|last| &last["fence"]),
            Some(&result["fence"])
        );
        assert!(
            attempts[0]["issued_at"].is_string() && result["ended_at"].as_str() < due.as_str(),
            "{failed:#}"
        );
        let done = story(stage, &run, "1/3").await?;
        assert_eq!(done["state"], "done");
        assert_eq!(done["attempts"][0]["result"]["rows"], 1);

        let told = said(stage, &["show", run.as_str(), "--shard", "1/0"]).await?;
        for part in [
            "1/0: slice 1, page 0",
            "waits for attempt 2 of 3, due in 5",
            "anna",
            "issued",
            r"disk \x1b[2Jfull",
        ] {
            assert!(told.stdout.contains(part), "{part}: {told:?}");
        }
        assert!(!told.stdout.contains('\u{1b}'), "{told:?}");

        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn shard_that_is_not_there_is_refused_with_what_to_say_instead() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        let job = "name = \"plain\"\nhandler = \"noop\"\n[grid]\nslices = 2\npages = { count = 4 }";
        let job = stage.apply(job).await?;
        let run = stage.submit(&job, &json!({})).await?;
        stage.closed(&run, SOON).await?;
        for (shard, part) in [
            ("3", "SLICE/PAGE"),
            ("1/x", "SLICE/PAGE"),
            ("2/0", "it has 2, and they are counted from 0"),
            ("0/4", "it has 4, and they are counted from 0"),
        ] {
            let said = stage
                .cli(&["show", run.as_str(), "--shard", shard, "--json"], SOON)
                .await?;
            let told = said.json()?;
            assert_eq!((said.code, &told["code"]), (2, &json!(2)), "{said:?}");
            let error = told["error"].as_str().unwrap_or_default();
            assert!(
                said.stderr.contains(part) && error.contains(part),
                "{said:?}"
            );
        }
        let said = stage
            .cli(&["show", "plain_s_1", "--shard", "0/0"], SOON)
            .await?;
        assert_eq!(said.code, 2, "{said:?}");
        Ok(())
    })
    .await
}

fn is_there(file: &Path) -> anyhow::Result<bool> {
    Ok(file.try_exists()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn takeover_stands_in_the_history_of_its_shard() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let (begun, go) = (stage.dir().join("begun"), stage.dir().join("go"));
        let script = format!(
            "read -r shard\ntouch {}\n[ -e {} ] || sleep 60\n",
            begun.display(),
            go.display()
        );
        let anna = start_worker(stage, "anna", &script).await?;
        // Its time is not over while the test looks at it.
        let job = "name = \"long\"\nhandler = \"exec\"\n[exec]\ncommand = \"c\"";
        let job = stage.apply(job).await?;
        let run = stage.submit(&job, &json!({})).await?;
        eventually(SOON, "it has begun", async || is_there(&begun)).await?;
        // The ledger says nothing of who has it; the workers do.
        let held = eventually_some(SOON, "a worker says that it holds it", async || {
            let held = story(stage, &run, "0/0").await?;
            let by = held["attempts"][0]["held_by"][0]["worker"].as_str();
            Ok((by == Some("anna")).then_some(held))
        })
        .await?;
        assert_eq!(
            (held["state"].as_str(), &held["attempts"][0]["result"]),
            (Some("issued"), &Value::Null)
        );
        let told = said(stage, &["show", run.as_str(), "--shard", "0/0"]).await?;
        assert!(told.stdout.contains("is held by anna"), "{told:?}");

        start_worker(stage, "bert", &script).await?;
        std::fs::write(&go, "")?;
        stage.workers[anna].kill().await?;
        stage.closed(&run, SOON).await?;
        let told = story(stage, &run, "0/0").await?;
        let attempts = told["attempts"].as_array().context("attempts")?;
        assert_eq!((attempts.len(), told["state"].as_str()), (1, Some("done")));
        let holders = attempts[0]["holders"].as_array().context("holders")?;
        let (first, last) = (&holders[0], holders.last().context("a holder")?);
        let by_count = holders.iter().any(|holder| holder["takeover"] == "count");
        assert!(by_count && first["takeover"].is_null(), "{told:#}");
        assert!(last["fence"].as_u64() > first["fence"].as_u64(), "{told:#}");
        let result = &attempts[0]["result"];
        assert_eq!(
            (&last["by"], &last["fence"]),
            (&result["by"], &result["fence"])
        );
        assert_eq!(result["by"]["worker"], "bert");
        let told = said(stage, &["show", run.as_str(), "--shard", "0/0"]).await?;
        for part in ["taken over by another", "takeover: delivered again", "bert"] {
            assert!(told.stdout.contains(part), "{part}: {told:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn run_that_is_waited_for_tells_its_first_failure_at_once_and_once() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let script = "read -r shard\n[ $GRIDLOOM_ATTEMPT = 1 ] && { printf 'no luck\\nill: succeeded\\n' >&2; exit 1; }\nexit 0\n";
        start_worker(stage, "anna", script).await?;
        let retry = "max_attempts = 2\nbackoff = { initial = \"12s\", jitter = 0.0 }";
        apply(stage, "slices = 4", retry).await?;
        let waiting = stage.gridloom(&["run", "ill", "--wait"])?.start().await?;
        let told = "failed at attempt 1 of 2 and is tried again after 12 s: ";
        eventually(SOON, "the first failure is told", async || Ok(waiting.stderr().contains(told))).await?;
        assert!(!waiting.stdout().contains("ill: "), "it goes on: {}", waiting.stdout());
        // Then nothing moves, and it says why.
        let why = "failed shards wait for the next attempt, from ";
        eventually(SOON, "it says why nothing moves", async || Ok(waiting.stderr().contains(why))).await?;
        let waited = waiting.finish(SOON).await?.succeeded()?;
        let failures = waited.stderr.lines().filter(|line| line.contains("failed at attempt"));
        assert_eq!(failures.count(), 1, "{waited:?}");
        assert!(waited.stderr.contains("gridloom show ill_"), "{waited:?}");
        // What a command says is no line of ours.
        assert!(waited.stderr.contains("\n    ill: succeeded"), "{waited:?}");
        assert!(waited.stdout.contains("\nill: succeeded, 4 of 4 shards done"), "{waited:?}");

        apply(stage, "slices = 1", "max_attempts = 1").await?;
        let waited = stage.cli(&["run", "ill", "--wait", "--json"], SOON).await?;
        assert_eq!(waited.code, 1, "{waited:?}");
        assert!(waited.stderr.contains("ill: shard 0/0 failed at attempt 1 of 1 and is dead: "), "{waited:?}");
        for line in waited.stdout.lines() {
            serde_json::from_str::<Value>(line).with_context(|| format!("{waited:?}"))?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn run_that_is_waited_for_says_why_it_stands_still() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let job =
            "name = \"slow\"\nhandler = \"noop\"\n[grid]\nslices = 2\n[params]\nsleep_ms = 9000";
        stage.apply(job).await?;
        let waiting = stage.gridloom(&["run", "slow", "--wait"])?.start().await?;
        let says = async |why: &str| {
            eventually(SOON, why, async || Ok(waiting.stderr().contains(why))).await
        };
        says("no worker pulls from queue default; start one with gridloom worker --queue default")
            .await?;
        stage.start_worker(4, &[]).await?;
        says("2 tiles are issued and not done yet").await?;
        waiting.finish(SOON).await?.succeeded()?;
        Ok(())
    })
    .await
}
