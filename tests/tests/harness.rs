//! The harness itself: that a process it runs is where, what and as dead as it says, and a broker as is recommended.

use std::time::Duration;

use gridloom_cli::embedded::{Options, free_port};
use gridloom_tests::chaos::field::Field;
use gridloom_tests::http;
use gridloom_tests::process::{Gridloom, Process, is_alive};
use gridloom_tests::seed::Seed;
use gridloom_tests::server::{SYNC_AT_INTERVAL, TestServer};
use gridloom_tests::wait::eventually;
use rustix::process::Signal;
use serde_json::Value;

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

/// Whether a broker flushes whatever it confirms, as it says itself.
async fn flushes_all(mut options: Options) -> anyhow::Result<bool> {
    let monitoring = format!("127.0.0.1:{}", free_port()?);
    options.server_config += &format!("\nhttp: \"{monitoring}\"\n");
    let _server = TestServer::start_with(options).await?;
    let answer = http::get(&monitoring, "/jsz").await?;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let told: Value = serde_json::from_str(body)?;
    Ok(told["config"]["sync_always"] == true)
}

#[tokio::test]
async fn brokers_of_tests_flush_what_they_confirm_unless_a_test_says_otherwise()
-> anyhow::Result<()> {
    assert!(flushes_all(Options::default()).await?);
    let told = |lines: &str| Options {
        jetstream_config: lines.to_owned(),
        ..Options::default()
    };
    assert!(flushes_all(told("domain: hub")).await?);
    assert!(!flushes_all(told(SYNC_AT_INTERVAL)).await?);
    Ok(())
}

/// The mixes, the soak and the scenarios on three brokers are played on these.
#[tokio::test(flavor = "multi_thread")]
async fn brokers_of_a_mix_flush_what_they_confirm() -> anyhow::Result<()> {
    for (cluster, on_file) in [(false, false), (true, false), (false, true)] {
        let mut field = Box::pin(Field::set(Seed::from_env()?, cluster, on_file)).await?;
        let count = if cluster { 3 } else { 1 };
        assert_eq!(field.brokers.servers().len(), count);
        for server in field.brokers.servers() {
            let told = std::fs::read_to_string(server.store().join("nats.conf"))?;
            assert_eq!(told.contains("sync_interval: always"), !on_file, "{told}");
        }
    }
    Ok(())
}
