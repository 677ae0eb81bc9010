//! Runs that are open, kept up to date: what is new in the ledger is read once and folded in, so that a look each second
//! costs what has happened in that second, however long the runs are.
//!
//! At most [`OPEN_MAX`] open runs are kept, the others are counted; and of those that are over [`ENDED_MAX`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::ledger::{Entry, Pages, Span};
use super::runs::known::{Known, known};
use super::runs::{self, AT_ONCE};
use super::{ListError, RunError};
use crate::broker::Broker;
use crate::broker::log::ReadError;
use crate::clock::UnixMs;
use crate::id::{RunId, Session};
use crate::ledger::fold::Fold;
use crate::ledger::outcomes::{self, Status};
use crate::ledger::record::{PlanRecord, Reason, Record, WorkRecord};
use crate::ledger::summary::{RunState, RunSummary};

/// Open runs that are kept, each with what its ledger adds up to.
pub const OPEN_MAX: usize = 200;
/// Runs that are kept for a while when they are over.
pub const ENDED_MAX: usize = 50;
/// Who is so many records behind begins anew: most of them are of runs that are over by now.
const BEHIND_MAX: u64 = 200_000;

/// A run as it stands.
#[derive(Debug)]
pub struct Run {
    /// In numbers.
    pub summary: RunSummary,
    /// What its ledger adds up to; `None` for one that was over before anybody looked.
    pub fold: Option<Box<Fold>>,
}

impl Run {
    /// `None`: it has no beginning.
    fn of(fold: Fold) -> Option<Run> {
        Some(Run {
            summary: RunSummary::of(&fold)?,
            fold: Some(Box::new(fold)),
        })
    }

    fn is_over(&self) -> bool {
        match &self.fold {
            Some(fold) => fold.closing().is_some() || fold.retired().is_some(),
            None => true,
        }
    }
}

/// What has happened to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// When the broker stored it.
    pub at: UnixMs,
    /// The run.
    pub run: RunId,
    /// What.
    pub what: What,
}

/// What can happen to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It was opened.
    Opened,
    /// It is over.
    Closed(RunState),
    /// Somebody ended it, or too many of its shards are dead.
    Cancelled {
        /// By itself: why.
        aborted: bool,
    },
    /// It goes on.
    Reopened,
    /// Dead shards of it were given up.
    Dropped,
    /// A worker has taken tiles over that another may have held.
    TakenOver {
        /// The worker's life.
        session: Session,
        /// How many.
        tiles: usize,
        /// Why.
        reason: Reason,
    },
    /// Shards have used up their attempts.
    Died {
        /// How many.
        shards: u64,
    },
}

/// The open runs of an installation, and those that were over last.
#[derive(Debug, Default)]
pub struct Live {
    runs: BTreeMap<RunId, Run>,
    /// Of those the ones that are over, the last at the end.
    ended: VecDeque<RunId>,
    /// Open ones that are not kept.
    others: BTreeSet<RunId>,
    /// Runs that go on and have to be read from their beginning.
    missing: BTreeSet<RunId>,
    /// Those with new records.
    changed: BTreeSet<RunId>,
    /// Up to here the ledger was read.
    position: u64,
    /// When the ledger was made: another time is another ledger.
    created: String,
    done: u64,
}

