//! Which run may put how much on its queue, and why the others may not: all of flow control, in one
//! room (docs/ARCHITECTURE.md). Pure, and nothing here is done for every open run and tick: runs wait
//! in ordered sets, times in heaps.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`window`] | how much of a lane, a queue's part for one handler, may be outstanding |
//! | [`overlap`] | which part of one lane's tiles the workers of another will run |
//! | [`mod@line`] | who is next on a lane: level, worker-time of its share, age |
//! | [`dues`] | what the shares of a queue have used |
//! | [`mod@queue`] | the lanes of a queue: what each may issue, and who of all is next |
//! | [`bucket`] | how many shards of a job may be issued at a moment |
//! | [`pace`] | how long a shard takes, and how many pages a tile has for that |
//! | [`gates`] | what keeps a job from getting room |
//! | [`turns`] | how the room of a queue is given away |
//! | [`begin`] | what may be issued with the record that opens a run |
//! | [`why`] | why a run waits |
//! | [`standing`] | how all of it stands, in numbers |
//!
//! Limits are a job's, for the whole cluster: every open tile of it counts, whoever issued it, so they
//! hold over a change of leader.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use gridloom_shared::clock::{Boot, UnixMs};
use gridloom_shared::id::{HandlerName, JobName, QueueName, ResourceName, RunId, ShareName};
use gridloom_shared::job::{JobSpec, LimitsSpec, Shares};
use gridloom_shared::limits::{OPEN_RUNS_MAX, PACES_MAX};

use crate::crew::Crew;
use crate::now::Now;
use crate::run::Room;

mod begin;
mod bucket;
mod dues;
mod gates;
mod line;
mod overlap;
mod pace;
mod queue;
mod standing;
mod turns;
mod why;
mod window;

use bucket::Bucket;
use gates::{Gate, Job};
use line::{Head, Level, Place, Rank};
use pace::Pace;
use queue::{Load, Queue};
pub use standing::{Holds, LaneStanding, QueueStanding};
pub use turns::Turn;

/// A run that waits rises by one level in this time.
const RISE: Duration = Duration::from_secs(60);
/// Levels that it can rise at most: half an hour is long enough to be first.
const RISEN_MAX: Level = 30;
/// A run with more shards left than this is a long one: others of its job need not wait for it.
const LONG: u64 = 1_000;
/// Worker-time for each slot of a lane that one share may be given before it is another's turn.
const TURN: Duration = Duration::from_millis(50);

/// One open run.
#[derive(Debug)]
struct Member {
    queue: QueueName,
    /// Of its own frozen job: the job may have another by now.
    handler: HandlerName,
    job: JobName,
    share: ShareName,
    priority: Level,
    opened: u64,
    outstanding: usize,
    /// What is being decided, in tiles and shards.
    deciding: (usize, u64),
    /// Shards of each wave that stands in the ledger and is on its way to the queue.
    publishing: VecDeque<u64>,
    waits: Option<Waits>,
    pace: Pace,
    /// What its share was charged for shards that workers have not told of, and how many they are.
    charged: (f64, u64),
}

#[derive(Debug)]
struct Waits {
    place: Place,
    /// Shards that no wave has issued.
    left: Option<u64>,
    rises: Boot,
}

/// What an installation configures of it.
#[derive(Clone, Debug)]
pub struct Flow {
    /// How worker-seconds are divided between shares.
    pub shares: Shares,
    /// Most open runs of one queue.
    pub open_runs: usize,
}

impl Default for Flow {
    fn default() -> Flow {
        Flow {
            shares: Shares::default(),
            open_runs: OPEN_RUNS_MAX,
        }
    }
}

