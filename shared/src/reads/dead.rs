//! Which shards have used up their attempts, with their last error: run by run, so that a list of any
//! length needs the memory of a few runs.

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};

use super::runs::known::{Known, known};
use super::runs::{self, told};
use super::{LeftOut, ListError, RunError};
use crate::broker::Broker;
use crate::broker::log::ReadError;
use crate::broker::subjects::UNSEEN_KEY;
use crate::id::{JobName, RunId};
use crate::ledger::fold::{Chosen, Fold};
use crate::ledger::summary::RunState;
use crate::tile::TileKind;

/// A dead shard, as `dead list --json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    /// It has dead shards that are meant: see [`shards`].
    Dead(Box<Fold>),
    /// It cannot be told of.
    LeftOut(LeftOut),
}

/// The runs of `job`, or of all jobs, with dead shards that are meant, the newest first.
///
/// # Errors
/// When the broker does not answer; so may every item of the stream.
pub async fn list<'a>(
    broker: &'a Broker,
    job: Option<&JobName>,
    chosen: &'a Chosen,
) -> Result<impl Stream<Item = Result<OfRun, ListError>> + Unpin + 'a, ListError> {
    let (mut suspects, last) = known(broker).await?;
    suspects.retain(|known| {
        job.is_none_or(|job| known.run().job() == job.as_str()) && is_suspect(known)
    });
    suspects.sort_by(|a, b| {
        let opened = |known: &Known| known.summary.as_ref().map(|s| s.opened_at.clone());
        opened(b).cmp(&opened(a)).then_with(|| a.run().cmp(b.run()))
    });
    let read = move |known: Known| async move {
        Ok(match known.fold(broker, last).await? {
            Ok(fold) if fold.count_of(chosen) == 0 => None,
            Ok(fold) => Some(OfRun::Dead(Box::new(fold))),
            Err(error) => told(known.run(), &error).map(OfRun::LeftOut),
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

/// The dead shards of a run that are meant, in order.
pub fn shards<'a>(fold: &'a Fold, chosen: &Chosen) -> impl Iterator<Item = DeadShard> + use<'a> {
    fold.dead_of(chosen).map(|dead| DeadShard {
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

/// Dead shards that were purged before anybody had retried them or given them up: the value of a key of
/// the `state` bucket, as JSON. The note goes with the ids of that time, or by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unseen {
    /// Of how many runs.
    pub runs: u64,
    /// How many.
    pub shards: u64,
    /// The last of those runs.
    pub last: RunId,
    /// When that went, RFC 3339.
    pub at: String,
}

impl Unseen {
    /// Reads the value of the key.
    pub fn read(value: &[u8]) -> Option<Unseen> {
        serde_json::from_slice(value).ok()
    }

    /// The value of the key.
    pub fn write(&self) -> Bytes {
        serde_json::json!(self).to_string().into()
    }
}

/// What went unseen so far, as planners have noted.
///
/// # Errors
/// When the broker does not answer.
pub async fn unseen(broker: &Broker) -> Result<Option<Unseen>, ReadError> {
    let noted = broker.state().get_of_leader(UNSEEN_KEY).await?;
    Ok(noted.and_then(|noted| Unseen::read(noted.value.as_ref()?)))
}

/// Whether a run may have dead shards, as far as its summary says.
fn is_suspect(known: &Known) -> bool {
    known.summary.as_ref().is_none_or(|summary| {
        // A summary of an earlier build says nothing of dead probes.
        let stopped = matches!(summary.state, RunState::Failed | RunState::Cancelled);
        !summary.state.ended() || stopped || summary.shards.is_anything_dead()
    })
}
