//! The `exec` handler with real commands under the real guard.

#![expect(
    clippy::unwrap_used,
    reason = "what the tests share is test code as well"
)]

#[path = "exec/documented.rs"]
mod documented;

use std::path::PathBuf;
use std::time::Duration;

use gridloom_shared::tile::Key;
use gridloom_tests::wait::{eventually, eventually_some};
use gridloom_worker::handlers::exec::{ExecCommand, ExecError, ExecHandler};
use gridloom_worker::{Failure, Handler, Trial};
use rustix::process::{Pid, test_kill_process};
use serde_json::json;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);

/// A handler whose command `c` is this shell script, run in `dir`.
fn shell(script: &str, dir: &TempDir) -> ExecHandler {
    with(sh(script, dir))
}

fn sh(script: &str, dir: &TempDir) -> ExecCommand {
    ExecCommand {
        program: "/bin/sh".into(),
        args: vec!["-c".to_owned(), script.to_owned()],
        env: [("COLOUR".to_owned(), "blue".to_owned())].into(),
        dir: Some(dir.path().to_owned()),
        grace: SOON,
    }
}

fn with(command: ExecCommand) -> ExecHandler {
    handler(command).unwrap()
}

fn handler(command: ExecCommand) -> Result<ExecHandler, ExecError> {
    let guard = PathBuf::from(env!("CARGO_BIN_EXE_gridloom-under-test"));
    ExecHandler::new(guard, [("c".to_owned(), command)].into())
}

fn trial() -> Trial {
    Trial::new("sizes", "exec")
        .settings(json!({"command": "c"}))
        .params(json!({"width": 7}))
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
    assert_eq!(params, json!({"width": 7}));
}

#[tokio::test]
async fn exit_code_says_whether_another_attempt_is_worth_it() {
    for (script, permanent, words) in [
        ("echo oh no >&2; exit 3", false, "exit code 3: oh no"),
        ("echo only here; exit 1", false, "only here"),
        ("echo wrong input >&2; exit 65", true, "wrong input"),
        ("exit 64", true, "exit code 64"),
        ("kill -9 $$", false, "signal 9 (SIGKILL)"),
        ("exit 255", false, "exit code 255"),
        ("exit 130", false, "exit code 130"),
        ("no-such-program", false, "exit code 127"),
        ("exit 125", false, "exit code 125"),
    ] {
        let failure = failure(script).await;
        assert_eq!(failure.is_permanent(), permanent, "{script}: {failure}");
        assert!(failure.text().contains(words), "{script}: {failure}");
    }
}

#[tokio::test]
async fn file_that_is_no_program_is_told_what_its_first_line_lacks() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("count");
    std::fs::write(&file, "echo hello\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    let command = ExecCommand {
        program: file,
        args: Vec::new(),
        ..sh("", &dir)
    };
    let failure = run(&with(command), &trial()).await.unwrap_err();
    assert!(failure.text().contains("#!/bin/sh"), "{failure}");
}

#[tokio::test]
async fn script_that_lost_its_mode_is_told_how_it_gets_it_back() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("count");
    let mode = |bits| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(bits));
    std::fs::write(&file, "#!/bin/sh\n").unwrap();
    mode(0o755).unwrap();
    let handler = with(ExecCommand {
        program: file.clone(),
        args: Vec::new(),
        ..sh("", &dir)
    });
    run(&handler, &trial()).await.unwrap();
    mode(0o644).unwrap();
    let failure = run(&handler, &trial()).await.unwrap_err();
    assert!(
        !failure.is_permanent() && failure.text().contains("chmod +x"),
        "{failure}"
    );
}

#[tokio::test]
async fn last_line_that_was_meant_as_a_report_undoes_nothing_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    for script in ["echo \"{'rows': 5}\"", "echo '{\"row\": 5}'"] {
        let counters = run(&shell(script, &dir), &trial()).await.unwrap();
        let expected = [("rows", 0), ("odd_reports", 1)];
        assert_eq!(
            counters,
            expected.map(|(name, n)| (name.to_owned(), n)),
            "{script}"
        );
    }
}

#[tokio::test]
async fn end_of_a_long_log_is_what_a_failure_shows() {
    let failure = failure("yes chatter | head -c 3000000 >&2; echo the cause >&2; exit 1").await;
    assert!(failure.text().ends_with("the cause"), "{failure}");
}

#[tokio::test]
async fn command_that_a_job_does_not_name_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let handler = shell("exit 0", &dir);
    for (settings, words) in [(json!({}), "missing"), (json!({"command": 1}), "text")] {
        // A submission's own command, known or not, is not even looked at.
        let trial = trial().settings(settings).params(json!({"command": "c"}));
        let failure = run(&handler, &trial).await.unwrap_err();
        assert!(
            failure.is_permanent() && failure.text().contains(words),
            "{failure}"
        );
    }
}

