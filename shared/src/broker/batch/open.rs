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
use serde_json::Value;

use super::{Outgoing, Published, not_stored};
use crate::broker::api::{self, ApiError, Stored};
use crate::broker::connect::Broker;
use crate::broker::plain::{RequestError, Subscription};
use crate::broker::term::Register;

/// How long the broker may be silent.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages between answers that the broker gives while a batch is open: none is needed.
const FLOW: usize = super::BATCH_MAX;
/// The stream's setting that permits them.
const SETTING: &str = "allow_batched";

#[derive(Deserialize)]
struct Configured {
    config: Value,
}

impl Broker {
    pub(super) async fn publish_open(
        &self,
        messages: &[Outgoing],
        register: Register,
    ) -> Published {
        let inbox = self.new_inbox();
        let lost = self.reconnected();
        let mut answers = match self.subscribe(format!("{inbox}.>")).await {
            Ok(answers) => answers,
            Err(error) => {
                return Published::Busy {
                    cause: error.to_string(),
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
                    cause: error.to_string(),
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

    /// Ends every open batch of the queue, whoever opened it: what is still sent to it is refused.
    pub(in crate::broker) async fn end_open_batches(&self) -> Result<(), ApiError> {
        // There batches are atomic: judged as a whole at their commit.
        if self.cluster().is_some() {
            return Ok(());
        }
        let shards = self.subjects().shards();
        let Configured { mut config } = self
            .api(format!("$JS.API.STREAM.INFO.{shards}"), &())
            .await?;
        for permitted in [false, true] {
            if config[SETTING].as_bool().unwrap_or(false) != permitted {
                config[SETTING] = permitted.into();
                let update = format!("$JS.API.STREAM.UPDATE.{shards}");
                self.api::<Configured>(update, &config).await?;
            }
        }
        Ok(())
    }
}

/// Where the broker answers, which tells it the message's place in the batch.
fn reply_to(space: &mut BytesMut, inbox: &str, number: usize, operation: u8) -> Subject {
    // Texts always fit, and are texts.
    let _ = write!(space, "{inbox}.{FLOW}.fail.{number}.{operation}.$FI");
    Subject::try_from(space.split().freeze()).unwrap_or_else(|_| inbox.into())
}

async fn verdict(answers: &mut Subscription, count: usize) -> Published {
    loop {
        let Some(message) = answers.next().await else {
            return Published::Unknown {
                cause: "the connection was closed".into(),
            };
        };
        let first = place(&message.subject) == Some(1);
        let answer = match message.status {
            None => read(&message.payload),
            Some(_) => Err(ApiError::Request(RequestError::NoResponders {
                subject: message.subject.to_string(),
            })),
        };
        if let Some(published) = judge(answer, first, count as u64) {
            return published;
        }
    }
}

/// The number of the message that an answer is about.
fn place(reply: &str) -> Option<u64> {
    reply.rsplit('.').nth(2)?.parse().ok()
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// So far all is well.
    Progress,
    /// The batch has ended, with so many messages.
    Ended(u64),
    /// It has ended, or ends, early.
    Broken(String),
}

fn read(payload: &[u8]) -> Result<Answer, ApiError> {
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "type")]
        kind: Option<String>,
    }
    let typed: Option<Typed> = serde_json::from_slice(payload).ok();
    match typed.and_then(|typed| typed.kind).as_deref() {
        Some("ack") => Ok(Answer::Progress),
        Some(_) => Ok(Answer::Broken(
            String::from_utf8_lossy(payload).into_owned(),
        )),
        None => api::parse::<Stored>(payload).map(|stored| Answer::Ended(stored.count.max(1))),
    }
}

/// What an answer says about a batch of `count` messages; `None` when more is to come. The broker
/// answers in the order of the messages, and an error of the `first` is one of them all.
fn judge(answer: Result<Answer, ApiError>, first: bool, count: u64) -> Option<Published> {
    let unknown = |cause| Some(Published::Unknown { cause });
    match answer {
        Ok(Answer::Progress) => None,
        Ok(Answer::Ended(stored)) if stored == count => Some(Published::Stored),
        Ok(Answer::Ended(stored)) => unknown(format!("{stored} of {count} tiles are stored")),
        Ok(Answer::Broken(why)) => unknown(why),
        Err(ApiError::Answer(why)) => unknown(why),
        Err(error) if first => Some(not_stored(error)),
        Err(error) => unknown(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::batch::BatchError;

    fn judged(payload: &str, first: bool, count: u64) -> Option<Published> {
        judge(read(payload.as_bytes()), first, count)
    }

    #[test]
    fn batch_is_stored_when_its_last_answer_counts_every_message() {
        assert_eq!(
            judged(r#"{"type":"ack","seq":0,"msgs":500}"#, true, 9),
            None
        );
        let whole = r#"{"stream":"s","seq":1001,"batch":"b","count":9}"#;
        assert_eq!(judged(whole, false, 9), Some(Published::Stored));
        assert!(matches!(
            judged(whole, false, 10),
            Some(Published::Unknown { .. })
        ));
    }

    #[test]
    fn error_of_the_first_message_says_that_nothing_is_stored_and_a_later_one_does_not() {
        let error = |code: u64| {
            format!(
                r#"{{"error":{{"code":400,"err_code":{code},"description":"maximum"}},"stream":"s","seq":0}}"#
            )
        };
        assert_eq!(judged(&error(10_071), true, 9), Some(Published::Refused));
        for busy in [10_205, 10_211] {
            assert!(matches!(
                judged(&error(busy), true, 9),
                Some(Published::Busy { .. })
            ));
        }
        assert!(matches!(
            judged(&error(10_077), true, 9),
            Some(Published::Failed(BatchError::Full(_)))
        ));
        for code in [10_071, 10_077, 10_205, 10_208] {
            assert!(matches!(
                judged(&error(code), false, 9),
                Some(Published::Unknown { .. })
            ));
        }
    }

    #[test]
    fn gap_and_nonsense_leave_a_doubt() {
        for payload in [
            r#"{"type":"gap","last_seq":4,"seq":6}"#,
            r#"{"type":"err","seq":6,"error":{"code":503,"err_code":10077,"description":"maximum"}}"#,
            "nonsense",
        ] {
            assert!(
                matches!(judged(payload, true, 9), Some(Published::Unknown { .. })),
                "{payload}"
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
