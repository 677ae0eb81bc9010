//! `gridloom guard` as a real process: what it hands on, and that nothing outlives its lifeline.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::ensure;
use gridloom_cli::guard::{Guarded, Launch};
use gridloom_shared::clock::Boot;
use gridloom_tests::process::{is_alive, pid_in, shell_with_guard};
use gridloom_tests::wait::{eventually, eventually_some};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

fn launch(script: &str) -> Launch {
    let guard = PathBuf::from(env!("CARGO_BIN_EXE_gridloom-under-test"));
    Launch::new(&guard, "/bin/sh").args(["-c", script])
}

async fn code(guarded: &mut Guarded) -> anyhow::Result<u8> {
    Ok(timeout(SOON, guarded.wait()).await??)
}

async fn pid_of(file: &Path) -> anyhow::Result<Pid> {
    eventually_some(SOON, "a pid was written", async || Ok(pid_in(file))).await
}

async fn gone(pid: Pid) -> anyhow::Result<()> {
    eventually(SOON, "the process is gone", async || Ok(!is_alive(pid))).await
}

/// A guarded shell that writes its own pid to `program` and its child's to `grandchild`.
async fn family(dir: &TempDir, grace: Duration, rest: &str) -> anyhow::Result<(Guarded, Pid, Pid)> {
    let script = format!("sleep 1000 & echo $! > grandchild; {rest}");
    let launch = launch(&script).dir(dir.path()).pid_file("program");
    let guarded = launch.grace(grace).spawn().await?;
    let program = pid_of(&dir.path().join("program")).await?;
    let grandchild = pid_of(&dir.path().join("grandchild")).await?;
    Ok((guarded, program, grandchild))
}

#[tokio::test]
async fn payload_reaches_the_program_byte_for_byte_and_then_ends() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    for length in [1, 1000, 300_000] {
        let payload: Vec<u8> = (0..length).map(|i: u32| (i % 251) as u8).collect();
        let copy = dir.path().join("copy");
        let launch = launch("cat").stdout(File::create(&copy)?);
        let mut guarded = launch.payload(payload.clone()).spawn().await?;
        assert_eq!(code(&mut guarded).await?, 0);
        ensure!(std::fs::read(&copy)? == payload, "{length} bytes differ");
    }
    Ok(())
}

#[tokio::test]
async fn program_without_payload_reads_nothing() -> anyhow::Result<()> {
    let mut guarded = launch("test $(wc -c) = 0").spawn().await?;
    assert_eq!(code(&mut guarded).await?, 0);
    Ok(())
}

#[tokio::test]
async fn exit_code_and_signal_of_the_program_come_through() -> anyhow::Result<()> {
    for (script, expected) in [("exit 0", 0), ("exit 42", 42), ("kill -9 $$", 137)] {
        let mut guarded = launch(script).spawn().await?;
        assert_eq!(code(&mut guarded).await?, expected, "{script}");
    }
    let guard = PathBuf::from(env!("CARGO_BIN_EXE_gridloom-under-test"));
    let mut missing = Launch::new(&guard, "/no/such/program").spawn().await?;
    assert_eq!(code(&mut missing).await?, 127);
    let mut forbidden = Launch::new(&guard, "/etc/passwd").spawn().await?;
    assert_eq!(code(&mut forbidden).await?, 126);
    Ok(())
}

#[tokio::test]
async fn closed_lifeline_kills_program_and_grandchild() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (mut guarded, program, grandchild) =
        family(&dir, Duration::ZERO, "trap '' TERM; sleep 1000").await?;
    assert!(is_alive(program) && is_alive(grandchild));
    assert_eq!(timeout(SOON, guarded.kill()).await??, 137);
    gone(program).await?;
    gone(grandchild).await
}

#[tokio::test]
async fn dropped_handle_kills_them_too() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (guarded, program, grandchild) = family(&dir, Duration::ZERO, "wait").await?;
    drop(guarded);
    gone(program).await?;
    gone(grandchild).await
}

