//! Who has ordered what: each order over HTTP is on record before it is given.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::AppendError;
use gridloom_shared::orders::actions::{self, Action, Recorded, Way};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::Who;
use super::ask::{Asking, Query, after, limit};
use super::cursor::List;
use super::gate::RequestId;
use super::link::Linked;
use super::problem::{Answer, Kind, Problem, stored_not};

/// Whoever orders something.
pub(super) struct Hand {
    who: Who,
    request: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Hand {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Hand> {
        let request = parts.extensions.get::<RequestId>();
        let unnumbered = || Problem::new(Kind::Internal, "the request has no number");
        let request = request.ok_or_else(unnumbered)?.0.clone();
        let Asking(who) = Asking::from_request_parts(parts, state).await?;
        Ok(Hand { who, request })
    }
}

impl Hand {
    /// The name of whoever it is.
    pub(super) fn name(&self) -> &str {
        &self.who.name
    }

    /// Puts on record that `what` is ordered of `of`: it is given after that.
    pub(super) async fn orders(
        &self,
        broker: &Broker,
        what: &str,
        of: &str,
        detail: &str,
    ) -> Answer<()> {
        let action = Action {
            by: self.who.name.clone(),
            way: Way::Api,
            what: what.to_owned(),
            of: of.to_owned(),
            detail: detail.to_owned(),
            request: self.request.clone(),
        };
        tracing::info!(
            who = action.by,
            what,
            name = action.of,
            request = action.request,
            "an order came over HTTP"
        );
        let recorded = actions::record(broker, &action).await;
        recorded.map(|_| ()).map_err(|error| unrecorded(&error))
    }
}

/// What is not surely on record was surely not given.
fn unrecorded(error: &AppendError) -> Problem {
    let kind = match error {
        AppendError::Failed { .. } => Kind::Internal,
        AppendError::Conflict { .. }
        | AppendError::Full { .. }
        | AppendError::Unavailable { .. }
        | AppendError::Unknown { .. } => Kind::Unavailable,
    };
    let why = stored_not(error);
    Problem::new(
        kind,
        format!("the order cannot be put on record, so it was not given: {why}"),
    )
}

/// Which of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// At most so many.
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<u32>,
    /// What `next` of the page before said.
    after: Option<String>,
}

/// A page of orders.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Log {
    /// The newest first.
    items: Vec<Recorded>,
    /// Where the list goes on; `None`: that was the end of what is kept.
    next: Option<String>,
}

/// Who has ordered what, and when, over HTTP and by the command line. It is on record before it is given: what was
/// refused or failed is there, too.
#[utoipa::path(get, path = "/log", tag = "installation", operation_id = "log", params(Which),
    responses((status = 200, body = Log)))]
pub(super) async fn log(Linked(broker): Linked, Query(which): Query<Which>) -> Answer<Json<Log>> {
    let before: Option<u64> = after(List::LOG, which.after.as_deref())?;
    let (items, more) = actions::list(&broker, limit(which.limit)?, before).await?;
    let last = items.last().filter(|_| more).map(|last| last.number);
    Ok(Json(Log {
        next: last.and_then(|last| List::LOG.behind(&last)),
        items,
    }))
}
