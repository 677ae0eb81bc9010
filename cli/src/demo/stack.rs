//! Which processes the demo runs, and that one which died comes back: whoever watches may kill any
//! of them by hand.
//!
//! A broker comes back on its port and store, a planner as another planner, and for a worker
//! another worker is started; not for the one that the demo itself kills. All of them are under
//! guard, so that they die with the demo. Nothing here knows of runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::Pid;
use tokio::time::{Instant, sleep};

use crate::embedded::{self, EmbeddedServer};
use crate::output::Story;

use super::child::{self, Child};
use super::data::Database;

/// Workers that the demo begins with.
pub(super) const WORKERS: usize = 3;
/// Tiles that one worker runs at once: enough that a killed one surely holds some.
const CONCURRENCY: usize = 4;
/// How often to look whether all live.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A process that died so soon after its start is not started again at once.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// Nobody's finger is so quick: something is wrong with the processes themselves.
const RESTARTS_MAX: usize = 50;

/// The file that the processes are configured by.
const CONFIG: &str = "gridloom.toml";

/// The processes of the demo.
#[derive(Debug)]
pub(super) struct Stack {
    dir: PathBuf,
    broker: Option<EmbeddedServer>,
    /// Its last process id.
    broker_pid: Option<u32>,
    services: Vec<Service>,
    workers_named: usize,
    restarts: usize,
}

/// A planner or a worker that is to run.
#[derive(Debug)]
struct Service {
    name: String,
    kind: Kind,
    /// The last process.
    pid: Option<Pid>,
    /// `None` between two processes.
    child: Option<Child>,
    started: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Planner,
    Worker,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Planner => "planner",
            Kind::Worker => "worker",
        }
    }
}

impl Stack {
    /// Processes that are to live in `dir`; none yet.
    pub(super) fn within(dir: &Path) -> Stack {
        Stack {
            dir: dir.to_owned(),
            broker: None,
            broker_pid: None,
            services: Vec::new(),
            workers_named: 0,
            restarts: 0,
        }
    }

    /// Starts the broker and writes down how to reach it.
    pub(super) async fn start_broker(
        &mut self,
        story: &Story,
        database: &Database,
    ) -> anyhow::Result<()> {
        let say = |line: &str| story.step("broker", line);
        let options = embedded::Options {
            store: Some(self.dir.join("broker")),
            jetstream_config: embedded::SYNC_ALWAYS.to_owned(),
            ..embedded::Options::default()
        };
        let server = EmbeddedServer::start(options, &say).await?;
        let text = configuration(&server.url(), database);
        std::fs::write(self.dir.join(CONFIG), text).context("write the configuration")?;
        self.broker_pid = server.pid();
        story.step(
            "broker",
            &format!(
                "broker pid {}, {}",
                self.broker_pid.unwrap_or(0),
                server.url()
            ),
        );
        self.broker = Some(server);
        Ok(())
    }

    /// Starts the planner and the workers.
    pub(super) async fn start_services(&mut self, story: &Story) -> anyhow::Result<()> {
        self.add(Kind::Planner).await?;
        for _ in 0..WORKERS {
            self.add(Kind::Worker).await?;
        }
        for kind in [Kind::Planner, Kind::Worker] {
            let all: Vec<_> = self
                .services
                .iter()
                .filter(|service| service.kind == kind)
                .map(Service::words)
                .collect();
            story.step(kind.word(), &all.join(", "));
        }
        Ok(())
    }

    async fn add(&mut self, kind: Kind) -> anyhow::Result<()> {
        let name = match kind {
            Kind::Planner => "planner".to_owned(),
            Kind::Worker => {
                self.workers_named += 1;
                format!("worker-{}", self.workers_named)
            }
        };
        let started = Instant::now();
        self.services.push(Service {
            name,
            kind,
            pid: None,
            child: None,
            started,
        });
        match self.services.last_mut() {
            Some(service) => service.start(&self.dir).await,
            None => Ok(()),
        }
    }

    /// The broker's address, once it was started.
    pub(super) fn url(&self) -> String {
        self.broker
            .as_ref()
            .map(EmbeddedServer::url)
            .unwrap_or_default()
    }

    /// Where the planner's console is, once it says so.
    pub(super) fn console(&self) -> Option<String> {
        let log = std::fs::read_to_string(self.dir.join("planner.log")).ok()?;
        let (_, said) = log.rsplit_once("api=")?;
        let said = said
            .trim_start_matches('"')
            .split(['"', ' ', '\n'])
            .next()?;
        Some(said.strip_suffix("/api/v1")?.to_owned())
    }

    /// Every process, as people read it.
    pub(super) fn processes(&self) -> Vec<String> {
        let broker = self.broker_pid.map(|pid| format!("broker pid {pid}"));
        broker
            .into_iter()
            .chain(self.services.iter().map(Service::words))
            .collect()
    }

    /// Kills a worker as a crash would, and starts none in its place. Its name and process id;
    /// `None` where none lives.
    pub(super) async fn crash_worker(&mut self) -> anyhow::Result<Option<(String, Pid)>> {
        let mut living = Vec::new();
        for (place, service) in self.services.iter_mut().enumerate() {
            if service.kind == Kind::Worker && service.is_running()? {
                living.push(place);
            }
        }
        let Some(place) = living.get(living.len() / 2) else {
            return Ok(None);
        };
        let service = self.services.remove(*place);
        let Some(child) = service.child else {
            return Ok(None);
        };
        let pid = child.pid();
        child.crash().await?;
        Ok(Some((service.name, pid)))
    }

