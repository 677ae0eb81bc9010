//! Waves of tiles under a term: what a deposed leader sends does not land.

use futures_util::StreamExt;

use super::*;

#[tokio::test]
async fn nothing_of_a_deposed_leader_lands_after_the_new_term() -> anyhow::Result<()> {
    let (_server, broker) = ready().await?;
    let (old, new) = (Session::random(), Session::random());
    let register = broker.claim_term(Term(1), old).await?;
    let published = broker.publish_batch(&tiles(&broker, 1_000), register).await;
    assert_eq!(published, Published::Stored);

    let newer = broker.claim_term(Term(2), new).await?;
    for count in [1, 2, 1_000] {
        assert_eq!(
            broker.publish_batch(&tiles(&broker, count), register).await,
            Published::Refused
        );
    }
    assert_eq!(stored_tiles(&broker).await?, 1_000);
    let deposed = broker.claim_term(Term(1), old).await;
    assert!(matches!(deposed, Err(ClaimError::Deposed { holder, .. }) if holder.session == new));
    assert_eq!(
        broker.publish_batch(&tiles(&broker, 1), newer).await,
        Published::Stored
    );
    Ok(())
}

#[tokio::test]
async fn leader_that_lost_an_answer_fences_its_own_late_batch() -> anyhow::Result<()> {
    let (_server, broker) = ready().await?;
    let session = Session::random();
    let before = broker.claim_term(Term(1), session).await?;
    let after = broker.claim_term(Term(1), session).await?;
    assert!(after.seq > before.seq);
    assert_eq!(
        broker.publish_batch(&tiles(&broker, 3), before).await,
        Published::Refused
    );
    let same_term = broker.claim_term(Term(1), Session::random()).await;
    assert!(matches!(same_term, Err(ClaimError::Deposed { .. })));
    Ok(())
}

