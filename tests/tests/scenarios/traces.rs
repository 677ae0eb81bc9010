//! What a collector is told of runs, whoever dies on the way.

use std::time::Duration;

use anyhow::{Context, ensure};
use gridloom_shared::id::RunId;
use gridloom_tests::certificates::Authority;
use gridloom_tests::collector::{Collector, Manner, Told, WHY_REJECTED, whole};
use gridloom_tests::http::{metric, served_at};
use gridloom_tests::process::Gridloom;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::{eventually, eventually_some};
use serde_json::json;

use crate::traced::{place, send};

const SOON: Duration = Duration::from_secs(60);

/// The trace of a place in one, and the span.
fn parts(place: &str) -> (&str, &str) {
    (&place[3..35], &place[36..52])
}

fn planner(stage: &Stage, collector: &Collector, share: &str) -> anyhow::Result<Gridloom> {
    let url = collector.url();
    stage.gridloom(&[
        "planner",
        "--listen",
        "127.0.0.1:0",
        "--otlp-endpoint",
        &url,
        "--otlp-sample",
        share,
    ])
}

async fn start(stage: &mut Stage, collector: &Collector, share: &str) -> anyhow::Result<()> {
    let planner = planner(stage, collector, share)?.start().await?;
    stage.planners.push(planner);
    worker(stage, collector, 6, &[]).await
}

async fn worker(
    stage: &mut Stage,
    collector: &Collector,
    concurrency: u32,
    args: &[&str],
) -> anyhow::Result<()> {
    let url = collector.url();
    let told = ["--otlp-endpoint", url.as_str(), "--listen", "127.0.0.1:0"];
    let args: Vec<&str> = told.iter().chain(args).copied().collect();
    stage.start_worker(concurrency, &args).await?;
    Ok(())
}

fn named<'t>(told: &'t [Told], name: &str) -> Vec<&'t Told> {
    told.iter().filter(|span| span.name == name).collect()
}

fn one<'t>(told: &'t [Told], name: &str) -> anyhow::Result<&'t Told> {
    match named(told, name)[..] {
        [one] => Ok(one),
        ref all => anyhow::bail!("{} of {name}: {told:#?}", all.len()),
    }
}

/// Waits until the run of a trace was told of and nothing of it is on its way any more, and gives all.
async fn at_its_end(
    collector: &Collector,
    trace: &str,
    run: &str,
    attempts: usize,
) -> anyhow::Result<Vec<Told>> {
    let is_whole = |told: &[Told]| {
        let done = told.iter().filter(|span| {
            span.said
                .get("gridloom.outcome")
                .is_some_and(|what| what == "done")
        });
        !named(told, run).is_empty() && done.count() >= attempts
    };
    collector.trace(trace, is_whole, SOON).await
}

