//! The queue: pulls, consumers, floors.

use super::*;

#[tokio::test]
async fn name_of_a_consumer_is_never_used_again() -> anyhow::Result<()> {
    let (server, broker) = ready().await?;
    let raw = async_nats::jetstream::new(server.client().await?);
    for number in 1..4 {
        let mut racers = tokio::task::JoinSet::new();
        for _ in 0..5 {
            let broker = connect(&server).await?;
            racers.spawn(async move {
                consumers::ensure_lane(&broker, &default_lane(), AckDeadline::AsIs).await
            });
        }
        let names: HashSet<ConsumerName> = racers
            .join_all()
            .await
            .into_iter()
            .map(|made| made.map(|made| made.name))
            .collect::<Result<_, _>>()?;
        assert_eq!(
            names,
            HashSet::from([ConsumerName::new(&default_lane(), number)])
        );
        let current = consumers::current(&broker, &default_lane())
            .await?
            .context("no consumer")?;
        assert!(names.contains(&current.name));
        raw.delete_consumer_from_stream(current.name.as_str(), broker.subjects().shards().as_str())
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn ack_deadline_changes_only_when_it_is_named() -> anyhow::Result<()> {
    let (_server, broker) = ready().await?;
    let five = Duration::from_secs(5);
    let made = consumers::ensure_lane(&broker, &default_lane(), AckDeadline::Exactly(five)).await?;
    let again = consumers::ensure_lane(&broker, &default_lane(), AckDeadline::AsIs).await?;
    assert_eq!((made.ack_deadline, again.ack_deadline), (five, five));
    let changed =
        consumers::ensure_lane(&broker, &default_lane(), AckDeadline::Exactly(five * 2)).await?;
    assert_eq!(
        consumers::current(&broker, &default_lane()).await?,
        Some(changed.clone())
    );
    assert_eq!((changed.name, changed.ack_deadline), (made.name, five * 2));
    Ok(())
}

async fn delivery(puller: &mut Puller) -> anyhow::Result<Delivery> {
    match tokio::time::timeout(SOON, puller.next()).await? {
        PullEvent::Delivery(delivery) => Ok(delivery),
        ended @ PullEvent::Ended { .. } => bail!("{ended:?}"),
    }
}

#[tokio::test]
async fn pull_brings_exactly_what_it_asked_for() -> anyhow::Result<()> {
    let (_server, broker) = ready().await?;
    let register = broker.claim_term(Term(1), Session::random()).await?;
    let consumer = consumers::ensure_lane(&broker, &default_lane(), AckDeadline::AsIs).await?;
    broker.publish_batch(&tiles(&broker, 100), register).await;
    let mut puller = Puller::new(&broker, &broker.subjects().shards(), &consumer.name);
    let first = puller.pull(7, Patience::UpTo(SOON)).await?;
    let second = puller.pull(3, Patience::UpTo(SOON)).await?;
    let (mut of_first, mut of_second) = (0, 0);
    for _ in 0..10 {
        let delivery = delivery(&mut puller).await?;
        *if delivery.pull == first {
            &mut of_first
        } else {
            &mut of_second
        } += 1;
        assert!(delivery.pull == first || delivery.pull == second);
        broker.ack_sync(&delivery.reply, SOON).await?;
    }
    assert_eq!((of_first, of_second), (7, 3));
    assert_eq!(stored_tiles(&broker).await?, 90);

    let third = puller
        .pull(200, Patience::UpTo(Duration::from_millis(300)))
        .await?;
    for left in (110..200).rev() {
        let delivery = delivery(&mut puller).await?;
        assert_eq!(
            (delivery.pull, delivery.unfilled, delivery.delivered),
            (third, left, 1)
        );
        if left == 110 {
            assert!(broker.nak(&delivery.reply, delivery.epoch).await?);
        }
    }
    let again = delivery(&mut puller).await?;
    assert_eq!((again.delivered, again.unfilled), (2, 109));
    let ended = puller.next().await;
    assert_eq!(
        ended,
        PullEvent::Ended {
            pull: third,
            unfilled: 109,
            reason: EndReason::Expired
        }
    );
    assert!(puller.stop().await.is_empty());
    Ok(())
}

#[tokio::test]
async fn pull_without_patience_brings_what_is_there_and_ends() -> anyhow::Result<()> {
    let (_server, broker) = ready().await?;
    let register = broker.claim_term(Term(1), Session::random()).await?;
    let consumer = consumers::ensure_lane(&broker, &default_lane(), AckDeadline::AsIs).await?;
    let mut puller = Puller::new(&broker, &broker.subjects().shards(), &consumer.name);
    for there in [0, 3, 5, 0] {
        broker.publish_batch(&tiles(&broker, there), register).await;
        // What is stored the consumer hears of a moment later, and such a pull does not wait for that.
        eventually(SOON, "the consumer has heard of them", async || {
            let lanes = broker.lanes().await?;
            let lane = lanes.get(&default_lane());
            Ok(lane.is_some_and(|lane| lane.standing.pending == there as u64))
        })
        .await?;
        let pull = puller.pull(5, Patience::None).await?;
        for left in (0..5).rev().take(there) {
            let delivery = delivery(&mut puller).await?;
            assert_eq!((delivery.pull, delivery.unfilled), (pull, left));
            broker.ack_sync(&delivery.reply, SOON).await?;
        }
        if there < 5 {
            let ended = tokio::time::timeout(Duration::from_secs(1), puller.next()).await?;
            let (unfilled, reason) = (5 - there as u32, EndReason::Expired);
            assert_eq!(
                ended,
                PullEvent::Ended {
                    pull,
                    unfilled,
                    reason
                }
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn lanes_of_one_queue_are_apart_and_all_are_listed() -> anyhow::Result<()> {
    let (_server, broker) = ready().await?;
    let register = broker.claim_term(Term(1), Session::random()).await?;
    let lane = |n: usize| {
        let handler = HandlerName::new(format!("h-{n}"))?;
        anyhow::Ok(Lane::new(default_lane().queue, handler))
    };
    // More than one answer of the broker holds.
    for n in 0..260 {
        consumers::ensure_lane(&broker, &lane(n)?, AckDeadline::AsIs).await?;
    }
    let message = |n: usize| {
        let subject = broker.subjects().shard(&lane(n)?, &run());
        let payload = format!("tile {n}").into();
        anyhow::Ok(Outgoing {
            subject: subject.into(),
            payload,
        })
    };
    let messages = [message(7)?, message(259)?, message(7)?];
    broker.publish_batch(&messages, register).await;
    let consumer = ConsumerName::new(&lane(7)?, 1);
    let mut puller = Puller::new(&broker, &broker.subjects().shards(), &consumer);
    puller.pull(1, Patience::UpTo(SOON)).await?;
    assert_eq!(delivery(&mut puller).await?.payload, "tile 7");
    let lanes = broker.lanes().await?;
    assert_eq!(lanes.len(), 260);
    for n in 0..260 {
        let standing = lanes[&lane(n)?].standing;
        let wanted = match n {
            7 => (1, 1),
            259 => (1, 0),
            _ => (0, 0),
        };
        assert_eq!((standing.pending, standing.in_flight), wanted, "{n}");
    }
    let subjects = broker.subjects();
    let of_run = subjects.shards_of_run(&default_lane().queue, &run());
    assert_eq!(broker.purge(&subjects.shards(), &of_run, 0).await?, 3);
    Ok(())
}

#[tokio::test]
async fn pulls_end_with_their_connection_and_deliveries_name_theirs() -> anyhow::Result<()> {
    let (mut server, broker) = ready().await?;
    let consumer = consumers::ensure_lane(&broker, &default_lane(), AckDeadline::AsIs).await?;
    let mut puller = Puller::new(&broker, &broker.subjects().shards(), &consumer.name);
    let before = broker.connection();
    let pull = puller.pull(5, Patience::UpTo(SOON)).await?;
    server.kill().await?;
    server.restart().await?;
    let ended = tokio::time::timeout(SOON, puller.next()).await?;
    assert_eq!(
        ended,
        PullEvent::Ended {
            pull,
            unfilled: 5,
            reason: EndReason::Disconnected
        }
    );
    let after = broker.connection();
    assert!(after.epoch > before.epoch && after.server_id != before.server_id);
    let register = broker.claim_term(Term(1), Session::random()).await?;
    broker.publish_batch(&tiles(&broker, 1), register).await;
    puller.pull(1, Patience::UpTo(SOON)).await?;
    let delivery = delivery(&mut puller).await?;
    assert_eq!(delivery.epoch, after.epoch);
    assert!(!broker.nak(&delivery.reply, before.epoch).await?);
    Ok(())
}

#[tokio::test]
async fn silent_pull_is_given_up_also_by_who_asks_anew_each_time() -> anyhow::Result<()> {
    let (server, broker) = ready().await?;
    let (shards, ghost) = (
        broker.subjects().shards(),
        ConsumerName::new(&default_lane(), 99),
    );
    let raw = server.client().await?;
    let _deaf = raw
        .subscribe(format!("$JS.API.CONSUMER.MSG.NEXT.{shards}.{ghost}"))
        .await?;
    // An answer comes after the subscription was made; a flush returns once it is written.
    raw.request("$JS.API.INFO", "".into()).await?;
    let mut puller = Puller::new(&broker, &shards, &ghost);
    let pull = puller
        .pull(3, Patience::UpTo(Duration::from_millis(100)))
        .await?;
    let ended = eventually_some(SOON, "the pull is given up", async || {
        let next = tokio::time::timeout(Duration::from_millis(1), puller.next());
        Ok(next.await.ok())
    });
    let silent = PullEvent::Ended {
        pull,
        unfilled: 3,
        reason: EndReason::Silent,
    };
    assert_eq!(ended.await?, silent);
    Ok(())
}

#[tokio::test]
async fn pull_says_that_its_consumer_was_deleted() -> anyhow::Result<()> {
    let (server, broker) = ready().await?;
    let consumer = consumers::ensure_lane(&broker, &default_lane(), AckDeadline::AsIs).await?;
    let mut puller = Puller::new(&broker, &broker.subjects().shards(), &consumer.name);
    let pull = puller.pull(5, Patience::UpTo(SOON)).await?;
    broker.info(&broker.subjects().shards()).await?;
    let raw = async_nats::jetstream::new(server.client().await?);
    raw.delete_consumer_from_stream(consumer.name.as_str(), broker.subjects().shards().as_str())
        .await?;
    let ended = tokio::time::timeout(SOON, puller.next()).await?;
    assert_eq!(
        ended,
        PullEvent::Ended {
            pull,
            unfilled: 5,
            reason: EndReason::ConsumerGone
        }
    );
    Ok(())
}

#[tokio::test]
async fn floor_is_made_once_for_each_start_of_the_broker() -> anyhow::Result<()> {
    let (mut server, broker) = ready().await?;
    let consumer = consumers::ensure_lane(&broker, &default_lane(), AckDeadline::AsIs)
        .await?
        .name;
    let register = broker.claim_term(Term(1), Session::random()).await?;
    let other = connect(&server).await?;
    let (floor, same) = tokio::join!(broker.floor(&consumer), other.floor(&consumer));
    let (floor, same) = (floor?, same?);
    assert_eq!((floor.seq, &floor.server_id), (same.seq, &same.server_id));
    assert_eq!(floor.seq, register.seq);

    broker.publish_batch(&tiles(&broker, 10), register).await;
    assert_eq!(other.floor(&consumer).await?.seq, floor.seq);
    assert!(floor.is_below(floor.seq + 1) && !floor.is_below(floor.seq));
    server.kill().await?;
    server.restart().await?;
    eventually(SOON, "the client is back", async || {
        Ok(broker.connection_epoch() > floor.epoch)
    })
    .await?;
    let next = broker.floor(&consumer).await?;
    assert_eq!(next.seq, floor.seq + 10);
    assert_ne!(next.server_id, floor.server_id);
    Ok(())
}

/// A queue on file may be older than its consumers after a power failure: what was acknowledged is there again, and nobody
/// gets it any more.
#[tokio::test]
async fn tile_that_comes_back_below_what_was_acknowledged_is_removed_and_no_other()
-> anyhow::Result<()> {
    let (mut server, broker) = ready().await?;
    let register = broker.claim_term(Term(1), Session::random()).await?;
    let consumer = consumers::ensure_lane(&broker, &default_lane(), AckDeadline::AsIs).await?;
    broker.publish_batch(&tiles(&broker, 3), register).await;
    let shards = broker.subjects().shards();
    let store = server.store().join("jetstream/$G/streams");
    let messages = store.join(shards.as_str()).join("msgs");
    let older = server.store().join("older");
    server.kill().await?;
    copy(&messages, &older)?;
    server.restart().await?;
    let holds = async |tiles: u64| {
        eventually(SOON, "the queue holds so many", async || {
            Ok(stored_tiles(&broker)
                .await
                .is_ok_and(|there| there == tiles))
        })
        .await
    };
    holds(3).await?;
    let mut puller = Puller::new(&broker, &shards, &consumer.name);
    let acknowledge = async |puller: &mut Puller, count: u32| {
        puller.pull(count, Patience::UpTo(SOON)).await?;
        for _ in 0..count {
            let delivery = delivery(puller).await?;
            broker.ack_sync(&delivery.reply, SOON).await?;
        }
        anyhow::Ok(())
    };
    acknowledge(&mut puller, 2).await?;
    holds(1).await?;
    assert_eq!(broker.remove_acknowledged().await?, 0);
    // In order first: so the consumer's state is written.
    server.restart().await?;
    server.kill().await?;
    std::fs::remove_dir_all(&messages)?;
    copy(&older, &messages)?;
    server.restart().await?;
    holds(3).await?;
    assert_eq!(broker.remove_acknowledged().await?, 2);
    holds(1).await?;
    let mut puller = Puller::new(&broker, &shards, &consumer.name);
    acknowledge(&mut puller, 1).await?;
    holds(0).await?;
    Ok(())
}
