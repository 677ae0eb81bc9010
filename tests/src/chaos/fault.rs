//! What goes wrong in a mix, and how each is healed.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::Context;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::fold::Cell;
use gridloom_shared::tile::Tile;
use gridloom_shared::wire;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::field::{Brokers, Field, Role};
use crate::logged::now_us;
use crate::proxy::Mode;

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL, and another is started later.
    KillWorker,
    /// SIGKILL of the planner that leads.
    KillLeader,
    /// SIGKILL of the broker, or of one member of the cluster; restarted later.
    KillBroker,
    /// A worker, the leader and the broker at once.
    KillAll,
    /// SIGSTOP and SIGCONT of the broker, or of one member of the cluster: a disk that is slow.
    StallBroker,
    /// SIGSTOP and SIGCONT of a worker.
    FreezeWorker,
    /// SIGSTOP and SIGCONT of the leader.
    FreezeLeader,
    /// SIGTERM, and another is started later.
    StopWorker,
    /// Everything on the queue is removed, the term register too.
    PurgeQueue,
    /// The queue's stream is deleted.
    DeleteQueue,
    /// The queue's consumer is deleted.
    DeleteConsumer,
    /// A connection is closed.
    Cut,
    /// A connection on which nothing comes back.
    HalfOpen,
    /// A slow connection.
    Delay,
    /// A connection on which nothing moves.
    Stall,
    /// A tile is published a second time, unmarked, by no planner.
    Twice,
    /// Nonsense on every subject that is read.
    Malformed,
}

/// All that may happen.
const ALL: [Fault; 17] = [
    Fault::KillWorker,
    Fault::KillLeader,
    Fault::KillBroker,
    Fault::KillAll,
    Fault::StallBroker,
    Fault::FreezeWorker,
    Fault::FreezeLeader,
    Fault::StopWorker,
    Fault::PurgeQueue,
    Fault::DeleteQueue,
    Fault::DeleteConsumer,
    Fault::Cut,
    Fault::HalfOpen,
    Fault::Delay,
    Fault::Stall,
    Fault::Twice,
    Fault::Malformed,
];

impl Fault {
    /// All that may happen.
    pub fn all() -> &'static [Fault] {
        &ALL
    }

    /// The fault of this name.
    pub fn named(name: &str) -> Option<Fault> {
        ALL.into_iter().find(|fault| format!("{fault:?}") == name)
    }

    /// Between which times it lasts. A lease is over after two seconds, a leadership after three.
    fn lasts(self) -> (Duration, Duration) {
        let (from, to) = match self {
            Fault::FreezeWorker | Fault::HalfOpen | Fault::Stall => (500, 5_000),
            Fault::FreezeLeader => (1_000, 5_000),
            Fault::KillBroker | Fault::KillAll => (0, 1_500),
            Fault::StallBroker => (300, 3_000),
            Fault::Delay => (1_000, 4_000),
            Fault::KillWorker | Fault::KillLeader | Fault::StopWorker => (0, 2_500),
            Fault::PurgeQueue
            | Fault::DeleteQueue
            | Fault::DeleteConsumer
            | Fault::Cut
            | Fault::Twice
            | Fault::Malformed => (0, 500),
        };
        (Duration::from_millis(from), Duration::from_millis(to))
    }

    fn is_of_brokers(self) -> bool {
        matches!(
            self,
            Fault::KillBroker | Fault::KillAll | Fault::StallBroker
        )
    }
}

/// For how long work may be slower after the end of a fault.
const SETTLES: Duration = Duration::from_millis(3_500);
/// For how long after one that takes longest.
pub const SETTLES_MOST: Duration = Duration::from_millis(8_500);

/// What must be done to heal a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Healing {
    Start(Role),
    Restart(usize),
    Wake(usize),
    Thaw { pid: u32, since: u64 },
    Pass(u32),
}

/// A fault that began.
#[derive(Debug)]
pub struct Strike {
    /// Which.
    pub fault: Fault,
    /// How long it is to last.
    pub lasts: Duration,
    healing: Vec<Healing>,
    /// Whom it hit, for people.
    pub whom: String,
}