/// One leadership's flow control.
#[derive(Debug)]
pub struct Admission {
    flow: Flow,
    queues: HashMap<QueueName, Queue>,
    jobs: HashMap<JobName, Job>,
    runs: HashMap<RunId, Member>,
    resources: HashMap<ResourceName, UnixMs>,
    /// What openings under way may issue.
    beginning: HashMap<QueueName, begin::Beginning>,
    /// Queues with as many open runs as they may have.
    full: BTreeSet<QueueName>,
    risers: BTreeSet<(Boot, RunId)>,
    /// Jobs whose rate has a token again.
    refills: BTreeSet<(Boot, JobName)>,
    /// Jobs whose hold ends.
    holds: BTreeSet<(UnixMs, JobName)>,
}

impl Admission {
    /// Nothing is open.
    pub fn new(flow: Flow) -> Admission {
        Admission {
            flow,
            queues: HashMap::new(),
            jobs: HashMap::new(),
            runs: HashMap::new(),
            resources: HashMap::new(),
            beginning: HashMap::new(),
            full: BTreeSet::new(),
            risers: BTreeSet::new(),
            refills: BTreeSet::new(),
            holds: BTreeSet::new(),
        }
    }

    /// A run is open, with `tiles` that lack an outcome.
    pub fn opened(&mut self, run: &RunId, spec: &JobSpec, opened: u64, tiles: usize, now: Now) {
        let share = spec.limits.share_of(&spec.name);
        let job = self.jobs.entry(spec.name.clone()).or_insert_with(|| Job {
            limits: spec.limits.clone(),
            newest: opened,
            shares: BTreeSet::new(),
            open_runs: 0,
            outstanding: 0,
            bucket: Bucket::new(now.boot),
            hold: UnixMs(0),
            pace: Pace::default(),
            blocked: None,
        });
        // What was applied last is what holds; after a change of leader runs come in any order.
        let changed = opened >= job.newest && job.limits != spec.limits;
        if opened >= job.newest {
            job.newest = opened;
            job.limits = spec.limits.clone();
        }
        job.open_runs += 1;
        job.shares.insert(share.clone());
        let pace = job.pace;
        let member = Member {
            queue: spec.queue.clone(),
            handler: spec.handler.clone(),
            job: spec.name.clone(),
            share,
            priority: Level::from(spec.limits.priority.get()),
            opened,
            outstanding: 0,
            deciding: (0, 0),
            publishing: VecDeque::new(),
            waits: None,
            pace,
            charged: (0.0, 0),
        };
        self.runs.insert(run.clone(), member);
        if changed {
            self.unblock(&spec.name);
        }
        let most = self.flow.open_runs;
        let queue = self.queues.entry(spec.queue.clone()).or_default();
        queue.lane(&spec.handler, now.boot).open_runs += 1;
        if queue.open_runs() >= most {
            self.full.insert(spec.queue.clone());
        }
        self.count(run, tiles);
    }

    /// It is over, or lost.
    pub fn over(&mut self, run: &RunId, now: Now) {
        self.leave(run);
        self.decided(run);
        while self.published(run, now) {}
        let Some(member) = self.runs.get(run) else {
            return;
        };
        let (open, job) = (member.outstanding, member.job.clone());
        self.uncount(run, open);
        if let Some(member) = self.runs.remove(run)
            && let Some(queue) = self.queues.get_mut(&member.queue)
        {
            if let Some(lane) = queue.get_mut(&member.handler) {
                lane.open_runs = lane.open_runs.saturating_sub(1);
            }
            // Not for each run that ends: opening and closing doors costs a word with the broker.
            if queue.open_runs() < self.flow.open_runs.div_ceil(10) * 9 {
                self.full.remove(&member.queue);
            }
        }
        if let Some(job) = self.jobs.get_mut(&job) {
            job.open_runs = job.open_runs.saturating_sub(1);
            if job.open_runs == 0 {
                job.shares.clear();
            }
        }
        if self.jobs.len() > PACES_MAX {
            self.jobs.retain(|_, job| job.open_runs > 0);
        }
    }

    /// Queues with as many open runs as they may have: nothing more is to be opened there.
    pub fn full(&self) -> &BTreeSet<QueueName> {
        &self.full
    }

