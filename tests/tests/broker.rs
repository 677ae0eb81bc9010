//! The broker's rooms against a real nats-server, killed where it matters.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, bail};
use gridloom_cli::embedded;
use gridloom_shared::address::Address;
use gridloom_shared::broker::batch::{Outgoing, Published};
use gridloom_shared::broker::log::{AppendError, Follow, FollowError, Followed, Start};
use gridloom_shared::broker::pull::{Delivery, EndReason, Patience, PullEvent, Puller};
use gridloom_shared::broker::subjects::{Author, ConsumerName};
use gridloom_shared::broker::term::{ClaimError, Register};
use gridloom_shared::broker::topology::{
    self, AckDeadline, Finding, Kept, Size, Sizes, TopologyError, TopologyOptions, consumers,
};
use gridloom_shared::broker::{Broker, ConnectError, Options};
use gridloom_shared::id::{HandlerName, Namespace, QueueName, RunId, Session, Term};
use gridloom_shared::lane::Lane;
use gridloom_tests::cluster::Cluster;
use gridloom_tests::proxy::{Mode, Proxy};
use gridloom_tests::scenario::on_file;
use gridloom_tests::server::{TestServer, copy};
use gridloom_tests::wait::{eventually, eventually_some};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[path = "broker/between.rs"]
mod between;
#[path = "broker/connect.rs"]
mod connect;
#[path = "broker/copies.rs"]
mod copies;
#[path = "broker/domain.rs"]
mod domain;
#[path = "broker/kept.rs"]
mod kept;
#[path = "broker/log.rs"]
mod log;
#[path = "broker/queue.rs"]
mod queue;
#[path = "broker/waves.rs"]
mod waves;

const SOON: Duration = Duration::from_secs(15);

async fn connect(server: &TestServer) -> anyhow::Result<Broker> {
    connect_to(server.url()).await
}

async fn connect_to(url: impl Into<Address>) -> anyhow::Result<Broker> {
    let options = Options::new(url, Namespace::new("grid")?, "test");
    Ok(Broker::connect(&options).await?)
}

async fn ready() -> anyhow::Result<(TestServer, Broker)> {
    let server = TestServer::start().await?;
    let broker = connect(&server).await?;
    // Nobody fills the queue again here.
    topology::ensure(&broker, &on_file()).await?;
    Ok((server, broker))
}

fn default_lane() -> Lane {
    let queue = QueueName::new("default").expect("a name");
    Lane::new(queue, HandlerName::new("noop").expect("a name"))
}

fn run() -> RunId {
    RunId::new("job_s_1").expect("a run id")
}

fn tiles(broker: &Broker, count: usize) -> Vec<Outgoing> {
    let subject = broker.subjects().shard(&default_lane(), &run());
    let tile = |index: usize| Outgoing {
        subject: subject.clone().into(),
        payload: format!("tile {index}").into(),
    };
    (0..count).map(tile).collect()
}

async fn stored_tiles(broker: &Broker) -> anyhow::Result<u64> {
    let subjects = broker.subjects();
    let stored = broker
        .subjects_of(&subjects.shards(), &subjects.all_shards())
        .await?;
    Ok(stored.values().sum())
}

#[tokio::test]
async fn drift_is_refused_by_the_name_of_the_setting() -> anyhow::Result<()> {
    let (_server, broker) = ready().await?;
    let other = TopologyOptions {
        sizes: Sizes::default().with(Kept::Submit, Size::Bytes(1 << 20)),
        ..TopologyOptions::default()
    };
    let refused = topology::ensure(&broker, &other).await;
    let Err(TopologyError::Drift(drifts)) = refused else {
        bail!("{refused:?}")
    };
    assert_eq!(drifts.len(), 1);
    assert_eq!(
        (drifts[0].what.as_str(), drifts[0].setting.as_str()),
        ("grid-submit", "max_bytes")
    );
    assert_eq!(
        (drifts[0].expected.as_str(), drifts[0].found.as_str()),
        ("1048576", "268435456")
    );
    assert_eq!(
        topology::verify(&broker, &TopologyOptions::default()).await?,
        []
    );
    Ok(())
}

#[tokio::test]
async fn check_of_an_empty_broker_names_all_that_is_missing_and_makes_nothing() -> anyhow::Result<()>
{
    let server = TestServer::start().await?;
    let broker = connect(&server).await?;
    for _ in 0..2 {
        let findings = topology::verify(&broker, &TopologyOptions::default()).await?;
        assert_eq!(
            findings
                .iter()
                .filter(|finding| matches!(finding, Finding::Missing(_)))
                .count(),
            9
        );
    }
    Ok(())
}

#[tokio::test]
async fn absent_broker_is_reported_within_the_wait() -> anyhow::Result<()> {
    let mut server = TestServer::start().await?;
    server.kill().await?;
    let mut options = Options::new(server.url(), Namespace::new("grid")?, "test");
    options.wait = Duration::from_millis(300);
    let connected = tokio::time::timeout(SOON, Broker::connect(&options)).await?;
    assert!(connected.is_err_and(|error: ConnectError| error.is_unreachable()));
    Ok(())
}

#[tokio::test]
async fn broker_that_takes_only_small_messages_is_refused_before_a_run_is_opened()
-> anyhow::Result<()> {
    let least = gridloom_shared::limits::MESSAGE_MIN;
    for (most, fits) in [(least - 1, false), (least, true)] {
        let options = embedded::Options {
            server_config: format!("max_payload: {most}"),
            ..embedded::Options::default()
        };
        let server = TestServer::start_with(options).await?;
        let options = Options::new(server.url(), Namespace::new("grid")?, "test");
        match Broker::connect(&options).await {
            Ok(broker) => assert!(fits && broker.max_payload() == most),
            Err(ConnectError::SmallMessages { found, needed, .. }) => {
                assert_eq!((fits, found, needed), (false, most, least));
            }
            Err(other) => bail!("{most}: {other}"),
        }
    }
    Ok(())
}
/// A server that says which version it is and answers pings, and nothing else.
async fn server_of(version: &'static str) -> anyhow::Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("nats://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let info = serde_json::json!({
                "server_id": "S", "server_name": "s", "version": version, "go": "go", "host": "h", "port": 1,
                "headers": true, "max_payload": 1 << 20, "proto": 1, "client_id": 7, "jetstream": true,
            });
            let greeting = format!("INFO {info}\r\n");
            if stream.write_all(greeting.as_bytes()).await.is_err() {
                continue;
            }
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                let asked = String::from_utf8_lossy(&bytes[..read]).contains("PING");
                if asked && stream.write_all(b"PONG\r\n").await.is_err() {
                    break;
                }
            }
        }
    });
    Ok(url)
}

#[tokio::test]
async fn server_before_the_minimum_is_refused_with_both_versions() -> anyhow::Result<()> {
    for (version, fits) in [("2.14.3", false), ("2.12.9", false), ("2.14.4", true)] {
        let url = server_of(version).await?;
        let options = Options::new(url, Namespace::new("grid")?, "test");
        let connected = tokio::time::timeout(SOON, Broker::connect(&options)).await?;
        match connected {
            Err(ConnectError::TooOld { found, needed, .. }) => {
                assert_eq!(
                    (found.as_str(), needed.as_str(), fits),
                    (version, "2.14.4", false)
                );
            }
            other => assert!(fits && other.is_ok(), "{version}: {other:?}"),
        }
    }
    Ok(())
}
