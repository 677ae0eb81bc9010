//! The planner's consumer of the submit stream: of all jobs, or, while queues have as many open runs
//! as they may, of the jobs of all other queues. What it leaves out stays on the stream.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Made, TopologyError, drift, find, make, refuse_drift, remove_of, settings};
use crate::broker::api::ApiError;
use crate::broker::connect::Broker;
use crate::broker::subjects::{ConsumerName, StreamName};
use crate::id::JobName;

/// How long a planner may take to answer an ad-hoc message before it is delivered again: answering
/// takes milliseconds and may be done twice, and what a killed planner held should not wait long.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// What is acknowledged has left the stream by then.
const LEAVES_WITHIN: Duration = Duration::from_secs(1);

const FILTER: &str = "filter_subject";
const FILTERS: &str = "filter_subjects";

/// The planner's consumer of the submit stream, taking the submissions of all jobs. One whose settings somebody
/// changed is made anew: it is nobody's but the planner's, and whoever would refuse it would answer nobody.
pub async fn ensure_planner(broker: &Broker) -> Result<ConsumerName, TopologyError> {
    let stream = broker.subjects().submit();
    let name = ConsumerName::planner();
    let wanted = settings(&broker.subjects().all_submits(), ANSWER_DEADLINE);
    let found = match find(broker, &stream, &name).await? {
        Some(found) => found,
        None => match make(broker, &stream, &name, &wanted).await? {
            Made::Yes(found) => found,
            Made::Overlaps => return Err(overlaps(&stream, &name)),
        },
    };
    let what = format!("consumer {name} of {stream}");
    let drifts = drift::between(&what, &wanted, &found);
    // One that takes only some is a planner's own.
    if found.get(FILTERS).is_none() {
        for drift in &drifts {
            tracing::warn!(%drift, "a setting was changed; the consumer is made anew");
        }
    }
    if !drifts.is_empty() {
        let found = take_only(broker, None).await?;
        refuse_drift(drift::between(&what, &wanted, &found))?;
    }
    Ok(name)
}

/// Makes that consumer take the submissions of these jobs alone (at least one), or of all again.
/// Returns its settings.
///
/// It is made anew: one whose filter is changed goes on behind what it had left out (measured on 2.15.1),
/// so that those messages would stay on the stream for ever. What is being answered meanwhile is delivered
/// again, and answered the same.
pub async fn take_only(broker: &Broker, jobs: Option<&[JobName]>) -> Result<Value, TopologyError> {
    let (stream, name) = (broker.subjects().submit(), ConsumerName::planner());
    let mut config: Map<String, Value> =
        settings(&broker.subjects().all_submits(), ANSWER_DEADLINE);
    if let Some(jobs) = jobs {
        config.remove(FILTER);
        let of = jobs.iter().map(|job| broker.subjects().submit_to(job));
        config.insert(FILTERS.into(), of.collect::<Vec<_>>().into());
    }
    remove_of(broker, &stream, &name).await?;
    match make(broker, &stream, &name, &config).await? {
        Made::Yes(found) => Ok(found),
        Made::Overlaps => Err(overlaps(&stream, &name)),
    }
}

/// Has that consumer made anew, of all jobs, where it counts as acknowledged what stands on the stream: that it never hands
/// out. A power failure under an interval of flushes can leave a stream that is older than its consumer. What was answered
/// before is answered the same. Whether it was made anew.
pub async fn hand_out_what_came_back(broker: &Broker) -> Result<bool, TopologyError> {
    let Some(first) = passed_over(broker).await? else {
        return Ok(false);
    };
    tokio::time::sleep(LEAVES_WITHIN).await;
    if passed_over(broker).await? != Some(first) {
        return Ok(false);
    }
    take_only(broker, None).await?;
    Ok(true)
}

/// The first message, if the consumer counts it as acknowledged.
async fn passed_over(broker: &Broker) -> Result<Option<u64>, TopologyError> {
    let stream = broker.subjects().submit();
    let unknown = |cause| TopologyError::Look {
        what: format!("stream {stream} and its consumer"),
        cause,
    };
    let standing = broker.standing(&stream, &ConsumerName::planner()).await;
    let Some(standing) = standing.map_err(unknown)? else {
        return Ok(None);
    };
    let state = broker.info(&stream).await.map_err(unknown)?;
    let is_passed = state.messages > 0 && state.first_seq <= standing.acknowledged;
    Ok(is_passed.then_some(state.first_seq))
}

fn overlaps(stream: &StreamName, name: &ConsumerName) -> TopologyError {
    TopologyError::Create {
        what: format!("consumer {name} of {stream}"),
        cause: ApiError::Answer("another consumer takes the ad-hoc messages; delete it".into()),
    }
}
