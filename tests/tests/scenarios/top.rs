//! `gridloom top` in a real terminal, against a real engine under load and faults; and where there is no terminal.

use std::time::Duration;

use anyhow::{Context, ensure};
use gridloom_tests::process::is_alive;
use gridloom_tests::scenario::{NAMESPACE, Stage, play};
use gridloom_tests::tmux::{self, Tmux};
use gridloom_tests::wait::eventually;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);

const JOB: &str =
    "name = \"waves\"\nhandler = \"noop\"\n[grid]\nslices = 16\npages = { count = 400 }\ntile = 1";

/// Whether there is a terminal to be had.
fn have_tmux() -> bool {
    let there = tmux::is_there();
    if !there {
        eprintln!("\n*** NOT RUN: gridloom top in a terminal: no tmux ***\n");
    }
    there
}

/// A terminal of 80 columns and 24 lines in which `gridloom top` is started, and has shown something.
async fn top(stage: &Stage) -> anyhow::Result<Tmux> {
    top_with(stage, "").await
}

async fn top_with(stage: &Stage, flags: &str) -> anyhow::Result<Tmux> {
    let url = stage.server.url();
    let gridloom = gridloom_tests::gridloom()?;
    let gridloom = gridloom.to_str().context("a path of letters")?;
    let variables = [
        ("GRIDLOOM_NATS", url.as_str()),
        ("GRIDLOOM_NAMESPACE", NAMESPACE),
        ("USER", "ann"),
    ];
    let terminal = Tmux::start((80, 24), &variables).await?;
    let line = format!("{gridloom} top{flags}; echo \"it ended with $?\"");
    terminal.line(&line).await?;
    terminal.shows("Workers").await?;
    ensure!(
        terminal.is_taken().await?,
        "the shell's own picture is painted over"
    );
    Ok(terminal)
}

/// The terminal is as it was: the shell's own picture, its prompt, and what is typed is seen.
async fn is_as_it_was(terminal: &Tmux, code: u8) -> anyhow::Result<()> {
    let seen = terminal.shows(&format!("it ended with {code}")).await?;
    ensure!(!terminal.is_taken().await?, "{seen}");
    terminal.line("echo seen-$((40 + 2))").await?;
    let seen = terminal.shows("seen-42").await?;
    // The line that was typed, and what it printed.
    ensure!(
        seen.contains("echo seen-$((40 + 2))"),
        "what is typed is not seen:\n{seen}"
    );
    ensure!(!seen.contains("Workers"), "{seen}");
    Ok(())
}

/// The process that runs in the terminal.
fn process_of(stage: &Stage) -> anyhow::Result<Pid> {
    let url = stage.server.url();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let read = |file| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let is_top = read("cmdline").ends_with(b"\0top\0");
        let is_here = String::from_utf8_lossy(&read("environ")).contains(url.as_str());
        if is_top && is_here {
            return Pid::from_raw(pid).context("a process");
        }
    }
    anyhow::bail!("nobody runs gridloom top")
}

