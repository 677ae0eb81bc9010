//! Decides which broker a test gets: an embedded nats-server of its own, on a free port, with a
//! store that goes with it.
//!
//! It is as is recommended: what it confirms is on its disk. A test that wants nats-server's own interval says so.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::wait::eventually;
use anyhow::Context;
use gridloom_cli::embedded::{Binary, EmbeddedServer, Options, SYNC_ALWAYS, Search};
use gridloom_shared::broker::subjects::StreamName;
use gridloom_shared::broker::topology::Storage;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::OnceCell;

/// For [`Options::jetstream_config`]: flushes as nats-server has them by itself.
pub const SYNC_AT_INTERVAL: &str = "sync_interval: \"2m\"";
/// How long a server may take to read its configuration anew.
const RELOADED: Duration = Duration::from_secs(10);

/// A test's own nats-server. It is an [`EmbeddedServer`] and can be killed and restarted as one.
#[derive(Debug)]
pub struct TestServer(EmbeddedServer);

impl TestServer {
    /// Starts one with default settings.
    ///
    /// # Errors
    /// When there is no nats-server to be had or it does not answer.
    pub async fn start() -> anyhow::Result<TestServer> {
        Self::start_with(Options::default()).await
    }

    /// Starts one for a queue that is kept there.
    ///
    /// # Errors
    /// As [`TestServer::start`].
    pub async fn start_for(queue: Option<Storage>) -> anyhow::Result<TestServer> {
        Self::start_with(Options {
            jetstream_config: flushes(queue).to_owned(),
            ..Options::default()
        })
        .await
    }

    /// Starts one with settings of the test's own; guard and binary are filled in where left out, and what it confirms
    /// is on its disk unless they say another interval.
    ///
    /// # Errors
    /// As [`TestServer::start`].
    pub async fn start_with(options: Options) -> anyhow::Result<TestServer> {
        let mut jetstream_config = options.jetstream_config;
        if !jetstream_config.contains("sync_interval") {
            jetstream_config = format!("{jetstream_config}\n{SYNC_ALWAYS}");
        }
        let options = Options {
            jetstream_config,
            guard: Some(options.guard.map_or_else(crate::gridloom, Ok)?),
            binary: Some(match options.binary {
                Some(binary) => binary,
                None => binary().await?,
            }),
            ..options
        };
        let started = EmbeddedServer::start(options, &|_| {}).await;
        started.map(TestServer).context("start an embedded broker")
    }

    /// Connects a plain client.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn client(&self) -> anyhow::Result<async_nats::Client> {
        let url = self.url();
        let connected = async_nats::connect(&url).await;
        connected.with_context(|| format!("connect to `{url}`"))
    }

    /// Changes its configuration while it runs, and waits until it has taken that.
    ///
    /// # Errors
    /// When it does not take it.
    pub async fn reload(&self, change: impl FnOnce(String) -> String) -> anyhow::Result<()> {
        let file = self.store().join("nats.conf");
        std::fs::write(&file, change(std::fs::read_to_string(&file)?))?;
        let pid = self
            .pid()
            .and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let log = || std::fs::read_to_string(self.store().join("nats.log")).unwrap_or_default();
        let taken = |log: &str| log.matches("Reloaded server configuration").count();
        let before = taken(&log());
        kill_process(pid.context("the server runs")?, Signal::HUP)?;
        eventually(
            RELOADED,
            "the server reloads its configuration",
            async || {
                let log = log();
                anyhow::ensure!(!log.contains("Failed to reload"), "{log}");
                Ok(taken(&log) > before)
            },
        )
        .await
    }

    /// Gives up the test's wrapping.
    pub fn into_inner(self) -> EmbeddedServer {
        self.0
    }
}

impl Deref for TestServer {
    type Target = EmbeddedServer;

    fn deref(&self) -> &EmbeddedServer {
        &self.0
    }
}

impl DerefMut for TestServer {
    fn deref_mut(&mut self) -> &mut EmbeddedServer {
        &mut self.0
    }
}

/// Copies a folder of a broker's store, to which nobody writes meanwhile.
///
/// # Errors
/// When something of it cannot be read or written.
pub fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A stream as it was. What was written since is lost when it is brought back, and all others stay as they are: a power
/// failure does that under an interval of flushes, as each stream is flushed by itself.
#[derive(Debug)]
pub struct Earlier {
    stream: PathBuf,
    copy: PathBuf,
}

impl Earlier {
    /// Copies the stream into `folder` while the broker stands still.
    ///
    /// # Errors
    /// When the broker does not run, or something of it cannot be read or written.
    pub fn of(server: &TestServer, stream: &StreamName, folder: &Path) -> anyhow::Result<Earlier> {
        let streams = server.store().join("jetstream/$G/streams");
        let (stream, kept) = (streams.join(stream.as_str()), folder.join("earlier"));
        let pid = server.pid();
        let pid = pid.and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let pid = pid.context("the broker runs")?;
        kill_process(pid, Signal::STOP)?;
        let copied = copy(&stream, &kept);
        kill_process(pid, Signal::CONT)?;
        copied?;
        Ok(Earlier { stream, copy: kept })
    }

    /// The broker is killed, and starts again with the stream as it was.
    ///
    /// # Errors
    /// When it cannot be started, or something cannot be read or written.
    pub async fn bring_back(&self, server: &mut TestServer) -> anyhow::Result<()> {
        server.kill().await?;
        std::fs::remove_dir_all(&self.stream)?;
        copy(&self.copy, &self.stream)?;
        server.restart().await?;
        Ok(())
    }
}

/// How often a broker flushes that has its queue there. On file under `always` each tile and each acknowledgement is a
/// flush: nobody is advised to do that, so there it is what nats-server does by itself.
pub fn flushes(queue: Option<Storage>) -> &'static str {
    match queue {
        Some(Storage::File) => SYNC_AT_INTERVAL,
        Some(Storage::Memory) | None => SYNC_ALWAYS,
    }
}

/// The nats-server of all tests in this process: found, or fetched into the user's cache, once.
///
/// # Errors
/// When there is none to be had.
pub async fn binary() -> anyhow::Result<Binary> {
    static FOUND: OnceCell<Binary> = OnceCell::const_new();
    let found = FOUND.get_or_try_init(async || {
        let guard = crate::gridloom()?;
        let found = Search::from_env().find(&guard, &|_| {}).await;
        found.context("find a nats-server for the tests")
    });
    found.await.cloned()
}
