//! Which runs there are, and how each stands.
//!
//! A run that is over is told of by its summary, which no longer changes; one that is not is folded from
//! its ledger at that moment, so what is shown is exact. A run whose ledger is gone counts as purged
//! whatever its summary says: a planner may have died between the two.

use futures_util::{Stream, StreamExt, TryStreamExt, stream};

use super::changes::{Changes, Marks};
use super::ledger::{self, Entry, Place};
use super::worked::Worked;
use super::{LeftOut, ListError, RunError, lost};
use crate::broker::Broker;
use crate::id::{JobName, QueueName, RunId};
use crate::ledger::audit::{self, Audit};
use crate::ledger::fold::Fold;
use crate::ledger::record::{Author, PlanRecord};
use crate::ledger::summary::{RunState, RunSummary};
use crate::submission::Kept;

pub(super) mod known;
mod open;

pub use open::{open_by_lane, open_of};

use known::{Known, known};

/// Ledgers that are read at once: the broker is the slower end, and each costs a page of memory.
pub(super) const AT_ONCE: usize = 16;

/// Some runs, and what is to be said of the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listed {
    /// The newest first.
    pub runs: Vec<RunSummary>,
    /// Older ones beyond the limit.
    pub more: u64,
    /// Those that cannot be told of.
    pub left_out: Vec<LeftOut>,
}

/// Lists at most `limit` runs, of `job` or of all jobs, in `state` or in any.
///
/// # Errors
/// When the broker does not answer.
pub async fn list(
    broker: &Broker,
    (job, state): (Option<&JobName>, Option<RunState>),
    limit: usize,
) -> Result<Listed, ListError> {
    let (mut known, last) = known(broker).await?;
    known.retain(|known| job.is_none_or(|job| known.run().job() == job.as_str()));
    let mut listed = Listed::default();
    // When a run was opened says its summary, or else its ledger.
    let (mut told, untold): (Vec<_>, Vec<_>) =
        known.into_iter().partition(|known| known.summary.is_some());
    let mut fresh = exactly(broker, untold, last);
    while let Some(of_run) = fresh.try_next().await? {
        told.extend(of_run.note_in(&mut listed.left_out));
    }
    if let Some(state) = state {
        // A summary of a run that is not over may be from before.
        let is_wanted = |known: &Known| known.summary.as_ref().is_some_and(|s| s.state == state);
        told.retain(|known| !known.is_over() || is_wanted(known));
        let mut now = exactly(broker, std::mem::take(&mut told), last);
        while let Some(of_run) = now.try_next().await? {
            told.extend(of_run.note_in(&mut listed.left_out).filter(is_wanted));
        }
    }
    told.sort_by(|a, b| {
        let opened = |known: &Known| known.summary.as_ref().and_then(|s| s.opened_at.clone());
        opened(b).cmp(&opened(a)).then_with(|| a.run().cmp(b.run()))
    });
    listed.more = told.len().saturating_sub(limit) as u64;
    told.truncate(limit);
    let mut shown = exactly(broker, told, last);
    while let Some(of_run) = shown.try_next().await? {
        let known = of_run.note_in(&mut listed.left_out);
        listed.runs.extend(known.and_then(|known| known.summary));
    }
    Ok(listed)
}

/// What `run`'s ledger adds up to now.
///
/// # Errors
/// When there is no such run, it cannot be told of, or the broker does not answer.
pub async fn fold(broker: &Broker, run: &RunId) -> Result<Fold, RunError> {
    fold_by(broker, run, fold_in).await
}

/// As [`fold`], and what has changed in it lately.
///
/// # Errors
/// As [`fold`].
pub async fn changes(broker: &Broker, run: &RunId) -> Result<Changes, RunError> {
    let mut marks = Marks::default();
    let noted = |fold: &mut Fold, entry: &Entry| {
        marks.note(fold, entry);
        entry.fold_into(fold);
    };
    let fold = fold_by(broker, run, noted).await?;
    Ok(Changes::of(fold, marks))
}

