//! What a run waits for: asked of the leader, who alone knows.

use std::time::Duration;

use crate::broker::Broker;
use crate::command::{Answer, Command, Verb};
use crate::id::RunId;
use crate::waiting::Waiting;
use crate::wire;

/// How long a leader is given to answer: it does so within its next round.
const PATIENCE: Duration = Duration::from_millis(700);

/// What the leader says that `run` waits for, the first reason first; nothing for a run that is being
/// served, or is not open. `None` when no leader answers.
pub async fn of(broker: &Broker, run: &RunId) -> Option<Vec<Waiting>> {
    let verb = Verb::Explain;
    let command = Command {
        request: uuid::Uuid::new_v4().as_u64_pair().0.max(1),
        verb,
        run: run.clone(),
        slice: None,
        page: None,
        error_like: None,
    };
    let subject = broker.subjects().command(verb);
    let asked = broker.request(subject, wire::encode(&command), PATIENCE);
    match wire::decode(&asked.await.ok()?.payload).ok()? {
        Answer::Waits { waits } => Some(waits),
        Answer::Done { .. }
        | Answer::Nothing { .. }
        | Answer::Refused { .. }
        | Answer::Misuse { .. } => None,
    }
}
