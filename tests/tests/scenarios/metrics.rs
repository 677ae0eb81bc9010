//! Metrics and alerts as a real Prometheus sees them, with the files of `deploy/prometheus`.
//!
//! | room | what it looks at |
//! |------|------------------|
//! | [`alerts`] | that each alert is tried, and those of processes that die |
//! | [`certificates`] | one of the broker that ends soon |
//! | [`leaders`] | alerts of a broker that is away and of leaders that change |
//! | [`quorum`] | those of three brokers of which one is away, and two |
//! | [`room`] | those of what is nearly full, and full; and of an API that fails |
//! | [`watched`] | those of what comes late, and is lost, too new, or told by a clock that jumps |
//! | [`work`] | those of what keeps workers from their work |
//! | [`moved`] | numbers of what goes wrong, and of what handlers count: as /metrics has them, without a Prometheus |
//! | [`kept`] | those of what waits, is removed, and is made good; and of who asks |

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use gridloom_cli::embedded::free_port;
use gridloom_shared::id::RunId;
use gridloom_shared::telemetry::metric::{Kind, Metric};
use gridloom_tests::http::{get, metric};
use gridloom_tests::prometheus::{Prometheus, promtool, tool};
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;
use serde_json::{Value, json};

#[path = "metrics/alerts.rs"]
mod alerts;
#[path = "metrics/certificates.rs"]
mod certificates;
#[path = "metrics/kept.rs"]
mod kept;
#[path = "metrics/leaders.rs"]
mod leaders;
#[path = "metrics/moved.rs"]
mod moved;
#[path = "metrics/quorum.rs"]
mod quorum;
#[path = "metrics/room.rs"]
mod room;
#[path = "metrics/watched.rs"]
mod watched;
#[path = "metrics/work.rs"]
mod work;

const SOON: Duration = Duration::from_secs(30);
/// Within so long an alert fires, or clears: of seconds here, but other tests run beside.
const LONG: Duration = Duration::from_secs(120);

/// Whether Prometheus is here; it is said if not, and in CI that is a failure.
fn have_prometheus() -> bool {
    let tools = ["prometheus", "promtool"];
    let Err(error) = tools.iter().try_for_each(|name| tool(name).map(|_| ())) else {
        return true;
    };
    eprintln!("\n*** NOT RUN: what needs Prometheus did not run: {error:#} ***\n");
    assert!(
        std::env::var_os("CI").is_none(),
        "no Prometheus in CI: {error:#}"
    );
    false
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus")
}

/// The names of all alerts.
fn alerts() -> anyhow::Result<Vec<String>> {
    let alerts = file("alerts.yml")?;
    let names = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    Ok(names.map(str::to_owned).collect())
}

fn file(name: &str) -> anyhow::Result<String> {
    Ok(std::fs::read_to_string(folder().join(name))?)
}

/// Prometheus with the configuration and the alerts as they are delivered, except that it looks at these targets, and once
/// a second, and that what lasts minutes there lasts seconds here.
async fn prometheus(planner: u16, worker: u16) -> anyhow::Result<Prometheus> {
    let config = file("prometheus.yml")?;
    let found = |name: &str| {
        format!("dns_sd_configs: [{{names: [{name}], type: A, port: 9464, refresh_interval: 5s}}]")
    };
    let given = |port| format!("static_configs: [{{targets: [\"127.0.0.1:{port}\"]}}]");
    let mut config = config.replace("15s", "1s");
    for (name, port) in [("planner", planner), ("worker", worker)] {
        ensure!(config.contains(&found(name)), "{name}: {config}");
        config = config.replace(&found(name), &given(port));
    }
    let mut alerts = file("alerts.yml")?
        .replace("interval: 15s", "interval: 1s")
        .replace("[1m:15s]", "[4s:1s]")
        .replace("[15m:15s]", "[30s:1s]")
        .replace("> 900", "> 2");
    for minutes in ["2m", "5m", "10m", "15m"] {
        alerts = alerts
            .replace(&format!("[{minutes}]"), "[8s]")
            .replace(&format!("offset {minutes}"), "offset 8s");
    }
    let alerts = alerts.lines().map(|line| match line.trim_start() {
        wait if wait.starts_with("for: ") => "        for: 1s\n".to_owned(),
        _ => format!("{line}\n"),
    });
    let alerts: String = alerts.collect();
    Prometheus::start(&config, &[("alerts.yml", &alerts)]).await
}

