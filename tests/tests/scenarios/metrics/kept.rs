//! Numbers of what waits, of what is removed and made good, and of who asks: each is moved by what it tells of, and read from
//! /metrics.

use bytes::Bytes;
use gridloom_shared::id::{Fence, QueueName, Session};
use gridloom_shared::ledger::outcomes::{self, Entry, Status};
use gridloom_shared::ledger::record::{Author, WorkRecord};
use gridloom_shared::tile::{TileKind, TileRef};
use gridloom_shared::wire;
use gridloom_tests::http::served_at;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::moved::{says, told_planner};
use super::*;
use crate::api;
use crate::bounded::{change, settings};

/// What takes its slot for as long as the test lasts.
const ENDLESS_MS: u64 = 600_000;

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_what_waits_for_its_queue_and_what_retention_removes() -> anyhow::Result<()> {
    play(async |stage| {
        let planner = told_planner(
            stage,
            &[
                "--open-runs=1",
                "--retention-most=0",
                "--retention-most-dead=0",
                "--retention-every=200ms",
            ],
        )
        .await?;
        stage.start_worker(4, &[]).await?;
        let endless = "name = \"endless\"\nhandler = \"noop\"";
        let first = submit(stage, endless, json!({ "sleep_ms": ENDLESS_MS })).await?;
        says(&planner, &[("gridloom_queue_closed{queue=\"default\"}", 1.0)]).await?;
        let dying = "name = \"dying\"\nhandler = \"noop\"\n[grid]\npages = { count = 3 }\n[retry]\nmax_attempts = 1";
        submit(stage, dying, json!({ "fail_percent": 100 })).await?;
        says(&planner, &[("gridloom_submissions_waiting", 1.0)]).await?;
        let cancel = ["cancel", first.as_str()];
        stage.cli(&cancel, SOON).await?.succeeded()?;
        says(
            &planner,
            &[
                ("gridloom_shards_dead_total{job=\"dying\"}", 3.0),
                ("gridloom_runs_closed_total{job=\"dying\",state=\"failed\"}", 1.0),
                ("gridloom_runs_closed_total{job=\"endless\",state=\"cancelled\"}", 1.0),
                ("gridloom_runs_purged_total", 2.0),
                ("gridloom_dead_purged_total", 3.0),
            ],
        )
        .await?;
        for name in ["gridloom_submissions_waiting", "gridloom_queue_closed{queue=\"default\"}"] {
            goes(&planner, name).await?;
        }
        Ok(())
    })
    .await
}

/// Waits until a gauge says 0, or is not there any more.
async fn goes(address: &str, name: &str) -> anyhow::Result<()> {
    eventually(LONG, &format!("{name} is 0"), async || {
        Ok(metric(address, name).await?.unwrap_or_default() == 0.0)
    })
    .await
}