    /// Others have issued tiles of a run, or some of them have every outcome.
    pub fn counted(&mut self, run: &RunId, issued: usize, closed: u64, now: Now) {
        self.count(run, issued);
        if closed == 0 {
            return;
        }
        self.uncount(run, closed as usize);
        if let Some(member) = self.runs.get(run)
            && let Some(queue) = self.queues.get_mut(&member.queue)
            && let Some(lane) = queue.get_mut(&member.handler)
        {
            lane.window.closed(closed, now.boot);
        }
    }

    /// Workers have executed `shards` of a run in `busy` worker-time.
    pub fn measured(&mut self, run: &RunId, shards: u64, busy: Duration) {
        let Some(member) = self.runs.get_mut(run) else {
            return;
        };
        member.pace.measured(shards, busy);
        let (charged, of) = member.charged;
        let told = shards.min(of);
        // What the share was charged beforehand for these shards is replaced by what they took.
        let before = charged * told as f64 / of.max(1) as f64;
        member.charged = (charged - before, of - told);
        let (queue, share, pace) = (member.queue.clone(), member.share.clone(), member.pace);
        let weight = self.flow.shares.weight(&share);
        if let Some(job) = self.jobs.get_mut(&member.job) {
            job.pace = pace;
        }
        if let Some(queue) = self.queues.get_mut(&queue) {
            let more = busy.as_secs_f64() * 1e6 - before;
            queue.charge(&share, (more / weight) as i64);
        }
    }

    /// A run could use room, with `left` shards that no wave has issued, where that is known.
    pub fn wait(&mut self, run: &RunId, left: Option<u64>, now: Now) {
        let Some(member) = self.runs.get_mut(run) else {
            return;
        };
        if member.waits.is_some() {
            return;
        }
        let place = Place {
            level: member.priority,
            share: member.share.clone(),
            job: member.job.clone(),
            rank: Rank {
                long: left.is_none_or(|left| left > LONG),
                opened: member.opened,
                run: run.clone(),
            },
        };
        let rises = now.boot + RISE;
        if let Some(queue) = self.queues.get_mut(&member.queue) {
            queue.insert(&member.handler, &place);
        }
        self.risers.insert((rises, run.clone()));
        member.waits = Some(Waits { place, left, rises });
    }

    /// A run cannot use room now.
    pub fn leave(&mut self, run: &RunId) {
        let Some(member) = self.runs.get_mut(run) else {
            return;
        };
        let Some(waits) = member.waits.take() else {
            return;
        };
        self.risers.remove(&(waits.rises, run.clone()));
        if let Some(queue) = self.queues.get_mut(&member.queue) {
            queue.remove(&member.handler, &waits.place);
        }
    }

    /// The queues with somebody waiting.
    pub fn waiting(&self) -> Vec<QueueName> {
        let queues = self.queues.iter();
        let waiting = queues.filter(|(_, queue)| queue.is_waiting());
        waiting.map(|(name, _)| name.clone()).collect()
    }

    fn count(&mut self, run: &RunId, tiles: usize) {
        let Some(member) = self.runs.get_mut(run) else {
            return;
        };
        member.outstanding += tiles;
        if let Some(job) = self.jobs.get_mut(&member.job) {
            job.outstanding += tiles;
        }
        if let Some(queue) = self.queues.get_mut(&member.queue) {
            queue.count(&member.handler, &member.share, tiles);
        }
    }

    fn uncount(&mut self, run: &RunId, tiles: usize) {
        let Some(member) = self.runs.get_mut(run) else {
            return;
        };
        let tiles = tiles.min(member.outstanding);
        member.outstanding -= tiles;
        if let Some(queue) = self.queues.get_mut(&member.queue) {
            queue.uncount(&member.handler, &member.share, tiles);
        }
        let name = member.job.clone();
        let Some(job) = self.jobs.get_mut(&name) else {
            return;
        };
        job.outstanding = job.outstanding.saturating_sub(tiles);
        if tiles > 0 && job.blocked == Some(Gate::Concurrency) {
            self.unblock(&name);
        }
    }
}

#[cfg(test)]
mod tests;
