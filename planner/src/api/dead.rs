//! Dead letters: shards whose attempts are used up, of all runs or of one. [`order`]: what is ordered of them.

use axum::Json;
use axum::extract::State;
use gridloom_shared::broker::Broker;
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::ledger::fold::{Chosen, Fold};
use gridloom_shared::reads::dead::{self, DeadShard};
use gridloom_shared::reads::{LeftOut, RunError};
use gridloom_shared::tile::{Cell, TileKind};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::ask::{Query, after, limit};
use super::cursor::List;
use super::link::{Api, Linked};
use super::mirror::Place;
use super::problem::{Answer, Problem};

pub(super) mod order;

/// Runs that are looked into for one page at most.
const RUNS_A_PAGE: usize = 200;
/// Slices of several jobs have nothing in common.
const SLICE_ALONE: &str = "slice: is one of a run, or of a job's runs; name run or job too";

/// Which dead shards.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Of this job.
    #[param(value_type = Option<JobName>)]
    job: Option<JobName>,
    /// Of this run.
    #[param(value_type = Option<RunId>)]
    run: Option<RunId>,
    /// Of this slice.
    slice: Option<u32>,
    /// This page of the slice.
    page: Option<u32>,
    /// Whose last error holds this.
    error: Option<String>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<u32>,
    /// What `next` of the page before said.
    after: Option<String>,
}

/// A page of dead shards.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct DeadShards {
    /// Those of the newest run first; of a run by slice and page. Those that were given up are not among them.
    items: Vec<DeadShard>,
    /// Where the list goes on; `None`: that was the end. A page may have few items, or none, and the list go on.
    next: Option<String>,
    /// Runs that cannot be told of.
    left_out: Vec<LeftOut>,
}

/// The last run that was looked into, and the last of its shards that was told.
type Last = (Place, Option<(bool, u32, u32)>);

fn cell((is_probe, slice, page): (bool, u32, u32)) -> Cell {
    let kind = match is_probe {
        true => TileKind::Probe,
        false => TileKind::Page,
    };
    Cell { kind, slice, page }
}

fn key(shard: &DeadShard) -> (bool, u32, u32) {
    (shard.kind == TileKind::Probe, shard.slice, shard.page)
}

impl Which {
    pub(super) fn chosen(&self) -> Chosen {
        Chosen {
            slice: self.slice,
            page: self.page,
            error_like: self.error.clone(),
            given_up: false,
        }
    }

    /// The runs to look into from `from` on, which is among them.
    async fn runs(&self, api: &Api, last: Option<&Last>) -> Answer<Vec<Place>> {
        if let Some(run) = &self.run {
            return Ok(Vec::from([(String::new(), run.clone())]));
        }
        let is_meant = |run: &RunId| {
            self.job
                .as_ref()
                .is_none_or(|job| run.job() == job.as_str())
        };
        api.runs
            .look(|runs| {
                let begun = last.filter(|(_, told)| told.is_some());
                let begun = begun.map(|(place, _)| place.clone());
                let rest = runs.behind(last.map(|(place, _)| place));
                let suspects = rest.filter(|((_, run), row)| is_meant(run) && row.dead > 0);
                let suspects = suspects.map(|(place, _)| place.clone());
                begun
                    .into_iter()
                    .chain(suspects)
                    .take(RUNS_A_PAGE + 1)
                    .collect()
            })
            .await
    }
}

/// Dead shards.
#[utoipa::path(get, path = "/dead", tag = "dead letters", operation_id = "dead", params(Which),
    responses((status = 200, body = DeadShards)))]
pub(super) async fn list(
    State(api): State<Api>,
    Linked(broker): Linked,
    Query(which): Query<Which>,
) -> Answer<Json<DeadShards>> {
    if which.page.is_some() && which.slice.is_none() {
        return Err(Problem::invalid("page: is one of a slice; name that too"));
    }
    if which.slice.is_some() && which.run.is_none() && which.job.is_none() {
        return Err(Problem::invalid(SLICE_ALONE));
    }
    let limit = limit(which.limit)?;
    let mut last: Option<Last> = after(List::DEAD, which.after.as_deref())?;
    let runs = which.runs(&api, last.as_ref()).await?;
    let (mut found, chosen) = (DeadShards::default(), which.chosen());
    for (looked, place) in runs.into_iter().enumerate() {
        if looked == RUNS_A_PAGE {
            found.next = last.as_ref().and_then(|last| List::DEAD.behind(last));
            break;
        }
        let begun = last.as_ref().filter(|(run, _)| run.1 == place.1);
        let begun = begun.and_then(|(_, told)| *told).map(cell);
        let room = limit - found.items.len();
        let (shards, more) = match of_run(&api, &broker, &place.1, (&chosen, begun, room)).await {
            Ok(found) => found,
            Err(error) if which.run.is_some() || !error.is_of_the_run() => return Err(error.into()),
            Err(error) => {
                let name = format!("run {}", place.1);
                let reason = gridloom_shared::chain(&error).to_string();
                let told = (!error.is_gone()).then_some(LeftOut { name, reason });
                found.left_out.extend(told);
                (Vec::new(), false)
            }
        };
        let told = shards.last().map(key).filter(|_| more);
        found.items.extend(shards);
        last = Some((place, told));
        if more {
            found.next = last.as_ref().and_then(|last| List::DEAD.behind(last));
            break;
        }
    }
    Ok(Json(found))
}

/// Dead shards of one run behind one of them, as many as there is room for, and whether there are more.
async fn of_run(
    api: &Api,
    broker: &Broker,
    run: &RunId,
    (chosen, begun, room): (&Chosen, Option<Cell>, usize),
) -> Result<(Vec<DeadShard>, bool), RunError> {
    let seen = |fold: &Fold| {
        let all = dead::shards(fold, chosen);
        let rest = all.skip_while(|shard| begun.is_some_and(|begun| cell(key(shard)) <= begun));
        let mut shards: Vec<DeadShard> = rest.take(room + 1).collect();
        let more = shards.len() > room;
        shards.truncate(room);
        (shards, more)
    };
    api.folds.look(broker, run, seen).await
}
