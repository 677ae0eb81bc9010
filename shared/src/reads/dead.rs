//! Which shards have used up their attempts, with their last error: run by run, so that a list of any
//! length needs the memory of a few runs.

use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;

use super::runs::{self, Known, told};
use super::{LeftOut, ListError, RunError};
use crate::broker::Broker;
use crate::id::RunId;
use crate::ledger::fold::Fold;
use crate::ledger::summary::RunState;
use crate::tile::TileKind;

/// A dead shard, as `dead list --json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadShard {
    /// Its run.
    pub run: RunId,
    /// Its job.
    pub job: String,
    /// Whether it is a page or a question of a probe.
    pub kind: TileKind,
    /// Row of the grid.
    pub slice: u32,
    /// Page, or number of the question.
    pub page: u32,
    /// Attempts that failed.
    pub attempts: u32,
    /// The last error.
    pub error: String,
    /// When that was recorded, RFC 3339.
    pub at: String,
}

/// What is said of one run.
#[derive(Debug)]
pub enum OfRun {
    /// It has dead shards that nobody gave up: see [`shards`].
    Dead(Box<Fold>),
    /// It cannot be told of.
    LeftOut(LeftOut),
}

/// The runs with dead shards that were not given up, the newest first.
///
/// # Errors
/// When the broker does not answer; so may every item of the stream.
pub async fn list(
    broker: &Broker,
) -> Result<impl Stream<Item = Result<OfRun, ListError>> + Unpin + '_, ListError> {
    let mut suspects = runs::known(broker).await?;
    suspects.retain(is_suspect);
    suspects.sort_by(|a, b| {
        let opened = |known: &Known| known.summary.as_ref().map(|s| s.opened_at.clone());
        opened(b).cmp(&opened(a)).then_with(|| a.run.cmp(&b.run))
    });
    let last = broker.info(&broker.subjects().ledger()).await?.last_seq;
    let read = move |known: Known| async move {
        Ok(match known.fold(broker, last).await? {
            Ok(fold) if shards(&fold).next().is_none() => None,
            Ok(fold) => Some(OfRun::Dead(Box::new(fold))),
            Err(error) => told(&known.run, &error).map(OfRun::LeftOut),
        })
    };
    let all = stream::iter(suspects).map(read).buffered(runs::AT_ONCE);
    Ok(Box::pin(
        all.filter_map(|of_run| async { of_run.transpose() }),
    ))
}

/// The fold of one run, whose dead shards are asked for.
///
/// # Errors
/// As [`runs::fold`].
pub async fn of_run(broker: &Broker, run: &RunId) -> Result<Fold, RunError> {
    runs::fold(broker, run).await
}

/// The dead shards of a run that were not given up, in order.
pub fn shards(fold: &Fold) -> impl Iterator<Item = DeadShard> + '_ {
    let dead = fold.dead().filter(|dead| !dead.dropped);
    dead.map(|dead| DeadShard {
        run: fold.run().clone(),
        job: fold.run().job().to_owned(),
        kind: dead.cell.kind,
        slice: dead.cell.slice,
        page: dead.cell.page,
        attempts: dead.attempts,
        error: dead.error.to_owned(),
        at: dead.at.rfc3339(),
    })
}

/// Whether a run may have dead shards, as far as its summary says.
fn is_suspect(known: &Known) -> bool {
    known.summary.as_ref().is_none_or(|summary| {
        // Dead probes are not among its shards.
        let stopped = matches!(summary.state, RunState::Failed | RunState::Cancelled);
        !summary.state.ended() || stopped || summary.shards.dead > 0
    })
}
