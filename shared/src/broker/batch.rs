//! Tiles of a wave get on the queue together, and only while the term register is as the leader
//! wrote it (protocol.md §2).
//!
//! Many go as an atomic batch, all or none: its first message and its last are requests, the others
//! plain publishes. What is not committed is not stored, so only an answer lost after the commit
//! leaves a doubt. Few go one by one, each under the register: a part of them on the queue is as if
//! the answer to a batch had been lost, and is mended in the same way.

use std::time::Duration;

use async_nats::{HeaderMap, HeaderName, Subject};
use bytes::Bytes;

use super::api::{self, ApiError, Fault, Stored};
use super::connect::Broker;
use super::log::append::expecting;
use super::plain::RequestError;
use super::term::Register;

/// Most messages that the broker takes in one batch.
pub const BATCH_MAX: usize = 1_000;

/// So few messages go out one by one, each under the register. A batch costs the broker files of its
/// own and waits for the disk at its commit, whatever the stream's own settings say about that
/// (*measured*: seconds on a busy disk, while every other publish to the stream waits too).
pub const FEW_MAX: usize = 32;

/// How long the first and the last message wait for their answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

const BATCH_ID: HeaderName = HeaderName::from_static("Nats-Batch-Id");
const BATCH_SEQUENCE: HeaderName = HeaderName::from_static("Nats-Batch-Sequence");
const BATCH_COMMIT: HeaderName = HeaderName::from_static("Nats-Batch-Commit");

/// One message for the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Where it goes.
    pub subject: Subject,
    /// What it carries.
    pub payload: Bytes,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// All of it is stored, under sequences in this range.
    Stored {
        /// Of the first message.
        first_seq: u64,
        /// Of the last.
        last_seq: u64,
    },
    /// The register is no longer as expected: another leader wrote it, or it is gone with the queue.
    /// Surely nothing is stored.
    Refused,
    /// The broker could not judge or take it now. Surely nothing is stored: send it again.
    Busy {
        /// What was seen.
        cause: String,
    },
    /// The answer was lost: all of it may be stored or become so. Rewrite the register, then refill.
    Unknown {
        /// What was seen.
        cause: RequestError,
    },
    /// Surely nothing is stored, and sending it again would not help by itself.
    Failed(BatchError),
}

/// Why a batch was refused for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The queue, the account or the disk is full.
    #[error("publish tiles: {0}; make room on the broker's disk or raise its limits")]
    Full(Fault),
    /// Another fault of the broker.
    #[error("publish tiles: {0}")]
    Fault(Fault),
    /// Not to be sent: too large, too many, none.
    #[error("publish tiles: {0}")]
    Unsendable(String),
}

impl Broker {
    /// Publishes up to [`BATCH_MAX`] messages to the queue if the term register still is `register`:
    /// all or none; where they are few and the broker took only a part, [`Published::Unknown`].
    pub async fn publish_batch(&self, messages: &[Outgoing], register: Register) -> Published {
        match messages {
            [] => Published::Failed(BatchError::Unsendable("no message in the batch".into())),
            few if few.len() <= FEW_MAX => {
                let sent = few
                    .iter()
                    .map(|single| self.publish_single(single, register));
                together(futures_util::future::join_all(sent).await)
            }
            [first, middle @ .., last] if messages.len() <= BATCH_MAX => {
                match self.publish_many(first, middle, last, register).await {
                    Ok(stored) => Published::Stored {
                        first_seq: (stored.seq + 1).saturating_sub(messages.len() as u64),
                        last_seq: stored.seq,
                    },
                    Err(other) => other,
                }
            }
            _ => Published::Failed(BatchError::Unsendable(format!(
                "{} messages in the batch, {BATCH_MAX} are the most",
                messages.len()
            ))),
        }
    }

    async fn publish_single(&self, message: &Outgoing, register: Register) -> Published {
        let headers = self.under(register);
        match self
            .store(&message.subject, Some(headers), message.payload.clone())
            .await
        {
            Ok(stored) => Published::Stored {
                first_seq: stored.seq,
                last_seq: stored.seq,
            },
            Err(error) => doubtful(error, &message.subject),
        }
    }

    async fn publish_many(
        &self,
        first: &Outgoing,
        middle: &[Outgoing],
        last: &Outgoing,
        register: Register,
    ) -> Result<Stored, Published> {
        // Never closed: without a permit the broker itself would bound them.
        let _permit = self.batches.acquire().await;
        // Short: it travels with every tile. Unlike those of other batches that are open now, surely.
        let batch = format!("{:x}", uuid::Uuid::new_v4().as_u64_pair().0);
        let opened = self
            .request_in_batch(first, place(self.under(register), &batch, 1))
            .await;
        // Without a commit nothing is ever stored, so a lost answer is no doubt here.
        opened.map_err(not_stored)?;
        let mut number = 1;
        for message in middle {
            number += 1;
            let headers = place(HeaderMap::new(), &batch, number);
            let sent = self.publish_with_headers(
                message.subject.clone(),
                headers,
                message.payload.clone(),
            );
            sent.await
                .map_err(|error| Published::Failed(BatchError::Unsendable(error.to_string())))?;
        }
        let mut headers = place(HeaderMap::new(), &batch, number + 1);
        headers.insert(BATCH_COMMIT, "1");
        let committed = self.request_in_batch(last, headers).await;
        match committed.and_then(|payload| api::parse::<Stored>(&payload)) {
            Ok(stored) if stored.count == number + 1 => Ok(stored),
            Ok(_) => Err(doubtful(
                ApiError::Answer("another count of messages".into()),
                &last.subject,
            )),
            Err(error) => Err(doubtful(error, &last.subject)),
        }
    }

