//! What people type, in a folder of theirs: `gridloom dev` and workers are left running as in other terminals, everything else
//! ends, and well.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use gridloom_tests::process::{Gridloom, Output, Process};
use gridloom_tests::wait::eventually_some;
use serde_json::Value;
use tempfile::TempDir;

use crate::programs::SOON;

/// A folder in which is typed, with `gridloom` and `python` in the path.
pub(crate) struct Typed {
    dir: PathBuf,
    bin: TempDir,
    env: Vec<(&'static str, OsString)>,
    nats: Option<String>,
    /// What was left running, in the order in which it was started.
    pub(crate) services: Vec<Process>,
}

impl Typed {
    pub(crate) fn in_folder(dir: &Path) -> anyhow::Result<Typed> {
        let bin = tempfile::tempdir()?;
        symlink(gridloom_tests::gridloom()?, bin.path().join("gridloom"))?;
        let python = bin.path().join("python");
        fs::write(&python, "#!/bin/sh\nexec python3 \"$@\"\n")?;
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755))?;
        Ok(Typed {
            dir: dir.to_owned(),
            bin,
            env: Vec::new(),
            nats: None,
            services: Vec::new(),
        })
    }

    /// Sets a variable for all that is typed.
    pub(crate) fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Typed {
        self.env.push((name, value.into()));
        self
    }

    /// Types all lines of a text that a shell would take, without what stands behind `#`. How many ended.
    pub(crate) async fn all(&mut self, text: &str) -> anyhow::Result<usize> {
        let mut ended = 0;
        for line in text.lines() {
            let line = line.trim_start_matches(['/', '*', ' ', '\t']);
            let line = line.split(" #").next().unwrap_or_default().trim();
            let first = line.split(' ').next().unwrap_or_default();
            if ["gridloom", "go", "cd"].contains(&first) {
                let said = self.line(line).await?;
                ended += usize::from(said.is_some());
            }
        }
        Ok(ended)
    }

    /// Types a line; `None`: it is left running.
    pub(crate) async fn line(&mut self, line: &str) -> anyhow::Result<Option<Output>> {
        if let Some(dir) = line.strip_prefix("cd ") {
            self.dir.push(dir);
        } else if line == "gridloom dev" {
            self.dev().await.context("gridloom dev")?;
        } else if line.starts_with("gridloom worker ") {
            let service = self.start(line).await?;
            self.services.push(service);
        } else {
            let said = self.start(line).await?.finish(SOON).await?;
            return said.succeeded().with_context(|| line.to_owned()).map(Some);
        }
        Ok(None)
    }

    /// The stack, on other ports, as others are at work here too.
    async fn dev(&mut self) -> anyhow::Result<()> {
        let stack = self.start("gridloom --json dev --port 0").await?;
        let said = eventually_some(SOON, "the stack says what it has", async || {
            Ok(serde_json::from_str::<Value>(stack.stdout().trim()).ok())
        });
        let said = said.await.with_context(|| stack.stderr())?;
        self.nats = said["nats"].as_str().map(str::to_owned);
        self.services.push(stack);
        Ok(())
    }

    async fn start(&self, line: &str) -> anyhow::Result<Process> {
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", self.bin.path().display());
        let typed = Gridloom::program("/bin/sh", ["-c".to_owned(), format!("exec {line}")]);
        let typed = typed.env("PATH", path).dir(&self.dir);
        let set = |typed: Gridloom, (name, value): &(&str, OsString)| typed.env(*name, value);
        let typed = self.env.iter().fold(typed, set);
        match &self.nats {
            Some(nats) => typed.env("GRIDLOOM_NATS", nats).start().await,
            None => typed.start().await,
        }
    }

    /// Ends what was left running, the last one first.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        for service in self.services.iter_mut().rev() {
            service.terminate()?;
            let code = service.wait(SOON).await?;
            ensure!(code == 0, "{code}: {}", service.stderr());
        }
        Ok(())
    }
}

/// Follows the head of an example that counts the words of its own file, and looks at what came of it.
pub(crate) async fn example(mut typed: Typed, source: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(source)?;
    let head: Vec<&str> = text.lines().take(25).collect();
    let ended = typed.all(&head.join("\n")).await?;
    ensure!(typed.services.len() == 2 && ended >= 2, "{head:?}");
    let runs = typed.line("gridloom runs --json").await?;
    let runs = runs.context("runs")?.json()?;
    let told = (&runs[0]["state"], &runs[0]["rows"]);
    let wanted = ("succeeded".into(), text.lines().count().into());
    ensure!(told == (&wanted.0, &wanted.1), "{runs}");
    typed.end().await
}
