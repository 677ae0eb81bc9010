//! Where the queue is kept, how large it may become, and when it is made anew elsewhere.

use gridloom_shared::broker::topology::{Elsewhere, Storage};

use super::*;

/// Settings of the queue's stream.
async fn config(broker: &Broker, server: &TestServer) -> anyhow::Result<serde_json::Value> {
    let shards = broker.subjects().shards();
    let asked = server.client().await?;
    let asked = asked.request(format!("$JS.API.STREAM.INFO.{shards}"), "".into());
    let info: serde_json::Value = serde_json::from_slice(&asked.await?.payload)?;
    Ok(info["config"].clone())
}

#[tokio::test]
async fn queue_is_made_in_memory_with_a_bound_and_all_else_on_file() -> anyhow::Result<()> {
    let server = TestServer::start().await?;
    let broker = connect(&server).await?;
    topology::ensure(&broker, &TopologyOptions::default()).await?;
    let made = config(&broker, &server).await?;
    assert_eq!(made["storage"], "memory");
    assert_eq!(made["max_bytes"], 256 << 20);
    let memory = TopologyOptions {
        queue_storage: Some(Storage::Memory),
        ..TopologyOptions::default()
    };
    assert_eq!(topology::verify(&broker, &memory).await?, []);
    let found = topology::verify(&broker, &on_file()).await?;
    let [Finding::Drift(drift)] = found.as_slice() else {
        bail!("{found:?}")
    };
    assert_eq!(
        (drift.what.as_str(), drift.setting.as_str()),
        ("grid-shards", "storage")
    );
    // Of all others each is on file, or it would be told.
    assert!(drift.advice().contains("queue.storage"), "{drift:?}");
    Ok(())
}

#[tokio::test]
async fn queue_on_file_is_made_anew_in_memory_once_nothing_is_on_it() -> anyhow::Result<()> {
    let (server, broker) = ready().await?;
    let usual = TopologyOptions::default();
    let shards = broker.subjects().shards();
    let register = broker.claim_term(Term(1), Session::random()).await?;
    let published = broker.publish_batch(&tiles(&broker, 2), register).await;
    assert_eq!(published, Published::Stored);
    let last = broker.info(&shards).await?.last_seq;
    let moved = topology::move_queue(&broker, &usual).await?;
    assert_eq!(moved, Some(Elsewhere::Used));
    assert_eq!(config(&broker, &server).await?["storage"], "file");
    // It is used as it is by whoever names nothing.
    assert_eq!(topology::verify(&broker, &usual).await?, []);
    let all = broker.subjects().all_shards();
    broker.purge(&shards, &all, 0).await?;
    let moved = topology::move_queue(&broker, &usual).await?;
    assert_eq!(moved, Some(Elsewhere::Moved));
    assert_eq!(config(&broker, &server).await?["storage"], "memory");
    assert_eq!(topology::move_queue(&broker, &usual).await?, None);
    let register = broker.claim_term(Term(1), Session::random()).await?;
    assert!(register.seq > last, "a sequence is used again");
    let back = topology::move_queue(&broker, &on_file()).await?;
    assert_eq!(back, Some(Elsewhere::Moved));
    assert_eq!(config(&broker, &server).await?["storage"], "file");
    Ok(())
}

