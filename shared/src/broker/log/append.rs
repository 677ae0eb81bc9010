//! Whether a record is stored, is not, or may be: the three answers that a publish can have.

use std::time::Duration;

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use tokio::time::Instant;

use crate::broker::api::{self, ApiError, Fault, Stored};
use crate::broker::connect::{Broker, jittered};
use crate::broker::plain::RequestError;
use crate::chain;
use crate::submission::answer::REPLY;
use crate::trace::{TRACEPARENT, Traceparent};

/// How long one append waits for its answer.
const APPEND_TIMEOUT: Duration = Duration::from_secs(5);
/// An election or a restart of the broker lasts 5 to 7 s; nobody has failed before this.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a contended subject is tried before it counts as lost to another.
const BUSY_PATIENCE: Duration = Duration::from_secs(3);
const PAUSE_FIRST: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// Why an append has no sequence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Another record is the last on the subject: surely not stored.
    #[error("append to {subject}: another record came first")]
    Conflict {
        /// Where it was to go.
        subject: String,
    },
    /// No room: surely not stored.
    #[error("append to {subject} (make room on the broker's disk or raise its limits)")]
    Full {
        /// Where it was to go.
        subject: String,
        /// What the broker said.
        #[source]
        fault: Fault,
    },
    /// An election, a restart, no such stream for now: surely not stored, trying again is right.
    #[error("append to {subject}: {cause}")]
    Unavailable {
        /// Where it was to go.
        subject: String,
        /// What was seen.
        cause: String,
    },
    /// No answer: it may be stored. Read the subject, or send it again if it carries its own number.
    #[error("append to {subject}: outcome unknown ({cause})")]
    Unknown {
        /// Where it was to go.
        subject: String,
        /// Why there is no answer.
        cause: String,
    },
    /// Refused for another reason: surely not stored, and would not be if tried again.
    #[error("append to {subject}: {cause}")]
    Failed {
        /// Where it was to go.
        subject: String,
        /// What the broker or the client said.
        cause: String,
    },
}

impl AppendError {
    fn of(subject: &Subject, error: ApiError) -> AppendError {
        let subject = subject.to_string();
        match error {
            ApiError::Fault(fault) if fault.is_wrong_last() => AppendError::Conflict { subject },
            ApiError::Fault(fault) if fault.is_full() => AppendError::Full { subject, fault },
            ApiError::Fault(fault) if fault.is_passing() || fault.is_busy() => {
                AppendError::Unavailable {
                    subject,
                    cause: fault.to_string(),
                }
            }
            ApiError::Request(error @ RequestError::NoResponders { .. }) => {
                AppendError::Unavailable {
                    subject,
                    cause: chain(&error).to_string(),
                }
            }
            ApiError::Request(error) if error.may_be_done() => AppendError::Unknown {
                subject,
                cause: chain(&error).to_string(),
            },
            error => AppendError::Failed {
                subject,
                cause: chain(&error).to_string(),
            },
        }
    }
}

/// Says that the last message on `on` (by default: on the message's own subject) must have the
/// sequence `seq`; 0 means that there is none.
pub(in crate::broker) fn expecting(seq: u64, on: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(
        async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
        seq.to_string(),
    );
    if let Some(on) = on {
        headers.insert("Nats-Expected-Last-Subject-Sequence-Subject", on);
    }
    headers
}

impl Broker {
    /// Publishes into a stream and returns the sequence. With `expected`, only if the last message
    /// on the subject has that sequence (0: there is none). Many may be under way at once.
    pub async fn append(
        &self,
        subject: impl Into<Subject>,
        payload: Bytes,
        expected: Option<u64>,
    ) -> Result<u64, AppendError> {
        let headers = expected.map(|seq| expecting(seq, None));
        self.append_with(subject.into(), payload, headers).await
    }

    /// As [`Broker::append`], only if the last message on any subject that `on` matches has the sequence
    /// `expected` (0: there is none). `on` matches the record's own subject.
    pub async fn append_on(
        &self,
        subject: impl Into<Subject>,
        payload: Bytes,
        (on, expected): (&str, u64),
    ) -> Result<u64, AppendError> {
        let headers = Some(expecting(expected, Some(on)));
        self.append_with(subject.into(), payload, headers).await
    }

    /// As [`Broker::append`], asking for an answer on `reply` (see [`crate::submission::answer`]), as a part of a trace
    /// if it is one.
    pub async fn append_asking(
        &self,
        subject: impl Into<Subject>,
        payload: Bytes,
        reply: &str,
        traceparent: Option<Traceparent>,
    ) -> Result<u64, AppendError> {
        let mut headers = HeaderMap::new();
        headers.insert(REPLY, reply);
        if let Some(traceparent) = traceparent {
            headers.insert(TRACEPARENT, traceparent.to_string());
        }
        self.append_with(subject.into(), payload, Some(headers))
            .await
    }

    pub(super) async fn append_with(
        &self,
        subject: Subject,
        payload: Bytes,
        headers: Option<HeaderMap>,
    ) -> Result<u64, AppendError> {
        let give_up = Instant::now() + BUSY_PATIENCE;
        let mut pause = PAUSE_FIRST;
        loop {
            match self.store(&subject, headers.clone(), payload.clone()).await {
                // Another write to the subject is under way on the replicas: it will be decided.
                Err(ApiError::Fault(fault)) if fault.is_busy() && Instant::now() < give_up => {
                    tokio::time::sleep(jittered(pause)).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Ok(stored) => return Ok(stored.seq),
                Err(error) => return Err(AppendError::of(&subject, error)),
            }
        }
    }

    /// As [`Broker::append`] without expectation, tried again for ten seconds while the broker cannot
    /// or the answer is lost. So the record **may be stored twice**: only for records that carry
    /// (session, number), of which readers count the first.
    pub async fn append_patiently(
        &self,
        subject: impl Into<Subject>,
        payload: Bytes,
    ) -> Result<u64, AppendError> {
        let subject = subject.into();
        let give_up = Instant::now() + PATIENCE;
        let mut pause = PAUSE_FIRST;
        loop {
            let error = match self.append(subject.clone(), payload.clone(), None).await {
                Err(error @ (AppendError::Unavailable { .. } | AppendError::Unknown { .. })) => {
                    error
                }
                done => return done,
            };
            if Instant::now() + pause >= give_up {
                return Err(error);
            }
            let run = self.subjects().run_in(&subject);
            tracing::debug!(run, subject = %subject, error = %chain(&error), "append again");
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// One publish with an answer.
    pub(in crate::broker) async fn store(
        &self,
        subject: &Subject,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Stored, ApiError> {
        let message = self
            .request_with_headers(subject.clone(), headers, payload, APPEND_TIMEOUT)
            .await?;
        api::parse(&message.payload)
    }
}
