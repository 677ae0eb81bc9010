//! The `exec` handler with real commands under the real guard.

#![expect(
    clippy::unwrap_used,
    reason = "what the tests share is test code as well"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use gridloom_shared::tile::Key;
use gridloom_tests::wait::{eventually, eventually_some};
use gridloom_worker::handlers::exec::{ExecCommand, ExecHandler};
use gridloom_worker::{Failure, Handler, Trial};
use rustix::process::{Pid, test_kill_process};
use serde_json::json;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);

/// A handler whose command `c` is this shell script, run in `dir`.
fn shell(script: &str, dir: &TempDir) -> ExecHandler {
    let command = ExecCommand {
        program: "/bin/sh".into(),
        args: vec!["-c".to_owned(), script.to_owned()],
        env: [("COLOUR".to_owned(), "blue".to_owned())].into(),
        dir: Some(dir.path().to_owned()),
    };
    with([("c".to_owned(), command)].into())
}

fn with(commands: BTreeMap<String, ExecCommand>) -> ExecHandler {
    ExecHandler::new(
        PathBuf::from(env!("CARGO_BIN_EXE_gridloom-under-test")),
        commands,
    )
}

fn trial() -> Trial {
    Trial::new("sizes", "exec").params(json!({"command": "c", "width": 7}))
}

async fn run(handler: &ExecHandler, trial: &Trial) -> Result<Vec<(String, i64)>, Failure> {
    let shard = trial.shard();
    handler.run(shard.clone()).await?;
    Ok(shard.counters())
}

async fn failure(script: &str) -> Failure {
    let dir = tempfile::tempdir().unwrap();
    run(&shell(script, &dir), &trial()).await.unwrap_err()
}

#[tokio::test]
async fn command_gets_its_shard_and_reports_what_it_did() {
    let dir = tempfile::tempdir().unwrap();
    let script = r#"
        read -r task
        echo "$task" > task.json
        echo "$GRIDLOOM_JOB $GRIDLOOM_SLICE/$GRIDLOOM_SLICES $GRIDLOOM_PAGE $GRIDLOOM_PAGE_FROM \
$GRIDLOOM_PAGE_TO $GRIDLOOM_ATTEMPT $COLOUR" > variables
        echo "$GRIDLOOM_PARAMS" > params.json
        echo working
        echo '{"rows": 10, "counters": {"bytes": 3}}'
        echo '{"rows": 1}'
    "#;
    let trial = trial()
        .slices(4)
        .slice(3)
        .page(2)
        .bounds(Key::Int(20), Key::Int(29));
    let counters = run(&shell(script, &dir), &trial).await.unwrap();
    let expected = [("rows", 11), ("bytes", 3)];
    assert_eq!(counters, expected.map(|(name, n)| (name.to_owned(), n)));
    let read = |file: &str| std::fs::read_to_string(dir.path().join(file)).unwrap();
    assert_eq!(read("variables").trim(), "sizes 3/4 2 20 29 1 blue");
    let task: serde_json::Value = serde_json::from_str(&read("task.json")).unwrap();
    assert_eq!(
        (&task["page_to"], &task["params"]["width"]),
        (&json!(29), &json!(7))
    );
    let params: serde_json::Value = serde_json::from_str(&read("params.json")).unwrap();
    assert_eq!(params, json!({"command": "c", "width": 7}));
}

#[tokio::test]
async fn exit_code_says_whether_another_attempt_is_worth_it() {
    for (script, permanent, words) in [
        ("echo oh no >&2; exit 3", false, "exit code 3: oh no"),
        ("echo only here; exit 1", false, "only here"),
        ("echo wrong input >&2; exit 65", true, "wrong input"),
        ("exit 64", true, "exit code 64"),
        ("kill -9 $$", false, "signal 9"),
        ("echo '{\"rows\": -1}'", false, "report"),
    ] {
        let failure = failure(script).await;
        assert_eq!(failure.is_permanent(), permanent, "{script}: {failure}");
        assert!(failure.text().contains(words), "{script}: {failure}");
    }
}

#[tokio::test]
async fn end_of_a_long_log_is_what_a_failure_shows() {
    let failure = failure("yes chatter | head -c 3000000 >&2; echo the cause >&2; exit 1").await;
    assert!(failure.text().ends_with("the cause"), "{failure}");
}

#[tokio::test]
async fn command_that_the_worker_does_not_name_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let handler = shell("exit 0", &dir);
    for (params, words) in [
        (json!({}), "missing"),
        (json!({"command": 1}), "text"),
        (json!({"command": "/bin/sh"}), "which has c"),
    ] {
        let failure = run(&handler, &trial().params(params)).await.unwrap_err();
        assert!(
            failure.is_permanent() && failure.text().contains(words),
            "{failure}"
        );
    }
}

#[tokio::test]
async fn program_that_is_not_there_may_be_there_on_another_worker() {
    let command = ExecCommand {
        program: "/no/such/program".into(),
        ..ExecCommand::default()
    };
    let handler = with([("c".to_owned(), command)].into());
    let failure = run(&handler, &trial()).await.unwrap_err();
    assert!(
        !failure.is_permanent() && failure.text().contains("127"),
        "{failure}"
    );
}

fn pid_in(dir: &TempDir, file: &str) -> Option<Pid> {
    let text = std::fs::read_to_string(dir.path().join(file)).ok()?;
    Pid::from_raw(text.strip_suffix('\n')?.parse().ok()?)
}

/// A command that has started a child of its own, and the two pids.
async fn pids(dir: &TempDir) -> [Pid; 2] {
    let both = eventually_some(SOON, "both pids were written", async || {
        Ok(pid_in(dir, "own").zip(pid_in(dir, "child")))
    });
    both.await.unwrap().into()
}

async fn gone(pids: [Pid; 2]) {
    let gone = eventually(SOON, "the whole group is gone", async || {
        Ok(pids.iter().all(|pid| test_kill_process(*pid).is_err()))
    });
    gone.await.unwrap();
}

const FAMILY: &str = "sleep 1000 & echo $! > child; echo $$ > own; wait";

#[tokio::test]
async fn lost_lease_kills_the_whole_group() {
    let dir = tempfile::tempdir().unwrap();
    let (handler, trial) = (shell(FAMILY, &dir), trial());
    let (ended, pids) = tokio::join!(run(&handler, &trial), async {
        let pids = pids(&dir).await;
        trial.lose_lease();
        pids
    });
    assert!(ended.unwrap_err().is_stop());
    gone(pids).await;
}

#[tokio::test]
async fn dropped_attempt_kills_the_whole_group() {
    let dir = tempfile::tempdir().unwrap();
    let handler = shell(FAMILY, &dir);
    let attempt = tokio::spawn(async move { run(&handler, &trial()).await });
    let pids = pids(&dir).await;
    attempt.abort();
    gone(pids).await;
}

#[tokio::test]
async fn command_that_ends_leaves_no_child_behind_and_waits_for_none() {
    let dir = tempfile::tempdir().unwrap();
    let script = "sleep 1000 & echo $! > child; echo $$ > own; echo '{\"rows\": 1}'";
    let counters = run(&shell(script, &dir), &trial()).await.unwrap();
    assert_eq!(counters, [("rows".to_owned(), 1)]);
    gone(pids(&dir).await).await;
}

#[tokio::test]
async fn command_that_reads_nothing_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let large = json!({"command": "c", "text": "x".repeat(60_000)});
    let trial = trial().params(large);
    assert_eq!(
        run(&shell("exec <&-; exit 0", &dir), &trial).await,
        Ok(vec![("rows".to_owned(), 0)])
    );
}