/// A shard that failed and was tried again, a worker that was killed in the middle of two shards, a leader that was killed
/// while the run was open.
#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_the_submitter_to_the_end_whoever_dies_on_the_way()
-> anyhow::Result<()> {
    play(async |stage| {
        let collector = Collector::start(Manner::Takes).await?;
        let job = stage
            .apply(
                "name = \"told\"\nhandler = \"noop\"\n[grid]\nslices = 6\npages = { count = 1 }\n\
                 [retry]\nbackoff = { initial = \"10ms\" }\n[params]\nsleep_ms = 3000\nfail_attempts = 1",
            )
            .await?;
        for _ in 0..2 {
            let planner = planner(stage, &collector, "0")?.start().await?;
            stage.planners.push(planner);
            eventually(SOON, "one leads", async || Ok(stage.term().await? > 0)).await?;
        }
        worker(stage, &collector, 2, &[]).await?;
        let given = place(1);
        let run = send(stage, &job, &[("traceparent", &given)]).await?;
        eventually(SOON, "two shards are executed", async || {
            let queues = stage.cli(&["queues", "--json"], SOON).await?.json()?;
            Ok(queues[0]["in_flight"].as_u64() == Some(2))
        })
        .await?;
        stage.workers[0].kill().await?;
        worker(stage, &collector, 6, &[]).await?;
        stage.done(&run, 1, SOON).await?;
        stage.planners[0].kill().await?;
        stage.free_leadership().await?;
        stage.closed(&run, SOON).await?;

        let (trace, submitter) = parts(&given);
        let told = at_its_end(&collector, trace, "run told", 6).await?;
        whole(&told, submitter)?;
        let begun = one(&told, "submit told")?;
        let ran = one(&told, "run told")?;
        ensure!(begun.parent == submitter && ran.parent == begun.span);
        ensure!(ran.said["gridloom.state"] == "succeeded" && ran.error.is_none(), "{ran:#?}");
        ensure!(ran.said["gridloom.shards.done"] == "6" && ran.took > Duration::from_secs(6), "{ran:#?}");
        ensure!(ran.said["gridloom.run"] == run.as_str() && ran.service == "gridloom-planner");
        ensure!(!named(&told, "wave told").is_empty());
        let attempts = named(&told, "shard told");
        ensure!(attempts.iter().all(|attempt| attempt.parent == ran.span));
        ensure!(attempts.iter().all(|attempt| attempt.service == "gridloom-worker"));
        for slice in 0..6 {
            let of = |attempt: &str| {
                let of_slice = attempts.iter().find(|span| {
                    span.said["gridloom.slice"] == slice.to_string() && span.said["gridloom.attempt"] == attempt
                });
                of_slice.copied().with_context(|| format!("attempt {attempt} of {slice}: {told:#?}"))
            };
            let (first, second) = (of("1")?, of("2")?);
            ensure!(first.error.is_some() && first.said["error.type"] == "retry", "{first:#?}");
            ensure!(second.error.is_none() && second.took >= Duration::from_secs(3), "{second:#?}");
            // An attempt that was taken over is another than the one that was issued, of which nobody tells.
            let taken = !first.events.is_empty();
            ensure!(taken || second.follows.contains(&first.span), "{second:#?}");
        }
        let taken = attempts.iter().flat_map(|span| &span.events);
        let taken = taken.filter(|(name, said)| name == "takeover" && said["gridloom.reason"] == "count");
        ensure!(taken.count() >= 2, "{told:#?}");
        stage.judge(&run).await?;
        Ok(())
    })
    .await
}

/// The handler goes on under its own attempt.
#[tokio::test(flavor = "multi_thread")]
async fn run_that_nobody_brought_a_trace_for_begins_one_and_its_handler_goes_on_in_it()
-> anyhow::Result<()> {
    play(async |stage| {
        let collector = Collector::start(Manner::Takes).await?;
        let job = "name = \"told\"\nhandler = \"exec\"\n[exec]\ncommand = \"show\"\n[schedule]\nat = \"AT\"";
        let at = gridloom_shared::clock::UnixMs(gridloom_shared::clock::UnixMs::now().0 + 2_500);
        let seen = stage.dir().join("seen");
        let show = format!("show=sh -c 'echo \"$TRACEPARENT\" >> \"{}\"'", seen.display());
        // By the standard variables alone.
        let planner = stage.gridloom(&["planner"])?.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
        let planner = planner.env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hunter2");
        let planner = planner.env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=here");
        stage.planners.push(planner.start().await?);
        worker(stage, &collector, 2, &["--exec", &show]).await?;
        let file = stage.dir().join("told.toml");
        std::fs::write(&file, job.replace("AT", &at.to_the_second()))?;
        stage.cli(&["job", "apply", &file.display().to_string()], SOON).await?.succeeded()?;
        let line = eventually_some(SOON, "the command ran", async || {
            let text = std::fs::read_to_string(&seen).unwrap_or_default();
            Ok(text.lines().next().map(str::to_owned))
        })
        .await?;
        let (trace, span) = parts(&line);
        let told = at_its_end(&collector, trace, "run told", 1).await?;
        whole(&told, "")?;
        let fire = one(&told, "fire told")?;
        ensure!(fire.parent.is_empty() && fire.said.contains_key("gridloom.late_ms"), "{fire:#?}");
        ensure!(one(&told, "shard told")?.span == span && line.ends_with("-03"), "{line}: {told:#?}");
        let secret = |headers: &axum::http::HeaderMap| headers.get("authorization").is_some_and(|value| value == "Bearer hunter2");
        ensure!(collector.headers().iter().any(secret));
        ensure!(!stage.planners[0].stderr().contains("hunter2"));
        Ok(())
    })
    .await
}

