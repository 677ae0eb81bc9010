//! Why a run gets no room, as the same state says it that decides. Pure.

use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::waiting::Waiting;

use super::{Admission, Gate, Job};
use crate::crew::{Crew, Help};
use crate::now::Now;

impl Admission {
    /// What keeps a run that could use room from getting it; `None` when it is its turn.
    pub fn why(&mut self, run: &RunId, crew: &Crew, now: Now) -> Option<Waiting> {
        let member = self.runs.get(run)?;
        let (queue, handler) = (member.queue.clone(), member.handler.clone());
        let help = crew.help(&queue, &handler, now.boot);
        if help == Help::NoHandler {
            return Some(Waiting::NoHandler { queue, handler });
        }
        let job = self.jobs.get_mut(&member.job)?;
        if let Some(gate) = job.gate(&self.resources, now) {
            return gated(&member.job, job, gate);
        }
        let state = self.queues.get_mut(&queue)?;
        let loads = state.loads(&queue, crew, now);
        let lane = state.position(&handler)?;
        let full = state.room(&loads, lane) == 0;
        if full && help == Help::NoWorker {
            return Some(Waiting::NoWorker { queue });
        }
        let level = member.waits.as_ref().map(|waits| waits.place.level)?;
        if state.is_behind(lane, level) {
            return Some(Waiting::Behind { queue });
        }
        full.then(|| Waiting::QueueFull {
            queue,
            handler,
            outstanding: loads[lane].load.round() as u64,
        })
    }

    /// What keeps a run from going on whose tiles are all issued: only that nobody runs them.
    pub fn why_open(&self, run: &RunId, crew: &Crew, now: Now) -> Option<Waiting> {
        let member = self.runs.get(run)?;
        let queue = member.queue.clone();
        match crew.help(&queue, &member.handler, now.boot) {
            Help::NoWorker => Some(Waiting::NoWorker { queue }),
            Help::NoHandler => Some(Waiting::NoHandler {
                queue,
                handler: member.handler.clone(),
            }),
            Help::Somebody => None,
        }
    }

    /// That the job of a run, or the resource that it uses, is to be left alone: all of the run that is left may be shards
    /// that asked for that, and none of them asks for room before it is over.
    pub fn on_hold(&self, run: &RunId, now: Now) -> Option<Waiting> {
        let member = self.runs.get(run)?;
        let job = self.jobs.get(&member.job)?;
        let hold = job.on_hold(&self.resources, now)?;
        gated(&member.job, job, hold)
    }
}

/// How it is said that a job gets no room.
fn gated(name: &JobName, job: &Job, gate: Gate) -> Option<Waiting> {
    Some(match gate {
        Gate::Hold(until) => Waiting::Hold {
            what: match &job.limits.resource {
                Some(resource) if job.hold < until => resource.to_string(),
                Some(_) | None => name.to_string(),
            },
            until,
        },
        Gate::Concurrency => Waiting::Concurrency {
            job: name.clone(),
            limit: job.limits.concurrency.unwrap_or_default(),
        },
        Gate::Rate(_) => Waiting::Rate {
            job: name.clone(),
            limit: job.limits.rate?,
        },
    })
}
