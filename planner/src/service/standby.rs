//! Folds the ledger of all open runs while another planner leads, so that whoever takes over next has
//! little left to read (docs/PROTOCOL.md §7).
//!
//! Nothing is decided from it before the term register is rewritten and the ledger was read to its end.

use std::collections::hash_map::IntoValues;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::api::ApiError;
use gridloom_shared::broker::log::follow::{FollowError, Followed, Start};
use gridloom_shared::broker::log::{ReadError, Seen, StreamState};
use gridloom_shared::chain;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::record::{Author, PlanRecord};
use gridloom_shared::reads::ledger::{self, Entry, Pages, Span};
use gridloom_shared::wire::WireError;
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

use super::schedules::warm::{Following, Warm};
use super::task::Task;
use super::tasks::Tasks;
use crate::alive::Signs;
use crate::lead::Lead;
use crate::pulse::Pulse;

/// Pause after the ledger could not be read.
const PAUSE: Duration = Duration::from_secs(1);
/// Runs that are read at once.
const AT_ONCE: usize = 16;

/// The open runs, as the ledger has them up to a position.
#[derive(Debug)]
pub(super) struct Folded {
    runs: HashMap<RunId, Fold>,
    /// Runs of which a newer build wrote the planner's last record: they are left alone.
    newer: BTreeSet<RunId>,
    /// The last record of the ledger that is in it.
    seen: Seen,
}

impl Folded {
    /// Reads the ledger, which stands so `now`.
    pub(super) async fn read(broker: &Broker, now: &StreamState) -> Result<Folded, ReadError> {
        let subjects = broker.subjects();
        let position = now.last_seq;
        let mut folded = Folded {
            runs: HashMap::new(),
            newer: BTreeSet::new(),
            seen: Seen::end_of(now),
        };
        let plans = subjects.ledgers_by(Author::Plan);
        let mut begun = Vec::new();
        for last in broker
            .surely_last_per_subject(&subjects.ledger(), &plans)
            .await?
        {
            let Some(entry) = Entry::read(broker, &last) else {
                continue;
            };
            match entry.plan() {
                None if is_newer(&entry) => {
                    folded.newer.insert(entry.run);
                }
                Some(record) if record.is_end() => {}
                // One that came later is read with what follows.
                Some(PlanRecord::Opened(_)) if entry.sequence > position => {}
                Some(PlanRecord::Opened(opened))
                    if opened.first.is_empty() && !folded.runs.contains_key(&entry.run) =>
                {
                    folded.begin(&entry);
                }
                Some(_) | None => begun.push(entry.run),
            }
        }
        let folds = begun.into_iter().map(|run| read_run(broker, run, position));
        let mut folds = futures_util::stream::iter(folds).buffer_unordered(AT_ONCE);
        while let Some(fold) = folds.next().await {
            folded.keep(fold?);
        }
        Ok(folded)
    }

    /// Reads on in the ledger, which stands so `now`. What was read of one that has gone since, or was set back, is read
    /// anew.
    pub(super) async fn read_on(
        mut self,
        broker: &Broker,
        now: &StreamState,
    ) -> Result<Folded, ReadError> {
        let subjects = broker.subjects();
        if !broker.goes_on(&subjects.ledger(), self.seen, now).await? {
            tracing::warn!("what was read of the ledger is not there any more: it is read anew");
            return Folded::read(broker, now).await;
        }
        let from = self.seen.seq + 1;
        let span = Span::of_all(subjects).starting_at(from).up_to(now.last_seq);
        let mut pages = Pages::of(broker, span);
        while let Some(page) = pages.next().await? {
            for entry in page {
                self.take(broker, entry).await?;
            }
        }
        self.seen = Seen::end_of(now);
        Ok(self)
    }

    /// A leadership of the runs, each open. Those that a newer build wrote last are left alone.
    pub(super) fn into_lead(self, lead: impl FnOnce(IntoValues<RunId, Fold>) -> Lead) -> Lead {
        let mut lead = lead(self.runs.into_values());
        let book = lead.book_mut();
        self.newer.into_iter().for_each(|run| book.leave(run));
        lead
    }

    /// A run of which nothing else can be there: its first record is the last that a planner wrote, and has issued
    /// nothing; or is what was just read.
    fn begin(&mut self, first: &Entry) {
        let mut fold = Fold::new(first.run.clone());
        first.fold_into(&mut fold);
        self.keep(fold);
    }

