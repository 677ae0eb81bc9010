//! Which run may put how much on its queue, and why the others may not: all of flow control, in one
//! room (docs/ARCHITECTURE.md). Pure, and nothing here is done for every open run and tick: runs wait
//! in ordered sets, times in heaps.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`window`] | how much of a queue may be outstanding |
//! | [`line`] | who is next on a queue: level, worker-time of its share, age |
//! | [`bucket`] | how many shards of a job may be issued at a moment |
//! | [`pace`] | how long a shard takes, and how many pages a tile has for that |
//! | [`why`] | why a run waits |
//!
//! Limits are a job's, for the whole cluster: every open tile of it counts, whoever issued it, so they
//! hold over a change of leader.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use gridloom_shared::clock::{Boot, UnixMs};
use gridloom_shared::id::{HandlerName, JobName, QueueName, ResourceName, RunId, ShareName};
use gridloom_shared::job::{JobSpec, LimitsSpec, Shares};
use gridloom_shared::limits::OPEN_RUNS_MAX;

use crate::crew::{Crew, Help};
use crate::now::Now;
use crate::run::Room;

mod bucket;
mod line;
mod pace;
mod why;
mod window;

use bucket::Bucket;
use line::{Head, Level, Line, Place, Rank};
use pace::Pace;
use window::Window;

/// A run that waits rises by one level in this time.
const RISE: Duration = Duration::from_secs(60);
/// Levels that it can rise at most: half an hour is long enough to be first.
const RISEN_MAX: Level = 30;
/// A run with more shards left than this is a long one: others of its job need not wait for it.
const LONG: u64 = 1_000;
/// Worker-time for each slot of a queue that one share may be given before it is another's turn.
const TURN: Duration = Duration::from_millis(50);
/// Jobs without an open run whose pace is remembered.
const PACES_MAX: usize = 10_000;

/// Why a job gets no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    /// As many tiles as it may have at once are open.
    Concurrency,
    /// Its rate is used up until then.
    Rate(Boot),
    /// It, or the resource that it uses, is on hold until then.
    Hold(UnixMs),
    /// Workers pull from its queue, and none has its handler.
    Handler,
}

#[derive(Debug)]
struct Job {
    limits: LimitsSpec,
    handler: HandlerName,
    /// Of its open runs; more than one after its definition has changed.
    shares: BTreeSet<ShareName>,
    open_runs: usize,
    /// Tiles that are decided and lack an outcome.
    outstanding: usize,
    bucket: Bucket,
    hold: UnixMs,
    pace: Pace,
    blocked: Option<Gate>,
    /// Queues that workers pull from, none of which has its handler: after it has moved, a job has
    /// runs on more than one.
    lacking: BTreeSet<QueueName>,
}

