//! The harness itself: that a process it runs is where, what and as dead as it says.

use std::time::Duration;

use gridloom_tests::process::{Gridloom, Process, is_alive};
use gridloom_tests::wait::eventually;
use rustix::process::Signal;

const SOON: Duration = Duration::from_secs(20);

async fn shell(script: &str) -> anyhow::Result<Process> {
    Gridloom::program("/bin/sh", ["-c", script]).start().await
}

fn state(process: &Process) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid())).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[tokio::test]
async fn output_input_environment_and_code_are_the_processes_own() -> anyhow::Result<()> {
    let script = "cat; echo $WORD >&2; exit 5";
    let process = Gridloom::program("/bin/sh", ["-c", script])
        .env("WORD", "said")
        .input("read")
        .start()
        .await?;
    let output = process.finish(SOON).await?;
    assert_eq!(output.code, 5);
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str()),
        ("read", "said\n")
    );
    assert!(output.succeeded().is_err());
    Ok(())
}

#[tokio::test]
async fn process_is_frozen_thawed_asked_and_killed() -> anyhow::Result<()> {
    let mut process = shell("trap 'exit 4' TERM; echo up; while :; do sleep 0.01; done").await?;
    eventually(SOON, "the trap is set", async || {
        Ok(process.stdout() == "up\n")
    })
    .await?;
    process.freeze()?;
    eventually(SOON, "it is frozen", async || {
        Ok(state(&process) == Some('T'))
    })
    .await?;
    process.thaw()?;
    process.terminate()?;
    assert_eq!(process.wait(SOON).await?, 4);
    // Signals after the end go nowhere.
    process.signal(Signal::KILL)?;

    let mut frozen = shell("sleep 1000").await?;
    frozen.freeze()?;
    frozen.kill().await?;
    assert!(!is_alive(frozen.pid()));
    Ok(())
}

#[tokio::test]
async fn process_that_does_not_end_in_time_is_an_error_and_dies_when_dropped() -> anyhow::Result<()>
{
    let mut process = shell("exec sleep 1000").await?;
    let pid = process.pid();
    assert!(process.wait(Duration::from_millis(50)).await.is_err());
    assert!(process.is_running()?);
    drop(process);
    eventually(SOON, "it is gone", async || Ok(!is_alive(pid))).await
}
