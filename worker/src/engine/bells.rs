//! Rings for the other workers of a lane, and hears when somebody rings, and what the leader counts
//! (docs/decisions/0021-a-few-bells-a-lane.md). What is lost makes a tile wait for a moment, and no more.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::stream::SelectAll;
use futures_util::{FutureExt, StreamExt};
use gridloom_shared::broker::{Broker, Message, PublishError, Subscription};
use gridloom_shared::id::{HandlerName, QueueName};

use super::Engine;
use crate::bells::Ring;
use crate::settings::Settings;

/// What a ring for some says; one for all says nothing.
const SOME: Bytes = Bytes::from_static(b"some");

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
    /// Somebody sees tiles wait on a lane, or is full and waits there no longer.
    pub(super) fn hear_bell(&mut self, message: &Message) {
        if let Some(lane) = self.broker.subjects().parse_bell(&message.subject) {
            let ring = if message.payload == SOME {
                Ring::Some
            } else {
                Ring::All
            };
            self.lanes.hear_bell(&lane, ring, self.now);
        }
    }

    /// The leader counted who has a slot free.
    pub(super) fn count_free(&mut self, queue: &QueueName, free: &BTreeMap<HandlerName, u32>) {
        self.lanes.count(queue, free, self.now);
    }

    /// A tile of a lane came, by a bell or not, and `waiting` more are there.
    pub(super) fn ring_for(&mut self, lane: usize, by_bell: bool, waiting: u64) {
        if self.lanes.len() == 1 {
            return;
        }
        let is_last = self.tiles.occupied() + 1 >= self.settings.concurrency;
        let feed = self.lanes.get_mut(lane);
        if let Some(ring) = feed.rings(by_bell, is_last, waiting, self.now) {
            let bell = self.broker.subjects().bell(feed.lane());
            let said = match ring {
                Ring::All => Bytes::new(),
                Ring::Some => SOME,
            };
            let _ = self.broker.publish(bell, said).now_or_never();
        }
    }
}
