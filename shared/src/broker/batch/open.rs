//! Open batches (the broker calls them fast): stored message by message as they come, answered once.
//! The place in the batch stands in the reply subject, so tiles travel and are kept without headers.
//!
//! The first message expects the register; the others are taken only while the batch is open, and only
//! without a gap. A batch ends with its last message, with the first that is missing or refused, after
//! ten seconds without a message, with the broker, and when somebody ends all that are open. One that
//! has ended is opened again by a first message only.

use std::fmt::Write;
use std::time::Duration;

use async_nats::Subject;
use bytes::BytesMut;
use serde::Deserialize;

use super::{BatchError, Outgoing, Published, not_stored};
use crate::broker::api::{self, ApiError, Configured, Fault, Stored};
use crate::broker::connect::Broker;
use crate::broker::plain::{RequestError, Subscription};
use crate::broker::subjects;
use crate::broker::term::Register;
use crate::broker::topology::streams::OPEN_BATCHES;
use crate::chain;

/// How long the broker may be silent.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages between answers that the broker gives while a batch is open: none is needed.
const FLOW: usize = super::BATCH_MAX;

impl Broker {
    pub(super) async fn publish_open(
        &self,
        messages: &[Outgoing],
        register: Register,
    ) -> Published {
        if let [message] = messages {
            return self.publish_one(message, register).await;
        }
        let inbox = self.new_inbox();
        let lost = self.reconnected();
        let mut answers = match self.subscribe(format!("{inbox}.>")).await {
            Ok(answers) => answers,
            Err(error) => {
                return Published::Busy {
                    cause: chain(&error).to_string(),
                };
            }
        };
        let mut space = BytesMut::with_capacity(messages.len() * (inbox.len() + 24));
        for (message, number) in messages.iter().zip(1..) {
            let operation = match number {
                n if n == messages.len() => 2,
                1 => 0,
                _ => 1,
            };
            let reply = reply_to(&mut space, &inbox, number, operation);
            let headers = (number == 1).then(|| self.under(register));
            let (subject, payload) = (message.subject.clone(), message.payload.clone());
            let sent = self.publish_asking(subject, reply, headers, payload);
            if let Err(error) = sent.await {
                return Published::Unknown {
                    cause: chain(&error).to_string(),
                };
            }
        }
        tokio::select! {
            biased;
            answer = tokio::time::timeout(ANSWER_TIMEOUT, verdict(&mut answers, messages.len())) => {
                answer.unwrap_or_else(|_| Published::Unknown {
                    cause: format!("no answer within {ANSWER_TIMEOUT:?}"),
                })
            }
            () = lost => Published::Unknown { cause: "connection lost before an answer".into() },
        }
    }

    /// One message alone: it is judged when it is stored, and no inbox is listened on for its answer.
    async fn publish_one(&self, message: &Outgoing, register: Register) -> Published {
        let headers = Some(self.under(register));
        let stored = self.store(&message.subject, headers, message.payload.clone());
        match stored.await {
            Ok(_) => Published::Stored,
            Err(ApiError::Answer(cause)) => Published::Unknown { cause },
            Err(ApiError::Request(error)) if error.may_be_done() => Published::Unknown {
                cause: chain(&error).to_string(),
            },
            Err(error) => not_stored(error),
        }
    }

    /// Whether batches are open ones here. On a cluster they are atomic: judged as a whole at their commit.
    pub(in crate::broker) fn has_open_batches(&self) -> bool {
        self.cluster().is_none()
    }

    /// Switches open batches on or off; off, it ends every one that is open, whoever opened it: what is
    /// still sent to it is refused. The other settings are written back as they were read just before.
    pub(in crate::broker) async fn permit_open_batches(&self, on: bool) -> Result<(), ApiError> {
        let shards = self.subjects().shards();
        let Configured { mut config } = self.api(subjects::api::stream_info(&shards), &()).await?;
        config[OPEN_BATCHES] = on.into();
        let update = subjects::api::stream_update(&shards);
        self.api::<Configured>(update, &config).await.map(|_| ())
    }
}

