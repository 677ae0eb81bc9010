//! One shard of a run, attempt by attempt: who held it, under which fence, what came of it, and what follows.
//!
//! It is read from the ledger, page by page; [`history`] decides what of it concerns the shard. The ledger does
//! not say who got a tile from the queue until that worker says something of it: of a shard that lacks its
//! outcome the workers are asked whether they hold it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{RunError, runs, workers};
use crate::broker::Broker;
use crate::clock::UnixMs;
use crate::id::{RunId, Session};
use crate::ledger::fold::Fold;
use crate::ledger::outcomes::ROWS;
use crate::ledger::record::Reason;
use crate::tile::{Bounds, Cell, TileKind};

mod history;

pub use history::{ATTEMPTS_KEPT, History};

use history::{Attempt, Holder, Outcome};

/// Why a shard cannot be told of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// Its run cannot.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The grid has no such slice.
    #[error(
        "there is no slice {slice} in run {run}: it has {slices}, and they are counted from 0; name another with --shard SLICE/PAGE"
    )]
    NoSlice {
        /// The run.
        run: RunId,
        /// What was asked for.
        slice: u32,
        /// How many there are.
        slices: u32,
    },
    /// The slice has no such page.
    #[error(
        "there is no page {page} in slice {slice} of run {run}: it has {pages}, and they are counted from 0; name another with --shard SLICE/PAGE"
    )]
    NoPage {
        /// The run.
        run: RunId,
        /// The slice.
        slice: u32,
        /// What was asked for.
        page: u32,
        /// How many it has.
        pages: u32,
    },
    /// No such question was asked about the slice, and none will be.
    #[error(
        "no probe has asked question {question} about slice {slice} of run {run}; pages are named as --shard {slice}/0"
    )]
    NoQuestion {
        /// The run.
        run: RunId,
        /// The slice.
        slice: u32,
        /// What was asked for.
        question: u32,
    },
}

/// Where a shard is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ShardState {
    /// No wave has issued it yet.
    NotIssued,
    /// An attempt is issued and lacks its outcome.
    Issued,
    /// It failed, and waits for its next attempt.
    Retrying,
    /// It has its success.
    Done,
    /// Its attempts are used up.
    Dead,
    /// Likewise, and somebody gave it up.
    GivenUp,
    /// Its run ended before it had an outcome.
    Cancelled,
}

/// A shard, as `show RUN --shard SLICE/PAGE --json` prints it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ShardStory {
    /// Its run.
    pub run: RunId,
    /// Its job.
    pub job: String,
    /// Its queue.
    pub queue: String,
    /// The shard as `--shard` takes it.
    pub shard: String,
    /// Whether it is a page or a question of a probe.
    pub kind: TileKind,
    /// Row of the grid.
    pub slice: u32,
    /// Page, or number of the question.
    pub page: u32,
    /// The first and the last key of the page, where it has some.
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::openapi::bounds))]
    pub bounds: Option<Bounds>,
    /// Where it is in its life.
    pub state: ShardState,
    /// When its next attempt is due, by the broker's clock, RFC 3339.
    pub retry_due: Option<String>,
    /// Attempts that it may have, besides those that do not count.
    pub max_attempts: u32,
    /// Attempts that count for none of these, while it waits for another: those that ended in a hold, and those before
    /// somebody retried it.
    pub uncounted_attempts: u32,
    /// Attempts before those that are told: the last [`ATTEMPTS_KEPT`] are.
    pub earlier_attempts: u64,
    /// Its attempts in their order.
    pub attempts: Vec<AttemptStory>,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AttemptStory {
    /// Its number, from 1.
    pub attempt: u32,
    /// The wave that issued it.
    pub wave: u32,
    /// The place of its tile in the wave.
    pub tile: u32,
    /// When it was issued, RFC 3339.
    pub issued_at: String,
    /// Who held its tile, one after the other.
    pub holders: Vec<HolderStory>,
    /// Workers that say just now that they hold it.
    pub held_by: Vec<Author>,
    /// What came of it.
    pub result: Option<OutcomeStory>,
    /// What was said of it and does not count: a later success, or the failure of one that had lost it.
    pub uncounted: Vec<OutcomeStory>,
}

