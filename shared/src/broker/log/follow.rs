//! An endless tail of a stream without gap or repeat, over reconnects, restarts of the broker and
//! loss of its own consumer.
//!
//! Each attachment is a consumer and an inbox of its own, on one connection. A gap in its delivery
//! numbers, silence or another connection ends it, and the next one begins after the last record
//! that was given out. It must not decide what to do when records are missing from the stream
//! itself: it says so ([`FollowError::Rewound`]).
//!
//! On a cluster that consumer stands on one replica, which may lag: what was there is what the stream's leader had, so
//! all of it has been given out once the last of that was.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::Message;
use bytes::Bytes;
use futures_util::Stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Record, Seen};
use crate::broker::api::ApiError;
use crate::broker::connect::{Broker, jittered};
use crate::broker::plain::Subscription;
use crate::broker::reply::Place;
use crate::broker::subjects::{self, StreamName};
use crate::clock::UnixMs;

/// The broker says this often that it lives when there is nothing to say.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Silence for longer means that the consumer or the connection is gone.
const SILENCE: Duration = Duration::from_secs(6);
/// How often to look for a new connection without a hint.
const LOOK: Duration = Duration::from_millis(250);
/// An election or a restart of the broker lasts 5 to 7 s; nobody has failed before this.
const PATIENCE: Duration = Duration::from_secs(10);
/// The broker forgets a consumer that nobody listens to.
const INACTIVE: Duration = Duration::from_secs(30);

/// Where a tail begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At this sequence; 0 and 1 mean at the beginning.
    Sequence(u64),
    /// With the last record of each subject, then all that comes.
    LastPerSubject,
    /// With what is stored after the tail was first attached.
    New,
}

/// What a tail gives out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The next record.
    Record(Record),
    /// All that was there when the tail was attached (at first, or again after a reconnect) has been
    /// given out; nothing that was confirmed by then is missing.
    CaughtUp,
    /// Nothing new, and the broker says so: every few seconds while nothing is stored.
    Quiet,
}

/// Why a tail has nothing to give out. It may be asked again; except after
/// [`FollowError::Rewound`] it then goes on where it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FollowError {
    /// The stream cannot be read, for more than ten seconds.
    #[error("follow stream {stream}")]
    Unavailable {
        /// What is followed.
        stream: String,
        /// What is wrong.
        #[source]
        cause: ApiError,
    },
    /// The stream lacks records that were already read, or is another of the same name: it was made again or
    /// rolled back. It may have grown since: others stand in their place then.
    #[error(
        "follow stream {stream}: it was lost or rolled back; it was read up to {read}, and what is there now ends at {found}"
    )]
    Rewound {
        /// What is followed.
        stream: String,
        /// The last sequence that was given out.
        read: u64,
        /// The last sequence that is there.
        found: u64,
    },
}

/// A tail of a stream.
#[derive(Debug)]
pub struct Follow {
    broker: Broker,
    stream: StreamName,
    filter: String,
    start: Start,
    last: u64,
    /// The last record of the stream that is known of, whether it is followed or not.
    seen: Seen,
    /// When the stream was made that is followed.
    created: Option<String>,
    attachment: Option<Attachment>,
    ready: VecDeque<Followed>,
    failing_since: Option<Instant>,
    /// Hints that there may be another connection.
    changes: watch::Receiver<u64>,
}

#[derive(Debug)]
struct Attachment {
    messages: Subscription,
    epoch: u64,
    consumer_seq: u64,
    /// The delivery after which all that was there is given out.
    target: u64,
    /// The last record that the stream's leader had; 0: none.
    end: u64,
    caught_up: bool,
    heard: Instant,
}

#[derive(Deserialize)]
struct Created {
    #[serde(default)]
    num_pending: u64,
    /// Deliveries may be under way before the answer is.
    delivered: Delivered,
}

#[derive(Deserialize)]
struct Delivered {
    consumer_seq: u64,
}

enum Heard {
    Something,
    Broken(&'static str),
}

impl Broker {
    /// Follows what matches `filter` in `stream`, for ever.
    pub fn follow(&self, stream: &StreamName, filter: impl Into<String>, start: Start) -> Follow {
        Follow {
            broker: self.clone(),
            stream: stream.clone(),
            filter: filter.into(),
            start,
            // Who names a sequence has read what is before it.
            last: match start {
                Start::Sequence(from) => from.saturating_sub(1),
                Start::LastPerSubject | Start::New => 0,
            },
            seen: Seen::default(),
            created: None,
            attachment: None,
            ready: VecDeque::new(),
            failing_since: None,
            changes: self.changes(),
        }
    }
}

impl Follow {
    /// The next record, or the mark that all older ones were given out. Never ends. May be dropped
    /// and called again without loss.
    pub async fn next(&mut self) -> Result<Followed, FollowError> {
        loop {
            if let Some(followed) = self.ready.pop_front() {
                return Ok(followed);
            }
            let Some(attachment) = &mut self.attachment else {
                self.attach_patiently().await?;
                continue;
            };
            if attachment.epoch != self.broker.connection_epoch() {
                self.detach("another connection");
                continue;
            }
            let message = tokio::select! {
                message = tokio::time::timeout(LOOK, attachment.messages.next()) => message,
                Ok(()) = self.changes.changed() => continue,
            };
            let heard = match message {
                Ok(Some(message)) => self.hear(message).await,
                Ok(None) => Heard::Broken("client shut down"),
                Err(_) if self.is_silent() => Heard::Broken("silence"),
                Err(_) => Heard::Something,
            };
            if let Heard::Broken(why) = heard {
                self.detach(why);
            }
        }
    }

