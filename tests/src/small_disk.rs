//! A disk of a few megabytes for a broker's streams, which a test can fill: a tmpfs in a mount namespace
//! of its own, gone with the process that holds it.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use gridloom_cli::embedded::{Binary, Options};
use tempfile::TempDir;

use crate::process::{Gridloom, Process};
use crate::server::{self, TestServer};
use crate::wait::eventually;

/// Where nats-server keeps its streams, below its store.
const STREAMS: &str = "jetstream";

/// The disk. It must outlive the broker.
#[derive(Debug)]
pub struct SmallDisk {
    holder: Process,
    dir: TempDir,
}

impl SmallDisk {
    /// Mounts one of so many megabytes; `None` where this machine does not allow it.
    ///
    /// # Errors
    /// When it neither comes nor is refused.
    pub async fn mount(megabytes: u32) -> anyhow::Result<Option<SmallDisk>> {
        let dir = tempfile::Builder::new()
            .prefix("gridloom-disk-")
            .tempdir()?;
        let place = dir.path().join(STREAMS);
        std::fs::create_dir(&place)?;
        let script = format!(
            "mount -t tmpfs -o size={megabytes}m tmpfs '{}' && echo mounted && exec sleep infinity",
            place.display()
        );
        let holder = Gridloom::program("unshare", ["--mount", "sh", "-c", &script]);
        let mut holder = holder.start().await?;
        eventually(Duration::from_secs(10), "the disk is mounted", async || {
            Ok(holder.stdout().contains("mounted") || !holder.is_running()?)
        })
        .await?;
        Ok(holder.is_running()?.then_some(SmallDisk { holder, dir }))
    }

    /// Starts a broker that keeps its streams there.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn broker(&self) -> anyhow::Result<TestServer> {
        let real = server::binary().await?;
        let path = self.dir.path().join("nats-server");
        std::fs::write(
            &path,
            format!(
                "#!/bin/sh\nexec nsenter --target {} --mount sh -c 'cd \"$0\" && exec \"$@\"' \"$PWD\" '{}' \"$@\"\n",
                self.holder.pid(),
                real.path.display()
            ),
        )?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        let options = Options {
            binary: Some(Binary { path, ..real }),
            store: Some(self.dir.path().to_owned()),
            ..Options::default()
        };
        TestServer::start_with(options).await
    }

    /// Takes all room that is left.
    ///
    /// # Errors
    /// When that cannot be written to for another reason than being full.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut filler = File::create(self.filler())?;
        loop {
            match filler.write_all(&[0; 4096]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Gives back what [`SmallDisk::fill`] took.
    ///
    /// # Errors
    /// When there is nothing to give back.
    pub fn make_room(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_file(self.filler())?)
    }

    fn filler(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.pid()));
        let place = self.dir.path().join(STREAMS).join("filler");
        root.join(place.strip_prefix("/").unwrap_or(&place))
    }
}