    /// Starts again what has died, and says so.
    pub(super) async fn tend(&mut self, story: &Story) -> anyhow::Result<()> {
        self.tend_broker(story).await?;
        for place in 0..self.services.len() {
            let service = &mut self.services[place];
            if service.is_running()? || service.started.elapsed() < RESTART_PAUSE {
                continue;
            }
            let (kind, died) = (service.kind, service.words());
            let log = self.dir.join(format!("{}.log", service.name));
            self.count_restart(&died, &log)?;
            if kind == Kind::Worker {
                self.workers_named += 1;
                self.services[place].name = format!("worker-{}", self.workers_named);
            }
            let service = &mut self.services[place];
            service.start(&self.dir).await?;
            let text = format!("{died} died; started another: {}", service.words());
            story.alarm(kind.word(), &text);
        }
        Ok(())
    }

    async fn tend_broker(&mut self, story: &Story) -> anyhow::Result<()> {
        let Some(server) = &mut self.broker else {
            return Ok(());
        };
        if server.is_running()? {
            return Ok(());
        }
        let died = self
            .broker_pid
            .map_or_else(String::new, |pid| format!(" pid {pid}"));
        if let Some(pid) = self
            .broker_pid
            .and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?))
        {
            child::end_orphan(pid, &self.dir.join("broker"));
        }
        let log = server.store().to_owned();
        self.count_restart("the broker", &log)?;
        let Some(server) = &mut self.broker else {
            return Ok(());
        };
        match server.restart().await {
            Ok(()) => {
                self.broker_pid = server.pid();
                let pid = self.broker_pid.unwrap_or(0);
                story.alarm(
                    "broker",
                    &format!(
                        "broker{died} died; started again on its port and store: broker pid {pid}"
                    ),
                );
                Ok(())
            }
            // Its last process may still be about to go; or it was killed again.
            Err(embedded::Error::PortInUse(_) | embedded::Error::Ended { .. }) => {
                sleep(LOOK_EVERY).await;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn count_restart(&mut self, what: &str, log: &Path) -> anyhow::Result<()> {
        self.restarts += 1;
        if self.restarts > RESTARTS_MAX {
            bail!(
                "keep the processes alive: {what} ended once more; see {}",
                log.display()
            );
        }
        Ok(())
    }

    /// Makes `attempt` until it succeeds, for at most `patience`, and meanwhile starts again what
    /// dies.
    pub(super) async fn insist<T>(
        &mut self,
        story: &Story,
        patience: Duration,
        mut attempt: impl AsyncFnMut() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let until = Instant::now() + patience;
        loop {
            let failed = match self.meanwhile(story, attempt()).await? {
                Ok(done) => return Ok(done),
                Err(failed) => failed,
            };
            if Instant::now() > until {
                return Err(failed);
            }
            tracing::debug!(error = format!("{failed:#}"), "tried again");
            self.meanwhile(story, sleep(LOOK_EVERY)).await?;
        }
    }

    /// Waits for `work`, and meanwhile starts again what dies.
    pub(super) async fn meanwhile<T>(
        &mut self,
        story: &Story,
        work: impl Future<Output = T>,
    ) -> anyhow::Result<T> {
        let mut work = Box::pin(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                () = sleep(LOOK_EVERY) => self.tend(story).await?,
            }
        }
    }

    /// Ends everything in order: workers, planner, broker.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        let children: Vec<Child> = self
            .services
            .drain(..)
            .rev()
            .filter_map(|service| service.child)
            .collect();
        futures_util::future::join_all(children.into_iter().map(Child::stop)).await;
        match self.broker {
            Some(server) => Ok(server.stop().await?),
            None => Ok(()),
        }
    }
}

impl Service {
    async fn start(&mut self, dir: &Path) -> anyhow::Result<()> {
        let args = ["--config", CONFIG, self.kind.word()];
        let own = match self.kind {
            Kind::Planner => Vec::new(),
            Kind::Worker => vec!["--name", self.name.as_str()],
        };
        let child = Child::start(dir, &self.name, &[&args[..], &own].concat()).await?;
        self.pid = Some(child.pid());
        self.started = child.started;
        self.child = Some(child);
        Ok(())
    }

    fn is_running(&mut self) -> anyhow::Result<bool> {
        self.child.as_mut().map_or(Ok(false), Child::is_running)
    }

    fn words(&self) -> String {
        self.pid.map_or_else(
            || self.name.clone(),
            |pid| format!("{} pid {pid}", self.name),
        )
    }
}

fn configuration(url: &str, database: &Database) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    format!(
        "nats = {}\n\n[worker]\nconcurrency = {CONCURRENCY}\ngrace = \"2s\"\n\n[worker.databases]\nflights = {}\n",
        quoted(url),
        quoted(&database.url()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_of_the_processes_is_one() {
        let text = configuration(
            "nats://127.0.0.1:1",
            &Database::within(Path::new("/tmp/a \"b\"")),
        );
        crate::config::File::parse(Path::new(CONFIG), &text).unwrap();
    }
}
