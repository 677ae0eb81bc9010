//! What a mix is played on: a broker or a cluster, planners and workers each behind proxies of its
//! own, and notes about what was done to which process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use gridloom_shared::broker::subjects::LEADER_KEY;
use gridloom_shared::broker::topology::{Storage, TopologyOptions};
use gridloom_shared::broker::{Broker, Options};
use gridloom_shared::id::Namespace;
use serde_json::Value;
use tempfile::TempDir;

use super::load::{POSTGRES, SQLITE};
use super::steady;
use crate::cluster::Cluster;
use crate::database::{self, Server};
use crate::logged::{WORD, now_us};
use crate::oracle::overlap::Lives;
use crate::process::{Gridloom, Process};
use crate::proxy::Proxy;
use crate::pulse::Pulse;
use crate::scenario::make_streams;
use crate::seed::Seed;
use crate::server::TestServer;

/// The installation of every mix.
pub const NAMESPACE: &str = "chaos";
/// How long a worker may be silent.
pub const ACK_DEADLINE: Duration = Duration::from_secs(2);
/// The queue of all jobs but the steady one, and tiles of it that a worker runs at once.
const QUEUE: &str = "default";
/// See [`QUEUE`].
const CONCURRENCY: u32 = 4;
/// Planners and workers.
pub const PLANNERS: usize = 2;
/// See [`PLANNERS`].
pub const WORKERS: usize = 3;

/// The brokers of a mix.
#[derive(Debug)]
pub enum Brokers {
    /// One server.
    Single(Box<TestServer>),
    /// Three.
    Cluster(Cluster),
}

impl Brokers {
    /// All of them, for a client.
    pub fn url(&self) -> String {
        match self {
            Brokers::Single(server) => server.url(),
            Brokers::Cluster(cluster) => cluster.url(),
        }
    }

    /// Each of them.
    pub fn servers(&mut self) -> &mut [TestServer] {
        match self {
            Brokers::Single(server) => std::slice::from_mut(server),
            Brokers::Cluster(cluster) => &mut cluster.members,
        }
    }
}

/// What a process of the field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It leads or stands by.
    Planner,
    /// It executes.
    Worker,
    /// It executes the steady job alone.
    SteadyWorker,
}

impl Role {
    /// All that execute.
    pub const WORKERS: &[Role] = &[Role::Worker, Role::SteadyWorker];
}

/// A planner or a worker.
#[derive(Debug)]
pub struct Actor {
    /// Which.
    pub role: Role,
    /// Which of its role, from 1 on: whoever is started for one that is gone has its number.
    pub number: usize,
    /// Its process.
    pub process: Process,
    /// One in front of each broker.
    pub proxies: Vec<Proxy>,
    /// Whether a fault has it in hand.
    pub struck: bool,
}

impl Actor {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid().as_raw_nonzero().get() as u32
    }
}

/// Everything that a mix runs.
#[derive(Debug)]
pub struct Field {
    /// The brokers.
    pub brokers: Brokers,
    /// The test's own connection, past all proxies.
    pub broker: Broker,
    /// Planners and workers.
    pub actors: Vec<Actor>,
    /// Choices.
    pub seed: Seed,
    /// What was done to processes.
    pub lives: Lives,
    /// What the machine did to all of them.
    pub pulse: Pulse,
    /// Where what they write is kept.
    pub logs: Option<PathBuf>,
    /// Further settings of planners.
    pub settings: Vec<(&'static str, String)>,
    /// Alarms that processes told which are gone.
    alarms: Vec<String>,
    postgres: Option<Server>,
    storage: &'static str,
    dir: TempDir,
}

impl Field {
    /// Starts the brokers, one or three of them, with the queue in their memory or on file. What they confirm is on their
    /// disks; with the queue on file, after two minutes.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn set(seed: Seed, cluster: bool, on_file: bool) -> anyhow::Result<Field> {
        let storage = if on_file {
            Storage::File
        } else {
            Storage::Memory
        };
        let brokers = if cluster {
            Brokers::Cluster(Cluster::start_for(Some(storage)).await?)
        } else {
            Brokers::Single(Box::new(TestServer::start_for(Some(storage)).await?))
        };
        let mut options = Options::new(brokers.url(), Namespace::new(NAMESPACE)?, "chaos");
        options.wait = Duration::from_secs(20);
        let broker = Broker::connect(&options).await?;
        let topology = TopologyOptions {
            replicas: if cluster { 3 } else { 1 },
            queue_storage: Some(storage),
            ..TopologyOptions::default()
        };
        make_streams(&broker, &topology).await?;
        let dir = tempfile::Builder::new()
            .prefix("gridloom-chaos-")
            .tempdir()?;
        std::fs::create_dir(dir.path().join("executions"))?;
        Ok(Field {
            brokers,
            broker,
            actors: Vec::new(),
            seed,
            lives: Lives::default(),
            pulse: Pulse::start(dir.path())?,
            logs: None,
            settings: Vec::new(),
            alarms: Vec::new(),
            postgres: None,
            storage: if on_file { "file" } else { "memory" },
            dir,
        })
    }