#[tokio::test]
async fn killed_parent_takes_program_and_grandchild_with_it() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let guarded = "--pid-file program sh -c 'sleep 1000 & echo $! > grandchild; sleep 1000'";
    let mut parent = shell_with_guard(dir.path(), guarded)?;
    let program = pid_of(&dir.path().join("program")).await?;
    let grandchild = pid_of(&dir.path().join("grandchild")).await?;
    parent.kill().await?;
    gone(program).await?;
    gone(grandchild).await
}

#[tokio::test]
async fn grandchild_does_not_outlive_a_program_that_ends_by_itself() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (mut guarded, _, grandchild) = family(&dir, Duration::ZERO, "exit 7").await?;
    assert_eq!(code(&mut guarded).await?, 7);
    gone(grandchild).await
}

#[tokio::test]
async fn grace_lets_the_program_end_in_order() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let orderly = "trap 'exit 3' TERM; touch trapped; wait";
    let (mut guarded, _, grandchild) = family(&dir, SOON, orderly).await?;
    trapped(&dir).await?;
    assert_eq!(timeout(SOON, guarded.kill()).await??, 3);
    gone(grandchild).await
}

#[tokio::test]
async fn program_that_ignores_the_grace_is_killed_after_it() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stubborn = "trap '' TERM; touch trapped; while :; do sleep 0.05; done";
    let (mut guarded, program, _) = family(&dir, Duration::from_millis(200), stubborn).await?;
    trapped(&dir).await?;
    assert_eq!(timeout(SOON, guarded.kill()).await??, 137);
    gone(program).await
}

async fn trapped(dir: &TempDir) -> anyhow::Result<()> {
    let mark = dir.path().join("trapped");
    eventually(SOON, "the trap is set", async || Ok(mark.exists())).await
}

#[tokio::test]
async fn signal_to_the_guard_kills_the_program() -> anyhow::Result<()> {
    for signal in [Signal::TERM, Signal::INT] {
        let dir = tempfile::tempdir()?;
        let (mut guarded, program, grandchild) = family(&dir, Duration::ZERO, "wait").await?;
        let guard = guarded.guard_pid().map(u32::cast_signed);
        let Some(guard) = guard.and_then(Pid::from_raw) else {
            anyhow::bail!("the guard has no pid");
        };
        kill_process(guard, signal)?;
        assert_eq!(code(&mut guarded).await?, 137);
        gone(program).await?;
        gone(grandchild).await?;
    }
    Ok(())
}

#[tokio::test]
async fn program_that_never_reads_its_payload_still_dies_with_the_lifeline() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let launch = launch("sleep 1000").dir(dir.path()).pid_file("program");
    let mut guarded = launch.payload(vec![b'x'; 1 << 20]).spawn().await?;
    let program = pid_of(&dir.path().join("program")).await?;
    assert_eq!(timeout(SOON, guarded.kill()).await??, 137);
    gone(program).await
}

