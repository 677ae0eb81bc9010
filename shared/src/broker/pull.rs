//! Tiles are pulled one by one, exactly as many as were asked for, and each delivery knows its pull:
//! a lease begins when its pull was sent (docs/PROTOCOL.md §3).
//!
//! A delivery does not say which pull it answers: it carries the subject of its tile. So each pull
//! under way has a **line**, a subscription of its own, which serves the next pull once all that can
//! come for the last one has come. A pull ends with the delivery whose `unfilled` is 0, or with
//! [`PullEvent::Ended`]. On a new connection all lines are given up: what they still hold was
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

/// How long a pull waits for messages that are not there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// So long at most.
    UpTo(Duration),
    /// Not at all: it brings what is there, and ends.
    None,
}

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
    /// Its time is over; or nothing more is there, for one that does not wait.
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
struct Line {
    /// `None` once something may still come that belongs to no pull.
    messages: Option<Subscription>,
    pulling: Option<Outstanding>,
}

impl Line {
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
    lines: Vec<Line>,
    /// The line that had something last: it is looked at first.
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
            lines: Vec::new(),
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

    /// Asks for `batch` messages. Take the time for the lease **before** calling this. Dropped before it
    /// ends, it has not asked.
    pub async fn pull(&mut self, batch: u32, patience: Patience) -> Result<PullId, PullError> {
        self.look_at_connection();
        if !self.broker.is_connected() {
            return Err(PullError::Disconnected {
                consumer: self.consumer.to_string(),
            });
        }
        let line = match self.lines.iter().position(Line::is_idle) {
            Some(line) => line,
            None => self.open_line().await?,
        };
        let (question, longest) = match patience {
            Patience::UpTo(time) => {
                let expires = time.as_nanos();
                (format!(r#"{{"batch":{batch},"expires":{expires}}}"#), time)
            }
            Patience::None => (
                format!(r#"{{"batch":{batch},"no_wait":true}}"#),
                Duration::ZERO,
            ),
        };
        let reply = format!("{}.{line}", self.inbox);
        self.broker
            .publish_with_reply(self.ask.clone(), reply, question.into())
            .await?;
        // Only now: whoever gave up waiting for the client has not pulled.
        self.last_pull += 1;
        let pull = PullId(self.last_pull);
        if let Some(line) = self.lines.get_mut(line) {
            line.pulling = Some(Outstanding {
                pull,
                unfilled: batch,
                overdue: Instant::now() + longest + SLACK,
            });
        }
        Ok(pull)
    }

    /// What comes next. May be dropped and called again without loss.
    pub async fn next(&mut self) -> PullEvent {
        loop {
            self.changes.mark_unchanged();
            let mut changes = self.changes.clone();
            let look_again = self.look_again;
            tokio::select! {
                biased;
                event = poll_fn(|context| self.poll(context)) => return event,
                () = changed_or_time(&mut changes, look_again) => {}
            }
        }
    }

    /// What comes next, for whoever looks at least every few moments: neither a pull that is overdue nor a new
    /// connection wakes it.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<PullEvent> {
        self.look_at_connection();
        if Instant::now() >= self.look_again {
            self.give_up_overdue();
        }
        loop {
            if let Some(ended) = self.ended.pop_front() {
                return Poll::Ready(ended);
            }
            let Some((line, message)) = next_of(&mut self.lines, &mut self.turn, context) else {
                return Poll::Pending;
            };
            if let Some(event) = self.take(line, message) {
                return Poll::Ready(event);
            }
        }
    }

    /// Pulls no more, and returns what was delivered and not yet read, to be handed back.
    pub async fn stop(mut self) -> Vec<Delivery> {
        let mut unread = Vec::new();
        for line in 0..self.lines.len() {
            let Some(mut messages) = self.lines[line].messages.take() else {
                continue;
            };
            if messages.0.drain().await.is_err() {
                continue;
            }
            while let Ok(Some(message)) = tokio::time::timeout(SLACK, messages.next()).await {
                if let Some(PullEvent::Delivery(delivery)) = self.take(line, message) {
                    unread.push(delivery);
                }
            }
        }
        unread
    }

    async fn open_line(&mut self) -> Result<usize, PublishError> {
        let number = self.lines.len();
        let messages = self
            .broker
            .subscribe(format!("{}.{number}", self.inbox))
            .await?;
        self.lines.push(Line {
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
        for line in std::mem::take(&mut self.lines) {
            self.ended
                .extend(line.pulling.map(|outstanding| PullEvent::Ended {
                    pull: outstanding.pull,
                    unfilled: outstanding.unfilled,
                    reason: EndReason::Disconnected,
                }));
        }
    }

    fn give_up_overdue(&mut self) {
        let now = Instant::now();
        self.look_again = now + LOOK;
        for line in 0..self.lines.len() {
            let pulling = self.lines[line].pulling.as_ref();
            if pulling.is_some_and(|outstanding| outstanding.overdue <= now)
                && let Some(ended) = self.end(line, EndReason::Silent)
            {
                self.ended.push_back(ended);
            }
        }
    }

    fn take(&mut self, line: usize, message: Message) -> Option<PullEvent> {
        if let Some(status) = message.status {
            return match reason(
                status.as_u16(),
                message.description.as_deref().unwrap_or_default(),
            ) {
                Some(reason) => self.end(line, reason),
                None => None,
            };
        }
        let pulling = &mut self.lines.get_mut(line)?.pulling;
        let Some(outstanding) = pulling else {
            let run = self.broker.subjects().run_in(&message.subject);
            tracing::warn!(run, consumer = %self.consumer, subject = %message.subject, "a message that no pull asked for");
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

    fn end(&mut self, line: usize, reason: EndReason) -> Option<PullEvent> {
        let line = self.lines.get_mut(line)?;
        let Outstanding { pull, unfilled, .. } = line.pulling.take()?;
        // Only after the broker's own "expired" surely nothing comes any more.
        if reason != EndReason::Expired {
            line.messages = None;
        }
        Some(PullEvent::Ended {
            pull,
            unfilled,
            reason,
        })
    }
}

/// The next message of any line, if one is there. One that has something is heard out first: a pull ends soon.
fn next_of(
    lines: &mut [Line],
    turn: &mut usize,
    context: &mut Context<'_>,
) -> Option<(usize, Message)> {
    for step in 0..lines.len() {
        let line = (*turn + step) % lines.len();
        if let Poll::Ready(Some(message)) = poll(&mut lines[line], context) {
            *turn = line;
            return Some((line, message));
        }
    }
    None
}

fn poll(line: &mut Line, context: &mut Context<'_>) -> Poll<Option<Message>> {
    match &mut line.messages {
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
