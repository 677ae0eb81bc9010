//! The loop written by hand: what somebody would write with the client alone, for speed and without
//! any guarantee. A publisher and a consumer, each a process of its own, as planner and worker are.
//!
//! A message is published to a work queue, many under way at once; pulled; after five hundred one
//! record is appended to a stream that keeps it, and after that was confirmed the five hundred are
//! acknowledged. A crash in between does work twice, a lost answer loses it.

use std::time::{Duration, Instant};

use anyhow::Context;
use async_nats::jetstream::{self, consumer::pull, stream};
use async_nats::{Client, Message, Subscriber};
use futures_util::StreamExt;
use gridloom_shared::id::{Fence, Nonce, RunId};
use gridloom_shared::tile::{Tile, TileKind};
use gridloom_shared::wire;

use crate::args::Kept;

pub(crate) mod consumer;
pub(crate) mod publisher;

const WORK: &str = "hand-work";
const WORK_SUBJECT: &str = "hand.work";
const RECORDS: &str = "hand-records";
const RECORDS_SUBJECT: &str = "hand.records";
const CONSUMER: &str = "hand";
/// Where the two processes get their orders: a number of messages, answered when all are done.
const PUBLISH: &str = "hand.order.publish";
const CONSUME: &str = "hand.order.consume";
/// The longest that one measurement may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// The loop, seen by the measuring process.
#[derive(Debug)]
pub(crate) struct Hand {
    client: Client,
    context: jetstream::Context,
}

impl Hand {
    /// Makes the streams and the consumer. The work queue is kept where the engine's is, the records on file as its ledger.
    pub(crate) async fn new(url: &str, storage: Kept) -> anyhow::Result<Hand> {
        let client = async_nats::connect(url).await?;
        let context = jetstream::new(client.clone());
        let work = stream::Config {
            name: WORK.into(),
            subjects: vec![WORK_SUBJECT.into()],
            retention: stream::RetentionPolicy::WorkQueue,
            storage: match storage {
                Kept::File => stream::StorageType::File,
                Kept::Memory => stream::StorageType::Memory,
            },
            ..stream::Config::default()
        };
        let records = stream::Config {
            name: RECORDS.into(),
            subjects: vec![RECORDS_SUBJECT.into()],
            ..stream::Config::default()
        };
        let work = context.create_stream(work).await?;
        context.create_stream(records).await?;
        let consumer = pull::Config {
            durable_name: Some(CONSUMER.into()),
            max_ack_pending: 20_000,
            ..pull::Config::default()
        };
        work.create_consumer(consumer).await?;
        Ok(Hand { client, context })
    }

    /// Waits until both processes take orders.
    pub(crate) async fn ready(&self) -> anyhow::Result<()> {
        let asked = async {
            while self.client.request(PUBLISH, "0".into()).await.is_err()
                || self.client.request(CONSUME, "0".into()).await.is_err()
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), asked)
            .await
            .context("hear of the hand-written loop's processes")
    }

    /// Sends `messages` through. Returns the time until the last was acknowledged.
    pub(crate) async fn measure(&self, messages: u64) -> anyhow::Result<Duration> {
        self.context.get_stream(RECORDS).await?.purge().await?;
        let order = || {
            async_nats::Request::new()
                .payload(messages.to_string().into())
                .timeout(Some(PATIENCE))
        };
        let begun = Instant::now();
        let published = self.client.send_request(PUBLISH, order());
        let consumed = self.client.send_request(CONSUME, order());
        let (published, consumed) = tokio::join!(published, consumed);
        published.context("wait for the publisher")?;
        consumed.context("wait for the consumer")?;
        Ok(begun.elapsed())
    }
}

/// What each message carries: as much as a tile of the engine does.
fn payload() -> anyhow::Result<bytes::Bytes> {
    Ok(wire::encode(&Tile {
        kind: TileKind::Page,
        run: RunId::new("bench-1_r_0123456789abcdef01234567")?,
        nonce: Nonce(0x0123_4567_89ab_cdef),
        wave: 100,
        index: 500,
        slice: 10,
        first: 5_000,
        pages: 1,
        attempt: 1,
        fence: Fence(100_000),
        folded: 99_990,
        opened: 90_000,
        again: false,
        bounds: Vec::new(),
        after: None,
        frozen: None,
    }))
}

/// Orders that come in on `subject`.
async fn orders(client: &Client, subject: &'static str) -> anyhow::Result<Subscriber> {
    Ok(client.subscribe(subject).await?)
}

/// The next order: how many messages, and where to answer. `None` when the broker is gone.
async fn next_order(orders: &mut Subscriber) -> anyhow::Result<Option<(u64, Message)>> {
    let Some(message) = orders.next().await else {
        return Ok(None);
    };
    let count = std::str::from_utf8(&message.payload)?
        .parse()
        .context("read an order")?;
    Ok(Some((count, message)))
}

async fn answer(client: &Client, order: Message) -> anyhow::Result<()> {
    let reply = order.reply.context("find where to answer")?;
    client.publish(reply, "done".into()).await?;
    client.flush().await?;
    Ok(())
}
