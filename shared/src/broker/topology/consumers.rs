//! The settings of each consumer, and under which name it is made.
//!
//! The consumer of a lane is `<queue>_<handler>-<n>`; n is in the `state` bucket and only goes up. A consumer
//! that is gone gets the next number, never its old name: under that it would hand everything out as
//! if for the first time, and nobody would reconnect (docs/PROTOCOL.md §1).

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::drift;
use super::{Configured, TopologyError, has_copies, refuse_drift};
use crate::broker::api::{ApiError, code};
use crate::broker::connect::{Broker, jittered};
use crate::broker::subjects::{self, ConsumerName, StreamName};
use crate::lane::Lane;
use crate::limits::{IN_FLIGHT_MAX, PULLS_WAITING_MAX};

mod alarms;
mod number;
mod submissions;

pub use alarms::ensure_alarms;
pub use submissions::{ensure_planner, hand_out_what_came_back, take_only};

use number::{all_of, named, newest, next_name};

/// How long a worker may hold a tile without a renewal, unless something else is configured.
pub const ACK_DEADLINE_DEFAULT: Duration = Duration::from_secs(30);
/// A consumer that is named and not there may just be being made by somebody else.
const BEING_MADE: Duration = Duration::from_secs(1);
/// Pauses between two looks whether it is there.
const LOOK_FIRST: Duration = Duration::from_millis(5);
const LOOK_MOST: Duration = Duration::from_millis(50);
/// How long to try when several make the consumer at once.
const PATIENCE: Duration = Duration::from_secs(15);

/// The time that a worker may hold a tile without a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckDeadline {
    /// What the consumer has; [`ACK_DEADLINE_DEFAULT`] where it is made.
    AsIs,
    /// This: an existing consumer is changed to it.
    Exactly(Duration),
}

/// The consumer of a lane that is current now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneConsumer {
    /// Its name.
    pub name: ConsumerName,
    /// What a lease is made from.
    pub ack_deadline: Duration,
}

enum Made {
    Yes(Value),
    /// Somebody else's consumer takes the same tiles.
    Overlaps,
}

/// The current consumer of `lane`, made if there is none or if the one that was named is gone.
///
/// # Errors
/// [`TopologyError::Absent`] where no planner has made the streams yet, or the broker does not answer, or what
/// it has will not do.
pub async fn ensure_lane(
    broker: &Broker,
    lane: &Lane,
    deadline: AckDeadline,
) -> Result<LaneConsumer, TopologyError> {
    ensure_lane_again(broker, lane, deadline, None).await
}

/// The same for whom has pulled from `known`: where that is named and not there it is gone, and not just being made.
///
/// # Errors
/// As [`ensure_lane`].
pub async fn ensure_lane_again(
    broker: &Broker,
    lane: &Lane,
    deadline: AckDeadline,
    known: Option<&ConsumerName>,
) -> Result<LaneConsumer, TopologyError> {
    if broker.is_elsewhere() {
        queue_has_copies(broker).await?;
    }
    let made = ensure_lane_of_streams(broker, lane, deadline, known).await;
    match made {
        Err(TopologyError::Create { cause, .. } | TopologyError::Look { cause, .. })
            if cause.is_stream_missing() =>
        {
            Err(absent(broker).await)
        }
        made => made,
    }
}

/// A restart of a server that holds the queue is not seen by whoever is connected to another: only copies make it
/// harmless.
async fn queue_has_copies(broker: &Broker) -> Result<(), TopologyError> {
    let stream = broker.subjects().shards();
    let found = broker.api::<Configured>(subjects::api::stream_info(&stream), &());
    let found = match found.await {
        Ok(found) => found,
        Err(error) if error.is_stream_missing() => return Err(absent(broker).await),
        Err(cause) => {
            let what = format!("stream {stream}");
            return Err(TopologyError::Look { what, cause });
        }
    };
    let replicas = found.config["num_replicas"].as_u64();
    has_copies(broker, replicas.map_or(1, |replicas| replicas as usize))
}

/// What is said where there is no queue. A worker may look at the ledger besides, and at no other stream.
async fn absent(broker: &Broker) -> TopologyError {
    let namespace = broker.subjects().namespace().clone();
    match broker.info(&broker.subjects().ledger()).await {
        Ok(_) => TopologyError::Queueless { namespace },
        Err(_) => TopologyError::Absent { namespace },
    }
}

