//! How a cancelled run comes to its end, and when a run cancels itself. Pure, as its parent.
//!
//! | halted | nothing on its way to the queue | something on its way |
//! |--------|---------------------------------|----------------------|
//! | not yet | purge and stop, then close | purge and stop, and once more |
//! | but something landed since | purge and stop, then close | wait |
//! | for good | close | - |

use gridloom_shared::count::counted_as;
use gridloom_shared::id::Term;
use gridloom_shared::job::AbortAfter;
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::orders::Cancelled;
use gridloom_shared::ledger::record::{Closed, EndState};
use gridloom_shared::limits::ABORT_AFTER_DEFAULT;

use super::{Action, Comparison, Phase, Run};

/// What was done about a cancelled run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Halted {
    #[default]
    NotYet,
    /// Its queue was emptied while tiles were on their way there.
    ButTilesLanded,
    /// Nothing of it is on the queue.
    ForGood,
}

impl Run {
    pub(super) fn step_cancelled(&mut self, term: Term) -> Option<Action> {
        let clean = self.publishing == 0 && self.comparison != Comparison::Publishing;
        match (self.halted, clean) {
            (Halted::ForGood, _) => {
                self.phase = Phase::Closing;
                Some(Action::Close {
                    closed: self.cancelled_end(term),
                    expected: self.fold.last_plan(),
                })
            }
            (Halted::ButTilesLanded, false) => None,
            (Halted::NotYet | Halted::ButTilesLanded, clean) => {
                self.halted = if clean {
                    Halted::ForGood
                } else {
                    Halted::ButTilesLanded
                };
                self.phase = Phase::Halting;
                Some(Action::Halt {
                    sequence: self.fold.last_plan(),
                })
            }
        }
    }

    fn cancelled_end(&self, term: Term) -> Closed {
        let order = self.fold.cancelled();
        let error = order.and_then(|order| order.aborted.clone());
        let state = match error {
            Some(_) => EndState::Failed,
            None => EndState::Cancelled,
        };
        Closed {
            state,
            error,
            dead: self.fold.dead_kept(),
            term,
        }
    }

    /// The record by which the run ends itself.
    pub(super) fn abort(&mut self, why: String, term: Term) -> Action {
        self.ordering = true;
        let cancelled = Cancelled {
            request: 0,
            aborted: Some(why),
            term,
        };
        Action::Abort {
            cancelled,
            expected: self.fold.last_plan(),
        }
    }

    /// Judges the number of dead shards anew, if something that matters has changed.
    pub(super) fn count_dead(&mut self) {
        let Some(opening) = self.fold.opening() else {
            return;
        };
        let said = opening.record.job.limits.abort_after;
        let seen = (self.fold.dead_lately(), self.fold.all_issued());
        if self.judged != Some(seen) {
            self.judged = Some(seen);
            self.too_many = too_many(&self.fold, said, seen.0, self.total);
        }
    }
}

/// Shards of a grid whose size is known from the start.
pub(super) fn shards_of(fold: &Fold) -> Option<u64> {
    fold.opening()?.record.job.grid.shards()
}

/// Why the run is to end itself, if `dead` shards are too many for what its job has `said`.
fn too_many(
    fold: &Fold,
    said: Option<AbortAfter>,
    dead: u64,
    total: Option<u64>,
) -> Option<String> {
    let found = || fold.all_issued().then_some(fold.counts().planned);
    let all = total.or_else(found);
    said.unwrap_or_default().is_reached(dead, all).then(|| {
        let rule = match said {
            Some(AbortAfter::Dead(most)) => format!("is {{ dead = {most} }}"),
            Some(AbortAfter::DeadPercent(percent)) => format!("is {{ dead_percent = {percent} }}"),
            Some(AbortAfter::Never) | None => format!(
                "is {{ dead = {ABORT_AFTER_DEFAULT} }} where the job says nothing; false bears any number"
            ),
        };
        let dead = counted_as(dead, "shard is dead", "shards are dead");
        format!("aborted: {dead}, and limits.abort_after {rule}")
    })
}

/// Orders by people, which stand between the run's waves.
impl Run {
    /// Whether the planner's last record of the run is known, and nothing of ours is on its way that
    /// would stand there.
    pub fn may_order(&self) -> bool {
        let writing = matches!(self.phase, Phase::Deciding | Phase::Closing);
        !writing && self.is_in_step() && self.is_read_back()
    }

    /// Whether no order is being written, and the last one has been read back.
    pub fn is_in_step(&self) -> bool {
        !self.ordering
            && self
                .awaited
                .is_none_or(|sequence| self.fold.last_plan() >= sequence)
    }
}