impl Live {
    /// Reads the open runs from their beginning, and what is kept of those that are over.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn begin(broker: &Broker) -> Result<Live, ListError> {
        let ledger = broker.subjects().ledger();
        let created = broker.info(&ledger).await?.created;
        let (known, position) = known(broker).await?;
        let (over, mut open): (Vec<Known>, Vec<Known>) = known
            .into_iter()
            .partition(|known| state_of(known).is_some_and(RunState::ended));
        // One without a summary was opened just now.
        let opened = |known: &Known| {
            let summary = known.summary.as_ref();
            (
                summary.is_none(),
                summary.and_then(|it| it.opened_at.clone()),
            )
        };
        open.sort_by_key(|known| std::cmp::Reverse(opened(known)));
        let mut live = Live {
            position,
            created,
            ..Live::default()
        };
        let others = open.split_off(open.len().min(OPEN_MAX));
        live.others = others.iter().map(|known| known.run().clone()).collect();
        for summary in lately(over) {
            let run = summary.run.clone();
            live.end(run.clone());
            live.runs.insert(
                run,
                Run {
                    summary,
                    fold: None,
                },
            );
        }
        let folds = open.iter().map(|known| known.fold(broker, position));
        let mut folds = stream::iter(folds.collect::<Vec<_>>()).buffered(AT_ONCE);
        while let Some(fold) = folds.try_next().await? {
            // What cannot be told of `runs` tells, with the reason.
            if let Ok(fold) = fold {
                live.keep(fold);
            }
        }
        Ok(live)
    }

    /// Reads what is new. Asked again after a fault, it goes on where it was.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn go_on(&mut self, broker: &Broker) -> Result<Vec<News>, ListError> {
        let state = broker.info(&broker.subjects().ledger()).await?;
        let last = state.last_seq;
        let is_another = state.created != self.created || last < self.position;
        if is_another || last - self.position > BEHIND_MAX {
            let done = self.done;
            *self = Live::begin(broker).await?;
            self.done = done;
            return Ok(Vec::new());
        }
        let mut news = Vec::new();
        let span = Span::of_all(broker.subjects()).starting_at(self.position + 1);
        let mut pages = Pages::of(broker, span.up_to(last));
        while let Some(page) = pages.next().await? {
            for entry in &page {
                self.take(entry, &mut news);
            }
        }
        self.position = last;
        self.read_the_missing(broker).await?;
        self.settle();
        Ok(news)
    }

    /// The runs that are kept, by their ids.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.runs.values()
    }

    /// One of them.
    pub fn get(&self, run: &RunId) -> Option<&Run> {
        self.runs.get(run)
    }

    /// How many runs are open, those that are not kept among them.
    pub fn open(&self) -> u64 {
        (self.runs.len() - self.ended.len() + self.others.len()) as u64
    }

    /// Shards that were done since this began; a late success of a run that is not kept counts again.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Takes one record in.
    fn take(&mut self, entry: &Entry, news: &mut Vec<News>) {
        if entry.sequence <= self.position {
            return;
        }
        self.position = entry.sequence;
        let run = &entry.run;
        let tell = |what| News {
            at: entry.at,
            run: run.clone(),
            what,
        };
        news.extend(what(entry).map(tell));
        if let Some(fold) = self.runs.get_mut(run).and_then(|run| run.fold.as_mut()) {
            let before = *fold.counts();
            entry.fold_into(fold);
            let after = fold.counts();
            self.done += after.done.saturating_sub(before.done);
            let dead =
                (after.dead + after.dead_probes).saturating_sub(before.dead + before.dead_probes);
            news.extend((dead > 0).then(|| tell(What::Died { shards: dead })));
            self.changed.insert(run.clone());
            return;
        }
        match entry.plan() {
            Some(PlanRecord::Opened(_)) => {
                let mut fold = Fold::new(run.clone());
                entry.fold_into(&mut fold);
                self.keep(fold);
            }
            Some(PlanRecord::Reopened(_)) => {
                self.missing.insert(run.clone());
            }
            Some(plan) if ends(plan) => {
                self.others.remove(run);
                self.missing.remove(run);
            }
            Some(_) => {}
            None => self.done += done_in(entry),
        }
    }

    /// Keeps a run, or counts it where there are too many.
    fn keep(&mut self, fold: Fold) {
        let run = fold.run().clone();
        let Some(kept) = Run::of(fold) else {
            return;
        };
        self.ended.retain(|ended| *ended != run);
        if kept.is_over() {
            self.others.remove(&run);
            self.end(run.clone());
        } else if self.runs.len() - self.ended.len() >= OPEN_MAX && !self.runs.contains_key(&run) {
            self.others.insert(run);
            return;
        }
        self.others.remove(&run);
        self.runs.insert(run, kept);
    }

    fn end(&mut self, run: RunId) {
        self.ended.push_back(run);
        if self.ended.len() > ENDED_MAX
            && let Some(oldest) = self.ended.pop_front()
        {
            self.runs.remove(&oldest);
        }
    }

    /// Runs that were reopened, and some of those that were not kept once there is room.
    async fn read_the_missing(&mut self, broker: &Broker) -> Result<(), ListError> {
        let room = (OPEN_MAX / 2).saturating_sub(self.runs.len() - self.ended.len());
        let others = self.others.iter().take(room.min(AT_ONCE)).cloned();
        self.missing.extend(others);
        for run in std::mem::take(&mut self.missing) {
            match runs::fold(broker, &run).await {
                Ok(fold) => self.keep(fold),
                Err(RunError::Read(error)) => return Err(self.again(run, error)),
                Err(RunError::Api(error)) => {
                    self.missing.insert(run);
                    return Err(error.into());
                }
                Err(_) => {
                    self.others.remove(&run);
                }
            }
        }
        Ok(())
    }

    fn again(&mut self, run: RunId, error: ReadError) -> ListError {
        self.missing.insert(run);
        error.into()
    }

    /// Counts anew what has changed, and tells what is over by now from what is open.
    fn settle(&mut self) {
        for run in std::mem::take(&mut self.changed) {
            let Some(kept) = self.runs.get_mut(&run) else {
                continue;
            };
            if let Some(summary) = kept.fold.as_ref().and_then(|fold| RunSummary::of(fold)) {
                kept.summary = summary;
            }
            match (kept.is_over(), self.ended.contains(&run)) {
                (true, false) => self.end(run),
                (false, true) => self.ended.retain(|ended| *ended != run),
                (true, true) | (false, false) => {}
            }
        }
    }
}

