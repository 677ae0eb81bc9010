//! What is said about a delivery: done, handed back, still at it.

use std::time::Duration;

use async_nats::Subject;
use bytes::Bytes;

use super::connect::Broker;
use super::plain::{PublishError, RequestError};
use super::subjects::{ConsumerName, StreamName};

/// Acknowledgements. The broker matches them by stream sequence only: whoever holds the tile now is
/// concerned, so the caller has to know that it is the one.
impl Broker {
    /// The message is done and leaves the queue. Not answered; lost, it is delivered again.
    pub async fn ack(&self, reply: &Subject) -> Result<(), PublishError> {
        self.publish(reply.clone(), Bytes::from_static(b"+ACK"))
            .await
    }

    /// As [`Broker::ack`], answered. The answer proves only that the broker was reached.
    pub async fn ack_sync(&self, reply: &Subject, timeout: Duration) -> Result<(), RequestError> {
        self.request(reply.clone(), Bytes::from_static(b"+ACK"), timeout)
            .await
            .map(|_| ())
    }

    /// Hands a message back at once. Only on the connection that pulled it: `false` on another, and
    /// nothing was sent.
    pub async fn nak(&self, reply: &Subject, epoch: u64) -> Result<bool, PublishError> {
        self.hand_back(reply, epoch, Bytes::from_static(b"-NAK"))
            .await
    }

    /// As [`Broker::nak`], to be delivered again only after `pause`.
    pub async fn nak_for(
        &self,
        reply: &Subject,
        epoch: u64,
        pause: Duration,
    ) -> Result<bool, PublishError> {
        let said = format!("-NAK {{\"delay\": {}}}", pause.as_nanos());
        self.hand_back(reply, epoch, said.into()).await
    }

    async fn hand_back(
        &self,
        reply: &Subject,
        epoch: u64,
        said: Bytes,
    ) -> Result<bool, PublishError> {
        if self.connection_epoch() != epoch || !self.is_connected() {
            return Ok(false);
        }
        self.publish(reply.clone(), said).await.map(|()| true)
    }

    /// Asks for another ack deadline's time, and waits for the answer, which proves only that the
    /// broker was reached.
    pub async fn in_progress(
        &self,
        reply: &Subject,
        timeout: Duration,
    ) -> Result<(), RequestError> {
        self.request(reply.clone(), Bytes::from_static(b"+WPI"), timeout)
            .await
            .map(|_| ())
    }

    /// As [`Broker::in_progress`], for many messages: sent, and answered on `reply` if it is given.
    pub async fn still_at_it(
        &self,
        delivery: &Subject,
        reply: Option<Subject>,
    ) -> Result<(), PublishError> {
        let delivery = delivery.clone();
        let said = Bytes::from_static(b"+WPI");
        match reply {
            Some(reply) => self.publish_with_reply(delivery, reply, said).await,
            None => self.publish(delivery, said).await,
        }
    }

    /// The message is of no use and leaves the queue. Not answered.
    pub async fn terminate(&self, reply: &Subject) -> Result<(), PublishError> {
        self.publish(reply.clone(), Bytes::from_static(b"+TERM"))
            .await
    }

    /// Hands a message back for a worker that is dead. It comes to another at once, with a higher
    /// delivery count; one that is acknowledged, or waits to be delivered again, stays as it is.
    /// `consumer_seq` is that of the last delivery of `consumer`.
    pub async fn nak_on_behalf(
        &self,
        stream: &StreamName,
        consumer: &ConsumerName,
        stream_seq: u64,
        consumer_seq: u64,
    ) -> Result<(), PublishError> {
        let subject =
            self.subjects()
                .delivery_of_another(stream, consumer, stream_seq, consumer_seq);
        self.publish(subject, Bytes::from_static(b"-NAK")).await
    }
}
