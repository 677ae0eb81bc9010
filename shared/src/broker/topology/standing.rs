//! How far a consumer is: what waits, what is in flight. It looks and changes nothing.

use serde::Deserialize;

use crate::broker::api::{ApiError, code};
use crate::broker::connect::Broker;
use crate::broker::subjects::{self, ConsumerName, StreamName};

/// Where a consumer stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Messages that nobody pulled yet.
    pub pending: u64,
    /// Messages pulled and not acknowledged.
    pub in_flight: u64,
    /// Messages in flight that were delivered more than once.
    pub redelivered: u64,
    /// Pulls that wait for a message.
    pub waiting: u64,
    /// Stream sequence of the last message that was delivered for the first time.
    pub delivered: u64,
    /// Consumer sequence of the last delivery, first or not.
    pub delivery: u64,
    /// Stream sequence up to which all is acknowledged.
    pub acknowledged: u64,
}

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    num_pending: u64,
    #[serde(default)]
    num_ack_pending: u64,
    #[serde(default)]
    num_redelivered: u64,
    #[serde(default)]
    num_waiting: u64,
    delivered: Place,
    #[serde(default)]
    ack_floor: Place,
}

#[derive(Default, Deserialize)]
struct Place {
    stream_seq: u64,
    consumer_seq: u64,
}

impl Broker {
    /// Where `consumer` of `stream` stands; `None` when there is no such consumer.
    ///
    /// # Errors
    /// When the broker does not say.
    pub async fn standing(
        &self,
        stream: &StreamName,
        consumer: &ConsumerName,
    ) -> Result<Option<Standing>, ApiError> {
        let question = subjects::api::consumer_info(stream, consumer);
        match self.api::<Info>(question, &()).await {
            Ok(info) => Ok(Some(Standing {
                pending: info.num_pending,
                in_flight: info.num_ack_pending,
                redelivered: info.num_redelivered,
                waiting: info.num_waiting,
                delivered: info.delivered.stream_seq,
                delivery: info.delivered.consumer_seq,
                acknowledged: info.ack_floor.stream_seq,
            })),
            Err(error) if error.err_code() == Some(code::CONSUMER_NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
