//! What a stream that is there has to take in besides: the subjects that one of an earlier build lacks, and as
//! many bytes as somebody named for it. Nothing is taken away, save that a bucket of an earlier build took roll-ups.

use serde_json::{Map, Value};

use super::sizes::{self, MAX_BYTES};
use super::streams::{ROLLUPS, Wanted};
use super::{Stream, TopologyError};
use crate::broker::connect::Broker;
use crate::broker::subjects;

/// The stream as it is with all subjects that are wanted, and as large as was named for it.
pub(super) async fn widen(
    broker: &Broker,
    wanted: &Wanted,
    mut found: Stream,
) -> Result<Stream, TopologyError> {
    if let Some(wider) = wider(&wanted.config, &found.config) {
        let what = format!("the subjects of {}", wanted.what());
        found = update(broker, wanted, &wider, what).await?;
        tracing::info!(stream = wanted.name, "takes in further subjects");
    }
    if let Some(larger) = sizes::larger(wanted.config.get(MAX_BYTES), &found.config) {
        let what = format!("a larger {}", wanted.what());
        found = update(broker, wanted, &larger, what).await?;
        tracing::info!(stream = wanted.name, max_bytes = %larger[MAX_BYTES], "may take more");
    }
    if let Some(safer) = without_rollups(&wanted.config, &found.config) {
        let what = format!("{} without roll-ups", wanted.what());
        found = update(broker, wanted, &safer, what).await?;
        tracing::info!(stream = wanted.name, "takes no roll-ups any more");
    }
    Ok(found)
}

/// What `found` becomes where it takes roll-ups and should not.
fn without_rollups(wanted: &Map<String, Value>, found: &Value) -> Option<Value> {
    let unwanted =
        wanted.get(ROLLUPS) == Some(&false.into()) && found.get(ROLLUPS) == Some(&true.into());
    unwanted.then(|| {
        let mut safer = found.clone();
        safer[ROLLUPS] = false.into();
        safer
    })
}

/// Gives a stream that is there another configuration. `what` that makes, for whoever reads of its failure.
async fn update(
    broker: &Broker,
    wanted: &Wanted,
    config: &Value,
    what: String,
) -> Result<Stream, TopologyError> {
    let subject = subjects::api::stream_update(&wanted.name);
    let updated = broker.api::<Stream>(subject, config).await;
    updated.map_err(|cause| TopologyError::Create { what, cause })
}

/// What `found` becomes with all of the subjects that are wanted; `None` where they are there, or where
/// `found` has others besides: that is somebody's decision.
fn wider(wanted: &Map<String, Value>, found: &Value) -> Option<Value> {
    let subjects = wanted.get("subjects")?.as_array()?;
    let there = found.get("subjects")?.as_array()?;
    let only_ours = there.iter().all(|subject| subjects.contains(subject));
    if !only_ours || there.len() >= subjects.len() {
        return None;
    }
    let mut wider = found.clone();
    wider["subjects"] = subjects.clone().into();
    Some(wider)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_missing_subjects_are_added() {
        let wanted = json!({ "subjects": ["a.*", "b.*"] });
        let wanted = wanted.as_object().unwrap();
        let there = |subjects: Value| json!({ "name": "s", "subjects": subjects, "max_msgs": 7 });
        assert_eq!(
            wider(wanted, &there(json!(["a.*"]))),
            Some(json!({ "name": "s", "subjects": ["a.*", "b.*"], "max_msgs": 7 }))
        );
        assert_eq!(wider(wanted, &there(json!(["b.*", "a.*"]))), None);
        assert_eq!(wider(wanted, &there(json!(["a.*", "c.*"]))), None);
    }

    #[test]
    fn rollups_are_switched_off_where_they_are_not_wanted() {
        let wanted = json!({ "allow_rollup_hdrs": false });
        let there = |rollups: Value| json!({ "name": "s", "allow_rollup_hdrs": rollups });
        let safer = |found: &Value| without_rollups(wanted.as_object().unwrap(), found);
        assert_eq!(safer(&there(true.into())), Some(there(false.into())));
        assert_eq!(safer(&there(false.into())), None);
        assert_eq!(without_rollups(&Map::new(), &there(true.into())), None);
    }
}
