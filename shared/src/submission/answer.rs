//! What a submitter is told of its request, if it asked for an answer.
//!
//! The acknowledgement of a submission comes from the broker and says that it is stored, nothing more. Whoever wants
//! to know what became of it names a subject in the header [`REPLY`]: the planner that leads publishes one
//! [`Reply`] there, as JSON. It is plain NATS: who does not listen misses it, and a request that is answered by two
//! planners in turn is told twice.

use serde::{Deserialize, Serialize};

use crate::id::{JobName, RunId};

/// The header in which a submitter names where its answer goes.
pub const REPLY: &str = "Gridloom-Reply";

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A run was opened.
    Opened,
    /// The same request was made before: its run is there, and no second one is made.
    Exists,
    /// The same request was made before; its run is over, and its records were purged.
    Purged,
    /// It waits until another run of the job is over; another answer follows.
    Queued,
    /// Nothing was opened, for the reason that stands beside it.
    Refused,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// What became of it.
    pub answer: Outcome,
    /// The run, unless the request was refused.
    pub run: Option<RunId>,
    /// The job, if there can be one of that name.
    pub job: Option<JobName>,
    /// Why it was refused, and what to change.
    pub reason: Option<String>,
    /// The run that it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<RunId>,
    /// The request's place in the submit stream: the acknowledgement names it too.
    pub sequence: u64,
}

impl Reply {
    /// Its bytes.
    pub fn encode(&self) -> bytes::Bytes {
        serde_json::json!(self).to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_text_of_an_answer() {
        let answer = Reply {
            answer: Outcome::Refused,
            run: None,
            job: JobName::new("sum").ok(),
            reason: Some("conflict".to_owned()),
            behind: None,
            sequence: 7,
        };
        let text =
            r#"{"answer":"refused","job":"sum","reason":"conflict","run":null,"sequence":7}"#;
        assert_eq!(&answer.encode()[..], text.as_bytes());
        assert_eq!(serde_json::from_str::<Reply>(text).unwrap(), answer);
    }
}
