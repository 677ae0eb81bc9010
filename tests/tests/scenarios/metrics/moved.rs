//! Numbers of what goes wrong, and of what handlers count: each is moved by what it tells of, and read from /metrics.

use gridloom_tests::http::served_at;
use gridloom_tests::proxy::{Mode, Proxy};

use super::*;

/// How long a worker may be silent here: longer than a shard takes, so that its outcome is on its way when its lease ends.
const LEASE: &str = "6s";
const SHARD_MS: u64 = 3_000;
/// Tiles that a worker runs at once.
const SLOTS: f64 = 4.0;

/// Waits until /metrics there has as much as that of each.
pub(super) async fn says(address: &str, all: &[(&str, f64)]) -> anyhow::Result<()> {
    for (name, least) in all {
        let what = format!("{name} is {least} or more");
        eventually(LONG, &what, async || {
            let told = metric(address, name).await?;
            Ok(told.is_some_and(|told| told >= *least))
        })
        .await?;
    }
    Ok(())
}

/// A planner, and where its metrics are.
pub(super) async fn told_planner(stage: &mut Stage, args: &[&str]) -> anyhow::Result<String> {
    let planner = stage.gridloom(&["planner", "--listen", "127.0.0.1:0"])?;
    let planner = planner.args(args.iter().copied());
    stage.planners.push(planner.start().await?);
    served_at(&stage.planners[0]).await
}

/// What a worker says reaches the broker when its leases are over and others have its tiles.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_of_leases_lost_tiles_delivered_again_and_shards_that_came_late()
-> anyhow::Result<()> {
    play(async |stage| {
        let planner = told_planner(stage, &[]).await?;
        let proxy = Proxy::start(stage.server.port()).await?;
        let listen = ["worker", "--concurrency", "4", "--listen", "127.0.0.1:0"];
        let behind = stage.gridloom(&listen)?.env("GRIDLOOM_NATS", proxy.url());
        let behind = behind.env("GRIDLOOM_QUEUE_ACK_DEADLINE", LEASE);
        stage.workers.push(behind.start().await?);
        let worker = served_at(&stage.workers[0]).await?;
        let job = "name = \"late\"\nhandler = \"noop\"\n[grid]\npages = { count = 40 }\ntile = 1";
        let run = submit(stage, job, json!({ "sleep_ms": SHARD_MS })).await?;
        says(&worker, &[("gridloom_tiles_running", SLOTS)]).await?;
        proxy.set(Mode::Stall);
        let other = stage.gridloom(&listen)?;
        let other = other.env("GRIDLOOM_QUEUE_ACK_DEADLINE", LEASE);
        stage.workers.push(other.start().await?);
        let redelivered = "gridloom_queue_redelivered{queue=\"default\",handler=\"noop\"}";
        let lost = "gridloom_leases_lost_total{reason=\"expired\"}";
        let taken = "gridloom_shards_taken_over_total{job=\"late\"}";
        let late = "gridloom_shards_late_total{job=\"late\"}";
        let arrives = async {
            says(&worker, &[(lost, 1.0)]).await?;
            says(&planner, &[(taken, 1.0)]).await?;
            ensure!(metric(&planner, late).await?.unwrap_or_default() == 0.0);
            proxy.set(Mode::Pass);
            says(&planner, &[(late, 1.0)]).await
        };
        let again = [(redelivered, 1.0)];
        tokio::try_join!(arrives, says(&planner, &again))?;
        stage
            .cli(&["cancel", run.as_str()], SOON)
            .await?
            .succeeded()?;
        stage.closed(&run, LONG).await?;
        eventually(LONG, "nothing is delivered again any more", async || {
            let left = metric(&planner, redelivered).await?;
            Ok(left.unwrap_or_default() == 0.0)
        })
        .await?;
        let summary = stage.judge(&run).await?.summary;
        ensure!(summary.shards.late >= 1, "{summary:?}");
        Ok(())
    })
    .await
}

/// Three shards, each of which counts: what workers tell of it is what the ledger adds up to.
const COUNTS: &str = "name = \"counts\"\nhandler = \"exec\"\n[grid]\npages = { count = 3 }\n[exec]\ncommand = \"report\"";
/// One that rests since nobody knows its command, and one with all that use the same.
const RESTS: &str = "name = \"rests\"\nhandler = \"exec\"\n[exec]\ncommand = \"nobody-has-it\"";
const SHARES: &str = "name = \"shares\"\nhandler = \"exec\"\n[limits]\nresource = \"warehouse\"\n[exec]\ncommand = \"nobody-has-it\"";

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_what_handlers_count_and_how_long_a_job_and_a_resource_rest()
-> anyhow::Result<()> {
    play(async |stage| {
        let planner = told_planner(stage, &[]).await?;
        let report = "report=echo '{\"rows\": 2, \"counters\": {\"bytes\": 5}}'";
        stage
            .start_worker(2, &["--exec", report, "--listen", "127.0.0.1:0"])
            .await?;
        let worker = served_at(&stage.workers[0]).await?;
        let run = submit(stage, COUNTS, json!({})).await?;
        stage.closed(&run, LONG).await?;
        let bytes = "gridloom_handler_counted_total{job=\"counts\",counter=\"bytes\"}";
        let rows = "gridloom_rows_total{job=\"counts\"}";
        says(&worker, &[(rows, 6.0), (bytes, 15.0)]).await?;
        let told = (metric(&worker, rows).await?, metric(&worker, bytes).await?);
        ensure!(told == (Some(6.0), Some(15.0)), "{told:?}");
        let summary = stage.judge(&run).await?.succeeded()?.summary;
        ensure!(summary.rows == 6, "{summary:?}");

        let rests = submit(stage, RESTS, json!({})).await?;
        let shares = submit(stage, SHARES, json!({})).await?;
        let (job, resource) = (
            "gridloom_job_hold_seconds{job=\"rests\"}",
            "gridloom_resource_hold_seconds{resource=\"warehouse\"}",
        );
        says(&planner, &[(job, 0.001), (resource, 0.001)]).await?;
        for run in [&rests, &shares] {
            let cancelled = stage.cli(&["cancel", run.as_str()], SOON).await?;
            cancelled.succeeded()?;
        }
        for name in [job, resource] {
            eventually(LONG, name, async || {
                Ok(metric(&planner, name).await?.unwrap_or_default() == 0.0)
            })
            .await?;
        }
        Ok(())
    })
    .await
}