    /// All that is there now, and none of what comes.
    pub async fn to_end(mut self) -> Result<Vec<Record>, FollowError> {
        let mut all = Vec::new();
        loop {
            match self.next().await? {
                Followed::Record(record) => all.push(record),
                Followed::CaughtUp => return Ok(all),
                Followed::Quiet => {}
            }
        }
    }

    /// The tail as a stream, which never ends.
    pub fn into_stream(self) -> impl Stream<Item = Result<Followed, FollowError>> + Send {
        futures_util::stream::unfold(self, |mut follow| async move {
            let item = follow.next().await;
            Some((item, follow))
        })
    }

    fn is_silent(&self) -> bool {
        self.attachment
            .as_ref()
            .is_some_and(|attachment| attachment.heard.elapsed() > SILENCE)
    }

    fn detach(&mut self, reason: &'static str) {
        let run = self.broker.subjects().run_in(&self.filter);
        tracing::debug!(run, stream = %self.stream, filter = self.filter, sequence = self.last, reason, "attach again");
        self.attachment = None;
    }

    async fn attach_patiently(&mut self) -> Result<(), FollowError> {
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        let mut pause = Duration::from_millis(10);
        loop {
            let cause = match self.attach().await {
                Ok(()) => {
                    self.failing_since = None;
                    return Ok(());
                }
                Err(Attach::Failed(cause)) => cause,
                Err(Attach::Rewound { found }) => {
                    let read = self.last.max(self.seen.seq);
                    return Err(FollowError::Rewound {
                        stream: self.stream.to_string(),
                        read,
                        found,
                    });
                }
            };
            // While there is no broker at all there is nothing to report: the client says so.
            let waits = matches!(cause, ApiError::Request(_)) && !self.broker.is_connected();
            if !waits && since.elapsed() > PATIENCE {
                self.failing_since = None;
                return Err(FollowError::Unavailable {
                    stream: self.stream.to_string(),
                    cause,
                });
            }
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(LOOK);
        }
    }

    async fn attach(&mut self) -> Result<(), Attach> {
        let epoch = self.broker.connection_epoch();
        self.check_start().await?;
        let inbox = self.broker.new_inbox();
        let messages = self
            .broker
            .subscribe(inbox.clone())
            .await
            .map_err(|error| {
                let request = crate::broker::RequestError::Unsendable {
                    subject: error.subject,
                    cause: error.cause,
                };
                Attach::Failed(request.into())
            })?;
        let name = uuid::Uuid::new_v4().simple().to_string();
        let subject = subjects::api::consumer_create(&self.stream, &name, Some(&self.filter));
        let question = json!({
            "stream_name": self.stream.as_str(),
            "action": "create",
            "config": self.consumer(&name, &inbox),
        });
        let created: Created = self
            .broker
            .api(subject, &question)
            .await
            .map_err(Attach::Failed)?;
        let target = created.num_pending + created.delivered.consumer_seq;
        let end = self.end().await.map_err(Attach::Failed)?;
        self.attachment = Some(Attachment {
            messages,
            epoch,
            consumer_seq: 0,
            target,
            end,
            caught_up: false,
            heard: Instant::now(),
        });
        self.mark_caught_up(target == 0);
        Ok(())
    }

    /// Where the last record stands, by the stream's leader; 0: there is none.
    async fn end(&self) -> Result<u64, ApiError> {
        let last = self.broker.last_of_leader(&self.stream, &self.filter).await;
        let last = last.map_err(|error| error.cause)?;
        Ok(last.map_or(0, |last| last.seq))
    }

    /// Turns a start that depends on the moment into a sequence, and sees whether the stream still
    /// holds what was read.
    async fn check_start(&mut self) -> Result<(), Attach> {
        let state = self
            .broker
            .info(&self.stream)
            .await
            .map_err(Attach::Failed)?;
        let known = self.created.get_or_insert_with(|| state.created.clone());
        let is_the_same = self.last <= state.last_seq && *known == state.created;
        let goes_on = self.broker.goes_on(&self.stream, self.seen, &state);
        if !is_the_same || !goes_on.await.map_err(|error| Attach::Failed(error.cause))? {
            return Err(Attach::Rewound {
                found: state.last_seq,
            });
        }
        self.seen = Seen::end_of(&state);
        if self.start == Start::New {
            self.start = Start::Sequence(state.last_seq + 1);
            self.last = state.last_seq;
        }
        Ok(())
    }