/// Outcomes of a cell that was never issued.
fn forged() -> Bytes {
    let entry = Entry {
        tile: TileRef { wave: 0, index: 0 },
        kind: TileKind::Page,
        fence: Fence(1),
        slice: 60_000,
        first: 7,
        pages: 1,
        status: Status::Done,
        columns: Vec::new(),
        results: Vec::new(),
    };
    wire::encode(&WorkRecord::Outcomes {
        session: Session(1),
        number: 1,
        block: Bytes::from(outcomes::encode([&entry])),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_of_fires_that_wait_outcomes_nobody_asked_for_and_tiles_published_again()
-> anyhow::Result<()> {
    play(async |stage| {
        let planner = told_planner(stage, &[]).await?;
        let tick = format!(
            "name = \"tick\"\nhandler = \"noop\"\n[params]\nsleep_ms = {ENDLESS_MS}\n[schedule]\nevery = \"1s\"\noverlap = \"queue_one\""
        );
        stage.apply(&tick).await?;
        says(&planner, &[("gridloom_fires_pending{job=\"tick\"}", 1.0)]).await?;
        stage.start_worker(1, &[]).await?;
        let lane = "{queue=\"default\",handler=\"noop\"}";
        says(&planner, &[(&format!("gridloom_queue_in_flight{lane}"), 1.0)]).await?;
        // Its slot is taken.
        let waits = submit(stage, "name = \"waits\"\nhandler = \"noop\"", json!({})).await?;
        says(&planner, &[(&format!("gridloom_queue_pending{lane}"), 1.0)]).await?;
        let subjects = stage.broker.subjects();
        let work = subjects.ledger_of(&QueueName::new("default")?, &waits, Author::Work);
        stage.broker.append(work, forged(), None).await?;
        let (shards, all) = (subjects.shards(), subjects.all_shards());
        ensure!(stage.broker.purge(&shards, &all, 0).await? > 0);
        says(
            &planner,
            &[
                ("gridloom_shards_unexpected_total{job=\"waits\"}", 1.0),
                ("gridloom_tiles_refilled_total", 1.0),
            ],
        )
        .await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_that_the_ledger_takes_no_more_and_that_it_does_again() -> anyhow::Result<()> {
    play(async |stage| {
        told_planner(stage, &[]).await?;
        stage.start_worker(4, &["--listen", "127.0.0.1:0"]).await?;
        let worker = served_at(&stage.workers[0]).await?;
        let many = "name = \"many\"\nhandler = \"noop\"\n[grid]\npages = { count = 400 }\ntile = 1";
        let run = submit(stage, many, json!({ "sleep_ms": 50 })).await?;
        stage.done(&run, 20, LONG).await?;
        let ledger = stage.broker.subjects().ledger();
        let before = settings(stage, &ledger).await?;
        let mut full = before.clone();
        full["max_bytes"] = stage.broker.info(&ledger).await?.bytes.into();
        change(stage, &ledger, &full).await?;
        says(&worker, &[("gridloom_ledger_full", 1.0)]).await?;
        change(stage, &ledger, &before).await?;
        goes(&worker, "gridloom_ledger_full").await?;
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        Ok(())
    })
    .await
}

/// A worker whose children are bad once, in that way.
async fn children(stage: &mut Stage, mode: &str) -> anyhow::Result<String> {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/bridge/child.py");
    let dir = stage.dir().join(mode);
    std::fs::create_dir(&dir)?;
    let (script, dir) = (script.to_string_lossy(), dir.to_string_lossy());
    let flags = ["worker", "--listen", "127.0.0.1:0", "--processes", "2"];
    let worker = stage.gridloom(&flags)?;
    let worker = worker.args(["--", "python3", &*script, mode, &*dir]);
    stage.workers.push(worker.start().await?);
    served_at(stage.workers.last().context("a worker")?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_of_children_of_their_deaths_and_of_answers_that_nobody_wants()
-> anyhow::Result<()> {
    play(async |stage| {
        told_planner(stage, &[]).await?;
        let job = "name = \"j\"\nhandler = \"h\"\n[grid]\nslices = 2\npages = { count = 4 }\n[retry]\nbackoff = { initial = \"100ms\" }";
        for (mode, moved) in [
            ("dies", "gridloom_child_deaths_total"),
            ("stranger", "gridloom_child_odd_answers_total"),
        ] {
            let worker = children(stage, mode).await?;
            says(&worker, &[("gridloom_children", 2.0)]).await?;
            ensure!(metric(&worker, moved).await? == Some(0.0), "{moved}");
            let run = submit(stage, job, json!({})).await?;
            stage.closed(&run, LONG).await?;
            // Whoever died was started again.
            says(&worker, &[(moved, 1.0), ("gridloom_children", 2.0)]).await?;
            let last = stage.workers.last_mut().context("a worker")?;
            last.terminate()?;
            last.wait(LONG).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_who_reads_the_api_and_how_long_answers_take() -> anyhow::Result<()> {
    play(async |stage| {
        let port = free_port()?;
        let listen = format!("127.0.0.1:{port}");
        let api = api::start(stage, &["--listen", &listen]).await?;
        let url = api.url("/");
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        let mut reader = TcpStream::connect(address).await?;
        let asked = format!("GET /api/v1/events?topics=runs HTTP/1.1\r\nhost: {address}\r\n\r\n");
        reader.write_all(asked.as_bytes()).await?;
        says(&listen, &[("gridloom_api_readers", 1.0)]).await?;
        drop(reader);
        goes(&listen, "gridloom_api_readers").await?;
        let about = "operation=\"about\"";
        says(
            &listen,
            &[
                (
                    &format!("gridloom_api_requests_total{{{about},status=\"200\"}}"),
                    1.0,
                ),
                (
                    &format!("gridloom_api_request_seconds_count{{{about}}}"),
                    1.0,
                ),
            ],
        )
        .await
    })
    .await
}
