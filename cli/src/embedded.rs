//! Decides the life of an embedded broker: a real nats-server as a guarded child, on 127.0.0.1,
//! with a store of its own, gone when its parent is gone however that ended.
//!
//! Nothing here connects as a client, makes a stream, or prints: notes for people go to the
//! caller's [`Say`].

mod binary;
mod cache;
mod config;
mod error;
mod fetch;
mod find;
mod go;
mod pip;
mod ready;
mod store;
mod way;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::guard::{Guarded, Launch};

use error::io_error;
use store::Store;

pub use binary::{Binary, MINIMUM, PINNED, Source, Version};
pub use config::free_port;
pub use error::Error;
pub use fetch::FetchError;
pub use find::Search;

/// Receives one line for people, without a line feed.
pub type Say<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// For [`Options::jetstream_config`]: what the broker confirms is on the disk, so a power failure costs nothing.
pub const SYNC_ALWAYS: &str = "sync_interval: always";

/// Time that nats-server gets to flush its store before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// Ports tried when no port was asked for: another may take one between choice and use.
const PORT_TRIES: usize = 20;

/// How an embedded broker is started. Everything has a sensible default.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `gridloom` executable that serves as guard; the running one by default.
    pub guard: Option<PathBuf>,
    /// Which nats-server to run; searched for (and fetched where there is none) by default.
    pub binary: Option<Binary>,
    /// The port on 127.0.0.1; a free one by default.
    pub port: Option<u16>,
    /// Where streams, configuration and log are kept; by default a new directory that is removed
    /// at the end.
    pub store: Option<PathBuf>,
    /// The server's name; members of a cluster must keep theirs over restarts. Made up by default.
    pub name: Option<String>,
    /// Further lines of the `jetstream` block, such as [`SYNC_ALWAYS`].
    pub jetstream_config: String,
    /// Further lines at the top of the configuration, such as a `cluster` block.
    pub server_config: String,
    /// How long it may take until it answers.
    pub ready_within: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            guard: None,
            binary: None,
            port: None,
            store: None,
            name: None,
            jetstream_config: String::new(),
            server_config: String::new(),
            ready_within: Duration::from_secs(30),
        }
    }
}

/// A running nats-server of our own. When dropped it is stopped, and a temporary store is removed.
#[derive(Debug)]
pub struct EmbeddedServer {
    guard: PathBuf,
    binary: Binary,
    name: String,
    port: u16,
    ready_within: Duration,
    /// `None` while it is down after [`EmbeddedServer::kill`].
    running: Option<Running>,
    store: Store,
    /// Holds the store's lock as long as we live.
    _lock: File,
}

#[derive(Debug)]
struct Running {
    process: Guarded,
    pid: Pid,
}

