//! From which stream sequence on a delivery may be certainly first.
//!
//! The floor is the last sequence of the queue's stream, read after this broker process started and
//! this consumer was created. It is kept in the `state` bucket under both, and created once, by
//! whoever first sees the pair (docs/PROTOCOL.md §3).

use std::sync::Arc;

use crate::chain;

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

    /// `None` when somebody else has just written it.
    async fn floor_under(
        &self,
        consumer: &ConsumerName,
        server_id: &str,
    ) -> Result<Option<u64>, String> {
        let state = self.state();
        let key = self.subjects().floor_key(consumer, server_id);
        let place = state.place_of(&key).await;
        let place = place.map_err(|error| chain(&error).to_string())?;
        // Asked for after the key was read: what is there was written at or below this.
        let info = self.info(&self.subjects().shards()).await;
        let last = info
            .map_err(|error: ApiError| chain(&error).to_string())?
            .last_seq;
        let nonsense = match place.value().map(|value| parse(value, last)) {
            Some(Ok(floor)) => return Ok(Some(floor)),
            Some(Err(reason)) => Some(reason),
            None => None,
        };
        // One that is read anew is only higher than what it replaces, or than what it should have been.
        let value = last.to_string().into();
        match state.replace_any(&place, value, nonsense.as_deref()).await {
            Ok(_) => Ok(Some(last)),
            Err(WriteError::Conflict { .. } | WriteError::Unknown { .. }) => Ok(None),
            Err(error) => Err(chain(&error).to_string()),
        }
    }
}

/// The floor that a value says, if it can be one: none lies above the last sequence of its stream.
fn parse(value: &[u8], last: u64) -> Result<u64, String> {
    let floor = std::str::from_utf8(value).ok();
    match floor.and_then(|text| text.parse::<u64>().ok()) {
        Some(floor) if floor <= last => Ok(floor),
        Some(floor) => Err(format!("a floor of {floor} where the queue ends at {last}")),
        None => Err("no number of a sequence".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floor_that_cannot_be_is_none() {
        assert_eq!(parse(b"7", 9), Ok(7));
        assert_eq!(parse(b"9", 9), Ok(9));
        for bad in ["", "x", "-1", "10", "18446744073709551615"] {
            assert!(parse(bad.as_bytes(), 9).is_err(), "{bad:?}");
        }
        assert!(parse(&[0xff], 9).is_err());
    }
}
