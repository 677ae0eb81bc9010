//! The ledgers that were folded lately: whoever looks at a run looks at it again a moment later, and then only what
//! was written since is read. Bounded in number and in memory; of each run one reads at a time, for all who wait
//! ([`super::in_turn`]): also where a hundred services call back at once, and go away when they are not answered soon.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::ReadError;
use gridloom_shared::id::{Nonce, RunId};
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::record::Author;
use gridloom_shared::reads::ledger::{Place, Span, walk};
use gridloom_shared::reads::worked::Worked;
use gridloom_shared::reads::{RunError, runs};

use super::in_turn::InTurn;

/// So many are kept.
const KEPT: usize = 32;
/// So many bytes of them, about; the last one whatever its size.
const MEMORY: usize = 128 << 20;

/// A run that was looked at: what is known of it, and who reads on.
struct Known {
    read: Mutex<Read>,
    readings: InTurn<RunError>,
}

/// How far the ledger of a run is read. What was read stays, also where a reading is given up on the way.
struct Read {
    fold: Fold,
    worked: Worked,
    /// Of the run as it was when it was read from the beginning.
    nonce: Option<Nonce>,
}

type Shared = Arc<Known>;

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
        let known = self.of(run);
        let reading = || {
            let (known, broker, run) = (Arc::clone(&known), broker.clone(), run.clone());
            async move { known.read_on(&broker, &run).await }
        };
        known.readings.read(reading).await?;
        let (seen, bytes) = {
            let Read { fold, worked, .. } = &*known.read();
            (look(fold, worked), fold.memory() + worked.memory())
        };
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
        let shared = Arc::new(Known::nothing_of(run));
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

impl Known {
    fn nothing_of(run: &RunId) -> Known {
        let read = Read {
            fold: Fold::new(run.clone()),
            worked: Worked::default(),
            nonce: None,
        };
        Known {
            read: Mutex::new(read),
            readings: InTurn::default(),
        }
    }

    fn read(&self) -> MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what is there by now.
    async fn read_on(&self, broker: &Broker, run: &RunId) -> Result<(), RunError> {
        if !self.further(broker, run).await? {
            let (fold, worked) = runs::worked(broker, run).await?;
            let nonce = fold.nonce();
            *self.read() = Read {
                fold,
                worked,
                nonce,
            };
        }
        Ok(())
    }

    /// Folds in what was written since. `false`: what was folded is not there any more, and it has to be read anew.
    async fn further(&self, broker: &Broker, run: &RunId) -> Result<bool, ReadError> {
        let (queue, records, position) = {
            let Read { fold, .. } = &*self.read();
            let queue = fold.opening().map(|opened| opened.record.job.queue.clone());
            (queue, fold.records(), fold.position())
        };
        let Some(queue) = queue else {
            return Ok(false);
        };
        let ledger = broker.subjects().ledger();
        let last = broker.info(&ledger).await.map_err(|cause| ReadError {
            stream: ledger.to_string(),
            cause,
        })?;
        let last = last.last_seq;
        let place = Place::of(broker, run).await?;
        let counted: u64 = [Author::Plan, Author::Work, Author::Takeover]
            .into_iter()
            .map(|author| place.records(author))
            .sum();
        if counted < records || last < position {
            return Ok(false);
        }
        let from = position + 1;
        if from <= last {
            let span = Span::of(broker.subjects(), &queue, run);
            walk(broker, span.starting_at(from).up_to(last), |entry| {
                let Read { fold, worked, .. } = &mut *self.read();
                worked.take(fold, &entry);
            })
            .await?;
            self.read().fold.advance(last);
        }
        // Of a run that was retired nothing more can be told, and one that was opened anew is another.
        let Read { fold, nonce, .. } = &*self.read();
        Ok(fold.retired().is_none() && fold.nonce() == *nonce)
    }
}