/// A planner and a worker, each at a port that is known beforehand: both may be started again there.
async fn installation(stage: &mut Stage) -> anyhow::Result<(u16, u16)> {
    let ports = (free_port()?, free_port()?);
    planner(stage, ports.0).await?;
    worker(stage, ports.1).await?;
    Ok(ports)
}

async fn planner(stage: &mut Stage, port: u16) -> anyhow::Result<()> {
    let listen = format!("127.0.0.1:{port}");
    let planner = stage.gridloom(&["planner", "--listen", &listen])?;
    stage.planners.push(planner.start().await?);
    Ok(())
}

async fn worker(stage: &mut Stage, port: u16) -> anyhow::Result<()> {
    let listen = format!("127.0.0.1:{port}");
    stage.start_worker(4, &["--listen", &listen]).await?;
    Ok(())
}

async fn submit(stage: &mut Stage, job: &str, params: Value) -> anyhow::Result<RunId> {
    let job = stage.apply(job).await?;
    stage.submit(&job, &params).await
}

fn value(series: &Value) -> f64 {
    let text = series["value"][1].as_str().unwrap_or_default();
    text.parse().unwrap_or(f64::NAN)
}

/// Waits until the expression gives something.
async fn holds(prometheus: &Prometheus, expression: &str, within: Duration) -> anyhow::Result<()> {
    eventually(within, expression, async || {
        Ok(!prometheus.query(expression).await?.is_empty())
    })
    .await
}

/// Waits until the alert fires, and its description names this place: it may fire of others besides.
async fn fires(prometheus: &Prometheus, name: &str, place: &str) -> anyhow::Result<()> {
    let what = format!("{name} fires, and names {place:?}");
    let named = eventually(LONG, &what, async || {
        let firing = prometheus.firing(name).await?;
        let said = firing.iter();
        let mut said = said.filter_map(|alert| alert["annotations"]["description"].as_str());
        Ok(said.any(|said| said.contains(place)))
    });
    match named.await {
        Ok(()) => Ok(()),
        Err(error) => Err(error.context(format!("{:?}", prometheus.firing(name).await?))),
    }
}

async fn clears(prometheus: &Prometheus, name: &str) -> anyhow::Result<()> {
    let what = format!("{name} clears");
    eventually(LONG, &what, async || {
        Ok(prometheus.firing(name).await?.is_empty())
    })
    .await
}