/// Where the broker answers, which tells it the message's place in the batch.
fn reply_to(space: &mut BytesMut, inbox: &str, number: usize, operation: u8) -> Subject {
    // Texts always fit, and are texts.
    let _ = write!(space, "{inbox}.{FLOW}.fail.{number}.{operation}.$FI");
    Subject::try_from(space.split().freeze()).unwrap_or_else(|_| inbox.into())
}

async fn verdict(answers: &mut Subscription, count: usize) -> Published {
    let mut judge = Judge {
        count: count as u64,
        first: None,
    };
    loop {
        let Some(message) = answers.next().await else {
            return Published::Unknown {
                cause: "the connection was closed".into(),
            };
        };
        let answer = match message.status {
            None => read(&message.payload),
            Some(_) => Err(ApiError::Request(RequestError::NoResponders {
                subject: message.subject.to_string(),
            })),
        };
        if let Some(published) = judge.hear(place(&message.subject), answer) {
            return published;
        }
    }
}

/// The number of the message that an answer is about.
fn place(reply: &str) -> Option<u64> {
    reply.rsplit('.').nth(2)?.parse().ok()
}

#[derive(Debug, PartialEq, Eq)]
enum Course {
    /// So far all is well.
    Progress,
    /// The batch has ended, with so many messages.
    Ended(u64),
    /// It has ended early, as there is no room for more.
    Full(Fault),
    /// It has ended, or ends, early.
    Broken(String),
}

fn read(payload: &[u8]) -> Result<Course, ApiError> {
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "type")]
        kind: Option<String>,
        error: Option<Fault>,
    }
    let typed: Option<Typed> = serde_json::from_slice(payload).ok();
    let (kind, error) = typed.map_or((None, None), |typed| (typed.kind, typed.error));
    match (kind.as_deref(), error.filter(Fault::is_full)) {
        (Some("ack"), _) => Ok(Course::Progress),
        (Some(_), Some(full)) => Ok(Course::Full(full)),
        (Some(_), None) => Ok(Course::Broken(
            String::from_utf8_lossy(payload).into_owned(),
        )),
        (None, _) => api::parse::<Stored>(payload).map(|stored| Course::Ended(stored.count.max(1))),
    }
}

/// Makes sense of the answers, which come in the order of the messages.
struct Judge {
    count: u64,
    /// The error of the first message, until the second one's answer says whether it ended the batch:
    /// one that is met only while the message is stored does not.
    first: Option<ApiError>,
}

