//! Tiles are pulled one by one, exactly as many as were asked for, and each delivery knows its pull:
//! a lease begins when its pull was sent (docs/PROTOCOL.md §3).
//!
//! A delivery does not say which pull it answers: it carries the subject of its tile. So each pull
//! under way has a **lane**, a subscription of its own, which serves the next pull once all that can
//! come for the last one has come. A pull ends with the delivery whose `unfilled` is 0, or with
//! [`PullEvent::Ended`]. On a new connection all lanes are given up: what they still hold was
//! delivered to the connection before, and must not be started.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_nats::{Message, Subject};
use bytes::Bytes;
use futures_util::Stream as _;
use tokio::sync::watch;
use tokio::time::Instant;

use super::connect::Broker;
use super::plain::{PublishError, Subscription};
use super::reply::Place;
use super::subjects::{self, ConsumerName, StreamName};
use crate::clock::UnixMs;

/// So much later than its end a pull without an end is given up.
const SLACK: Duration = Duration::from_secs(2);
/// How often to look for pulls that are overdue and for a new connection without a hint.
const LOOK: Duration = Duration::from_millis(250);

/// A pull of this puller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PullId(pub u64);

/// What comes of pulls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullEvent {
    /// A message.
    Delivery(Delivery),
    /// A pull ended before it was filled.
    Ended {
        /// Which.
        pull: PullId,
        /// How many messages it might still have brought.
        unfilled: u32,
        /// Why.
        reason: EndReason,
    },
}

/// One message, leased to this client since its pull was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The pull that it answers.
    pub pull: PullId,
    /// How many more that pull may bring; 0 means that it has ended.
    pub unfilled: u32,
    /// The connection that pulled it ([`Broker::connection_epoch`]).
    pub epoch: u64,
    /// Where it was published.
    pub subject: Subject,
    /// What it carries.
    pub payload: Bytes,
    /// The headers it was published with.
    pub headers: Option<Headers>,
    /// Where to acknowledge it.
    pub reply: Subject,
    /// Its sequence in the stream.
    pub stream_seq: u64,
    /// The delivery's sequence in the consumer.
    pub consumer_seq: u64,
    /// How many times it was delivered, this time included; proves nothing alone.
    pub delivered: u64,
    /// How many messages the consumer has not delivered yet.
    pub pending: u64,
    /// When it was stored, by the broker's clock.
    pub stored_at: UnixMs,
}

/// Headers of a message.
pub type Headers = async_nats::HeaderMap;

/// Why a pull ended before it was filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Its time is over.
    Expired,
    /// The consumer is not there, or was deleted: ask for the current one.
    ConsumerGone,
    /// The connection was replaced by another.
    Disconnected,
    /// The consumer moves to another server, or an election or restart is under way: pull again.
    Unavailable,
    /// Its time is long over and nothing was heard: pull again.
    Silent,
    /// Refused for another reason.
    Refused {
        /// As of HTTP.
        code: u16,
        /// For people.
        text: String,
    },
}

/// Why a pull was not sent.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// There is no connection now.
    #[error("pull from {consumer}: not connected")]
    Disconnected {
        /// The consumer.
        consumer: String,
    },
    /// The client refused it.
    #[error(transparent)]
    Unsendable(#[from] PublishError),
}

#[derive(Debug)]
struct Outstanding {
    pull: PullId,
    unfilled: u32,
    overdue: Instant,
}

#[derive(Debug)]
struct Lane {
    /// `None` once something may still come that belongs to no pull.
    messages: Option<Subscription>,
    pulling: Option<Outstanding>,
}

impl Lane {
    fn is_idle(&self) -> bool {
        self.messages.is_some() && self.pulling.is_none()
    }
}

/// Pulls from one consumer. Not for several tasks: one calls, one loop reads.
#[derive(Debug)]
pub struct Puller {
    broker: Broker,
    consumer: ConsumerName,
    ask: Subject,
    epoch: u64,
    inbox: String,
    lanes: Vec<Lane>,
    /// The lane that had something last: it is looked at first.
    turn: usize,
    last_pull: u64,
    ended: VecDeque<PullEvent>,
    changes: watch::Receiver<u64>,
    /// When to look for pulls that are overdue. Kept here: [`Puller::next`] may be dropped at any time.
    look_again: Instant,
}

