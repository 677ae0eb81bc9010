//! The processes that are measured: an embedded broker, and children that are this program again.
//! Each child runs under guard, with its log in a file of its own.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use gridloom_cli::embedded::{EmbeddedServer, Options, free_port};
use gridloom_cli::guard::{Guarded, Launch};
use gridloom_cli::output::Output;
use gridloom_shared::broker::{self, Broker};
use gridloom_shared::id::{Namespace, Session};
use gridloom_shared::job::JobSpec;
use gridloom_shared::presence::Presence;
use gridloom_shared::wire;
use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

/// The installation that is measured.
pub(crate) const NAMESPACE: &str = "bench";
/// The queue that is measured.
pub(crate) const QUEUE: &str = "default";
/// Brokers of a cluster.
const MEMBERS: usize = 3;
/// How long processes may take to start.
const START: Duration = Duration::from_secs(30);

/// One measured process.
#[derive(Debug)]
pub(crate) struct Process {
    guarded: Guarded,
    pid: u32,
    log: PathBuf,
}

impl Process {
    /// Starts this program again with `args`; its files are `NAME.*` in `dir`.
    async fn start(dir: &Path, name: &str, args: &[String]) -> anyhow::Result<Process> {
        let own = std::env::current_exe().context("find the running program")?;
        let log = dir.join(format!("{name}.log"));
        let pid_file = dir.join(format!("{name}.pid"));
        let mut launch = Launch::new(&own, &own)
            .args(args.iter().map(OsString::from))
            .dir(dir)
            .stderr(File::create(&log)?)
            .pid_file(&pid_file);
        for (variable, _) in std::env::vars_os() {
            // Settings of whoever measures are not those of what is measured.
            if variable.to_string_lossy().starts_with("GRIDLOOM_") {
                launch = launch.env_remove(variable);
            }
        }
        let guarded = launch.spawn().await.context("start a guard")?;
        let mut process = Process {
            guarded,
            pid: 0,
            log,
        };
        let give_up = Instant::now() + START;
        while process.pid == 0 {
            process.check()?;
            if Instant::now() > give_up {
                bail!("start {name}: no process id within {START:?}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            let text = std::fs::read_to_string(&pid_file).unwrap_or_default();
            process.pid = text.trim().parse().unwrap_or(0);
        }
        Ok(process)
    }

    /// Its own process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends it a signal.
    pub(crate) fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        self.guarded
            .signal(pid.context("no process id")?, signal)
            .context("signal a measured process")
    }

    /// The lines of its log that say so.
    pub(crate) fn says(&self, what: &str) -> anyhow::Result<Vec<String>> {
        let log =
            std::fs::read_to_string(&self.log).context("read the log of a measured process")?;
        let said = log.lines().filter(|line| line.contains(what));
        Ok(said.map(str::to_owned).collect())
    }

    /// Waits for its end.
    pub(crate) async fn wait(mut self) -> anyhow::Result<()> {
        self.guarded.wait().await?;
        Ok(())
    }

    /// Whether it still runs; its log otherwise.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        if let Some(code) = self.guarded.try_wait()? {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            bail!("a measured process ended with code {code}:\n{log}");
        }
        Ok(())
    }
}

/// The broker, and where the children's files are.
#[derive(Debug)]
pub(crate) struct Stack {
    /// One, or the members of a cluster.
    servers: Vec<EmbeddedServer>,
    dir: TempDir,
}

impl Stack {
    /// Starts a broker; `jetstream` are further lines for its configuration.
    pub(crate) async fn start(output: &Output, jetstream: &str) -> anyhow::Result<Stack> {
        let options = Options {
            jetstream_config: jetstream.to_owned(),
            ..Options::default()
        };
        let server = EmbeddedServer::start(options, &|line| output.note(line)).await?;
        Stack::around(vec![server])
    }

    /// Starts three brokers as one cluster; `jetstream` are further lines for their configuration.
    pub(crate) async fn start_cluster(output: &Output, jetstream: &str) -> anyhow::Result<Stack> {
        let mut ports = Vec::new();
        while ports.len() < MEMBERS {
            let port = free_port().context("find a free port")?;
            if !ports.contains(&port) {
                ports.push(port);
            }
        }
        let routes = ports
            .iter()
            .map(|port| format!("\"nats://127.0.0.1:{port}\""));
        let routes = routes.collect::<Vec<_>>().join(", ");
        let say = |line: &str| output.note(line);
        let members = ports.iter().enumerate().map(|(member, port)| {
            let options = Options {
                name: Some(format!("member-{member}")),
                jetstream_config: jetstream.to_owned(),
                server_config: format!(
                    "cluster {{\nname: \"trio\"\nlisten: \"127.0.0.1:{port}\"\nroutes: [{routes}]\nno_advertise: true\n}}\n"
                ),
                ..Options::default()
            };
            EmbeddedServer::start(options, &say)
        });
        Stack::around(futures_util::future::try_join_all(members).await?)
    }

    fn around(servers: Vec<EmbeddedServer>) -> anyhow::Result<Stack> {
        let dir = tempfile::Builder::new()
            .prefix("gridloom-bench-")
            .tempdir()?;
        Ok(Stack { servers, dir })
    }

    /// Where the brokers are.
    pub(crate) fn url(&self) -> String {
        let urls: Vec<String> = self.servers.iter().map(EmbeddedServer::url).collect();
        urls.join(",")
    }

    /// Where the first of them is.
    pub(crate) fn first_url(&self) -> String {
        self.servers[0].url()
    }

    /// Version of the broker.
    pub(crate) fn version(&self) -> String {
        self.servers[0].binary().version.to_string()
    }

