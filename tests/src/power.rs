//! A disk whose power fails: what was flushed is there afterwards, and nothing else. A file system in a file, behind a loop
//! device, in a mount namespace of its own. What the broker wrote and did not flush is in the system's memory, above
//! that file; so the file alone, as it is at one moment, is what a power failure leaves.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use gridloom_cli::embedded::{Binary, Options};
use tempfile::TempDir;

use crate::process::{Gridloom, Process};
use crate::server::{self, TestServer};
use crate::wait::eventually;

/// Where nats-server keeps its streams, below its store.
const STREAMS: &str = "jetstream";
/// Room for what some thousands of shards leave.
const BYTES: u64 = 96 << 20;
const SOON: Duration = Duration::from_secs(20);

/// The disk. It must outlive the broker.
#[derive(Debug)]
pub struct PoweredDisk {
    holder: Process,
    dir: TempDir,
}

impl PoweredDisk {
    /// Makes one and mounts it; `None` where this machine does not allow it.
    ///
    /// # Errors
    /// When it neither comes nor is refused.
    pub async fn mount() -> anyhow::Result<Option<PoweredDisk>> {
        let dir = tempfile::Builder::new()
            .prefix("gridloom-power-")
            .tempdir()?;
        std::fs::create_dir(dir.path().join(STREAMS))?;
        let image = image(dir.path());
        File::create(&image)?.set_len(BYTES)?;
        let args = [
            "-q",
            "-F",
            "-m",
            "0",
            "-E",
            "lazy_itable_init=0,lazy_journal_init=0",
        ];
        let made = Gridloom::program("mkfs.ext4", args).args([&image]);
        let Ok(made) = made.start().await else {
            return Ok(None);
        };
        if made.finish(SOON).await?.code != 0 {
            return Ok(None);
        }
        let holder = hold(dir.path()).await?;
        Ok(holder.map(|holder| PoweredDisk { holder, dir }))
    }

    /// Starts a broker that keeps its streams there.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn broker(&self, jetstream_config: &str) -> anyhow::Result<TestServer> {
        let real = server::binary().await?;
        self.lead_in(&real)?;
        let options = Options {
            binary: Some(Binary {
                path: self.program(),
                ..real
            }),
            store: Some(self.dir.path().to_owned()),
            jetstream_config: jetstream_config.to_owned(),
            ..Options::default()
        };
        TestServer::start_with(options).await
    }

    /// Writes back what is not flushed yet, as a system does by itself within half a minute.
    ///
    /// # Errors
    /// When that cannot be done.
    pub async fn settle(&self) -> anyhow::Result<()> {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.pid()));
        let place = self.dir.path().join(STREAMS);
        let place = root.join(place.strip_prefix("/").unwrap_or(&place));
        let sync = Gridloom::program("sync", ["-f"]).args([place]);
        sync.start().await?.finish(SOON).await?.succeeded()?;
        Ok(())
    }

    /// The power fails, and is there again: the broker starts on what was flushed.
    ///
    /// # Errors
    /// When the disk or the broker does not come back.
    pub async fn fail(&mut self, broker: &mut TestServer) -> anyhow::Result<()> {
        broker.kill().await?;
        let left = self.dir.path().join("left.img");
        std::fs::copy(image(self.dir.path()), &left).context("keep what was flushed")?;
        // Its end writes what was not flushed: into a file that is gone a moment later.
        self.holder.kill().await?;
        std::fs::rename(&left, image(self.dir.path()))?;
        let holder = hold(self.dir.path()).await?;
        self.holder = holder.context("mount what was flushed")?;
        self.lead_in(&server::binary().await?)?;
        broker.restart().await?;
        Ok(())
    }

    /// Writes the program that starts the broker where the disk is mounted.
    fn lead_in(&self, real: &Binary) -> anyhow::Result<()> {
        let path = self.program();
        let script = format!(
            "#!/bin/sh\nexec nsenter --target {} --mount sh -c 'cd \"$0\" && exec \"$@\"' \"$PWD\" '{}' \"$@\"\n",
            self.holder.pid(),
            real.path.display()
        );
        std::fs::write(&path, script)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    fn program(&self) -> PathBuf {
        self.dir.path().join("nats-server")
    }
}

fn image(dir: &Path) -> PathBuf {
    dir.join("disk.img")
}

/// Mounts the image for as long as the process lives; `None` where that is refused. Nothing is written back by itself
/// within an hour.
async fn hold(dir: &Path) -> anyhow::Result<Option<Process>> {
    let script = format!(
        "mount -o loop,commit=3600 '{}' '{}' && echo mounted && exec sleep infinity",
        image(dir).display(),
        dir.join(STREAMS).display()
    );
    let holder = Gridloom::program("unshare", ["--mount", "sh", "-c", &script]);
    let mut holder = holder.start().await?;
    eventually(SOON, "the disk is mounted", async || {
        Ok(holder.stdout().contains("mounted") || !holder.is_running()?)
    })
    .await?;
    Ok(holder.is_running()?.then_some(holder))
}
