//! Builds that write another version of what is kept than others read: neighbouring releases in any mixture, and one that
//! is too old for what it meets, which waits and says so.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use gridloom_shared::broker::log::Record as Stored;
use gridloom_shared::broker::subjects::LEADER_KEY;
use gridloom_shared::id::{HandlerName, JobName, QueueName, RunId};
use gridloom_shared::lane::Lane;
use gridloom_shared::ledger::record::Author;
use gridloom_shared::reads;
use gridloom_shared::tile::TileKind;
use gridloom_tests::build::Build;
use gridloom_tests::logged::WORD;
use gridloom_tests::oracle::executions;
use gridloom_tests::oracle::fires::Fires;
use gridloom_tests::oracle::overlap::Lives;
use gridloom_tests::process::Gridloom;
use gridloom_tests::scenario::{NAMESPACE, Stage, play};
use gridloom_tests::wait::{eventually, eventually_some};
use serde_json::{Value, json};

#[path = "upgrades/left_alone.rs"]
mod left_alone;

const LONG: Duration = Duration::from_secs(90);
const SOON: Duration = Duration::from_secs(60);
/// How an envelope of the next version begins.
const NEXT: &[u8] = b"\x82\xa1v\x02";
/// Records that only call themselves newer: of the next version, and of one that is far away.
const CALLED_NEWER: [&[u8]; 2] = [b"\x82\xa1v\x02\xa4next\xc0", b"\x82\xa1v\x09\xa5other\x01"];
/// Many small shards, some of them in one tile, and few slow ones, each alone.
const JOBS: [(&str, u64); 2] = [
    (
        "name = \"small\"\nhandler = \"noop\"\n[grid]\nslices = 4\npages = { count = 800 }",
        1,
    ),
    (
        "name = \"slow\"\nhandler = \"noop\"\n[grid]\nslices = 4\npages = { count = 10 }\ntile = 1",
        100,
    ),
];
const TICKS: &str = "name = \"ticks\"\nhandler = \"noop\"\n[grid]\nslices = 1\npages = { count = 2 }\n[schedule]\nevery = \"1s\"\noverlap = \"allow\"";

/// A worker that logs what it executes.
async fn start_logged(stage: &mut Stage) -> anyhow::Result<usize> {
    let log = stage
        .dir()
        .join("executions")
        .join(format!("{}", stage.workers.len()));
    let url = stage.server.url();
    let command = Gridloom::new([
        WORD,
        "--nats",
        &url,
        "--namespace",
        NAMESPACE,
        "--concurrency",
        "3",
        "--ack-deadline-ms",
        "20000",
        "--log",
    ])?;
    let worker = stage.of_build(command).args([log]).start().await?;
    stage.workers.push(worker);
    Ok(stage.workers.len() - 1)
}

/// Replaces the planner at `place` in good order, as a package manager or an orchestrator does.
async fn replace_planner(stage: &mut Stage, place: usize) -> anyhow::Result<()> {
    stage.planners[place].terminate()?;
    stage.planners[place].wait(SOON).await?;
    let planner = stage.gridloom(&["planner"])?.start().await?;
    stage.planners[place] = planner;
    planners_answer(stage, 2).await
}

async fn planners_answer(stage: &Stage, many: usize) -> anyhow::Result<()> {
    eventually(SOON, "the planners answer", async || {
        Ok(reads::planners::roll_call(&stage.broker).await?.len() == many)
    })
    .await
}

/// The planner that leads, by its place.
async fn leader(stage: &Stage) -> anyhow::Result<usize> {
    // Its name has its process id.
    let pid = |name: &str| {
        name.rsplit('-')
            .nth(1)
            .and_then(|pid| pid.parse::<i32>().ok())
    };
    eventually_some(SOON, "a planner leads", async || {
        let planners = reads::planners::roll_call(&stage.broker).await?;
        let leads = planners.iter().find(|planner| planner.term.is_some());
        let leads = leads.and_then(|planner| pid(&planner.name));
        let mut all = stage.planners.iter();
        Ok(all.position(|planner| Some(planner.pid().as_raw_nonzero().get()) == leads))
    })
    .await
}