    async fn request_in_batch(
        &self,
        message: &Outgoing,
        headers: HeaderMap,
    ) -> Result<Bytes, ApiError> {
        let request = self.request_with_headers(
            message.subject.clone(),
            Some(headers),
            message.payload.clone(),
            ANSWER_TIMEOUT,
        );
        let answer = request.await?.payload;
        // The first message is answered with nothing when all is well.
        if !answer.is_empty() {
            api::parse::<serde_json::Value>(&answer)?;
        }
        Ok(answer)
    }

    fn under(&self, register: Register) -> HeaderMap {
        expecting(register.seq, Some(&self.subjects().term()))
    }
}

fn place(mut headers: HeaderMap, batch: &str, number: u64) -> HeaderMap {
    headers.insert(BATCH_ID, batch);
    headers.insert(BATCH_SEQUENCE, number.to_string());
    headers
}

/// What became of messages that were sent one by one: what became of each, if it is the same of all;
/// otherwise as if the answer to a batch had been lost.
fn together(answers: Vec<Published>) -> Published {
    let all = answers.into_iter().reduce(|all, next| match (all, next) {
        (
            Published::Stored {
                first_seq,
                last_seq,
            },
            Published::Stored {
                first_seq: first,
                last_seq: last,
            },
        ) => Published::Stored {
            first_seq: first_seq.min(first),
            last_seq: last_seq.max(last),
        },
        (Published::Refused, Published::Refused) => Published::Refused,
        (Published::Busy { cause }, Published::Busy { .. }) => Published::Busy { cause },
        (Published::Failed(error), Published::Failed(_)) => Published::Failed(error),
        (unknown @ Published::Unknown { .. }, _) | (_, unknown @ Published::Unknown { .. }) => {
            unknown
        }
        (Published::Stored { .. }, _) | (_, Published::Stored { .. }) => Published::Unknown {
            cause: RequestError::Disconnected {
                subject: "a part of the tiles".into(),
            },
        },
        // Surely nothing is stored: what asks for most is done first.
        (Published::Refused, _) | (_, Published::Refused) => Published::Refused,
        (busy @ Published::Busy { .. }, _) | (_, busy @ Published::Busy { .. }) => busy,
    });
    all.unwrap_or_else(|| {
        Published::Failed(BatchError::Unsendable("no message in the batch".into()))
    })
}

/// What to make of an error when the message may be what commits.
fn doubtful(error: ApiError, subject: &Subject) -> Published {
    match error {
        ApiError::Request(cause) if cause.may_be_done() => Published::Unknown { cause },
        ApiError::Answer(_) => Published::Unknown {
            cause: RequestError::Disconnected {
                subject: subject.to_string(),
            },
        },
        error => not_stored(error),
    }
}

/// What to make of an error after which surely nothing is stored.
fn not_stored(error: ApiError) -> Published {
    match error {
        ApiError::Fault(fault) if fault.is_wrong_last() => Published::Refused,
        ApiError::Fault(fault) if fault.is_full() => Published::Failed(BatchError::Full(fault)),
        ApiError::Fault(fault) if fault.is_busy() || fault.is_passing() => Published::Busy {
            cause: fault.to_string(),
        },
        ApiError::Fault(fault) => Published::Failed(BatchError::Fault(fault)),
        ApiError::Request(RequestError::Unsendable { subject, cause }) => {
            Published::Failed(BatchError::Unsendable(format!("{subject}: {cause}")))
        }
        ApiError::Request(error) => Published::Busy {
            cause: error.to_string(),
        },
        ApiError::Answer(answer) => Published::Failed(BatchError::Unsendable(answer)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(seq: u64) -> Published {
        Published::Stored {
            first_seq: seq,
            last_seq: seq,
        }
    }

    fn busy() -> Published {
        Published::Busy {
            cause: "election".into(),
        }
    }

    fn lost() -> Published {
        let cause = RequestError::Disconnected {
            subject: "a".into(),
        };
        Published::Unknown { cause }
    }

    #[test]
    fn few_messages_are_stored_when_each_is() {
        let all = together(vec![stored(7), stored(5), stored(6)]);
        assert_eq!(
            all,
            Published::Stored {
                first_seq: 5,
                last_seq: 7
            }
        );
    }

    #[test]
    fn part_of_few_messages_is_as_doubtful_as_a_lost_answer() {
        for other in [Published::Refused, busy(), lost()] {
            for answers in [
                vec![stored(5), other.clone()],
                vec![other.clone(), stored(5)],
            ] {
                assert!(
                    matches!(together(answers), Published::Unknown { .. }),
                    "{other:?}"
                );
            }
        }
        assert!(matches!(
            together(vec![busy(), lost()]),
            Published::Unknown { .. }
        ));
    }

    #[test]
    fn few_messages_of_which_none_is_stored_are_refused_first_and_busy_then() {
        assert_eq!(
            together(vec![busy(), Published::Refused]),
            Published::Refused
        );
        assert_eq!(together(vec![busy(), busy()]), busy());
        let failed = Published::Failed(BatchError::Unsendable("large".into()));
        assert_eq!(together(vec![failed.clone(), busy()]), busy());
        assert_eq!(together(vec![failed.clone(), failed.clone()]), failed);
    }
}
