//! Rings for the other workers of a lane, and hears when somebody rings, and what the leader counts
//! (docs/decisions/0021-a-few-bells-a-lane.md). What is lost makes a tile wait for a moment, and no more.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::stream::SelectAll;
use futures_util::{FutureExt, StreamExt};
use gridloom_shared::broker::{Broker, Message, PublishError, Subscription};
use gridloom_shared::id::{HandlerName, QueueName};

use super::Engine;
use crate::worker::Settings;

/// The bells of all queues; of none where there is a single lane, on which all slots wait.
pub(super) struct Rings(SelectAll<Subscription>);

impl Rings {
    pub(super) async fn new(broker: &Broker, settings: &Settings) -> Result<Rings, PublishError> {
        let mut rings = SelectAll::new();
        if settings.lanes().len() > 1 {
            for queue in &settings.queues {
                let bells = broker.subjects().bells_of_queue(queue);
                rings.push(broker.subscribe(bells).await?);
            }
        }
        Ok(Rings(rings))
    }

    pub(super) async fn next(&mut self) -> Option<Message> {
        self.0.next().await
    }
}

impl Engine {
    /// Somebody has more tiles of a lane before it than its slots take.
    pub(super) fn hear_bell(&mut self, message: &Message) {
        if let Some(lane) = self.broker.subjects().parse_bell(&message.subject) {
            self.lanes.hear_bell(&lane, self.now);
        }
    }

    /// The leader counted who has a slot free.
    pub(super) fn count_free(&mut self, queue: &QueueName, free: &BTreeMap<HandlerName, u32>) {
        self.lanes.count(queue, free, self.now);
    }

    /// A tile of a lane came, and `waiting` more are there.
    pub(super) fn ring_for(&mut self, lane: usize, waiting: u64) {
        if self.lanes.len() > 1 && self.lanes.get_mut(lane).rings(waiting, self.now) {
            let bell = self.broker.subjects().bell(self.lanes.get(lane).lane());
            let _ = self.broker.publish(bell, Bytes::new()).now_or_never();
        }
    }
}