/// Brings everything to `build` one after the other: who stands by first, then who leads, then the workers. In between new
/// runs are asked for, and all that is open goes on.
async fn bring_to(
    stage: &mut Stage,
    build: Build,
    jobs: &[(JobName, u64)],
    runs: &mut Vec<RunId>,
) -> anyhow::Result<()> {
    stage.build = build;
    let leads = leader(stage).await?;
    for place in [1 - leads, leads] {
        submit(stage, jobs, runs).await?;
        replace_planner(stage, place).await?;
        going_on(stage, runs).await?;
    }
    for place in 0..WORKERS {
        submit(stage, jobs, runs).await?;
        stage.workers[place].terminate()?;
        stage.workers[place].wait(SOON).await?;
        let last = start_logged(stage).await?;
        stage.workers.swap(place, last);
        going_on(stage, runs).await?;
    }
    Ok(())
}

const WORKERS: usize = 3;

async fn submit(
    stage: &mut Stage,
    jobs: &[(JobName, u64)],
    runs: &mut Vec<RunId>,
) -> anyhow::Result<()> {
    for (job, sleep_ms) in jobs {
        let params = json!({ "sleep_ms": sleep_ms });
        runs.push(stage.submit(job, &params).await?);
    }
    Ok(())
}

/// The newest run of each kind gets on.
async fn going_on(stage: &Stage, runs: &[RunId]) -> anyhow::Result<()> {
    for run in runs.iter().rev().take(JOBS.len()) {
        stage.done(run, 2, LONG).await?;
    }
    Ok(())
}

/// No message was taken for nonsense.
async fn no_dead_letters(stage: &Stage) -> anyhow::Result<()> {
    let refused = reads::refused::list(&stage.broker, 100).await?;
    anyhow::ensure!(refused.messages.is_empty(), "{refused:?}");
    Ok(())
}

/// Each shard of the runs was executed once and by one, as the handlers themselves wrote down.
fn executed_once(stage: &Stage, runs: &[RunId]) -> anyhow::Result<()> {
    let all = executions::read(&stage.dir().join("executions"), &Lives::default())?;
    for run in runs {
        let mut times: HashMap<(u32, u32), Vec<String>> = HashMap::new();
        for execution in all.get(run.as_str()).into_iter().flatten() {
            assert_eq!(execution.cell.kind, TileKind::Page);
            let ended = times.entry((execution.cell.slice, execution.cell.page));
            ended.or_default().push(execution.how.clone());
        }
        let twice: Vec<_> = times.iter().filter(|(_, ended)| ended.len() != 1).collect();
        anyhow::ensure!(
            twice.is_empty() && !times.is_empty(),
            "run {run}, seed {}: {twice:?}",
            stage.seed.number()
        );
    }
    Ok(())
}

/// How many records of a run were written in the next version, and how many there are.
async fn records(stage: &Stage, run: &RunId) -> anyhow::Result<(usize, usize)> {
    let subjects = stage.broker.subjects();
    let all = subjects.ledger_of_run_anywhere(run);
    let all = stage.broker.read(&subjects.ledger(), all, 1, None).await?;
    let next = all.iter().filter(|record| record.payload.starts_with(NEXT));
    Ok((next.count(), all.len()))
}