/// A worker, by its session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Author {
    /// Its life.
    pub session: String,
    /// Its name, while it is registered.
    pub worker: Option<String>,
}

/// One holding of an attempt's tile.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HolderStory {
    /// Who; `None` for one that got it from the queue and has said nothing, neither to the ledger nor now.
    pub by: Option<Author>,
    /// Under which fence.
    pub fence: u64,
    /// Why it took the tile over; `None` for the first, who got it from the queue.
    pub takeover: Option<Reason>,
    /// When it took the tile over, RFC 3339.
    pub taken_at: Option<String>,
    /// When it announced the shard, as is done after a takeover that suggests a crash.
    pub started_at: Option<String>,
    /// When it handed the tile back, or said that it had lost it.
    pub returned_at: Option<String>,
}

/// What was said of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OutcomeStory {
    /// Who said it; `None` where it follows from the deaths of its holders.
    pub by: Option<Author>,
    /// Under which fence.
    pub fence: u64,
    /// When the ledger had it, RFC 3339.
    pub ended_at: String,
    /// Whether it succeeded.
    pub done: bool,
    /// The error, if it failed.
    pub error: Option<String>,
    /// Whether it failed with a hold, which uses up none of `max_attempts`.
    pub held: bool,
    /// The counter `rows`.
    pub rows: i64,
    /// The other counters.
    pub counters: BTreeMap<String, i64>,
    /// The small result that its handler set, as text.
    pub output: Option<String>,
}

/// What the ledger says of `cell` of `run`, and who holds it now.
///
/// # Errors
/// When there is no such run or shard, or the broker does not answer.
pub async fn of(broker: &Broker, run: &RunId, cell: Cell) -> Result<ShardStory, ShardError> {
    let mut history = History::new(cell);
    let fold = runs::fold_by(broker, run, |fold, entry| history.take(fold, entry)).await?;
    check(&fold, &history, cell)?;
    let mut names = workers::names(broker).await.map_err(RunError::from)?;
    let mut story = history.story(&fold);
    if let Some((place, attempt)) = history.last_place().zip(story.open_attempt()) {
        // Nobody who does not answer is waited for: what the ledger says is told all the same.
        let here = workers::roll_call(broker).await.unwrap_or_default();
        names.extend(here.iter().map(|it| (it.session, it.worker.to_string())));
        let holding = workers::holding(broker, &here, (run, place)).await;
        attempt.held_by = holding.into_iter().map(Author::of).collect();
        if let ([one], Some(last)) = (&attempt.held_by[..], attempt.holders.last_mut()) {
            last.by.get_or_insert_with(|| one.clone());
        }
    }
    story.name(&names);
    Ok(story)
}

/// An error if the grid has no such shard.
fn check(fold: &Fold, history: &History, cell: Cell) -> Result<(), ShardError> {
    let (run, slice) = (fold.run().clone(), cell.slice);
    if slice >= fold.slices() {
        let slices = fold.slices();
        return Err(ShardError::NoSlice { run, slice, slices });
    }
    let end = fold.frontier(slice).end();
    match (cell.kind, end) {
        _ if !history.is_empty() => Ok(()),
        (TileKind::Page, Some(pages)) if cell.page >= pages => Err(ShardError::NoPage {
            run,
            slice,
            page: cell.page,
            pages,
        }),
        (TileKind::Probe, Some(_)) => Err(ShardError::NoQuestion {
            run,
            slice,
            question: cell.page,
        }),
        (TileKind::Page | TileKind::Probe, _) => Ok(()),
    }
}

impl ShardStory {
    /// The attempt that lacks its outcome, if the run goes on.
    fn open_attempt(&mut self) -> Option<&mut AttemptStory> {
        let open = self.state == ShardState::Issued;
        self.attempts.last_mut().filter(|_| open)
    }

