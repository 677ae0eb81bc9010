//! From which stream sequence on a delivery may be certainly first.
//!
//! The floor is the last sequence of the queue's stream, read after this broker process started and
//! this consumer was created. It is kept in the `state` bucket under both, and created once, by
//! whoever first sees the pair (docs/PROTOCOL.md §3).

use std::sync::Arc;

use super::api::ApiError;
use super::connect::Broker;
use super::kv::WriteError;
use super::subjects::ConsumerName;

/// The floor of one consumer under one broker process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floor {
    /// The connection on which it was learned: void on any other until asked again.
    pub epoch: u64,
    /// The broker process.
    pub server_id: Arc<str>,
    /// Deliveries up to this sequence are never certainly first.
    pub seq: u64,
}

impl Floor {
    /// Whether a delivery is above the floor. That alone does not make it certainly first.
    pub fn is_below(&self, stream_seq: u64) -> bool {
        self.seq < stream_seq
    }
}

/// Why the floor is not known. Nothing is certainly first then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("learn the floor of consumer {consumer}: {cause}")]
pub struct FloorError {
    /// The consumer.
    pub consumer: String,
    /// What went wrong.
    pub cause: String,
}

impl Broker {
    /// The floor of `consumer`, which must exist, under the broker process that this client is
    /// connected to now.
    pub async fn floor(&self, consumer: &ConsumerName) -> Result<Floor, FloorError> {
        let failed = |cause: String| FloorError {
            consumer: consumer.to_string(),
            cause,
        };
        loop {
            let connection = self.connection();
            let seq = self.floor_under(consumer, &connection.server_id).await;
            // Who it is that answered is only sure if the connection is still the same.
            if self.connection() == connection && self.is_connected() {
                return match seq {
                    Ok(Some(seq)) => Ok(Floor {
                        epoch: connection.epoch,
                        server_id: connection.server_id,
                        seq,
                    }),
                    Ok(None) => continue,
                    Err(cause) => Err(failed(cause)),
                };
            }
            if let Err(cause) = seq {
                return Err(failed(cause));
            }
        }
    }

    /// `None` when somebody else has just created it.
    async fn floor_under(
        &self,
        consumer: &ConsumerName,
        server_id: &str,
    ) -> Result<Option<u64>, String> {
        let state = self.state();
        let key = self.subjects().floor_key(consumer, server_id);
        let known = state
            .get_of_leader(&key)
            .await
            .map_err(|error| error.to_string())?;
        if let Some(value) = known.and_then(|entry| entry.value) {
            let text = std::str::from_utf8(&value).map_err(|error| error.to_string())?;
            return text
                .parse()
                .map(Some)
                .map_err(|_| format!("{key} in bucket state holds no number"));
        }
        let info = self.info(&self.subjects().shards()).await;
        let last = info.map_err(|error: ApiError| error.to_string())?.last_seq;
        match state.create(&key, last.to_string().into()).await {
            Ok(_) => Ok(Some(last)),
            Err(WriteError::Conflict { .. } | WriteError::Unknown { .. }) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }
}