/// Nobody reported of a run in a version above that of its first record.
async fn reports_fit(stage: &Stage, run: &RunId) -> anyhow::Result<()> {
    let subjects = stage.broker.subjects();
    let all = subjects.ledger_of_run_anywhere(run);
    let all = stage.broker.read(&subjects.ledger(), all, 1, None).await?;
    let is_next = |record: &Stored| record.payload.starts_with(NEXT);
    let first = all.first().context("a first record")?;
    for record in all.iter().filter(|record| is_next(record)) {
        let place = subjects.parse_ledger(&record.subject);
        let (_, _, author) = place.context("a record of a run")?;
        anyhow::ensure!(
            author == Author::Plan || is_next(first),
            "run {run}, {author:?} at {}",
            record.seq
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrade_and_rollback_of_everything_with_runs_in_flight_lose_nothing_and_repeat_nothing()
-> anyhow::Result<()> {
    Build::Next.take_part();
    play(async |stage| {
        std::fs::create_dir(stage.dir().join("executions"))?;
        stage.build = Build::Next;
        let mut jobs = Vec::new();
        for (text, sleep_ms) in JOBS {
            jobs.push((stage.apply(text).await?, sleep_ms));
        }
        let ticks = stage.apply(TICKS).await?;
        for _ in 0..2 {
            stage.start_planner().await?;
        }
        planners_answer(stage, 2).await?;
        for _ in 0..WORKERS {
            start_logged(stage).await?;
        }
        let mut runs = Vec::new();
        bring_to(stage, Build::Later, &jobs, &mut runs).await?;
        let upgraded = runs.len();
        submit(stage, &jobs, &mut runs).await?;
        bring_to(stage, Build::Next, &jobs, &mut runs).await?;
        let rolled_back = runs.len();
        submit(stage, &jobs, &mut runs).await?;
        stage.broker.jobs().delete(ticks.as_str(), None).await?;
        for run in &runs {
            stage.closed(run, LONG).await?;
            stage.judge(run).await?.succeeded()?;
            reports_fit(stage, run).await?;
        }
        // What was asked for while the later build was everywhere stands there as that writes it, and what came after the
        // rollback as this one does.
        let (next, of) = records(stage, &runs[upgraded]).await?;
        assert!(next > 0, "{next} of {of}");
        let (next, of) = records(stage, &runs[rolled_back]).await?;
        assert!(next == 0 && of > 0, "{next} of {of}");
        eventually(SOON, "all fires are over", async || {
            Ok(Fires::read(&stage.broker, &ticks).await?.are_over())
        })
        .await?;
        let fires = Fires::read(&stage.broker, &ticks).await?;
        fires.judge()?;
        let ticked: Vec<RunId> = fires.opened().cloned().collect();
        assert!(ticked.len() >= 10, "{}", ticked.len());
        executed_once(stage, &runs)?;
        executed_once(stage, &ticked)?;
        no_dead_letters(stage).await
    })
    .await
}

/// The lines of `doctor` about versions that are BAD.
async fn too_old(stage: &Stage) -> anyhow::Result<Vec<String>> {
    let asked = stage.cli(&["doctor", "--json"], SOON).await?;
    let checks = asked.json()?;
    let checks = checks.as_array().cloned().unwrap_or_default();
    let bad = |check: &Value| check["check"] == "versions" && check["result"] == "bad";
    let found = checks.iter().filter(|check| bad(check));
    Ok(found
        .filter_map(|check| Some(check["found"].as_str()?.to_owned()))
        .collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_of_an_older_build_puts_off_what_a_newer_one_issued_until_a_newer_worker_is_there()
-> anyhow::Result<()> {
    Build::Next.take_part();
    play(async |stage| {
        let job = stage.apply(JOBS[1].0).await?;
        stage.build = Build::This;
        // What is put off comes again to whoever waits for it: several could have it by turns for ever.
        for _ in 0..3 {
            stage.start_worker(4, &[]).await?;
        }
        stage.build = Build::Later;
        stage.start_planner().await?;
        let run = stage.submit(&job, &json!({})).await?;
        eventually(SOON, "the workers say that they wait", async || {
            let workers = stage.cli(&["workers", "--json"], SOON).await?.json()?;
            let troubles = workers.as_array().into_iter().flatten();
            let troubles = troubles.filter_map(|worker| worker["trouble"].as_str());
            let waits = |trouble: &&str| trouble.contains("newer build");
            Ok(troubles.filter(waits).count() == 3)
        })
        .await?;
        let found = too_old(stage).await?.join("\n");
        assert!(found.contains("version 2"), "{found}");
        // Some of it came more than once by now.
        let ledger = gridloom_tests::oracle::ledger::Ledger::read(&stage.broker, &run).await?;
        assert_eq!(ledger.summary()?.shards.done, 0);
        no_dead_letters(stage).await?;
        stage.start_worker(4, &[]).await?;
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        no_dead_letters(stage).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_of_a_later_build_reports_what_its_planner_reads_and_what_calls_itself_newer_is_nonsense()
-> anyhow::Result<()> {
    Build::Next.take_part();
    play(async |stage| {
        let job = stage.apply(JOBS[1].0).await?;
        // A key that holds a number has no version.
        let lane = Lane::new(QueueName::new("default")?, HandlerName::new("noop")?);
        let number = stage.broker.subjects().consumer_key(&lane);
        let odd = bytes::Bytes::from_static(CALLED_NEWER[1]);
        stage.broker.state().put(&number, odd).await?;
        stage.build = Build::Later;
        stage.start_worker(4, &[]).await?;
        stage.build = Build::This;
        stage.start_planner().await?;
        let own = stage.submit(&job, &json!({ "sleep_ms": 10 })).await?;
        stage.closed(&own, LONG).await?;
        stage.judge(&own).await?.succeeded()?;
        let (next, of) = records(stage, &own).await?;
        assert!(next == 0 && of > 0, "{next} of {of}");
        // Whoever has a worker's password writes what no worker does.
        let run = stage.submit(&job, &json!({ "sleep_ms": 200 })).await?;
        stage.done(&run, 4, SOON).await?;
        let (subjects, queue) = (stage.broker.subjects(), QueueName::new("default")?);
        for author in [Author::Work, Author::Takeover] {
            for record in CALLED_NEWER {
                let subject = subjects.ledger_of(&queue, &run, author);
                let record = bytes::Bytes::from_static(record);
                stage.broker.append(subject, record, None).await?;
            }
        }
        stage.closed(&run, LONG).await?;
        let audit = stage.cli(&["audit", run.as_str(), "--json"], SOON).await?;
        assert_eq!(audit.code, 1, "{} {}", audit.stdout, audit.stderr);
        let audit = audit.json()?;
        for (what, count) in [
            ("committed", 40),
            ("lost_cells", 0),
            ("twice_cells", 0),
            ("unexpected_records", 4),
        ] {
            assert_eq!(audit[what], count, "{audit}");
        }
        assert!(lease(stage).await?["lacks"].is_null());
        assert_eq!(too_old(stage).await?, Vec::<String>::new());
        Ok(())
    })
    .await
}

/// Where the lease says who leads, and what that one lacks.
async fn lease(stage: &Stage) -> anyhow::Result<Value> {
    let place = stage.broker.state().place_of(LEADER_KEY).await?;
    let value = place.value().map(|value| serde_json::from_slice(value));
    Ok(value.transpose()?.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn planner_of_an_older_build_leaves_newer_runs_and_schedules_alone_and_gives_way_to_a_newer_one()
-> anyhow::Result<()> {
    Build::Next.take_part();
    play(async |stage| {
        let (job, ticks) = (stage.apply(JOBS[1].0).await?, stage.apply(TICKS).await?);
        stage.build = Build::Later;
        stage.start_planner().await?;
        // It reads what that planner writes, and writes what the older one reads.
        stage.build = Build::Next;
        stage.start_worker(4, &[]).await?;
        let run = stage.submit(&job, &json!({ "sleep_ms": 300 })).await?;
        stage.done(&run, 4, SOON).await?;
        eventually(SOON, "the schedule fires", async || {
            let fires = Fires::read(&stage.broker, &ticks).await?;
            Ok(fires.opened().count() > 0)
        })
        .await?;
        stage.planners[0].kill().await?;
        stage.free_leadership().await?;
        // A rollback by more than one release.
        stage.build = Build::This;
        stage.start_planner().await?;
        eventually(SOON, "the older planner says what it lacks", async || {
            let lease = lease(stage).await?;
            Ok(lease["lacks"] == json!(2) && lease["newer"]["count"].as_u64() >= Some(1))
        })
        .await?;
        let written = written_by_planners(stage, &run, &ticks).await?;
        let found = too_old(stage).await?;
        assert!(
            found.iter().any(|line| line.contains(run.as_str())),
            "{found:?}"
        );
        told_by_commands(stage, &run).await?;
        // What it can read goes on meanwhile.
        let own = stage.submit(&job, &json!({})).await?;
        stage.closed(&own, LONG).await?;
        assert_eq!(written_by_planners(stage, &run, &ticks).await?, written);
        assert!(!stage.is_closed(&run).await?);
        let term = stage.term().await?;
        stage.build = Build::Later;
        stage.start_planner().await?;
        eventually(SOON, "the newer planner leads", async || {
            Ok(stage.term().await? > term && lease(stage).await?["lacks"].is_null())
        })
        .await?;
        assert!(stage.planners[1].is_running()?);
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        stage.judge(&own).await?.succeeded()?;
        eventually(SOON, "the schedule goes on", async || {
            Ok(written_by_planners(stage, &run, &ticks).await?.1 > written.1)
        })
        .await?;
        no_dead_letters(stage).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn definition_of_a_newer_build_is_not_replaced_and_what_is_submitted_for_it_waits()
-> anyhow::Result<()> {
    Build::Next.take_part();
    play(async |stage| {
        let file = stage.dir().join("job.toml");
        std::fs::write(&file, JOBS[1].0)?;
        let file = file.to_string_lossy().into_owned();
        let apply = ["job", "apply", &file];
        stage.build = Build::Later;
        stage.cli(&apply, SOON).await?.succeeded()?;
        stage.build = Build::This;
        stage.start_planner().await?;
        let run = stage.submit(&JobName::new("slow")?, &json!({})).await?;
        eventually(SOON, "the planner says what it lacks", async || {
            Ok(lease(stage).await?["lacks"] == json!(2))
        })
        .await?;
        let said = stage.cli(&apply, SOON).await?;
        assert_eq!(said.code, 4, "{} {}", said.stdout, said.stderr);
        let stands = stage.broker.jobs().place_of("slow").await?;
        assert!(stands.value().is_some_and(|value| value.starts_with(NEXT)));
        no_dead_letters(stage).await?;
        stage.build = Build::Later;
        stage.start_planner().await?;
        stage.start_worker(4, &[]).await?;
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        Ok(())
    })
    .await
}

/// What people ask of an older planner, or with a command of that build, is told instead of done.
async fn told_by_commands(stage: &Stage, run: &RunId) -> anyhow::Result<()> {
    for args in [
        &["show", run.as_str()][..],
        &["cancel", run.as_str()],
        &["job", "fires", "ticks"],
    ] {
        let said = stage.cli(args, SOON).await?;
        let asks = args[0] != "cancel";
        let told = if asks { said.code == 4 } else { said.code != 0 };
        assert!(
            told,
            "{args:?}: {} {} {}",
            said.code, said.stdout, said.stderr
        );
        let why = &said.stderr;
        assert!(why.contains("newer build"), "{args:?}: {why}");
    }
    Ok(())
}

/// The last record that planners wrote of a run, and of the fires of a job.
async fn written_by_planners(
    stage: &Stage,
    run: &RunId,
    job: &JobName,
) -> anyhow::Result<(u64, u64)> {
    let subjects = stage.broker.subjects();
    let plan = subjects.plan_of_run_anywhere(run);
    let plan = stage
        .broker
        .last_of_leader(&subjects.ledger(), &plan)
        .await?;
    let fires = stage
        .broker
        .last_of_leader(&subjects.history(), &subjects.fires(job))
        .await?;
    Ok((
        plan.map_or(0, |last| last.seq),
        fires.map_or(0, |last| last.seq),
    ))
}