    fn consumer(&self, name: &str, inbox: &str) -> Value {
        let mut config = json!({
            "name": name,
            "deliver_subject": inbox,
            "filter_subject": self.filter,
            "ack_policy": "none",
            "max_deliver": 1,
            "replay_policy": "instant",
            "flow_control": true,
            "idle_heartbeat": nanoseconds(HEARTBEAT),
            "inactive_threshold": nanoseconds(INACTIVE),
            "mem_storage": true,
            "num_replicas": 1,
        });
        match (self.last, self.start) {
            (0, Start::LastPerSubject) => config["deliver_policy"] = "last_per_subject".into(),
            (0, Start::Sequence(from)) => {
                config["deliver_policy"] = "by_start_sequence".into();
                config["opt_start_seq"] = from.max(1).into();
            }
            (last, _) => {
                config["deliver_policy"] = "by_start_sequence".into();
                config["opt_start_seq"] = (last + 1).into();
            }
        }
        config
    }

    async fn hear(&mut self, message: Message) -> Heard {
        let Some(attachment) = &mut self.attachment else {
            return Heard::Something;
        };
        attachment.heard = Instant::now();
        match message.status.map(|status| status.as_u16()) {
            None => self.take(message),
            Some(100) => self.answer_heartbeat(&message).await,
            Some(_) => Heard::Broken("refused by the broker"),
        }
    }

    fn take(&mut self, message: Message) -> Heard {
        let Some(attachment) = &mut self.attachment else {
            return Heard::Something;
        };
        let Some(place) = message.reply.as_deref().and_then(Place::parse) else {
            return Heard::Broken("a message without its place");
        };
        if place.consumer_seq != attachment.consumer_seq + 1 {
            return Heard::Broken("gap");
        }
        attachment.consumer_seq = place.consumer_seq;
        let caught_up = attachment.consumer_seq >= attachment.target || place.pending == 0;
        if place.stream_seq > self.last {
            let at = UnixMs(place.stored_ns / 1_000_000);
            self.last = place.stream_seq;
            self.seen.note(place.stream_seq, at);
            self.ready.push_back(Followed::Record(Record {
                seq: place.stream_seq,
                at,
                deletion: super::answer::is_deletion(&message),
                subject: message.subject,
                payload: message.payload,
            }));
        }
        self.mark_caught_up(caught_up);
        Heard::Something
    }

    fn mark_caught_up(&mut self, caught_up: bool) {
        if let Some(attachment) = &mut self.attachment
            && caught_up
            && self.last >= attachment.end
            && !attachment.caught_up
        {
            attachment.caught_up = true;
            self.ready.push_back(Followed::CaughtUp);
        }
    }

    /// A heartbeat names the last delivery; a request for flow control wants an answer.
    async fn answer_heartbeat(&mut self, message: &Message) -> Heard {
        let header = |name: &'static str| {
            message
                .headers
                .as_ref()?
                .get_last(name)
                .map(|value| value.as_str())
        };
        let stalled = header("Nats-Consumer-Stalled").map(Into::into);
        if let Some(reply) = message.reply.clone().or(stalled) {
            // Lost, it is asked for again with the next heartbeat.
            let _ = self.broker.publish(reply, Bytes::new()).await;
        }
        let delivered = header("Nats-Last-Consumer").and_then(|text| text.parse::<u64>().ok());
        let Some((delivered, attachment)) = delivered.zip(self.attachment.as_ref()) else {
            return Heard::Something;
        };
        if delivered > attachment.consumer_seq {
            return Heard::Broken("gap before a heartbeat");
        }
        let idle = message.reply.is_none() && header("Nats-Consumer-Stalled").is_none();
        if idle && self.last < attachment.end {
            self.look_for_end().await;
        }
        self.mark_caught_up(idle);
        if idle {
            self.ready.push_back(Followed::Quiet);
        }
        Heard::Something
    }

    /// What the leader had last has not come: the replica lags, or it was removed since.
    async fn look_for_end(&mut self) {
        // Not answered, it is asked with the next heartbeat.
        if let (Ok(end), Some(attachment)) = (self.end().await, &mut self.attachment) {
            attachment.end = end;
        }
    }
}

enum Attach {
    Failed(ApiError),
    Rewound { found: u64 },
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl FollowError {
    /// Whether the stream does not exist.
    pub fn is_stream_missing(&self) -> bool {
        matches!(self, FollowError::Unavailable { cause, .. } if cause.is_stream_missing())
    }
}
