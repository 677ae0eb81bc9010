//! Asks JetStream one thing.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::api::{ApiError, parse};
use super::connect::Broker;
use crate::chain;

/// How long a question to the broker waits.
const API_TIMEOUT: Duration = Duration::from_secs(5);

impl Broker {
    /// Asks JetStream one thing.
    pub(super) async fn api<T: DeserializeOwned>(
        &self,
        subject: String,
        body: &impl Serialize,
    ) -> Result<T, ApiError> {
        let body = serde_json::to_vec(body)
            .map_err(|error| ApiError::Answer(chain(&error).to_string()))?;
        let body = if body == b"null" {
            Bytes::new()
        } else {
            body.into()
        };
        let message = self.request(subject, body, API_TIMEOUT).await?;
        parse(&message.payload)
    }
}
