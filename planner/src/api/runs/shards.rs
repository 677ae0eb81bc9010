//! The shards of a run, one by one: those that a filter means, and one with all its attempts.

use std::collections::BTreeMap;
use std::ops::Range;

use axum::Json;
use axum::extract::State;
use gridloom_shared::broker::Broker;
use gridloom_shared::id::{RunId, Session};
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ranges::Ranges;
use gridloom_shared::reads::attempts::{self, ShardState, ShardStory};
use gridloom_shared::reads::grid::segments;
use gridloom_shared::reads::{reported, workers};
use gridloom_shared::tile::{Cell, TileKind};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::ask::{Path, Query, after, limit};
use super::super::cursor;
use super::super::link::{Api, Linked};
use super::super::problem::Answer;
use super::grid::range;

/// Which shards.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct Which {
    /// In this state.
    state: Option<ShardState>,
    /// Of this slice.
    slice: Option<u32>,
    /// From this page on.
    first_page: Option<u32>,
    /// To this page, which is among them.
    last_page: Option<u32>,
    /// Of which this worker has said what came of an attempt: its name, while it is registered, or its session.
    worker: Option<String>,
    /// Whose last error holds this.
    error: Option<String>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<u32>,
    /// What `next` of the page before said.
    after: Option<String>,
}

/// A page of shards.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(in super::super) struct Shards {
    /// By slice, then by page.
    items: Vec<ShardTold>,
    /// Where the list goes on; `None`: that was the end.
    next: Option<String>,
}

/// A shard.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Shard)]
struct ShardTold {
    /// Row of the grid.
    slice: u32,
    /// Page.
    page: u32,
    /// Where it is in its life.
    state: ShardState,
    /// Attempts that have failed; `None` where it has its success, as nothing is kept of those before it.
    failed: Option<u32>,
    /// The error of the last of them.
    error: Option<String>,
    /// When its next attempt is due, RFC 3339.
    retry_due: Option<String>,
}

impl ShardTold {
    fn of(fold: &Fold, (slice, page): (u32, u32), state: ShardState) -> ShardTold {
        let cell = Cell {
            kind: TileKind::Page,
            slice,
            page,
        };
        let is_done = state == ShardState::Done;
        let waiting = fold.waiting().get(&cell).filter(|_| !is_done);
        let dead = fold.dead_one(cell).filter(|_| !is_done);
        let failed = waiting.map(|failed| (failed.attempts, fold.error_of(failed)));
        let failed = failed.or_else(|| dead.map(|dead| (dead.attempts, dead.error)));
        let due = fold.due_of(cell).filter(|_| state == ShardState::Retrying);
        ShardTold {
            slice,
            page,
            state,
            failed: (!is_done).then(|| failed.map_or(0, |(attempts, _)| attempts)),
            error: failed.map(|(_, error)| error.to_owned()),
            retry_due: due.map(|due| due.rfc3339()),
        }
    }
}

/// What is looked for.
struct Search<'w> {
    which: &'w Which,
    pages: Range<u32>,
    /// Those that a worker has reported on, where one is named.
    reported: Option<BTreeMap<u32, Ranges>>,
    /// The last one that was told.
    after: Option<(u32, u32)>,
    limit: usize,
}

impl Search<'_> {
    fn of(&self, fold: &Fold) -> Shards {
        let (over, mut found) = (fold.closing().is_some(), Shards::default());
        let first = self.after.map_or(0, |(slice, _)| slice);
        let slices = match self.which.slice {
            Some(slice) => slice.max(first)..slice.saturating_add(1).min(fold.slices()),
            None => first..fold.slices(),
        };
        for slice in slices {
            let reported = self.reported.as_ref().map(|by| by.get(&slice));
            if matches!(reported, Some(None)) {
                continue;
            }
            let reported = reported.flatten();
            for segment in segments(&fold.row(slice), over) {
                if self.which.state.is_some_and(|state| state != segment.state) {
                    continue;
                }
                let begun = self.after.filter(|(begun, _)| *begun == slice);
                let from = begun.map_or(0, |(_, page)| page.saturating_add(1));
                let from = from.max(self.pages.start).max(segment.pages.start);
                for page in from..self.pages.end.min(segment.pages.end) {
                    if reported.is_some_and(|by| !by.contains(page.into())) {
                        continue;
                    }
                    let shard = ShardTold::of(fold, (slice, page), segment.state);
                    let like = self.which.error.as_deref();
                    let has = |like: &str| shard.error.as_deref().is_some_and(|e| e.contains(like));
                    if !like.is_none_or(has) {
                        continue;
                    }
                    if found.items.len() == self.limit {
                        let last = found.items.last().map(|last| (last.slice, last.page));
                        found.next = last.and_then(|last| cursor::behind(&last));
                        return found;
                    }
                    found.items.push(shard);
                }
            }
        }
        found
    }
}

/// Shards of a run, by slice and page.
#[utoipa::path(get, path = "/runs/{run}/shards", tag = "runs", operation_id = "shards",
    params(("run" = RunId, Path), Which), responses((status = 200, body = Shards)))]
pub(in super::super) async fn list(
    State(api): State<Api>,
    Linked(broker): Linked,
    Path(run): Path<RunId>,
    Query(which): Query<Which>,
) -> Answer<Json<Shards>> {
    let search = Search {
        pages: range("page", which.first_page, which.last_page)?,
        after: after(which.after.as_deref())?,
        limit: limit(which.limit)?,
        reported: match &which.worker {
            Some(worker) => Some(reported(&broker, &run, worker).await?),
            None => None,
        },
        which: &which,
    };
    let found = api
        .folds
        .look(&broker, &run, |fold| search.of(fold))
        .await?;
    Ok(Json(found))
}

/// Shards that the worker of that name or session has reported on.
async fn reported(broker: &Broker, run: &RunId, worker: &str) -> Answer<BTreeMap<u32, Ranges>> {
    let names = workers::names(broker).await?;
    let is_meant = |session: Session| {
        session.to_string() == worker || names.get(&session).is_some_and(|name| name == worker)
    };
    Ok(reported::by(broker, run, is_meant).await?)
}

/// Whether a page is meant or a question.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct Kind {
    /// `probe`: the question of that number about the slice's pages.
    kind: Option<TileKind>,
}

/// One shard, attempt by attempt: who held it, under which fence, what came of it.
#[utoipa::path(get, path = "/runs/{run}/shards/{slice}/{page}", tag = "runs", operation_id = "shard",
    params(("run" = RunId, Path), ("slice" = u32, Path), ("page" = u32, Path), Kind),
    responses((status = 200, body = ShardStory)))]
pub(in super::super) async fn show(
    Linked(broker): Linked,
    Path((run, slice, page)): Path<(RunId, u32, u32)>,
    Query(kind): Query<Kind>,
) -> Answer<Json<ShardStory>> {
    let kind = kind.kind.unwrap_or_default();
    let cell = Cell { kind, slice, page };
    Ok(Json(attempts::of(&broker, &run, cell).await?))
}
