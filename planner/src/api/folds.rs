//! The ledgers that were folded lately: whoever looks at a run looks at it again a moment later, and then only what
//! was written since is read. Bounded in number and in memory; of each run one reader reads, and the others wait for it.

use std::sync::{Arc, Mutex, PoisonError};

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::ReadError;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::record::Author;
use gridloom_shared::reads::ledger::{Place, Span, walk};
use gridloom_shared::reads::worked::Worked;
use gridloom_shared::reads::{RunError, runs};

/// So many are kept.
const KEPT: usize = 32;
/// So many bytes of them, about; the last one whatever its size.
const MEMORY: usize = 128 << 20;

/// A fold, and who did what of it, that one at a time brings up to date.
type Shared = Arc<tokio::sync::Mutex<Option<(Fold, Worked)>>>;

/// The runs that were looked at last, the last at the end.
#[derive(Default)]
pub(super) struct Folds(Mutex<Vec<(RunId, Shared, usize)>>);

impl Folds {
    /// What `look` sees in the ledger of `run`, as it stands now.
    pub(super) async fn look<R>(
        &self,
        broker: &Broker,
        run: &RunId,
        look: impl FnOnce(&Fold) -> R,
    ) -> Result<R, RunError> {
        self.look_at_work(broker, run, |fold, _| look(fold)).await
    }

    /// As [`Folds::look`], with who has worked on it when.
    pub(super) async fn look_at_work<R>(
        &self,
        broker: &Broker,
        run: &RunId,
        look: impl FnOnce(&Fold, &Worked) -> R,
    ) -> Result<R, RunError> {
        let shared = self.of(run);
        let mut kept = shared.lock().await;
        let (fold, worked) = match kept.take() {
            Some((mut fold, mut worked)) => {
                if further(broker, &mut fold, &mut worked).await? {
                    (fold, worked)
                } else {
                    runs::worked(broker, run).await?
                }
            }
            None => runs::worked(broker, run).await?,
        };
        let seen = look(&fold, &worked);
        let bytes = fold.memory() + worked.memory();
        *kept = Some((fold, worked));
        drop(kept);
        self.weigh(run, bytes);
        Ok(seen)
    }

    fn of(&self, run: &RunId) -> Shared {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = all.iter().position(|(one, ..)| one == run) {
            let one = all.remove(place);
            let shared = Arc::clone(&one.1);
            all.push(one);
            return shared;
        }
        if all.len() >= KEPT {
            all.remove(0);
        }
        let shared = Shared::default();
        all.push((run.clone(), Arc::clone(&shared), 0));
        shared
    }

    /// Notes how much memory it takes, and lets the oldest go where that is too much.
    fn weigh(&self, run: &RunId, bytes: usize) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = all.iter_mut().find(|(one, ..)| one == run) {
            one.2 = bytes;
        }
        let mut sum: usize = all.iter().map(|(.., bytes)| bytes).sum();
        while sum > MEMORY && all.len() > 1 {
            sum -= all.remove(0).2;
        }
    }
}

/// Folds in what was written since. `false`: what was folded is not there any more, and it has to be read anew.
async fn further(broker: &Broker, fold: &mut Fold, worked: &mut Worked) -> Result<bool, ReadError> {
    let ledger = broker.subjects().ledger();
    let last = broker.info(&ledger).await.map_err(|cause| ReadError {
        stream: ledger.to_string(),
        cause,
    })?;
    let last = last.last_seq;
    let place = Place::of(broker, fold.run()).await?;
    let queue = fold
        .opening()
        .map(|opening| opening.record.job.queue.clone());
    let counted: u64 = [Author::Plan, Author::Work, Author::Takeover]
        .into_iter()
        .map(|author| place.records(author))
        .sum();
    let (Some(queue), true) = (queue, counted >= fold.records() && last >= fold.position()) else {
        return Ok(false);
    };
    let (nonce, from) = (fold.nonce(), fold.position() + 1);
    if from <= last {
        let span = Span::of(broker.subjects(), &queue, fold.run());
        walk(broker, span.starting_at(from).up_to(last), |entry| {
            worked.take(fold, &entry);
        })
        .await?;
        fold.advance(last);
    }
    // Of a run that was retired nothing more can be told, and one that was opened anew is another.
    Ok(fold.retired().is_none() && fold.nonce() == nonce)
}
