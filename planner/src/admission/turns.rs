//! Gives the room of a queue away, to one run after the other. Pure.

use super::*;

/// Room of one queue that is being given away.
#[derive(Debug)]
pub struct Turn {
    queue: QueueName,
    loads: Vec<Load>,
}

impl Admission {
    /// Begins to give the room of a queue away.
    pub fn turn(&mut self, queue: &QueueName, crew: &Crew, now: Now) -> Turn {
        let state = self.queues.get_mut(queue);
        Turn {
            queue: queue.clone(),
            loads: state.map_or_else(Vec::new, |state| state.loads(queue, crew, now)),
        }
    }

    /// Who is next, and how much it may issue. The caller says what came of it:
    /// [`Admission::issued`], or [`Admission::leave`].
    pub fn next(&mut self, turn: &Turn, now: Now) -> Option<(RunId, Room)> {
        let Admission {
            queues,
            jobs,
            resources,
            refills,
            holds,
            ..
        } = self;
        let queue = queues.get_mut(&turn.queue)?;
        let (head, lane, until_next) = queue.head(&turn.loads, |name| {
            let Some(job) = jobs.get_mut(name) else {
                return false;
            };
            if job.blocked.is_none() {
                job.blocked = job.gate(resources, now);
                match job.blocked {
                    Some(Gate::Rate(at)) => {
                        refills.insert((at, name.clone()));
                    }
                    Some(Gate::Hold(until)) => {
                        holds.insert((until, name.clone()));
                    }
                    Some(Gate::Concurrency) | None => {}
                }
            }
            job.blocked.is_none()
        })?;
        let tiles = queue.room(&turn.loads, lane);
        let slots = turn.loads[lane].slots;
        let room = self.room(tiles, slots, (&head, until_next), now);
        Some((head.rank.run, room))
    }

    /// How much the head of the lines may issue of `tiles`.
    fn room(
        &mut self,
        tiles: usize,
        slots: usize,
        (head, until_next): (&Head, Option<u64>),
        now: Now,
    ) -> Room {
        let mut room = Room {
            tiles,
            pages: 1,
            ..Room::default()
        };
        let (Some(job), Some(member)) =
            (self.jobs.get_mut(&head.job), self.runs.get(&head.rank.run))
        else {
            return room;
        };
        let left = member.waits.as_ref().and_then(|waits| waits.left);
        let rated = job.limits.rate;
        let rated = rated.map(|rate| job.bucket.available(rate, now.boot));
        // What may be issued now is to be begun now: pages of one tile run one after another.
        let spread = rated.map_or(left, |shards| {
            Some(left.map_or(shards as u64, |left| left.min(shards as u64)))
        });
        room.pages = member.pace.pages(spread, slots);
        if let Some(most) = job.limits.concurrency {
            room.tiles = room
                .tiles
                .min((most as usize).saturating_sub(job.outstanding));
        }
        if let Some(shards) = rated {
            room.pages = room
                .pages
                .min(u32::try_from(shards).unwrap_or(u32::MAX))
                .max(1);
            room.tiles = room.tiles.min(shards.div_ceil(room.pages as usize));
        }
        if let Some(until_next) = until_next {
            let turn_us = TURN.as_secs_f64() * 1e6 * slots.max(1) as f64;
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
        self.leave(run);
        self.count(run, tiles);
        let Some(member) = self.runs.get_mut(run) else {
            return;
        };
        member.deciding = (tiles, shards);
        if let Some(job) = self.jobs.get_mut(&member.job)
            && job.limits.rate.is_some()
        {
            job.bucket.take(shards);
        }
        if let Some(queue) = self.queues.get_mut(&turn.queue)
            && let Some(lane) = queue.position(&member.handler)
        {
            queue.take(&mut turn.loads, lane, tiles);
        }
        self.charge(run, shards);
    }

    /// Charges a run's share for `shards` of it beforehand: what they are expected to take.
    pub(super) fn charge(&mut self, run: &RunId, shards: u64) {
        let Some(member) = self.runs.get_mut(run) else {
            return;
        };
        let cost = member.pace.cost_us() * shards as f64;
        member.charged.0 += cost;
        member.charged.1 += shards;
        let weight = self.flow.shares.weight(&member.share);
        if let Some(queue) = self.queues.get_mut(&member.queue) {
            queue.charge(&member.share, (cost / weight) as i64);
        }
    }

    /// The wave that a run was deciding stands in the ledger.
    pub fn decided(&mut self, run: &RunId) {
        if let Some(member) = self.runs.get_mut(run) {
            let (_, shards) = std::mem::take(&mut member.deciding);
            member.publishing.push_back(shards);
        }
    }

    /// The oldest wave of a run on its way to the queue is there, or never will be, or nobody will know.
    /// Returns whether there was one.
    pub fn published(&mut self, run: &RunId, now: Now) -> bool {
        let Some(member) = self.runs.get_mut(run) else {
            return false;
        };
        let Some(shards) = member.publishing.pop_front() else {
            return false;
        };
        if let Some(job) = self.jobs.get_mut(&member.job) {
            job.bucket.landed(job.limits.rate, shards, now.boot);
        }
        true
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
}
