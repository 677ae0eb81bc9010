//! Gives the room of a queue away, to one run after the other. Pure.

use super::*;

/// Room of one queue that is being given away.
#[derive(Debug)]
pub struct Turn {
    queue: QueueName,
    tiles: usize,
    slots: usize,
}

impl Admission {
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
}
