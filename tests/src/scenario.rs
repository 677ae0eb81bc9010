//! Decides how a scenario is set up: a broker of its own, planners and workers as real processes,
//! an observer of the queue, and at the end the oracle.
//!
//! When a scenario fails, what its processes wrote is shown.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use gridloom_shared::broker::subjects::LEADER_KEY;
use gridloom_shared::broker::topology::{self, Storage, TopologyOptions};
use gridloom_shared::broker::{Broker, Options};
use gridloom_shared::id::{JobName, Namespace, QueueName, RunId};
use gridloom_shared::job::parse::{self, Format};
use gridloom_shared::ledger::record::{Author, PlanRecord};
use gridloom_shared::wire;
use serde_json::Value;
use tempfile::TempDir;

use crate::build::Build;
use crate::observer::Observer;
use crate::oracle::{self, Verdict};
use crate::process::{Gridloom, Output, Process};
use crate::proxy::Proxy;
use crate::seed::Seed;
use crate::server::TestServer;
use crate::wait::{eventually, eventually_some};

/// The installation of every scenario.
pub const NAMESPACE: &str = "test";
/// How long a worker may be silent, unless a scenario says otherwise: short, so that the ack deadline
/// does the failover soon.
pub const ACK_DEADLINE: &str = "2s";

/// A broker, and the processes that a test starts against it.
#[derive(Debug)]
pub struct Stage {
    /// The broker.
    pub server: TestServer,
    /// The test's own connection.
    pub broker: Broker,
    /// Sees what the queue stores.
    pub observer: Observer,
    /// The test's random choices.
    pub seed: Seed,
    /// Planners, in the order of their start; killed ones stay.
    pub planners: Vec<Process>,
    /// Workers likewise.
    pub workers: Vec<Process>,
    /// Of which build the processes are that are started from now on.
    pub build: Build,
    /// Where the queue is to be, for all commands.
    storage: Option<Storage>,
    dir: TempDir,
}

/// Streams as ever, with the queue on file.
pub fn on_file() -> TopologyOptions {
    TopologyOptions {
        queue_storage: Some(Storage::File),
        ..TopologyOptions::default()
    }
}

/// Sets a stage, plays `scenario` on it, and shows what the processes wrote if that fails.
///
/// # Errors
/// Those of the scenario.
pub async fn play(
    scenario: impl AsyncFnOnce(&mut Stage) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    play_with(&TopologyOptions::default(), scenario).await
}

/// As [`play`], with streams made so. Commands are told where the queue is; of all else planners must be told the same.
///
/// # Errors
/// Those of the scenario.
pub async fn play_with(
    topology: &TopologyOptions,
    scenario: impl AsyncFnOnce(&mut Stage) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let server = TestServer::start_for(topology.queue_storage).await?;
    play_on(server, topology, scenario).await
}

/// As [`play_with`], on a broker of the scenario's own.
///
/// # Errors
/// Those of the scenario.
pub async fn play_on(
    server: TestServer,
    topology: &TopologyOptions,
    scenario: impl AsyncFnOnce(&mut Stage) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut stage = Stage::set(server, topology).await?;
    let played = Box::pin(scenario(&mut stage)).await;
    played.with_context(|| stage.left())
}

/// How often streams are made again where the broker does not answer.
const MADE: usize = 6;

/// Makes the streams. What a broker confirms is on its disk: where others write much to it one may take longer than a
/// question waits, and is found by the next.
///
/// # Errors
/// When they cannot be made.
pub async fn make_streams(broker: &Broker, topology: &TopologyOptions) -> anyhow::Result<()> {
    for _ in 1..MADE {
        if topology::ensure(broker, topology).await.is_ok() {
            return Ok(());
        }
    }
    topology::ensure(broker, topology).await?;
    Ok(())
}

impl Stage {
    async fn set(server: TestServer, topology: &TopologyOptions) -> anyhow::Result<Stage> {
        let seed = Seed::from_env()?;
        let mut options = Options::new(server.url(), Namespace::new(NAMESPACE)?, "gridloom-test");
        options.wait = Duration::from_secs(20);
        let broker = Broker::connect(&options).await?;
        make_streams(&broker, topology).await?;
        let observer = Observer::start(&broker, &server.url()).await?;
        let dir = tempfile::Builder::new()
            .prefix("gridloom-stage-")
            .tempdir()?;
        Ok(Stage {
            server,
            broker,
            observer,
            seed,
            planners: Vec::new(),
            workers: Vec::new(),
            build: Build::This,
            storage: topology.queue_storage,
            dir,
        })
    }

