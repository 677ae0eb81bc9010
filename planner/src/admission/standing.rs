//! How flow control stands, in numbers for people. Pure. Looked through are queues, lanes, and the jobs that wait:
//! nothing for every run.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use gridloom_shared::id::ResourceName;

/// How a queue stands.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueStanding {
    /// Its name.
    pub queue: QueueName,
    /// Workers that take work from it.
    pub workers: usize,
    /// What it has for each handler.
    pub lanes: Vec<LaneStanding>,
    /// Runs that get no room, by why.
    pub waiting: BTreeMap<&'static str, usize>,
}

/// How a queue stands for one handler.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneStanding {
    /// The handler.
    pub handler: HandlerName,
    /// Workers that have it.
    pub workers: usize,
    /// Tiles that these run at once.
    pub slots: usize,
    /// Open runs.
    pub runs: usize,
    /// Most tiles that its workers may have before them.
    pub window: usize,
    /// Tiles that lack an outcome.
    pub outstanding: usize,
}

/// What is on hold, and for how much longer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Holds {
    /// Jobs.
    pub jobs: Vec<(JobName, Duration)>,
    /// Resources.
    pub resources: Vec<(ResourceName, Duration)>,
}

impl Admission {
    /// How each queue stands that has workers or runs. `no_room`: the queues' stream takes no tiles.
    pub fn standing(&mut self, crew: &Crew, no_room: bool, now: Now) -> Vec<QueueStanding> {
        let mut names: BTreeSet<QueueName> = crew.queues().cloned().collect();
        let busy = self
            .queues
            .iter()
            .filter(|(_, queue)| queue.open_runs() > 0);
        names.extend(busy.map(|(name, _)| name.clone()));
        let standing = names.into_iter();
        standing
            .map(|name| self.standing_of(name, crew, no_room, now))
            .collect()
    }

    fn standing_of(
        &mut self,
        name: QueueName,
        crew: &Crew,
        no_room: bool,
        now: Now,
    ) -> QueueStanding {
        let squads = crew.squads(&name, now.boot);
        let mut standing = QueueStanding {
            workers: squads.iter().map(|(_, workers)| workers).sum(),
            queue: name,
            lanes: Vec::new(),
            waiting: BTreeMap::new(),
        };
        let Admission {
            queues,
            jobs,
            resources,
            ..
        } = self;
        let Some(queue) = queues.get_mut(&standing.queue) else {
            return standing;
        };
        let loads = queue.loads(&standing.queue, crew, now);
        for (n, (handler, lane)) in queue.each().enumerate() {
            let able = squads.iter();
            let able = able.filter(|(handlers, _)| handlers.contains(handler));
            let workers = able.map(|(_, workers)| workers).sum();
            let full = queue.room(&loads, n) == 0;
            for (job, runs) in lane.waiting() {
                let gate = jobs.get_mut(job).and_then(|job| job.gate(resources, now));
                let reason = match gate {
                    _ if standing.workers == 0 => "no_worker",
                    _ if workers == 0 => "no_handler",
                    Some(Gate::Hold(_)) => "hold",
                    Some(Gate::Concurrency) => "concurrency",
                    Some(Gate::Rate(_)) => "rate",
                    None if no_room => "no_room",
                    None if full => "queue_full",
                    None => "behind",
                };
                *standing.waiting.entry(reason).or_default() += runs;
            }
            if lane.open_runs > 0 {
                standing.lanes.push(LaneStanding {
                    handler: handler.clone(),
                    workers,
                    slots: loads[n].slots,
                    runs: lane.open_runs,
                    window: loads[n].most,
                    outstanding: lane.outstanding,
                });
            }
        }
        standing
    }

    /// What is on hold.
    pub fn held(&self, now: Now) -> Holds {
        let left = |until: UnixMs| {
            let left = until.0.saturating_sub(now.broker.0);
            (left > 0).then(|| Duration::from_millis(left))
        };
        let jobs = self.jobs.iter();
        let jobs = jobs.filter_map(|(name, job)| Some((name.clone(), left(job.hold)?)));
        let resources = self.resources.iter();
        let resources = resources.filter_map(|(name, until)| Some((name.clone(), left(*until)?)));
        Holds {
            jobs: jobs.collect(),
            resources: resources.collect(),
        }
    }
}
