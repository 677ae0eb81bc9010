//! The consumer of the alarms that were raised. All workers share it, so that each alarm is told by one of them; whoever
//! comes first makes it: the broker raises alarms where no planner is.

use std::time::Duration;

use super::{Made, TopologyError, find, make, settings};
use crate::broker::connect::Broker;
use crate::broker::subjects::ConsumerName;
use crate::limits::ALARM_CONFIRMED;

/// A worker looks twice before it tells of an alarm; where it died meanwhile another one does.
const TOLD_WITHIN: Duration = Duration::from_secs(60);

const _: () = assert!(ALARM_CONFIRMED.as_secs() * 2 < TOLD_WITHIN.as_secs());

/// The consumer, made where it is missing. One whose settings somebody changed is used as it is.
///
/// # Errors
/// When the broker does not answer, or no planner has made the stream yet.
pub async fn ensure_alarms(broker: &Broker) -> Result<ConsumerName, TopologyError> {
    let stream = broker.subjects().alarm();
    let name = ConsumerName::alarms();
    if find(broker, &stream, &name).await?.is_some() {
        return Ok(name);
    }
    let wanted = settings(&broker.subjects().all_raised(), TOLD_WITHIN);
    match make(broker, &stream, &name, &wanted).await? {
        // Another worker was quicker.
        Made::Yes(_) | Made::Overlaps => Ok(name),
    }
}