    fn keep(&mut self, fold: Fold) {
        if fold.opening().is_none() && fold.is_newer() {
            self.newer.insert(fold.run().clone());
        }
        // Of one that was purged meanwhile nothing is there.
        if fold.opening().is_some() && fold.closing().is_none() {
            self.runs.insert(fold.run().clone(), fold);
        }
    }

    /// Takes in the next record. Dropped in the middle, it can be taken in again.
    async fn take(&mut self, broker: &Broker, entry: Entry) -> Result<(), ReadError> {
        let (sequence, at) = (entry.sequence, entry.at);
        if let Some(fold) = self.runs.get_mut(&entry.run) {
            entry.fold_into(fold);
            if fold.closing().is_some() {
                self.runs.remove(&entry.run);
            }
        } else if let Some(PlanRecord::Opened(_)) = entry.plan() {
            self.begin(&entry);
        } else if is_newer(&entry) {
            self.newer.insert(entry.run);
        } else if entry.author == Author::Plan {
            // One that opens it again.
            self.keep(read_run(broker, entry.run, entry.sequence).await?);
        }
        self.seen.note(sequence, at);
        Ok(())
    }
}

/// Whether a planner of a newer build wrote it.
fn is_newer(entry: &Entry) -> bool {
    entry.record.as_ref().is_err_and(WireError::is_newer)
}

async fn read_run(broker: &Broker, run: RunId, position: u64) -> Result<Fold, ReadError> {
    ledger::fold(broker, run, position).await
}

/// A planner that does not lead.
pub(super) struct Standby {
    folded: Arc<Mutex<Option<Folded>>>,
    task: AbortHandle,
    schedules: Following,
}

/// What was known while standing by.
#[derive(Default)]
pub(super) struct Known {
    /// Of the ledger, if that could be read.
    pub(super) folded: Option<Folded>,
    /// Of schedules, likewise.
    pub(super) schedules: Option<Warm>,
}

impl Standby {
    /// Begins to fold, as one of the service's `tasks`.
    pub(super) fn start(tasks: &mut Tasks, broker: Broker, pulse: Pulse) -> Standby {
        let schedules = Following::start(tasks, broker.clone());
        let folded = Arc::default();
        let reading = Arc::clone(&folded);
        let task = tasks.keep(Task::Standby, |signs| {
            stand_by(broker, reading, pulse, signs)
        });
        Standby {
            folded,
            task,
            schedules,
        }
    }

    /// Ends it.
    pub(super) async fn stop(self) -> Known {
        self.task.abort();
        Known {
            // Whoever holds it is aborted, and nobody takes in more of what is taken away here.
            folded: self.folded.lock().await.take(),
            schedules: self.schedules.stop().await,
        }
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn stand_by(broker: Broker, folded: Arc<Mutex<Option<Folded>>>, pulse: Pulse, signs: Signs) {
    loop {
        signs.give();
        if let Err(error) = follow(&broker, &folded, &pulse, &signs).await {
            tracing::debug!(error, "a standby cannot read the ledger; trying again");
        }
        *folded.lock().await = None;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Ends when the ledger cannot be read, or is another than before.
async fn follow(
    broker: &Broker,
    folded: &Mutex<Option<Folded>>,
    pulse: &Pulse,
    signs: &Signs,
) -> Result<(), String> {
    let text = |error: ReadError| chain(&error).to_string();
    let ledger = broker.subjects().ledger();
    let state = broker.info(&ledger).await;
    let state = state.map_err(|error: ApiError| chain(&error).to_string())?;
    // As many answers as there are open runs, each of which comes or fails.
    let read = signs
        .waiting(Folded::read(broker, &state))
        .await
        .map_err(text)?;
    *folded.lock().await = Some(read);
    let all = broker.subjects().all_ledgers();
    let mut tail = broker.follow(&ledger, all, Start::Sequence(state.last_seq + 1));
    loop {
        match signs.waiting(tail.next()).await {
            Ok(Followed::Record(record)) => {
                if let Some(entry) = Entry::read(broker, &record)
                    && let Some(folded) = folded.lock().await.as_mut()
                {
                    signs
                        .waiting(folded.take(broker, entry))
                        .await
                        .map_err(text)?;
                }
                pulse.beat();
            }
            Ok(Followed::CaughtUp | Followed::Quiet) => pulse.beat(),
            Err(error @ FollowError::Rewound { .. }) => return Err(chain(&error).to_string()),
            Err(error) => {
                tracing::debug!(error = %chain(&error), "the ledger cannot be followed");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
