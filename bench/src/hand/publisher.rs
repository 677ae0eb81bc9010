//! The publishing half: messages go out as fast as they can, at most [`WINDOW`] without an answer.

use std::collections::VecDeque;

use async_nats::jetstream;

use super::{PUBLISH, WORK_SUBJECT, answer, next_order, orders, payload};

/// Messages on their way at once.
const WINDOW: usize = 2_048;

/// Publishes what is ordered, until the broker is gone.
pub(crate) async fn serve(url: &str) -> anyhow::Result<()> {
    let client = async_nats::connect(url).await?;
    let context = jetstream::new(client.clone());
    let payload = payload()?;
    let mut orders = orders(&client, PUBLISH).await?;
    while let Some((count, order)) = next_order(&mut orders).await? {
        let mut under_way = VecDeque::with_capacity(WINDOW);
        for _ in 0..count {
            if under_way.len() == WINDOW
                && let Some(oldest) = under_way.pop_front()
            {
                confirmed(oldest).await?;
            }
            under_way.push_back(context.publish(WORK_SUBJECT, payload.clone()).await?);
        }
        for oldest in under_way {
            confirmed(oldest).await?;
        }
        answer(&client, order).await?;
    }
    Ok(())
}

async fn confirmed(publish: jetstream::context::PublishAckFuture) -> anyhow::Result<()> {
    publish.await?;
    Ok(())
}
