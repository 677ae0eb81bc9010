//! What a backfill does next. Pure, and a question about the whole situation, as what becomes of fires is: the answer is
//! how far it has come then, which is recorded before it is carried out.
//!
//! In this order, all of what applies becomes one record:
//!
//! | what is the case | what is recorded |
//! |------------------|------------------|
//! | runs of it are over | how they ended |
//! | somebody wants no more of it, the job is gone, it has too many times | its end; what is open goes on |
//! | all jobs are paused | nothing more |
//! | a time is left, and fewer runs of it are open than may be | its answer, see below |
//! | no time is left, and no run of it is open | its end |
//!
//! | `overlap` | another run of the job is open |
//! |-----------|--------------------------------|
//! | `allow` | opened: it stands beside all else, and no fire waits for it |
//! | `queue_all` | it waits |
//! | `queue_one` | it waits, and the newest time that is left takes the place of the others, which are skipped |
//! | `cancel_running` | it waits, and the other run is cancelled |
//! | `skip` | all times that are left are skipped |
//!
//! A pause of the job alone holds nothing of it back: people pause a schedule to mend what it has done.

use std::collections::{BTreeMap, BTreeSet};

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, RunId, Term};
use gridloom_shared::ledger::record::EndState;
use gridloom_shared::limits::BACKFILL_FIRES_MAX;
use gridloom_shared::schedule::backfill::{Ended, EndedBy, Progress};
use gridloom_shared::schedule::{Backfill, BackfillName, ByHand, Nominal, Plan};

/// Runs of the backfills of a job.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// Those that are open.
    pub open: BTreeSet<RunId>,
    /// Those that are over, and how they ended, where that is known.
    pub over: BTreeMap<RunId, Option<EndState>>,
}

/// What the next step depends on besides the backfill itself.
#[derive(Clone, Debug)]
pub struct Around<'a> {
    /// Now, by the broker's clock.
    pub now: UnixMs,
    /// The leadership that decides.
    pub term: Term,
    /// Whether the job is there and has a schedule.
    pub scheduled: bool,
    /// Whether all jobs are paused.
    pub frozen: bool,
    /// A run of the job that is open or about to be, and neither of this backfill nor beside all else.
    pub other: Option<RunId>,
    /// Runs of backfills.
    pub own: &'a Own,
}

/// A backfill, and what its schedule means.
#[derive(Clone, Debug)]
pub struct Filling {
    /// The job.
    pub job: JobName,
    /// Its name.
    pub name: BackfillName,
    /// What was asked for, and how far it has come.
    pub backfill: Backfill,
    /// `None`: it needs a calendar that is not there.
    pub plan: Option<Plan>,
}

impl Filling {
    /// How far it has come then, if there is something to record.
    pub fn next(&self, around: &Around<'_>) -> Option<Progress> {
        let mut after = self.backfill.progress.clone();
        self.count_ends(&mut after, around.own);
        if after.ended.is_none() {
            match self.broken_off(&after, around) {
                Some(why) => after.ended = Some(ended(why, around)),
                None => self.go_on(&mut after, around),
            }
        }
        if after == self.backfill.progress {
            return None;
        }
        after.term = around.term;
        Some(after)
    }

    /// Its runs that are decided, and not known to have been opened.
    pub fn to_open(&self, own: &Own) -> Vec<(UnixMs, RunId)> {
        let decided = self.backfill.progress.running.iter();
        let runs = decided.map(|at| (*at, self.run(*at)));
        runs.filter(|(_, run)| !own.open.contains(run) && !own.over.contains_key(run))
            .collect()
    }

    /// Whether others are to be cancelled, as it waits for that.
    pub fn cancels(&self) -> bool {
        let progress = &self.backfill.progress;
        let waits = progress.ended.is_none() && progress.behind.is_some();
        waits && self.backfill.overlap == ByHand::CancelRunning
    }

    /// When it is to be asked again, if nothing else happens before.
    pub fn wake(&self, now: UnixMs) -> Option<UnixMs> {
        let progress = &self.backfill.progress;
        let next = self.left(progress).filter(|_| progress.ended.is_none());
        next.map(|next| next.at).filter(|at| *at > now)
    }