    /// Where workers log their executions.
    pub fn executions(&self) -> PathBuf {
        self.dir.path().join("executions")
    }

    /// The SQLite database.
    pub fn database(&self) -> PathBuf {
        self.dir.path().join("effects.db")
    }

    /// Starts a PostgreSQL for the workers that are started afterwards.
    ///
    /// # Errors
    /// When none can be had.
    pub fn start_postgres(&mut self) -> anyhow::Result<()> {
        self.postgres = Some(database::postgres()?);
        Ok(())
    }

    /// Where PostgreSQL is, if it was started.
    pub fn postgres(&self) -> Option<&str> {
        self.postgres.as_ref().map(|server| server.url.as_str())
    }

    /// Starts planners and workers.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn start_actors(&mut self) -> anyhow::Result<()> {
        for _ in 0..PLANNERS {
            self.start(Role::Planner).await?;
        }
        for _ in 0..WORKERS {
            self.start(Role::Worker).await?;
        }
        for _ in 0..steady::WORKERS {
            self.start(Role::SteadyWorker).await?;
        }
        Ok(())
    }

    /// Starts one more.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(&mut self, role: Role) -> anyhow::Result<()> {
        let mut proxies = Vec::new();
        for server in self.brokers.servers() {
            proxies.push(Proxy::start(server.port()).await?);
        }
        let urls: Vec<String> = proxies.iter().map(Proxy::url).collect();
        let url = urls.join(",");
        let command = match role {
            Role::Planner => {
                let command = Gridloom::new(["planner", "--nats", &url])?;
                let mut command = command
                    .env("GRIDLOOM_NAMESPACE", NAMESPACE)
                    .env("GRIDLOOM_QUEUE_STORAGE", self.storage);
                for (name, value) in &self.settings {
                    command = command.env(*name, value);
                }
                match self.brokers {
                    Brokers::Single(_) => command,
                    Brokers::Cluster(_) => command.env("GRIDLOOM_QUEUE_REPLICAS", "3"),
                }
            }
            Role::Worker => self.worker(&url, QUEUE, CONCURRENCY)?,
            Role::SteadyWorker => self.worker(&url, steady::NAME, steady::CONCURRENCY)?,
        };
        let process = command.start().await?;
        let taken = |number: &usize| {
            let mut others = self.actors.iter();
            others.any(|actor| actor.role == role && actor.number == *number)
        };
        let number = (1..).find(|number| !taken(number)).unwrap_or(1);
        self.actors.push(Actor {
            role,
            number,
            process,
            proxies,
            struck: false,
        });
        Ok(())
    }

    fn worker(&mut self, url: &str, queue: &str, concurrency: u32) -> anyhow::Result<Gridloom> {
        let number = self.seed.next_u64();
        let log = self.executions().join(format!("{number:016x}.log"));
        let database = format!("{SQLITE}=sqlite:{}", self.database().display());
        let postgres = self.postgres().map(|url| format!("{POSTGRES}={url}"));
        let concurrency = concurrency.to_string();
        let deadline = ACK_DEADLINE.as_millis().to_string();
        let args = [
            (WORD, None),
            ("--nats", Some(url)),
            ("--namespace", Some(NAMESPACE)),
            ("--log", Some(text(&log)?)),
            ("--queue", Some(queue)),
            ("--concurrency", Some(&concurrency)),
            ("--ack-deadline-ms", Some(&deadline)),
            ("--database", Some(&database)),
        ];
        let command = Gridloom::new(
            args.iter()
                .flat_map(|(name, value)| [Some(*name), *value])
                .flatten(),
        )?;
        let more = postgres
            .iter()
            .flat_map(|postgres| ["--database", postgres]);
        Ok(command.args(more))
    }

    /// One of these roles that no fault has in hand.
    pub fn pick(&mut self, roles: &[Role]) -> Option<usize> {
        let whole: Vec<usize> = (0..self.actors.len())
            .filter(|n| roles.contains(&self.actors[*n].role) && !self.actors[*n].struck)
            .collect();
        let choice = self.seed.next_u64();
        (!whole.is_empty()).then(|| whole[(choice % whole.len() as u64) as usize])
    }

    /// The planner that leads, where one is known that no fault has in hand; any other one else.
    pub async fn leader(&mut self) -> Option<usize> {
        let lease = self.broker.state().get_of_leader(LEADER_KEY).await;
        let value = lease.ok().flatten().and_then(|entry| entry.value);
        let value: Value = serde_json::from_slice(&value.unwrap_or_default()).unwrap_or_default();
        let name = value["name"].as_str().unwrap_or_default().to_owned();
        let leads = self.actors.iter().position(|actor| {
            actor.role == Role::Planner
                && !actor.struck
                && name.ends_with(&format!("-{}", actor.pid()))
        });
        let other = self.pick(&[Role::Planner]);
        leads.or(other)
    }

    /// Kills one and takes it off the field.
    ///
    /// # Errors
    /// When it had ended by itself, or cannot be killed.
    pub async fn kill(&mut self, n: usize) -> anyhow::Result<()> {
        let mut actor = self.actors.remove(n);
        whole(&mut actor)?;
        actor.process.kill().await?;
        self.lives.died.insert(actor.pid(), now_us());
        self.alarms.extend(alarms(&actor));
        self.keep_log(&actor)?;
        Ok(())
    }

    /// Asks one to end, and waits until it has.
    ///
    /// # Errors
    /// When it had ended by itself or does not end well.
    pub async fn terminate(&mut self, n: usize) -> anyhow::Result<()> {
        let mut actor = self.actors.remove(n);
        whole(&mut actor)?;
        actor.process.terminate()?;
        let pid = actor.pid();
        let code = actor.process.wait(Duration::from_secs(30)).await?;
        self.lives.died.insert(pid, now_us());
        self.alarms.extend(alarms(&actor));
        self.keep_log(&actor)?;
        if code != 0 {
            bail!(
                "told to stop, it ended with {code}: {}",
                tail(&actor.process.stderr())
            );
        }
        Ok(())
    }

    /// Which actor has this process id.
    pub fn by_pid(&self, pid: u32) -> Option<usize> {
        self.actors.iter().position(|actor| actor.pid() == pid)
    }

    /// Fails when a process ended that nobody ended.
    ///
    /// # Errors
    /// See above; shows what it wrote.
    pub fn all_whole(&mut self) -> anyhow::Result<()> {
        self.actors.iter_mut().try_for_each(whole)
    }

    /// The alarms that workers told. No fault keeps planners away for as long as a fire may be late, so none is true.
    pub fn alarms(&self) -> Vec<String> {
        let told = self.actors.iter().flat_map(alarms);
        self.alarms.iter().cloned().chain(told).collect()
    }

    /// Keeps what the processes wrote that are still there.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn keep_logs(&self) -> anyhow::Result<()> {
        self.actors
            .iter()
            .try_for_each(|actor| self.keep_log(actor))
    }

    fn keep_log(&self, actor: &Actor) -> anyhow::Result<()> {
        let Some(dir) = &self.logs else {
            return Ok(());
        };
        let path = dir.join(format!("{:?}-{}.log", actor.role, actor.pid()));
        std::fs::create_dir_all(dir)
            .and_then(|()| std::fs::write(&path, actor.process.stderr()))
            .with_context(|| format!("keep {}", path.display()))
    }

    /// The end of what every process wrote.
    pub fn left(&self) -> String {
        let mut lines = String::new();
        for actor in &self.actors {
            let wrote = tail(&actor.process.stderr());
            lines += &format!("\n--- {:?} {} wrote:\n{wrote}", actor.role, actor.pid());
        }
        lines
    }
}

fn whole(actor: &mut Actor) -> anyhow::Result<()> {
    if actor.process.is_running()? {
        return Ok(());
    }
    let wrote = tail(&actor.process.stderr());
    bail!("{:?} {} ended by itself:\n{wrote}", actor.role, actor.pid())
}

/// What an actor told of fires that are late and runs that are overdue.
fn alarms(actor: &Actor) -> Vec<String> {
    let wrote = actor.process.stderr();
    let told = wrote.lines().filter(|line| is_alarm(line));
    told.map(|line| format!("a false alarm of {:?} {}: {line}", actor.role, actor.pid()))
        .collect()
}

/// Whether a line of a worker's log is an alarm.
pub fn is_alarm(line: &str) -> bool {
    line.contains("late: no planner") || line.contains("overdue: the run is not over")
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path that is text")
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}
