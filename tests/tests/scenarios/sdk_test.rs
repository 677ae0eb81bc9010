//! `gridloom sdk-test` with the program of sdk/python: as it stands, and with faults put into the library, each of which has to be told.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use gridloom_tests::process::{Gridloom, Output};
use serde_json::json;

use crate::programs::{conforms, conforms_attached};

/// Each situation starts an interpreter.
const SOON: Duration = Duration::from_secs(300);

fn sdk() -> anyhow::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/python");
    folder.canonicalize().context("the SDK for Python is there")
}

fn program() -> anyhow::Result<String> {
    let program = sdk()?.join("tests/conformance.py");
    Ok(program.to_string_lossy().into_owned())
}

async fn tested(args: &[&str]) -> anyhow::Result<Output> {
    let process = Gridloom::new(["sdk-test"])?.args(args.iter().copied());
    let process = process
        .env("PYTHONPATH", sdk()?.join("src"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    process.start().await?.finish(SOON).await
}

/// The library for Python does as it should, with handlers of this kind.
async fn is_well(kind: &[&str]) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("report.xml");
    let (program, file_text) = (program()?, file.to_string_lossy());
    let args = ["--json", "--junit", &file_text, "--", "python3", &program];
    let report = tested(&[&args[..], kind].concat()).await?;
    let said = conforms(&report, 40)?;
    assert_eq!(said["sdk"], "python 0.1.0");
    let written = std::fs::read_to_string(file)?;
    let cases = written.matches("<testcase ").count();
    assert_eq!(Some(cases), said["situations"].as_array().map(Vec::len));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "by itself: `.ci/run` plays it with nothing beside it"]
async fn library_for_python_conforms_with_threads() -> anyhow::Result<()> {
    is_well(&[]).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "by itself: `.ci/run` plays it with nothing beside it"]
async fn library_for_python_conforms_with_an_event_loop() -> anyhow::Result<()> {
    is_well(&["async"]).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "by itself: `.ci/run` plays it with nothing beside it"]
async fn library_for_python_conforms_with_a_worker_of_its_own() -> anyhow::Result<()> {
    let program = program()?;
    conforms_attached(&tested(&["--attach", "--json", "--", "python3", &program]).await?)
}

/// With this put into the library, this situation fails, by this clause.
async fn is_told(fault: &str, situation: &str, clause: &str, came: &str) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let faulty = dir.path().join("faulty.py");
    let program = program()?;
    let run = format!("import runpy\nrunpy.run_path({program:?}, run_name=\"__main__\")\n");
    std::fs::write(&faulty, format!("{fault}\n{run}"))?;
    let path = faulty.to_string_lossy();
    let only = [
        "--json", "--within", "5s", "--only", situation, "--", "python3", &path,
    ];
    let report = tested(&only).await?;
    let told = &report.json().with_context(|| report.stderr.clone())?["situations"][0];
    assert_eq!(
        (report.code, &told["outcome"]),
        (1, &json!("failed")),
        "{told}"
    );
    assert_eq!(told["clause"], clause, "{told}");
    let text = told["came"].as_str().unwrap_or_default();
    assert!(text.contains(came), "{told}");
    Ok(())
}

/// What begins each of them.
const HEAD: &str = "import gridloom.answers as a, gridloom.child as c, gridloom.frames as f\n";

/// Says something for as long as anybody hears it, faster than it can be looked at: on a fast machine that may be caught up with.
const FLOOD: &str = "lambda self, said: any(self._connection._sock.sendall(f.encode({'type': 'noise'}) * 10_000) for _ in iter(int, 1))";

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_a_library_are_told_with_what_came_and_the_clause() -> anyhow::Result<()> {
    for (fault, situation, clause, came) in [
        (
            "send = f.Connection.send\n\
             f.Connection.send = lambda self, said: [send(self, said) for _ in range(1 + (said['type'] == 'done'))]",
            "done",
            "§8 Faults",
            "which was answered before",
        ),
        (
            "c.Child._stop = lambda self, ids, why: None",
            "stop-running",
            "§5 stop",
            "nothing of the kind",
        ),
        (
            "c.GONE = 0\nimport gridloom.worker as w\nw.GONE = 0",
            "gone-idle",
            "§9",
            "exit code 0",
        ),
        (
            "take = c.Child._take\n\
             c.Child._take = lambda self, said: take(self, {**said, 'shards': said['shards'][::-1]})",
            "tile-in-order",
            "§5 order",
            "it ran from",
        ),
        (
            "f.FRAME_MAX = 1024",
            "largest-frame",
            "§2",
            "or nobody reads",
        ),
        ("c.SDK = 7", "hello", "§4 hello", "cannot be read"),
        (&*format!("c.Child._take = {FLOOD}"), "done", "§4 done", ""),
        (
            &*format!("c.Child._drain = {FLOOD}"),
            "done",
            "§5 drain",
            "",
        ),
    ] {
        let fault = format!("{HEAD}{fault}");
        is_told(&fault, situation, clause, came)
            .await
            .with_context(|| format!("{situation}: {fault}"))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn program_that_is_not_there_or_says_no_hello_ends_the_test_at_once() -> anyhow::Result<()> {
    for (command, came) in [
        (&["/no/such/program"][..], "find its program"),
        (
            &["python3", "-c", "import sys; sys.exit('no such module')"],
            "no such module",
        ),
        (&["sleep", "600"], "none"),
    ] {
        let args = [&["--json", "--within", "2s", "--"][..], command].concat();
        let report = tested(&args).await?;
        let said = report.json().with_context(|| report.stderr.clone())?;
        let all = said["situations"].as_array().context("situations")?;
        assert_eq!((report.code, all.len()), (1, 1), "{said}");
        let text = all[0]["came"].as_str().unwrap_or_default();
        assert!(text.contains(came), "{said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn situations_are_listed_and_one_that_there_is_not_is_refused() -> anyhow::Result<()> {
    let listed = tested(&["--list", "--json"]).await?.succeeded()?.json()?;
    assert!(listed.as_array().map(Vec::len) >= Some(40), "{listed}");
    let strange = tested(&["--only", "dance", "--", "true"]).await?;
    assert_eq!(strange.code, 2);
    assert!(strange.stderr.contains("--list"), "{}", strange.stderr);
    let nothing = tested(&[]).await?;
    assert_eq!(nothing.code, 2);
    assert!(nothing.stderr.contains("-- COMMAND"), "{}", nothing.stderr);
    Ok(())
}
