//! Which number the consumer of a lane has, whatever became of the key that says so.
//!
//! | the key says | the consumer that is there | next is |
//! |--------------|----------------------------|---------|
//! | n, which is not there | n or a higher one: the number was set back | that one |
//! | n, which is not there | none, or a lower one | n + 1; the lower one is removed |
//! | nothing, or nonsense | any | that one |
//! | nothing, and nothing is remembered | none | 1 |
//! | nothing any more, or nonsense | none | the seconds since 1970: no number was as high |

use std::error::Error;

use serde::Deserialize;
use serde_json::json;

use super::{TopologyError, absent};
use crate::broker::connect::Broker;
use crate::broker::kv::{Place, WriteError};
use crate::broker::subjects::{self, ConsumerName};
use crate::chain;
use crate::clock::UnixMs;
use crate::lane::Lane;

/// What is above is no number of a consumer.
const NUMBER_MAX: u64 = 1 << 53;

/// What the bucket says of a lane's consumer.
pub(super) struct Named {
    place: Place,
    /// The number, where it is one.
    pub(super) number: Option<u64>,
}

/// What is remembered of a lane whose number is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Past {
    /// Nothing: it is new.
    None,
    /// It had a consumer.
    Some,
}

pub(super) async fn named(broker: &Broker, lane: &Lane) -> Result<Named, TopologyError> {
    let key = broker.subjects().consumer_key(lane);
    let place = broker.state().place_of(&key).await;
    let place = match place {
        Err(error) if error.cause.is_stream_missing() => return Err(absent(broker).await),
        place => place.map_err(|error| number_failed(lane, &error))?,
    };
    let number = place.value().and_then(|value| number_in(value));
    Ok(Named { place, number })
}

fn number_in(value: &[u8]) -> Option<u64> {
    let number = std::str::from_utf8(value).ok()?.parse().ok()?;
    (number <= NUMBER_MAX).then_some(number)
}

/// The name of the consumer that is to be current, if nobody else chose one.
pub(super) async fn next_name(
    broker: &Broker,
    lane: &Lane,
    named: &Named,
) -> Result<Option<ConsumerName>, TopologyError> {
    let there = newest(broker, lane).await?.map(|(_, number)| number);
    let past = past(broker, lane, named).await?;
    let seconds = UnixMs::now().0 / 1_000;
    let next = next(named.number, there, past, seconds);
    if past == Past::Some {
        tracing::warn!(queue = %lane.queue, handler = %lane.handler, named = named.number, there, next, "the lane's consumer, or its number, is gone");
    }
    let nonsense = named.number.is_none() && named.place.value().is_some();
    let nonsense = nonsense.then_some("no number of a consumer");
    let value = next.to_string().into();
    match broker
        .state()
        .replace_any(&named.place, value, nonsense)
        .await
    {
        Ok(_) => Ok(Some(ConsumerName::new(lane, next))),
        Err(WriteError::Conflict { .. } | WriteError::Unknown { .. }) => Ok(None),
        Err(error) => Err(number_failed(lane, &error)),
    }
}

fn next(named: Option<u64>, there: Option<u64>, past: Past, seconds: u64) -> u64 {
    match (named, there) {
        (Some(named), Some(there)) if there >= named => there,
        (Some(named), _) => named + 1,
        (None, Some(there)) => there,
        (None, None) if past == Past::None => 1,
        (None, None) => seconds,
    }
}

/// A key that was purged leaves no trace; the floor of a first consumer does.
async fn past(broker: &Broker, lane: &Lane, named: &Named) -> Result<Past, TopologyError> {
    if named.place.revision() > 0 {
        return Ok(Past::Some);
    }
    let first = ConsumerName::new(lane, 1);
    let floor = broker.subjects().floor_key(&first, &broker.server_id());
    let floor = broker.state().place_of(&floor).await;
    let floor = floor.map_err(|error| number_failed(lane, &error))?;
    Ok(if floor.revision() > 0 {
        Past::Some
    } else {
        Past::None
    })
}

/// The consumer of `lane` with the highest number that is there.
pub(super) async fn newest(
    broker: &Broker,
    lane: &Lane,
) -> Result<Option<(ConsumerName, u64)>, TopologyError> {
    let all = all_of(broker, lane).await?;
    Ok(all.into_iter().max_by_key(|(_, number)| *number))
}

/// The consumers of `lane` that are there.
pub(super) async fn all_of(
    broker: &Broker,
    lane: &Lane,
) -> Result<Vec<(ConsumerName, u64)>, TopologyError> {
    let stream = broker.subjects().shards();
    let subject = subjects::api::consumer_names(&stream);
    let mut found = Vec::new();
    let mut seen = 0;
    loop {
        let question = json!({ "offset": seen });
        let asked = broker.api::<Names>(subject.clone(), &question).await;
        let page = asked.map_err(|cause| TopologyError::Look {
            what: format!("the consumers of {stream}"),
            cause,
        })?;
        let names = page.consumers.unwrap_or_default();
        let parsed = names.iter().filter_map(|name| ConsumerName::parse(name));
        let of_lane = parsed.filter(|(_, of, _)| of == lane);
        found.extend(of_lane.map(|(name, _, number)| (name, number)));
        seen += names.len() as u64;
        if names.is_empty() || seen >= page.total {
            return Ok(found);
        }
    }
}

#[derive(Deserialize)]
struct Names {
    #[serde(default)]
    total: u64,
    #[serde(default)]
    consumers: Option<Vec<String>>,
}

pub(super) fn number_failed(lane: &Lane, cause: &dyn Error) -> TopologyError {
    TopologyError::Number {
        lane: lane.to_string(),
        cause: chain(cause).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::RequestError;
    use crate::broker::api::ApiError;
    use crate::broker::log::ReadError;
    use crate::id::{HandlerName, QueueName};

    const NOW: u64 = 1_764_000_000;

    #[test]
    fn what_became_of_a_number_says_why_the_broker_did_not_tell_it() {
        let silent = ReadError {
            stream: "KV_gridloom-state".into(),
            cause: ApiError::Request(RequestError::NoResponders {
                subject: "$JS.API".into(),
            }),
        };
        let lane = Lane::new(
            QueueName::new("default").unwrap(),
            HandlerName::new("noop").unwrap(),
        );
        let said = number_failed(&lane, &silent).to_string();
        assert!(
            said.contains("KV_gridloom-state: no responders on $JS.API"),
            "{said}"
        );
    }

    #[test]
    fn consumer_that_is_there_is_current_where_its_number_is_lost_or_was_set_back() {
        assert_eq!(next(None, Some(7), Past::Some, NOW), 7);
        assert_eq!(next(None, Some(7), Past::None, NOW), 7);
        assert_eq!(next(Some(2), Some(7), Past::Some, NOW), 7);
    }

    #[test]
    fn name_that_may_have_been_used_is_never_used_again() {
        assert_eq!(next(Some(7), None, Past::Some, NOW), 8);
        assert_eq!(next(Some(7), Some(6), Past::Some, NOW), 8);
        assert_eq!(next(None, None, Past::Some, NOW), NOW);
        assert_eq!(next(None, None, Past::None, NOW), 1);
    }

    #[test]
    fn what_can_be_no_number_is_none() {
        assert_eq!(number_in(b"3"), Some(3));
        for bad in ["", "x", "-1", "18446744073709551615", "9007199254740993"] {
            assert_eq!(number_in(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
