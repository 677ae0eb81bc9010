//! Which open runs were lost, as the planner that saw it has noted: their records were removed while they
//! were open. The notes are removed with the ids of that time, or by hand.

use serde::{Deserialize, Serialize};

use crate::broker::Broker;
use crate::broker::log::ReadError;
use crate::id::{Nonce, RunId};

/// A run that was lost: the value of a key of the `state` bucket, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The run.
    pub run: RunId,
    /// When that was seen, RFC 3339.
    pub at: String,
    /// How.
    pub why: String,
    /// The run's own number, where its records were removed and nobody has used its id again by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Nonce>,
}

impl Lost {
    /// What a note about `run` says. One that makes no sense still says which run was lost.
    fn read(run: RunId, note: &[u8]) -> Lost {
        serde_json::from_slice(note).unwrap_or_else(|_| Lost {
            run,
            at: "a time that is not known".into(),
            why: "the note about it cannot be read".into(),
            nonce: None,
        })
    }
}

/// All that are noted, in the order of their names.
///
/// # Errors
/// When the broker does not answer.
pub async fn list(broker: &Broker) -> Result<Vec<Lost>, ReadError> {
    let subjects = broker.subjects();
    let entries = broker.state().surely_entries(subjects.all_lost()).await?;
    let lost = entries.iter().filter_map(|entry| {
        let run = subjects.parse_lost_key(&entry.key)?;
        Some(Lost::read(run, entry.value.as_ref()?))
    });
    Ok(lost.collect())
}

/// The note about `run`, if it was lost.
///
/// # Errors
/// When the broker does not answer.
pub async fn of(broker: &Broker, run: &RunId) -> Result<Option<Lost>, ReadError> {
    let key = broker.subjects().lost_key(run);
    let entry = broker.state().get_of_leader(&key).await?;
    let note = entry.and_then(|entry| entry.value);
    Ok(note.map(|note| Lost::read(run.clone(), &note)))
}
