//! Which alarms stand: fires that nobody answered for, and runs that are not over by their deadline.

use crate::alarm::{Alarm, Watched};
use crate::broker::Broker;
use crate::broker::log::{ReadError, Record};
use crate::id::JobName;
use crate::turns::Turns;

/// Every alarm that the broker raised and that no planner withdrew, the oldest first. An installation that has no place for
/// them, as an earlier build made it, has none.
///
/// # Errors
/// When the broker does not answer.
pub async fn raised(broker: &Broker) -> Result<Vec<Alarm>, ReadError> {
    let subjects = broker.subjects();
    let mut alarms = found(broker, &subjects.all_raised()).await?;
    alarms.sort_by_key(|alarm| alarm.due);
    Ok(alarms)
}

/// Every alarm that is armed, in no order. An installation that has no place for them has none.
///
/// # Errors
/// When the broker does not answer.
pub async fn armed(broker: &Broker) -> Result<Vec<Alarm>, ReadError> {
    found(broker, &broker.subjects().all_armed()).await
}

async fn found(broker: &Broker, subject: &str) -> Result<Vec<Alarm>, ReadError> {
    let all = broker
        .last_per_subject(&broker.subjects().alarm(), subject)
        .await;
    let all = match all {
        Err(error) if error.cause.is_stream_missing() => Vec::new(),
        all => all?,
    };
    Ok(decoded(broker, &all).await)
}

/// Those that make sense.
async fn decoded(broker: &Broker, all: &[Record]) -> Vec<Alarm> {
    let (mut alarms, mut turns) = (Vec::with_capacity(all.len()), Turns::begin());
    for raw in all {
        alarms.extend(broker.decode(&raw.subject, &raw.payload));
        turns.pass().await;
    }
    alarms
}

/// The alarm about the fires of `job`, if it stands.
///
/// # Errors
/// When the broker does not answer.
pub async fn of_fires(broker: &Broker, job: &JobName) -> Result<Option<Alarm>, ReadError> {
    let subjects = broker.subjects();
    let raised = subjects.raised(&Watched::Fire(job.clone()));
    let last = broker.last(&subjects.alarm(), &raised).await?;
    Ok(last.and_then(|last| broker.decode(&last.subject, &last.payload).ok()))
}