impl Puller {
    /// Pulls from `consumer` of `stream`.
    pub fn new(broker: &Broker, stream: &StreamName, consumer: &ConsumerName) -> Puller {
        Puller {
            broker: broker.clone(),
            consumer: consumer.clone(),
            ask: subjects::api::next_message(stream, consumer).into(),
            epoch: broker.connection_epoch(),
            inbox: broker.new_inbox(),
            lanes: Vec::new(),
            turn: 0,
            last_pull: 0,
            ended: VecDeque::new(),
            changes: broker.changes(),
            look_again: Instant::now() + LOOK,
        }
    }

    /// The consumer that is pulled from.
    pub fn consumer(&self) -> &ConsumerName {
        &self.consumer
    }

    /// Asks for `batch` messages, as they come, for at most `expires`. Take the time for the lease
    /// **before** calling this. Dropped before it ends, it has not asked.
    pub async fn pull(&mut self, batch: u32, expires: Duration) -> Result<PullId, PullError> {
        self.look_at_connection();
        if !self.broker.is_connected() {
            return Err(PullError::Disconnected {
                consumer: self.consumer.to_string(),
            });
        }
        let lane = match self.lanes.iter().position(Lane::is_idle) {
            Some(lane) => lane,
            None => self.open_lane().await?,
        };
        let question = format!(r#"{{"batch":{batch},"expires":{}}}"#, expires.as_nanos());
        let reply = format!("{}.{lane}", self.inbox);
        self.broker
            .publish_with_reply(self.ask.clone(), reply, question.into())
            .await?;
        // Only now: whoever gave up waiting for the client has not pulled.
        self.last_pull += 1;
        let pull = PullId(self.last_pull);
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.pulling = Some(Outstanding {
                pull,
                unfilled: batch,
                overdue: Instant::now() + expires + SLACK,
            });
        }
        Ok(pull)
    }

    /// What comes next. May be dropped and called again without loss.
    pub async fn next(&mut self) -> PullEvent {
        loop {
            self.look_at_connection();
            if Instant::now() >= self.look_again {
                self.give_up_overdue();
            }
            if let Some(ended) = self.ended.pop_front() {
                return ended;
            }
            tokio::select! {
                biased;
                (lane, message) = next_of(&mut self.lanes, &mut self.turn) => {
                    if let Some(event) = self.take(lane, message) {
                        return event;
                    }
                }
                () = changed_or_time(&mut self.changes, self.look_again) => {}
            }
        }
    }

    /// Pulls no more, and returns what was delivered and not yet read, to be handed back.
    pub async fn stop(mut self) -> Vec<Delivery> {
        let mut unread = Vec::new();
        for lane in 0..self.lanes.len() {
            let Some(mut messages) = self.lanes[lane].messages.take() else {
                continue;
            };
            if messages.0.drain().await.is_err() {
                continue;
            }
            while let Ok(Some(message)) = tokio::time::timeout(SLACK, messages.next()).await {
                if let Some(PullEvent::Delivery(delivery)) = self.take(lane, message) {
                    unread.push(delivery);
                }
            }
        }
        unread
    }

    async fn open_lane(&mut self) -> Result<usize, PublishError> {
        let number = self.lanes.len();
        let messages = self
            .broker
            .subscribe(format!("{}.{number}", self.inbox))
            .await?;
        self.lanes.push(Lane {
            messages: Some(messages),
            pulling: None,
        });
        Ok(number)
    }

    fn look_at_connection(&mut self) {
        let epoch = self.broker.connection_epoch();
        if epoch == self.epoch {
            return;
        }
        self.epoch = epoch;
        self.inbox = self.broker.new_inbox();
        for lane in std::mem::take(&mut self.lanes) {
            self.ended
                .extend(lane.pulling.map(|outstanding| PullEvent::Ended {
                    pull: outstanding.pull,
                    unfilled: outstanding.unfilled,
                    reason: EndReason::Disconnected,
                }));
        }
    }

