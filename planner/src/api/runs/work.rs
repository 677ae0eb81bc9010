//! Who has worked on a run when. A worker that is found dead is registered no more: its name is remembered here, where it
//! was seen before.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use axum::Json;
use axum::extract::State;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{RunId, Session};
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::reads::worked::{Registered, RunWork, Worked};
use gridloom_shared::reads::workers;

use super::super::ask::Path;
use super::super::link::{Api, Linked};
use super::super::problem::Answer;

/// So many workers are remembered.
const NAMES_MAX: usize = 4_096;

/// Workers that were registered when somebody looked.
#[derive(Default)]
pub(in super::super) struct Names(Mutex<BTreeMap<Session, Registered>>);

impl Names {
    /// Those that are registered now, and those of before.
    fn with(&self, now: BTreeMap<Session, Registered>) -> BTreeMap<Session, Registered> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() + now.len() > NAMES_MAX {
            all.clear();
        }
        all.extend(now);
        all.clone()
    }
}

/// What each worker did of a run in each span of time: some 20 kB at most, whatever the run. What a worker holds and has
/// told nothing of is not in it: the ledger does not say who got a shard.
#[utoipa::path(get, path = "/runs/{run}/workers", tag = "runs", operation_id = "run_workers",
    params(("run" = RunId, Path)), responses((status = 200, body = RunWork)))]
pub(in super::super) async fn work(
    State(api): State<Api>,
    Linked(broker): Linked,
    Path(run): Path<RunId>,
) -> Answer<Json<RunWork>> {
    let registered = api.names.with(workers::registered(&broker).await?);
    let now = UnixMs::now();
    let seen = |fold: &Fold, worked: &Worked| worked.told(fold, now, &registered);
    Ok(Json(api.folds.look_at_work(&broker, &run, seen).await?))
}