fn state_of(known: &Known) -> Option<RunState> {
    known.summary.as_ref().map(|summary| summary.state)
}

/// Of runs that are over the last ones, and among them those with something dead: half of each. The last at the end.
fn lately(over: Vec<Known>) -> Vec<RunSummary> {
    let mut over: Vec<RunSummary> = over.into_iter().filter_map(|known| known.summary).collect();
    over.sort_by(|a, b| b.closed_at.cmp(&a.closed_at));
    let (dead, fine): (Vec<_>, Vec<_>) = over
        .into_iter()
        .partition(|summary| summary.shards.is_anything_dead());
    let half = |of: Vec<RunSummary>| of.into_iter().take(ENDED_MAX / 2);
    let mut lately: Vec<RunSummary> = half(dead).chain(half(fine)).collect();
    lately.sort_by(|a, b| a.closed_at.cmp(&b.closed_at));
    lately
}

fn ends(plan: &PlanRecord) -> bool {
    matches!(
        plan,
        PlanRecord::Closed(_) | PlanRecord::Retired(_) | PlanRecord::Forgotten(_)
    )
}

/// What a record says by itself.
fn what(entry: &Entry) -> Option<What> {
    match entry.record.as_ref().ok()? {
        Record::Plan(plan) => match plan {
            PlanRecord::Opened(_) => Some(What::Opened),
            PlanRecord::Closed(closed) => Some(What::Closed(closed.state.into())),
            PlanRecord::Cancelled(cancelled) => Some(What::Cancelled {
                aborted: cancelled.aborted.is_some(),
            }),
            PlanRecord::Reopened(_) => Some(What::Reopened),
            PlanRecord::Dropped(_) => Some(What::Dropped),
            PlanRecord::Wave(_) | PlanRecord::Retired(_) | PlanRecord::Forgotten(_) => None,
        },
        Record::Takeover(takeover) => Some(What::TakenOver {
            session: takeover.session,
            tiles: takeover.tiles.len(),
            reason: takeover.reason,
        }),
        Record::Work(_) => None,
    }
}

/// Successes that a record tells of.
fn done_in(entry: &Entry) -> u64 {
    let Ok(Record::Work(WorkRecord::Outcomes { block, .. })) = &entry.record else {
        return 0;
    };
    let outcomes = outcomes::decode(block).unwrap_or_default();
    let done = outcomes
        .iter()
        .filter(|outcome| matches!(outcome.status, Status::Done));
    done.map(|outcome| u64::from(outcome.pages)).sum()
}

#[cfg(test)]
mod tests {
    use super::super::made_up::Story;
    use super::*;
    use crate::ledger::orders::EndState;
    use crate::ledger::outcomes::{Failed, Retry};