#[tokio::test]
async fn register_is_rewritten_at_the_top_and_nothing_of_it_stays_below() -> anyhow::Result<()> {
    let (_server, broker) = ready().await?;
    let shards = broker.subjects().shards();
    let session = Session::random();
    for term in 1..=3 {
        let register = broker.claim_term(Term(term), session).await?;
        let info = broker.info(&shards).await?;
        assert_eq!((info.messages, info.first_seq), (1, register.seq));
        let published = broker.publish_batch(&tiles(&broker, 10), register).await;
        assert_eq!(published, Published::Stored);
        broker
            .purge(&shards, &broker.subjects().all_shards(), 0)
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn claim_of_a_queue_that_is_gone_waits_for_no_election_where_there_is_none()
-> anyhow::Result<()> {
    let (server, broker) = ready().await?;
    let shards = broker.subjects().shards();
    let raw = async_nats::jetstream::new(server.client().await?);
    raw.delete_stream(shards.as_str()).await?;
    let begun = std::time::Instant::now();
    let claimed = broker.claim_within(Term(1), Session::random(), Duration::ZERO);
    assert!(claimed.await.is_err_and(|error| error.is_stream_missing()));
    assert!(begun.elapsed() < Duration::from_millis(500));
    let made = topology::make_queue(&broker, &TopologyOptions::default()).await?;
    let claimed = broker
        .claim_within(Term(1), Session::random(), Duration::ZERO)
        .await?;
    assert!(made && claimed.first, "nobody can have published anything");
    let again = broker
        .claim_within(Term(2), Session::random(), Duration::ZERO)
        .await?;
    assert!(!again.first);
    Ok(())
}

#[tokio::test]
async fn consumer_that_went_with_the_queue_is_not_waited_for_by_whoever_pulled_from_it()
-> anyhow::Result<()> {
    let (server, broker) = ready().await?;
    let raw = async_nats::jetstream::new(server.client().await?);
    let lane = default_lane();
    let mut known = consumers::ensure_lane(&broker, &lane, AckDeadline::AsIs).await?;
    let mut took = Vec::new();
    for _ in 0..3 {
        raw.delete_stream(broker.subjects().shards().as_str())
            .await?;
        topology::make_queue(&broker, &on_file()).await?;
        let begun = std::time::Instant::now();
        let again =
            consumers::ensure_lane_again(&broker, &lane, AckDeadline::AsIs, Some(&known.name))
                .await?;
        took.push(begun.elapsed());
        assert_ne!(
            again.name, known.name,
            "its acknowledgements may be on their way"
        );
        known = again;
    }
    // Somebody else who just makes it is given a second, each time.
    let quickest = took.iter().min().copied().unwrap_or_default();
    assert!(quickest < Duration::from_millis(800), "{took:?}");
    Ok(())
}

/// A consumer of the lane that pushes what it delivers, as whoever may make any can have it, in place of the one that was there.
async fn pushed_elsewhere(broker: &Broker, server: &TestServer) -> anyhow::Result<()> {
    let asked = server.client().await?;
    let shards = broker.subjects().shards();
    let gone = format!("$JS.API.CONSUMER.DELETE.{shards}.default_noop-1");
    asked.request(gone, "".into()).await?;
    let filter = broker.subjects().shards_of_lane(&default_lane());
    let name = "default_noop-2";
    let made = serde_json::json!({
        "stream_name": shards.as_str(),
        "config": {
            "name": name, "durable_name": name, "filter_subject": filter, "deliver_policy": "all",
            "ack_policy": "explicit", "ack_wait": 30_000_000_000_u64, "max_deliver": -1,
            "deliver_subject": "grid.elsewhere", "headers_only": true,
        },
    });
    let subject = format!("$JS.API.CONSUMER.CREATE.{shards}.{name}.{filter}");
    let answer = asked.request(subject, made.to_string().into()).await?;
    let answer: serde_json::Value = serde_json::from_slice(&answer.payload)?;
    anyhow::ensure!(answer["error"].is_null(), "{answer}");
    Ok(())
}

#[tokio::test]
async fn consumer_that_pushes_is_told_as_one_that_is_not_as_it_should_be() -> anyhow::Result<()> {
    let (server, broker) = ready().await?;
    let lane = default_lane();
    consumers::ensure_lane(&broker, &lane, AckDeadline::AsIs).await?;
    pushed_elsewhere(&broker, &server).await?;
    let found = consumers::ensure_lane(&broker, &lane, AckDeadline::AsIs).await;
    let Err(TopologyError::Drift(drifts)) = found else {
        bail!("{found:?}")
    };
    let setting = drifts.iter().find(|one| one.setting == "deliver_subject");
    let setting = setting.context("what it pushes to")?;
    assert!(setting.found.contains("grid.elsewhere"), "{setting:?}");
    let advice = "nats consumer rm grid-shards default_noop-2";
    assert!(setting.advice().contains(advice), "{}", setting.advice());
    Ok(())
}
