//! Nominal times that are run again, with real processes: each has one run at most, whoever is killed, and the schedule
//! knows nothing of it.

use std::collections::BTreeSet;
use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::ledger::record::{Author, PlanRecord};
use gridloom_shared::reads::backfills;
use gridloom_shared::reads::fires;
use gridloom_shared::schedule::record::{Decision, Why};
use gridloom_shared::schedule::{Backfill, BackfillName};
use gridloom_shared::wire;
use gridloom_tests::oracle::fires::Fires;
use gridloom_tests::proxy::{Mode, Proxy};
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;

const SOON: Duration = Duration::from_secs(60);
/// What the broker tells who follows what people ask for beside schedules.
const TOLD_OF_BACKFILLS: &str = "MSG $KV.test-state.asked.backfill.";

/// A job that fires each hour of three days in January, and never in the course of a test.
async fn apply(stage: &Stage, sleep_ms: u64, more: &str) -> anyhow::Result<JobName> {
    let text = format!(
        "name = \"tick\"\nhandler = \"noop\"\n[params]\nsleep_ms = {sleep_ms}\n[schedule]\ncron = \"0 * 1-3 1 *\"\n{more}"
    );
    stage.apply(&text).await
}

async fn backfill(stage: &Stage, job: &JobName, name: &str) -> anyhow::Result<Option<Backfill>> {
    let name = BackfillName::new(name)?;
    let all = backfills::list(&stage.broker, job).await?;
    let found = all.into_iter().find(|listed| listed.name == name);
    Ok(found.map(|listed| listed.backfill))
}

/// Waits until so many times of a backfill got a run.
async fn opened(stage: &Stage, job: &JobName, name: &str, count: u64) -> anyhow::Result<()> {
    let what = format!("{count} runs of the backfill are opened");
    eventually(SOON, &what, async || {
        // Nothing can be read while the broker is away.
        let found = backfill(stage, job, name).await.ok().flatten();
        Ok(found.is_some_and(|found| found.progress.opened >= count))
    })
    .await
}

async fn ended(stage: &Stage, job: &JobName, name: &str) -> anyhow::Result<Backfill> {
    eventually(SOON, "the backfill has ended", async || {
        let found = backfill(stage, job, name).await.ok().flatten();
        let over =
            |found: &Backfill| found.progress.ended.is_some() && found.progress.running.is_empty();
        Ok(found.is_some_and(|found| over(&found)))
    })
    .await?;
    backfill(stage, job, name)
        .await?
        .ok_or_else(|| anyhow::anyhow!("it is there"))
}

/// The most runs of a backfill that were open at once, by the order of the ledger.
async fn open_at_once(broker: &Broker) -> anyhow::Result<usize> {
    let subjects = broker.subjects();
    let plans = subjects.ledgers_by(Author::Plan);
    let (mut open, mut most) = (BTreeSet::new(), 0);
    for raw in broker.read(&subjects.ledger(), plans, 1, None).await? {
        let Some((_, run, _)) = subjects.parse_ledger(&raw.subject) else {
            continue;
        };
        match wire::decode::<PlanRecord>(&raw.payload)? {
            PlanRecord::Opened(_) if BackfillName::of_run(&run).is_some() => {
                open.insert(run);
            }
            record if record.is_end() => {
                open.remove(&run);
            }
            _ => {}
        }
        most = most.max(open.len());
    }
    Ok(most)
}

const RANGE: [&str; 4] = ["--from", "2026-01-01T00:00:00Z", "--to", "2026-01-03"];

