//! Many: 10,000 jobs, 100,000 runs, and a run of a million shards. Long, and run by hand:
//! `cargo test --release -p gridloom-tests --test scenarios -- --ignored api::many --nocapture`.

use std::collections::BTreeMap;
use std::time::Instant;

use futures_util::{StreamExt, stream};
use gridloom_shared::id::{JobName, QueueName, RunId};
use gridloom_shared::job::parse::from_value;
use gridloom_shared::ledger::summary::{GridSummary, RunState, RunSummary, ShardSummary};
use gridloom_shared::wire;

use super::*;

const JOBS: u64 = 10_000;
const RUNS: u64 = 100_000;
/// Writes that are under way at once.
const AT_ONCE: usize = 512;
/// Of the server's time for a list.
const LISTED: Duration = Duration::from_millis(200);

fn summary(n: u64) -> anyhow::Result<RunSummary> {
    let job = JobName::new(format!("job-{}", n % JOBS))?;
    let failed = n.is_multiple_of(100);
    let shards = ShardSummary {
        planned: 10,
        done: 10 - u64::from(failed),
        dead: u64::from(failed),
        dead_probes: 0,
        given_up: 0,
        outstanding: 0,
        late: 0,
        retried: 0,
        taken_over: 0,
    };
    let at = gridloom_shared::clock::UnixMs(1_772_323_200_000 + n * 1_000).rfc3339();
    Ok(RunSummary {
        run: RunId::from_submission(&job, n),
        job,
        queue: QueueName::new("default")?,
        state: if failed {
            RunState::Failed
        } else {
            RunState::Succeeded
        },
        scheduled_at: Some(at.clone()),
        opened_at: Some(at.clone()),
        closed_at: Some(at),
        grid: GridSummary {
            slices: 1,
            shards: 10,
        },
        shards,
        rows: 0,
        counters: BTreeMap::new(),
        more_counters: 0,
        error: None,
    })
}

/// The median of some answers, and how large one is.
async fn measured(api: &Api, path: &str) -> anyhow::Result<(Duration, usize)> {
    let (mut times, mut bytes) = (Vec::new(), 0);
    for _ in 0..11 {
        let begun = Instant::now();
        let reply = api.ask(("GET", path), &[], None).await?;
        times.push(begun.elapsed());
        ensure!(reply.status == 200, "{path}: {}", reply.json());
        bytes = reply.body.len();
    }
    times.sort();
    Ok((times[times.len() / 2], bytes))
}

/// 10,000 jobs.
async fn define_many(stage: &Stage) -> anyhow::Result<()> {
    let jobs = stage.broker.jobs();
    let puts = stream::iter(0..JOBS).map(|n| {
        let jobs = jobs.clone();
        async move {
            let queue = format!("q-{}", n % 7);
            let job = json!({ "name": format!("job-{n}"), "handler": "noop", "queue": queue });
            let spec = from_value(job).map_err(|faults| anyhow::anyhow!("{faults}"))?;
            anyhow::Ok(jobs.put(spec.name.as_str(), wire::encode(&spec)).await?)
        }
    });
    let written: Vec<_> = puts.buffer_unordered(AT_ONCE).collect().await;
    written.into_iter().collect::<anyhow::Result<Vec<u64>>>()?;
    Ok(())
}