/// One open run.
#[derive(Debug)]
struct Member {
    queue: QueueName,
    job: JobName,
    share: ShareName,
    priority: Level,
    opened: u64,
    outstanding: usize,
    /// What is being decided, in tiles and shards.
    deciding: (usize, u64),
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

#[derive(Debug)]
struct Queue {
    window: Window,
    outstanding: usize,
    line: Line,
    open_runs: usize,
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
    /// Queues with as many open runs as they may have.
    full: BTreeSet<QueueName>,
    risers: BTreeSet<(Boot, RunId)>,
    /// Jobs whose rate has a token again.
    refills: BTreeSet<(Boot, JobName)>,
    /// Jobs whose hold ends.
    holds: BTreeSet<(UnixMs, JobName)>,
}

/// Room of one queue that is being given away.
#[derive(Debug)]
pub struct Turn {
    queue: QueueName,
    tiles: usize,
    slots: usize,
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
            handler: spec.handler.clone(),
            shares: BTreeSet::new(),
            open_runs: 0,
            outstanding: 0,
            bucket: Bucket::new(now.boot),
            hold: UnixMs(0),
            pace: Pace::default(),
            blocked: None,
            lacking: BTreeSet::new(),
        });
        // What was applied last is what holds.
        job.limits = spec.limits.clone();
        job.handler = spec.handler.clone();
        job.open_runs += 1;
        job.shares.insert(share.clone());
        let pace = job.pace;
        let member = Member {
            queue: spec.queue.clone(),
            job: spec.name.clone(),
            share,
            priority: Level::from(spec.limits.priority.get()),
            opened,
            outstanding: 0,
            deciding: (0, 0),
            waits: None,
            pace,
            charged: (0.0, 0),
        };
        self.runs.insert(run.clone(), member);
        let most = self.flow.open_runs;
        let queue = self.queue(&spec.queue, now.boot);
        queue.open_runs += 1;
        if queue.open_runs >= most {
            self.full.insert(spec.queue.clone());
        }
        self.count(run, tiles);
    }

    /// It is over, or lost.
    pub fn over(&mut self, run: &RunId) {
        self.leave(run);
        let Some(member) = self.runs.get(run) else {
            return;
        };
        let (open, job) = (member.outstanding, member.job.clone());
        self.uncount(run, open);
        if let Some(member) = self.runs.remove(run)
            && let Some(queue) = self.queues.get_mut(&member.queue)
        {
            queue.open_runs = queue.open_runs.saturating_sub(1);
            // Not for each run that ends: opening and closing doors costs a word with the broker.
            if queue.open_runs < self.flow.open_runs.div_ceil(10) * 9 {
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
        if let Some(queue) = self.runs.get(run).map(|member| member.queue.clone()) {
            self.queue(&queue, now.boot).window.closed(closed, now.boot);
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
            queue.line.charge(&share, (more / weight) as i64);
        }
    }

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
            queue.line.insert(&place);
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
            queue.line.remove(&waits.place);
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

    /// A worker is new, or has other handlers than before.
    pub fn crew_changed(&mut self) {
        let lacking = self
            .jobs
            .iter_mut()
            .filter(|(_, job)| !job.lacking.is_empty());
        let blocked = lacking.map(|(name, job)| {
            job.lacking.clear();
            name.clone()
        });
        let blocked: Vec<JobName> = blocked.collect();
        blocked.iter().for_each(|job| self.unblock(job));
    }

    /// The queues with somebody waiting.
    pub fn waiting(&self) -> Vec<QueueName> {
        let waiting = self
            .queues
            .iter()
            .filter(|(_, queue)| !queue.line.is_empty());
        waiting.map(|(name, _)| name.clone()).collect()
    }

    /// Begins to give the room of a queue away.
    pub fn turn(&self, queue: &QueueName, crew: &Crew, now: Now) -> Turn {
        let slots = crew.slots(queue, now.boot);
        let tiles = self.queues.get(queue).map_or(0, |state| {
            state.window.room(state.outstanding, slots, now.boot)
        });
        Turn {
            queue: queue.clone(),
            tiles,
            slots,
        }
    }

    /// Who is next, and how much it may issue. The caller says what came of it:
    /// [`Admission::issued`], or [`Admission::leave`].
    pub fn next(&mut self, turn: &Turn, crew: &Crew, now: Now) -> Option<(RunId, Room)> {
        if turn.tiles == 0 {
            return None;
        }
        let Admission {
            queues,
            jobs,
            resources,
            refills,
            holds,
            ..
        } = self;
        let line = &mut queues.get_mut(&turn.queue)?.line;
        let head = line.head(|name| {
            let Some(job) = jobs.get_mut(name) else {
                return false;
            };
            if job.lacking.contains(&turn.queue) {
                return false;
            }
            if job.blocked.is_none() {
                match job.gate(&turn.queue, resources, crew, now) {
                    Some(Gate::Handler) => {
                        job.lacking.insert(turn.queue.clone());
                        return false;
                    }
                    gate => job.blocked = gate,
                }
                match job.blocked {
                    Some(Gate::Rate(at)) => {
                        refills.insert((at, name.clone()));
                    }
                    Some(Gate::Hold(until)) => {
                        holds.insert((until, name.clone()));
                    }
                    Some(Gate::Concurrency | Gate::Handler) | None => {}
                }
            }
            job.blocked.is_none()
        })?;
        let room = self.room(turn, &head, now);
        Some((head.run, room))
    }

    /// How much the head of the line may issue.
    fn room(&mut self, turn: &Turn, head: &Head, now: Now) -> Room {
        let mut room = Room {
            tiles: turn.tiles,
            pages: 1,
        };
        let (Some(job), Some(member)) = (self.jobs.get_mut(&head.job), self.runs.get(&head.run))
        else {
            return room;
        };
        let left = member.waits.as_ref().and_then(|waits| waits.left);
        room.pages = member.pace.pages(left, turn.slots);
        if let Some(most) = job.limits.concurrency {
            room.tiles = room
                .tiles
                .min((most as usize).saturating_sub(job.outstanding));
        }
        if let Some(rate) = job.limits.rate {
            let shards = job.bucket.available(rate, now.boot);
            room.pages = room
                .pages
                .min(u32::try_from(shards).unwrap_or(u32::MAX))
                .max(1);
            room.tiles = room.tiles.min(shards.div_ceil(room.pages as usize));
        }
        if let Some(until_next) = head.until_next {
            let turn_us = TURN.as_secs_f64() * 1e6 * turn.slots.max(1) as f64;
            let tile_us = member.pace.cost_us() * f64::from(room.pages);
            let fair =
                (until_next as f64 * self.flow.shares.weight(&head.share) + turn_us) / tile_us;
            room.tiles = room.tiles.min(fair.ceil() as usize);
        }
        room.tiles = room.tiles.max(1);
        room
    }

    /// A run decides a wave of so many tiles and shards.
    pub fn issued(&mut self, turn: &mut Turn, run: &RunId, tiles: usize, shards: u64) {
        turn.tiles = turn.tiles.saturating_sub(tiles);
        self.leave(run);
        self.count(run, tiles);
        let Some(member) = self.runs.get_mut(run) else {
            return;
        };
        member.deciding = (tiles, shards);
        let cost = member.pace.cost_us() * shards as f64;
        member.charged.0 += cost;
        member.charged.1 += shards;
        let share = member.share.clone();
        if let Some(job) = self.jobs.get_mut(&member.job)
            && let Some(rate) = job.limits.rate
        {
            job.bucket.take(rate, shards);
        }
        if let Some(queue) = self.queues.get_mut(&turn.queue) {
            let cost = cost / self.flow.shares.weight(&share);
            queue.line.charge(&share, cost as i64);
        }
    }

    /// The wave that a run was deciding stands in the ledger.
    pub fn decided(&mut self, run: &RunId) {
        if let Some(member) = self.runs.get_mut(run) {
            member.deciding = (0, 0);
        }
    }

    /// It does not.
    pub fn not_issued(&mut self, run: &RunId) {
        let Some(member) = self.runs.get_mut(run) else {
            return;
        };
        let (tiles, shards) = std::mem::take(&mut member.deciding);
        if let Some(job) = self.jobs.get_mut(&member.job) {
            job.bucket.give_back(shards);
        }
        self.uncount(run, tiles);
    }

    fn queue(&mut self, name: &QueueName, now: Boot) -> &mut Queue {
        self.queues.entry(name.clone()).or_insert_with(|| Queue {
            window: Window::new(now),
            outstanding: 0,
            line: Line::default(),
            open_runs: 0,
        })
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
            queue.outstanding += tiles;
            queue.line.activate(&member.share, tiles);
        }
    }

    fn uncount(&mut self, run: &RunId, tiles: usize) {
        let Some(member) = self.runs.get_mut(run) else {
            return;
        };
        let tiles = tiles.min(member.outstanding);
        member.outstanding -= tiles;
        if let Some(queue) = self.queues.get_mut(&member.queue) {
            queue.outstanding = queue.outstanding.saturating_sub(tiles);
            queue.line.release(&member.share, tiles);
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

    fn unblock(&mut self, name: &JobName) {
        let Some(job) = self.jobs.get_mut(name) else {
            return;
        };
        job.blocked = None;
        // A job that moved may wait on more than one queue.
        for queue in self
            .queues
            .values_mut()
            .filter(|queue| !queue.line.is_empty())
        {
            job.shares
                .iter()
                .for_each(|share| queue.line.unblock(share, name));
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
        queue.line.remove(&waits.place);
        waits.place.level = (waits.place.level - 1).max(member.priority - RISEN_MAX);
        queue.line.insert(&waits.place);
        waits.rises = now.boot + RISE;
        self.risers.insert((waits.rises, run.clone()));
    }
}

impl Job {
    /// What keeps the job from getting room.
    fn gate(
        &mut self,
        queue: &QueueName,
        resources: &HashMap<ResourceName, UnixMs>,
        crew: &Crew,
        now: Now,
    ) -> Option<Gate> {
        if crew.help(queue, &self.handler, now.boot) == Help::NoHandler {
            return Some(Gate::Handler);
        }
        let held = self.limits.resource.as_ref();
        let held = held.and_then(|resource| resources.get(resource).copied());
        let until = self.hold.max(held.unwrap_or_default());
        if until > now.broker {
            return Some(Gate::Hold(until));
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

#[cfg(test)]
mod tests;
