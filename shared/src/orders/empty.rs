//! Ends what is open of a job that is gone.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, sleep};

use super::commands::{self, OrderError};
use crate::broker::Broker;
use crate::broker::log::ReadError;
use crate::command::{Answer, Verb};
use crate::id::{JobName, RunId};
use crate::reads::{ListError, fires, runs};

/// Within this time a leader has heard that a job is gone; a new one leads by then.
const HEARD_WITHIN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);
/// Orders that are given at once.
const AT_ONCE: usize = 16;
/// Runs may be opened while others are cancelled, by submissions that were read before.
const ROUNDS: usize = 3;

/// Why not all that is open was cancelled.
#[derive(Debug, thiserror::Error)]
pub enum EmptyError {
    /// What is open could not be read.
    #[error(transparent)]
    List(#[from] ListError),
    /// What is on record of its fires could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An order was not answered.
    #[error("cancel its open runs")]
    Order(#[source] OrderError),
    /// A leader said that it makes no sense.
    #[error("cancel its open runs: {0}")]
    Misuse(String),
}

/// Cancels the open runs of `job`, and says which those were. `was_there`: it was deleted just now, and fires of it may
/// be under way.
///
/// # Errors
/// When they cannot be found, or no planner carries the orders out.
pub async fn cancel_open(
    broker: &Broker,
    job: &JobName,
    was_there: bool,
    wait: impl Fn() + Copy,
) -> Result<Vec<RunId>, EmptyError> {
    if was_there {
        schedule_is_over(broker, job).await?;
    }
    let mut cancelled: Vec<RunId> = Vec::new();
    for _ in 0..ROUNDS {
        let mut open = runs::open_of(broker, job).await?;
        open.retain(|run| !cancelled.contains(run));
        if open.is_empty() {
            break;
        }
        let orders: Vec<_> = open.iter().map(|run| cancel(broker, run, wait)).collect();
        let orders = stream::iter(orders).buffered(AT_ONCE);
        let done: Vec<bool> = orders.try_collect().await?;
        let done = open.into_iter().zip(done);
        cancelled.extend(done.filter_map(|(run, done)| done.then_some(run)));
    }
    Ok(cancelled)
}

/// Whether it was open.
async fn cancel(broker: &Broker, run: &RunId, wait: impl Fn()) -> Result<bool, EmptyError> {
    let command = commands::command(Verb::Cancel, run, (None, None, None));
    let answer = commands::give(broker, &command, wait).await;
    match answer.map_err(EmptyError::Order)? {
        Answer::Done { .. } => Ok(true),
        Answer::Nothing { .. } | Answer::Refused { .. } | Answer::Waits { .. } => Ok(false),
        Answer::Misuse { reason } => Err(EmptyError::Misuse(reason)),
    }
}

/// Waits until no fire of the job is opened any more: what is open then is all there is.
async fn schedule_is_over(broker: &Broker, job: &JobName) -> Result<(), ReadError> {
    let give_up = Instant::now() + HEARD_WITHIN;
    while Instant::now() < give_up {
        let state = fires::state(broker, job).await?;
        if state.is_none_or(|state| state.spec.is_none()) {
            return Ok(());
        }
        sleep(LOOK).await;
    }
    // Nobody leads, or what is on record makes no sense: then nothing is opened either.
    Ok(())
}
