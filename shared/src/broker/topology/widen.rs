//! Which subjects a stream has to take in besides those it has: an installation that an earlier build
//! made has streams without the newer ones. Nothing is taken away.

use serde_json::{Map, Value};

use super::streams::Wanted;
use super::{Stream, TopologyError};
use crate::broker::connect::Broker;
use crate::broker::subjects;

/// The stream as it is afterwards.
pub(super) async fn widen(
    broker: &Broker,
    wanted: &Wanted,
    found: Stream,
) -> Result<Stream, TopologyError> {
    let Some(wider) = wider(&wanted.config, &found.config) else {
        return Ok(found);
    };
    let subject = subjects::api::stream_update(&wanted.name);
    match broker.api::<Stream>(subject, &wider).await {
        Ok(updated) => {
            tracing::info!(stream = wanted.name, "takes in further subjects");
            Ok(updated)
        }
        Err(cause) => Err(TopologyError::Create {
            what: format!("the subjects of {}", wanted.what()),
            cause,
        }),
    }
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
}
