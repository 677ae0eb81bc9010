//! Asks for a run, as any client of the broker may, and hears what became of that.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use crate::broker::log::AppendError;
use crate::broker::{Broker, PublishError, Subscription};
use crate::id::{JobName, RunId};
use crate::submission::answer::Reply;
use crate::trace::Traceparent;

/// How long a planner is waited for that says what became of the submission. It goes on without.
pub const ANSWER: Duration = Duration::from_secs(2);

/// Why it is not known that the submission is stored.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Nobody could have heard an answer: surely nothing was sent.
    #[error(transparent)]
    Listen(#[from] PublishError),
    /// It was not stored, or that is not known.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// A submission that is stored.
#[derive(Debug)]
pub struct Sent {
    /// The run that it makes.
    pub run: RunId,
    /// Its place in the submit stream.
    pub sequence: u64,
    /// Where it is told what became of it.
    pub answers: Subscription,
}

/// Stores the submission `body`, whose request id is `id`, as a part of a trace if it is one.
///
/// # Errors
/// When it is not stored, or that is not known.
pub async fn send(
    broker: &Broker,
    job: &JobName,
    (id, body): (&str, Bytes),
    traceparent: Option<Traceparent>,
) -> Result<Sent, SubmitError> {
    let subject = broker.subjects().submit_to(job);
    let inbox = broker.new_inbox();
    let answers = broker.subscribe(inbox.clone()).await?;
    let sequence = broker
        .append_asking(subject, body, &inbox, traceparent)
        .await?;
    Ok(Sent {
        run: RunId::from_request(job, id),
        sequence,
        answers,
    })
}

impl Sent {
    /// What became of it; `None`: no planner has said so in time.
    pub async fn answer(&mut self) -> Option<Reply> {
        let answered = timeout(ANSWER, answered(&mut self.answers)).await;
        answered.ok().flatten()
    }
}

/// The planner's answer. Whatever else arrives is passed over.
pub async fn answered(answers: &mut Subscription) -> Option<Reply> {
    loop {
        let message = answers.next().await?;
        if let Ok(answer) = serde_json::from_slice(&message.payload) {
            return Some(answer);
        }
    }
}