impl EmbeddedServer {
    /// Finds or fetches nats-server, starts it and waits until it answers. `say` hears which binary
    /// is used and what is fetched.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn start(options: Options, say: Say<'_>) -> Result<EmbeddedServer, Error> {
        let guard = match options.guard {
            Some(guard) => guard,
            None => std::env::current_exe().map_err(io_error(
                "find the running program",
                Path::new("/proc/self/exe"),
            ))?,
        };
        let binary = match options.binary {
            Some(binary) => binary,
            None => Search::from_env().find(&guard, say).await?,
        };
        let store = Store::open(options.store.as_deref())?;
        let lock = store.lock()?;
        let name = options.name.unwrap_or_else(config::make_up_name);
        let mut server = EmbeddedServer {
            guard,
            binary,
            name,
            port: 0,
            ready_within: options.ready_within,
            running: None,
            store,
            _lock: lock,
        };
        let extra = config::Extra {
            jetstream: &options.jetstream_config,
            server: &options.server_config,
        };
        server.start_first(options.port, &extra).await?;
        Ok(server)
    }

    /// `nats://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The port it listens on, the same after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its streams, configuration and log are.
    pub fn store(&self) -> &Path {
        self.store.path()
    }

    /// Which nats-server runs.
    pub fn binary(&self) -> &Binary {
        &self.binary
    }

    /// The process id of nats-server itself; `None` while it is down.
    pub fn pid(&self) -> Option<u32> {
        let running = self.running.as_ref()?;
        u32::try_from(running.pid.as_raw_nonzero().get()).ok()
    }

    /// Whether nats-server runs: not after [`EmbeddedServer::kill`], and not when it ended by itself
    /// or by somebody else's hand.
    ///
    /// # Errors
    /// When its guard cannot be asked.
    pub fn is_running(&mut self) -> Result<bool, Error> {
        let Some(running) = &mut self.running else {
            return Ok(false);
        };
        let ended = running.process.try_wait();
        let ended = ended.map_err(io_error("wait for", &self.binary.path))?;
        Ok(ended.is_none())
    }

    /// Waits until nats-server has ended, by itself or by somebody's hand, and gives its exit code: 128 and the number
    /// of a signal that ended it. At once while it is down. Safe to cancel.
    ///
    /// # Errors
    /// When its guard cannot be waited for.
    pub async fn ended(&mut self) -> Result<u8, Error> {
        let Some(running) = &mut self.running else {
            return Ok(0);
        };
        let ended = running.process.wait().await;
        ended.map_err(io_error("wait for", &self.binary.path))
    }

    /// The end of what nats-server wrote.
    pub fn log_tail(&self) -> String {
        ready::log_tail(self.store.path())
    }

    /// Ends nats-server as a crash would, with SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be signalled or waited for.
    pub async fn kill(&mut self) -> Result<(), Error> {
        let Some(mut running) = self.running.take() else {
            return Ok(());
        };
        let killed = running.process.signal(running.pid, Signal::KILL);
        killed.map_err(io_error("kill", &self.binary.path))?;
        let ended = running.process.wait().await;
        ended.map_err(io_error("wait for", &self.binary.path))?;
        Ok(())
    }

    /// Starts it again on the same port and store, after an orderly stop if it still runs.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.halt().await?;
        let running = self.launch().await?;
        self.running = Some(running);
        Ok(())
    }

    /// Stops it in order and removes a temporary store.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.halt().await
    }

    async fn halt(&mut self) -> Result<(), Error> {
        if let Some(mut running) = self.running.take() {
            let ended = running.process.kill().await;
            ended.map_err(io_error("wait for", &self.binary.path))?;
        }
        Ok(())
    }

    async fn start_first(
        &mut self,
        fixed: Option<u16>,
        extra: &config::Extra<'_>,
    ) -> Result<(), Error> {
        let mut tries_left = PORT_TRIES;
        loop {
            self.port = match fixed {
                Some(port) => port,
                None => free_port().map_err(io_error("find a free port on", Path::new("lo")))?,
            };
            let dir = self.store.path();
            config::write(dir, &self.name, self.port, extra)
                .map_err(io_error("write the configuration in", dir))?;
            tries_left -= 1;
            match self.launch().await {
                Ok(running) => {
                    self.running = Some(running);
                    return Ok(());
                }
                Err(Error::PortInUse(_)) if fixed.is_none() && tries_left > 0 => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts the process on the written configuration and waits until it answers.
    async fn launch(&self) -> Result<Running, Error> {
        let dir = self.store.path();
        ready::forget_earlier(dir).map_err(io_error("tidy", dir))?;
        let output = File::create(dir.join(config::OUTPUT))
            .and_then(|file| Ok((file.try_clone()?, file)))
            .map_err(io_error("write to", dir))?;
        let mut process = Launch::new(&self.guard, &self.binary.path)
            .args(["--config", config::FILE])
            .dir(dir)
            .stdout(output.0)
            .stderr(output.1)
            .grace(GRACE)
            .pid_file(dir.join(config::PID))
            .spawn()
            .await
            .map_err(io_error("start the guard", &self.guard))?;
        let pid = ready::wait(&mut process, dir, &self.name, self.port, self.ready_within).await?;
        Ok(Running { process, pid })
    }
}

impl Drop for EmbeddedServer {
    fn drop(&mut self) {
        let Some(mut running) = self.running.take() else {
            return;
        };
        if matches!(self.store, Store::Kept(_)) {
            // The guard stops it in order; nobody needs to wait.
            running.process.release();
            return;
        }
        // A temporary store can only be removed when nobody writes to it any more; nothing in it
        // is worth an orderly end. It is gone within milliseconds.
        let _ = running.process.signal(running.pid, Signal::KILL);
        running.process.release();
        for _ in 0..200 {
            if !matches!(running.process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
