//! Why a run gets no room, as the same state says it that decides. Pure.

use gridloom_shared::id::RunId;
use gridloom_shared::waiting::Waiting;

use super::{Admission, Gate};
use crate::crew::{Crew, Help};
use crate::now::Now;

impl Admission {
    /// What keeps a run that could use room from getting it; `None` when it is its turn.
    pub fn why(&mut self, run: &RunId, crew: &Crew, now: Now) -> Option<Waiting> {
        let member = self.runs.get(run)?;
        let (name, queue) = (&member.job, &member.queue);
        let job = self.jobs.get_mut(name)?;
        if let Some(gate) = job.gate(queue, &self.resources, crew, now) {
            return Some(match gate {
                Gate::Handler => Waiting::NoHandler {
                    queue: queue.clone(),
                    handler: job.handler.clone(),
                },
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
            });
        }
        let slots = crew.slots(queue, now.boot);
        let queue = queue.clone();
        let state = self.queues.get(&queue)?;
        let full = state.window.room(state.outstanding, slots, now.boot) == 0;
        if full && crew.help(&queue, &job.handler, now.boot) == Help::NoWorker {
            return Some(Waiting::NoWorker { queue });
        }
        let level = member.waits.as_ref().map(|waits| waits.place.level)?;
        if state.line.first_level().is_some_and(|first| first < level) {
            return Some(Waiting::Behind { queue });
        }
        full.then_some(Waiting::QueueFull {
            queue,
            outstanding: state.outstanding as u64,
        })
    }

    /// What keeps a run from going on whose tiles are all issued: only that nobody runs them.
    pub fn why_open(&self, run: &RunId, crew: &Crew, now: Now) -> Option<Waiting> {
        let member = self.runs.get(run)?;
        let job = self.jobs.get(&member.job)?;
        let queue = member.queue.clone();
        match crew.help(&queue, &job.handler, now.boot) {
            Help::NoWorker => Some(Waiting::NoWorker { queue }),
            Help::NoHandler => Some(Waiting::NoHandler {
                queue,
                handler: job.handler.clone(),
            }),
            Help::Somebody => None,
        }
    }
}
