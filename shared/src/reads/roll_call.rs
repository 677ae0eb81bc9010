//! Asks everybody at once, and takes whoever answers in time.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use crate::broker::{Broker, PublishError};
use crate::chain;
use crate::wire::{self, Wire};

/// All answers to a question on `subject` within `patience`; `who` answers, for the log.
pub(super) async fn answers<T: Wire>(
    broker: &Broker,
    subject: String,
    patience: Duration,
    who: &str,
) -> Result<Vec<T>, PublishError> {
    let inbox = broker.new_inbox();
    let mut answers = broker.subscribe(inbox.clone()).await?;
    broker
        .publish_with_reply(subject, inbox, Bytes::new())
        .await?;
    let mut heard = Vec::new();
    let until = Instant::now() + patience;
    while let Ok(Some(answer)) = timeout_at(until, answers.next()).await {
        match wire::decode::<T>(&answer.payload) {
            Ok(answer) => heard.push(answer),
            // Nobody listens: the broker says so at once.
            Err(_) if answer.status.is_some() => break,
            Err(error) => {
                tracing::warn!(who, error = %chain(&error), "an answer to a call cannot be read");
            }
        }
    }
    Ok(heard)
}
