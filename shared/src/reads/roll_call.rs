//! Asks everybody at once, and takes whoever answers in time.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use crate::broker::api::ApiError;
use crate::broker::{Broker, PublishError, RequestError};
use crate::chain;
use crate::wire::{self, Wire};

/// All answers to a question on `subject` within `patience`, or until they are `all`; `who` answers, for the log. Where none came
/// the broker is asked for something: if that is silent, too, nobody knows who is there.
pub(super) async fn answers<T: Wire>(
    broker: &Broker,
    subject: String,
    patience: Duration,
    who: &str,
    all: impl Fn(&[T]) -> bool,
) -> Result<Vec<T>, PublishError> {
    let inbox = broker.new_inbox();
    let refused = broker.refusal_of(&subject);
    tokio::pin!(refused);
    let mut answers = broker.subscribe(inbox.clone()).await?;
    broker
        .publish_with_reply(subject, inbox, Bytes::new())
        .await?;
    let mut heard = Vec::new();
    let until = Instant::now() + patience;
    loop {
        let answer = tokio::select! {
            answer = timeout_at(until, answers.next()) => answer,
            // Then their silence says nothing.
            error = &mut refused => return Err(error.into()),
        };
        let Ok(Some(answer)) = answer else {
            if heard.is_empty() {
                is_there(broker).await?;
            }
            return Ok(heard);
        };
        match wire::decode::<T>(&answer.payload) {
            Ok(answer) => {
                heard.push(answer);
                if all(&heard) {
                    return Ok(heard);
                }
            }
            // Nobody listens: the broker says so at once.
            Err(_) if answer.status.is_some() => return Ok(heard),
            Err(error) => {
                tracing::warn!(who, error = %chain(&error), "an answer to a call cannot be read");
            }
        }
    }
}

/// Fails where the broker gives no answer at all. Whatever it says otherwise, it was heard.
async fn is_there(broker: &Broker) -> Result<(), PublishError> {
    match broker.info(&broker.subjects().ledger()).await {
        Err(ApiError::Request(
            silent @ (RequestError::TimedOut { .. } | RequestError::Disconnected { .. }),
        )) => Err(silent.into()),
        Ok(_) | Err(_) => Ok(()),
    }
}
