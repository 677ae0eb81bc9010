//! `gridloom demo` as a user sees it without a terminal: it ends right, also when a process of it is
//! killed by hand on the way.

use std::time::Duration;

use gridloom_tests::http::ask;
use gridloom_tests::process::{Gridloom, Output, Process, is_alive};
use gridloom_tests::wait::{eventually, eventually_some};
use rustix::process::{Pid, Signal, kill_process};

/// A minute is promised of an optimised build on a quiet machine.
const DEADLINE: Duration = Duration::from_secs(240);

async fn demo() -> anyhow::Result<Process> {
    Gridloom::new(["demo"])?.start().await
}

/// The process that the output last named as `name`.
fn pid_of(output: &str, name: &str) -> Option<Pid> {
    let place = format!("{name} pid ");
    let (_, rest) = output.rsplit_once(&place)?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Pid::from_raw(digits.parse().ok()?)
}

/// Waits until the demo has said `words`, and kills what it calls `name`.
async fn kill_after(demo: &Process, words: &str, name: &str) -> anyhow::Result<()> {
    eventually(DEADLINE, words, async || Ok(demo.stdout().contains(words))).await?;
    let pid = eventually_some(DEADLINE, name, async || Ok(pid_of(&demo.stdout(), name))).await?;
    kill_process(pid, Signal::KILL)?;
    let died = format!("{name} pid {pid} died");
    eventually(DEADLINE, &died, async || Ok(demo.stdout().contains(&died))).await
}

fn assert_right(output: &Output) {
    let text = &output.stdout;
    assert_eq!(output.code, 0, "{text}\n{}", output.stderr);
    assert!(
        text.contains("336,776 flights added up page by page, 336,776 by one plain query"),
        "{text}"
    );
    assert!(
        text.contains("336,776 flights counted by the shards in the run's ledger: ok"),
        "{text}"
    );
    assert!(text.contains("planned 352, committed 352, "), "{text}");
    assert!(text.contains("lost 0, twice 0: ok"), "{text}");
    assert!(text.contains("got SIGKILL"), "{text}");
    assert!(
        !text.contains('\u{1b}'),
        "colours without a terminal: {text}"
    );
}

#[tokio::test]
async fn demo_loses_a_worker_and_counts_every_flight_once() -> anyhow::Result<()> {
    let demo = demo().await?;
    eventually(DEADLINE, "it has said its processes", async || {
        Ok(demo.stdout().contains("worker-3 pid"))
    })
    .await?;
    let said = demo.stdout();
    let output = demo.finish(DEADLINE).await?;
    assert_right(&output);
    assert!(
        output
            .stdout
            .trim_end()
            .lines()
            .last()
            .unwrap_or_default()
            .starts_with("Try next")
    );
    for name in ["broker", "planner", "worker-1", "worker-2", "worker-3"] {
        let pid = pid_of(&said, name).unwrap();
        assert!(!is_alive(pid), "{name} is still there");
    }
    Ok(())
}

/// The address of the console that the output named last.
fn console_of(output: &str) -> Option<String> {
    let (_, rest) = output.rsplit_once("Look around: http://")?;
    Some(rest.lines().next()?.trim_end_matches('/').to_owned())
}

/// With `--keep` all of it stays to be looked at, until it is told to stop.
#[tokio::test]
async fn demo_survives_the_death_of_its_planner_and_stays_to_be_looked_at() -> anyhow::Result<()> {
    let mut demo = Gridloom::new(["demo", "--keep"])?.start().await?;
    kill_after(&demo, "shards done", "planner").await?;
    kill_after(&demo, "got SIGKILL", "planner").await?;
    let console = eventually_some(DEADLINE, "it says where to look", async || {
        Ok(console_of(&demo.stdout()))
    })
    .await?;
    let page = ask(&console, ("GET", "/"), &[], None).await?;
    let text = String::from_utf8_lossy(&page.body);
    assert!(page.status == 200 && text.contains("Gridloom"), "{page:?}");
    let runs = "/api/v1/runs?job=carrier-delays&state=succeeded";
    eventually(DEADLINE, "the run is told of there", async || {
        let runs = ask(&console, ("GET", runs), &[], None).await?;
        Ok(runs.status == 200 && runs.json()["items"][0]["shards"]["done"] == 352)
    })
    .await?;
    demo.signal(Signal::INT)?;
    let output = demo.finish(DEADLINE).await?;
    assert_right(&output);
    for name in ["broker", "planner"] {
        let pid = pid_of(&output.stdout, name).unwrap();
        eventually(DEADLINE, name, async || Ok(!is_alive(pid))).await?;
    }
    let (_, kept) = output.stdout.rsplit_once(" are kept in ").unwrap();
    let kept = std::path::Path::new(kept.lines().next().unwrap_or_default());
    assert!(kept.join("planner.log").is_file(), "{}", kept.display());
    Ok(std::fs::remove_dir_all(kept)?)
}

#[tokio::test]
async fn demo_survives_the_death_of_its_broker() -> anyhow::Result<()> {
    let demo = demo().await?;
    kill_after(&demo, "shards done", "broker").await?;
    kill_after(&demo, "got SIGKILL", "broker").await?;
    assert_right(&demo.finish(DEADLINE).await?);
    Ok(())
}

#[tokio::test]
async fn demo_survives_the_death_of_more_workers_than_it_kills_itself() -> anyhow::Result<()> {
    let demo = demo().await?;
    kill_after(&demo, "shards done", "worker-1").await?;
    kill_after(&demo, "got SIGKILL", "worker-3").await?;
    assert_right(&demo.finish(DEADLINE).await?);
    Ok(())
}

#[tokio::test]
async fn demo_that_is_interrupted_leaves_nothing_behind() -> anyhow::Result<()> {
    let mut demo = demo().await?;
    eventually(DEADLINE, "the run goes on", async || {
        Ok(demo.stdout().contains("shards done"))
    })
    .await?;
    let said = demo.stdout();
    let (_, logs) = said.split_once("Logs: ").unwrap();
    let dir = logs.lines().next().unwrap_or_default();
    let told = std::fs::read_to_string(std::path::Path::new(dir).join("broker/nats.conf"))?;
    assert!(told.contains("sync_interval: always"), "{told}");
    demo.signal(Signal::INT)?;
    assert_eq!(demo.wait(DEADLINE).await?, 130);
    for name in ["broker", "planner", "worker-1", "worker-2", "worker-3"] {
        let pid = pid_of(&said, name).unwrap();
        eventually(DEADLINE, name, async || Ok(!is_alive(pid))).await?;
    }
    assert!(!std::path::Path::new(dir).exists(), "{dir} is still there");
    Ok(())
}
