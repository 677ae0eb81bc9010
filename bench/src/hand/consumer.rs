//! The consuming half: pull, one record for every [`GROUP`] messages, acknowledge those.

use async_nats::jetstream::{self, consumer::PullConsumer};
use bytes::Bytes;
use futures_util::StreamExt;

use super::{CONSUME, CONSUMER, RECORDS_SUBJECT, WORK, answer, next_order, orders};

/// Messages that share a record.
const GROUP: usize = 500;
/// Size of a record: eight bytes a message, as the engine's are.
const RECORD_BYTES: usize = GROUP * 8;
/// Messages that the client asks for at once.
const BATCH: usize = 2_000;

/// Consumes what is ordered, until the broker is gone.
pub(crate) async fn serve(url: &str) -> anyhow::Result<()> {
    let client = async_nats::connect(url).await?;
    let context = jetstream::new(client.clone());
    let consumer: PullConsumer = context
        .get_stream(WORK)
        .await?
        .get_consumer(CONSUMER)
        .await
        .map_err(anyhow::Error::from_boxed)?;
    let record = Bytes::from(vec![7; RECORD_BYTES]);
    let mut messages = consumer
        .stream()
        .max_messages_per_batch(BATCH)
        .messages()
        .await?;
    let mut orders = orders(&client, CONSUME).await?;
    while let Some((count, order)) = next_order(&mut orders).await? {
        let mut left = count;
        while left > 0 {
            let group_size = left.min(GROUP as u64);
            let mut group = Vec::with_capacity(GROUP);
            for _ in 0..group_size {
                let Some(message) = messages.next().await else {
                    return Ok(());
                };
                group.push(message?);
            }
            context
                .publish(RECORDS_SUBJECT, record.clone())
                .await?
                .await?;
            for message in &group {
                message.ack().await.map_err(anyhow::Error::from_boxed)?;
            }
            left -= group_size;
        }
        client.flush().await?;
        answer(&client, order).await?;
    }
    Ok(())
}