impl Judge {
    /// What an answer about message `place` says about the batch; `None` when more is to come.
    fn hear(&mut self, place: Option<u64>, answer: Result<Course, ApiError>) -> Option<Published> {
        let unknown = |cause| Some(Published::Unknown { cause });
        if let Some(first) = self.first.take() {
            let ended = match &answer {
                Err(ApiError::Fault(fault)) => fault.is_of_no_open_batch(),
                Err(ApiError::Request(_)) => true,
                Err(ApiError::Answer(_)) | Ok(_) => false,
            };
            return if place == Some(2) && ended {
                Some(not_stored(first))
            } else {
                unknown(first.to_string())
            };
        }
        match answer {
            Ok(Course::Progress) => None,
            Ok(Course::Ended(stored)) if stored == self.count => Some(Published::Stored),
            Ok(Course::Ended(stored)) => {
                unknown(format!("{stored} of {} tiles are stored", self.count))
            }
            Ok(Course::Full(full)) => Some(Published::Part(BatchError::Full(full))),
            Err(ApiError::Fault(full)) if place != Some(1) && full.is_full() => {
                Some(Published::Part(BatchError::Full(full)))
            }
            Ok(Course::Broken(why)) | Err(ApiError::Answer(why)) => unknown(why),
            Err(error) if place != Some(1) => unknown(chain(&error).to_string()),
            Err(error) if self.count == 1 => Some(not_stored(error)),
            Err(error) => {
                self.first = Some(error);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{"stream":"s","seq":1001,"batch":"b","count":9}"#;

    fn error(code: u64) -> String {
        format!(
            r#"{{"error":{{"code":400,"err_code":{code},"description":"maximum"}},"stream":"s","seq":0}}"#
        )
    }

    /// What is made of `answers`: the number of the message, and the payload.
    fn judged(count: u64, answers: &[(u64, &str)]) -> Option<Published> {
        let mut judge = Judge { count, first: None };
        answers
            .iter()
            .find_map(|(place, payload)| judge.hear(Some(*place), read(payload.as_bytes())))
    }

    #[test]
    fn batch_is_stored_when_its_last_answer_counts_every_message() {
        let ack = (1, r#"{"type":"ack","seq":0,"msgs":500}"#);
        assert_eq!(judged(9, &[ack]), None);
        assert_eq!(judged(9, &[ack, (9, WHOLE)]), Some(Published::Stored));
        let more = judged(10, &[(9, WHOLE)]);
        assert!(matches!(more, Some(Published::Unknown { .. })));
    }

    #[test]
    fn nothing_is_stored_when_the_first_message_is_refused_and_the_second_finds_no_batch() {
        let after = |code: u64| judged(9, &[(1, &error(code)), (2, &error(10_208))]);
        assert_eq!(after(10_071), Some(Published::Refused));
        assert_eq!(after(10_205), Some(Published::Refused));
        assert!(matches!(after(10_211), Some(Published::Busy { .. })));
        assert!(matches!(
            after(10_077),
            Some(Published::Failed(BatchError::Full(_)))
        ));
        assert_eq!(judged(9, &[(1, &error(10_071))]), None);
        assert_eq!(judged(1, &[(1, &error(10_071))]), Some(Published::Refused));
    }

    #[test]
    fn batch_that_goes_on_behind_a_refused_message_leaves_a_doubt() {
        let full = error(10_077);
        for next in [
            (9, WHOLE),
            (500, r#"{"type":"ack","seq":500,"msgs":500}"#),
            (2, full.as_str()),
            (3, error(10_208).as_str()),
        ] {
            let judged = judged(9, &[(1, &full), next]);
            assert!(
                matches!(judged, Some(Published::Unknown { .. })),
                "{next:?}"
            );
        }
        for code in [10_071, 10_205, 10_208] {
            let later = judged(9, &[(5, &error(code))]);
            assert!(matches!(later, Some(Published::Unknown { .. })));
        }
    }

    #[test]
    fn gap_and_nonsense_leave_a_doubt() {
        for payload in [
            r#"{"type":"gap","last_seq":4,"seq":6}"#,
            r#"{"type":"err","seq":6,"error":{"code":503,"err_code":10008,"description":"later"}}"#,
            "nonsense",
        ] {
            let judged = judged(9, &[(1, payload)]);
            assert!(
                matches!(judged, Some(Published::Unknown { .. })),
                "{payload}"
            );
        }
    }

    #[test]
    fn batch_that_finds_no_room_in_its_middle_is_stored_in_part() {
        let full = r#"{"type":"err","seq":6,"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}"#;
        for answer in [(6, full), (5, &error(10_077)), (9, &error(10_077))] {
            let judged = judged(9, &[answer]);
            assert!(
                matches!(judged, Some(Published::Part(BatchError::Full(_)))),
                "{answer:?}: {judged:?}"
            );
        }
    }

    #[test]
    fn place_stands_in_the_reply_subject() {
        let reply = reply_to(&mut BytesMut::new(), "_INBOX.abc", 17, 1);
        assert_eq!(reply.as_str(), "_INBOX.abc.1000.fail.17.1.$FI");
        assert_eq!(place(&reply), Some(17));
        assert_eq!(place("_INBOX.abc"), None);
    }
}
