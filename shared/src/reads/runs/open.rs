//! Which runs are open, and which lanes they belong on.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::AT_ONCE;
use super::known::{Known, known};
use crate::broker::Broker;
use crate::id::{JobName, RunId};
use crate::lane::Lane;
use crate::ledger::record::{Author, PlanRecord};
use crate::reads::ListError;

/// Open runs by the lane of their tiles: of `most` of them, those of different jobs before others of the same.
/// A run of which the ledger does not say it is left out.
///
/// # Errors
/// When the broker does not answer.
pub async fn open_by_lane(
    broker: &Broker,
    most: usize,
) -> Result<BTreeMap<Lane, Vec<RunId>>, ListError> {
    let (known, _) = known(broker).await?;
    let open = known.into_iter().filter(|run| !run.is_over()).collect();
    let mut open = of_different_jobs_first(open);
    open.truncate(most);
    let looks: Vec<_> = open.iter().map(|run| lane_of(broker, run)).collect();
    let lanes = stream::iter(looks).buffered(AT_ONCE);
    let lanes: Vec<Option<Lane>> = lanes.try_collect().await?;
    let mut by_lane: BTreeMap<Lane, Vec<RunId>> = BTreeMap::new();
    for (run, lane) in open.iter().zip(lanes) {
        if let Some(lane) = lane {
            by_lane.entry(lane).or_default().push(run.run().clone());
        }
    }
    Ok(by_lane)
}

/// The open runs of `job`.
///
/// # Errors
/// When the broker does not answer.
pub async fn open_of(broker: &Broker, job: &JobName) -> Result<Vec<RunId>, ListError> {
    let (mut known, last) = known(broker).await?;
    known.retain(|known| known.run().job() == job.as_str() && !known.is_over());
    // A summary says late that its run is over.
    let looks: Vec<_> = known
        .iter()
        .map(|known| goes_on(broker, known, last))
        .collect();
    let open = stream::iter(looks).buffered(AT_ONCE);
    let open: Vec<Option<RunId>> = open.try_collect().await?;
    Ok(open.into_iter().flatten().collect())
}

async fn goes_on(broker: &Broker, known: &Known, last: u64) -> Result<Option<RunId>, ListError> {
    let fold = known.fold(broker, last).await?;
    let goes_on = fold.is_ok_and(|fold| fold.closing().is_none());
    Ok(goes_on.then(|| known.run().clone()))
}

/// One run of each job, then a second of each, and so on.
fn of_different_jobs_first(runs: Vec<Known>) -> Vec<Known> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut numbered: Vec<(usize, Known)> = runs
        .into_iter()
        .map(|run| {
            let before = seen.entry(run.run().job().to_owned()).or_default();
            *before += 1;
            (*before, run)
        })
        .collect();
    numbered.sort_by_key(|(number, _)| *number);
    numbered.into_iter().map(|(_, run)| run).collect()
}

/// Where the tiles of `run` belong; `None` where it is over or cancelled after all, or has no beginning that can be read.
async fn lane_of(broker: &Broker, run: &Known) -> Result<Option<Lane>, ListError> {
    let Some(plan) = run.place.subject(broker, Author::Plan) else {
        return Ok(None);
    };
    let ledger = broker.subjects().ledger();
    // A summary says late that its run is over.
    let last = broker.last(&ledger, &plan).await?;
    let last = last.and_then(|last| {
        broker
            .decode::<PlanRecord>(&last.subject, &last.payload)
            .ok()
    });
    let over = |last: &PlanRecord| last.is_end() || matches!(last, PlanRecord::Cancelled(_));
    if last.as_ref().is_none_or(over) {
        return Ok(None);
    }
    let first = broker.first(&ledger, &plan).await?;
    let first = first.and_then(|first| {
        broker
            .decode::<PlanRecord>(&first.subject, &first.payload)
            .ok()
    });
    Ok(match first {
        Some(PlanRecord::Opened(opened)) => Some(Lane::of(&opened.job)),
        Some(_) | None => None,
    })
}