async fn ask(stage: &Stage, more: &[&str]) -> anyhow::Result<serde_json::Value> {
    let line = [&["job", "backfill", "tick", "--json"][..], &RANGE, more].concat();
    stage.cli(&line, SOON).await?.succeeded()?.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_time_of_a_range_is_run_again_once_while_leaders_and_the_broker_are_killed()
-> anyhow::Result<()> {
    play(async |stage| {
        let job = apply(stage, 30, "").await?;
        stage.start_all(1).await?;
        eventually(SOON, "the schedule is in force", async || {
            Ok(fires::state(&stage.broker, &job).await?.is_some())
        })
        .await?;
        let before = fires::state(&stage.broker, &job).await?;
        let asked = ["--concurrency", "3", "--name", "b1", "--yes"];
        assert_eq!(ask(stage, &asked).await?["count"], 72);
        for (count, broker) in [(8, false), (24, true), (40, false)] {
            opened(stage, &job, "b1", count).await?;
            if broker {
                stage.server.kill().await?;
                stage.server.restart().await?;
            } else {
                let offset = stage
                    .seed
                    .between(Duration::ZERO, Duration::from_millis(80));
                tokio::time::sleep(offset).await;
                for planner in &mut stage.planners {
                    planner.kill().await?;
                }
                stage.free_leadership().await?;
                stage.start_planner().await?;
            }
        }
        let progress = ended(stage, &job, "b1").await?.progress;
        assert_eq!(
            (progress.opened, progress.succeeded),
            (72, 72),
            "{progress:?}"
        );
        let runs = Fires::read(&stage.broker, &job).await?.runs;
        let hours = (1..=3).flat_map(|day| (0..24).map(move |hour| (day, hour)));
        let wanted =
            hours.map(|(day, hour)| RunId::new(format!("tick_b_b1_202601{day:02}T{hour:02}0000Z")));
        let wanted: BTreeSet<RunId> = wanted.collect::<Result<_, _>>()?;
        assert_eq!(runs.keys().cloned().collect::<BTreeSet<_>>(), wanted);
        assert!(
            runs.values()
                .all(|life| life.was_opened_once() && life.is_over()),
            "{runs:?}"
        );
        assert!((2..=3).contains(&open_at_once(&stage.broker).await?));
        // The same once more is the same.
        assert_eq!(ask(stage, &asked).await?["begun"], false);
        let after = fires::state(&stage.broker, &job).await?;
        assert_eq!(after, before, "the schedule knows nothing of it");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_waits_for_a_freeze_and_a_run_and_ends_with_its_job() -> anyhow::Result<()> {
    play(async |stage| {
        let job = apply(stage, 600, "except = \"2026-01-02\"").await?;
        stage.start_all(1).await?;
        let freeze = ["job", "pause", "--all", "--note", "incident 4711"];
        stage.cli(&freeze, SOON).await?.succeeded()?;
        let asked = ask(stage, &["--name", "b1", "--overlap", "queue_all", "--yes"]).await?;
        assert_eq!(
            (&asked["count"], &asked["excluded"]),
            (&48.into(), &24.into())
        );
        tokio::time::sleep(Duration::from_secs(3)).await;
        let held = backfill(stage, &job, "b1").await?;
        assert_eq!(held.map(|held| held.progress.opened), Some(0));
        let list = ["job", "backfills", "tick", "--json"];
        let listed = stage.cli(&list, SOON).await?.succeeded()?.json()?;
        assert_eq!(
            (&listed[0]["state"], &listed[0]["held"]["kind"]),
            (&"waiting".into(), &"frozen".into())
        );
        // By hand all goes on; and the backfill stands behind it.
        let by_hand = stage
            .submit(&job, &serde_json::json!({ "sleep_ms": 4_000 }))
            .await?;
        eventually(SOON, "the run is open", async || {
            Ok(Fires::read(&stage.broker, &job)
                .await?
                .runs
                .contains_key(&by_hand))
        })
        .await?;
        stage
            .cli(&["job", "resume", "--all"], SOON)
            .await?
            .succeeded()?;
        eventually(SOON, "the backfill waits for it", async || {
            let found = backfill(stage, &job, "b1").await?;
            Ok(found.is_some_and(|found| found.progress.behind.as_ref() == Some(&by_hand)))
        })
        .await?;
        let listed = stage
            .cli(&["job", "backfills", "tick", "--json"], SOON)
            .await?
            .succeeded()?
            .json()?;
        assert_eq!(listed[0]["waits_for"], by_hand.as_str());
        opened(stage, &job, "b1", 2).await?;
        let runs = Fires::read(&stage.broker, &job).await?.runs;
        assert!(
            runs[&by_hand].is_over(),
            "it opened beside the run that it waited for"
        );
        // A pause of the job alone holds its schedule back, and no backfill.
        let pause = ["job", "pause", "tick", "--note", "it is mended by hand"];
        stage.cli(&pause, SOON).await?.succeeded()?;
        let so_far = backfill(stage, &job, "b1")
            .await?
            .map_or(0, |found| found.progress.opened);
        opened(stage, &job, "b1", so_far + 2).await?;
        stage.broker.jobs().delete(job.as_str(), None).await?;
        let progress = ended(stage, &job, "b1").await?.progress;
        assert_eq!(progress.ended.map(|end| end.why.as_str()), Some("deleted"));
        assert!(progress.opened < 48);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_run_again_before_it_is_said_how_much_that_is() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        let job = apply(stage, 200, "").await?;
        let dry = ask(stage, &["--dry-run"]).await?;
        assert_eq!(
            (&dry["count"], &dry["times"][71]),
            (&72.into(), &"2026-01-03T23:00:00.000Z".into())
        );
        let line = [&["job", "backfill", "tick"][..], &RANGE].concat();
        let unasked = stage.cli(&line, SOON).await?;
        assert!(
            unasked.code == 2 && unasked.stderr.contains("open 72 runs"),
            "{unasked:?}"
        );
        assert!(backfills::list(&stage.broker, &job).await?.is_empty());
        for (range, why) in [
            (["2026-02-01", "2026-03-01"], "does not fire"),
            (["2026-03-01", "2026-02-01"], "comes before"),
            (["2026-01-01", "2999-01-01T00:00:00Z"], "is to come"),
        ] {
            let line = [
                "job", "backfill", "tick", "--yes", "--from", range[0], "--to", range[1],
            ];
            let refused = stage.cli(&line, SOON).await?;
            assert!(
                refused.code == 2 && refused.stderr.contains(why),
                "{refused:?}"
            );
        }
        stage
            .apply("name = \"often\"\nhandler = \"noop\"\n[schedule]\nevery = \"1s\"")
            .await?;
        let line = [
            "job",
            "backfill",
            "often",
            "--yes",
            "--from",
            "2026-01-01",
            "--to",
            "2026-01-01",
        ];
        let refused = stage.cli(&line, SOON).await?;
        assert!(
            refused.code == 2 && refused.stderr.contains("10,000"),
            "{refused:?}"
        );
        ask(stage, &["--name", "b2", "--yes"]).await?;
        opened(stage, &job, "b2", 2).await?;
        let cancel = ["job", "backfill", "tick", "--cancel", "b2"];
        stage.cli(&cancel, SOON).await?.succeeded()?;
        let progress = ended(stage, &job, "b2").await?.progress;
        assert_eq!(
            progress.ended.map(|end| end.why.as_str()),
            Some("cancelled")
        );
        assert_eq!(
            progress.opened,
            progress.succeeded + progress.failed + progress.cancelled
        );
        assert!(progress.opened < 72);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn leader_that_does_not_hear_that_a_backfill_is_cancelled_does_not_write_over_that()
-> anyhow::Result<()> {
    play(async |stage| {
        let proxy = Proxy::start(stage.server.port()).await?;
        stage.start_planner_behind(&proxy).await?;
        stage.start_worker(4, &[]).await?;
        let job = apply(stage, 500, "").await?;
        ask(stage, &["--name", "b3", "--yes"]).await?;
        opened(stage, &job, "b3", 1).await?;
        proxy.set(Mode::Lose(TOLD_OF_BACKFILLS));
        let cancel = ["job", "backfill", "tick", "--cancel", "b3"];
        stage.cli(&cancel, SOON).await?.succeeded()?;
        proxy.lost(1, SOON).await?;
        let found = ended(stage, &job, "b3").await?;
        let why = found.progress.ended.map(|end| end.why.as_str());
        assert_eq!(why, Some("cancelled"), "{found:?}");
        assert!(found.progress.opened < 10, "{found:?}");
        Ok(())
    })
    .await
}

/// Waits until a decision of this word names the run.
async fn skipped_for(stage: &Stage, job: &JobName, run: &RunId) -> anyhow::Result<()> {
    eventually(SOON, "a fire is skipped for it", async || {
        let fires = Fires::read(&stage.broker, job).await?;
        let mut decided = fires.records.iter().map(|record| &record.decision);
        Ok(decided.any(|decision| {
            matches!(decision, Decision::Passed { why: Why::Overlap { run: open }, .. } if open == run)
        }))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn fires_and_runs_by_hand_mind_a_run_of_a_backfill_that_minds_others_and_no_other()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        let text = "name = \"tick\"\nhandler = \"noop\"\n[params]\nsleep_ms = 60_000\n[schedule]\nevery = \"1s\"\n\
                    start = \"2026-01-01T00:00:00Z\"\noverlap = \"skip\"\nmisfire = { policy = \"skip\" }";
        let pause = ["job", "pause", "--all", "--note", "until the backfill runs"];
        stage.cli(&pause, SOON).await?.succeeded()?;
        let job = stage.apply(text).await?;
        let one = "job backfill tick --json --yes --from 2026-01-01T00:00:00Z --to 2026-01-01T00:00:00Z";
        let beside = [one, "--name beside"].join(" ");
        let minds = [one, "--name minds --overlap queue_all"].join(" ");
        for line in [&beside, &minds] {
            let line: Vec<&str> = line.split(' ').collect();
            stage.cli(&line, SOON).await?.succeeded()?;
        }
        // It waits while all are paused; the pause of the job alone does not hold it back.
        let pause = ["job", "pause", "tick", "--note", "until the backfill runs"];
        stage.cli(&pause, SOON).await?.succeeded()?;
        stage.cli(&["job", "resume", "--all"], SOON).await?.succeeded()?;
        for name in ["beside", "minds"] {
            opened(stage, &job, name, 1).await?;
        }
        let run = |name: &str| RunId::new(format!("tick_b_{name}_20260101T000000Z"));
        let (beside, minds) = (run("beside")?, run("minds")?);
        stage.cli(&["job", "resume", "tick"], SOON).await?.succeeded()?;
        skipped_for(stage, &job, &minds).await?;
        let refused = stage.cli(&["run", "tick", "--overlap", "skip"], SOON).await?;
        assert!(refused.code == 2 && refused.stderr.contains(minds.as_str()), "{refused:?}");
        let none = Fires::read(&stage.broker, &job).await?;
        assert_eq!(none.opened().count(), 0, "a fire opened beside it");
        stage.cli(&["cancel", minds.as_str()], SOON).await?.succeeded()?;
        // The other one is in nobody's way.
        eventually(SOON, "a fire opens", async || {
            Ok(Fires::read(&stage.broker, &job).await?.opened().next().is_some())
        })
        .await?;
        let runs = Fires::read(&stage.broker, &job).await?.runs;
        assert!(!runs[&beside].is_over() && runs[&minds].is_over());
        Ok(())
    })
    .await
}