/// What Prometheus says while a run of job `work` is under way, and how much of it at least.
const SEEN: &[(&str, f64)] = &[
    ("sum(up{job=~\"gridloom.*\"})", 2.0),
    ("sum(gridloom_leader)", 1.0),
    ("max(gridloom_term)", 1.0),
    ("sum(gridloom_elections_total)", 1.0),
    ("max(gridloom_broker_answers)", 1.0),
    ("sum(gridloom_ready)", 2.0),
    ("sum(gridloom_build_info)", 2.0),
    ("min(process_start_time_seconds)", 1_700_000_000.0),
    ("gridloom_shards_planned_total{job=\"work\"}", 1.0),
    ("gridloom_shards_done_total{job=\"work\"}", 1.0),
    (
        "gridloom_shard_duration_seconds_sum{job=\"work\",handler=\"noop\"}",
        0.2,
    ),
    (
        "gridloom_tile_wait_seconds_count{job=\"work\",handler=\"noop\"}",
        1.0,
    ),
    ("gridloom_ledger_append_seconds_count", 1.0),
    ("gridloom_ledger_append_tiles_sum", 1.0),
    ("gridloom_wave_publish_seconds_count", 1.0),
    ("gridloom_submissions_total{answer=\"opened\"}", 1.0),
    ("gridloom_runs{state=\"running\"}", 1.0),
    (
        "gridloom_runs_waiting{queue=\"default\",reason=\"queue_full\"}",
        1.0,
    ),
    ("gridloom_queue_workers{queue=\"default\"}", 1.0),
    (
        "gridloom_queue_handler_workers{queue=\"default\",handler=\"noop\"}",
        1.0,
    ),
    (
        "gridloom_queue_runs{queue=\"default\",handler=\"noop\"}",
        1.0,
    ),
    (
        "gridloom_queue_slots{queue=\"default\",handler=\"noop\"}",
        4.0,
    ),
    (
        "gridloom_queue_window_tiles{queue=\"default\",handler=\"noop\"}",
        5.0,
    ),
    (
        "gridloom_queue_outstanding_tiles{queue=\"default\",handler=\"noop\"}",
        5.0,
    ),
    (
        "gridloom_queue_pending{queue=\"default\",handler=\"noop\"}",
        1.0,
    ),
    (
        "gridloom_queue_in_flight{queue=\"default\",handler=\"noop\"}",
        1.0,
    ),
    (
        "gridloom_queue_oldest_seconds{queue=\"default\",handler=\"noop\"}",
        0.5,
    ),
    ("gridloom_fold_memory_bytes", 1_000.0),
    ("gridloom_stream_bytes{stream=\"ledger\"}", 100.0),
    ("gridloom_stream_messages{stream=\"ledger\"}", 2.0),
    (
        "gridloom_stream_limit_bytes{stream=\"submit\"}",
        1_000_000.0,
    ),
    ("gridloom_stream_replicas_current{stream=\"ledger\"}", 1.0),
    ("sum(gridloom_store_bytes)", 1_000.0),
    ("gridloom_leases_held", 1.0),
    ("gridloom_tiles_running", 1.0),
    ("gridloom_slots", 4.0),
    ("process_resident_memory_bytes", 1_000_000.0),
];

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_sees_a_run_under_way_and_promtool_has_nothing_to_say_about_the_metrics()
-> anyhow::Result<()> {
    if !have_prometheus() {
        return Ok(());
    }
    play(async |stage| {
        let (planner, worker) = installation(stage).await?;
        let prometheus = prometheus(planner, worker).await?;
        let job = "name = \"work\"\nhandler = \"noop\"\n[grid]\npages = { count = 4000 }\ntile = 1";
        let run = submit(stage, job, json!({"sleep_ms": 200})).await?;
        told(&prometheus, SEEN).await?;
        // Nobody is behind for long while so little is written.
        let lag = "gridloom_ledger_lag_records < 100";
        holds(&prometheus, lag, SOON).await?;
        for (port, metrics) in [
            (planner, gridloom_planner::metrics::ALL),
            (worker, gridloom_worker::metrics::ALL),
        ] {
            let page = get(("127.0.0.1", port), "/metrics").await?;
            let (_, page) = page.split_once("\r\n\r\n").context("no answer")?;
            let said = promtool(&folder(), &["check", "metrics"], page).await?;
            ensure!(said.is_empty(), "promtool says: {said}");
            described(page, metrics)?;
        }
        stage
            .cli(&["cancel", run.as_str()], SOON)
            .await?
            .succeeded()?;
        stage.closed(&run, SOON).await?;
        // What was told of it goes to 0, by itself.
        let idle = "gridloom_queue_runs{queue=\"default\",handler=\"noop\"} == 0";
        holds(&prometheus, idle, SOON).await
    })
    .await
}

/// Waits until Prometheus has as much as that of each.
async fn told(prometheus: &Prometheus, all: &[(&str, f64)]) -> anyhow::Result<()> {
    for (expression, least) in all {
        eventually(SOON, expression, async || {
            let found = prometheus.query(expression).await?;
            Ok(found.first().is_some_and(|series| value(series) >= *least))
        })
        .await?;
    }
    Ok(())
}

/// What it says where attempts failed, a worker died and a schedule fired, and how much of it at least.
const MOVED: &[(&str, f64)] = &[
    ("gridloom_shards_failed_total{job=\"failing\"}", 3.0),
    ("gridloom_shards_retried_total{job=\"failing\"}", 3.0),
    (
        "gridloom_runs_closed_total{job=\"failing\",state=\"succeeded\"}",
        1.0,
    ),
    (
        "gridloom_fires_total{job=\"tick\",decision=\"opened\"}",
        1.0,
    ),
    ("gridloom_fire_lateness_seconds_count", 1.0),
    ("sum(gridloom_workers_dead_total)", 1.0),
    ("gridloom_tiles_freed_total", 1.0),
    ("gridloom_shards_taken_over_total{job=\"held\"}", 1.0),
    ("sum(gridloom_tiles_taken_over_total)", 1.0),
    ("gridloom_worker_shards_total{outcome=\"done\"}", 1.0),
];

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_sees_what_was_tried_again_and_taken_over_and_what_fired() -> anyhow::Result<()>
{
    if !have_prometheus() {
        return Ok(());
    }
    play(async |stage| {
        let (at_planner, at_worker) = installation(stage).await?;
        let prometheus = prometheus(at_planner, at_worker).await?;
        let tick = "name = \"tick\"\nhandler = \"noop\"\n[schedule]\nevery = \"1s\"";
        stage.apply(tick).await?;
        let failing = "name = \"failing\"\nhandler = \"noop\"\n[grid]\npages = { count = 3 }\n[retry]\nmax_attempts = 2\nbackoff = { initial = \"100ms\" }";
        let failing = submit(stage, failing, json!({"fail_attempts": 1})).await?;
        stage.closed(&failing, SOON).await?;
        let held = "name = \"held\"\nhandler = \"noop\"\n[grid]\npages = { count = 8 }\ntile = 1";
        let held = submit(stage, held, json!({"sleep_ms": 3000})).await?;
        let many = "gridloom_leases_held >= 3";
        holds(&prometheus, many, SOON).await?;
        stage.workers[0].kill().await?;
        worker(stage, at_worker).await?;
        told(&prometheus, MOVED).await?;
        stage.closed(&held, SOON).await
    })
    .await
}