#[tokio::test]
async fn command_that_this_worker_does_not_have_uses_up_no_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let trial = trial().settings(json!({"command": "/bin/sh"}));
    let failure = run(&shell("exit 0", &dir), &trial).await.unwrap_err();
    assert!(failure.is_hold(), "{failure}");
    for words in ["which has c", "a name and not a command line"] {
        assert!(failure.text().contains(words), "{failure}");
    }
}

#[tokio::test]
async fn report_that_cannot_be_read_undoes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let script =
        r#"echo '{"rows": 3.0}'; echo '{"rows": "ten"}'; echo '{"counters": {"a": 1, "b": null}}'"#;
    let counters = run(&shell(script, &dir), &trial()).await.unwrap();
    let expected = [("rows", 3), ("a", 1), ("odd_reports", 2)];
    assert_eq!(counters, expected.map(|(name, n)| (name.to_owned(), n)));
}

#[test]
fn command_that_cannot_be_run_here_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let of = |program: &str, dir: PathBuf| ExecCommand {
        program: program.into(),
        dir: Some(dir),
        ..ExecCommand::default()
    };
    for (command, words) in [
        (
            of("/no/such/program", dir.path().into()),
            "/no/such/program",
        ),
        (of("no-such-program", dir.path().into()), "in PATH"),
        (of("/bin/sh", dir.path().join("gone")), "gone"),
        (of("/etc/passwd", dir.path().into()), "not executable"),
    ] {
        let error = handler(command).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("\"c\""), "{error}");
    }
}

#[tokio::test]
async fn what_was_there_at_the_start_and_is_gone_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (home, program) = (dir.path().join("home"), dir.path().join("program"));
    let rebuild = || {
        std::fs::create_dir_all(&home).unwrap();
        std::fs::copy("/bin/sh", &program).unwrap();
        with(ExecCommand {
            program: program.clone(),
            dir: Some(home.clone()),
            ..ExecCommand::default()
        })
    };
    let handler = rebuild();
    std::fs::remove_file(&program).unwrap();
    let failure = run(&handler, &trial()).await.unwrap_err();
    let named = format!("find its program `{}`", program.display());
    assert!(
        !failure.is_permanent() && failure.text().contains(&named),
        "{failure}"
    );
    let handler = rebuild();
    std::fs::remove_dir(&home).unwrap();
    let failure = run(&handler, &trial()).await.unwrap_err();
    let named = format!("enter its directory `{}`", home.display());
    assert!(
        !failure.is_permanent() && failure.text().contains(&named),
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

/// Runs the script, and tells it that its time is over once it has made the file `begun`.
async fn out_of_time(script: &str, dir: &TempDir, grace: Duration) -> Failure {
    let mut command = sh(script, dir);
    command.grace = grace;
    let (handler, trial) = (with(command), trial());
    let (ended, ()) = tokio::join!(run(&handler, &trial), async {
        let begun = dir.path().join("begun");
        let begun = eventually(SOON, "it has begun", async || Ok(begun.exists()));
        begun.await.unwrap();
        trial.end_time();
    });
    ended.unwrap_err()
}

#[tokio::test]
async fn command_out_of_time_may_tidy_up_and_its_last_words_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let script = "trap 'echo tidied up; exit 0' TERM; echo at line 7; \
        sleep 1000 & echo $! > child; echo $$ > own; touch begun; wait";
    let failure = out_of_time(script, &dir, SOON).await;
    assert!(!failure.is_stop(), "{failure}");
    let text = failure.text();
    assert!(text.contains("exit code 0: at line 7\ntidied up"), "{text}");
    gone(pids(&dir).await).await;
}

#[tokio::test]
async fn command_that_ignores_the_end_of_its_time_is_killed_after_its_grace() {
    let dir = tempfile::tempdir().unwrap();
    let script = "trap '' TERM; echo stuck; sleep 1000 & echo $! > child; echo $$ > own; \
        touch begun; while :; do wait; done";
    let failure = out_of_time(script, &dir, Duration::from_millis(200)).await;
    let text = failure.text();
    assert!(text.contains("signal 9 (SIGKILL): stuck"), "{text}");
    gone(pids(&dir).await).await;
}

#[tokio::test]
async fn lease_that_is_lost_within_the_grace_kills_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let script = "trap 'touch told' TERM; sleep 1000 & echo $! > child; echo $$ > own; while :; do wait; done";
    let mut command = sh(script, &dir);
    command.grace = Duration::from_secs(200);
    let (handler, trial) = (with(command), trial());
    let (ended, pids) = tokio::join!(run(&handler, &trial), async {
        let pids = pids(&dir).await;
        trial.end_time();
        let told = dir.path().join("told");
        let told = eventually(SOON, "it got SIGTERM", async || Ok(told.exists()));
        told.await.unwrap();
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
    let large = json!({"text": "x".repeat(60_000)});
    let trial = trial().params(large);
    assert_eq!(
        run(&shell("exec <&-; exit 0", &dir), &trial).await,
        Ok(vec![("rows".to_owned(), 0)])
    );
}