/// Who began the trace says whether it is told of; of the others the share does.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_of_what_is_not_sampled() -> anyhow::Result<()> {
    play(async |stage| {
        let collector = Collector::start(Manner::Takes).await?;
        let job = stage.apply("name = \"told\"\nhandler = \"noop\"").await?;
        start(stage, &collector, "0").await?;
        let (unsampled, sampled) = (place(1).replace("-01", "-00"), place(2));
        for headers in [
            &[][..],
            &[("traceparent", unsampled.as_str())],
            &[("traceparent", "nonsense")],
        ] {
            let run = send(stage, &job, headers).await?;
            stage.closed(&run, SOON).await?;
        }
        send(stage, &job, &[("traceparent", &sampled)]).await?;
        at_its_end(&collector, parts(&sampled).0, "run told", 1).await?;
        // What was told before it would be there by now.
        let others = collector
            .told()
            .into_iter()
            .filter(|told| told.trace != parts(&sampled).0);
        ensure!(others.count() == 0, "{:#?}", collector.told());
        Ok(())
    })
    .await
}

async fn counted(address: &str, outcome: &str) -> anyhow::Result<f64> {
    let name = format!("gridloom_spans_total{{outcome=\"{outcome}\"}}");
    Ok(metric(address, &name).await?.unwrap_or_default())
}

/// A collector that hangs, one that refuses and one that is not there.
#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_whatever_becomes_of_the_collector_and_what_is_not_sent_is_counted()
-> anyhow::Result<()> {
    for manner in [Some(Manner::Hangs), Some(Manner::Refuses(401)), None] {
        play(async |stage| {
            let collector = Collector::start(manner.unwrap_or(Manner::Takes)).await?;
            let job = stage
                .apply("name = \"told\"\nhandler = \"noop\"\n[grid]\nslices = 10\npages = { count = 50 }\ntile = 1")
                .await?;
            let url = collector.url();
            if manner.is_none() {
                drop(collector);
            }
            let told = ["--otlp-endpoint", url.as_str(), "--listen", "127.0.0.1:0"];
            for (service, of) in [("planner", 0), ("worker", 1)] {
                let args: Vec<&str> = std::iter::once(service).chain(told).collect();
                let process = stage.gridloom(&args)?.env("OTEL_EXPORTER_OTLP_TIMEOUT", "700");
                let process = process.start().await?;
                if of == 0 { stage.planners.push(process) } else { stage.workers.push(process) }
            }
            let run: RunId = stage.submit(&job, &json!({})).await?;
            stage.closed(&run, SOON).await?;
            let worker = served_at(&stage.workers[0]).await?;
            eventually(SOON, "it is counted", async || Ok(counted(&worker, "failed").await? > 0.0)).await?;
            ensure!(counted(&worker, "sent").await? == 0.0);
            let warned = || stage.workers[0].stderr().contains("the collector does not take traces");
            eventually(SOON, "it is told", async || Ok(warned())).await?;
            // A clean stop does not wait for it for long either.
            stage.workers[0].terminate()?;
            ensure!(stage.workers[0].wait(Duration::from_secs(15)).await? == 0);
            Ok(())
        })
        .await
        .with_context(|| format!("{manner:?}"))?;
    }
    Ok(())
}

/// Ten shards, each alone.
const TEN: &str =
    "name = \"told\"\nhandler = \"noop\"\n[grid]\nslices = 1\npages = { count = 10 }\ntile = 1";

