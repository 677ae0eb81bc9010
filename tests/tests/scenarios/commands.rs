//! What people order of runs: cancel, retry, drop; and runs that end themselves.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use gridloom_shared::command::{Answer, Command, Verb};
use gridloom_shared::id::{JobName, QueueName, RunId, Term};
use gridloom_shared::ledger::orders::Cancelled;
use gridloom_shared::ledger::record::{Author, PlanRecord, Record};
use gridloom_shared::ledger::summary::RunState;
use gridloom_shared::wire;
use gridloom_tests::oracle::ledger::Ledger;
use gridloom_tests::oracle::{Verdict, queue};
use gridloom_tests::process::Output;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;
use serde_json::{Value, json};

const LONG: Duration = Duration::from_secs(90);
const SOON: Duration = Duration::from_secs(30);
/// A cancelled run ends within two seconds; a machine that builds meanwhile gets more.
const CANCELLED_WITHIN: Duration = Duration::from_secs(5);

async fn order(stage: &Stage, args: &[&str]) -> anyhow::Result<Output> {
    stage.cli(&[args, &["--json"]].concat(), LONG).await
}

async fn obeyed(stage: &Stage, args: &[&str]) -> anyhow::Result<Value> {
    order(stage, args).await?.succeeded()?.json()
}

/// A handler that leaves a file while it runs, for a minute, and a worker with it.
async fn long_shards(stage: &mut Stage, workers: usize) -> anyhow::Result<(JobName, PathBuf)> {
    let marks = stage.dir().join("running");
    std::fs::create_dir_all(&marks)?;
    let script = stage.dir().join("long.sh");
    std::fs::write(
        &script,
        format!(
            "read -r shard\ntouch {0}/$$\ni=0\nwhile [ $i -lt 600 ]; do touch {0}/beat.$$; sleep 0.1; i=$((i+1)); done\n",
            marks.display()
        ),
    )?;
    let command = format!("long=/bin/sh {}", script.display());
    for _ in 0..workers {
        stage.start_worker(4, &["--exec", &command]).await?;
    }
    let job = stage
        .apply(
            "name = \"long\"\nhandler = \"exec\"\n[grid]\nslices = 4\npages = { count = 50 }\n\
             [exec]\ncommand = \"long\"",
        )
        .await?;
    Ok((job, marks))
}

fn files(dir: &PathBuf) -> usize {
    std::fs::read_dir(dir).map_or(0, Iterator::count)
}

async fn running(dir: &PathBuf, at_least: usize) -> anyhow::Result<()> {
    eventually(SOON, "shards run", async || Ok(files(dir) >= 2 * at_least)).await
}

/// Whether commands still run: those that do touch their file ten times a second.
async fn is_quiet(dir: &PathBuf) -> anyhow::Result<()> {
    eventually(SOON, "no command of the run is left", async || {
        let newest = std::fs::read_dir(dir)?
            .filter_map(|entry| entry.ok()?.metadata().ok()?.modified().ok())
            .max();
        Ok(newest.and_then(|at| at.elapsed().ok()) > Some(Duration::from_millis(1_500)))
    })
    .await
}