    /// Takes the records of `story` in that were not yet.
    fn take(live: &mut Live, story: &Story) -> Vec<What> {
        let mut news = Vec::new();
        for entry in &story.entries {
            live.take(entry, &mut news);
        }
        live.settle();
        news.into_iter().map(|news| news.what).collect()
    }

    fn run() -> RunId {
        RunId::new("sum_s_1").unwrap()
    }

    #[test]
    fn run_is_known_from_its_opening_to_a_while_after_its_end() {
        let (mut live, mut story) = (Live::default(), Story::of(1, 2));
        assert_eq!(take(&mut live, &story), [What::Opened]);
        assert_eq!((live.open(), live.done()), (1, 0));
        let fence = story.wave(&[(0, 0, 2, 1)]);
        story.outcome(7, (0, 0), fence, 0, Status::Done);
        assert_eq!(take(&mut live, &story), []);
        assert_eq!(live.get(&run()).unwrap().summary.shards.done, 1);
        story.outcome(7, (0, 1), fence, 1, Status::Done);
        story.closed(EndState::Succeeded);
        let told = take(&mut live, &story);
        assert_eq!(told, [What::Closed(RunState::Succeeded)]);
        assert_eq!((live.open(), live.done()), (0, 2));
        let kept = live.get(&run()).unwrap();
        assert_eq!(kept.summary.state, RunState::Succeeded);
    }

    #[test]
    fn records_are_taken_in_once_and_takeovers_and_deaths_are_news() {
        let (mut live, mut story) = (Live::default(), Story::of(1, 2));
        story.wave(&[(0, 0, 1, 1)]);
        story.takeover(8, (0, 0), Reason::Count);
        let told = take(&mut live, &story);
        let taken = What::TakenOver {
            session: Session(8),
            tiles: 1,
            reason: Reason::Count,
        };
        assert_eq!(told, [What::Opened, taken]);
        assert_eq!(take(&mut live, &story), []);
        let fence = crate::id::Fence(story.entries.len() as u64);
        let dead = Status::Failed(Failed {
            error: "no such file".into(),
            retry: Retry::Never,
        });
        story.outcome(8, (0, 0), fence, 0, dead);
        assert_eq!(take(&mut live, &story), [What::Died { shards: 1 }]);
        assert_eq!(live.get(&run()).unwrap().summary.shards.dead, 1);
    }

    #[test]
    fn open_runs_beyond_the_bound_are_counted_and_their_shards_too() {
        let mut live = Live::default();
        let mut story = Story::of(1, 2);
        let fence = story.wave(&[(0, 0, 2, 1)]);
        story.outcome(7, (0, 0), fence, 0, Status::Done);
        let mut sequence = 0;
        for number in 0..OPEN_MAX + 3 {
            for entry in &story.entries {
                sequence += 1;
                let entry = Entry {
                    sequence,
                    run: RunId::new(format!("sum_s_{number}")).unwrap(),
                    ..entry.clone()
                };
                live.take(&entry, &mut Vec::new());
            }
        }
        live.settle();
        assert_eq!(live.runs().count(), OPEN_MAX);
        assert_eq!(live.open(), OPEN_MAX as u64 + 3);
        // The fence of the others' waves is another: their successes count where they are not folded.
        assert!(live.done() >= 3, "{}", live.done());
    }

    #[test]
    fn so_many_that_are_over_are_kept_and_the_oldest_go() {
        let mut live = Live::default();
        let mut story = Story::of(1, 1);
        story.closed(EndState::Failed);
        let mut sequence = 0;
        for number in 0..ENDED_MAX + 2 {
            for entry in &story.entries {
                sequence += 1;
                let run = RunId::new(format!("sum_s_{number}")).unwrap();
                let entry = Entry {
                    sequence,
                    run,
                    ..entry.clone()
                };
                live.take(&entry, &mut Vec::new());
            }
            live.settle();
        }
        assert_eq!((live.open(), live.runs().count()), (0, ENDED_MAX));
        assert!(live.get(&RunId::new("sum_s_0").unwrap()).is_none());
    }
}
