//! Atomic batches: what is not committed is not stored, so only an answer lost after the commit
//! leaves a doubt.
//!
//! On replicated streams the broker judges one expectation of a subject at a time, so they go one by
//! one ([`Broker::batches`](super::super::Broker) has a single permit there).

use std::time::Duration;

use async_nats::{HeaderMap, HeaderName};
use bytes::Bytes;

use super::{BatchError, Outgoing, Published, not_stored};
use crate::broker::api::{self, ApiError, Stored};
use crate::broker::connect::Broker;
use crate::broker::term::Register;
use crate::chain;

/// How long the first and the last message wait for their answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

const BATCH_ID: HeaderName = HeaderName::from_static("Nats-Batch-Id");
const BATCH_SEQUENCE: HeaderName = HeaderName::from_static("Nats-Batch-Sequence");
const BATCH_COMMIT: HeaderName = HeaderName::from_static("Nats-Batch-Commit");

impl Broker {
    pub(super) async fn publish_atomic(
        &self,
        messages: &[Outgoing],
        register: Register,
    ) -> Published {
        let [first, rest @ ..] = messages else {
            return Published::Failed(BatchError::Unsendable("no message in the batch".into()));
        };
        let sent = match rest {
            [] => self.publish_single(first, register).await,
            [middle @ .., last] => self.publish_many(first, middle, last, register).await,
        };
        sent.err().unwrap_or(Published::Stored)
    }

    async fn publish_single(
        &self,
        message: &Outgoing,
        register: Register,
    ) -> Result<(), Published> {
        let headers = Some(self.under(register));
        let stored = self.store(&message.subject, headers, message.payload.clone());
        stored.await.map(|_| ()).map_err(doubtful)
    }

    async fn publish_many(
        &self,
        first: &Outgoing,
        middle: &[Outgoing],
        last: &Outgoing,
        register: Register,
    ) -> Result<(), Published> {
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
            sent.await.map_err(|error| {
                Published::Failed(BatchError::Unsendable(chain(&error).to_string()))
            })?;
        }
        let mut headers = place(HeaderMap::new(), &batch, number + 1);
        headers.insert(BATCH_COMMIT, "1");
        let committed = self.request_in_batch(last, headers).await;
        match committed.and_then(|payload| api::parse::<Stored>(&payload)) {
            Ok(stored) if stored.count == number + 1 => Ok(()),
            Ok(stored) => Err(Published::Unknown {
                cause: format!("{} of {} tiles are stored", stored.count, number + 1),
            }),
            Err(error) => Err(doubtful(error)),
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
}

fn place(mut headers: HeaderMap, batch: &str, number: u64) -> HeaderMap {
    headers.insert(BATCH_ID, batch);
    headers.insert(BATCH_SEQUENCE, number.to_string());
    headers
}

/// What to make of an error when the message may be what commits.
fn doubtful(error: ApiError) -> Published {
    match error {
        ApiError::Request(cause) if cause.may_be_done() => Published::Unknown {
            cause: cause.to_string(),
        },
        ApiError::Answer(cause) => Published::Unknown { cause },
        error => not_stored(error),
    }
}