    /// A directory of the scenario's own.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A `gridloom` command against this broker.
    ///
    /// # Errors
    /// When the command under test is not there.
    pub fn gridloom(&self, args: &[&str]) -> anyhow::Result<Gridloom> {
        let command = self.build.starts(Gridloom::new(args.iter().copied())?);
        let command = command
            .env("GRIDLOOM_NATS", self.server.url())
            .env("GRIDLOOM_NAMESPACE", NAMESPACE);
        Ok(match self.storage {
            None => command,
            Some(Storage::File) => command.env("GRIDLOOM_QUEUE_STORAGE", "file"),
            Some(Storage::Memory) => command.env("GRIDLOOM_QUEUE_STORAGE", "memory"),
        })
    }

    /// Another process, of the stage's build.
    pub fn of_build(&self, process: Gridloom) -> Gridloom {
        self.build.starts(process)
    }

    /// Runs a `gridloom` command to its end.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn cli(&self, args: &[&str], deadline: Duration) -> anyhow::Result<Output> {
        self.gridloom(args)?.start().await?.finish(deadline).await
    }

    /// Starts a planner. Returns its place in [`Stage::planners`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start_planner(&mut self) -> anyhow::Result<usize> {
        let planner = self.gridloom(&["planner"])?.start().await?;
        self.planners.push(planner);
        Ok(self.planners.len() - 1)
    }

    /// Starts a planner whose way to the broker leads through a proxy. Returns its place in [`Stage::planners`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start_planner_behind(&mut self, proxy: &Proxy) -> anyhow::Result<usize> {
        let planner = self.gridloom(&["planner", "--nats", &proxy.url()])?;
        self.planners.push(planner.start().await?);
        Ok(self.planners.len() - 1)
    }

    /// Starts a worker of `concurrency` tiles, with further arguments. Returns its place in
    /// [`Stage::workers`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start_worker(&mut self, concurrency: u32, args: &[&str]) -> anyhow::Result<usize> {
        let concurrency = concurrency.to_string();
        let worker = self.gridloom(&["worker", "--concurrency", &concurrency])?;
        let worker = worker.env("GRIDLOOM_QUEUE_ACK_DEADLINE", ACK_DEADLINE);
        let worker = worker.args(args.iter().copied()).start().await?;
        self.workers.push(worker);
        Ok(self.workers.len() - 1)
    }

    /// Starts a planner and `workers` workers of four tiles at once.
    ///
    /// # Errors
    /// When one cannot be started.
    pub async fn start_all(&mut self, workers: usize) -> anyhow::Result<()> {
        self.start_planner().await?;
        for _ in 0..workers {
            self.start_worker(4, &[]).await?;
        }
        Ok(())
    }

    /// Says for a planner that was killed that it gave up its leadership, so that the next need not
    /// wait for three seconds. None of the clocks of a leadership is a matter of safety.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn free_leadership(&self) -> anyhow::Result<()> {
        let bucket = self.broker.state();
        let Some(entry) = bucket.get_of_leader(LEADER_KEY).await? else {
            return Ok(());
        };
        let mut value: Value = serde_json::from_slice(&entry.value.unwrap_or_default())?;
        value["free"] = Value::Bool(true);
        bucket
            .update(LEADER_KEY, value.to_string().into(), entry.revision)
            .await?;
        Ok(())
    }

    /// The term of the planner that leads or led last; 0 before the first.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn term(&self) -> anyhow::Result<u64> {
        Ok(self
            .broker
            .term_holder()
            .await?
            .map_or(0, |holder| holder.term.0))
    }

    /// Defines a job, written as TOML.
    ///
    /// # Errors
    /// When it has faults.
    pub async fn apply(&self, toml: &str) -> anyhow::Result<JobName> {
        let spec =
            parse::parse(toml, Format::Toml).map_err(|faults| anyhow::anyhow!("{faults}"))?;
        self.broker
            .jobs()
            .put(spec.name.as_str(), wire::encode(&spec))
            .await?;
        Ok(spec.name)
    }

    /// Asks for a run of `job` as any client would. Returns the run's id.
    ///
    /// # Errors
    /// When the broker does not store the request.
    pub async fn submit(&mut self, job: &JobName, params: &Value) -> anyhow::Result<RunId> {
        let id = format!("{:016x}", self.seed.next_u64());
        let body = serde_json::json!({ "id": id, "params": params });
        self.broker
            .append(
                self.broker.subjects().submit_to(job),
                body.to_string().into(),
                None,
            )
            .await?;
        Ok(RunId::from_request(job, &id))
    }

    /// Waits until `run` is over.
    ///
    /// # Errors
    /// When it is not by then: says how far it is.
    pub async fn closed(&self, run: &RunId, deadline: Duration) -> anyhow::Result<()> {
        let is_closed = async || self.is_closed(run).await;
        let waited = eventually(deadline, "the run is closed", is_closed).await;
        if let Err(error) = waited {
            let ledger = oracle::ledger::Ledger::read(&self.broker, run).await?;
            let standing = format!("{:#?}", ledger.summary());
            return Err(error.context(format!(
                "run {run}, seed {}: {standing}",
                self.seed.number()
            )));
        }
        Ok(())
    }

    /// Whether `run` is over. A broker that is just restarting says no.
    ///
    /// # Errors
    /// When the run's queue has no good name.
    pub async fn is_closed(&self, run: &RunId) -> anyhow::Result<bool> {
        let subjects = self.broker.subjects();
        let plan = subjects.ledger_of(&QueueName::new("default")?, run, Author::Plan);
        let last = self.broker.last_of_leader(&subjects.ledger(), &plan).await;
        let Ok(Some(last)) = last else {
            return Ok(false);
        };
        Ok(wire::decode(&last.payload).is_ok_and(|last: PlanRecord| last.is_end()))
    }

    /// Waits until at least `shards` of `run` are done, as its ledger has it.
    ///
    /// # Errors
    /// When they are not by then.
    pub async fn done(&self, run: &RunId, shards: u64, deadline: Duration) -> anyhow::Result<u64> {
        let what = format!("{shards} shards of {run} are done");
        let so_many = async || {
            let ledger = oracle::ledger::Ledger::read(&self.broker, run).await?;
            let done = ledger.summary().map_or(0, |summary| summary.shards.done);
            Ok((done >= shards).then_some(done))
        };
        let waited = eventually_some(deadline, &what, so_many).await;
        waited.with_context(|| format!("seed {}", self.seed.number()))
    }

    /// Waits until the queue holds at least `tiles` tiles, delivered or not.
    ///
    /// # Errors
    /// When it does not by then.
    pub async fn queued(&self, tiles: u64, deadline: Duration) -> anyhow::Result<()> {
        let subjects = self.broker.subjects();
        eventually(deadline, "tiles are on the queue", async || {
            let held = self
                .broker
                .subjects_of(&subjects.shards(), &subjects.all_shards())
                .await?;
            Ok(held.values().sum::<u64>() >= tiles)
        })
        .await
    }

    /// Judges a run that is over by its records alone: for a queue whose stream was replaced, which
    /// tells no observer any more.
    ///
    /// # Errors
    /// When a rule was broken.
    pub async fn judge_ledger(&self, run: &RunId) -> anyhow::Result<Verdict> {
        oracle::judge(&self.broker, run, None, self.seed.number()).await
    }

    /// Judges a run that is over.
    ///
    /// # Errors
    /// When a rule was broken.
    pub async fn judge(&self, run: &RunId) -> anyhow::Result<Verdict> {
        oracle::judge(&self.broker, run, Some(&self.observer), self.seed.number()).await
    }

    /// Judges a run that goes on.
    ///
    /// # Errors
    /// When a rule was broken.
    pub async fn judge_open(&self, run: &RunId) -> anyhow::Result<()> {
        oracle::judge_open(&self.broker, run, &self.observer, self.seed.number()).await
    }

    fn left(&self) -> String {
        let mut text = format!("seed {}", self.seed.number());
        let planners = self
            .planners
            .iter()
            .enumerate()
            .map(|(n, process)| (format!("planner {n}"), process));
        let workers = self
            .workers
            .iter()
            .enumerate()
            .map(|(n, process)| (format!("worker {n}"), process));
        for (name, process) in planners.chain(workers) {
            text += &format!("\n--- {name} wrote:\n{}", tail(&process.stderr()));
        }
        text + &format!("\n--- the broker wrote:\n{}", tail(&self.server.log_tail()))
    }
}

/// Lines of each process that a failure shows.
const SHOWN: usize = 25;

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}
