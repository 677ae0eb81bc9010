//! How the program of each language is made, from the SDKs of this repository, and how it is started. What a machine lacks for
//! one is an error that names it.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tokio::process::Command;

use crate::args::Language;

/// A program that is ready to be started.
#[derive(Debug)]
pub(super) struct Program {
    /// The language as people call it, with what runs it.
    pub(super) spoken: String,
    /// What stands behind `gridloom worker --`.
    pub(super) command: Vec<String>,
    /// Its handlers, and how each is called in the report.
    pub(super) handlers: &'static [(&'static str, &'static str)],
}

impl Language {
    /// What its queue is called.
    pub(super) fn word(self) -> &'static str {
        match self {
            Language::Python => "python",
            Language::Java => "java",
            Language::Typescript => "typescript",
            Language::Go => "go",
        }
    }

    /// Makes its program, below `dir`.
    pub(super) async fn program(self, dir: &Path) -> anyhow::Result<Program> {
        let dir = dir.join(self.word());
        std::fs::create_dir_all(&dir)?;
        match self {
            Language::Python => python().await,
            Language::Java => java(&dir).await,
            Language::Typescript => typescript(&dir).await,
            Language::Go => go(&dir).await,
        }
    }
}

fn root() -> anyhow::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize()
        .context("the sources that this program was built from are gone")
}

async fn python() -> anyhow::Result<Program> {
    let root = root()?;
    let version = said(Command::new("python3").arg("--version")).await?;
    let sources = format!("PYTHONPATH={}", shown(&root.join("sdk/python/src")));
    let program = shown(&root.join("bench/sdk/noop.py"));
    Ok(Program {
        spoken: version,
        command: words(["env", &sources, "python3", "-B", &program]),
        handlers: &[
            ("nothing", "Python, def"),
            ("nothing-async", "Python, async def"),
        ],
    })
}

async fn java(dir: &Path) -> anyhow::Result<Program> {
    let root = root()?;
    let sources = root.join("sdk/java/gridloom-worker/src/main/java/gridloom");
    let mut javac = Command::new("javac");
    javac.args(["--release", "8", "-nowarn", "-Xlint:-options"]);
    javac.args(["-encoding", "UTF-8", "-d"]).arg(dir);
    for entry in std::fs::read_dir(&sources).context("read the SDK for Java")? {
        javac.arg(entry?.path());
    }
    said(javac.arg(root.join("bench/sdk/Noop.java"))).await?;
    let version = said(Command::new("javac").arg("-version")).await?;
    Ok(Program {
        spoken: version.replace("javac", "Java"),
        command: words(["java", "-cp", &shown(dir), "Noop"]),
        handlers: &[("nothing", "Java")],
    })
}

async fn typescript(dir: &Path) -> anyhow::Result<Program> {
    let root = root()?;
    let version = said(Command::new("node").arg("--version")).await?;
    // The compiler is fetched once, and kept beside this program.
    let own = std::env::current_exe().context("find the running program")?;
    let kept = own.with_file_name("gridloom-bench-sdk");
    let stage = root.join("sdk/typescript/stage.mjs");
    let stage = said(Command::new("node").arg(stage).arg(&kept)).await?;
    let modules = dir.join("node_modules");
    std::fs::create_dir_all(&modules)?;
    std::os::unix::fs::symlink(stage, modules.join("gridloom"))?;
    let program = dir.join("noop.mjs");
    std::fs::copy(root.join("bench/sdk/noop.mjs"), &program)?;
    Ok(Program {
        spoken: format!("Node {version}"),
        command: words(["node", &shown(&program)]),
        handlers: &[("nothing", "TypeScript")],
    })
}

async fn go(dir: &Path) -> anyhow::Result<Program> {
    let version = said(Command::new("go").args(["env", "GOVERSION"])).await?;
    let program = dir.join("noop");
    let mut go = Command::new("go");
    go.args(["build", "-buildvcs=false", "-o"]).arg(&program);
    // Nothing is fetched for it.
    go.env("GOPROXY", "off").env("GOTOOLCHAIN", "local");
    said(go.arg(".").current_dir(root()?.join("bench/sdk/go"))).await?;
    Ok(Program {
        spoken: version.replace("go", "Go "),
        command: vec![shown(&program)],
        handlers: &[("nothing", "Go")],
    })
}

/// What a program says, the last line of it.
async fn said(command: &mut Command) -> anyhow::Result<String> {
    let name = command.as_std().get_program().to_owned();
    let name = name.to_string_lossy();
    let output = command.kill_on_drop(true).output().await;
    let output = output.with_context(|| format!("{name} is not here"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{name}: {}", error.trim());
    }
    let last = text.trim().lines().last().unwrap_or_default();
    Ok(last.to_owned())
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
