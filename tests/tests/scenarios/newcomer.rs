//! What somebody is told whose first runs go wrong: what is dead, who is at what, what was meant, and what to do.

use std::time::Duration;

use anyhow::Context;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::record::{Reason, Record};
use gridloom_tests::oracle::ledger::Ledger;
use gridloom_tests::process::Output;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::{eventually, eventually_some};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(40);
const PLAIN: &str = "name = \"plain\"\nhandler = \"noop\"\n[grid]\nslices = 2\ntile = 1";

async fn said(stage: &Stage, args: &[&str]) -> anyhow::Result<Output> {
    stage.cli(args, SOON).await
}

/// A job whose probe asks for a table that is not there.
async fn job_without_a_table(stage: &mut Stage) -> anyhow::Result<()> {
    stage.start_planner().await?;
    let file = stage.dir().join("x.db");
    let database = format!("main=sqlite:{}?mode=rwc", file.display());
    stage.start_worker(2, &["--database", &database]).await?;
    let job = "name = \"blind\"\nhandler = \"sql\"\ngrid = { pages = { probe = true } }\n[retry]\nmax_attempts = 1\n\
               [sql]\ndatabase = \"main\"\nprobe = \"SELECT a, a FROM nowhere\"\n\
               statement = \"SELECT :page_from, :page_to\"";
    stage.apply(job).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn run_whose_probe_is_dead_says_so_and_where_to_look_and_is_tried_again() -> anyhow::Result<()>
{
    play(async |stage| {
        job_without_a_table(stage).await?;
        let waited = said(stage, &["run", "blind", "--id", "one", "--wait"]).await?;
        assert_eq!(waited.code, 1, "{waited:?}");
        let run = RunId::from_request(&"blind".parse()?, "one");
        let list = format!("gridloom dead list {run}");
        let dead = "0 of 0 shards done, 1 dead probe";
        assert!(waited.stdout.contains(dead), "{waited:?}");
        assert!(waited.stderr.contains(&list), "{waited:?}");
        let shown = said(stage, &["show", run.as_str()]).await?.succeeded()?;
        assert!(shown.stdout.contains("1 dead probe"), "{shown:?}");
        assert!(shown.stderr.contains(&list), "{shown:?}");
        eventually(SOON, "it stands in the list", async || {
            let runs = said(stage, &["runs"]).await?.succeeded()?;
            Ok(runs.stdout.contains("0 of 0, 1 dead probe"))
        })
        .await?;
        let json = said(stage, &["show", run.as_str(), "--json"])
            .await?
            .json()?;
        assert_eq!(json["shards"]["dead_probes"], json!(1), "{json}");
        let listed = said(stage, &["dead", "list", run.as_str()]).await?;
        assert!(listed.stdout.contains("probe 0"), "{listed:?}");
        // It dies again within milliseconds: each time the answer says what was tried again.
        for _ in 0..6 {
            let retried = said(stage, &["retry", run.as_str()]).await?.succeeded()?;
            assert!(
                retried.stdout.contains("1 dead shard will be tried again"),
                "{retried:?}"
            );
            stage.closed(&run, SOON).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn shard_that_hangs_is_shown_with_its_worker_and_since_when() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let script = stage.dir().join("hangs.sh");
        std::fs::write(
            &script,
            "read -r shard\n[ $GRIDLOOM_PAGE = 3 ] && sleep 60\nexit 0\n",
        )?;
        let command = format!("hangs=/bin/sh {}", script.display());
        let flags = ["--name", "anna", "--exec", &command];
        stage.start_worker(4, &flags).await?;
        let job = "name = \"hangs\"\nhandler = \"exec\"\nexec = { command = \"hangs\" }\n\
                   grid = { pages = { count = 8 }, tile = 1 }";
        stage.apply(job).await?;
        let waiting = stage.gridloom(&["run", "hangs", "--id", "one", "--wait"])?;
        let mut waiting = waiting.start().await?;
        let run = RunId::from_request(&"hangs".parse()?, "one");
        let told = eventually_some(SOON, "one shard is left", async || {
            let shown = said(stage, &["show", run.as_str(), "--json"]).await?;
            let Ok(shown) = shown.json() else {
                return Ok(None);
            };
            let is_last = shown["shards"]["done"] == 7;
            Ok(shown["longest"][0]
                .is_object()
                .then_some(shown)
                .filter(|_| is_last))
        })
        .await?;
        let longest = told["longest"].as_array().context("a list")?;
        assert_eq!(longest.len(), 1, "{told:#}");
        let hangs = &longest[0];
        assert_eq!(
            (&hangs["shard"], &hangs["worker"], &hangs["attempt"]),
            (&json!("0/3"), &json!("anna"), &json!(1))
        );
        // Texts of times are in order.
        assert!(
            hangs["since"].as_str() >= told["opened_at"].as_str(),
            "{told:#}"
        );
        let shown = said(stage, &["show", run.as_str()]).await?.succeeded()?;
        let line = "shard 0/3, attempt 1, on worker anna for ";
        assert!(shown.stdout.contains(line), "{shown:?}");
        eventually(SOON, "whoever waits is told", async || {
            Ok(waiting.stderr().contains(line))
        })
        .await?;
        waiting.kill().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn tiles_that_waited_for_their_queue_s_first_worker_were_taken_over_from_nobody()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let job = stage.apply(PLAIN).await?;
        let run = stage.submit(&job, &json!({})).await?;
        stage.queued(2, SOON).await?;
        stage.start_worker(2, &[]).await?;
        stage.closed(&run, SOON).await?;
        // They are claimed with care: the consumer is new, and what lay there may have been another's.
        let ledger = Ledger::read(&stage.broker, &run).await?;
        let careful = ledger.entries.iter().any(|entry| {
            matches!(&entry.record, Some(Record::Takeover(it)) if it.reason == Reason::Floor)
        });
        assert!(careful);
        let shown = said(stage, &["show", run.as_str(), "--json"])
            .await?
            .json()?;
        assert_eq!(shown["shards"]["taken_over"], json!(0), "{shown}");
        stage.judge(&run).await?.succeeded()?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn name_of_no_job_is_an_error_and_a_job_that_is_gone_has_its_runs_still() -> anyhow::Result<()>
{
    play(async |stage| {
        stage.start_all(1).await?;
        let job = stage.apply(PLAIN).await?;
        let run = stage.submit(&job, &json!({})).await?;
        stage.closed(&run, SOON).await?;
        for args in [
            &["dead", "list", "--job", "plane"][..],
            &["dead", "list", "--job", "plane", "--json"],
            &["dead", "retry", "--job", "plane", "--yes"],
            &["dead", "drop", "--job", "plane", "--yes"],
            &["runs", "plane"],
        ] {
            let said = said(stage, args).await?;
            // Programs are told it as a document.
            let for_programs = args.contains(&"--json");
            assert_eq!(said.code, 2, "{args:?}: {said:?}");
            assert_eq!(said.stdout.is_empty(), !for_programs, "{args:?}: {said:?}");
            assert!(said.stderr.contains("did you mean \"plain\"?"), "{said:?}");
        }
        // A job that was deleted has its runs still.
        said(stage, &["job", "delete", "plain"])
            .await?
            .succeeded()?;
        said(stage, &["dead", "list", "--job", "plain"])
            .await?
            .succeeded()?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_waits_is_told_to_start_a_planner_that_runs() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        let job = stage
            .apply("name = \"slow\"\nhandler = \"noop\"\nparams = { sleep_ms = 60000 }")
            .await?;
        let run = stage.submit(&job, &json!({})).await?;
        stage.queued(1, SOON).await?;
        stage.planners[0].kill().await?;
        let start = "start one with gridloom planner";
        let shown = said(stage, &["show", run.as_str()]).await?.succeeded()?;
        assert!(shown.stdout.contains(start), "{shown:?}");
        // One that runs and never leads.
        let fault = "the keeper of the leadership=hangs";
        let lame = stage
            .gridloom(&["planner", "--fault", fault])?
            .start()
            .await?;
        stage.planners.push(lame);
        eventually(SOON, "it is told of", async || {
            let shown = said(stage, &["show", run.as_str()]).await?.succeeded()?;
            Ok(shown.stdout.contains("no planner leads just now") && !shown.stdout.contains(start))
        })
        .await?;
        let submitted = said(stage, &["run", "slow"]).await?.succeeded()?;
        assert!(
            submitted.stderr.contains("no planner leads just now"),
            "{submitted:?}"
        );
        assert!(!submitted.stderr.contains(start), "{submitted:?}");
        let cancelled = said(stage, &["cancel", run.as_str()]).await?;
        assert_eq!(cancelled.code, 1, "{cancelled:?}");
        assert!(!cancelled.stderr.contains(start), "{cancelled:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn run_that_was_submitted_before_is_not_called_submitted_again() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let script = stage.dir().join("counts.sh");
        std::fs::write(&script, "echo '{\"rows\": 500, \"counters\": {\"bytes\": 7}}'\n")?;
        let command = format!("counts=/bin/sh {}", script.display());
        stage.start_worker(4, &["--exec", &command]).await?;
        let job = "name = \"counts\"\nhandler = \"exec\"\nexec = { command = \"counts\" }\ngrid = { slices = 2 }";
        stage.apply(job).await?;
        let wait = ["run", "counts", "--id", "one", "--wait"];
        let first = said(stage, &wait).await?.succeeded()?;
        assert!(first.stdout.contains("submitted run counts_r_"), "{first:?}");
        // What it did stands in its last line.
        let end = "succeeded, 2 of 2 shards done, 1,000 rows, bytes 14 in ";
        assert!(first.stdout.contains(end), "{first:?}");
        let again = said(stage, &wait).await?.succeeded()?;
        assert!(!again.stdout.contains("submitted"), "{again:?}");
        assert!(again.stderr.contains("exists already"), "{again:?}");
        assert!(again.stdout.contains(end), "{again:?}");
        let json = said(stage, &[&wait[..], &["--json"]].concat()).await?.succeeded()?;
        for line in json.stdout.lines() {
            serde_json::from_str::<Value>(line)?;
        }
        Ok(())
    })
    .await
}