/// Shards of which the test published a tile twice.
pub type Twice = HashMap<RunId, HashSet<Cell>>;

impl Field {
    /// One or two faults that fit together.
    pub fn choose(&mut self, among: &[Fault]) -> Vec<Fault> {
        let count = among.len() as u64;
        let first = among[self.seed.below(count) as usize];
        let second = among[self.seed.below(count) as usize];
        let both = self.seed.below(4) == 0;
        if !both || first == second || (first.is_of_brokers() && second.is_of_brokers()) {
            return vec![first];
        }
        let mut faults = vec![first, second];
        // Nothing can be asked of a broker that is not there.
        faults.sort_by_key(|fault| fault.is_of_brokers());
        faults
    }

    /// How long after its end work may be slower: until the queue was looked at for what it lacks, until
    /// a cluster has elected or another planner leads and has asked all workers, or an ack deadline and
    /// what the next holder needs.
    pub fn settles(&self, strike: &Strike) -> Duration {
        let elects = strike.fault.is_of_brokers() && matches!(self.brokers, Brokers::Cluster(_));
        let empties = matches!(strike.fault, Fault::PurgeQueue | Fault::DeleteQueue);
        let mut healing = strike.healing.iter();
        if elects || empties || healing.any(|healing| self.is_of_planner(healing)) {
            SETTLES_MOST
        } else {
            SETTLES
        }
    }

    fn is_of_planner(&self, healing: &Healing) -> bool {
        let role = match healing {
            Healing::Start(role) => Some(*role),
            Healing::Thaw { pid, .. } | Healing::Pass(pid) => {
                self.by_pid(*pid).map(|n| self.actors[n].role)
            }
            Healing::Restart(_) | Healing::Wake(_) => None,
        };
        role == Some(Role::Planner)
    }

    /// Begins a fault. `None` when nobody is there whom it could hit.
    ///
    /// # Errors
    /// When a process cannot be signalled, or had ended by itself.
    pub async fn strike(
        &mut self,
        fault: Fault,
        runs: &[RunId],
        twice: &mut Twice,
    ) -> anyhow::Result<Option<Strike>> {
        let (from, to) = fault.lasts();
        let lasts = self.seed.between(from, to);
        let mut healing = Vec::new();
        let whom = match fault {
            Fault::KillWorker | Fault::StopWorker => {
                let Some(n) = self.pick(Role::WORKERS) else {
                    return Ok(None);
                };
                healing.push(Healing::Start(self.actors[n].role));
                self.end(n, fault).await?
            }
            Fault::KillLeader => {
                let Some(n) = self.leader().await else {
                    return Ok(None);
                };
                healing.push(Healing::Start(Role::Planner));
                self.end(n, fault).await?
            }
            Fault::KillBroker => {
                let (member, whom) = self.kill_broker().await?;
                healing.push(Healing::Restart(member));
                whom
            }
            Fault::KillAll => {
                let leader = self.leader().await.map(|n| self.actors[n].pid());
                let worker = self.pick(Role::WORKERS).map(|n| self.actors[n].pid());
                let (member, mut whom) = self.kill_broker().await?;
                healing.push(Healing::Restart(member));
                for pid in [leader, worker].into_iter().flatten() {
                    if let Some(n) = self.by_pid(pid) {
                        healing.push(Healing::Start(self.actors[n].role));
                        whom += &format!(", {}", self.end(n, fault).await?);
                    }
                }
                whom
            }
            Fault::StallBroker => {
                let (member, whom) = self.choose_broker();
                self.signal_broker(member, Signal::STOP)?;
                healing.push(Healing::Wake(member));
                whom
            }
            Fault::FreezeWorker | Fault::FreezeLeader => {
                let n = match fault {
                    Fault::FreezeWorker => self.pick(Role::WORKERS),
                    _ => self.leader().await,
                };
                let Some(actor) = n.map(|n| &mut self.actors[n]) else {
                    return Ok(None);
                };
                actor.struck = true;
                let (pid, since) = (actor.pid(), now_us());
                actor.process.freeze()?;
                healing.push(Healing::Thaw { pid, since });
                format!("{:?} {pid}", actor.role)
            }
            Fault::Cut | Fault::HalfOpen | Fault::Delay | Fault::Stall => {
                let of_worker = self.seed.below(3) > 0;
                let roles = if of_worker {
                    Role::WORKERS
                } else {
                    &[Role::Planner]
                };
                let Some(actor) = self.pick(roles).map(|n| &mut self.actors[n]) else {
                    return Ok(None);
                };
                for proxy in &actor.proxies {
                    match fault {
                        Fault::Cut => proxy.cut(),
                        Fault::HalfOpen => proxy.set(Mode::HalfOpen),
                        Fault::Delay => proxy.set(Mode::Delay(lasts / 20)),
                        _ => proxy.set(Mode::Stall),
                    }
                }
                actor.struck = true;
                healing.push(Healing::Pass(actor.pid()));
                format!("{:?} {}", actor.role, actor.pid())
            }
            Fault::PurgeQueue | Fault::DeleteQueue | Fault::DeleteConsumer => {
                self.ask_of_queue(fault).await
            }
            Fault::Twice => self.publish_twice(twice).await,
            Fault::Malformed => self.publish_nonsense(runs).await,
        };
        Ok(Some(Strike {
            fault,
            lasts,
            healing,
            whom,
        }))
    }

