//! How far consumers are: what waits, what is in flight. It looks, and changes nothing but what they have done with.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::broker::api::{ApiError, code};
use crate::broker::connect::Broker;
use crate::broker::subjects::{self, ConsumerName, StreamName};
use crate::lane::Lane;

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

/// The consumer of a lane that is there, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneStanding {
    /// Its name.
    pub consumer: ConsumerName,
    /// How long a worker may hold a tile without a renewal.
    pub ack_deadline: Duration,
    /// Where it stands.
    pub standing: Standing,
}

#[derive(Deserialize)]
struct Info {
    name: String,
    config: Config,
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

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    ack_wait: u64,
}

#[derive(Default, Deserialize)]
struct Place {
    stream_seq: u64,
    consumer_seq: u64,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    total: usize,
    #[serde(default)]
    consumers: Option<Vec<Info>>,
    /// Those that could not be asked: their leader is away.
    #[serde(default)]
    missing: Option<Vec<String>>,
}

impl Info {
    fn standing(&self) -> Standing {
        Standing {
            pending: self.num_pending,
            in_flight: self.num_ack_pending,
            redelivered: self.num_redelivered,
            waiting: self.num_waiting,
            delivered: self.delivered.stream_seq,
            delivery: self.delivered.consumer_seq,
            acknowledged: self.ack_floor.stream_seq,
        }
    }
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
            Ok(info) => Ok(Some(info.standing())),
            Err(error) if error.err_code() == Some(code::CONSUMER_NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where the consumer of each lane stands that has one, in one answer for a few hundred.
    ///
    /// # Errors
    /// When the broker does not say, or not of all: those whose leader is away are missing for a while.
    pub async fn lanes(&self) -> Result<BTreeMap<Lane, LaneStanding>, ApiError> {
        let stream = self.subjects().shards();
        let subject = subjects::api::consumer_list(&stream);
        let (mut lanes, mut seen) = (BTreeMap::new(), 0);
        loop {
            let question = json!({ "offset": seen });
            let page = self.api::<Page>(subject.clone(), &question).await?;
            let missing = page.missing.unwrap_or_default();
            if !missing.is_empty() {
                let why = format!("it does not say how far these are: {}", missing.join(", "));
                return Err(ApiError::Answer(why));
            }
            let consumers = page.consumers.unwrap_or_default();
            seen += consumers.len();
            let last = consumers.is_empty() || seen >= page.total;
            for info in consumers {
                if let Some((consumer, lane, _)) = ConsumerName::parse(&info.name) {
                    let found = LaneStanding {
                        consumer,
                        ack_deadline: Duration::from_nanos(info.config.ack_wait),
                        standing: info.standing(),
                    };
                    lanes.insert(lane, found);
                }
            }
            if last {
                return Ok(lanes);
            }
        }
    }

    /// Removes tiles from the queue that their consumer counts as acknowledged: nobody gets them any more, and who lists the
    /// queue takes them for waiting. A power failure under an interval of flushes can leave a queue on file that is older
    /// than its consumers. Returns how many those were.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn remove_acknowledged(&self) -> Result<u64, ApiError> {
        let (subjects, stream) = (self.subjects(), self.subjects().shards());
        let mut removed = 0;
        for (lane, found) in self.lanes().await? {
            let (of_lane, end) = (subjects.shards_of_lane(&lane), found.standing.acknowledged);
            let first = self.first_of_leader(&stream, &of_lane, 1).await;
            let first = first.map_err(|error| error.cause)?;
            if first.is_some_and(|first| first.seq <= end) {
                removed += self.purge_below(&stream, &of_lane, end + 1).await?;
            }
        }
        Ok(removed)
    }
}
