//! Plain NATS: publish, request, subscribe. All that is sent goes through here, and to the JetStream domain where it is
//! for JetStream. Decides how long an answer is waited for when the
//! connection is lost meanwhile: the client itself would wait out the whole timeout.
//!
//! A future whose type is forgotten is compiled where it is made; any other once more in every crate
//! that waits for it, with all that it waits for itself.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::chain;

use async_nats::{HeaderMap, Message, RequestErrorKind, Subject};
use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::BoxFuture;

use super::connect::{Broker, LOOK_AGAIN};
use super::subjects::api;
pub use super::unanswered::RequestError;

/// An answer that was on its way when the connection was lost does not come any more; this much
/// later nobody hopes for it.
const AFTER_RECONNECT: Duration = Duration::from_millis(200);

/// Why a message was not handed to the client.
#[derive(Debug, thiserror::Error)]
#[error("publish to {subject}: {cause}")]
pub struct PublishError {
    /// Where the message was to go.
    pub subject: String,
    /// What is wrong: too large, a bad subject, or the client was shut down.
    pub cause: String,
}

impl From<RequestError> for PublishError {
    fn from(error: RequestError) -> PublishError {
        PublishError {
            subject: error.subject().to_owned(),
            cause: chain(&error).to_string(),
        }
    }
}

/// What arrives on a subject. Survives reconnects, but misses what is sent meanwhile.
#[derive(Debug)]
pub struct Subscription(pub(super) async_nats::Subscriber);

impl Subscription {
    /// The next message; `None` after the client was shut down.
    pub async fn next(&mut self) -> Option<Message> {
        futures_util::StreamExt::next(&mut self.0).await
    }
}

impl Stream for Subscription {
    type Item = Message;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}

impl Broker {
    /// Hands a message to the client, which sends it, after a reconnect if need be. Says nothing
    /// about arrival.
    pub async fn publish(
        &self,
        subject: impl Into<Subject>,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        let subject = self.domain.subject(subject.into());
        self.client
            .publish(subject.clone(), payload)
            .await
            .map_err(|error| unpublished(&subject, &error))
    }

    /// As [`Broker::publish`], with a subject for answers.
    pub async fn publish_with_reply(
        &self,
        subject: impl Into<Subject>,
        reply: impl Into<Subject>,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        let subject = self.domain.subject(subject.into());
        self.client
            .publish_with_reply(subject.clone(), reply.into(), payload)
            .await
            .map_err(|error| unpublished(&subject, &error))
    }

    pub(super) async fn publish_with_headers(
        &self,
        subject: Subject,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        let subject = self.domain.subject(subject);
        self.client
            .publish_with_headers(subject.clone(), headers, payload)
            .await
            .map_err(|error| unpublished(&subject, &error))
    }

    /// As [`Broker::publish_with_reply`], with headers or without.
    pub(super) async fn publish_asking(
        &self,
        subject: Subject,
        reply: Subject,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        let Some(headers) = headers else {
            return self.publish_with_reply(subject, reply, payload).await;
        };
        let subject = self.domain.subject(subject);
        self.client
            .publish_with_reply_and_headers(subject.clone(), reply, headers, payload)
            .await
            .map_err(|error| unpublished(&subject, &error))
    }