async fn ensure_lane_of_streams(
    broker: &Broker,
    lane: &Lane,
    deadline: AckDeadline,
    known: Option<&ConsumerName>,
) -> Result<LaneConsumer, TopologyError> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let named = named(broker, lane).await?;
        if let Some(number) = named.number {
            let name = ConsumerName::new(lane, number);
            // At an election of a cluster it may not be found for a moment.
            let gone = known == Some(&name) && broker.cluster().is_none();
            let patience = if gone { Duration::ZERO } else { BEING_MADE };
            if let Some(config) = find_within(broker, &name, patience).await? {
                return settle(broker, lane, name, config, deadline).await;
            }
        }
        if let Some(name) = next_name(broker, lane, &named).await?
            && let Made::Yes(config) = make_current(broker, lane, &name, deadline).await?
        {
            return settle(broker, lane, name, config, deadline).await;
        }
        if Instant::now() > give_up {
            return Err(TopologyError::Number {
                lane: lane.to_string(),
                cause: "other processes keep making it; is more than one installation using this namespace?".into(),
            });
        }
        tokio::time::sleep(jittered(Duration::from_millis(50))).await;
    }
}

/// The current consumer of `lane` if there is one; makes nothing.
pub async fn current(broker: &Broker, lane: &Lane) -> Result<Option<LaneConsumer>, TopologyError> {
    let shards = broker.subjects().shards();
    let named = named(broker, lane).await?;
    let mut found = None;
    if let Some(number) = named.number {
        let name = ConsumerName::new(lane, number);
        found = find(broker, &shards, &name)
            .await?
            .map(|config| (name, config));
    }
    // Nobody has mended the number yet.
    if found.is_none()
        && let Some((name, number)) = newest(broker, lane).await?
        && named.number.is_none_or(|named| named < number)
    {
        found = find(broker, &shards, &name)
            .await?
            .map(|config| (name, config));
    }
    Ok(found.map(|(name, config)| LaneConsumer {
        name,
        ack_deadline: deadline_of(&config),
    }))
}

fn settings(filter: &str, ack_deadline: Duration) -> Map<String, Value> {
    let settings = json!({
        "filter_subject": filter,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": u64::try_from(ack_deadline.as_nanos()).unwrap_or(u64::MAX),
        "max_deliver": -1,
        "max_ack_pending": IN_FLIGHT_MAX,
        "max_waiting": PULLS_WAITING_MAX,
        "max_batch": 0,
        "replay_policy": "instant",
        "inactive_threshold": 0,
        // One that pushes is pulled from in vain.
        "deliver_subject": null,
        "headers_only": false,
        "max_expires": 0,
        "max_bytes": 0,
        "backoff": null,
    });
    match settings {
        Value::Object(settings) => settings,
        _ => Map::new(),
    }
}

fn deadline_of(config: &Value) -> Duration {
    Duration::from_nanos(
        config
            .get("ack_wait")
            .and_then(Value::as_u64)
            .unwrap_or_default(),
    )
}

/// Makes the consumer that this process has just numbered. Older ones of the lane that are still
/// there stand in its way and are removed: nobody may take tiles by them any more.
async fn make_current(
    broker: &Broker,
    lane: &Lane,
    name: &ConsumerName,
    deadline: AckDeadline,
) -> Result<Made, TopologyError> {
    let stream = broker.subjects().shards();
    let ack_deadline = match deadline {
        AckDeadline::AsIs => ACK_DEADLINE_DEFAULT,
        AckDeadline::Exactly(deadline) => deadline,
    };
    let wanted = settings(&broker.subjects().shards_of_lane(lane), ack_deadline);
    let made = match make(broker, &stream, name, &wanted).await? {
        Made::Overlaps => {
            remove_others(broker, lane, name).await?;
            make(broker, &stream, name, &wanted).await?
        }
        made @ Made::Yes(_) => made,
    };
    let current = named(broker, lane).await?.number;
    if current
        .map(|number| ConsumerName::new(lane, number))
        .as_ref()
        == Some(name)
    {
        return Ok(made);
    }
    // Somebody thought that it was gone before it was made.
    remove(broker, name).await?;
    Ok(Made::Overlaps)
}