#[tokio::test(flavor = "multi_thread")]
async fn run_is_seen_cancelled_by_a_key_and_a_leader_that_dies_is_told() -> anyhow::Result<()> {
    if !have_tmux() {
        return Ok(());
    }
    play(async |stage| {
        let job = stage.apply(JOB).await?;
        stage.start_all(2).await?;
        let terminal = top(stage).await?;
        terminal.shows("leads, term 1").await?;
        let run = stage.submit(&job, &json!({"sleep_ms": 100})).await?;
        stage.done(&run, 20, SOON).await?;
        // Its line, with how far it is and how fast it goes.
        let seen = terminal.shows("/6,400").await?;
        ensure!(
            seen.contains("1 run open") && seen.contains("waves_"),
            "{seen}"
        );
        terminal.shows("/s, ").await?;
        terminal.press(&["Enter"]).await?;
        terminal.shows("Grid: slices down, pages across").await?;
        terminal.press(&["Escape"]).await?;
        // A letter right behind that key would be one with Alt.
        terminal.shows("Runs 1 open").await?;
        terminal.press(&["c"]).await?;
        let asked = terminal.shows("Cancel run").await?;
        for part in ["of 6,400", "shards are not done", "gridloom cancel waves_"] {
            ensure!(asked.contains(part), "{part}: {asked}");
        }
        terminal.press(&["n"]).await?;
        terminal.shows("nothing was done").await?;
        ensure!(!stage.is_closed(&run).await?, "a no has cancelled it");
        terminal.press(&["c", "y"]).await?;
        terminal.shows("cancelled run waves_").await?;
        stage.closed(&run, SOON).await?;
        let shown = stage.cli(&["show", run.as_str(), "--json"], SOON).await?;
        assert_eq!(shown.json()?["state"], "cancelled");
        // It is on record like the command.
        let log = stage.cli(&["log", "--json"], SOON).await?.json()?;
        assert_eq!(
            (&log[0]["what"], &log[0]["by"]),
            (&json!("cancel"), &json!("ann"))
        );
        terminal.shows("0 runs open").await?;

        stage.planners[0].kill().await?;
        terminal.shows("NO LEADER").await?;
        let next = stage.submit(&job, &json!({"sleep_ms": 20})).await?;
        stage.start_planner().await?;
        terminal.shows("leads, term 2").await?;
        terminal.hides("NO LEADER").await?;
        stage.done(&next, 20, SOON).await?;
        terminal.shows("1 run open").await?;
        terminal.resize((120, 40)).await?;
        // The log tells of it.
        terminal.shows("nobody leads (it led under term 1)").await?;
        terminal.press(&["q"]).await?;
        is_as_it_was(&terminal, 0).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_shards_are_tried_again_by_a_key() -> anyhow::Result<()> {
    if !have_tmux() {
        return Ok(());
    }
    play(async |stage| {
        let bad =
            "name = \"bad\"\nhandler = \"noop\"\n[grid]\nslices = 4\n[retry]\nmax_attempts = 1";
        let bad = stage.apply(bad).await?;
        stage.start_all(1).await?;
        let run = stage.submit(&bad, &json!({"fail_attempts": 1})).await?;
        stage.closed(&run, SOON).await?;
        let state = async || {
            let shown = stage.cli(&["show", run.as_str(), "--json"], SOON).await?;
            anyhow::Ok(shown.json()?["state"].clone())
        };
        assert_eq!(state().await?, "failed");
        let terminal = top(stage).await?;
        terminal.shows("4 dead").await?;
        terminal.press(&["r"]).await?;
        let asked = terminal.shows("Try 4 dead shards of run bad_").await?;
        ensure!(asked.contains("gridloom retry bad_"), "{asked}");
        terminal.press(&["n"]).await?;
        terminal.shows("nothing was done").await?;
        assert_eq!(state().await?, "failed");
        terminal.press(&["r", "y"]).await?;
        eventually(SOON, "they have run again", async || {
            Ok(state().await? == "succeeded")
        })
        .await?;
        terminal.shows("succeeded").await?;
        terminal.press(&["q"]).await?;
        is_as_it_was(&terminal, 0).await
    })
    .await
}

/// A shard that waits for a file.
const LONG: &str = "read -r shard\nwhile [ ! -e \"$1\" ]; do sleep 0.05; done\n";

#[tokio::test(flavor = "multi_thread")]
async fn run_that_waits_says_so_on_its_queue_and_for_another_of_its_job() -> anyhow::Result<()> {
    if !have_tmux() {
        return Ok(());
    }
    play(async |stage| {
        let (file, goes_on) = (stage.dir().join("long.sh"), stage.dir().join("goes-on"));
        std::fs::write(&file, LONG)?;
        let command = format!("c=/bin/sh {} {}", file.display(), goes_on.display());
        stage.start_planner().await?;
        stage.start_worker(1, &["--exec", &command]).await?;
        let job = |name: &str, shards: u32| {
            let grid = format!("[grid]\nslices = 1\npages = {{ count = {shards} }}\ntile = 1");
            format!("name = \"{name}\"\nhandler = \"exec\"\n{grid}\n[exec]\ncommand = \"c\"")
        };
        let (long, next) = (
            stage.apply(&job("long", 1)).await?,
            stage.apply(&job("next", 3)).await?,
        );
        let long = stage.submit(&long, &json!({})).await?;
        eventually(SOON, "the long one is held", async || {
            let shown = stage.cli(&["show", long.as_str(), "--json"], SOON).await?;
            Ok(shown.json()?["longest"][0].is_object())
        })
        .await?;
        let next = stage.submit(&next, &json!({})).await?;
        let terminal = top(stage).await?;
        terminal.resize((160, 40)).await?;
        let seen = terminal
            .shows("waits: none of it has begun: 3 tiles of it lie in queue default")
            .await?;
        // Of what is at work nothing of that kind is said.
        ensure!(seen.matches("none of it has begun").count() <= 2, "{seen}");
        let seen = stage.cli(&["top", "--json"], SOON).await?.json()?;
        let waits = |run: &str| {
            let mut runs = seen["runs"].as_array().into_iter().flatten();
            let found = runs.find(|one| one["run"] == run);
            found.map(|found| found["waits"][0]["reason"].clone())
        };
        assert_eq!(waits(next.as_str()), Some(json!("queued")), "{seen}");
        assert_eq!(waits(long.as_str()), Some(json!("shards")), "{seen}");
        // One that waits for another of its job is no open run yet, and is told of.
        let again = ["run", "long", "--overlap", "queue_all"];
        stage.cli(&again, SOON).await?.succeeded()?;
        terminal.shows("1 waits to be opened").await?;
        terminal.shows("waiting: for long_").await?;
        std::fs::write(&goes_on, "")?;
        terminal.hides("none of it has begun").await?;
        terminal.hides("to be opened").await?;
        stage.closed(&next, SOON).await?;
        terminal.press(&["q"]).await?;
        is_as_it_was(&terminal, 0).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn any_job_is_paused_by_a_key_and_so_are_all() -> anyhow::Result<()> {
    if !have_tmux() {
        return Ok(());
    }
    play(async |stage| {
        for name in ["nightly", "weekly"] {
            let schedule = "[schedule]\ncron = \"0 0 2 * * ?\"\ntimezone = \"UTC\"";
            let grid = "[grid]\nslices = 1\npages = { count = 1 }";
            let job = format!("name = \"{name}\"\nhandler = \"noop\"\n{grid}\n{schedule}");
            stage.apply(&job).await?;
        }
        stage.start_all(1).await?;
        let terminal = top(stage).await?;
        terminal.shows("leads, term 1").await?;
        // Neither has a run that could be selected.
        terminal.press(&["p"]).await?;
        let asked = terminal.shows("Pause or resume which job?").await?;
        ensure!(
            asked.contains("> nightly") && asked.contains("weekly"),
            "{asked}"
        );
        terminal.press(&["e", "e", "k"]).await?;
        terminal.shows("> weekly").await?;
        terminal.press(&["Enter"]).await?;
        terminal.shows("gridloom job pause weekly").await?;
        terminal.press(&["y"]).await?;
        terminal.shows("PAUSED").await?;
        let pauses = pauses_of(stage).await?;
        ensure!(pauses == ["weekly"], "{pauses:?}");
        terminal.press(&["F"]).await?;
        let asked = terminal.shows("Pause the schedules of all jobs?").await?;
        ensure!(asked.contains("2 jobs with a schedule"), "{asked}");
        terminal.press(&["n"]).await?;
        terminal.shows("nothing was done").await?;
        terminal.press(&["F", "y"]).await?;
        terminal.shows("FROZEN").await?;
        terminal.press(&["F"]).await?;
        terminal.shows("1 stays paused").await?;
        terminal.press(&["y"]).await?;
        terminal.hides("FROZEN").await?;
        let pauses = pauses_of(stage).await?;
        ensure!(pauses == ["weekly"], "{pauses:?}");
        terminal.press(&["q"]).await?;
        is_as_it_was(&terminal, 0).await
    })
    .await
}

/// The jobs that are paused; nothing stands for all of them.
async fn pauses_of(stage: &Stage) -> anyhow::Result<Vec<String>> {
    let paused = gridloom_shared::reads::pauses::list(&stage.broker).await?;
    let job = |paused: &gridloom_shared::reads::pauses::Paused| {
        paused
            .job
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default()
    };
    Ok(paused.iter().map(job).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn terminal_is_given_back_whatever_ends_it_and_a_broker_that_is_away_is_waited_for()
-> anyhow::Result<()> {
    if !have_tmux() {
        return Ok(());
    }
    play(async |stage| {
        stage.start_all(1).await?;
        // All of it lies between two looks.
        let terminal = top_with(stage, " --interval 20s").await?;
        stage.server.kill().await?;
        terminal.shows("DISCONNECTED").await?;
        // Keys are heard meanwhile.
        terminal.press(&["?"]).await?;
        terminal.shows("gridloom cancel RUN").await?;
        terminal.press(&["x"]).await?;
        stage.server.restart().await?;
        terminal.hides("DISCONNECTED").await?;
        terminal.shows("the broker is back").await?;
        terminal.press(&["C-c"]).await?;
        is_as_it_was(&terminal, 0).await?;
        for (signal, code) in [(Signal::TERM, 130), (Signal::INT, 130)] {
            let terminal = top(stage).await?;
            let pid = process_of(stage)?;
            kill_process(pid, signal)?;
            is_as_it_was(&terminal, code).await?;
            let ended = async || Ok(!is_alive(pid));
            eventually(SOON, "it has ended", ended).await?;
        }
        // Nobody is left behind who reads of a terminal that is gone.
        let terminal = top(stage).await?;
        let pid = process_of(stage)?;
        drop(terminal);
        let ended = async || Ok(!is_alive(pid));
        eventually(SOON, "it has ended with its terminal", ended).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_it_says_what_else_there_is_and_looks_once() -> anyhow::Result<()> {
    play(async |stage| {
        let said = stage.cli(&["top"], SOON).await?;
        assert_eq!(said.code, 2, "{said:?}");
        for words in ["top --once", "queues --json"] {
            assert!(said.stderr.contains(words), "{said:?}");
        }
        let job = stage.apply(JOB).await?;
        stage.start_all(1).await?;
        let run = stage.submit(&job, &json!({"sleep_ms": 20})).await?;
        stage.done(&run, 20, SOON).await?;
        let once = stage.cli(&["top", "--once"], SOON).await?.succeeded()?;
        let lines: Vec<&str> = once.stdout.lines().collect();
        assert_eq!(lines.len(), 24, "{once:?}");
        assert!(
            lines.iter().all(|line| line.chars().count() <= 80),
            "{once:?}"
        );
        for words in ["leads, term 1", "1 run open", "/6,400", "Workers"] {
            assert!(once.stdout.contains(words), "{words}: {once:?}");
        }
        assert!(!once.stdout.contains('\x1b'), "{once:?}");
        let seen = stage
            .cli(&["top", "--json"], SOON)
            .await?
            .succeeded()?
            .json()?;
        assert_eq!(seen["planners"][0]["term"], 1, "{seen}");
        assert_eq!(seen["runs_open"], 1);
        assert_eq!(seen["runs"][0]["run"], run.as_str());
        assert_eq!(seen["runs"][0]["grid"]["shards"], 6_400);
        assert!(
            seen["runs"][0]["shards_per_s"].as_f64() > Some(0.0),
            "{seen}"
        );
        assert_eq!(seen["queues"][0]["queue"], "default");
        let holds = async || {
            let seen = stage.cli(&["top", "--json"], SOON).await?.json()?;
            Ok(seen["workers"][0]["holds"][0]["run"] == run.as_str())
        };
        eventually(SOON, "it is told what the worker is at", holds).await?;
        // What it saw is what the command tells.
        let shown = stage.cli(&["queues", "--json"], SOON).await?.json()?;
        assert_eq!(
            shown[0]["handlers"][0]["handler"],
            seen["queues"][0]["handlers"][0]["handler"]
        );
        let said = stage
            .cli(&["top", "--interval", "1ms", "--once"], SOON)
            .await?;
        assert_eq!(said.code, 2, "{said:?}");
        stage
            .cli(&["cancel", run.as_str()], SOON)
            .await?
            .succeeded()?;
        Ok(())
    })
    .await
}