/// What `path` is answered, how long that took, and the longest that somebody else waited meanwhile.
async fn beside(api: &Api, path: &str) -> anyhow::Result<(Value, Duration, Duration)> {
    let asked = async {
        let begun = Instant::now();
        Ok::<_, anyhow::Error>((api.get(path).await?, begun.elapsed()))
    };
    tokio::pin!(asked);
    let mut longest = Duration::ZERO;
    loop {
        let other = async {
            let begun = Instant::now();
            api.get("/about").await?;
            Ok::<_, anyhow::Error>(begun.elapsed())
        };
        tokio::select! {
            answer = &mut asked => {
                let (told, took) = answer?;
                return Ok((told, took, longest));
            }
            waited = other => longest = longest.max(waited?),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute, for figures"]
async fn examination_of_many_jobs_holds_nobody_up() -> anyhow::Result<()> {
    play(async |stage| {
        let api = start(stage, &[]).await?;
        eventually(
            SOON,
            "a planner leads",
            async || Ok(stage.term().await? > 0),
        )
        .await?;
        define_many(stage).await?;
        for _ in 0..3 {
            let (told, took, longest) = beside(&api, "/doctor").await?;
            eprintln!(
                "/doctor of {JOBS} jobs: {took:?}, others waited {longest:?} at most, {} lines",
                told["items"].as_array().map_or(0, Vec::len)
            );
            ensure!(longest <= LISTED, "{longest:?}");
            tokio::time::sleep(Duration::from_secs(6)).await;
        }
        // Others that tell of all jobs, the first time and once these are known.
        for path in ["/queues", "/calendars", "/queues", "/calendars"] {
            let (_, took, longest) = beside(&api, path).await?;
            eprintln!("{path} of {JOBS} jobs: {took:?}, others waited {longest:?} at most");
            ensure!(longest <= LISTED, "{path}: {longest:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute, for figures"]
async fn who_worked_on_a_million_shards_is_told_without_holding_anybody_up() -> anyhow::Result<()> {
    play(async |stage| {
        let first = start(stage, &[]).await?;
        for _ in 0..4 {
            stage.start_worker(64, &[]).await?;
        }
        let job = stage
            .apply("name = \"big\"\nhandler = \"noop\"\n[grid]\nslices = 64\npages = { count = 15625 }")
            .await?;
        let run = stage.submit(&job, &json!({})).await?;
        stage.closed(&run, SOON * 10).await?;
        first.is(run.as_str(), "succeeded").await?;
        // On a planner that has not looked at it before.
        let api = start(stage, &[]).await?;
        let path = format!("/runs/{run}/workers");
        let (told, took, longest) = beside(&api, &path).await?;
        let workers = told["workers"].as_array().map_or(0, Vec::len);
        eprintln!("{path}, read anew: {took:?}, others waited {longest:?} at most, {workers} workers");
        ensure!(longest <= LISTED, "{longest:?}");
        let (median, bytes) = measured(&api, &path).await?;
        eprintln!("{path}: {median:?}, {bytes} bytes");
        ensure!(median <= LISTED, "{median:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute, for figures"]
async fn many_jobs_and_runs_are_listed_and_filtered_within_200_ms() -> anyhow::Result<()> {
    play(async |stage| {
        let api = start(stage, &[]).await?;
        let runs = stage.broker.runs();
        define_many(stage).await?;
        let puts = stream::iter(0..RUNS).map(|n| {
            let runs = runs.clone();
            async move {
                let summary = summary(n)?;
                anyhow::Ok(
                    runs.put(summary.run.as_str(), wire::encode(&summary))
                        .await?,
                )
            }
        });
        let written: Vec<_> = puts.buffer_unordered(AT_ONCE).collect().await;
        written.into_iter().collect::<anyhow::Result<Vec<u64>>>()?;
        let begun = Instant::now();
        api.get("/runs").await?;
        eprintln!("first list of {RUNS} runs: {:?}", begun.elapsed());
        for path in [
            "/jobs",
            "/jobs?limit=1000",
            "/jobs?name=77",
            "/jobs?queue=q-3&limit=1000",
            "/runs",
            "/runs?limit=1000",
            "/runs?state=failed",
            "/runs?job=job-4242",
            "/runs?job=job-none",
            "/runs?dead=true&limit=1000",
            "/runs?from=2026-03-01T00:00:00Z&to=2026-03-01T01:00:00Z",
        ] {
            let (median, bytes) = measured(&api, path).await?;
            eprintln!("{path}: {median:?}, {bytes} bytes");
            ensure!(median <= LISTED, "{path}: {median:?}");
        }
        let planner = stage.planners.last().context("the planner")?;
        let peak = planner.peak().unwrap_or(0) >> 20;
        eprintln!("peak memory of the planner: {peak} MiB");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute, for figures"]
async fn grid_of_a_million_shards_fits_into_200_kb_while_they_change() -> anyhow::Result<()> {
    play(async |stage| {
        let api = start(stage, &[]).await?;
        stage.start_worker(64, &[]).await?;
        let job = stage
            .apply("name = \"big\"\nhandler = \"noop\"\n[grid]\nslices = 64\npages = { count = 15625 }")
            .await?;
        let run = stage.submit(&job, &json!({})).await?;
        let (path, state) = (format!("/runs/{run}/grid"), format!("/runs/{run}"));
        eventually(SOON, "it runs", async || {
            Ok(api.ask(("GET", &path), &[], None).await?.status == 200)
        })
        .await?;
        let (mut slowest, mut largest, mut asked) = (Duration::ZERO, 0, 0);
        loop {
            let begun = Instant::now();
            let grid = api.ask(("GET", &path), &[], None).await?;
            slowest = slowest.max(begun.elapsed());
            largest = largest.max(grid.body.len());
            asked += 1;
            ensure!(grid.body.len() <= 200_000, "{} bytes", grid.body.len());
            if api.get(&state).await?["state"] == "succeeded" {
                break;
            }
        }
        eprintln!("{asked} grids: largest {largest} bytes, slowest {slowest:?}");
        Ok(())
    })
    .await
}