/// Waits until a cancelled run is over, and judges it.
async fn ended_cancelled(stage: &Stage, run: &RunId, since: Instant) -> anyhow::Result<Verdict> {
    stage.closed(run, LONG).await?;
    let took = since.elapsed();
    eprintln!("from the order to the end of the run: {took:?}");
    assert!(took < CANCELLED_WITHIN, "it took {took:?}");
    assert!(queue::list(&stage.broker, run).await?.is_empty());
    let verdict = stage.judge(run).await?;
    assert_eq!(verdict.summary.state, RunState::Cancelled);
    assert!(verdict.audit.lost.is_empty() && verdict.audit.cancelled > 0);
    // Nobody runs any more what had been issued.
    assert_eq!(verdict.summary.shards.outstanding, 0);
    Ok(verdict)
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_run_ends_within_two_seconds_and_its_handlers_stop() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let (job, marks) = long_shards(stage, 2).await?;
        let run = stage.submit(&job, &json!({})).await?;
        running(&marks, 8).await?;
        let since = Instant::now();
        let answer = obeyed(stage, &["cancel", run.as_str()]).await?;
        assert_eq!(
            (answer["outcome"].as_str(), answer["run"].as_str()),
            (Some("done"), Some(run.as_str()))
        );
        let shards = ended_cancelled(stage, &run, since).await?.summary.shards;
        assert!(shards.planned > shards.done, "{shards:?}");
        is_quiet(&marks).await?;
        // Once more is harmless.
        assert_eq!(
            obeyed(stage, &["cancel", run.as_str()]).await?["outcome"],
            "nothing"
        );
        let audit = stage
            .cli(&["audit", run.as_str()], SOON)
            .await?
            .succeeded()?;
        assert!(audit.stdout.contains("cancelled"), "{}", audit.stdout);
        // Nothing was reported or handed back for what was stopped.
        let ledger = Ledger::read(&stage.broker, &run).await?;
        let reports = ledger
            .entries
            .iter()
            .filter(|entry| matches!(entry.record, Some(Record::Work(_))));
        assert_eq!(reports.count(), 0);
        // A leader that has heard all workers need not wait for those that it may not know of.
        std::fs::remove_dir_all(&marks)?;
        std::fs::create_dir_all(&marks)?;
        let second = stage.submit(&job, &json!({})).await?;
        running(&marks, 8).await?;
        let since = Instant::now();
        obeyed(stage, &["cancel", second.as_str()]).await?;
        ended_cancelled(stage, &second, since).await?;
        // The workers are free for others.
        let other = stage
            .apply("name = \"other\"\nhandler = \"noop\"\n[grid]\nslices = 4")
            .await?;
        let other = stage.submit(&other, &json!({})).await?;
        stage.closed(&other, SOON).await?;
        stage.judge(&other).await?.succeeded()?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_survives_the_death_of_the_leader_and_the_run_goes_on_after_a_retry()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(2).await?;
        let job = stage
            .apply("name = \"steady\"\nhandler = \"noop\"\n[grid]\nslices = 8\npages = { count = 400 }\ntile = 4")
            .await?;
        let run = stage.submit(&job, &json!({"sleep_ms": 20})).await?;
        stage.done(&run, 40, SOON).await?;
        let order = stage.gridloom(&["cancel", run.as_str(), "--json"])?.start().await?;
        let moment = stage.seed.between(Duration::ZERO, Duration::from_millis(150));
        tokio::time::sleep(moment).await;
        stage.planners[0].kill().await?;
        stage.free_leadership().await?;
        stage.start_planner().await?;
        let answer = order.finish(LONG).await?.succeeded()?.json()?;
        assert!(answer["outcome"] == "done" || answer["outcome"] == "nothing", "{answer}");
        ended_cancelled(stage, &run, Instant::now()).await?;
        // A cancelled run goes on where it stopped.
        assert_eq!(obeyed(stage, &["retry", run.as_str()]).await?["outcome"], "done");
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_cancels_in_the_middle_of_waves_are_one() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(2).await?;
        let job = stage
            .apply("name = \"quick\"\nhandler = \"noop\"\n[grid]\nslices = 64\npages = { count = 20000 }\ntile = 4")
            .await?;
        let run = stage.submit(&job, &json!({})).await?;
        stage.done(&run, 2_000, SOON).await?;
        let args = ["cancel", run.as_str(), "--json"];
        let (first, second) = (stage.gridloom(&args)?.start().await?, stage.gridloom(&args)?.start().await?);
        let since = Instant::now();
        for order in [first, second] {
            order.finish(LONG).await?.succeeded()?;
        }
        ended_cancelled(stage, &run, since).await?;
        let ledger = Ledger::read(&stage.broker, &run).await?;
        let orders = ledger.entries.iter().filter(|entry| {
            matches!(entry.record, Some(Record::Plan(PlanRecord::Cancelled(_))))
        });
        assert_eq!(orders.count(), 1);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_missed_the_order_asks_after_its_reconnect_and_a_new_leader_ends_the_run()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let (job, marks) = long_shards(stage, 1).await?;
        let run = stage.submit(&job, &json!({})).await?;
        running(&marks, 4).await?;
        // The leader dies between its record and all that follows from it.
        stage.planners[0].kill().await?;
        let subjects = stage.broker.subjects();
        let plan = subjects.ledger_of(&QueueName::new("default")?, &run, Author::Plan);
        let last = stage
            .broker
            .last_of_leader(&subjects.ledger(), &plan)
            .await?;
        let cancelled = PlanRecord::Cancelled(Cancelled {
            request: 7,
            aborted: None,
            term: Term(1),
        });
        let expected = last.context("a planner's record")?.seq;
        stage
            .broker
            .append(plan, wire::encode(&cancelled), Some(expected))
            .await?;
        stage.server.kill().await?;
        stage.server.restart().await?;
        // Its tiles are still on the queue, and are not begun again.
        is_quiet(&marks).await?;
        stage.free_leadership().await?;
        let since = Instant::now();
        stage.start_planner().await?;
        stage.closed(&run, LONG).await?;
        eprintln!(
            "from the start of the planner to the end of the run: {:?}",
            since.elapsed()
        );
        assert!(queue::list(&stage.broker, &run).await?.is_empty());
        let verdict = stage.judge(&run).await?;
        assert_eq!(verdict.summary.state, RunState::Cancelled);
        Ok(())
    })
    .await
}

