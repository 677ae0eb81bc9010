//! Orders to the planner that leads. Each is a request with a number of its own: when its answer is lost it is sent
//! again as it was, the planner knows the number by then, or does not, and it is carried out once.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::broker::{Broker, RequestError};
use crate::command::{Answer, Command, Verb};
use crate::id::{Namespace, RunId};
use crate::reads::planners;
use crate::wire::{self, WireError};

/// How long one answer is waited for.
const TRY: Duration = Duration::from_secs(3);
/// How long a planner is waited for: a leader that died has its successor within five seconds.
const NOBODY: Duration = Duration::from_secs(7);
/// How long an answer is asked for where somebody listens.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(250);

/// Why it is not known that an order was carried out.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// No planner leads, or it does not answer: surely nothing was done.
    #[error("{} run {run} of namespace {namespace}: {why}", .verb.as_str())]
    NobodyLeads {
        /// What was ordered.
        verb: Verb,
        /// Of which run.
        run: RunId,
        /// In which installation.
        namespace: Namespace,
        /// What is the case, and what to do about it.
        why: String,
    },
    /// It cannot be sent: surely nothing was done.
    #[error(transparent)]
    Unsendable(RequestError),
    /// No answer came.
    #[error("hear the planner's answer (it may have been done; it is safe to ask again)")]
    Unheard(#[source] RequestError),
    /// What came is none.
    #[error("read the answer")]
    Answer(#[source] WireError),
}

/// The order to do that with a run, and of its dead shards with those of this slice, this page of it, or with an error
/// that holds this text.
pub fn command(
    verb: Verb,
    run: &RunId,
    (slice, page, error_like): (Option<u32>, Option<u32>, Option<String>),
) -> Command {
    Command {
        request: uuid::Uuid::new_v4().as_u64_pair().0.max(1),
        verb,
        run: run.clone(),
        slice,
        page,
        error_like,
    }
}

/// Gives the order until it is answered. Calls `wait` once where no planner leads just now.
///
/// # Errors
/// When no answer comes.
pub async fn give(
    broker: &Broker,
    command: &Command,
    mut wait: impl FnMut(),
) -> Result<Answer, OrderError> {
    let subject = broker.subjects().command(command.verb);
    let payload = wire::encode(command);
    let begun = Instant::now();
    let mut told = false;
    loop {
        let answer = broker.request(subject.clone(), payload.clone(), TRY).await;
        let error = match answer {
            Ok(message) => return wire::decode(&message.payload).map_err(OrderError::Answer),
            Err(error) => error,
        };
        match error {
            RequestError::NoResponders { .. } if begun.elapsed() > NOBODY => {
                return Err(OrderError::NobodyLeads {
                    verb: command.verb,
                    run: command.run.clone(),
                    namespace: broker.subjects().namespace().clone(),
                    why: planners::nobody_leads(broker).await,
                });
            }
            RequestError::NoResponders { .. } if !told => {
                told = true;
                wait();
            }
            RequestError::Unsendable { .. } | RequestError::Refused { .. } => {
                return Err(OrderError::Unsendable(error));
            }
            RequestError::TimedOut { .. } | RequestError::Disconnected { .. }
                if begun.elapsed() > PATIENCE =>
            {
                return Err(OrderError::Unheard(error));
            }
            RequestError::NoResponders { .. }
            | RequestError::TimedOut { .. }
            | RequestError::Disconnected { .. } => {}
        }
        sleep(PAUSE).await;
    }
}
