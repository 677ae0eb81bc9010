//! Three nats-servers on this machine as one cluster, each of which can be killed and restarted.
//!
//! They tell no client of each other, so a client knows only the addresses that it was given.

use std::time::Duration;

use anyhow::{Context, bail};
use async_nats::Client;
use gridloom_cli::embedded::{Options, free_port};
use gridloom_shared::broker::topology::Storage;
use serde_json::Value;

use crate::server::{TestServer, flushes};
use crate::wait::{eventually, eventually_some};

/// Members of a cluster.
pub const MEMBERS: usize = 3;
/// How long an election and a member's catching up may take.
const SETTLED: Duration = Duration::from_secs(40);

/// A cluster. All of it is gone when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    /// The members; one that was killed stays here until it is restarted.
    pub members: Vec<TestServer>,
}

impl Cluster {
    /// Starts one and waits until it takes streams.
    ///
    /// # Errors
    /// When it does not.
    pub async fn start() -> anyhow::Result<Cluster> {
        Self::start_for(None).await
    }

    /// As [`Cluster::start`], for a queue that is kept there.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn start_for(queue: Option<Storage>) -> anyhow::Result<Cluster> {
        let mut ports = Vec::new();
        while ports.len() < MEMBERS {
            let port = free_port().context("find a free port")?;
            if !ports.contains(&port) {
                ports.push(port);
            }
        }
        let routes: Vec<String> = ports
            .iter()
            .map(|port| format!("\"nats://127.0.0.1:{port}\""))
            .collect();
        let options = |member: usize| Options {
            name: Some(format!("member-{member}")),
            jetstream_config: flushes(queue).to_owned(),
            server_config: format!(
                "cluster {{\nname: \"trio\"\nlisten: \"127.0.0.1:{}\"\nroutes: [{}]\nno_advertise: true\n}}\n",
                ports[member],
                routes.join(", ")
            ),
            ..Options::default()
        };
        let (first, second, third) = tokio::try_join!(
            TestServer::start_with(options(0)),
            TestServer::start_with(options(1)),
            TestServer::start_with(options(2)),
        )?;
        let cluster = Cluster {
            members: vec![first, second, third],
        };
        cluster.settled().await?;
        Ok(cluster)
    }

    /// All members, for a client.
    pub fn url(&self) -> String {
        let urls: Vec<String> = self.members.iter().map(|member| member.url()).collect();
        urls.join(",")
    }

    /// A plain client of a member that runs.
    ///
    /// # Errors
    /// When none runs.
    pub async fn client(&self) -> anyhow::Result<Client> {
        for member in &self.members {
            if member.pid().is_some() {
                return member.client().await;
            }
        }
        bail!("no member of the cluster runs")
    }

    /// Waits until streams can be looked at, which takes a leader of all that is asked.
    ///
    /// # Errors
    /// When that does not happen.
    pub async fn settled(&self) -> anyhow::Result<()> {
        let client = self.client().await?;
        eventually(SETTLED, "the cluster has a leader", async || {
            let asked = client.request("$JS.API.STREAM.NAMES", "".into()).await;
            let Ok(answer) = asked else { return Ok(false) };
            let answer: Value = serde_json::from_slice(&answer.payload)?;
            Ok(answer["error"].is_null())
        })
        .await
    }

    /// The member that leads `stream`.
    ///
    /// # Errors
    /// When none does in time.
    pub async fn leader_of(&self, stream: &str) -> anyhow::Result<usize> {
        let client = self.client().await?;
        let subject = format!("$JS.API.STREAM.INFO.{stream}");
        eventually_some(SETTLED, "the stream has a leader", async || {
            let Ok(answer) = client.request(subject.clone(), "".into()).await else {
                return Ok(None);
            };
            let answer: Value = serde_json::from_slice(&answer.payload)?;
            let leader = answer["cluster"]["leader"].as_str();
            Ok(self
                .members
                .iter()
                .position(|member| Some(member.name()) == leader))
        })
        .await
    }

    /// Waits until every copy of `stream` is up to date: before that, the death of another member
    /// would be a second fault.
    ///
    /// # Errors
    /// When that does not happen.
    pub async fn caught_up(&self, stream: &str) -> anyhow::Result<()> {
        let client = self.client().await?;
        let subject = format!("$JS.API.STREAM.INFO.{stream}");
        let current = async || {
            let Ok(answer) = client.request(subject.clone(), "".into()).await else {
                return Ok(false);
            };
            let answer: Value = serde_json::from_slice(&answer.payload)?;
            let copies = answer["cluster"]["replicas"].as_array().cloned();
            let copies = copies.unwrap_or_default();
            Ok(copies.len() == MEMBERS - 1 && copies.iter().all(|copy| copy["current"] == true))
        };
        eventually(SETTLED, "every copy is up to date", current).await
    }
}