/// By the answer to a batch that it took.
#[tokio::test(flavor = "multi_thread")]
async fn spans_that_a_collector_refuses_though_it_takes_the_others_are_counted_with_its_reason()
-> anyhow::Result<()> {
    play(async |stage| {
        let collector = Collector::start(Manner::Rejects(1)).await?;
        let job = stage.apply(TEN).await?;
        start(stage, &collector, "1").await?;
        let run = stage.submit(&job, &json!({})).await?;
        stage.closed(&run, SOON).await?;
        let worker = served_at(&stage.workers[0]).await?;
        eventually(SOON, "all of them are counted", async || {
            let (sent, rejected) = (
                counted(&worker, "sent").await?,
                counted(&worker, "rejected").await?,
            );
            Ok(rejected >= 1.0 && sent + rejected == 10.0)
        })
        .await?;
        // One of each batch.
        ensure!(counted(&worker, "rejected").await? <= collector.requests() as f64);
        ensure!(counted(&worker, "failed").await? == 0.0);
        ensure!(stage.workers[0].stderr().contains(WHY_REJECTED));
        Ok(())
    })
    .await
}

/// Told to stop while the collector does not answer.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_sent_at_the_end_of_a_service_is_told_with_its_number() -> anyhow::Result<()> {
    play(async |stage| {
        let collector = Collector::start(Manner::Hangs).await?;
        let job = stage.apply(TEN).await?;
        stage.start_planner().await?;
        worker(stage, &collector, 6, &[]).await?;
        let run = send(stage, &job, &[("traceparent", &place(1))]).await?;
        stage.closed(&run, SOON).await?;
        eventually(SOON, "some are on their way", async || {
            Ok(collector.requests() > 0)
        })
        .await?;
        stage.workers[0].terminate()?;
        ensure!(stage.workers[0].wait(Duration::from_secs(15)).await? == 0);
        let said = stage.workers[0].stderr();
        let told = said
            .lines()
            .find(|line| line.contains("what is left of the traces"));
        let told = told.context("it is told")?;
        ensure!(told.contains("lost=10"), "{told}");
        Ok(())
    })
    .await
}

/// Over TLS, with an authority that only the variable names.
#[tokio::test(flavor = "multi_thread")]
async fn collector_with_a_certificate_is_told_if_its_authority_is_trusted() -> anyhow::Result<()> {
    play(async |stage| {
        let authority = Authority::new(stage.dir(), "authority")?;
        let collector =
            Collector::start_encrypted(&authority.sign("collector", &["127.0.0.1"])?).await?;
        let job = stage.apply("name = \"told\"\nhandler = \"noop\"").await?;
        let planner = planner(stage, &collector, "1")?;
        let planner = planner.env("OTEL_EXPORTER_OTLP_CERTIFICATE", &authority.file);
        stage.planners.push(planner.start().await?);
        // This one does not trust it.
        worker(stage, &collector, 2, &[]).await?;
        let run = send(stage, &job, &[("traceparent", &place(1))]).await?;
        stage.closed(&run, SOON).await?;
        let trace = place(1);
        let told = at_its_end(&collector, parts(&trace).0, "run told", 0).await?;
        ensure!(named(&told, "shard told").is_empty());
        eventually(SOON, "it says why", async || {
            Ok(stage.workers[0].stderr().contains("UnknownIssuer"))
        })
        .await
    })
    .await
}

/// What is wrong with a setting is told before anything begins.
#[tokio::test(flavor = "multi_thread")]
async fn setting_of_traces_that_cannot_be_is_refused() -> anyhow::Result<()> {
    play(async |stage| {
        for (args, words) in [
            (
                ["--otlp-endpoint", "collector:4317"],
                "http://127.0.0.1:4318",
            ),
            (
                ["--otlp-endpoint", "http://me:hunter2@a"],
                "GRIDLOOM_OTLP_HEADERS",
            ),
            (["--otlp-sample", "2"], "from 0 to 1"),
        ] {
            for service in ["planner", "worker"] {
                let args: Vec<&str> = std::iter::once(service).chain(args).collect();
                let refused = stage.cli(&args, SOON).await?;
                ensure!(
                    refused.code == 2 && refused.stderr.contains(words),
                    "{refused:?}"
                );
                ensure!(!refused.stderr.contains("hunter2"), "{refused:?}");
            }
        }
        Ok(())
    })
    .await
}