async fn make(
    broker: &Broker,
    stream: &StreamName,
    name: &ConsumerName,
    wanted: &Map<String, Value>,
) -> Result<Made, TopologyError> {
    let mut config = wanted.clone();
    config.insert("name".into(), name.as_str().into());
    config.insert("durable_name".into(), name.as_str().into());
    match write(broker, stream, name, config, "create").await {
        Ok(found) => Ok(Made::Yes(found)),
        Err(error) if error.err_code() == Some(code::CONSUMER_NOT_UNIQUE) => Ok(Made::Overlaps),
        Err(error) if error.err_code() == Some(code::CONSUMER_EXISTS) => {
            match find(broker, stream, name).await? {
                Some(found) => Ok(Made::Yes(found)),
                None => Ok(Made::Overlaps),
            }
        }
        Err(cause) => Err(TopologyError::Create {
            what: format!("consumer {name} of {stream}"),
            cause,
        }),
    }
}

async fn write(
    broker: &Broker,
    stream: &StreamName,
    name: &ConsumerName,
    config: Map<String, Value>,
    action: &str,
) -> Result<Value, ApiError> {
    // One that takes several subjects is not named after them.
    let filter = config.get("filter_subject").and_then(Value::as_str);
    let subject = subjects::api::consumer_create(stream, name, filter);
    let question = json!({ "stream_name": stream.as_str(), "config": config, "action": action });
    broker
        .api::<Configured>(subject, &question)
        .await
        .map(|found| found.config)
}

async fn find(
    broker: &Broker,
    stream: &StreamName,
    name: &ConsumerName,
) -> Result<Option<Value>, TopologyError> {
    match broker
        .api::<Configured>(subjects::api::consumer_info(stream, name), &())
        .await
    {
        Ok(found) => Ok(Some(found.config)),
        Err(error) if error.err_code() == Some(code::CONSUMER_NOT_FOUND) => Ok(None),
        Err(cause) => Err(TopologyError::Look {
            what: format!("consumer {name} of {stream}"),
            cause,
        }),
    }
}

async fn find_within(
    broker: &Broker,
    name: &ConsumerName,
    patience: Duration,
) -> Result<Option<Value>, TopologyError> {
    let give_up = Instant::now() + patience;
    let mut pause = LOOK_FIRST;
    loop {
        let found = find(broker, &broker.subjects().shards(), name).await?;
        if found.is_some() || Instant::now() + pause > give_up {
            return Ok(found);
        }
        tokio::time::sleep(jittered(pause)).await;
        pause = (pause * 2).min(LOOK_MOST);
    }
}

async fn remove_others(
    broker: &Broker,
    lane: &Lane,
    but: &ConsumerName,
) -> Result<(), TopologyError> {
    for (name, _) in all_of(broker, lane).await? {
        if name != *but {
            tracing::warn!(queue = %lane.queue, handler = %lane.handler, consumer = %name, "removing a consumer that is no longer current");
            remove(broker, &name).await?;
        }
    }
    Ok(())
}

async fn remove(broker: &Broker, name: &ConsumerName) -> Result<(), TopologyError> {
    remove_of(broker, &broker.subjects().shards(), name).await
}

async fn remove_of(
    broker: &Broker,
    stream: &StreamName,
    name: &ConsumerName,
) -> Result<(), TopologyError> {
    match broker
        .api::<Value>(subjects::api::consumer_delete(stream, name), &())
        .await
    {
        Ok(_) => Ok(()),
        Err(error) if error.err_code() == Some(code::CONSUMER_NOT_FOUND) => Ok(()),
        Err(cause) => Err(TopologyError::Look {
            what: format!("consumer {name} of {stream}"),
            cause,
        }),
    }
}

/// Checks a consumer that is there, and gives it the ack deadline that the caller named.
async fn settle(
    broker: &Broker,
    lane: &Lane,
    name: ConsumerName,
    config: Value,
    deadline: AckDeadline,
) -> Result<LaneConsumer, TopologyError> {
    let stream = broker.subjects().shards();
    let filter = broker.subjects().shards_of_lane(lane);
    let has = deadline_of(&config);
    let what = format!("consumer {name} of {stream}");
    refuse_drift(drift::between(&what, &settings(&filter, has), &config))?;
    let AckDeadline::Exactly(wanted) = deadline else {
        return Ok(LaneConsumer {
            name,
            ack_deadline: has,
        });
    };
    if wanted != has {
        tracing::warn!(queue = %lane.queue, handler = %lane.handler, from = ?has, to = ?wanted, "changing the ack deadline of the lane's consumer");
        let mut config = settings(&filter, wanted);
        config.insert("name".into(), name.as_str().into());
        config.insert("durable_name".into(), name.as_str().into());
        let changed = write(broker, &stream, &name, config, "update").await;
        changed.map_err(|cause| TopologyError::Create { what, cause })?;
    }
    Ok(LaneConsumer {
        name,
        ack_deadline: wanted,
    })
}
