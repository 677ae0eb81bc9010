//! Services as their operators meet them: what stands in the environment, what they log and answer, with which
//! code they end, and that nothing they print steers a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use gridloom_tests::http::{get, metric, served_at};
use gridloom_tests::logged::OWN_WORD;
use gridloom_tests::process::{Gridloom, Process};
use gridloom_tests::scenario::{NAMESPACE, Stage, play};
use gridloom_tests::wait::eventually;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);

/// A worker of a user's own, told all by its environment.
async fn own_worker(env: &[(&str, &str)]) -> anyhow::Result<Process> {
    let worker = Gridloom::program(gridloom_tests::gridloom()?, [OWN_WORD]);
    let set = |worker: Gridloom, (name, value): &(&str, &str)| worker.env(*name, *value);
    env.iter().fold(worker, set).start().await
}

async fn runs(stage: &mut Stage) -> anyhow::Result<()> {
    let job = "name = \"mine\"\nhandler = \"own\"\n[grid]\npages = { count = 3 }";
    let job = stage.apply(job).await?;
    let run = stage.submit(&job, &json!({})).await?;
    stage.closed(&run, SOON).await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_of_one_s_own_takes_the_environment_logs_answers_and_ends_in_order()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let file = stage.dir().join("nats");
        std::fs::write(&file, format!("{}\n", stage.server.url()))?;
        let mut worker = own_worker(&[
            (
                "GRIDLOOM_NATS_FILE",
                file.to_str().context("a path that is text")?,
            ),
            ("GRIDLOOM_NAMESPACE", NAMESPACE),
            ("GRIDLOOM_WORKER_NAME", "mine"),
            ("GRIDLOOM_WORKER_QUEUES", "images,default"),
            ("GRIDLOOM_WORKER_CONCURENCY", "4"),
            ("GRIDLOOM_LISTEN", "127.0.0.1:0"),
        ])
        .await?;
        let address = served_at(&worker).await?;
        eventually(SOON, "it is ready", async || {
            Ok(get(&address, "/ready").await?.contains("200 OK"))
        })
        .await?;
        runs(stage).await?;
        let metrics = get(&address, "/metrics").await?;
        assert!(
            metrics.contains("gridloom_worker_shards_total"),
            "{metrics}"
        );
        assert!(get(&address, "/live").await?.contains("200 OK"));
        let workers = stage.cli(&["workers", "--json"], SOON).await?.json()?;
        assert_eq!(workers[0]["worker"], json!("mine"), "{workers}");
        worker.terminate()?;
        assert_eq!(worker.wait(SOON).await?, 0);
        let log = worker.stderr();
        assert!(log.contains("GRIDLOOM_WORKER_CONCURENCY"), "{log}");
        assert!(log.contains("worker ended"), "{log}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_of_one_s_own_ends_with_the_codes_of_the_command() -> anyhow::Result<()> {
    let away = ("GRIDLOOM_NATS", "nats://me:hunter2@127.0.0.1:1");
    for (variable, code, words) in [
        (
            ("GRIDLOOM_WORKER_CONCURRENCY", "many"),
            2,
            "GRIDLOOM_WORKER_CONCURRENCY",
        ),
        (
            ("GRIDLOOM_WORKER_GRACE", "soon"),
            2,
            "GRIDLOOM_WORKER_GRACE",
        ),
        (("GRIDLOOM_LISTEN", "here"), 2, "GRIDLOOM_LISTEN"),
        (("GRIDLOOM_LOG_FORMAT", "prose"), 2, "GRIDLOOM_LOG_FORMAT"),
        (("GRIDLOOM_NATS_FILE", "/no/such"), 2, "GRIDLOOM_NATS"),
        (("GRIDLOOM_WORKER_NAME", "a"), 3, "127.0.0.1:1"),
    ] {
        let mut worker = own_worker(&[away, variable]).await?;
        assert_eq!(worker.wait(SOON).await?, code, "{}", worker.stderr());
        let said = worker.stderr();
        assert!(said.contains(words) && !said.contains("hunter2"), "{said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_says_steers_no_terminal_and_stays_exact_for_programs() -> anyhow::Result<()>
{
    play(async |stage| {
        stage.start_planner().await?;
        let script = stage.dir().join("loud.sh");
        std::fs::write(
            &script,
            "yes 0123456789 | head -c 60000 >&2\nprintf '\\033]0;owned\\007\\033[2J\\000\\rend' >&2\nexit 65\n",
        )?;
        let command = format!("loud=sh {}", script.display());
        stage.start_worker(1, &["--exec", &command]).await?;
        let job = stage
            .apply("name = \"loud\"\nhandler = \"exec\"\n[exec]\ncommand = \"loud\"")
            .await?;
        let waited = stage.cli(&["run", job.as_str(), "--wait"], SOON).await?;
        let dead = stage.cli(&["dead", "list"], SOON).await?;
        let log = stage.workers[0].stderr();
        for printed in [&waited.stdout, &waited.stderr, &dead.stdout, &log] {
            let odd = printed.chars().find(|c| c.is_control() && *c != '\n');
            assert_eq!(odd, None, "{printed:?}");
        }
        assert!(dead.stdout.contains(r"\x1b[2J\0\rend"), "{}", dead.stdout);
        let failed = log.lines().find(|line| line.contains("command failed"));
        let failed = failed.context("a line of the log")?;
        assert!(failed.len() < 6_000 && failed.contains("end"), "{} bytes", failed.len());
        let exact = stage.cli(&["dead", "list", "--json"], SOON).await?.json()?;
        let error = exact[0]["error"].as_str().context("an error")?;
        assert!(error.ends_with("\x1b]0;owned\x07\x1b[2J\0\rend"), "{error:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn planner_does_not_take_a_worker_s_ack_deadline_and_says_where_it_belongs()
-> anyhow::Result<()> {
    play(async |stage| {
        let said = stage
            .cli(&["planner", "--ack-deadline", "30s"], SOON)
            .await?;
        assert_eq!(said.code, 2, "{said:?}");
        assert!(
            said.stderr.contains("give it to gridloom worker"),
            "{said:?}"
        );
        Ok(())
    })
    .await
}

/// A pipe with a name: its writing end, and one that keeps it open.
fn pipe(dir: &Path, name: &str) -> anyhow::Result<(File, File)> {
    let path = dir.join(name);
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    let both = File::options().read(true).write(true).open(&path)?;
    Ok((File::options().write(true).open(&path)?, both))
}

/// As [`pipe`], and there is no room in it.
fn full_pipe(dir: &Path, name: &str) -> anyhow::Result<(File, File)> {
    let ends = pipe(dir, name)?;
    let at_once = i32::try_from(OFlags::NONBLOCK.bits())?;
    let mut filling = File::options()
        .write(true)
        .custom_flags(at_once)
        .open(dir.join(name))?;
    while filling.write(&[b'x'; 512]).is_ok() {}
    Ok(ends)
}

/// Reads the log until it says where the endpoints are, and never again.
fn address_in(mut log: File) -> anyhow::Result<(String, File)> {
    let (mut text, mut part) = (String::new(), [0; 4_096]);
    loop {
        let read = log.read(&mut part)?;
        text.push_str(&String::from_utf8_lossy(&part[..read]));
        let said = text.split("http://").nth(1);
        if let Some((address, _)) = said.and_then(|rest| rest.split_once('/')) {
            return Ok((address.to_owned(), log));
        }
    }
}

/// A log store that stands still, or a disk: whoever waited for it would be held dead.
#[tokio::test(flavor = "multi_thread")]
async fn services_whose_log_lines_nobody_takes_go_on_and_count_what_is_lost() -> anyhow::Result<()>
{
    /// More than a pipe holds, and than may wait.
    const SHARDS: u64 = 4_000;
    play(async |stage| {
        let dir = tempfile::tempdir()?;
        let (of_planner, _planner_log) = pipe(dir.path(), "planner")?;
        let (of_worker, worker_log) = pipe(dir.path(), "worker")?;
        let loud = |args: &[&str], stderr| -> anyhow::Result<_> {
            Ok(stage
                .gridloom(args)?
                .env("GRIDLOOM_LOG", "trace")
                .stderr(stderr))
        };
        let planner = loud(&["planner"], of_planner)?;
        let worker = loud(
            &["worker", "--concurrency", "4", "--listen", "127.0.0.1:0"],
            of_worker,
        )?;
        let (planner, worker) = (planner.start().await?, worker.start().await?);
        stage.planners.push(planner);
        stage.workers.push(worker);
        let found = tokio::task::spawn_blocking(|| address_in(worker_log));
        let (address, _worker_log) = tokio::time::timeout(SOON, found).await???;
        let grid = format!("[grid]\nslices = 4\npages.count = {}\ntile = 1", SHARDS / 4);
        let job = stage
            .apply(&format!("name = \"loud\"\nhandler = \"noop\"\n{grid}"))
            .await?;
        let ran = stage.cli(&["run", job.as_str(), "--wait"], SOON).await?;
        ran.succeeded()?;
        let lost = metric(&address, "gridloom_log_lines_lost_total").await?;
        assert!(lost.is_some_and(|lines| lines > 0.0), "{lost:?}");
        for service in stage.planners.iter_mut().chain(&mut stage.workers) {
            service.terminate()?;
            assert_eq!(service.wait(SOON).await?, 0);
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn service_ends_though_nobody_takes_its_last_word() -> anyhow::Result<()> {
    play(async |stage| {
        let dir = tempfile::tempdir()?;
        for (number, format) in ["text", "json"].iter().enumerate() {
            let (log, _kept) = full_pipe(dir.path(), &format!("planner-{number}"))?;
            let planner = stage.gridloom(&["planner", "--log-format", *format])?;
            let planner = planner
                .env("GRIDLOOM_NATS", "nats://127.0.0.1:1")
                .env("GRIDLOOM_NATS_TIMEOUT", "2s")
                .stderr(log);
            let code = planner.start().await?.wait(3 * SOON).await?;
            assert_eq!(code, 3, "{format}");
        }
        stage.start_planner().await?;
        let job = "name = \"slow\"\nhandler = \"noop\"\n[params]\nsleep_ms = 60000";
        let job = stage.apply(job).await?;
        let (log, _kept) = full_pipe(dir.path(), "worker")?;
        let worker = stage.gridloom(&["worker", "--grace", "60s"])?.stderr(log);
        let mut worker = worker.start().await?;
        stage.submit(&job, &json!({})).await?;
        eventually(SOON, "the worker runs it", async || {
            let workers = stage.cli(&["workers", "--json"], SOON).await?.json()?;
            Ok(workers[0]["in_flight"] == 1)
        })
        .await?;
        // The first one asks it to stop, and one of those behind it ends it.
        let ended = eventually(SOON, "it ends at once", async || {
            // It may be gone by now.
            let _ = worker.terminate();
            Ok(!worker.is_running()?)
        });
        ended.await?;
        assert_eq!(worker.wait(SOON).await?, 130);
        Ok(())
    })
    .await
}
