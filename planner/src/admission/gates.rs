//! What keeps a job from getting room, and when that is over. Pure.

use super::*;

/// Why a job gets no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// As many tiles as it may have at once are open.
    Concurrency,
    /// Its rate is used up until then.
    Rate(Boot),
    /// It, or the resource that it uses, is on hold until then.
    Hold(UnixMs),
}

#[derive(Debug)]
pub(super) struct Job {
    pub(super) limits: LimitsSpec,
    /// Ledger sequence of the youngest run that these are of.
    pub(super) newest: u64,
    /// Of its open runs; more than one after its definition has changed.
    pub(super) shares: BTreeSet<ShareName>,
    pub(super) open_runs: usize,
    /// Tiles that are decided and lack an outcome.
    pub(super) outstanding: usize,
    pub(super) bucket: Bucket,
    pub(super) hold: UnixMs,
    pub(super) pace: Pace,
    pub(super) blocked: Option<Gate>,
}

impl Job {
    /// Until when the job, or the resource that it uses, is to be left alone.
    pub(super) fn on_hold(
        &self,
        resources: &HashMap<ResourceName, UnixMs>,
        now: Now,
    ) -> Option<Gate> {
        let held = self.limits.resource.as_ref();
        let held = held.and_then(|resource| resources.get(resource).copied());
        let until = self.hold.max(held.unwrap_or_default());
        (until > now.broker).then_some(Gate::Hold(until))
    }

    /// What keeps the job from getting room.
    pub(super) fn gate(
        &mut self,
        resources: &HashMap<ResourceName, UnixMs>,
        now: Now,
    ) -> Option<Gate> {
        if let Some(hold) = self.on_hold(resources, now) {
            return Some(hold);
        }
        if self
            .limits
            .concurrency
            .is_some_and(|most| self.outstanding >= most as usize)
        {
            return Some(Gate::Concurrency);
        }
        let rate = self.limits.rate?;
        (self.bucket.available(rate, now.boot) == 0).then(|| Gate::Rate(self.bucket.next(rate)))
    }
}

impl Admission {
    /// A shard of the run asked that nothing of its job, or of the resource that the job uses, be
    /// issued before `until`.
    pub fn hold(&mut self, run: &RunId, until: UnixMs) {
        let Some(job) = self.runs.get(run).map(|member| &member.job) else {
            return;
        };
        let Some(job) = self.jobs.get_mut(job) else {
            return;
        };
        match &job.limits.resource {
            Some(resource) => {
                let hold = self.resources.entry(resource.clone()).or_default();
                *hold = (*hold).max(until);
            }
            None => job.hold = job.hold.max(until),
        }
    }

    /// Time has passed: who waits rises, and gates open.
    pub fn tick(&mut self, now: Now) {
        while let Some((at, run)) = self.risers.first().cloned() {
            if at > now.boot {
                break;
            }
            self.risers.remove(&(at, run.clone()));
            self.rise(&run, now);
        }
        while let Some((at, job)) = self.refills.first().cloned() {
            if at > now.boot {
                break;
            }
            self.refills.remove(&(at, job.clone()));
            self.unblock(&job);
        }
        while let Some((until, job)) = self.holds.first().cloned() {
            if until > now.broker {
                break;
            }
            self.holds.remove(&(until, job.clone()));
            self.unblock(&job);
        }
    }

    pub(super) fn unblock(&mut self, name: &JobName) {
        let Some(job) = self.jobs.get_mut(name) else {
            return;
        };
        job.blocked = None;
        // A job that moved may wait on more than one queue.
        let queues = self.queues.values_mut();
        for queue in queues.filter(|queue| queue.is_waiting()) {
            let shares = job.shares.iter();
            shares.for_each(|share| queue.unblock(share, name));
        }
    }

    fn rise(&mut self, run: &RunId, now: Now) {
        let Some(member) = self.runs.get_mut(run) else {
            return;
        };
        let (Some(waits), Some(queue)) =
            (member.waits.as_mut(), self.queues.get_mut(&member.queue))
        else {
            return;
        };
        queue.remove(&member.handler, &waits.place);
        waits.place.level = (waits.place.level - 1).max(member.priority - RISEN_MAX);
        queue.insert(&member.handler, &waits.place);
        waits.rises = now.boot + RISE;
        self.risers.insert((waits.rises, run.clone()));
    }
}