    /// The process id of the only broker, or the first.
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        Ok(self.pids()?[0])
    }

    /// The process ids of all brokers.
    pub(crate) fn pids(&self) -> anyhow::Result<Vec<u32>> {
        let pids = self.servers.iter().map(EmbeddedServer::pid);
        let pids: Option<Vec<u32>> = pids.collect();
        pids.context("find the broker's process")
    }

    /// Where the brokers keep their streams.
    pub(crate) fn stores(&self) -> Vec<PathBuf> {
        let stores = self.servers.iter().map(EmbeddedServer::store);
        stores.map(Path::to_path_buf).collect()
    }

    /// Starts a process of the hand-written loop, or another that this program is.
    pub(crate) async fn child(&self, order: &str) -> anyhow::Result<Process> {
        self.child_named(order, order).await
    }

    /// As [`Stack::child`], one of several.
    pub(crate) async fn child_named(&self, order: &str, name: &str) -> anyhow::Result<Process> {
        self.child_with(order, name, &[]).await
    }

    /// Starts this program as another of its processes, with `more` after the broker's address.
    pub(crate) async fn child_with(
        &self,
        order: &str,
        name: &str,
        more: &[String],
    ) -> anyhow::Result<Process> {
        let mut args = vec![order.to_owned(), "--nats".to_owned(), self.url()];
        args.extend_from_slice(more);
        Process::start(self.dir.path(), name, &args).await
    }

    /// A path for a file of a child.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts `gridloom planner`, with the queue in `storage`.
    pub(crate) async fn planner(&self, storage: &str) -> anyhow::Result<Process> {
        self.planner_named("planner", storage).await
    }

    /// As [`Stack::planner`], one of several.
    pub(crate) async fn planner_named(&self, name: &str, storage: &str) -> anyhow::Result<Process> {
        let more = ["--storage".to_owned(), storage.to_owned()];
        self.service("planner", name, &more).await
    }

    /// As [`Stack::planner_named`], with further flags.
    pub(crate) async fn planner_with(
        &self,
        name: &str,
        more: &[String],
    ) -> anyhow::Result<Process> {
        self.service("planner", name, more).await
    }

    /// What a command says that asks this installation, as JSON.
    pub(crate) async fn asked(&self, args: &[&str]) -> anyhow::Result<serde_json::Value> {
        let own = std::env::current_exe().context("find the running program")?;
        let ended = tokio::process::Command::new(own)
            .args(args)
            .args(["--json", "--namespace", NAMESPACE, "--nats", &self.url()])
            .kill_on_drop(true)
            .output()
            .await?;
        Ok(serde_json::from_slice(&ended.stdout)?)
    }

    /// Starts `gridloom worker`, the `number`th.
    pub(crate) async fn worker(&self, number: u32, concurrency: u32) -> anyhow::Result<Process> {
        let more = ["--concurrency".to_owned(), concurrency.to_string()];
        self.service("worker", &format!("worker-{number}"), &more)
            .await
    }

    /// As [`Stack::worker`], with flags of one's own.
    pub(crate) async fn worker_with(&self, name: &str, more: &[String]) -> anyhow::Result<Process> {
        self.service("worker", name, more).await
    }

    async fn service(&self, order: &str, name: &str, more: &[String]) -> anyhow::Result<Process> {
        let mut args = vec![order.to_owned()];
        for (flag, value) in [
            ("--nats", self.url().as_str()),
            ("--namespace", NAMESPACE),
            ("--log", "warn"),
        ] {
            // What is said is said once.
            if !more.iter().any(|said| said == flag) {
                args.extend([flag.to_owned(), value.to_owned()]);
            }
        }
        args.extend_from_slice(more);
        Process::start(self.dir.path(), name, &args).await
    }

    /// A connection of the measuring process itself.
    pub(crate) async fn connect(&self) -> anyhow::Result<Broker> {
        self.connect_to(NAMESPACE).await
    }

    /// Connects to an installation of another name.
    pub(crate) async fn connect_to(&self, namespace: &str) -> anyhow::Result<Broker> {
        let options =
            broker::Options::new(self.url(), Namespace::new(namespace)?, "gridloom-bench");
        Ok(Broker::connect(&options).await?)
    }

    /// Kills the brokers as a crash does, and starts them again on their stores.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<()> {
        for server in &mut self.servers {
            server.kill().await?;
        }
        for server in &mut self.servers {
            server.restart().await?;
        }
        Ok(())
    }

    /// Removes the broker's store.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        for server in self.servers {
            server.stop().await?;
        }
        Ok(())
    }
}

/// Waits until `count` workers have announced themselves.
pub(crate) async fn workers_are_there(broker: &Broker, count: u32) -> anyhow::Result<()> {
    let mut heard = broker.subscribe(broker.subjects().all_presence()).await?;
    let mut seen = std::collections::BTreeSet::<Session>::new();
    let all_there = async {
        while let Some(message) = heard.next().await {
            if let Ok(presence) = wire::decode::<Presence>(&message.payload) {
                seen.insert(presence.session);
            }
            if seen.len() >= count as usize {
                break;
            }
        }
    };
    timeout(START, all_there)
        .await
        .with_context(|| format!("hear of {count} workers within {START:?}"))
}

/// Defines a job, once the planner has made the bucket.
pub(crate) async fn define(broker: &Broker, spec: &JobSpec) -> anyhow::Result<()> {
    let give_up = Instant::now() + START;
    loop {
        match broker
            .jobs()
            .put(spec.name.as_str(), wire::encode(spec))
            .await
        {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > give_up => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
