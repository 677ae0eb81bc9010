//! What may be issued with the record that opens a run. Pure.
//!
//! Only of a job that nothing bounds, on a queue where nobody waits for room: then it is what the run would be given at
//! once anyway, and saves a record. All others wait for their turn.

use super::*;

/// So long it is counted what openings under way may issue: of some nobody hears again.
const KEPT: Duration = Duration::from_secs(1);

/// What openings under way may issue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning {
    tiles: usize,
    since: Boot,
}

impl Admission {
    /// How much may be issued with the record that opens a run of `spec`.
    pub fn may_begin(&mut self, spec: &JobSpec, crew: &Crew, now: Now) -> Room {
        let mut room = Room::default();
        let limits = &spec.limits;
        let bound = limits.concurrency.is_some() || limits.rate.is_some();
        if bound || self.is_on_hold(spec, now) {
            return room;
        }
        let queue = self.queues.entry(spec.queue.clone()).or_default();
        if queue.is_asking() {
            return room;
        }
        queue.lane(&spec.handler, now.boot);
        let loads = queue.loads(&spec.queue, crew, now);
        let Some(lane) = queue.position(&spec.handler) else {
            return room;
        };
        let tiles = queue.room(&loads, lane);
        room.tiles = tiles.saturating_sub(self.beginning(&spec.queue, now).tiles);
        let pace = self.jobs.get(&spec.name).map(|job| job.pace);
        room.pages = pace
            .unwrap_or_default()
            .pages(spec.grid.shards(), loads[lane].slots);
        room
    }

    /// The record that opens a run of `queue` is written, and issues `tiles`.
    pub fn begins(&mut self, queue: &QueueName, tiles: usize, now: Now) {
        self.beginning(queue, now).tiles += tiles;
    }

    /// It is read back, or there is none.
    pub fn began(&mut self, queue: &QueueName, tiles: usize, now: Now) {
        let beginning = self.beginning(queue, now);
        beginning.tiles = beginning.tiles.saturating_sub(tiles);
    }

    /// A run has begun with `shards`, whose tiles are on their way to the queue.
    pub fn issued_at_once(&mut self, run: &RunId, shards: u64) {
        if let Some(member) = self.runs.get_mut(run) {
            member.publishing.push_back(shards);
        }
        self.charge(run, shards);
    }

    fn beginning(&mut self, queue: &QueueName, now: Now) -> &mut Beginning {
        let beginning = self.beginning.entry(queue.clone());
        let beginning = beginning.or_insert(Beginning {
            tiles: 0,
            since: now.boot,
        });
        if now.boot.since(beginning.since) > KEPT {
            *beginning = Beginning {
                tiles: 0,
                since: now.boot,
            };
        }
        beginning
    }

    fn is_on_hold(&self, spec: &JobSpec, now: Now) -> bool {
        let held = match &spec.limits.resource {
            Some(resource) => self.resources.get(resource).copied(),
            None => self.jobs.get(&spec.name).map(|job| job.hold),
        };
        held.is_some_and(|until| until > now.broker)
    }
}