/// As [`fold`], and who has worked on it when.
///
/// # Errors
/// As [`fold`].
pub async fn worked(broker: &Broker, run: &RunId) -> Result<(Fold, Worked), RunError> {
    let mut worked = Worked::default();
    let noted = |fold: &mut Fold, entry: &Entry| worked.take(fold, entry);
    let fold = fold_by(broker, run, noted).await?;
    Ok((fold, worked))
}

/// As [`fold`]; `take` folds each record in, and may note what it says.
pub(super) async fn fold_by(
    broker: &Broker,
    run: &RunId,
    take: impl FnMut(&mut Fold, &Entry),
) -> Result<Fold, RunError> {
    let mut reading = Reading::new(run, take);
    ledger::of_run(broker, run, 0, |entry| reading.see(&entry)).await?;
    let fold = match reading.done(broker) {
        Err(error) => return Err(explained(broker, error).await?),
        Ok(fold) => fold,
    };
    if let Some(queue) = ended_on(&fold) {
        still_there(broker, queue, run).await?;
    }
    Ok(fold)
}

/// What every record does.
fn fold_in(fold: &mut Fold, entry: &Entry) {
    entry.fold_into(fold);
}

/// Of a run that is not there its planner may have noted that it was lost.
async fn explained(broker: &Broker, error: RunError) -> Result<RunError, RunError> {
    let (RunError::Absent { run, .. } | RunError::Headless { run }) = &error else {
        return Ok(error);
    };
    let run = run.clone();
    let key = broker.subjects().asked_key(&run);
    let kept = broker
        .state()
        .get(&key)
        .await?
        .and_then(|entry| entry.value);
    let kept = kept.map(|kept| broker.decode::<Kept>(&key, &kept));
    if let Some(Ok(Kept { overlap, .. })) = kept {
        return Ok(RunError::Waiting { run, overlap });
    }
    let how = |lost: lost::Lost| format!("{} (seen {})", lost.why, lost.at);
    Ok(match lost::of(broker, &run).await?.map(how) {
        Some(how) => RunError::Lost { run, how },
        None => error,
    })
}

/// How `run` stands now.
///
/// # Errors
/// As [`fold`].
pub async fn show(broker: &Broker, run: &RunId) -> Result<RunSummary, RunError> {
    standing(broker, run).await.map(|(summary, _)| summary)
}

/// How `run` stands now, and what its ledger adds up to.
///
/// # Errors
/// As [`fold`].
pub async fn standing(broker: &Broker, run: &RunId) -> Result<(RunSummary, Fold), RunError> {
    let fold = fold(broker, run).await?;
    match RunSummary::of(&fold) {
        Some(summary) => Ok((summary, fold)),
        None => Err(RunError::Headless { run: run.clone() }),
    }
}

/// What `run`'s ledger proves, read as it stands and never from a summary.
///
/// # Errors
/// When there is no such run, or the broker does not answer.
pub async fn audit(broker: &Broker, run: &RunId) -> Result<audit::Report, RunError> {
    let mut audit = Audit::new(run.clone());
    let mut beginning = Beginning::default();
    let take = |entry: Entry| {
        beginning.see(&entry);
        audit.read(entry.sequence, entry.record.as_ref().ok());
    };
    ledger::of_run(broker, run, 0, take).await?;
    if let Err(error) = beginning.check(broker, run) {
        return Err(explained(broker, error).await?);
    }
    let report = audit.report();
    if let (Some(_), Some(queue)) = (report.ended, &beginning.queue) {
        still_there(broker, queue, run).await?;
    }
    Ok(report)
}

/// How a ledger begins: with the last record of a run that is over, that run was purged.
#[derive(Default)]
struct Beginning {
    read: bool,
    purged: bool,
    queue: Option<QueueName>,
}

impl Beginning {
    fn see(&mut self, entry: &Entry) {
        if !self.read {
            self.read = true;
            self.purged = entry.plan().is_some_and(PlanRecord::is_end);
            self.queue = Some(entry.queue.clone());
        }
    }

