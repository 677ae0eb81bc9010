//! Handlers in Java by sdk/java, with real processes: its example as it stands, programs that are killed on the way, its client,
//! and job classes of ElasticJob that know nothing of this engine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, ensure};
use gridloom_shared::id::RunId;
use gridloom_tests::process::Gridloom;
use gridloom_tests::scenario::{Stage, play};
use serde_json::json;

use crate::api;
use crate::programs::{
    ACK_DEADLINE, MOODY, SOON, begun, conforms, conforms_attached, ended, its_worker_is_killed,
    one_is_killed, shown, with_own_worker,
};

#[path = "java/spring.rs"]
mod spring;
#[path = "java/walk.rs"]
mod walk;

/// They start sooner and take less so.
const LEAN: [&str; 3] = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx64m"];
/// What of ElasticJob is needed, below a repository of Maven.
const ELASTICJOB: &str = "org/apache/shardingsphere/elasticjob";
const ELASTICJOB_VERSION: &str = "3.0.4";

/// Where the classes are: compiled once, by `javac` alone.
struct Built {
    classes: PathBuf,
    /// `None`: its API is not on this machine.
    elasticjob: Option<OsString>,
}

fn built() -> Option<&'static Built> {
    static BUILT: OnceLock<Result<Built, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    match built {
        Ok(built) => Some(built),
        Err(error) => {
            not_run(&format!("the SDK for Java: {error}"));
            None
        }
    }
}

/// Says what is not run here; in CI that is a failure.
fn not_run(what: &str) {
    eprintln!("\n*** NOT RUN: {what} ***\n");
    assert!(std::env::var_os("CI").is_none(), "in CI: {what}");
}

fn sdk() -> anyhow::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/java");
    folder.canonicalize().context("the SDK for Java is there")
}

/// Files of Java below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|ending| ending == "java") {
            found.push(path);
        }
    }
    Ok(())
}

fn build() -> anyhow::Result<Built> {
    let classes = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sdk-java");
    std::fs::create_dir_all(&classes)?;
    let elasticjob = elasticjob();
    let mut files = Vec::new();
    sources(&sdk()?.join("gridloom-worker/src/main/java"), &mut files)?;
    files.push(sdk()?.join("gridloom-worker/src/test/java/Conformance.java"));
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/java");
    if elasticjob.is_some() {
        sources(
            &sdk()?.join("gridloom-elasticjob/src/main/java"),
            &mut files,
        )?;
        sources(&programs, &mut files)?;
    } else {
        files.push(programs.join("Steady.java"));
    }
    let mut javac = Command::new("javac");
    javac.args(["--release", "8", "-nowarn", "-Xlint:-options"]);
    javac.args(["-encoding", "UTF-8", "-d"]).arg(&classes);
    if let Some(path) = &elasticjob {
        javac.arg("-cp").arg(path);
    }
    let output = javac.args(files).output().context("javac is not here")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "javac: {said}");
    Ok(Built {
        classes,
        elasticjob,
    })
}

/// Where Maven has put what it fetched for sdk/java.
fn repository() -> Option<PathBuf> {
    let own = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".m2/repository"));
    std::env::var_os("GRIDLOOM_TEST_MAVEN")
        .map(PathBuf::from)
        .or(own)
}

/// The class path of ElasticJob's API, where Maven has fetched it.
fn elasticjob() -> Option<OsString> {
    let repository = repository()?;
    let folder = repository.join(ELASTICJOB);
    let jars = [
        "elasticjob-api",
        "elasticjob-simple-executor",
        "elasticjob-dataflow-executor",
    ];
    let jars = jars.map(|name| {
        let version = folder.join(name).join(ELASTICJOB_VERSION);
        version.join(format!("{name}-{ELASTICJOB_VERSION}.jar"))
    });
    let all = jars.iter().all(|jar| jar.is_file());
    all.then(|| std::env::join_paths(jars).ok()).flatten()
}

/// `java` with its flags and the class path; what it runs is to follow.
fn java(built: &Built, more: &[&str]) -> Vec<OsString> {
    let mut path = built.classes.clone().into_os_string();
    if let Some(elasticjob) = &built.elasticjob {
        path.push(":");
        path.push(elasticjob);
    }
    let words = ["java"].into_iter().chain(LEAN).map(OsString::from);
    let words = words.chain(["-cp".into(), path]);
    words.chain(more.iter().map(OsString::from)).collect()
}

