//! The backfills of one job: records how far each comes and opens its runs, as [`crate::schedule::backfill`] decides.
//!
//! Order: how far it comes is written over its key under compare-and-swap, then its runs are opened; the next record says
//! no more of those that are over. A new leader reads the keys and goes on there.

use std::collections::{BTreeMap, BTreeSet};

use gridloom_shared::broker::kv::{Entry, WriteError};
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{RunId, Term};
use gridloom_shared::ledger::record::EndState;
use gridloom_shared::schedule::backfill::Progress;
use gridloom_shared::schedule::{Backfill, BackfillName, Plan, Spec};

use super::super::super::envoy::Envoy;
use super::{Defined, Job, RECORDS, SettleError};
use crate::schedule::backfill::{Around, Filling, Own};

/// All of a job, and their runs.
#[derive(Debug, Default)]
pub(super) struct Backfills {
    all: BTreeMap<BackfillName, Kept>,
    own: Own,
}

#[derive(Debug)]
struct Kept {
    filling: Filling,
    /// What the next record expects.
    revision: u64,
}

impl Backfills {
    /// Whether a run is of a backfill that stands beside all else: no fire waits for it.
    fn is_beside(&self, run: &RunId) -> bool {
        let kept = BackfillName::of_run(run).map(|name| self.all.get(&name));
        kept.is_some_and(|kept| kept.is_none_or(|kept| kept.filling.backfill.stands_beside()))
    }

    /// A run of the job is open. `true`: nobody else is concerned.
    pub(super) fn is_open(&mut self, run: &RunId) -> bool {
        if BackfillName::of_run(run).is_some() {
            self.own.over.remove(run);
            self.own.open.insert(run.clone());
        }
        self.is_beside(run)
    }

    /// A run of the job is over. `true`: nobody else is concerned.
    pub(super) fn is_over(&mut self, run: &RunId, end: Option<EndState>) -> bool {
        let Some(name) = BackfillName::of_run(run) else {
            return false;
        };
        self.own.open.remove(run);
        if self.all.contains_key(&name) {
            self.own.over.insert(run.clone(), end);
        }
        self.is_beside(run)
    }

    /// Their schedules.
    pub(super) fn specs(&self) -> impl Iterator<Item = &Spec> {
        self.all.values().map(|kept| &kept.filling.backfill.spec)
    }

    /// Forgets runs that are on record as over.
    fn forget(&mut self) {
        let all = self.all.values();
        let running: BTreeSet<RunId> = all
            .flat_map(|kept| {
                let filling = &kept.filling;
                let running = filling.backfill.progress.running.iter();
                running.map(|at| filling.run(*at))
            })
            .collect();
        self.own.over.retain(|run, _| running.contains(run));
    }
}

impl Job {
    /// A backfill was asked for, cancelled or forgotten, or has come further.
    pub(in super::super) fn ask(&mut self, name: BackfillName, entry: &Entry) {
        let known = self.backfills.all.get(&name);
        if known.is_some_and(|known| known.revision >= entry.revision) {
            return;
        }
        match entry
            .value
            .as_deref()
            .map(serde_json::from_slice::<Backfill>)
        {
            Some(Ok(backfill)) => self.keep(name, backfill, entry.revision),
            Some(Err(error)) => {
                tracing::error!(job = %self.name, backfill = %name, error = %chain(&error), "a backfill makes no sense and is not carried out");
                self.backfills.all.remove(&name);
            }
            None => {
                self.backfills.all.remove(&name);
            }
        }
        self.sort_out();
    }

    fn keep(&mut self, name: BackfillName, backfill: Backfill, revision: u64) {
        let plan = self.plan_of_backfill(&backfill);
        let filling = Filling {
            job: self.name.clone(),
            name: name.clone(),
            backfill,
            plan,
        };
        let kept = Kept { filling, revision };
        self.backfills.all.insert(name, kept);
    }

    fn plan_of_backfill(&self, backfill: &Backfill) -> Option<Plan> {
        let plan = self.plan_of(&backfill.spec, backfill.anchor);
        plan.filter(|plan| plan.waits_for().is_none())
    }