#[tokio::test]
async fn lifeline_that_breaks_before_the_payload_is_whole_starts_nothing() -> anyhow::Result<()> {
    for opening in [&b""[..], b"7", b"7\nabc", b"seven\n"] {
        let dir = tempfile::tempdir()?;
        let mark = dir.path().join("started");
        let mut guard = tokio::process::Command::new(env!("CARGO_BIN_EXE_gridloom-under-test"))
            .args(["guard", "touch"])
            .arg(&mark)
            .stdin(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut lifeline = guard.stdin.take();
        if let Some(pipe) = &mut lifeline {
            pipe.write_all(opening).await?;
        }
        drop(lifeline);
        let status = timeout(SOON, guard.wait()).await??;
        assert_eq!(status.code(), Some(125));
        assert!(!mark.exists());
    }
    Ok(())
}

/// A guard whose program may run for `lease`, its lifeline, and the program's pid.
async fn leased(
    dir: &TempDir,
    lease: Duration,
) -> anyhow::Result<(tokio::process::Child, tokio::process::ChildStdin, Pid)> {
    let mut guard = tokio::process::Command::new(env!("CARGO_BIN_EXE_gridloom-under-test"))
        .args(["guard", "--pid-file", "program", "--grace-ms", "60000"])
        .args([
            "sh",
            "-c",
            "trap 'touch told' TERM; touch ready; while :; do sleep 0.05; done",
        ])
        .current_dir(dir.path())
        .stdin(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lifeline = guard.stdin.take().expect("it is piped");
    let opening = format!("0 {}\n", us(Boot::now() + lease));
    lifeline.write_all(opening.as_bytes()).await?;
    let program = pid_of(&dir.path().join("program")).await?;
    // Whoever is told to stop before that ends at once.
    let ready = dir.path().join("ready");
    eventually(
        SOON,
        "the program hears a stop",
        async || Ok(ready.exists()),
    )
    .await?;
    Ok((guard, lifeline, program))
}

fn us(moment: Boot) -> u128 {
    moment.0.as_micros()
}

#[tokio::test]
async fn program_is_killed_at_the_end_of_its_lease_although_the_lifeline_is_open()
-> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let lease = Duration::from_secs(3);
    let (mut guard, mut lifeline, program) = leased(&dir, lease).await?;
    let renewed = Boot::now() + lease;
    // What is no renewal changes nothing.
    for line in [us(renewed).to_string(), "x".to_owned()] {
        lifeline.write_all(format!("{line}\n").as_bytes()).await?;
    }
    let status = timeout(SOON, guard.wait()).await??;
    assert_eq!(status.code(), Some(137));
    assert!(Boot::now() >= renewed, "killed before the end of its lease");
    gone(program).await
}

#[tokio::test]
async fn lease_can_be_made_shorter() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (mut guard, mut lifeline, program) = leased(&dir, SOON * 10).await?;
    let until = Boot::now() + Duration::from_millis(300);
    lifeline
        .write_all(format!("{}\n", us(until)).as_bytes())
        .await?;
    let status = timeout(SOON, guard.wait()).await??;
    assert_eq!(status.code(), Some(137));
    assert!(Boot::now() >= until, "killed before the end of its lease");
    gone(program).await
}

#[tokio::test]
async fn program_whose_lease_is_over_is_not_started() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let mark = dir.path().join("started");
    let mut guard = tokio::process::Command::new(env!("CARGO_BIN_EXE_gridloom-under-test"))
        .args(["guard", "touch"])
        .arg(&mark)
        .stdin(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lifeline = guard.stdin.take().expect("it is piped");
    lifeline.write_all(b"0 1\n").await?;
    let status = timeout(SOON, guard.wait()).await??;
    assert_eq!(status.code(), Some(125));
    assert!(!mark.exists());
    Ok(())
}

/// Orders the stop with an hour's grace, and waits until the program was told.
async fn stop(dir: &TempDir, lifeline: &mut tokio::process::ChildStdin) -> anyhow::Result<()> {
    lifeline.write_all(b"stop 3600000\n").await?;
    let told = dir.path().join("told");
    eventually(SOON, "the program got SIGTERM", async || Ok(told.exists())).await
}

#[tokio::test]
async fn stop_gives_the_program_its_grace_and_then_kills_it() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (mut guard, mut lifeline, program) = leased(&dir, SOON * 3).await?;
    let told = Boot::now();
    lifeline.write_all(b"stop 400\n").await?;
    let status = timeout(SOON, guard.wait()).await??;
    assert_eq!(status.code(), Some(137));
    assert!(
        Boot::now().since(told) >= Duration::from_millis(400) && dir.path().join("told").exists()
    );
    gone(program).await
}

#[tokio::test]
async fn worker_that_is_killed_within_the_grace_takes_the_program_with_it() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (mut guard, mut lifeline, program) = leased(&dir, SOON * 3).await?;
    stop(&dir, &mut lifeline).await?;
    drop(lifeline);
    let status = timeout(SOON, guard.wait()).await??;
    assert_eq!(status.code(), Some(137));
    gone(program).await
}

#[tokio::test]
async fn worker_that_is_frozen_within_the_grace_leaves_the_program_its_lease() -> anyhow::Result<()>
{
    let dir = tempfile::tempdir()?;
    let (mut guard, mut lifeline, program) = leased(&dir, Duration::from_secs(3)).await?;
    stop(&dir, &mut lifeline).await?;
    let status = timeout(SOON, guard.wait()).await??;
    assert_eq!(status.code(), Some(137));
    gone(program).await
}