/// A worker with children; its place among the stage's.
async fn start(stage: &mut Stage, flags: &[&str], command: Vec<OsString>) -> anyhow::Result<usize> {
    let worker = stage.gridloom(&["worker"])?.args(flags.iter().copied());
    let worker = worker.args(["--"]).args(command);
    let worker = worker.env("GRIDLOOM_QUEUE_ACK_DEADLINE", ACK_DEADLINE);
    let worker = worker.dir(sdk()?.join("examples"));
    stage.workers.push(worker.start().await?);
    Ok(stage.workers.len() - 1)
}

/// The run of a job that is applied already, at its end, and nothing wrong with it.
async fn audited(stage: &Stage, job: &str) -> anyhow::Result<serde_json::Value> {
    let run = ended(stage, job).await?;
    let audit = ["audit", run.as_str()];
    stage.cli(&audit, SOON).await?.succeeded()?;
    shown(stage, run.as_str()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn example_in_java_does_what_its_head_says() -> anyhow::Result<()> {
    let Some(built) = built() else { return Ok(()) };
    play(async |stage| {
        stage.start_planner().await?;
        start(stage, &[], java(built, &["Words.java"])).await?;
        let examples = sdk()?.join("examples");
        let file = examples.join("words.toml").display().to_string();
        let apply = ["job", "apply", &file];
        stage.cli(&apply, SOON).await?.succeeded()?;
        let words = audited(stage, "words").await?;
        let text = std::fs::read_to_string(examples.join("Words.java"))?;
        assert_eq!(words["rows"], json!(text.lines().count()));
        assert_eq!(
            words["counters"]["words"],
            json!(text.split_whitespace().count())
        );
        stage.workers[0].terminate()?;
        assert_eq!(stage.workers[0].wait(SOON).await?, 0);
        Ok(())
    })
    .await
}

/// A virtual machine a situation, some seventy of them.
const LONG: Duration = Duration::from_secs(900);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "by itself: `.ci/run` plays it with nothing beside it"]
async fn library_for_java_conforms() -> anyhow::Result<()> {
    let Some(built) = built() else { return Ok(()) };
    // What is waited for comes at once on a machine that is not busy; a virtual machine needs more of a busy one than others.
    let tested = async |how: Option<&str>| {
        let test = Gridloom::new(["sdk-test", "--json", "--within", "100s"])?;
        let test = test.args(how).args(["--"]);
        let test = test.args(java(built, &["Conformance"])).start().await?;
        test.finish(LONG).await
    };
    let said = conforms(&tested(None).await?, 40)?;
    assert_eq!(said["sdk"], "java 0.1.0");
    conforms_attached(&tested(Some("--attach")).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn virtual_machine_that_is_killed_costs_an_attempt_and_no_shard() -> anyhow::Result<()> {
    let Some(built) = built() else { return Ok(()) };
    play(async |stage| {
        let log = stage.dir().join("log");
        stage.start_planner().await?;
        let command = java(built, &["Steady", &log.to_string_lossy()]);
        start(stage, &["--processes", "2", "--child-tcp"], command).await?;
        let run = begun(stage, &log, 2).await?;
        one_is_killed(stage, &run, &log).await
    })
    .await
}

const FOUND: &str =
    "name = \"found\"\nhandler = \"found\"\n[grid]\nslices = 3\npages = { probe = true }";

#[tokio::test(flavor = "multi_thread")]
async fn retry_permanent_hold_and_probe_do_what_they_say_in_java() -> anyhow::Result<()> {
    let Some(built) = built() else { return Ok(()) };
    play(async |stage| {
        stage.start_planner().await?;
        let log = stage.dir().join("log");
        start(stage, &[], java(built, &["Steady", &log.to_string_lossy()])).await?;
        let job = stage.apply(MOODY).await?;
        let run = stage.submit(&job, &json!({})).await?;
        stage.closed(&run, SOON).await?;
        stage.judge(&run).await?;
        let moody = shown(stage, run.as_str()).await?;
        assert_eq!(moody["state"], "failed", "{moody}");
        assert_eq!(moody["shards"]["dead"], 1, "{moody}");
        // A hold uses up no attempt of those that a job allows; its number goes up all the same.
        assert_eq!(moody["counters"]["attempts"], 1 + 2 + 2, "{moody}");
        let dead = stage.cli(&["dead", "list", "--json"], SOON).await?;
        let dead = dead.succeeded()?.stdout;
        let told = "no such bucket: java.lang.IllegalStateException: gone";
        assert!(dead.contains(told), "{dead}");
        stage.apply(FOUND).await?;
        let found = audited(stage, "found").await?;
        assert_eq!(
            (&found["rows"], &found["shards"]["planned"]),
            (&json!(1_000), &json!(30))
        );
        Ok(())
    })
    .await
}

/// A program that starts its worker itself.
fn start_program(stage: &Stage, built: &Built, log: &Path) -> anyhow::Result<Gridloom> {
    let mut words = java(built, &["Steady", &log.to_string_lossy()]);
    let process = Gridloom::program(words.remove(0), words);
    with_own_worker(stage, process)
}

#[tokio::test(flavor = "multi_thread")]
async fn program_in_java_has_a_worker_of_its_own_until_that_is_killed() -> anyhow::Result<()> {
    let Some(built) = built() else { return Ok(()) };
    let program = async |stage: &Stage, log: &Path| start_program(stage, built, log);
    play(async |stage| its_worker_is_killed(stage, program, "WorkerGone").await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn client_in_java_starts_a_run_once_and_waits_for_it() -> anyhow::Result<()> {
    let Some(built) = built() else { return Ok(()) };
    play(async |stage| {
        let planner = api::start(stage, &[]).await?;
        stage.start_worker(4, &[]).await?;
        stage
            .apply("name = \"plain\"\nhandler = \"noop\"\n[grid]\nslices = 4")
            .await?;
        let mut words = java(built, &["Steady", "client", &planner.url("")]);
        let process = Gridloom::program(words.remove(0), words).start().await?;
        let said = process.finish(SOON).await?.succeeded()?.stdout;
        let run = RunId::from_request(&"plain".parse()?, "monday");
        let wanted = format!("opened exists {run} succeeded 4 failed");
        assert_eq!(said.trim(), wanted);
        Ok(())
    })
    .await
}

const SPRING: &str = "\
elasticjob:
  regCenter: {serverLists: 'localhost:6181', namespace: demo}
  jobs:
    orderJob:
      elasticJobClass: com.acme.OrderJob
      cron: 0 0 2 ? * MON-FRI
      timeZone: GMT+08:00
      shardingTotalCount: 3
      shardingItemParameters: 0=Beijing,1=Shanghai,2=Guangzhou
      jobParameter: 007
      misfire: true
    cleanUp:
      elasticJobClass: com.acme.CleanUpJob
      shardingTotalCount: 2
      props: {streaming.process: true}
    cleanOnce:
      elasticJobClass: com.acme.CleanUpJob
      shardingTotalCount: 2
";

#[tokio::test(flavor = "multi_thread")]
async fn job_classes_of_elasticjob_are_moved_as_they_are_with_their_configuration()
-> anyhow::Result<()> {
    let Some(built) = built() else { return Ok(()) };
    if built.elasticjob.is_none() {
        not_run("ElasticJob's API is not here: mvn -f sdk/java test fetches it");
        return Ok(());
    }
    play(async |stage| {
        stage.start_planner().await?;
        let (there, out) = (stage.dir().join("application.yml"), stage.dir().join("out"));
        std::fs::write(&there, SPRING)?;
        let (file, dir) = (there.display().to_string(), out.display().to_string());
        let import = ["import", "elasticjob", &file, "--out", &dir];
        stage.cli(&import, SOON).await?.succeeded()?;
        for job in ["order-job", "clean-up", "clean-once"] {
            let file = out.join(format!("jobs/{job}.toml")).display().to_string();
            let apply = ["job", "apply", &file];
            stage.cli(&apply, SOON).await?.succeeded()?;
        }
        let orders = stage.dir().join("orders");
        let property = format!("-Dorders={}", orders.display());
        start(stage, &[], java(built, &[&property, "Moved"])).await?;
        audited(stage, "order-job").await?;
        let text = std::fs::read_to_string(&orders)?;
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        let wanted = [
            "orderJob 0/3 Beijing 007",
            "orderJob 1/3 Shanghai 007",
            "orderJob 2/3 Guangzhou 007",
        ];
        assert_eq!(lines, wanted);
        // Ten of 25 records an item, and then all that are left, ten at a time.
        let once = audited(stage, "clean-once").await?;
        assert_eq!(once["rows"], 20, "{once}");
        let streamed = audited(stage, "clean-up").await?;
        assert_eq!(streamed["rows"], 30, "{streamed}");
        Ok(())
    })
    .await
}