    /// The calendars that they may name are others now.
    pub(super) fn replan_backfills(&mut self) {
        let mut all = std::mem::take(&mut self.backfills.all);
        for kept in all.values_mut() {
            kept.filling.plan = self.plan_of_backfill(&kept.filling.backfill);
        }
        self.backfills.all = all;
    }

    /// Which runs of backfills fires wait for: also such that are decided and not open yet.
    fn sort_out(&mut self) {
        let Backfills { all, own } = &self.backfills;
        let coming = all.values().flat_map(|kept| kept.filling.to_open(own));
        let coming = coming.map(|(_, run)| run);
        let all: Vec<RunId> = own.open.iter().cloned().chain(coming).collect();
        for run in all {
            if self.backfills.is_beside(&run) {
                self.runs.open.remove(&run);
            } else {
                self.runs.open.insert(run);
            }
        }
    }

    /// Records and carries out what is due of its backfills. Returns when it is to be looked at again.
    pub(super) async fn fill(
        &mut self,
        envoy: &Envoy,
        term: Term,
    ) -> Result<Option<UnixMs>, SettleError> {
        let names: Vec<BackfillName> = self.backfills.all.keys().cloned().collect();
        let mut wakes = None;
        for name in names {
            let wake = self.fill_one(envoy, term, &name).await?;
            wakes = [wakes, wake].into_iter().flatten().min();
        }
        Ok(wakes)
    }

    async fn fill_one(
        &mut self,
        envoy: &Envoy,
        term: Term,
        name: &BackfillName,
    ) -> Result<Option<UnixMs>, SettleError> {
        for _ in 0..RECORDS {
            self.carry_on(envoy, term, name).await?;
            let Some(now) = envoy.clock.now() else {
                return Ok(Some(super::AT_ONCE));
            };
            let Some(kept) = self.backfills.all.get(name) else {
                return Ok(None);
            };
            if kept.filling.backfill.progress.term > term || self.aside {
                return Ok(None);
            }
            let around = self.around(now, term, name);
            let next = around.and_then(|around| kept.filling.next(&around));
            let Some(progress) = next else {
                let thaw = self.halts.iter().filter(|halt| halt.frozen);
                let thaw = thaw.filter_map(|halt| halt.until).filter(|at| *at > now);
                return Ok(kept.filling.wake(now).into_iter().chain(thaw).min());
            };
            self.come_further(envoy, name, progress).await?;
        }
        Ok(Some(super::AT_ONCE))
    }

