//! The page COMING-FROM-ELASTICJOB.md as somebody follows it who knows only ElasticJob: its class and its configuration as they
//! stand there, and a second job in Python beside it, on `gridloom dev`.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use gridloom_tests::wait::eventually;

use super::{Built, built, not_run, sdk};
use crate::programs::SOON;
use crate::typed::{Typed, example};

const PAGE: &str = include_str!("../../../../docs/COMING-FROM-ELASTICJOB.md");
/// What the page leaves out of the class, as what a job does is its own affair.
const SHIP: &str = r#"
    private static synchronized void ship(int item, String city) {
        try {
            java.nio.file.Files.write(java.nio.file.Paths.get("orders"), (item + " " + city + "\n").getBytes(),
                java.nio.file.StandardOpenOption.CREATE, java.nio.file.StandardOpenOption.APPEND);
        } catch (java.io.IOException error) {
            throw new IllegalStateException(error);
        }
    }
"#;
/// The other job of the same configuration, which the page speaks of.
const STOCK: &str = "    stockJob:
      elasticJobClass: com.acme.StockJob
      shardingTotalCount: 2
      shardingItemParameters: 0=Beijing,1=Shanghai
      jobParameter: the week
";

/// The nth block of this kind.
fn block(kind: &str, nth: usize) -> anyhow::Result<&'static str> {
    let begin = format!("```{kind}\n");
    let (_, rest) = PAGE.split_once("## A job class").context("a section")?;
    let block = rest
        .split(begin.as_str())
        .nth(nth + 1)
        .context(begin.clone())?;
    Ok(block.split("```").next().unwrap_or_default())
}

fn put(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().context("a folder")?)?;
    Ok(fs::write(path, text)?)
}

/// The library as a jar.
fn jar(built: &Built, file: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(file.parent().context("a folder")?)?;
    let mut jar = Command::new("jar");
    jar.arg("cf").arg(file).arg("-C").arg(&built.classes);
    let made = jar.arg("gridloom").status()?;
    ensure!(made.success(), "jar: {made}");
    Ok(())
}

/// What Maven makes of the project: its classes, and the jars that it names.
fn package(folder: &Path, built: &Built, jars: &OsStr) -> anyhow::Result<()> {
    let (classes, jars_at) = (
        folder.join("target/classes"),
        folder.join("target/dependency"),
    );
    fs::create_dir_all(&classes)?;
    jar(built, &jars_at.join("gridloom.jar"))?;
    for jar in std::env::split_paths(jars) {
        fs::copy(&jar, jars_at.join(jar.file_name().context("a name")?))?;
    }
    let mut javac = Command::new("javac");
    javac.args(["-nowarn", "-d"]).arg(&classes);
    javac.arg("-cp").arg(jars_at.join("*"));
    javac.args(["com/acme/OrderJob.java", "Jobs.java"]);
    let made = javac.current_dir(folder).status()?;
    ensure!(made.success(), "javac: {made}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn page_for_those_who_come_from_elasticjob_is_followed_with_a_job_in_python_beside_it()
-> anyhow::Result<()> {
    let Some(built) = built() else { return Ok(()) };
    let Some(jars) = &built.elasticjob else {
        not_run("ElasticJob's API is not here: mvn -f sdk/java test fetches it");
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let class = block("java", 0)?;
    ensure!(!class.contains("gridloom"), "the class stays as it is");
    put(
        folder,
        "com/acme/OrderJob.java",
        &class.replace("    // ...\n", SHIP),
    )?;
    put(folder, "Jobs.java", block("java", 1)?)?;
    put(
        folder,
        "application.yml",
        &format!("{}{STOCK}", block("yaml", 0)?),
    )?;
    put(folder, "stock.py", block("python", 0)?)?;
    package(folder, built, jars)?;
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/python/src");
    let mut typed = Typed::in_folder(folder)?.env("PYTHONPATH", sdk);

    typed
        .line("gridloom import elasticjob application.yml")
        .await?;
    // What is typed there, save what makes the class.
    let (_, runs) = PAGE.split_once("**It runs**").context("how it runs")?;
    let runs = runs.split("```").nth(1).context("what is typed")?;
    let ended = typed.all(runs).await?;
    ensure!((typed.services.len(), ended) == (2, 2), "{runs}");
    let orders = fs::read_to_string(folder.join("orders"))?;
    let mut orders: Vec<&str> = orders.lines().collect();
    orders.sort_unstable();
    ensure!(
        orders == ["0 Beijing", "1 Shanghai", "2 Guangzhou"],
        "{orders:?}"
    );

    let python = "gridloom worker --processes 2 -- python stock.py";
    ensure!(
        PAGE.contains(&format!("`{python}`")),
        "the page says how it runs"
    );
    typed.line(python).await?;
    typed
        .line("gridloom job apply gridloom-import/jobs/stock-job.toml")
        .await?;
    typed.line("gridloom run stock-job --wait").await?;
    let counts = [
        "counts Beijing for the week",
        "counts Shanghai for the week",
    ];
    eventually(SOON, "what it prints is in its worker's log", async || {
        let said = typed.services[2].stderr();
        Ok(counts.iter().all(|words| said.contains(words)))
    })
    .await?;
    typed.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn example_in_java_is_typed_as_its_head_says_on_the_whole_stack() -> anyhow::Result<()> {
    let Some(built) = built() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let jar_at = "gridloom-worker/target/gridloom-worker-0.1.0.jar";
    jar(built, &folder.path().join(jar_at))?;
    let examples = folder.path().join("examples");
    fs::create_dir(&examples)?;
    for name in ["Words.java", "words.toml"] {
        fs::copy(sdk()?.join("examples").join(name), examples.join(name))?;
    }
    example(Typed::in_folder(&examples)?, &examples.join("Words.java")).await
}