#[tokio::test]
async fn open_batch_of_a_deposed_leader_ends_with_the_claim() -> anyhow::Result<()> {
    let (server, broker) = ready().await?;
    let raw = server.client().await?;
    let register = broker.claim_term(Term(1), Session::random()).await?;
    let inbox = raw.new_inbox();
    let mut answers = raw.subscribe(format!("{inbox}.>")).await?;
    let tile = tiles(&broker, 1).remove(0);
    let send = async |number: u32, operation: u32| {
        let mut headers = async_nats::HeaderMap::new();
        if number == 1 {
            headers.insert(
                "Nats-Expected-Last-Subject-Sequence",
                register.seq.to_string(),
            );
            headers.insert(
                "Nats-Expected-Last-Subject-Sequence-Subject",
                broker.subjects().term(),
            );
        }
        let reply = format!("{inbox}.10.fail.{number}.{operation}.$FI");
        let (subject, payload) = (tile.subject.clone(), tile.payload.clone());
        raw.publish_with_reply_and_headers(subject, reply, headers, payload)
            .await?;
        raw.flush().await?;
        anyhow::Ok(())
    };
    send(1, 0).await?;
    let opened = answers.next().await.context("no answer")?;
    assert!(
        opened.payload.starts_with(br#"{"type":"ack""#),
        "{opened:?}"
    );
    send(2, 1).await?;
    eventually(SOON, "two tiles are stored", async || {
        Ok(stored_tiles(&broker).await? == 2)
    })
    .await?;

    broker.claim_term(Term(2), Session::random()).await?;
    // What it still sends, and what it tries anew.
    for (number, operation) in [(3, 1), (4, 2), (1, 0), (2, 2)] {
        send(number, operation).await?;
    }
    for wanted in ["10208", "10208", "10071", "10208"] {
        let text = loop {
            let answer = answers.next().await.context("no answer")?;
            let text = String::from_utf8_lossy(&answer.payload).into_owned();
            if !text.contains(r#""type":"ack""#) {
                break text;
            }
        };
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert_eq!(stored_tiles(&broker).await?, 2);
    Ok(())
}

/// Tiles of which a hundred are more than goes through a proxy at once: what holds one of them back passes others on.
fn long_tiles(broker: &Broker, count: usize) -> Vec<Outgoing> {
    let long = |tile: Outgoing| {
        let mut payload = tile.payload.to_vec();
        payload.resize(1_000, b' ');
        Outgoing {
            payload: payload.into(),
            ..tile
        }
    };
    tiles(broker, count).into_iter().map(long).collect()
}

/// Claims the term beside a batch of the leader before, `beside` it: what is stored by then is all that ever is.
async fn claim_beside_a_batch(
    sender: &Broker,
    other: &Broker,
    round: u64,
    beside: impl AsyncFnOnce(u64) -> anyhow::Result<()>,
    afterwards: impl FnOnce(),
) -> anyhow::Result<u64> {
    let register = sender
        .claim_term(Term(2 * round + 1), Session::random())
        .await?;
    let before = stored_tiles(other).await?;
    let publishing = tokio::spawn({
        let (sender, batch) = (sender.clone(), long_tiles(sender, 1_000));
        async move { sender.publish_batch(&batch, register).await }
    });
    beside(before).await?;
    other
        .claim_term(Term(2 * round + 2), Session::random())
        .await?;
    let claimed = stored_tiles(other).await? - before;
    afterwards();
    let published = publishing.await?;
    // Whatever the broker still had to take in, it takes in before this.
    let newest = other.term_holder().await?.context("no register")?;
    let newest = Register { seq: newest.seq };
    let barrier = sender.publish_batch(&tiles(sender, 1), newest).await;
    assert_eq!(barrier, Published::Stored);
    let landed = stored_tiles(other).await? - before - 1;
    assert_eq!(landed, claimed, "late tiles");
    match published {
        Published::Stored => assert_eq!(claimed, 1_000),
        Published::Unknown { .. } => assert!((1..=1_000).contains(&claimed), "{claimed}"),
        Published::Refused | Published::Busy { .. } => assert_eq!(claimed, 0),
        Published::Part(error) | Published::Failed(error) => bail!(error),
    }
    Ok(claimed)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_lands_after_a_claim_that_raced_a_batch() -> anyhow::Result<()> {
    let (server, broker) = ready().await?;
    let other = connect(&server).await?;
    for round in 0..40 {
        let beside = async |_| {
            tokio::time::sleep(Duration::from_micros(round * 250)).await;
            Ok(())
        };
        claim_beside_a_batch(&broker, &other, round, beside, || {}).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rest_of_a_batch_that_arrives_after_the_claim_does_not_land() -> anyhow::Result<()> {
    let (server, broker) = ready().await?;
    let proxy = Proxy::start(server.port()).await?;
    let sender = connect_to(proxy.url()).await?;
    const FROM: [&[&str]; 3] = [&["tile 200"], &["tile 500"], &["tile 900"]];
    for (round, from) in (0..).zip(FROM) {
        proxy.set(Mode::StallAt(from));
        let beside = async |before| {
            proxy.stalled(SOON).await?;
            eventually(SOON, "the batch has begun", async || {
                Ok(stored_tiles(&broker).await? > before)
            })
            .await
        };
        let late = || proxy.set(Mode::Pass);
        let stored = claim_beside_a_batch(&sender, &broker, round, beside, late).await?;
        assert!((1..1_000).contains(&stored), "{stored}");
    }
    Ok(())
}

#[tokio::test]
async fn claim_opens_the_queue_again_that_a_dead_claimant_left_closed() -> anyhow::Result<()> {
    let (server, broker) = ready().await?;
    let raw = server.client().await?;
    let shards = broker.subjects().shards();
    let info = raw
        .request(format!("$JS.API.STREAM.INFO.{shards}"), "".into())
        .await?;
    let mut info: serde_json::Value = serde_json::from_slice(&info.payload)?;
    assert_eq!(info["config"]["allow_batched"], true);
    info["config"]["allow_batched"] = false.into();
    let config = serde_json::to_vec(&info["config"])?;
    raw.request(format!("$JS.API.STREAM.UPDATE.{shards}"), config.into())
        .await?;
    topology::ensure(&broker, &on_file()).await?;
    let register = broker.claim_term(Term(1), Session::random()).await?;
    let published = broker.publish_batch(&tiles(&broker, 2), register).await;
    assert_eq!(published, Published::Stored);
    Ok(())
}

#[tokio::test]
async fn batch_cut_off_by_a_kill_is_stored_where_the_answer_says_so() -> anyhow::Result<()> {
    let (mut server, broker) = ready().await?;
    for round in 0..4u64 {
        let register = broker
            .claim_term(Term(round + 1), Session::random())
            .await?;
        let before = stored_tiles(&broker).await?;
        let sender = broker.clone();
        let batch = tiles(&broker, 1_000);
        let publishing = tokio::spawn(async move { sender.publish_batch(&batch, register).await });
        for _ in 0..round * 40 {
            tokio::task::yield_now().await;
        }
        server.kill().await?;
        server.restart().await?;
        let published = publishing.await?;
        let stored = stored_tiles(&broker).await? - before;
        match published {
            Published::Stored => assert_eq!(stored, 1_000),
            Published::Unknown { .. } => assert!(stored <= 1_000, "{stored}"),
            Published::Part(error) => bail!(error),
            Published::Busy { .. } | Published::Refused | Published::Failed(_) => {
                assert_eq!(stored, 0)
            }
        }
    }
    Ok(())
}
