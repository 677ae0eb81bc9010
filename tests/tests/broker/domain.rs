//! JetStream domains: which streams are meant where several can be reached, over a leaf node too.

use std::time::Duration;

use anyhow::Context;
use gridloom_cli::embedded;
use gridloom_shared::broker::topology::consumers::ensure_lane;
use gridloom_shared::broker::topology::{self, AckDeadline, TopologyError, TopologyOptions};
use gridloom_shared::broker::{Broker, ConnectError, Settings};
use gridloom_tests::server::TestServer;

use super::connect::{connect, let_in, refused};
use super::{SOON, default_lane};

/// Writes, reads, watches and pulls: everything that has a way of its own to JetStream.
async fn works(broker: &Broker) -> anyhow::Result<()> {
    let subjects = broker.subjects();
    broker.jobs().put("a", "1".into()).await?;
    let read = broker.jobs().get_of_leader("a").await?.context("the key")?;
    assert_eq!(read.value.as_deref(), Some(&b"1"[..]));
    broker.append(subjects.term(), "x".into(), None).await?;
    let mut watch = broker.jobs().watch(">");
    tokio::time::timeout(SOON, watch.next()).await??;
    ensure_lane(broker, &default_lane(), AckDeadline::AsIs).await?;
    Ok(())
}

#[tokio::test]
async fn streams_of_a_domain_are_reached_and_one_that_is_not_there_is_named() -> anyhow::Result<()>
{
    let server = TestServer::start_with(embedded::Options {
        jetstream_config: "domain: hub".into(),
        ..embedded::Options::default()
    })
    .await?;
    let of = |domain: &str| Settings {
        domain: Some(domain.to_owned()),
        timeout: Some(Duration::from_secs(3)),
        ..Settings::default()
    };
    works(&let_in(&server.url(), of("hub")).await?).await?;
    let error = refused(&server.url(), of("other")).await?;
    assert!(
        matches!(&error, ConnectError::NoDomain { domain, .. } if domain == "other"),
        "{error:?}"
    );
    Ok(())
}

#[tokio::test]
async fn streams_behind_a_leaf_node_are_used_with_copies_alone() -> anyhow::Result<()> {
    let of_hub = || Settings {
        domain: Some("hub".into()),
        ..Settings::default()
    };
    let mut hub = TestServer::start_with(embedded::Options {
        jetstream_config: "domain: hub".into(),
        ..embedded::Options::default()
    })
    .await?;
    let_in(&hub.url(), of_hub()).await?;
    let port = embedded::free_port()?;
    hub.kill().await?;
    let config = hub.store().join("nats.conf");
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(
        &config,
        format!("{text}\nleafnodes {{ listen: \"127.0.0.1:{port}\" }}\n"),
    )?;
    hub.restart().await?;
    let leaf = TestServer::start_with(embedded::Options {
        jetstream_config: "domain: edge".into(),
        server_config: format!(
            "leafnodes {{ remotes: [ {{ url: \"nats://127.0.0.1:{port}\" }} ] }}"
        ),
        ..embedded::Options::default()
    })
    .await?;
    let far = connect(&leaf.url(), of_hub()).await??;
    let planner = topology::ensure(&far, &TopologyOptions::default()).await;
    assert!(
        matches!(planner, Err(TopologyError::TooFewReplicas { .. })),
        "{planner:?}"
    );
    // A worker asks the streams themselves.
    let worker = ensure_lane(&far, &default_lane(), AckDeadline::AsIs).await;
    assert!(
        matches!(
            worker,
            Err(TopologyError::TooFewReplicas { replicas: 1, .. })
        ),
        "{worker:?}"
    );
    // All that is said to JetStream passes the leaf node, keys of buckets too.
    far.jobs().put("b", "far".into()).await?;
    let near = connect(&hub.url(), Settings::default()).await??;
    let read = near.jobs().get_of_leader("b").await?.context("the key")?;
    assert_eq!(read.value.as_deref(), Some(&b"far"[..]));
    Ok(())
}