/// Every series of the page is described, with these labels and no others.
fn described(page: &str, metrics: &[Metric]) -> anyhow::Result<()> {
    let known = || metrics.iter().chain(gridloom_shared::metrics::ALL);
    let lines = page
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    for line in lines {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let is_of = |metric: &&Metric| match metric.kind {
            Kind::Histogram(_) => ["_bucket", "_sum", "_count"]
                .iter()
                .any(|end| name.strip_suffix(end) == Some(metric.name)),
            Kind::Counter | Kind::Gauge => metric.name == name,
        };
        let metric = known()
            .find(is_of)
            .with_context(|| format!("{line}: not described"))?;
        let labels = line
            .split_once('{')
            .and_then(|(_, rest)| rest.rsplit_once('}'));
        let labels = labels.map_or("", |(labels, _)| labels).split("\",");
        let labels = labels.filter_map(|label| Some(label.split_once('=')?.0));
        let found: BTreeSet<&str> = labels.filter(|label| *label != "le").collect();
        let expected: BTreeSet<&str> = metric.labels.iter().copied().collect();
        ensure!(
            found == expected,
            "{line}: its labels are to be {expected:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn planner_that_loses_the_leadership_tells_nothing_of_it_any_more() -> anyhow::Result<()> {
    play(async |stage| {
        let (first, second) = (free_port()?, free_port()?);
        planner(stage, first).await?;
        stage.start_worker(4, &[]).await?;
        // While it starts nobody answers.
        let told = async |port: u16, name: &str| -> anyhow::Result<Option<f64>> {
            let told = metric(&format!("127.0.0.1:{port}"), name).await;
            Ok(told.unwrap_or_default())
        };
        let runs = "gridloom_queue_runs{queue=\"default\",handler=\"noop\"}";
        let job = "name = \"work\"\nhandler = \"noop\"\n[grid]\npages = { count = 4000 }\ntile = 1";
        let run = submit(stage, job, json!({"sleep_ms": 200})).await?;
        eventually(SOON, "the first one leads and says so", async || {
            let says = told(first, runs).await? == Some(1.0);
            Ok(says && told(first, "gridloom_leader").await? == Some(1.0))
        })
        .await?;
        planner(stage, second).await?;
        eventually(SOON, "the second one stands by", async || {
            let page = get(("127.0.0.1", second), "/ready").await;
            Ok(page.is_ok_and(|page| page.contains("200 OK")))
        })
        .await?;
        // Past its lease, and back.
        stage.planners[0].freeze()?;
        eventually(SOON, "the second one leads", async || {
            Ok(told(second, runs).await? == Some(1.0))
        })
        .await?;
        stage.planners[0].thaw()?;
        for (name, value) in [
            ("gridloom_leader", 0.0),
            ("gridloom_term", 0.0),
            (runs, 0.0),
            ("gridloom_runs{state=\"running\"}", 0.0),
            ("gridloom_stream_bytes{stream=\"ledger\"}", 0.0),
        ] {
            eventually(SOON, name, async || {
                Ok(told(first, name).await? == Some(value))
            })
            .await?;
        }
        stage
            .cli(&["cancel", run.as_str()], SOON)
            .await?
            .succeeded()?;
        stage.closed(&run, SOON).await
    })
    .await
}