    /// What the next step of a backfill depends on; `None` while it cannot be decided.
    fn around(&self, now: UnixMs, term: Term, name: &BackfillName) -> Option<Around<'_>> {
        let scheduled = match &self.defined {
            Defined::Unseen | Defined::Nonsense(_) => return None,
            Defined::Gone(_) => false,
            Defined::There(_, spec, _) => spec.is_some(),
        };
        let world = self.world(now, term)?;
        let coming = self.fires.to_open(&world);
        let coming = coming.into_iter().map(|(_, run)| run);
        let others = self.runs.open.iter().cloned().chain(coming);
        let mut others = others.filter(|run| BackfillName::of_run(run).as_ref() != Some(name));
        Some(Around {
            now,
            term,
            scheduled,
            frozen: self
                .halts
                .iter()
                .any(|halt| halt.frozen && halt.covers(now)),
            other: others.next(),
            own: &self.backfills.own,
        })
    }

    async fn come_further(
        &mut self,
        envoy: &Envoy,
        name: &BackfillName,
        progress: Progress,
    ) -> Result<(), SettleError> {
        let Some(kept) = self.backfills.all.get_mut(name) else {
            return Ok(());
        };
        let backfill = Backfill {
            progress,
            ..kept.filling.backfill.clone()
        };
        let key = envoy.broker.subjects().backfill_key(&self.name, name);
        let text = serde_json::to_vec(&backfill).unwrap_or_default();
        let bucket = envoy.broker.state();
        match bucket.update(&key, text.into(), kept.revision).await {
            Ok(revision) => {
                if let Some(end) = backfill.progress.ended
                    && kept.filling.backfill.progress.ended.is_none()
                {
                    let (job, runs, reason) =
                        (&self.name, backfill.progress.opened, end.why.as_str());
                    tracing::info!(%job, backfill = %name, runs, reason, "a backfill has ended");
                }
                kept.revision = revision;
                kept.filling.backfill = backfill;
                self.backfills.forget();
                self.sort_out();
            }
            // A person cancelled it, another leader came first, or it was our own whose answer was lost.
            Err(WriteError::Conflict { .. }) => {
                let place = bucket.place_of(&key).await?;
                match place.entry() {
                    Some(entry) => self.ask(name.clone(), entry),
                    None => {
                        self.backfills.all.remove(name);
                    }
                }
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Opens the runs that were decided, and cancels those for which it waits.
    async fn carry_on(
        &mut self,
        envoy: &Envoy,
        term: Term,
        name: &BackfillName,
    ) -> Result<(), SettleError> {
        let Some(kept) = self.backfills.all.get(name) else {
            return Ok(());
        };
        if kept.filling.backfill.progress.term > term || self.world(UnixMs(0), term).is_none() {
            return Ok(());
        }
        let to_open = kept.filling.to_open(&self.backfills.own);
        if kept.filling.cancels() {
            let others = self.runs.open.iter();
            let others = others.filter(|run| BackfillName::of_run(run).as_ref() != Some(name));
            let others: Vec<RunId> = others.cloned().collect();
            self.end_runs(envoy, others).await?;
        }
        for (at, run) in to_open {
            self.open_one(envoy, term, at, run).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use gridloom_shared::id::JobName;
    use gridloom_shared::schedule::ByHand;
    use serde_json::json;

    use super::super::super::roll::Fact;
    use super::*;

    const AT: UnixMs = UnixMs(1_767_225_600_000);

    /// A backfill of one time, whose run is decided.
    fn asked(overlap: ByHand) -> Entry {
        let backfill = Backfill {
            by: "ada".to_owned(),
            asked_at: AT,
            spec: Spec::try_from(json!({ "cron": "@hourly" })).unwrap(),
            anchor: AT,
            from: AT,
            to: AT,
            overlap,
            concurrency: 1,
            count: 1,
            cancelled: None,
            progress: Progress {
                cursor: Some(AT),
                opened: 1,
                running: vec![AT],
                ..Progress::default()
            },
        };
        Entry {
            key: String::new(),
            value: Some(serde_json::to_vec(&backfill).unwrap().into()),
            revision: 7,
            at: AT,
        }
    }

    fn job() -> (Job, BackfillName, RunId) {
        let name = BackfillName::new("b1").unwrap();
        let job = JobName::new("nightly").unwrap();
        let run = RunId::from_backfill(&job, &name, AT);
        (Job::new(job), name, run)
    }

    #[test]
    fn run_of_a_backfill_is_in_the_way_of_fires_from_its_decision_to_its_end_where_it_minds_others()
    {
        for (word, overlap) in ByHand::ALL {
            let minds = overlap != ByHand::Allow;
            let (mut job, name, run) = job();
            job.ask(name, &asked(overlap));
            assert_eq!(job.runs.open.contains(&run), minds, "{word}: decided");
            job.hear(Fact::Open(run.clone()));
            assert_eq!(job.runs.open.contains(&run), minds, "{word}: open");
            job.hear(Fact::Over(run.clone(), AT, Some(EndState::Succeeded)));
            assert!(job.runs.open.is_empty(), "{word}: over");
        }
    }

    #[test]
    fn run_that_a_new_leader_finds_open_is_in_the_way_once_its_backfill_was_read() {
        for (word, overlap) in ByHand::ALL {
            let (mut job, name, run) = job();
            job.lead(BTreeSet::from([run.clone()]));
            job.ask(name, &asked(overlap));
            let minds = overlap != ByHand::Allow;
            assert_eq!(job.runs.open.contains(&run), minds, "{word}");
        }
    }
}
