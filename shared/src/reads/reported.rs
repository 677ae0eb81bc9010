//! Which shards of a run a worker has reported on: read from the ledger, as the fold does not keep who said what.

use std::collections::BTreeMap;

use super::{RunError, ledger};
use crate::broker::Broker;
use crate::id::{RunId, Session};
use crate::ledger::outcomes;
use crate::ledger::record::{Record, WorkRecord};
use crate::ranges::Ranges;
use crate::tile::TileKind;

/// Pages of `run`, by their slices, of which a worker that is meant has said what came of an attempt, whether that counts
/// or not.
///
/// # Errors
/// When the broker does not answer.
pub async fn by(
    broker: &Broker,
    run: &RunId,
    is_meant: impl Fn(Session) -> bool,
) -> Result<BTreeMap<u32, Ranges>, RunError> {
    let mut pages: BTreeMap<u32, Ranges> = BTreeMap::new();
    let take = |entry: ledger::Entry| {
        let Ok(Record::Work(work @ WorkRecord::Outcomes { block, .. })) = &entry.record else {
            return;
        };
        let (session, _) = work.signature();
        if !is_meant(session) {
            return;
        }
        let outcomes = outcomes::decode(block).unwrap_or_default();
        let outcomes = outcomes
            .iter()
            .filter(|outcome| outcome.kind == TileKind::Page);
        for outcome in outcomes {
            let first = u64::from(outcome.first);
            let run = first..first + u64::from(outcome.pages);
            pages.entry(outcome.slice).or_default().insert(run);
        }
    };
    ledger::of_run(broker, run, 0, take).await?;
    Ok(pages)
}
