//! The starter for Spring Boot on the whole engine: an application whose beans are handlers, that starts its worker itself.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use gridloom_tests::process::{Gridloom, Process};
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;
use serde_json::json;

use super::{Built, LEAN, built, not_run, sdk, sources};
use crate::programs::{SOON, ended, shown, with_own_worker};

/// What an application with the starter has on its class path, below `org/springframework` of Maven's repository.
const SPRING: [(&str, &str); 8] = [
    ("boot/spring-boot", "2.7.18"),
    ("boot/spring-boot-autoconfigure", "2.7.18"),
    ("spring-aop", "5.3.31"),
    ("spring-beans", "5.3.31"),
    ("spring-context", "5.3.31"),
    ("spring-core", "5.3.31"),
    ("spring-expression", "5.3.31"),
    ("spring-jcl", "5.3.31"),
];

/// Spring Boot, where Maven has fetched it for sdk/java.
fn spring() -> Option<Vec<PathBuf>> {
    let below = super::repository()?.join("org/springframework");
    let jar = |(name, version): (&str, &str)| {
        let last = name.rsplit('/').next().unwrap_or(name);
        let jar = format!("{name}/{version}/{last}-{version}.jar");
        Some(below.join(jar)).filter(|jar| jar.is_file())
    };
    SPRING.into_iter().map(jar).collect()
}

/// The class path of the application, which is compiled for it with the starter.
fn application(built: &Built, spring: Vec<PathBuf>) -> anyhow::Result<OsString> {
    let classes = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sdk-java-spring");
    std::fs::create_dir_all(&classes)?;
    let starter = sdk()?.join("gridloom-spring-boot-starter/src/main");
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files = vec![programs.join("spring/Shop.java")];
    sources(&starter.join("java"), &mut files)?;
    let elasticjob = built.elasticjob.as_deref().unwrap_or_default();
    let path = [
        classes.clone(),
        built.classes.clone(),
        starter.join("resources"),
    ];
    let path = path.into_iter().chain(std::env::split_paths(elasticjob));
    let path = std::env::join_paths(path.chain(spring))?;
    let mut javac = Command::new("javac");
    javac.args(["--release", "8", "-nowarn", "-Xlint:-options"]);
    javac.args(["-encoding", "UTF-8", "-parameters", "-d"]);
    let output = javac
        .arg(&classes)
        .arg("-cp")
        .arg(&path)
        .args(files)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "javac: {said}");
    Ok(path)
}

async fn start(stage: &Stage, path: &OsString) -> anyhow::Result<Process> {
    let command = gridloom_tests::gridloom()?.display().to_string();
    let orders = format!("-Dorders={}", stage.dir().join("orders").display());
    let words = LEAN.map(OsString::from).into_iter();
    let words = words.chain([orders.into(), "-cp".into(), path.clone(), "Shop".into()]);
    let words = words.chain([
        format!("--gridloom.worker.command={command}").into(),
        "--gridloom.worker.slots=2".into(),
    ]);
    with_own_worker(stage, Gridloom::program("java", words))?
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn application_of_spring_boot_runs_its_beans_shards_and_answers_what_runs_when_it_closes()
-> anyhow::Result<()> {
    let Some(built) = built() else { return Ok(()) };
    let (Some(spring), Some(_)) = (spring(), &built.elasticjob) else {
        not_run("Spring Boot or ElasticJob's API is not here: mvn -f sdk/java test fetches them");
        return Ok(());
    };
    let path = application(built, spring)?;
    play(async |stage| {
        stage.start_planner().await?;
        let mut shop = start(stage, &path).await?;
        stage
            .apply("name = \"count\"\nhandler = \"count\"\n[grid]\nslices = 4\ntile = 1\n")
            .await?;
        let cities = "shardingItemParameters = { 0 = \"Beijing\", 1 = \"Shanghai\" }";
        let orders = format!(
            "name = \"orders\"\nhandler = \"order-job\"\n[grid]\nslices = 2\n[params]\n{cities}\n"
        );
        stage.apply(&orders).await?;
        let run = ended(stage, "count").await?;
        ensure!(shown(stage, run.as_str()).await?["rows"] == 40);
        ended(stage, "orders").await?;
        let text = std::fs::read_to_string(stage.dir().join("orders"))?;
        let mut lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        lines.sort_unstable();
        ensure!(
            lines == ["orders 0/2 Beijing", "orders 1/2 Shanghai"],
            "{lines:?}"
        );

        // Closed in the midst of a run: what runs is answered, the rest is left to the next one.
        let run = stage
            .submit(&"count".parse()?, &json!({"pause": 100}))
            .await?;
        let log = async || {
            let workers = stage.cli(&["workers", "--json"], SOON).await?.json()?;
            Ok(workers[0]["in_flight"] == 2)
        };
        eventually(SOON, "both slots are at it", log).await?;
        shop.terminate()?;
        let code = shop.wait(SOON).await?;
        // As a virtual machine ends of SIGTERM when its hooks have run.
        ensure!(code == 143, "{code}: {}", shop.stderr());
        let mut next = start(stage, &path).await?;
        stage.closed(&run, SOON).await?;
        stage.judge(&run).await?.succeeded()?;
        let shown = shown(stage, run.as_str()).await?;
        let told = (&shown["rows"], &shown["shards"]["retried"]);
        ensure!(told == (&json!(40), &json!(0)), "{shown}");
        next.kill().await.context("kill the application")
    })
    .await
}
