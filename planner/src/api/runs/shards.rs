//! The shards of a run, one by one: those that a filter means, and one with all its attempts.

use std::collections::BTreeMap;
use std::ops::Range;

use axum::Json;
use axum::extract::State;
use gridloom_shared::broker::Broker;
use gridloom_shared::id::{RunId, Session};
use gridloom_shared::ledger::fold::{Chosen, Fold};
use gridloom_shared::ranges::Ranges;
use gridloom_shared::reads::attempts::{self, ShardState, ShardStory};
use gridloom_shared::reads::grid::segments;
use gridloom_shared::reads::{reported, workers};
use gridloom_shared::tile::{Cell, TileKind};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::ask::{Path, Query, after, limit};
use super::super::cursor::List;
use super::super::link::{Api, Linked};
use super::super::problem::Answer;
use super::grid::range;

/// So many shards are looked at for one answer.
const LOOKED_AT: usize = 1_000_000;

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
    /// Whose last error holds this text, in capital letters or small ones.
    error: Option<String>,
    /// At most so many. There may be fewer before the end: a million shards are looked at for an answer.
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
        let chosen = self.chosen();
        let with_error = chosen.as_ref().map(|chosen| failed(fold, chosen));
        let sieves: Vec<_> = with_error.iter().chain(&self.reported).collect();
        let mut looked_at = 0;
        for slice in slices {
            let Some(sieves) = sieves
                .iter()
                .map(|by| by.get(&slice))
                .collect::<Option<Vec<_>>>()
            else {
                continue;
            };
            for segment in segments(&fold.row(slice), over) {
                if self.which.state.is_some_and(|state| state != segment.state) {
                    continue;
                }
                let begun = self.after.filter(|(begun, _)| *begun == slice);
                let from = begun.map_or(0, |(_, page)| page.saturating_add(1));
                let from = from.max(self.pages.start).max(segment.pages.start);
                let pages = from..self.pages.end.min(segment.pages.end);
                for page in sifted(pages, &sieves) {
                    // What is looked at holds everybody else up, and is bounded whatever the filter leaves of it.
                    if looked_at == LOOKED_AT || found.items.len() == self.limit {
                        found.next = List::shards(fold.run()).behind(&before(slice, page));
                        return found;
                    }
                    looked_at += 1;
                    let shard = ShardTold::of(fold, (slice, page), segment.state);
                    let is_meant = chosen.as_ref().is_none_or(|chosen| {
                        let error = shard.error.as_deref();
                        error.is_some_and(|error| chosen.has_error(error))
                    });
                    if is_meant {
                        found.items.push(shard);
                    }
                }
            }
        }
        found
    }

    /// Which errors are meant, where a text is named.
    fn chosen(&self) -> Option<Chosen> {
        Some(Chosen {
            slice: self.which.slice,
            error_like: Some(self.which.error.clone()?),
            given_up: true,
            ..Chosen::default()
        })
    }
}

/// The place just before a page: where a list goes on that is to begin with it.
fn before(slice: u32, page: u32) -> (u32, u32) {
    match page.checked_sub(1) {
        Some(last) => (slice, last),
        None => (slice.saturating_sub(1), u32::MAX),
    }
}

/// The pages that have such an error, by slice: those that failed and wait, and those that are dead.
fn failed(fold: &Fold, chosen: &Chosen) -> BTreeMap<u32, Ranges> {
    let mut by_slice: BTreeMap<u32, Ranges> = BTreeMap::new();
    let waiting = fold.waiting().iter();
    let waiting = waiting.filter(|(_, failed)| chosen.has_error(fold.error_of(failed)));
    let waiting = waiting.map(|(cell, _)| (*cell, cell.page..cell.page.saturating_add(1)));
    for (first, pages) in waiting.chain(fold.dead_pages(chosen)) {
        if first.kind == TileKind::Page {
            let of_slice = by_slice.entry(first.slice).or_default();
            of_slice.insert(pages.start.into()..pages.end.into());
        }
    }
    by_slice
}

/// Those of the pages that every sieve has.
fn sifted(pages: Range<u32>, sieves: &[&Ranges]) -> impl Iterator<Item = u32> + use<> {
    let whole = u64::from(pages.start)..u64::from(pages.end);
    let mut parts = Vec::from_iter(Some(whole));
    for sieve in sieves {
        parts = parts.iter().flat_map(|part| sieve.within(part)).collect();
    }
    // Within the pages that were given.
    parts
        .into_iter()
        .flat_map(|part| part.start as u32..part.end as u32)
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
        after: after(List::shards(&run), which.after.as_deref())?,
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