    /// The run of a nominal time.
    pub fn run(&self, at: UnixMs) -> RunId {
        RunId::from_backfill(&self.job, &self.name, at)
    }

    fn count_ends(&self, after: &mut Progress, own: &Own) {
        let mut running = std::mem::take(&mut after.running);
        running.retain(|at| {
            let Some(end) = own.over.get(&self.run(*at)) else {
                return true;
            };
            match end {
                Some(EndState::Succeeded) => after.succeeded += 1,
                Some(EndState::Cancelled) => after.cancelled += 1,
                Some(EndState::Failed) | None => after.failed += 1,
            }
            false
        });
        after.running = running;
    }

    fn broken_off(&self, after: &Progress, around: &Around<'_>) -> Option<EndedBy> {
        let answered = after.opened + after.excluded + after.skipped;
        if self.backfill.cancelled.is_some() {
            Some(EndedBy::Cancelled)
        } else if !around.scheduled {
            Some(EndedBy::Deleted)
        } else {
            (answered > BACKFILL_FIRES_MAX).then_some(EndedBy::TooMany)
        }
    }

    fn go_on(&self, after: &mut Progress, around: &Around<'_>) {
        if !around.frozen {
            self.fill(after, around);
        }
        // Without a plan nobody knows what is left.
        if self.plan.is_some() && after.running.is_empty() && self.left(after).is_none() {
            after.ended = Some(ended(EndedBy::Done, around));
        }
    }

    /// Answers for the times whose turn it is.
    fn fill(&self, after: &mut Progress, around: &Around<'_>) {
        let most = usize::try_from(self.backfill.concurrency).unwrap_or(usize::MAX);
        for _ in 0..=BACKFILL_FIRES_MAX {
            if after.running.len() >= most.max(1) {
                return;
            }
            let Some(next) = self.left(after).filter(|next| next.at <= around.now) else {
                return;
            };
            if next.excluded.is_some() {
                after.excluded += 1;
                after.cursor = Some(next.at);
                continue;
            }
            match &around.other {
                Some(other) if !self.backfill.stands_beside() => {
                    self.give_way(after, &next, other, around.now);
                    return;
                }
                _ => {
                    after.opened += 1;
                    after.cursor = Some(next.at);
                    after.behind = None;
                    after.running.push(next.at);
                }
            }
        }
    }

    /// What becomes of it while `other` is open.
    fn give_way(&self, after: &mut Progress, next: &Nominal, other: &RunId, now: UnixMs) {
        after.behind.get_or_insert_with(|| other.clone());
        match self.backfill.overlap {
            ByHand::Skip => self.skip_to(after, self.backfill.to.min(now)),
            ByHand::QueueOne => {
                let (Some(plan), last) = (&self.plan, self.backfill.to.min(now)) else {
                    return;
                };
                let newest = plan.last_until(next.at, last);
                if let Some(newest) = newest {
                    self.skip_to(after, UnixMs(newest.at.0 - 1));
                }
            }
            ByHand::QueueAll | ByHand::CancelRunning | ByHand::Allow => {}
        }
    }

    /// Passes over what is left, up to `last`.
    fn skip_to(&self, after: &mut Progress, last: UnixMs) {
        let Some(plan) = &self.plan else { return };
        let before = UnixMs(self.backfill.from.0.saturating_sub(1));
        let tally = plan.tally(after.cursor.unwrap_or(before), last, BACKFILL_FIRES_MAX);
        after.skipped += tally.count;
        after.excluded += tally.excluded;
        after.cursor = Some(last);
    }

    /// The first nominal time that has no answer yet.
    fn left(&self, after: &Progress) -> Option<Nominal> {
        let before = UnixMs(self.backfill.from.0.saturating_sub(1));
        let next = self
            .plan
            .as_ref()?
            .next_after(after.cursor.unwrap_or(before))?;
        Some(next).filter(|next| next.at <= self.backfill.to)
    }
}

fn ended(why: EndedBy, around: &Around<'_>) -> Ended {
    let at = around.now;
    Ended { at, why }
}

#[cfg(test)]
mod tests;