    fn give_up_overdue(&mut self) {
        let now = Instant::now();
        self.look_again = now + LOOK;
        for lane in 0..self.lanes.len() {
            let pulling = self.lanes[lane].pulling.as_ref();
            if pulling.is_some_and(|outstanding| outstanding.overdue <= now)
                && let Some(ended) = self.end(lane, EndReason::Silent)
            {
                self.ended.push_back(ended);
            }
        }
    }

    fn take(&mut self, lane: usize, message: Message) -> Option<PullEvent> {
        if let Some(status) = message.status {
            return match reason(
                status.as_u16(),
                message.description.as_deref().unwrap_or_default(),
            ) {
                Some(reason) => self.end(lane, reason),
                None => None,
            };
        }
        let pulling = &mut self.lanes.get_mut(lane)?.pulling;
        let Some(outstanding) = pulling else {
            tracing::warn!(consumer = %self.consumer, subject = %message.subject, "a message that no pull asked for");
            return None;
        };
        let reply = message.reply?;
        let place = Place::parse(&reply)?;
        outstanding.unfilled = outstanding.unfilled.saturating_sub(1);
        let (pull, unfilled) = (outstanding.pull, outstanding.unfilled);
        if unfilled == 0 {
            *pulling = None;
        }
        Some(PullEvent::Delivery(Delivery {
            pull,
            unfilled,
            epoch: self.epoch,
            subject: message.subject,
            payload: message.payload,
            headers: message.headers,
            reply,
            stream_seq: place.stream_seq,
            consumer_seq: place.consumer_seq,
            delivered: place.delivered,
            pending: place.pending,
            stored_at: UnixMs(place.stored_ns / 1_000_000),
        }))
    }

    fn end(&mut self, lane: usize, reason: EndReason) -> Option<PullEvent> {
        let lane = self.lanes.get_mut(lane)?;
        let Outstanding { pull, unfilled, .. } = lane.pulling.take()?;
        // Only after the broker's own "expired" surely nothing comes any more.
        if reason != EndReason::Expired {
            lane.messages = None;
        }
        Some(PullEvent::Ended {
            pull,
            unfilled,
            reason,
        })
    }
}

/// The next message of any lane. One that has something is heard out first: a pull ends soon.
async fn next_of(lanes: &mut [Lane], turn: &mut usize) -> (usize, Message) {
    poll_fn(|context| {
        for step in 0..lanes.len() {
            let lane = (*turn + step) % lanes.len();
            if let Poll::Ready(Some(message)) = poll(&mut lanes[lane], context) {
                *turn = lane;
                return Poll::Ready((lane, message));
            }
        }
        Poll::Pending
    })
    .await
}

fn poll(lane: &mut Lane, context: &mut Context<'_>) -> Poll<Option<Message>> {
    match &mut lane.messages {
        Some(messages) => Pin::new(messages).poll_next(context),
        None => Poll::Pending,
    }
}

/// What a status message means; `None` for one that ends nothing.
fn reason(code: u16, text: &str) -> Option<EndReason> {
    match code {
        100 => None,
        404 | 408 => Some(EndReason::Expired),
        503 => Some(EndReason::Unavailable),
        409 if text.starts_with("Consumer Deleted") => Some(EndReason::ConsumerGone),
        409 if text.starts_with("Leadership Change") || text.starts_with("Server Shutdown") => {
            Some(EndReason::Unavailable)
        }
        _ => Some(EndReason::Refused {
            code,
            text: text.to_owned(),
        }),
    }
}

async fn changed_or_time(changes: &mut watch::Receiver<u64>, moment: Instant) {
    let looked = tokio::time::timeout_at(moment, async {
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    });
    let _ = looked.await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broker_says_why_a_pull_ended() {
        assert_eq!(reason(408, "Request Timeout"), Some(EndReason::Expired));
        assert_eq!(
            reason(409, "Consumer Deleted"),
            Some(EndReason::ConsumerGone)
        );
        assert_eq!(
            reason(409, "Leadership Change"),
            Some(EndReason::Unavailable)
        );
        assert_eq!(reason(100, "Idle Heartbeat"), None);
        assert!(matches!(
            reason(409, "Exceeded MaxWaiting"),
            Some(EndReason::Refused { code: 409, .. })
        ));
    }
}