    fn check(&self, broker: &Broker, run: &RunId) -> Result<(), RunError> {
        let run = run.clone();
        match self {
            Beginning { purged: true, .. } => Err(RunError::Purged { run }),
            Beginning { read: false, .. } => Err(RunError::Absent {
                run,
                namespace: broker.subjects().namespace().clone(),
            }),
            Beginning { .. } => Ok(()),
        }
    }
}

/// A ledger that is folded.
struct Reading<F> {
    fold: Fold,
    beginning: Beginning,
    fold_in: F,
}

impl<F: FnMut(&mut Fold, &Entry)> Reading<F> {
    fn new(run: &RunId, fold_in: F) -> Reading<F> {
        Reading {
            fold: Fold::new(run.clone()),
            beginning: Beginning::default(),
            fold_in,
        }
    }

    fn see(&mut self, entry: &Entry) {
        self.beginning.see(entry);
        (self.fold_in)(&mut self.fold, entry);
    }

    fn done(self, broker: &Broker) -> Result<Fold, RunError> {
        let run = self.fold.run();
        self.beginning.check(broker, run)?;
        if self.fold.opening().is_none() {
            return Err(RunError::Headless { run: run.clone() });
        }
        Ok(self.fold)
    }
}

/// The queue of a run that is over.
fn ended_on(fold: &Fold) -> Option<&QueueName> {
    fold.closing()?;
    fold.opening().map(|opening| &opening.record.job.queue)
}

/// Of a run that is over a part may have been removed while it was read: what is told of that was never so. That it goes
/// stands in its plan before anything of it does, so who asks for that behind all else knows.
async fn still_there(broker: &Broker, queue: &QueueName, run: &RunId) -> Result<(), RunError> {
    let subjects = broker.subjects();
    let plan = subjects.ledger_of(queue, run, Author::Plan);
    let last = broker.last_of_leader(&subjects.ledger(), &plan).await?;
    let last = last.map(|last| broker.decode::<PlanRecord>(&last.subject, &last.payload));
    match last {
        None | Some(Ok(PlanRecord::Retired(_) | PlanRecord::Forgotten(_))) => {
            Err(RunError::Purged { run: run.clone() })
        }
        Some(_) => Ok(()),
    }
}

/// What the records at `place` up to `last` add up to.
async fn fold_at(broker: &Broker, place: &Place, last: u64) -> Result<Fold, RunError> {
    let mut reading = Reading::new(&place.run, fold_in);
    place
        .walk(broker, last, |entry| reading.see(&entry))
        .await?;
    let fold = reading.done(broker)?;
    // Of each of many that add up the leader of the stream is not asked.
    if let Some(queue) = ended_on(&fold).filter(|_| !fold.complete()) {
        still_there(broker, queue, &place.run).await?;
    }
    Ok(fold)
}

/// A run, or why it is left out.
struct Exact {
    run: RunId,
    known: Result<Known, RunError>,
}

impl Exact {
    /// The run. What happens to every run in the end is not worth a word.
    fn note_in(self, left_out: &mut Vec<LeftOut>) -> Option<Known> {
        match self.known {
            Ok(known) => Some(known),
            Err(error) => {
                left_out.extend(told(&self.run, &error));
                None
            }
        }
    }
}

/// What is said of a run that is left out for `error`: nothing, if it is just gone.
pub(super) fn told(run: &RunId, error: &RunError) -> Option<LeftOut> {
    (!error.is_gone()).then(|| LeftOut::new(format!("run {run}"), error))
}

/// `runs` in their order, those that are not over with a summary of this moment.
fn exactly(
    broker: &Broker,
    runs: Vec<Known>,
    last: u64,
) -> impl Stream<Item = Result<Exact, ListError>> + Unpin + '_ {
    let exact = move |mut known: Known| async move {
        let run = known.run().clone();
        if known.is_over() {
            return Ok(Exact {
                run,
                known: Ok(known),
            });
        }
        let known = known.fold(broker, last).await?.map(|fold| {
            known.summary = RunSummary::of(&fold);
            known
        });
        Ok(Exact { run, known })
    };
    Box::pin(stream::iter(runs).map(exact).buffered(AT_ONCE))
}