    /// Ends a fault.
    ///
    /// # Errors
    /// When a process cannot be started or signalled.
    pub async fn heal(&mut self, strike: &Strike) -> anyhow::Result<()> {
        for healing in &strike.healing {
            match *healing {
                Healing::Start(role) => self.start(role).await?,
                Healing::Restart(member) => {
                    self.brokers.servers()[member].restart().await?;
                    self.all_caught_up().await?;
                }
                Healing::Wake(member) => {
                    self.signal_broker(member, Signal::CONT)?;
                    self.all_caught_up().await?;
                }
                Healing::Thaw { pid, since } => {
                    if let Some(n) = self.by_pid(pid) {
                        self.actors[n].process.thaw()?;
                        self.actors[n].struck = false;
                        let spans = self.lives.frozen.entry(pid).or_default();
                        spans.push((since, now_us()));
                    }
                }
                Healing::Pass(pid) => {
                    if let Some(n) = self.by_pid(pid) {
                        for proxy in &self.actors[n].proxies {
                            proxy.set(Mode::Pass);
                        }
                        self.actors[n].struck = false;
                    }
                }
            }
        }
        Ok(())
    }

    async fn end(&mut self, n: usize, fault: Fault) -> anyhow::Result<String> {
        let whom = format!("{:?} {}", self.actors[n].role, self.actors[n].pid());
        if fault == Fault::StopWorker {
            self.terminate(n).await?;
        } else {
            self.kill(n).await?;
        }
        Ok(whom)
    }

    async fn kill_broker(&mut self) -> anyhow::Result<(usize, String)> {
        let (member, whom) = self.choose_broker();
        self.brokers.servers()[member].kill().await?;
        Ok((member, whom))
    }

    fn choose_broker(&mut self) -> (usize, String) {
        let choice = self.seed.next_u64();
        let members = self.brokers.servers().len();
        let member = (choice % members as u64) as usize;
        let whom = match self.brokers {
            Brokers::Single(_) => "the broker".to_owned(),
            Brokers::Cluster(_) => format!("member {member}"),
        };
        (member, whom)
    }

    fn signal_broker(&mut self, member: usize, signal: Signal) -> anyhow::Result<()> {
        let pid = self.brokers.servers()[member].pid();
        let pid = pid.and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        kill_process(pid.context("a broker that runs")?, signal)?;
        Ok(())
    }

    /// On a cluster: until then the death of another member would be a second fault.
    async fn all_caught_up(&self) -> anyhow::Result<()> {
        let Brokers::Cluster(cluster) = &self.brokers else {
            return Ok(());
        };
        cluster.settled().await?;
        for stream in [
            self.broker.subjects().ledger(),
            self.broker.subjects().shards(),
        ] {
            cluster.caught_up(stream.as_str()).await?;
        }
        Ok(())
    }