    /// Sends a request and waits for its first answer.
    pub async fn request(
        &self,
        subject: impl Into<Subject>,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Message, RequestError> {
        self.request_with_headers(subject.into(), None, payload, timeout)
            .await
    }

    #[inline(never)]
    pub(super) fn request_with_headers(
        &self,
        subject: Subject,
        headers: Option<HeaderMap>,
        payload: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Message, RequestError>> {
        Box::pin(async move {
            let again = self
                .asks_and_ends()
                .then(|| (subject.clone(), headers.clone(), payload.clone()));
            match (self.ask(subject, headers, payload, timeout).await, again) {
                (Err(error), Some((subject, headers, payload))) if self.may_ask_again(&error) => {
                    self.ask(subject, headers, payload, timeout).await
                }
                (answer, _) => answer,
            }
        })
    }

    /// Whether a question is asked once more, whose answer was lost with its connection: by who asks and ends, since its broker
    /// may have been told to stop just then while others of the cluster go on, and of what changes nothing. Who stays looks
    /// again at its own time.
    pub(super) fn may_ask_again(&self, error: &RequestError) -> bool {
        self.asks_and_ends()
            && matches!(error, RequestError::Disconnected { .. })
            && api::changes_nothing(error.subject())
    }

    async fn ask(
        &self,
        subject: Subject,
        headers: Option<HeaderMap>,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Message, RequestError> {
        let subject = self.domain.subject(subject);
        let mut request = async_nats::Request::new().payload(payload).timeout(None);
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        let (lost, refused) = (self.reconnected(), self.refusal_of(&subject));
        let answer = tokio::time::timeout(timeout, async {
            tokio::select! {
                biased;
                answer = self.client.send_request(subject.clone(), request) => {
                    answer.map_err(|error| unanswered(&subject, &error))
                }
                () = lost => Err(RequestError::Disconnected {
                    subject: subject.to_string(),
                }),
                error = refused => Err(error),
            }
        });
        match answer.await {
            Ok(answer) => answer,
            Err(_) => Err(RequestError::TimedOut {
                subject: subject.to_string(),
                waited: timeout,
            }),
        }
    }

    /// Ends a moment after the connection that is current now was replaced by another.
    pub(super) fn reconnected(&self) -> impl Future<Output = ()> + use<> {
        let broker = self.clone();
        let before = broker.connection_epoch();
        // What is sent while disconnected goes out on the next connection: that one counts.
        let patience = if broker.is_connected() { 0 } else { 1 };
        async move {
            let mut changes = broker.changes();
            while broker.connection_epoch() <= before + patience {
                // The hint may come a moment too early, or never.
                let _ = tokio::time::timeout(LOOK_AGAIN, changes.changed()).await;
            }
            tokio::time::sleep(AFTER_RECONNECT).await;
        }
    }

    /// Everything that is published to `subject`, which may hold wildcards, from now on.
    pub async fn subscribe(
        &self,
        subject: impl Into<Subject>,
    ) -> Result<Subscription, PublishError> {
        let subject = subject.into();
        match self.client.subscribe(subject.clone()).await {
            Ok(subscriber) => Ok(Subscription(subscriber)),
            Err(error) => Err(unpublished(&subject, &error)),
        }
    }

    /// A subject that nobody else has, for answers.
    pub fn new_inbox(&self) -> String {
        self.client.new_inbox()
    }

    /// Waits until all that was handed to the client is written to its socket.
    pub async fn flush(&self) -> Result<(), PublishError> {
        self.client.flush().await.map_err(|error| PublishError {
            subject: "the socket".into(),
            cause: chain(&error).to_string(),
        })
    }

    /// Sends what is still to be sent and ends the connection for good.
    pub async fn drain(&self) -> Result<(), PublishError> {
        self.client.drain().await.map_err(|error| PublishError {
            subject: "the socket".into(),
            cause: chain(&error).to_string(),
        })
    }
}

fn unpublished(subject: &Subject, error: &(dyn std::error::Error + 'static)) -> PublishError {
    PublishError {
        subject: subject.to_string(),
        cause: chain(error).to_string(),
    }
}

fn unanswered(subject: &Subject, error: &async_nats::RequestError) -> RequestError {
    let subject = subject.to_string();
    match error.kind() {
        RequestErrorKind::NoResponders => RequestError::NoResponders { subject },
        RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
            RequestError::Unsendable {
                subject,
                cause: chain(error).to_string(),
            }
        }
        RequestErrorKind::TimedOut | RequestErrorKind::Other => {
            RequestError::Disconnected { subject }
        }
    }
}
