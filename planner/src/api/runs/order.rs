//! Ends a run, or has its dead shards tried again.

use std::time::Duration;

use axum::Json;
use gridloom_shared::broker::Broker;
use gridloom_shared::chain;
use gridloom_shared::command::{Answer as Said, Verb};
use gridloom_shared::id::RunId;
use gridloom_shared::orders::commands::{self, OrderError};
use gridloom_shared::reads::by_hand;
use serde::Serialize;
use tokio::time::{Instant, sleep};
use utoipa::ToSchema;

use super::super::ask::Path;
use super::super::link::Linked;
use super::super::log::Hand;
use super::super::problem::{Answer, Kind, Problem};

/// A leader that died has its successor by then.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in super::super) enum Became {
    /// It is on record.
    Done,
    /// There was nothing to do: it was done before, or no shard is meant.
    Nothing,
    /// The run waited to be opened, and never will be.
    Dropped,
    /// The run waits to be opened, and is dropped as soon as a planner leads.
    Pending,
}

/// What became of an order to a run.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct Ordered {
    /// The run.
    pub(in super::super) run: RunId,
    /// What became of it.
    pub(in super::super) outcome: Became,
    /// Dead shards that it concerns.
    pub(in super::super) shards: u64,
    /// Why nothing was to do.
    pub(in super::super) reason: Option<String>,
}

/// Gives the order, and says what became of it.
pub(in super::super) async fn give(
    broker: &Broker,
    verb: Verb,
    run: &RunId,
    which: (Option<u32>, Option<u32>, Option<String>),
) -> Answer<Ordered> {
    let command = commands::command(verb, run, which);
    let said = commands::give(broker, &command, || ()).await;
    let ordered = |outcome, shards, reason| Ordered {
        run: run.clone(),
        outcome,
        shards,
        reason,
    };
    match said.map_err(|error| refused(&error))? {
        Said::Done { shards } => Ok(ordered(Became::Done, shards, None)),
        Said::Nothing { reason } => Ok(ordered(Became::Nothing, 0, Some(reason))),
        Said::Waits { .. } => Ok(ordered(Became::Nothing, 0, None)),
        Said::Refused { reason } => Err(Problem::new(Kind::Conflict, reason)),
        Said::Misuse { reason } => Err(Problem::absent(reason)),
    }
}

fn refused(error: &OrderError) -> Problem {
    let detail = chain(error).to_string();
    let kind = match error {
        OrderError::NobodyLeads { .. } => Kind::Unavailable,
        OrderError::Unheard(_) => Kind::Unknown,
        OrderError::Unsendable(_) => Kind::Refused,
        OrderError::Answer(_) => Kind::Internal,
    };
    Problem::new(kind, detail)
}

/// Ends a run: nothing more of it is started, what is queued or runs is stopped. It is over as soon as its workers have
/// answered.
#[utoipa::path(post, path = "/runs/{run}/cancel", tag = "runs", operation_id = "cancel", params(("run" = RunId, Path)),
    responses((status = 200, body = Ordered)))]
pub(in super::super) async fn cancel(
    Linked(broker): Linked,
    hand: Hand,
    Path(run): Path<RunId>,
) -> Answer<Json<Ordered>> {
    hand.orders(&broker, "cancel", run.as_str(), "").await?;
    if let Some(dropped) = withdraw(&broker, &run, hand.name()).await? {
        return Ok(Json(dropped));
    }
    give(&broker, Verb::Cancel, &run, (None, None, None))
        .await
        .map(Json)
}

/// What became of a run that was asked for by hand and waits. `None`: no such run waits, or it was opened meanwhile.
async fn withdraw(broker: &Broker, run: &RunId, by: &str) -> Answer<Option<Ordered>> {
    if !by_hand::withdraw(broker, run, by).await? {
        return Ok(None);
    }
    let ordered = |outcome| Ordered {
        run: run.clone(),
        outcome,
        shards: 0,
        reason: None,
    };
    let give_up = Instant::now() + PATIENCE;
    while !by_hand::is_answered(broker, run).await? {
        if Instant::now() >= give_up {
            return Ok(Some(ordered(Became::Pending)));
        }
        sleep(PAUSE).await;
    }
    let dropped = !by_hand::is_open(broker, run).await?;
    Ok(dropped.then(|| ordered(Became::Dropped)))
}

/// Tries all dead shards of a run again, by the job as it was when the run was opened; one that was cancelled or
/// aborted goes on.
#[utoipa::path(post, path = "/runs/{run}/retry", tag = "runs", operation_id = "retry", params(("run" = RunId, Path)),
    responses((status = 200, body = Ordered)))]
pub(in super::super) async fn retry(
    Linked(broker): Linked,
    hand: Hand,
    Path(run): Path<RunId>,
) -> Answer<Json<Ordered>> {
    hand.orders(&broker, "retry", run.as_str(), "").await?;
    give(&broker, Verb::Retry, &run, (None, None, None))
        .await
        .map(Json)
}