    /// A client of a broker that may just not be there.
    async fn client(&self) -> anyhow::Result<async_nats::Client> {
        match &self.brokers {
            Brokers::Single(server) => server.client().await,
            Brokers::Cluster(cluster) => cluster.client().await,
        }
    }

    /// What is asked while the broker is gone has no effect, and that is said.
    async fn ask_of_queue(&mut self, fault: Fault) -> String {
        let choice = self.seed.next_u64();
        let stream = self.broker.subjects().shards();
        let asked = async {
            let client = self.client().await?;
            let subject = match fault {
                Fault::PurgeQueue => format!("$JS.API.STREAM.PURGE.{stream}"),
                Fault::DeleteQueue => format!("$JS.API.STREAM.DELETE.{stream}"),
                _ => {
                    let names = format!("$JS.API.CONSUMER.NAMES.{stream}");
                    let answer = client.request(names, "".into()).await?;
                    let answer: Value = serde_json::from_slice(&answer.payload)?;
                    let names = answer["consumers"]
                        .as_array()
                        .map_or(&[][..], Vec::as_slice);
                    let which = choice % names.len().max(1) as u64;
                    let name = names
                        .get(which as usize)
                        .and_then(Value::as_str)
                        .unwrap_or("none");
                    format!("$JS.API.CONSUMER.DELETE.{stream}.{name}")
                }
            };
            let answer = client.request(subject, "".into()).await?;
            anyhow::Ok(String::from_utf8_lossy(&answer.payload).into_owned())
        };
        match asked.await {
            Ok(answer) if !answer.contains("\"error\"") => stream.to_string(),
            Ok(answer) => format!("nothing: {answer}"),
            Err(error) => format!("nothing: {error}"),
        }
    }

    async fn publish_twice(&mut self, twice: &mut Twice) -> String {
        let subjects = self.broker.subjects();
        let read = async {
            let last = self.broker.info(&subjects.shards()).await?.last_seq;
            let all = subjects.all_shards();
            let records = self
                .broker
                .read(&subjects.shards(), all, 1, Some(last))
                .await?;
            anyhow::Ok(records)
        };
        let records = read.await.unwrap_or_default();
        if records.is_empty() {
            return "nothing: the queue is empty".to_owned();
        }
        let record = &records[(self.seed.next_u64() % records.len() as u64) as usize];
        let (Ok(tile), Ok(client)) = (wire::decode::<Tile>(&record.payload), self.client().await)
        else {
            return "nothing: no tile".to_owned();
        };
        let cells = (tile.first..tile.first + tile.pages).map(|page| Cell {
            kind: tile.kind,
            slice: tile.slice,
            page,
        });
        twice.entry(tile.run.clone()).or_default().extend(cells);
        let sent = client
            .publish(record.subject.to_string(), record.payload.clone())
            .await;
        let flushed = client.flush().await;
        format!(
            "tile {}/{} of {}{}",
            tile.wave,
            tile.index,
            tile.run,
            if sent.is_ok() && flushed.is_ok() {
                ""
            } else {
                ", unsent"
            }
        )
    }

    async fn publish_nonsense(&mut self, runs: &[RunId]) -> String {
        let subjects = self.broker.subjects();
        let space = subjects.namespace();
        let mut to = vec![
            format!("{space}.submit.short"),
            format!("{space}.submit.nobody"),
            format!("{space}.shard.default.nobody_s_1"),
            format!("{space}.ledger.default.nobody_s_1.work"),
            format!("{space}.ledger.default.nobody_s_1.takeover"),
            subjects.roll_call(),
            subjects.planner_call(),
            subjects.broadcast(),
            subjects.all_presence().replace('*', "nobody"),
            subjects.all_presence().replace('*', "0000000000000007"),
        ];
        to.extend(
            runs.iter()
                .map(|run| format!("{space}.shard.default.{run}")),
        );
        let Ok(client) = self.client().await else {
            return "nothing: no broker".to_owned();
        };
        for subject in &to {
            let length = self.seed.below(64);
            let bytes: Vec<u8> = (0..length).map(|_| self.seed.next_u64() as u8).collect();
            let _ = client.publish(subject.clone(), bytes.into()).await;
        }
        let _ = client.flush().await;
        format!("{} subjects", to.len())
    }
}