/// A job whose odd pages fail until a file exists, and a run of it that has failed.
async fn failed_run(stage: &mut Stage, limits: &str) -> anyhow::Result<(RunId, PathBuf)> {
    let cure = stage.dir().join("cure");
    let script = stage.dir().join("ill.sh");
    std::fs::write(
        &script,
        format!(
            "read -r shard\ncase $GRIDLOOM_PAGE in *[13579]) [ -e {} ] || exit 3 ;; esac\necho '{{\"rows\": 1}}'\n",
            cure.display()
        ),
    )?;
    let command = format!("ill=/bin/sh {}", script.display());
    let job = stage
        .apply(&format!(
            "name = \"ill\"\nhandler = \"exec\"\n[grid]\nslices = 2\npages = {{ count = 10 }}\ntile = 5\n\
             [retry]\nmax_attempts = 2\nbackoff = {{ initial = \"50ms\" }}\n{limits}[exec]\ncommand = \"ill\""
        ))
        .await?;
    stage.start_planner().await?;
    stage.start_worker(4, &["--exec", &command]).await?;
    let run = stage.submit(&job, &json!({})).await?;
    stage.closed(&run, SOON).await?;
    Ok((run, cure))
}

async fn dead_list(stage: &Stage, run: &RunId) -> anyhow::Result<usize> {
    let listed = obeyed(stage, &["dead", "list", run.as_str()]).await?;
    Ok(listed.as_array().context("a list")?.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_shards_of_a_closed_run_are_retried_and_it_succeeds() -> anyhow::Result<()> {
    play(async |stage| {
        let (run, cure) = failed_run(stage, "").await?;
        assert_eq!(stage.judge(&run).await?.summary.shards.dead, 10);
        // In vain: each dies again after two further attempts. The order is sent twice, as one whose
        // answer was lost: it counts once, although the shards are dead again by then, and is answered as the first time.
        let retry = Command {
            request: 77,
            verb: Verb::Retry,
            run: run.clone(),
            slice: None,
            page: None,
            error_like: None,
        };
        for _ in 0..2 {
            let subject = stage.broker.subjects().command(retry.verb);
            let answer = stage
                .broker
                .request(subject, wire::encode(&retry), SOON)
                .await?;
            assert_eq!(
                wire::decode::<Answer>(&answer.payload)?,
                Answer::Done { shards: 10 }
            );
            stage.closed(&run, SOON).await?;
        }
        let verdict = stage.judge(&run).await?;
        assert_eq!(
            (verdict.summary.shards.dead, verdict.summary.shards.retried),
            (10, 30)
        );
        std::fs::write(&cure, "")?;
        let one = [
            "dead",
            "retry",
            run.as_str(),
            "--slice",
            "1",
            "--page",
            "3",
            "--yes",
        ];
        assert_eq!(obeyed(stage, &one).await?[0]["shards"], 1);
        stage.closed(&run, SOON).await?;
        assert_eq!(stage.judge(&run).await?.summary.shards.dead, 9);
        assert_eq!(dead_list(stage, &run).await?, 9);
        assert_eq!(order(stage, &one).await?.code, 2);
        assert_eq!(
            obeyed(stage, &["dead", "retry", "--all", "--yes"]).await?[0]["shards"],
            9
        );
        stage.closed(&run, SOON).await?;
        let verdict = stage.judge(&run).await?.succeeded()?;
        assert_eq!((verdict.audit.dead, verdict.summary.rows), (0, 20));
        assert_eq!(
            obeyed(stage, &["retry", run.as_str()]).await?["outcome"],
            "nothing"
        );
        assert_eq!(order(stage, &["cancel", run.as_str()]).await?.code, 1);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_shards_are_listed_no_more_and_stay_dead() -> anyhow::Result<()> {
    play(async |stage| {
        let (run, cure) = failed_run(stage, "").await?;
        let one = [
            "dead",
            "drop",
            run.as_str(),
            "--slice",
            "0",
            "--page",
            "1",
            "--yes",
        ];
        assert_eq!(obeyed(stage, &one).await?[0]["shards"], 1);
        assert_eq!(dead_list(stage, &run).await?, 9);
        let shown = obeyed(stage, &["show", run.as_str()]).await?;
        assert_eq!(
            (shown["shards"]["dead"].as_u64(), shown["state"].as_str()),
            (Some(10), Some("failed"))
        );
        stage.judge(&run).await?;
        // A new leader knows that the run is over although that is not its last record.
        stage.planners[0].kill().await?;
        stage.free_leadership().await?;
        stage.start_planner().await?;
        std::fs::write(&cure, "")?;
        assert_eq!(obeyed(stage, &["retry", run.as_str()]).await?["shards"], 9);
        stage.closed(&run, SOON).await?;
        let verdict = stage.judge(&run).await?;
        assert_eq!(
            (verdict.summary.shards.dead, verdict.summary.state),
            (1, RunState::Failed)
        );
        assert_eq!(dead_list(stage, &run).await?, 0);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn run_with_too_many_dead_shards_aborts_itself() -> anyhow::Result<()> {
    play(async |stage| {
        let job = stage
            .apply(
                "name = \"doomed\"\nhandler = \"noop\"\n[grid]\nslices = 20\npages = { count = 1000 }\n\
                 [retry]\nmax_attempts = 1\n[limits]\nabort_after = { dead = 20 }\n[params]\nsleep_ms = 5\nfail_percent = 50",
            )
            .await?;
        stage.start_all(1).await?;
        let run = stage.submit(&job, &json!({})).await?;
        stage.closed(&run, SOON).await?;
        assert!(queue::list(&stage.broker, &run).await?.is_empty());
        let verdict = stage.judge(&run).await?;
        let (state, error) = (verdict.summary.state, verdict.summary.error.unwrap_or_default());
        assert_eq!(state, RunState::Failed);
        assert!(error.starts_with("aborted: ") && error.contains("abort_after"), "{error}");
        let shards = verdict.summary.shards;
        assert!(shards.dead >= 20 && shards.planned < 20_000, "{shards:?}");
        assert!(verdict.audit.ok && verdict.audit.cancelled > 0);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_cannot_be_carried_out_say_why() -> anyhow::Result<()> {
    play(async |stage| {
        let alone = stage.cli(&["cancel", "a_s_1"], SOON).await?;
        assert_eq!(alone.code, 1, "{alone:?}");
        assert!(alone.stderr.contains("no planner"), "{alone:?}");
        stage.start_planner().await?;
        for order in [
            &["cancel", "a_s_1"][..],
            &["retry", "a_s_1"],
            &["dead", "drop", "a_s_1"],
        ] {
            let unknown = stage.cli(order, SOON).await?;
            assert_eq!(unknown.code, 2, "{unknown:?}");
            assert!(
                unknown.stderr.contains("there is no run a_s_1"),
                "{unknown:?}"
            );
        }
        for bad in [
            &["cancel", "*"][..],
            &["cancel"],
            &["dead", "retry", "a_s_1", "--page", "1"],
        ] {
            assert_eq!(stage.cli(bad, SOON).await?.code, 2);
        }
        // Nonsense is answered with the reason.
        for (subject, body) in [("test.command.cancel", "hello"), ("test.command.dance", "")] {
            let answer = stage.broker.request(subject, body.into(), SOON).await?;
            let answer = String::from_utf8_lossy(&answer.payload).into_owned();
            assert!(answer.contains("cannot be understood"), "{answer}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn backoff_is_kept_over_a_change_of_the_leader() -> anyhow::Result<()> {
    play(async |stage| {
        let job = stage
            .apply(
                "name = \"patient\"\nhandler = \"noop\"\n[grid]\nslices = 4\npages = { count = 5 }\ntile = 5\n\
                 [retry]\nmax_attempts = 2\nbackoff = { initial = \"6s\", jitter = 0.5 }",
            )
            .await?;
        stage.start_all(1).await?;
        let run = stage.submit(&job, &json!({"fail_attempts": 1})).await?;
        let failed = async || {
            let fold = Ledger::read(&stage.broker, &run).await?.fold();
            Ok(fold.retries().len() == 20)
        };
        eventually(SOON, "all shards have failed once", failed).await?;
        let due = Ledger::read(&stage.broker, &run).await?.fold().retries().clone();
        stage.planners[0].kill().await?;
        stage.free_leadership().await?;
        stage.start_planner().await?;
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        // The new leader issued each after the moment that the ledger gives, spread by the jitter.
        let mut spread = std::collections::BTreeSet::new();
        for entry in &Ledger::read(&stage.broker, &run).await?.entries {
            let Some(Record::Plan(PlanRecord::Wave(wave))) = &entry.record else {
                continue;
            };
            for tiles in wave.tiles.iter().filter(|tiles| tiles.attempt == 2) {
                assert_eq!((tiles.pages, tiles.tiles), (1, 1));
                let own = due.iter().find(|(_, cell)| (cell.slice, cell.page) == (tiles.slice, tiles.first));
                let (due, _) = own.context("a shard that was due")?;
                assert!(entry.at >= *due, "issued at {:?}, due at {due:?}", entry.at);
                spread.insert(due.0);
            }
        }
        assert!(spread.len() > 10, "{spread:?}");
        Ok(())
    })
    .await
}