    /// Puts the names of workers beside their sessions.
    fn name(&mut self, names: &BTreeMap<Session, String>) {
        let names: BTreeMap<String, &String> = names
            .iter()
            .map(|(session, name)| (session.to_string(), name))
            .collect();
        let name = |author: &mut Author| {
            author.worker = names.get(&author.session).map(|name| (*name).clone());
        };
        for attempt in &mut self.attempts {
            let holders = attempt.holders.iter_mut().filter_map(|it| it.by.as_mut());
            let said = attempt.result.iter_mut().chain(&mut attempt.uncounted);
            let said = said.filter_map(|it| it.by.as_mut());
            holders
                .chain(said)
                .chain(&mut attempt.held_by)
                .for_each(name);
        }
    }
}

impl History {
    /// What is told of the shard, whose run adds up to `fold`. The workers have no names yet.
    pub fn story(&self, fold: &Fold) -> ShardStory {
        let cell = self.cell();
        let job = fold.opening().map(|opening| &opening.record.job);
        let waiting = fold.waiting().get(&cell);
        let of_job = job.map_or(1, |job| job.retry.max_attempts);
        let state = self.state(fold);
        let due = fold.due_of(cell).filter(|_| state == ShardState::Retrying);
        ShardStory {
            run: fold.run().clone(),
            job: fold.run().job().to_owned(),
            queue: job.map_or_else(String::new, |job| job.queue.to_string()),
            shard: cell.to_string(),
            kind: cell.kind,
            slice: cell.slice,
            page: cell.page,
            bounds: self.attempts.back().and_then(|last| last.bounds.clone()),
            state,
            retry_due: due.map(UnixMs::rfc3339),
            max_attempts: waiting.map_or(of_job, |failed| failed.most.saturating_sub(failed.base)),
            uncounted_attempts: waiting.map_or(0, |failed| failed.base),
            earlier_attempts: self.earlier,
            attempts: self.attempts.iter().map(AttemptStory::of).collect(),
        }
    }

    fn state(&self, fold: &Fold) -> ShardState {
        let dead = fold.dead_one(self.cell());
        let ends = fold.closing().is_some() || fold.cancelled().is_some();
        match dead {
            _ if fold.is_done(self.cell()) => ShardState::Done,
            Some(dead) if dead.dropped => ShardState::GivenUp,
            Some(_) => ShardState::Dead,
            None if ends => ShardState::Cancelled,
            None if fold.due_of(self.cell()).is_some() => ShardState::Retrying,
            None if self.is_empty() => ShardState::NotIssued,
            None => ShardState::Issued,
        }
    }
}

impl AttemptStory {
    fn of(attempt: &Attempt) -> AttemptStory {
        let uncounted = attempt.outcomes.iter().filter(|outcome| !outcome.counts);
        AttemptStory {
            attempt: attempt.number,
            wave: attempt.place.wave,
            tile: attempt.place.index,
            issued_at: attempt.issued.rfc3339(),
            holders: attempt.holders.iter().map(HolderStory::of).collect(),
            held_by: Vec::new(),
            result: attempt.result().map(OutcomeStory::of),
            uncounted: uncounted.map(OutcomeStory::of).collect(),
        }
    }
}

impl Author {
    fn of(session: Session) -> Author {
        Author {
            session: session.to_string(),
            worker: None,
        }
    }
}

impl HolderStory {
    fn of(holder: &Holder) -> HolderStory {
        HolderStory {
            by: holder.session.map(Author::of),
            fence: holder.fence.0,
            takeover: holder.takeover.map(|(_, reason)| reason),
            taken_at: holder.takeover.map(|(at, _)| at.rfc3339()),
            started_at: holder.started.map(UnixMs::rfc3339),
            returned_at: holder.returned.map(UnixMs::rfc3339),
        }
    }
}

impl OutcomeStory {
    fn of(outcome: &Outcome) -> OutcomeStory {
        let mut counters = outcome.counters.clone();
        OutcomeStory {
            by: outcome.session.map(Author::of),
            fence: outcome.fence.0,
            ended_at: outcome.at.rfc3339(),
            done: outcome.error.is_none(),
            error: outcome.error.clone(),
            held: outcome.held,
            rows: counters.remove(ROWS).unwrap_or(0),
            counters,
            output: outcome.output.as_deref().map(text),
        }
    }
}

/// What is no text is told without what cannot be.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
